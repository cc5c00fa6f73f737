//! One user's view of the messages between the user and one other.

use std::sync::{Arc, Weak};

use super::amendment::{AmendedPages, page_number};
use super::deletions::Deletions;
use super::id::{OrderKey, UserId};
use super::later::LaterFields;
use super::limits::PAGE_MESSAGES;
use super::marks::ConversationMarks;
use super::message::{Direction, Message};
use super::repeats::Repeats;
use super::user_info::Profile;

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

/// How far into the messages of one direction something reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// `messageSeq` of the last message.
    pub seq: u64,
    /// How many of the messages up to there count as unread until read.
    pub counted: u64,
}

/// How far a user deleted all messages of one direction. By direction, since a message of the other
/// direction may be on its way with a lower order key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// `messageSeq` of the last message that is gone.
    pub seq: u64,
    /// Its order key: from here on history is read.
    pub key: OrderKey,
}

/// Stream sequences that make a page of history one read: of the first message of a message's own
/// page, and of the page before (0: there is none). Never handed out to callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagePointers {
    /// First message of the own page.
    pub first: u64,
    /// First message of the page before.
    pub previous: u64,
}

/// The newest message of one direction. It carries all that is needed to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its sequence, and how many so far count as unread until read.
    pub mark: Mark,
    /// Its order key.
    pub key: OrderKey,
    /// When it was accepted, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Where the store has it. 0 when the store no longer has any message of this direction.
    pub stream_seq: u64,
    /// Its page.
    pub page: PagePointers,
}

impl Head {
    /// Stands before the first message of a direction: reading begins at the start.
    pub const BEFORE_FIRST: Self = Self {
        mark: Mark { seq: 0, counted: 0 },
        key: OrderKey::ZERO,
        timestamp_ms: 0,
        stream_seq: 1,
        page: PagePointers { first: 1, previous: 0 },
    };

    /// Whether a message is shown where this is the newest that is known. One that the user receives
    /// is not, while its acknowledgement is on its way: it is counted and published with that. One that the
    /// user sent may have been answered by an owner before, and be known here a moment later.
    #[must_use]
    pub const fn shows(&self, direction: Direction, seq: u64) -> bool {
        matches!(direction, Direction::Send) || seq <= self.mark.seq
    }

    /// How many messages its page has up to this one. Where retention had emptied the log, and
    /// counting went on above it, the page may begin later, and have fewer.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 32 fits")]
    pub const fn in_page(&self) -> usize {
        (self.mark.seq.saturating_sub(1) % PAGE_MESSAGES as u64) as usize + 1
    }

    /// The head where `count` records after `before` cannot be read, the last of them at `stream_seq`:
    /// each may have been a message, so that none of their `messageSeq` is given again. None counts.
    #[must_use]
    pub fn past(before: Option<Self>, count: u64, stream_seq: u64) -> Self {
        let before = before.unwrap_or(Self {
            mark: Mark::default(),
            key: OrderKey::ZERO,
            timestamp_ms: 0,
            stream_seq: 0,
            page: PagePointers::default(),
        });
        let Mark { seq, counted } = before.mark;
        Self { mark: Mark { seq: seq + count, counted }, stream_seq, ..before }
    }

    /// Whether it stands for a message, as opposed to what cannot be read alone.
    const fn is_message(&self) -> bool {
        self.key.0 > OrderKey::ZERO.0
    }

    /// The pointers that the message after this one carries. 0 as `first` means "this message":
    /// a record that opens a page cannot know its own place before it is stored.
    #[must_use]
    pub const fn next_pointers(&self) -> PagePointers {
        if self.mark.seq.is_multiple_of(PAGE_MESSAGES as u64) {
            PagePointers { first: 0, previous: self.page.first }
        } else {
            self.page
        }
    }
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
        self.settings.marked_unread == Some(self.marked_unread_now())
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
mod tests {
    use super::*;

    fn head(seq: u64, counted: u64) -> Head {
        Head {
            mark: Mark { seq, counted },
            key: OrderKey(seq),
            timestamp_ms: 0,
            stream_seq: seq * 10,
            page: PagePointers { first: 10, previous: 0 },
        }
    }

    #[test]
    fn unread_is_what_counts_past_the_read_mark_less_what_was_deleted() {
        let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
        assert_eq!(conversation.unread(), 7);
        conversation.settings.read = Mark { seq: 4, counted: 3 };
        conversation.settings.deleted_unread = 1;
        assert_eq!(conversation.unread(), 3);
    }

    #[test]
    fn messages_gone_from_the_store_are_not_unread() {
        let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
        conversation.settings.read = Mark { seq: 3, counted: 2 };
        conversation.settings.deleted_unread = 2;
        assert_eq!(conversation.unread(), 3);
        conversation.gone = Gone { counted: 4, deleted: 1, oldest_ms: 0 };
        assert_eq!(conversation.unread(), 2, "five to seven, of which one was deleted");
        conversation.gone = Gone { counted: 1, deleted: 0, oldest_ms: 0 };
        assert_eq!(conversation.unread(), 3, "what is gone had been read");
        assert!(conversation.move_end_back(Direction::Receive, None));
        assert_eq!((conversation.unread(), conversation.received_mark().seq), (0, 9));
        let next = Mark { seq: 10, counted: conversation.counted() + 1 };
        let next = Head { mark: next, ..head(10, 0) };
        conversation.begins_with(&next, true);
        conversation.adopt_head(Direction::Receive, next);
        assert_eq!(conversation.unread(), 1);
        conversation.gone = Gone::default();
        assert_eq!(conversation.unread(), 1, "as a load finds it");
    }

    #[test]
    fn numbering_goes_on_above_an_end_that_was_lost() {
        let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
        assert!(conversation.move_end_back(Direction::Receive, Some(head(6, 5))));
        assert_eq!((conversation.unread(), conversation.counted()), (5, 5));
        assert_eq!(conversation.received_mark().seq, 9);
        assert!(!conversation.move_end_back(Direction::Receive, Some(head(8, 6))));
    }

    #[test]
    fn counting_goes_on_above_the_stored_marks_when_the_log_is_empty() {
        let mut conversation = Conversation::default();
        conversation.settings.received_mark = Mark { seq: 40, counted: 38 };
        assert_eq!(conversation.received_mark().seq, 40);
        conversation.adopt_head(Direction::Receive, head(41, 39));
        assert_eq!(conversation.received_mark(), Mark { seq: 41, counted: 39 });
    }

    #[test]
    fn a_page_opens_after_32_messages_and_points_to_the_one_before() {
        assert_eq!(head(31, 0).next_pointers(), PagePointers { first: 10, previous: 0 });
        assert_eq!(head(32, 0).next_pointers(), PagePointers { first: 0, previous: 10 });
        assert_eq!([1, 31, 32, 33].map(|seq| head(seq, 0).in_page()), [1, 31, 32, 1]);
    }

    #[test]
    fn an_older_answer_of_the_store_changes_nothing() {
        let mut conversation = Conversation { settings_seq: 5, ..Default::default() };
        conversation.adopt_settings(Settings { kept: true, ..Default::default() }, 4);
        assert!(!conversation.settings.kept);
        conversation.adopt_head(Direction::Send, head(3, 3));
        conversation.adopt_head(Direction::Send, head(2, 2));
        assert_eq!(conversation.sent, Some(head(3, 3)));
    }

    #[test]
    fn a_carrier_takes_the_place_of_its_message_and_changes_no_count() {
        let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
        conversation.published_seq = 90;
        conversation.repeats.complete(5, Vec::new());
        let carrier = Head { stream_seq: 95, ..head(9, 7) };
        conversation.adopt_received(carrier);
        assert!(conversation.repeats.covers(5), "no message is new");
        assert_eq!((conversation.received, conversation.unread()), (Some(carrier), 7));
        assert!(conversation.has_unpublished());
        conversation.take_in_removed(carrier, true);
        assert!(!conversation.has_unpublished());
        conversation.adopt_head(Direction::Receive, head(9, 7));
        assert_eq!((conversation.received, conversation.unread()), (Some(carrier), 7));
    }

    #[test]
    fn with_what_a_load_finds_the_repeats_at_hand_are_not_all() {
        let mut conversation = Conversation::default();
        conversation.repeats.complete(5, Vec::new());
        conversation.adopt_received(head(1, 1));
        assert!(!conversation.repeats.covers(5), "the first message");
        conversation.repeats.complete(5, Vec::new());
        conversation.adopt_received(head(1, 1));
        assert!(conversation.repeats.covers(5), "no news");
        conversation.adopt_received(head(2, 2));
        assert!(!conversation.repeats.covers(5), "a later one");
    }
}
