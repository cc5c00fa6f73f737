//! One user's view of the messages between the user and one other.

use std::sync::{Arc, Weak};

use super::deletions::Deletions;
use super::id::{Direction, OrderKey, UserId};
use super::later::LaterFields;
use super::marks::ConversationMarks;
use super::message::Message;
use super::pages::{AmendedPages, page_number};
use super::pins::Pins;
use super::receipt::ReceiptMarks;
use super::repeats::Repeats;
use super::user_info::Profile;

mod head;

pub(crate) use self::head::head_at;
pub use self::head::{Cleared, Head, Mark, PagePointers};

/// Whether a conversation counts in the total and causes pushes, with the SDK's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum NotificationStatus {
    /// It does.
    #[default]
    Notify = 1,
    /// It does not.
    DoNotDisturb = 2,
}

/// The marks of a conversation when its user marked it as unread. It stays marked until the user
/// reads or sends, which changes one of these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkedUnread {
    /// `messageSeq` of the newest message that the user had sent.
    pub sent: u64,
    /// `messageSeq` up to which the user had read.
    pub read: u64,
}

/// The `messageSeq` of the newest messages of a conversation when its user deleted it. The next
/// message brings it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delisted {
    /// The newest message that the user had received.
    pub received: u64,
    /// The newest message that the user had sent.
    pub sent: u64,
}

/// A message of the other's that is being removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removing {
    /// Its `messageSeq`.
    pub seq: u64,
    /// Its order key.
    pub key: OrderKey,
}

/// A user's settings of a conversation, and marks from which counting continues. Stored at first
/// contact and at each change, never per message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The order key of the last change.
    pub changed: OrderKey,
    /// Whether the user ever made a setting: such a conversation exists without messages.
    pub kept: bool,
    /// Muted or not.
    pub notification: NotificationStatus,
    /// When it was pinned, in milliseconds since 1970; 0 when it is not.
    pub pinned_ms: u64,
    /// The text that the user has begun to write.
    pub draft: Option<Arc<str>>,
    /// The user's marks.
    pub marks: ConversationMarks,
    /// The mark up to which the user has read the other's messages.
    pub read: Mark,
    /// Messages past the read mark that count, and that the user deleted or the sender revoked.
    pub deleted_unread: u64,
    /// When the user marked it as unread, if it still is.
    pub marked_unread: Option<MarkedUnread>,
    /// When the user last deleted the conversation, if ever.
    pub delisted: Option<Delisted>,
    /// Received messages up to here are deleted for the user.
    pub cleared_received: Cleared,
    /// Sent messages up to here are deleted for the user.
    pub cleared_sent: Cleared,
    /// Single messages that are deleted for the user.
    pub deleted: Deletions,
    /// The marks of the newest received and sent messages when this was stored: counting continues
    /// above them if retention has emptied the log.
    pub received_mark: Mark,
    /// See `received_mark`.
    pub sent_mark: Mark,
    /// The pages of received messages that may have amendments.
    pub amended_received: AmendedPages,
    /// The pages of sent messages that may have amendments.
    pub amended_sent: AmendedPages,
    /// The removal of a received message that began and may not have ended: the page of amendments
    /// says whether the message was removed.
    pub removing: Option<Removing>,
    /// How far each of the two users has confirmed messages as read.
    pub receipts: ReceiptMarks,
    /// The pinned messages, if the user is their keeper.
    pub pins: Pins,
    /// No message after this one was ever pinned, if the other user is the keeper: up to here, the
    /// keeper's entry says what is pinned.
    pub pinned_up_to: OrderKey,
    /// Fields of a later release.
    pub later: LaterFields,
}

impl Settings {
    /// Notes that the page of a message may have amendments.
    pub fn note_amended(&mut self, direction: Direction, seq: u64) {
        let pages = match direction {
            Direction::Send => &mut self.amended_sent,
            Direction::Receive => &mut self.amended_received,
        };
        pages.insert(page_number(seq));
    }

    /// The position up to which all messages of a direction are deleted for the user.
    #[must_use]
    pub const fn cleared(&self, direction: Direction) -> Cleared {
        match direction {
            Direction::Send => self.cleared_sent,
            Direction::Receive => self.cleared_received,
        }
    }

    /// The pages of a direction that may have amendments.
    #[must_use]
    pub const fn amended(&self, direction: Direction) -> &AmendedPages {
        match direction {
            Direction::Send => &self.amended_sent,
            Direction::Receive => &self.amended_received,
        }
    }
}

/// The other's messages that the store no longer has, by age or because an operator removed them.
/// Known from the oldest remaining message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// The number of counting messages before the oldest remaining one.
    pub counted: u64,
    /// The number of deleted unread messages among them.
    pub deleted: u64,
    /// A time not later than that at which the oldest possibly unread message was stored, in
    /// milliseconds since 1970.
    pub oldest_ms: u64,
}

/// One user's view of the messages with one other.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The newest message that the other sent.
    pub received: Option<Head>,
    /// The newest message that the user sent.
    pub sent: Option<Head>,
    /// The user's settings.
    pub settings: Settings,
    /// The sequence of the settings in the store; 0 if they are not stored.
    pub settings_seq: u64,
    /// The stream sequence of the newest published message of the other. A load may find newer
    /// ones, whose acknowledgements were lost; they are published once the log was read to its end.
    pub published_seq: u64,
    /// The other's recent messages, to recognize repeats.
    pub repeats: Repeats,
    /// The other's messages that the store no longer has.
    pub gone: Gone,
    /// The newest message, as long as another part holds it.
    pub newest: Weak<Message>,
}

impl Conversation {
    /// Whether the user has this conversation: it has messages, or a setting of the user's.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.has_messages() || self.settings.kept
    }

    /// Whether anything was sent in either direction since the user last deleted the conversation.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.has_messages_after(self.settings.delisted.unwrap_or_default())
    }

    /// Whether anything was ever sent in either direction. The other user may still have the
    /// conversation when this one has deleted it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_messages_after(Delisted::default())
    }

    fn has_messages_after(&self, Delisted { received, sent }: Delisted) -> bool {
        let is_message = |head: Option<Head>, after: u64| {
            head.is_some_and(|head| head.is_message() && head.mark.seq > after)
        };
        is_message(self.received, received) || is_message(self.sent, sent)
    }

    /// Whether the user marked it as unread, and has neither read nor sent since.
    #[must_use]
    pub fn is_marked_unread(&self) -> bool {
        self.settings.marked_unread.is_some_and(|at| at == self.marked_unread_now())
    }

    /// The mark of a conversation that is marked as unread now.
    #[must_use]
    pub fn marked_unread_now(&self) -> MarkedUnread {
        MarkedUnread { sent: self.sent_mark().seq, read: self.settings.read.seq }
    }

    /// Skips an unreadable record of the other: the next message is stored after it.
    pub fn pass_over(&mut self, stream_seq: u64) {
        if self.received.is_none_or(|known| known.stream_seq < stream_seq) {
            self.received = Some(Head::past(self.received, 1, stream_seq));
        }
        self.published_seq = self.published_seq.max(stream_seq);
    }

    /// The stored messages of the other that count and were neither read nor deleted.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let Some(newest) = self.stored_received() else { return 0 };
        let counted = newest.mark.counted;
        let not_unread = self.settings.read.counted.max(self.gone.counted);
        let deleted = self.settings.deleted_unread.saturating_sub(self.gone.deleted);
        counted.saturating_sub(not_unread + deleted)
    }

    /// The newest message of the other, as long as the store has one.
    #[must_use]
    pub fn stored_received(&self) -> Option<&Head> {
        self.received.as_ref().filter(|head| head.stream_seq > 0)
    }

    /// The number of the other's messages that have counted, from which the next one continues.
    /// Messages that the store lost are not unread.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.stored_received().map_or_else(
            || self.settings.read.counted + self.settings.deleted_unread,
            |newest| newest.mark.counted.max(self.settings.read.counted),
        )
    }

    /// Notes a message of the other that is about to be taken in: it may be the only stored or
    /// unread one.
    pub fn begins_with(&mut self, head: &Head, counts: bool) {
        if self.stored_received().is_none() {
            self.gone.counted = head.mark.counted.saturating_sub(u64::from(counts));
            self.gone.deleted = self.settings.deleted_unread;
        }
        if self.unread() == 0 {
            self.gone.oldest_ms = head.timestamp_ms;
        }
    }

    /// Moves the head of a direction back to the end of the store, if that is older: the store lost
    /// its end. Numbering continues above the known numbers. Returns whether it was older.
    pub fn move_end_back(&mut self, direction: Direction, end: Option<Head>) -> bool {
        let (slot, mark) = match direction {
            Direction::Send => (&mut self.sent, &mut self.settings.sent_mark),
            Direction::Receive => (&mut self.received, &mut self.settings.received_mark),
        };
        let end_seq = end.map_or(0, |end| end.stream_seq);
        let Some(known) = slot.as_mut().filter(|known| end_seq < known.stream_seq) else {
            return false;
        };
        if known.mark.seq >= mark.seq {
            *mark = known.mark;
        }
        let emptied = Head { stream_seq: 0, page: PagePointers::default(), ..*known };
        *known = end.unwrap_or(emptied);
        self.newest = Weak::new();
        true
    }

    /// The newest message, of which `arrived` is the latest to be acknowledged. Messages that cross
    /// may be acknowledged in another order than that of their keys.
    pub fn newest_with(&mut self, arrived: &Arc<Message>) -> Arc<Message> {
        let known = self.newest.upgrade().filter(|known| known.key > arrived.key);
        known.unwrap_or_else(|| {
            self.newest = Arc::downgrade(arrived);
            arrived.clone()
        })
    }

    /// Whether it is muted: it does not count in the total.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.settings.notification == NotificationStatus::DoNotDisturb
    }

    /// Whether the user pinned it.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.settings.pinned_ms > 0
    }

    /// The mark of the other's newest message.
    #[must_use]
    pub fn received_mark(&self) -> Mark {
        newest_mark(self.received.as_ref(), self.settings.received_mark)
    }

    /// The mark of the user's newest message.
    #[must_use]
    pub fn sent_mark(&self) -> Mark {
        newest_mark(self.sent.as_ref(), self.settings.sent_mark)
    }

    /// The newest message of a direction.
    #[must_use]
    pub const fn head(&self, direction: Direction) -> Option<&Head> {
        match direction {
            Direction::Send => self.sent.as_ref(),
            Direction::Receive => self.received.as_ref(),
        }
    }

    /// Sorts conversations: larger is later.
    #[must_use]
    pub fn order_key(&self) -> OrderKey {
        let newest = |head: &Option<Head>| head.map_or(OrderKey::ZERO, |head| head.key);
        match newest(&self.received).max(newest(&self.sent)) {
            OrderKey::ZERO => self.settings.changed,
            key => key,
        }
    }

    /// Whether the user no longer sees a message.
    #[must_use]
    pub fn hides(&self, direction: Direction, seq: u64) -> bool {
        seq <= self.settings.cleared(direction).seq
            || self.settings.deleted.contains(direction, seq)
    }

    /// The settings as they would be after a change at `key`.
    #[must_use]
    pub fn changed_settings(&self, key: OrderKey, change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings {
            changed: key,
            received_mark: self.received_mark(),
            sent_mark: self.sent_mark(),
            ..self.settings.clone()
        };
        change(&mut settings);
        settings
    }

    /// The settings after the removal of a received message has ended, at `key`. `is_unread`: it
    /// was removed, and had been unread.
    #[must_use]
    pub fn after_removal(&self, key: OrderKey, is_unread: bool) -> Settings {
        self.changed_settings(key, |settings| {
            settings.kept = self.exists();
            settings.removing = None;
            settings.deleted_unread += u64::from(is_unread);
        })
    }

    /// A message of the conversation with `other`, with the receipt and the pin that the user sees.
    fn shown(&self, other: &UserId, mut message: Arc<Message>) -> Arc<Message> {
        let direction = if message.sender == *other { Direction::Receive } else { Direction::Send };
        self.settings.receipts.show_shared(direction, &mut message);
        // Where the other user keeps the pins, the message has its pin already.
        let may_differ = !self.settings.pins.list().is_empty() || message.pinned().is_some();
        if may_differ && *message.other(other) < *other {
            self.settings.pins.show_shared(&mut message);
        }
        message
    }

    /// Takes stored settings, if they are newer than those in memory.
    pub fn adopt_settings(&mut self, settings: Settings, settings_seq: u64) {
        if settings_seq > self.settings_seq {
            if settings.read != self.settings.read {
                self.gone.deleted = 0;
            }
            self.settings = settings;
            self.settings_seq = settings_seq;
            // It may be one of the deleted messages.
            self.newest = Weak::new();
        }
    }

    /// Takes the newest message of the other from a load. If it is new, also if it is the first,
    /// the known repeats are incomplete.
    pub fn adopt_received(&mut self, head: Head) {
        if self.received.is_none_or(|known| known.mark.seq < head.mark.seq) {
            self.repeats = Repeats::default();
        }
        self.adopt_head(Direction::Receive, head);
    }

    /// Takes in a message that the store has acknowledged. Returns the view to publish; `profile`
    /// is the other user's.
    pub fn take_in(
        &mut self,
        direction: Direction,
        message: &Arc<Message>,
        head: Head,
        profile: &Profile,
    ) -> (ConversationEvent, ConversationView) {
        let is_shown = self.exists() && self.has_begun();
        let event = if is_shown { ConversationEvent::Updated } else { ConversationEvent::Added };
        self.adopt_head(direction, head);
        let newest = self.newest_with(message);
        let other = match direction {
            Direction::Send => &message.receiver,
            Direction::Receive => &message.sender,
        };
        (event, ConversationView::new(other, profile, self, Some(newest)))
    }

    /// Takes a stored head, if it is newer than the one in memory: a later message, or the carrier
    /// of the same one, whose content was removed.
    pub fn adopt_head(&mut self, direction: Direction, head: Head) {
        let slot = match direction {
            Direction::Send => &mut self.sent,
            Direction::Receive => &mut self.received,
        };
        let place = |head: Head| (head.mark.seq, head.stream_seq);
        if slot.is_none_or(|known| place(known) < place(head)) {
            if slot.is_some_and(|known| known.mark.seq == head.mark.seq) {
                self.newest = Weak::new();
            }
            *slot = Some(head);
        }
    }

    /// Takes in a message of the other of which the log has only a carrier. Nothing is published.
    pub fn take_in_removed(&mut self, head: Head, counts: bool) {
        if self.received.is_none_or(|known| known.mark.seq < head.mark.seq) {
            self.begins_with(&head, counts);
        }
        self.adopt_head(Direction::Receive, head);
        self.published_seq = self.published_seq.max(head.stream_seq);
    }
}

fn newest_mark(head: Option<&Head>, stored: Mark) -> Mark {
    head.map(|head| head.mark).filter(|mark| mark.seq >= stored.seq).unwrap_or(stored)
}

/// The kind of change of a conversation, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConversationEvent {
    /// It is new.
    Added = 0,
    /// It changed.
    Updated = 1,
    /// It can no longer be used.
    Disabled = 2,
    /// It was deleted.
    Deleted = 3,
}

/// A conversation as published to its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationView {
    /// The other user.
    pub id: UserId,
    /// The other user's name; the ID where there is none.
    pub name: Arc<str>,
    /// The URL of the other user's avatar.
    pub avatar_url: Option<Arc<str>>,
    /// Muted or not.
    pub notification: NotificationStatus,
    /// Unread messages.
    pub unread: u64,
    /// The newest message that the user still sees.
    pub last_message: Option<Arc<Message>>,
    /// Sorts conversations: larger is later.
    pub order_key: OrderKey,
    /// When it was pinned; 0 when it is not.
    pub pinned_ms: u64,
    /// The text that the user has begun to write.
    pub draft: Option<Arc<str>>,
    /// The user's marks.
    pub marks: ConversationMarks,
    /// The `messageSeq` up to which the user has read.
    pub read_seq: u64,
    /// Whether the user marked it as unread.
    pub is_marked_unread: bool,
}

impl ConversationView {
    /// The view of a conversation that is published.
    #[must_use]
    pub fn new(
        id: &UserId,
        Profile { name, avatar_url }: &Profile,
        conversation: &Conversation,
        last_message: Option<Arc<Message>>,
    ) -> Self {
        let last_message = last_message.map(|message| conversation.shown(id, message));
        Self {
            id: id.clone(),
            name: if name.is_empty() { id.shared() } else { name.as_str().into() },
            avatar_url: avatar_url.clone(),
            notification: conversation.settings.notification,
            unread: conversation.unread(),
            last_message,
            order_key: conversation.order_key(),
            pinned_ms: conversation.settings.pinned_ms,
            draft: conversation.settings.draft.clone(),
            marks: conversation.settings.marks,
            read_seq: conversation.settings.read.seq,
            is_marked_unread: conversation.is_marked_unread(),
        }
    }
}

#[cfg(test)]
mod tests;
