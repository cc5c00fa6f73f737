//! Every tuning constant of the storage, with its unit and its reason.

use std::time::Duration;

/// How far before an unreadable record the first search for a readable one begins, in sequences.
pub(super) const SEARCH_REACH: u64 = 64;
/// The factor by which each further search begins farther back.
pub(super) const SEARCH_FARTHER: u64 = 8;
/// Records that one such search reads at a time.
pub(super) const SEARCH_RECORDS_PER_READ: usize = 256;
/// The most unreadable records that are remembered, so that each is logged once.
pub(super) const UNREADABLE_KNOWN_MAX: usize = 4096;
/// How long an unreadable record that was not met again is counted: it may have been deleted since.
pub(super) const UNREADABLE_COUNTED_FOR: Duration = Duration::from_secs(15 * 60);
/// The most bytes of a page of amendments: room for 32 messages of 16 KiB each, which fits one NATS
/// message at the server's default `max_payload`.
pub const AMENDMENTS_BYTES_MAX: usize = 512 * 1024;
/// The most unknown bytes of one entry. Later releases keep within these; an entry with more cannot
/// be read.
pub(super) const LATER_BYTES_MAX: usize = 16 * 1024;
/// The most unknown fields of one entry, likewise.
pub(super) const LATER_FIELDS_MAX: usize = 64;
