//! Changes of stored messages as sent between the owners of the two users, and their answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::packed::RecordError;
use peerd_core::amend::{Notice, Operation};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::reaction::ReactionChange;
use peerd_core::reply::RepliesUpTo;
use peerd_protocol::packed::ContentV1;

const KIND: &str = "change of a message";

/// A part of a change of messages, for the owner of the other user.
#[derive(Serialize, Deserialize)]
pub enum AmendPart {
    /// Change a message from the caller to the user.
    #[serde(rename = "1")]
    Store(StorePart),
    /// The caller is about to change messages that the user sent, with these `messageSeq`s: note
    /// that their pages may have amendments, unless the user has blocked the caller.
    #[serde(rename = "2")]
    Announce(Vec<u64>),
    /// The caller has changed messages that the user sent: publish it to the user.
    #[serde(rename = "3")]
    Publish(PublishPart),
}

/// Change a message from the caller to the user.
#[derive(Serialize, Deserialize)]
pub struct StorePart {
    key: u64,
    operation: OperationV1,
}

/// Publish that messages were changed.
#[derive(Serialize, Deserialize)]
pub struct PublishPart {
    keys: Vec<u64>,
    notice: NoticeV1,
    /// The sequence of the newest page of amendments in the state stream.
    pub state_seq: u64,
}

#[derive(Serialize, Deserialize)]
enum OperationV1 {
    /// The text that accompanies the revocation.
    #[serde(rename = "1")]
    Revoke(String),
    /// Content, the text that accompanies the message, and the expected time of its last edit.
    #[serde(rename = "2")]
    Edit(ContentV1, String, Option<u64>),
    /// A type of reaction, and how often.
    #[serde(rename = "3")]
    React(String, u64),
    /// A type of reaction.
    #[serde(rename = "4")]
    Unreact(String),
    #[serde(rename = "5")]
    UnreactAll,
    #[serde(rename = "20")]
    Read,
    /// The `messageSeq` of the caller's message after which a reply may come, whether the message is
    /// the original, and for a root the replies up to a place.
    #[serde(rename = "30")]
    NoteReply(u64, bool, Option<(u64, u64, u64)>),
}

#[derive(Serialize, Deserialize)]
enum NoticeV1 {
    #[serde(rename = "1")]
    Revoked,
    #[serde(rename = "2")]
    Edited,
    /// The user who reacted, the types, and whether reactions were added.
    #[serde(rename = "3")]
    Reactions(String, Vec<String>, bool),
    #[serde(rename = "20")]
    Read,
    #[serde(rename = "30")]
    Replied,
}

impl NoticeV1 {
    fn new(notice: &Notice) -> Self {
        match notice {
            Notice::Revoked => Self::Revoked,
            Notice::Edited => Self::Edited,
            Notice::Read => Self::Read,
            Notice::Replied => Self::Replied,
            Notice::Reactions(ReactionChange { by, kinds, is_added }) => {
                Self::Reactions(by.as_str().to_owned(), kinds.clone(), *is_added)
            }
        }
    }

    fn into_notice(self) -> Result<Notice, RecordError> {
        Ok(match self {
            Self::Revoked => Notice::Revoked,
            Self::Edited => Notice::Edited,
            Self::Read => Notice::Read,
            Self::Replied => Notice::Replied,
            Self::Reactions(by, kinds, is_added) => {
                let by = UserId::new(&by, "userID");
                let by = by.map_err(|_| RecordError::new(KIND, "its user"))?;
                Notice::Reactions(ReactionChange { by, kinds, is_added })
            }
        })
    }
}

impl StorePart {
    /// The change of the message with this order key.
    #[must_use]
    pub fn new(key: OrderKey, operation: &Operation) -> Self {
        let operation = match operation {
            Operation::Revoke { extended_data } => OperationV1::Revoke(extended_data.clone()),
            Operation::Edit { content, extended_data, expected_edited_ms } => {
                OperationV1::Edit(content.into(), extended_data.clone(), *expected_edited_ms)
            }
            Operation::React { kind, increase } => OperationV1::React(kind.clone(), *increase),
            Operation::Unreact { kind } => OperationV1::Unreact(kind.clone()),
            Operation::UnreactAll => OperationV1::UnreactAll,
            Operation::Read => OperationV1::Read,
            Operation::NoteReply { after, to_original, counted } => {
                let up_to = |it: &RepliesUpTo| (it.seq, it.stream_seq, it.count);
                OperationV1::NoteReply(*after, *to_original, counted.as_ref().map(up_to))
            }
        };
        Self { key: key.0, operation }
    }

    /// The order key of the message, and the change.
    #[must_use]
    pub fn into_operation(self) -> (OrderKey, Operation) {
        let operation = match self.operation {
            OperationV1::Revoke(extended_data) => Operation::Revoke { extended_data },
            OperationV1::Edit(content, extended_data, expected_edited_ms) => {
                Operation::Edit { content: content.into(), extended_data, expected_edited_ms }
            }
            OperationV1::React(kind, increase) => Operation::React { kind, increase },
            OperationV1::Unreact(kind) => Operation::Unreact { kind },
            OperationV1::UnreactAll => Operation::UnreactAll,
            OperationV1::Read => Operation::Read,
            OperationV1::NoteReply(after, to_original, counted) => {
                let up_to = |(seq, stream_seq, count)| RepliesUpTo { seq, stream_seq, count };
                Operation::NoteReply { after, to_original, counted: counted.map(up_to) }
            }
        };
        (OrderKey(self.key), operation)
    }
}

impl PublishPart {
    /// The changed messages with these order keys.
    #[must_use]
    pub fn new(keys: &[OrderKey], notice: &Notice, state_seq: u64) -> Self {
        let keys = keys.iter().map(|key| key.0).collect();
        Self { keys, notice: NoticeV1::new(notice), state_seq }
    }

    /// The order keys of the messages, and the change.
    pub fn into_notice(self) -> Result<(Vec<OrderKey>, Notice), RecordError> {
        let notice = self.notice.into_notice()?;
        Ok((self.keys.into_iter().map(OrderKey).collect(), notice))
    }
}

/// The answer to a part.
#[derive(Serialize, Deserialize)]
pub struct AmendAnswer {
    /// The message's amendment as it is stored; `None` if nothing changed.
    #[serde(with = "serde_bytes")]
    pub amendment: Option<Vec<u8>>,
    notice: Option<NoticeV1>,
    /// The sequence of the page of amendments in the state stream.
    pub state_seq: u64,
    /// The sequence of the message's carrier in the log; 0 if there is none.
    pub carrier_seq: u64,
}

impl AmendAnswer {
    /// No message was changed.
    #[must_use]
    pub const fn unchanged() -> Self {
        Self { amendment: None, notice: None, state_seq: 0, carrier_seq: 0 }
    }

    /// A message was changed: its amendment as it is stored, and the change.
    #[must_use]
    pub fn amended(amendment: &Bytes, notice: &Notice, state_seq: u64, carrier_seq: u64) -> Self {
        let (amendment, notice) = (Some(amendment.to_vec()), Some(NoticeV1::new(notice)));
        Self { amendment, notice, state_seq, carrier_seq }
    }

    /// The change of the message.
    pub fn take_notice(&mut self) -> Result<Notice, RecordError> {
        let notice = self.notice.take().ok_or_else(|| RecordError::new(KIND, "its change"))?;
        notice.into_notice()
    }
}
