//! Decides which messages of a conversation are pinned: one list for both users.
//!
//! The list is kept at one of the two users, the *keeper*, so that one owner decides and both users
//! see the same. Positions are order keys, which are never assigned again.

use std::sync::Arc;

use super::id::OrderKey;
use super::limits::PINNED_MESSAGES_MAX;
use super::message::{Message, Pinned};
use super::rejection::Rejection;

/// A pinned message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The message.
    pub message: PinnedId,
    /// Whether the keeper pinned it; otherwise the other user did.
    pub by_keeper: bool,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A message of a conversation: its direction and its order key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PinnedId {
    /// Its order key.
    pub key: OrderKey,
    /// Whether the keeper sent it; otherwise the other user did.
    pub from_keeper: bool,
}

/// The pinned messages of a conversation, in the order in which they were pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    list: Vec<Pin>,
}

/// How the pin of a message changed, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PinStatus {
    /// It is no longer pinned.
    NotPinned = 0,
    /// It was pinned.
    Pinned = 1,
    /// It was pinned again.
    Updated = 2,
}

impl PinStatus {
    /// The status with the SDK's number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::NotPinned,
            1 => Self::Pinned,
            2 => Self::Updated,
            _ => return None,
        })
    }
}

/// A message whose pin changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinInfo {
    /// How.
    pub status: PinStatus,
    /// The message after the change.
    pub message: Arc<Message>,
}

/// A change that a user wants to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinChange {
    /// The message.
    pub message: PinnedId,
    /// Whether the keeper makes the change.
    pub by_keeper: bool,
    /// Whether to pin it; otherwise its pin is removed.
    pub is_pinned: bool,
    /// Whether the oldest pin makes room for one too many.
    pub replaces: bool,
}

impl PinnedId {
    /// The identity of a message.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self { key: message.key, from_keeper: message.sender < message.receiver }
    }
}

impl Pins {
    /// Composes the list, in the order in which the messages were pinned.
    #[must_use]
    pub const fn new(list: Vec<Pin>) -> Self {
        Self { list }
    }

    /// All of them, in the order in which they were pinned.
    #[must_use]
    pub fn list(&self) -> &[Pin] {
        &self.list
    }

    /// Whether one more replaces another.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.list.len() >= PINNED_MESSAGES_MAX
    }

    /// Decides a change at `now_ms` (milliseconds since 1970): the new list, and the messages whose
    /// pins change. `gone`: pinned messages that are there no longer, whose pins make room first.
    pub fn decide(
        &self,
        change: PinChange,
        now_ms: u64,
        gone: &[PinnedId],
    ) -> Result<(Self, Vec<(PinnedId, PinStatus)>), Rejection> {
        let PinChange { message, by_keeper, is_pinned, replaces } = change;
        let mut list = self.list.clone();
        let known = list.iter().position(|pin| pin.message == message);
        if let Some(known) = known {
            list.remove(known);
        }
        if !is_pinned {
            known.ok_or(Rejection::NotPinned)?;
            return Ok((Self { list }, vec![(message, PinStatus::NotPinned)]));
        }
        let status = if known.is_some() { PinStatus::Updated } else { PinStatus::Pinned };
        let mut changes = vec![(message, status)];
        if list.len() >= PINNED_MESSAGES_MAX {
            list.retain(|pin| !gone.contains(&pin.message));
        }
        if list.len() >= PINNED_MESSAGES_MAX {
            if !replaces {
                return Err(Rejection::TooManyPinnedMessages);
            }
            let surplus = list.len() + 1 - PINNED_MESSAGES_MAX;
            let oldest = list.drain(..surplus);
            changes.extend(oldest.map(|pin| (pin.message, PinStatus::NotPinned)));
        }
        // Times ascend, whatever the clocks of two owners say.
        let newest_ms = self.list.iter().map(|pin| pin.at_ms).max().unwrap_or_default();
        list.push(Pin { message, by_keeper, at_ms: now_ms.max(newest_ms + 1) });
        Ok((Self { list }, changes))
    }

    /// The state of a change that was made to a message, by the list as it is now: another change
    /// may have come since.
    #[must_use]
    pub fn status_now(&self, message: PinnedId, status: PinStatus) -> PinStatus {
        let is_pinned = self.list.iter().any(|pin| pin.message == message);
        match status {
            _ if !is_pinned => PinStatus::NotPinned,
            PinStatus::NotPinned => PinStatus::Pinned,
            PinStatus::Pinned | PinStatus::Updated => status,
        }
    }

    /// Shows whether a message is pinned.
    pub fn show(&self, message: &mut Message) {
        let pinned = self.pin_of(message);
        if pinned != message.pinned() {
            message.annotations.get_or_insert_default().pinned = pinned;
        }
    }

    /// Shows whether a shared message is pinned: only if it does not say so, it is copied.
    pub fn show_shared(&self, message: &mut Arc<Message>) {
        if self.pin_of(message) != message.pinned() {
            self.show(Arc::make_mut(message));
        }
    }

    /// A revoked message has lost its pin.
    fn pin_of(&self, message: &Message) -> Option<Pinned> {
        if self.list.is_empty() || message.revoked().is_some() {
            return None;
        }
        let id = PinnedId::of(message);
        let pin = self.list.iter().find(|pin| pin.message == id)?;
        Some(Pinned { by_sender: pin.by_keeper == id.from_keeper, at_ms: pin.at_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(key: u64) -> PinnedId {
        PinnedId { key: OrderKey(key), from_keeper: true }
    }

    const fn change(key: u64, is_pinned: bool, replaces: bool) -> PinChange {
        PinChange { message: id(key), by_keeper: false, is_pinned, replaces }
    }

    fn keys(pins: &Pins) -> Vec<u64> {
        pins.list().iter().map(|pin| pin.message.key.0).collect()
    }

    fn full() -> Pins {
        let mut pins = Pins::default();
        for key in 1..=PINNED_MESSAGES_MAX as u64 {
            pins = pins.decide(change(key, true, false), 7, &[]).expect("pinned").0;
        }
        pins
    }

    #[test]
    fn pinning_again_updates_the_time_and_moves_the_pin_to_the_end() {
        let (pins, changes) = full().decide(change(1, true, false), 50, &[]).expect("pinned");
        assert_eq!(changes, [(id(1), PinStatus::Updated)]);
        assert_eq!(keys(&pins), [2, 3, 4, 5, 6, 7, 8, 9, 10, 1]);
        assert_eq!(pins.list().last().map(|pin| pin.at_ms), Some(50));
        let times = pins.list().iter().map(|pin| pin.at_ms);
        assert!(times.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn one_too_many_replaces_the_oldest_or_is_refused() {
        let refused = full().decide(change(11, true, false), 50, &[]);
        assert_eq!(refused, Err(Rejection::TooManyPinnedMessages));
        let (pins, changes) = full().decide(change(11, true, true), 50, &[]).expect("pinned");
        assert_eq!(changes, [(id(11), PinStatus::Pinned), (id(1), PinStatus::NotPinned)]);
        assert_eq!(keys(&pins), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn pins_of_messages_that_are_gone_make_room_first() {
        let gone = [id(4), id(9)];
        let (pins, changes) = full().decide(change(11, true, false), 50, &gone).expect("pinned");
        assert_eq!(changes, [(id(11), PinStatus::Pinned)]);
        assert_eq!(keys(&pins), [1, 2, 3, 5, 6, 7, 8, 10, 11]);
    }

    #[test]
    fn only_a_pin_can_be_removed() {
        let (pins, changes) = full().decide(change(3, false, true), 50, &[]).expect("unpinned");
        assert_eq!(changes, [(id(3), PinStatus::NotPinned)]);
        assert_eq!(pins.decide(change(3, false, true), 51, &[]), Err(Rejection::NotPinned));
        // The same key in the other direction is another message.
        let other = PinnedId { from_keeper: false, ..id(4) };
        let change = PinChange { message: other, ..change(4, false, true) };
        assert_eq!(pins.decide(change, 51, &[]), Err(Rejection::NotPinned));
    }

    #[test]
    fn a_status_is_that_of_the_list_as_it_is_now() {
        let pins = full();
        assert_eq!(pins.status_now(id(1), PinStatus::Updated), PinStatus::Updated);
        assert_eq!(pins.status_now(id(1), PinStatus::NotPinned), PinStatus::Pinned);
        assert_eq!(pins.status_now(id(99), PinStatus::Pinned), PinStatus::NotPinned);
    }
}
