//! One user's view of the messages between the user and one other.

use std::sync::{Arc, Weak};

use super::amendment::{AmendedPages, page_number};
use super::deletions::Deletions;
use super::id::{OrderKey, UserId};
use super::later::LaterFields;
use super::marks::ConversationMarks;
use super::message::{Direction, Message};
use super::repeats::Repeats;
use super::user_info::Profile;

mod head;

pub use self::head::{Cleared, Head, Mark, PagePointers};

/// Whether a conversation moves the total and wakes the user, with the SDK's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum NotificationStatus {
    /// It does.
    #[default]
    Notify = 1,
    /// It does not.
    DoNotDisturb = 2,
}

/// How far a conversation had come when its user marked it as unread. It stays so until the user reads
/// or sends: then one of these numbers is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkedUnread {
    /// `messageSeq` of the newest message that the user had sent.
    pub sent: u64,
    /// `messageSeq` up to which the user had read.
    pub read: u64,
}

/// How far the messages of a conversation had come, by `messageSeq`, when its user deleted it. It is
/// there again with the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What a user decided about a conversation, plus marks to count on from. Stored at first contact
/// and at each change, never per message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Order key of the last change.
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
    /// How far the user has read what the other sent.
    pub read: Mark,
    /// Messages past the read mark that count, and that the user deleted or the sender revoked.
    pub deleted_unread: u64,
    /// Where the user marked it as unread, if that is still so.
    pub marked_unread: Option<MarkedUnread>,
    /// Where the user deleted the conversation, if that ever happened.
    pub delisted: Option<Delisted>,
    /// What the user received up to here is gone for the user.
    pub cleared_received: Cleared,
    /// What the user sent up to here is gone for the user.
    pub cleared_sent: Cleared,
    /// Single messages that are gone for the user.
    pub deleted: Deletions,
    /// The newest received and sent messages when this was stored: counting goes on above them
    /// when retention has emptied the log.
    pub received_mark: Mark,
    /// See `received_mark`.
    pub sent_mark: Mark,
    /// Which pages of what the user received may have amendments.
    pub amended_received: AmendedPages,
    /// Which pages of what the user sent may have amendments.
    pub amended_sent: AmendedPages,
    /// The removal of a received message that began and may not have ended: the page of amendments
    /// says whether the message was removed.
    pub removing: Option<Removing>,
    /// What a later release stored besides.
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

    /// How far all messages of a direction are gone for the user.
    #[must_use]
    pub const fn cleared(&self, direction: Direction) -> Cleared {
        match direction {
            Direction::Send => self.cleared_sent,
            Direction::Receive => self.cleared_received,
        }
    }

    /// Which pages of a direction may have amendments.
    #[must_use]
    pub const fn amended(&self, direction: Direction) -> &AmendedPages {
        match direction {
            Direction::Send => &self.amended_sent,
            Direction::Receive => &self.amended_received,
        }
    }
}

/// What the store no longer has of what the other sent: by age, or because an operator removed it.
/// Known from the oldest message that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// How many messages that counted came before the oldest that is left.
    pub counted: u64,
    /// How many of the deleted unread messages were among them.
    pub deleted: u64,
    /// When the oldest message that may be unread was stored, or earlier, in milliseconds since 1970.
    pub oldest_ms: u64,
}

/// One user's view of the messages with one other.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The newest message that the other sent.
    pub received: Option<Head>,
    /// The newest message that the user sent.
    pub sent: Option<Head>,
    /// What the user decided.
    pub settings: Settings,
    /// Where the store has the settings; 0 when it does not.
    pub settings_seq: u64,
    /// Where the store has the newest message of the other's that was published. A load may find newer
    /// ones, whose acknowledgement was lost: they are published when the log is caught up with.
    pub published_seq: u64,
    /// What the other sent lately, to recognize repeats.
    pub repeats: Repeats,
    /// What the store no longer has of what the other sent.
    pub gone: Gone,
    /// The newest message, for as long as somebody else holds it.
    pub newest: Weak<Message>,
}

impl Conversation {
    /// Whether the user has this conversation: it has messages, or a setting of the user's.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.has_messages() || self.settings.kept
    }

    /// Whether anything was sent either way, since the user deleted the conversation if that ever
    /// happened.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        let (received, sent) = self.settings.delisted.map_or((0, 0), |at| (at.received, at.sent));
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

    /// Passes over a record of the other's that cannot be read: what comes next is stored after it.
    pub fn pass_over(&mut self, stream_seq: u64) {
        if self.received.is_none_or(|known| known.stream_seq < stream_seq) {
            self.received = Some(Head::past(self.received, 1, stream_seq));
        }
        self.published_seq = self.published_seq.max(stream_seq);
    }

    /// Messages of the other's that are stored, count, and were neither read nor deleted.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let Some(newest) = self.stored_received() else { return 0 };
        let counted = newest.mark.counted;
        let not_unread = self.settings.read.counted.max(self.gone.counted);
        let deleted = self.settings.deleted_unread.saturating_sub(self.gone.deleted);
        counted.saturating_sub(not_unread + deleted)
    }

    /// The newest message that the other sent, as long as the store has one.
    #[must_use]
    pub fn stored_received(&self) -> Option<&Head> {
        self.received.as_ref().filter(|head| head.stream_seq > 0)
    }

    /// How many messages of the other's have counted, for the next one to go on from. What the store
    /// lost is not unread.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.stored_received().map_or_else(
            || self.settings.read.counted + self.settings.deleted_unread,
            |newest| newest.mark.counted.max(self.settings.read.counted),
        )
    }

    /// Takes note of a message of the other's that is about to be taken in: it may be the only one that
    /// is stored, or unread.
    pub fn begins_with(&mut self, head: &Head, counts: bool) {
        if self.stored_received().is_none() {
            self.gone.counted = head.mark.counted.saturating_sub(u64::from(counts));
            self.gone.deleted = self.settings.deleted_unread;
        }
        if self.unread() == 0 {
            self.gone.oldest_ms = head.timestamp_ms;
        }
    }

    /// Takes what the store ends with, in a direction, where that is older than what is known: it lost
    /// the end. Numbering goes on above what is known. Answers whether it is so.
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

    /// Whether it is left out of the total.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.settings.notification == NotificationStatus::DoNotDisturb
    }

    /// Whether the user pinned it.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.settings.pinned_ms > 0
    }

    /// How far the other has sent.
    #[must_use]
    pub fn received_mark(&self) -> Mark {
        newest_mark(self.received.as_ref(), self.settings.received_mark)
    }

    /// How far the user has sent.
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

    /// The settings after the removal of a received message has ended, at `key`. `is_unread`: it was
    /// removed, and had been unread.
    #[must_use]
    pub fn after_removal(&self, key: OrderKey, is_unread: bool) -> Settings {
        self.changed_settings(key, |settings| {
            settings.kept = self.exists();
            settings.removing = None;
            settings.deleted_unread += u64::from(is_unread);
        })
    }

    /// Takes the settings that the store has, if they are newer than those at hand.
    pub fn adopt_settings(&mut self, settings: Settings, settings_seq: u64) {
        if settings_seq > self.settings_seq {
            if settings.read != self.settings.read {
                self.gone.deleted = 0;
            }
            self.settings = settings;
            self.settings_seq = settings_seq;
            // It may be among what was deleted.
            self.newest = Weak::new();
        }
    }

    /// Takes the newest message of the other's as a load finds it. Where it is news, the first one
    /// too, the repeats at hand are not all.
    pub fn adopt_received(&mut self, head: Head) {
        if self.received.is_none_or(|known| known.mark.seq < head.mark.seq) {
            self.repeats = Repeats::default();
        }
        self.adopt_head(Direction::Receive, head);
    }

    /// Takes in a message that the store has acknowledged. Answers what is published of the
    /// conversation; `profile` is the other's.
    pub fn take_in(
        &mut self,
        direction: Direction,
        message: &Arc<Message>,
        head: Head,
        profile: &Profile,
    ) -> (ConversationEvent, ConversationView) {
        let event =
            if self.has_messages() { ConversationEvent::Updated } else { ConversationEvent::Added };
        self.adopt_head(direction, head);
        let newest = self.newest_with(message);
        let other = match direction {
            Direction::Send => &message.receiver,
            Direction::Receive => &message.sender,
        };
        (event, ConversationView::new(other, profile, self, Some(newest)))
    }

    /// Takes a head that the store has, if it is newer than the one at hand: a later message, or the
    /// carrier of the same one, whose content is gone.
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

    /// Takes in a message of the other's of which the log has a carrier only: nothing is published.
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

/// What happened to a conversation, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConversationEvent {
    /// It is new.
    Added = 0,
    /// It changed.
    Updated = 1,
    /// It can no longer be used.
    Disabled = 2,
    /// It is gone.
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
    /// How far the user has read.
    pub read_seq: u64,
    /// Whether the user marked it as unread.
    pub is_marked_unread: bool,
}

impl ConversationView {
    /// What is published of a conversation.
    #[must_use]
    pub fn new(
        id: &UserId,
        Profile { name, avatar_url }: &Profile,
        conversation: &Conversation,
        last_message: Option<Arc<Message>>,
    ) -> Self {
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
