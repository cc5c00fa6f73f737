//! Identifiers: users, partitions, messages, and the order of messages.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::limits::{LOCAL_MESSAGE_ID_MAX_BYTES, PARTITIONS_MAX, USER_ID_MAX_BYTES};
use super::rejection::Rejection;
use super::text::{NOT_A_LINE, is_line};

/// 2026-01-01T00:00:00Z in milliseconds since 1970: the epoch of order keys.
pub const EPOCH_MS: u64 = 1_767_225_600_000;
/// The number of order keys in one millisecond.
pub const KEYS_PER_MS: u64 = 4096;

/// A user's ID as services know it: 1 to 128 bytes of the characters ZIM allows. The configuration
/// may set a lower maximum for IDs from callers: [`UserId::within`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Parses a user ID, checking its length and characters. `field` is the field's name in the
    /// error for the caller.
    pub fn new(text: &str, field: &str) -> Result<Self, Rejection> {
        Self::within(text, field, USER_ID_MAX_BYTES)
    }

    /// Like [`UserId::new`], for a user ID from a caller: at most `max_bytes` long.
    pub fn within(text: &str, field: &str, max_bytes: usize) -> Result<Self, Rejection> {
        if text.is_empty() || text.len() > max_bytes.min(USER_ID_MAX_BYTES) {
            return Err(Rejection::invalid(field, format!("must be 1 to {max_bytes} bytes")));
        }
        if !text.bytes().all(is_user_id_byte) {
            return Err(Rejection::invalid(field, "has a character that a userID may not have"));
        }
        Ok(Self(text.into()))
    }

    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID as text, without a copy.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// Letters, digits, the punctuation that ZIM's typings list, and the space.
const fn is_user_id_byte(byte: u8) -> bool {
    const PUNCTUATION: &[u8] = b"!#$%&()+-:;<=.>?@[]^_{}|~ ";
    /// For each byte whether it is one: each call and each send checks an ID.
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0_u8;
        while byte < 0x80 {
            allowed[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut place = 0;
        while place < PUNCTUATION.len() {
            allowed[PUNCTUATION[place] as usize] = true;
            place += 1;
        }
        allowed
    };
    ALLOWED[byte as usize]
}

impl Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The caller's own ID for a message: 1 to 64 bytes, printable. It identifies a repeated send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalMessageId(Arc<str>);

impl LocalMessageId {
    /// Parses a local message ID, checking its length and characters.
    pub fn new(text: &str) -> Result<Self, Rejection> {
        const FIELD: &str = "message.localMessageID";
        if text.is_empty() || text.len() > LOCAL_MESSAGE_ID_MAX_BYTES {
            return Err(Rejection::invalid(FIELD, "must be 1 to 64 bytes"));
        }
        if !is_line(text) {
            return Err(Rejection::invalid(FIELD, NOT_A_LINE));
        }
        Ok(Self(text.into()))
    }

    /// Parses a local message ID that was accepted earlier, perhaps by a release with weaker
    /// checks; `None` if no release ever accepted it.
    #[must_use]
    pub fn stored(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= LOCAL_MESSAGE_ID_MAX_BYTES;
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.into()))
    }

    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A partition that users are hashed to; below the configured number of partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u16);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The position of a message among all messages: larger is later. Milliseconds since [`EPOCH_MS`] ×
/// [`KEYS_PER_MS`] + a counter; below 2^53 until the year 2095, so that every JSON reader
/// represents it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey(pub u64);

impl OrderKey {
    /// Below every key that a clock assigns.
    pub const ZERO: Self = Self(0);

    /// The first key of a millisecond (since 1970); [`OrderKey::ZERO`] before the epoch.
    #[must_use]
    pub const fn at_ms(unix_ms: u64) -> Self {
        Self(unix_ms.saturating_sub(EPOCH_MS) * KEYS_PER_MS)
    }

    /// The millisecond (since 1970) in the key.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0 / KEYS_PER_MS + EPOCH_MS
    }
}

/// The ID of a message, globally unique forever: order key × 1024 + partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u64);

impl MessageId {
    /// The ID of the message with `key` in `partition`.
    #[must_use]
    pub const fn new(key: OrderKey, partition: Partition) -> Self {
        Self(key.0 * PARTITIONS_MAX as u64 + partition.0 as u64)
    }

    /// Parses the decimal text that callers see. Only the canonical spelling, without sign or
    /// leading zeros, is an ID.
    pub fn parse(text: &str, field: &str) -> Result<Self, Rejection> {
        text.parse::<u64>()
            .ok()
            .map(Self)
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| Rejection::invalid(field, "is not a messageID"))
    }

    /// The ID as a number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The order key in the ID.
    #[must_use]
    pub const fn key(self) -> OrderKey {
        OrderKey(self.0 / PARTITIONS_MAX as u64)
    }

    /// The partition in the ID: that of the message's receiver.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 1024 fits")]
    pub const fn partition(self) -> Partition {
        Partition((self.0 % PARTITIONS_MAX as u64) as u16)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The direction of a message from one user's point of view, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// The user sent it.
    Send = 0,
    /// The user received it.
    Receive = 1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_limited_in_length_and_characters() {
        for good in ["a", "alice", "a.b c", "!#$%&()+-:;<=.>?@[]^_{}|~ ", &"x".repeat(128)] {
            assert!(UserId::new(good, "userID").is_ok(), "{good}");
        }
        for bad in ["", "a*b", "a/b", "a'b", "a\"b", "a,b", "a\\b", "ä", "a\n", &"x".repeat(129)] {
            assert!(UserId::new(bad, "userID").is_err(), "{bad}");
        }
        let within = |length| UserId::within(&"x".repeat(length), "userID", 64);
        assert!(within(64).is_ok());
        assert_eq!(within(65), Err(Rejection::invalid("userID", "must be 1 to 64 bytes")));
    }

    #[test]
    fn a_message_id_holds_its_key_and_partition_and_has_one_spelling() {
        let id = MessageId::new(OrderKey((1 << 53) - 1), Partition(1023));
        assert_eq!(id.key(), OrderKey((1 << 53) - 1));
        assert_eq!(id.partition(), Partition(1023));
        assert_eq!(MessageId::parse(&id.to_string(), "messageID"), Ok(id));
        for bad in ["", "01", "+1", "-1", "1.0", "x", "18446744073709551616"] {
            assert!(MessageId::parse(bad, "messageID").is_err(), "{bad}");
        }
    }
}
