//! Amendments: changes of the 32 messages of one page of one direction after they were stored. Key:
//! `peer.state.<p>.<receiver>.amendments.<sender>.<page>`, in the partition whose log has the
//! messages, and written by its owner only. Read together with the messages, if the conversation
//! entry says that the page may have amendments.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes as ByteSlice;

use super::Kind;
use super::fields::{FieldsIn, FieldsOut};
use super::tuning::AMENDMENTS_BYTES_MAX;
use crate::wire::packed::{ContentV1, EncodeError, Flags, RecordError, check_numbers, local_id};
use peerd_core::amendment::{
    Amendment, AmendmentPage, Change, Receipt, Removed, Replacement, Stub,
};
use peerd_core::content::MessageType;
use peerd_core::conversation::{Mark, PagePointers};
use peerd_core::id::{OrderKey, Partition};
use peerd_core::limits::{
    NUMBER_MAX, REACTION_COUNT_MAX, REACTION_TYPE_MAX_BYTES, REACTION_TYPES_MAX,
};
use peerd_core::message::{ReceiptStatus, Revocation};
use peerd_core::pages::{AmendedPages, RANGES_MAX, page_number};
use peerd_core::reaction::Reaction;
use peerd_core::reply::{RepliedPages, RepliesOf, RepliesUpTo};
use peerd_protocol::subject::{Subjects, Token};

const KIND: &str = Kind::Amendments.name();

/// The subject of the amendments of a page of messages from `sender` to `receiver`.
#[must_use]
pub fn key(
    subjects: &Subjects,
    partition: Partition,
    receiver: &Token,
    sender: &Token,
    page: u64,
) -> String {
    format!("{}{receiver}.amendments.{sender}.{page}", subjects.state_prefix(partition))
}

/// The page in the last token of a key.
pub(super) fn page_of(number: &str) -> Option<u64> {
    number.parse().ok()
}

/// Why a page of amendments cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// The page has no room for the addition: nothing is written.
    #[error("the page of amendments would have {bytes} bytes, {AMENDMENTS_BYTES_MAX} are allowed")]
    Full {
        /// The bytes that it would have.
        bytes: usize,
    },
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The field of a page: a list of amendments, each encoded like an entry.
const AMENDMENTS: u8 = 1;

/// The fields of an amendment, which has a version of its own.
const SEQ: u8 = 1;
const KEY: u8 = 2;
const REMOVED: u8 = 3;
const CONTENT: u8 = 4;
const EXTENDED_DATA: u8 = 5;
const RECEIPT: u8 = 6;
/// When the content was last replaced.
const EDITED_MS: u8 = 7;
/// The revocation of a removed message.
const REVOKED: u8 = 8;
/// A list of reactions.
const REACTIONS: u8 = 9;
/// When its receiver confirmed it as read.
const READ_MS: u8 = 10;
/// Where replies to the message can be.
const REPLIED: u8 = 11;
/// The order key of the root of a removed reply.
const ROOT: u8 = 12;

/// The stub of a removed message, without its `messageSeq` and its order key.
#[derive(Serialize, Deserialize)]
struct RemovedV1<'a> {
    stream_seq: u64,
    stored_ms: u64,
    counted: u64,
    page_first: u64,
    page_previous: u64,
    timestamp_ms: u64,
    flags: u8,
    #[serde(borrow)]
    local_id: &'a str,
}

/// A revocation: when, the number of the type that the message had, the text that accompanies it.
#[derive(Serialize, Deserialize)]
struct RevokedV1<'a>(u64, u16, #[serde(borrow)] &'a str);

/// A reaction: its type, and how often the sender and the receiver of the message reacted with it.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct ReactionV1<'a>(#[serde(borrow)] &'a str, u64, u64);

/// Where replies can be: those of the sender of the message, and of its receiver.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct RepliedV1(RepliesOfV1, RepliesOfV1);

/// Ranges of pages; `messageSeq` and stream sequence of a message, and how many replies there are up
/// to it.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct RepliesOfV1(Vec<(u64, u64)>, u64, u64, u64);

/// Writes a page.
pub fn encode(page: &AmendmentPage) -> Result<Bytes, AmendError> {
    let amendments = page.iter().map(|(seq, amendment)| encode_one(seq, amendment));
    let amendments = amendments.collect::<Result<Vec<_>, _>>()?;
    let mut fields = FieldsOut::default();
    let list: Vec<&ByteSlice> = amendments.iter().map(|bytes| ByteSlice::new(bytes)).collect();
    fields.put_always(AMENDMENTS, &list)?;
    let entry = fields.entry(1, &page.later)?;
    let bytes = entry.len();
    if bytes > AMENDMENTS_BYTES_MAX { Err(AmendError::Full { bytes }) } else { Ok(entry) }
}

/// Encodes the amendment of one message.
pub fn encode_one(seq: u64, amendment: &Amendment) -> Result<Bytes, EncodeError> {
    let mut fields = FieldsOut::default();
    fields.put_always(SEQ, &seq)?;
    fields.put_always(KEY, &amendment.key.0)?;
    match &amendment.change {
        Change::None => {}
        Change::Replaced(Replacement { content, extended_data, edited_ms }) => {
            fields.put_always(CONTENT, &ContentV1::from(content))?;
            fields.put(EXTENDED_DATA, &extended_data.as_str())?;
            fields.put(EDITED_MS, edited_ms)?;
        }
        Change::Removed(Removed { stream_seq, stored_ms, stub, revocation }) => {
            let removed = RemovedV1 {
                stream_seq: *stream_seq,
                stored_ms: *stored_ms,
                counted: stub.mark.counted,
                page_first: stub.page.first,
                page_previous: stub.page.previous,
                timestamp_ms: stub.timestamp_ms,
                flags: Flags { counts: stub.counts, receipt: stub.receipt }.number(),
                local_id: stub.local_id.as_ref().map_or("", |id| id.as_str()),
            };
            fields.put_always(REMOVED, &removed)?;
            if let Some(Revocation { at_ms, original_type, extended_data, .. }) =
                revocation.as_deref()
            {
                let revoked = RevokedV1(*at_ms, original_type.number(), extended_data);
                fields.put_always(REVOKED, &revoked)?;
            }
            fields.put(ROOT, &stub.root.map_or(0, |root| root.0))?;
        }
        Change::Unknown(encoded) => fields.put_encoded(encoded),
    }
    match &amendment.receipt {
        Receipt::Unchanged => {}
        Receipt::Changed(status) => fields.put_always(RECEIPT, &(*status as u8))?,
        Receipt::Unknown(encoded) => fields.put_encoded(encoded),
    }
    let reactions = amendment.reactions.iter();
    let reactions = reactions.map(|Reaction { kind, by_sender, by_receiver }| {
        ReactionV1(kind, *by_sender, *by_receiver)
    });
    fields.put(REACTIONS, &reactions.collect::<Vec<_>>())?;
    fields.put(READ_MS, &amendment.read_ms)?;
    let RepliedPages { by_sender, by_receiver } = &amendment.replied;
    let replied = RepliedV1(by_sender.into(), by_receiver.into());
    fields.put(REPLIED, &replied)?;
    fields.entry(1, &amendment.later)
}

/// Reads a page.
pub fn decode(bytes: &[u8]) -> Result<AmendmentPage, RecordError> {
    let fields = FieldsIn::read(bytes, KIND, 1, AMENDMENTS)?;
    let list: Vec<&ByteSlice> = fields.required(AMENDMENTS)?;
    let amendments = list.iter().map(|bytes| decode_one(bytes));
    let amendments = amendments.collect::<Result<Vec<_>, _>>()?;
    let is_one_page = amendments.windows(2).all(|pair| {
        let (before, next) = (pair[0].0, pair[1].0);
        before < next && page_number(before) == page_number(next)
    });
    if !is_one_page {
        return Err(RecordError::new(KIND, "its messages are not those of one page, in order"));
    }
    Ok(AmendmentPage::new(amendments, fields.later()))
}

/// Decodes the amendment of one message: its `messageSeq`, and the amendment.
pub fn decode_one(bytes: &[u8]) -> Result<(u64, Amendment), RecordError> {
    let fields = FieldsIn::read(bytes, KIND, 1, ROOT)?;
    let (seq, key) = (fields.required(SEQ)?, OrderKey(fields.required(KEY)?));
    check_numbers(KIND, &[seq, key.0])?;
    let removed: Option<RemovedV1<'_>> = fields.get(REMOVED)?;
    let change = match removed {
        Some(removed) => {
            let revocation = read_revocation(&fields)?.map(Box::new);
            let root = fields.get(ROOT)?;
            check_numbers(KIND, &[root])?;
            let mut removed = read_removed(seq, key, &removed)?;
            removed.stub.root = (root > 0).then_some(OrderKey(root));
            Change::Removed(Removed { revocation, ..removed })
        }
        None => read_content(&fields),
    };
    let receipt = match fields.get::<Option<u8>>(RECEIPT) {
        Ok(None) => Receipt::Unchanged,
        Ok(Some(number)) => ReceiptStatus::from_number(number)
            .map_or_else(|| Receipt::Unknown(fields.encoded(&[RECEIPT])), Receipt::Changed),
        Err(_) => Receipt::Unknown(fields.encoded(&[RECEIPT])),
    };
    let reactions = read_reactions(&fields)?;
    let read_ms = fields.get(READ_MS)?;
    check_numbers(KIND, &[read_ms])?;
    let replied = read_replied(&fields)?;
    let later = fields.later();
    Ok((seq, Amendment { key, change, receipt, read_ms, reactions, replied, later }))
}

fn read_replied(fields: &FieldsIn<'_>) -> Result<RepliedPages, RecordError> {
    let RepliedV1(by_sender, by_receiver) = fields.get(REPLIED)?;
    Ok(RepliedPages { by_sender: by_sender.read()?, by_receiver: by_receiver.read()? })
}

impl From<&RepliesOf> for RepliesOfV1 {
    fn from(RepliesOf { pages, counted }: &RepliesOf) -> Self {
        Self(pages.ranges().to_vec(), counted.seq, counted.stream_seq, counted.count)
    }
}

impl RepliesOfV1 {
    fn read(self) -> Result<RepliesOf, RecordError> {
        let Self(ranges, seq, stream_seq, count) = self;
        if ranges.len() > RANGES_MAX {
            return Err(RecordError::new(KIND, "it has too many pages with replies"));
        }
        for (first, last) in &ranges {
            check_numbers(KIND, &[*first, *last])?;
        }
        check_numbers(KIND, &[seq, stream_seq, count])?;
        let counted = RepliesUpTo { seq, stream_seq, count };
        Ok(RepliesOf { pages: AmendedPages::new(ranges), counted })
    }
}

fn read_reactions(fields: &FieldsIn<'_>) -> Result<Vec<Reaction>, RecordError> {
    let reactions: Vec<ReactionV1<'_>> = fields.get(REACTIONS)?;
    let is_bounded = reactions.len() <= REACTION_TYPES_MAX
        && reactions.iter().all(|ReactionV1(kind, by_sender, by_receiver)| {
            !kind.is_empty()
                && kind.len() <= REACTION_TYPE_MAX_BYTES
                && (*by_sender).max(*by_receiver) <= REACTION_COUNT_MAX
                && by_sender + by_receiver > 0
        });
    if !is_bounded {
        return Err(RecordError::new(KIND, "its reactions exceed a bound"));
    }
    let reaction = |ReactionV1(kind, by_sender, by_receiver): ReactionV1<'_>| Reaction {
        kind: kind.to_owned(),
        by_sender,
        by_receiver,
    };
    Ok(reactions.into_iter().map(reaction).collect())
}

/// The replacement of a message's content. Content that only a later release can read is kept as it
/// is, so that it is not lost when this release writes the page.
fn read_content(fields: &FieldsIn<'_>) -> Change {
    let content: Result<Option<ContentV1>, _> = fields.get(CONTENT);
    let extended_data: Result<&str, _> = fields.get(EXTENDED_DATA);
    let edited_ms: Result<u64, _> = fields.get(EDITED_MS);
    match (content, extended_data, edited_ms) {
        (Ok(None), Ok(""), Ok(0)) => Change::None,
        (Ok(Some(content)), Ok(extended_data), Ok(edited_ms @ ..=NUMBER_MAX)) => {
            Change::Replaced(Replacement {
                content: content.into(),
                extended_data: extended_data.to_owned(),
                edited_ms,
            })
        }
        _ => Change::Unknown(fields.encoded(&[CONTENT, EXTENDED_DATA, EDITED_MS])),
    }
}

fn read_revocation(fields: &FieldsIn<'_>) -> Result<Option<Revocation>, RecordError> {
    let revoked: Option<RevokedV1<'_>> = fields.get(REVOKED)?;
    let Some(RevokedV1(at_ms, original_type, extended_data)) = revoked else { return Ok(None) };
    check_numbers(KIND, &[at_ms])?;
    let original_type = MessageType::stored(original_type)
        .ok_or_else(|| RecordError::new(KIND, "the type of a revoked message is unknown"))?;
    let (original_text, extended_data) = (String::new(), extended_data.to_owned());
    Ok(Some(Revocation { at_ms, original_type, original_text, extended_data }))
}

fn read_removed(seq: u64, key: OrderKey, entry: &RemovedV1<'_>) -> Result<Removed, RecordError> {
    let RemovedV1 { stream_seq, stored_ms, counted, timestamp_ms, .. } = *entry;
    let page = PagePointers { first: entry.page_first, previous: entry.page_previous };
    let numbers = [stream_seq, stored_ms, counted, page.first, page.previous, timestamp_ms];
    check_numbers(KIND, &numbers)?;
    let Flags { counts, receipt } = Flags::from_number(entry.flags);
    let local_id = local_id(KIND, entry.local_id)?;
    let mark = Mark { seq, counted };
    let stub = Stub { key, mark, page, timestamp_ms, local_id, receipt, counts, root: None };
    Ok(Removed { stream_seq, stored_ms, stub, revocation: None })
}
