//! A change of a stored message as sent to the owner of the log, and the owner's answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use peerd_core::amend::Operation;
use peerd_core::id::OrderKey;
use peerd_protocol::packed::ContentV1;

/// Change a message from the caller to the user whose owner receives this.
#[derive(Serialize, Deserialize)]
pub struct AmendPart {
    key: u64,
    operation: OperationV1,
}

#[derive(Serialize, Deserialize)]
enum OperationV1 {
    /// The text that accompanies the revocation.
    #[serde(rename = "1")]
    Revoke(String),
    /// Content, the text that accompanies the message, and the expected time of its last edit.
    #[serde(rename = "2")]
    Edit(ContentV1, String, Option<u64>),
}

impl AmendPart {
    /// The change of the message with this order key.
    #[must_use]
    pub fn new(key: OrderKey, operation: &Operation) -> Self {
        let operation = match operation {
            Operation::Revoke { extended_data } => OperationV1::Revoke(extended_data.clone()),
            Operation::Edit { content, extended_data, expected_edited_ms } => {
                OperationV1::Edit(content.into(), extended_data.clone(), *expected_edited_ms)
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
        };
        (OrderKey(self.key), operation)
    }
}

/// The result.
#[derive(Serialize, Deserialize)]
pub struct AmendAnswer {
    /// Its amendment as it is stored; `None` if nothing changed.
    #[serde(with = "serde_bytes")]
    pub amendment: Option<Vec<u8>>,
    /// The sequence of the page of amendments in the state stream.
    pub state_seq: u64,
    /// The sequence of the message's carrier in the log; 0 if there is none.
    pub carrier_seq: u64,
}

impl AmendAnswer {
    /// Nothing changed.
    #[must_use]
    pub const fn unchanged() -> Self {
        Self { amendment: None, state_seq: 0, carrier_seq: 0 }
    }

    /// The amendment of the message, as it is stored.
    #[must_use]
    pub fn amended(amendment: &Bytes, state_seq: u64, carrier_seq: u64) -> Self {
        Self { amendment: Some(amendment.to_vec()), state_seq, carrier_seq }
    }
}
