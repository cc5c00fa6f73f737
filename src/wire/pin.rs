//! Changes of pinned messages as sent between the owners of the two users, and their answers.

use serde::{Deserialize, Serialize};

use super::packed::RecordError;
use peerd_core::id::OrderKey;
use peerd_core::pins::{PinChange, PinStatus, PinnedId};

const KIND: &str = "change of pinned messages";

/// A part of a change of pinned messages, for the owner of the other user.
#[derive(Serialize, Deserialize)]
pub enum PinPart {
    /// The caller, who keeps the pins, is about to pin the message with this order key, or to remove
    /// a pin (0): note that messages up to it may be pinned, unless the user has blocked the caller.
    #[serde(rename = "1")]
    Announce(u64),
    /// Decide and store the change: the user keeps the pins.
    #[serde(rename = "2")]
    Store(StorePart),
    /// The caller, who keeps the pins, has changed them: publish it to the user.
    #[serde(rename = "3")]
    Publish(PinsChanged),
}

/// The change that a caller makes who does not keep the pins.
#[derive(Serialize, Deserialize)]
pub struct StorePart {
    key: u64,
    from_keeper: bool,
    is_pinned: bool,
    replaces: bool,
}

/// Pins that changed, and the sequence of the keeper's entry in its state stream. Nothing, as the
/// answer to other parts.
#[derive(Default, Serialize, Deserialize)]
pub struct PinsChanged {
    /// Order key, whether the keeper sent the message, the number of the status.
    changes: Vec<(u64, bool, u8)>,
    /// The sequence of the keeper's entry in its state stream.
    pub state_seq: u64,
}

impl StorePart {
    /// The change of a caller who does not keep the pins.
    #[must_use]
    pub const fn new(change: &PinChange) -> Self {
        let PinChange { message, is_pinned, replaces, .. } = *change;
        Self { key: message.key.0, from_keeper: message.from_keeper, is_pinned, replaces }
    }

    /// The change.
    #[must_use]
    pub const fn into_change(self) -> PinChange {
        let Self { key, from_keeper, is_pinned, replaces } = self;
        let message = PinnedId { key: OrderKey(key), from_keeper };
        PinChange { message, by_keeper: false, is_pinned, replaces }
    }
}

impl PinsChanged {
    /// These pins changed.
    #[must_use]
    pub fn new(changes: &[(PinnedId, PinStatus)], state_seq: u64) -> Self {
        let change = |(PinnedId { key, from_keeper }, status): &(PinnedId, PinStatus)| {
            (key.0, *from_keeper, *status as u8)
        };
        Self { changes: changes.iter().map(change).collect(), state_seq }
    }

    /// The messages whose pins changed, and how.
    pub fn into_changes(self) -> Result<Vec<(PinnedId, PinStatus)>, RecordError> {
        let change = |(key, from_keeper, status)| {
            let status = PinStatus::from_number(status);
            let status = status.ok_or_else(|| RecordError::new(KIND, "its status"))?;
            Ok((PinnedId { key: OrderKey(key), from_keeper }, status))
        };
        self.changes.into_iter().map(change).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_were_written() {
        let message = PinnedId { key: OrderKey(7), from_keeper: true };
        let change = PinChange { message, by_keeper: false, is_pinned: true, replaces: false };
        let written = rmp_serde::to_vec(&StorePart::new(&change)).expect("written");
        let read: StorePart = rmp_serde::from_slice(&written).expect("read");
        assert_eq!(read.into_change(), change);

        let changes = [(message, PinStatus::Updated)];
        let written = rmp_serde::to_vec(&PinsChanged::new(&changes, 9)).expect("written");
        let read: PinsChanged = rmp_serde::from_slice(&written).expect("read");
        assert_eq!((read.state_seq, read.into_changes().expect("valid")), (9, changes.to_vec()));
        let unknown = PinsChanged { changes: vec![(7, true, 3)], state_seq: 9 };
        assert!(unknown.into_changes().is_err());
    }
}
