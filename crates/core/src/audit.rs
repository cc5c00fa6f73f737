//! Recounts a conversation from its stored messages: the state in memory must follow from the log.

use super::conversation::{Conversation, Head, Settings};
use super::event::Totals;
use super::id::{Direction, OrderKey, UserId};

/// The most differences recorded for one conversation.
pub const DIFFERENCES_MAX: usize = 16;

/// A quantity that is recounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The `messageSeq` of a stored message: one more than that of the previous message.
    MessageSeq,
    /// The order key of a stored message: above that of the previous message.
    OrderKey,
    /// The number of messages that count as unread, as a stored message carries it.
    Counted,
    /// The newest received message, by `messageSeq`.
    NewestReceived,
    /// The newest sent message, by `messageSeq`.
    NewestSent,
    /// The user's settings, by their sequence in the store.
    Settings,
    /// The number of messages that count as unread, up to the user's read mark.
    ReadMark,
    /// Deleted messages that had not been read.
    DeletedUnread,
    /// Unread messages of a conversation.
    Unread,
    /// Unread messages of all conversations that are not muted.
    Total,
    /// Unread messages of all conversations.
    TotalWithMuted,
}

impl Subject {
    /// All quantities.
    pub const ALL: [Self; 11] = [
        Self::MessageSeq,
        Self::OrderKey,
        Self::Counted,
        Self::NewestReceived,
        Self::NewestSent,
        Self::Settings,
        Self::ReadMark,
        Self::DeletedUnread,
        Self::Unread,
        Self::Total,
        Self::TotalWithMuted,
    ];

    /// A stable name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageSeq => "messageSeq",
            Self::OrderKey => "orderKey",
            Self::Counted => "counted",
            Self::NewestReceived => "newestReceived",
            Self::NewestSent => "newestSent",
            Self::Settings => "settings",
            Self::ReadMark => "readMark",
            Self::DeletedUnread => "deletedUnread",
            Self::Unread => "unreadMessageCount",
            Self::Total => "totalUnreadMessageCount",
            Self::TotalWithMuted => "totalUnreadMessageCountIncludingMuted",
        }
    }
}

/// A value that does not follow from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The other user of the conversation; `None` if it concerns all conversations.
    pub other: Option<UserId>,
    /// The quantity.
    pub subject: Subject,
    /// The recounted value.
    pub expected: u64,
    /// The value in memory or in the store.
    pub found: u64,
}

/// The part of a stored message that is recounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The conversation's head as of this message.
    pub head: Head,
    /// Whether the message counts as unread until read.
    pub counts: bool,
    /// Whether its content was removed. It still counts, but is no longer unread.
    pub is_removed: bool,
}

/// The result of a recount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recounted {
    /// Values that do not follow from the log, whether or not messages are missing from it.
    pub differences: Vec<Difference>,
    /// Values that do not follow from the log unless messages were removed from it.
    pub suspects: Vec<Difference>,
    /// Pairs of stream sequences between which messages are missing, judging by their numbering.
    pub gaps: Vec<(u64, u64)>,
    /// Unread messages, counting only stored ones.
    pub unread: u64,
}

impl Recounted {
    /// All differences, for a log from which nothing may be missing.
    #[must_use]
    pub fn all(self) -> Vec<Difference> {
        self.differences.into_iter().chain(self.suspects).collect()
    }
}

/// Recounts the messages from one other user, in the order of the log, up to the newest that the
/// conversation knows.
pub struct Recount<'c> {
    other: &'c UserId,
    conversation: &'c Conversation,
    /// Whether the first messages may have aged out. Quantities that depend on them are not
    /// recounted then.
    may_age: bool,
    last: Option<Head>,
    /// The recounted number at the read mark, once the recount has reached it.
    at_read_mark: Option<u64>,
    is_whole: bool,
    /// Unreadable records since the last message. Each may have been a message that counts.
    passed_over: u64,
    unread: u64,
    deleted_unread: u64,
    found: Recounted,
    /// Whether the message at the read mark is missing.
    is_mark_missing: bool,
}

impl<'c> Recount<'c> {
    /// A recount before its first message.
    #[must_use]
    pub const fn new(other: &'c UserId, conversation: &'c Conversation, may_age: bool) -> Self {
        let at_read_mark = if conversation.settings.read.seq == 0 { Some(0) } else { None };
        Self {
            other,
            conversation,
            may_age,
            last: None,
            at_read_mark,
            is_whole: true,
            passed_over: 0,
            unread: 0,
            deleted_unread: 0,
            found: Recounted {
                differences: Vec::new(),
                suspects: Vec::new(),
                gaps: Vec::new(),
                unread: 0,
            },
            is_mark_missing: false,
        }
    }

    /// Takes the next message of the log; returns false if it is newer than the conversation's
    /// newest message.
    pub fn take(&mut self, message: Counted) -> bool {
        let Some(newest) = self.conversation.received else { return false };
        let Counted { head, counts, .. } = message;
        if head.stream_seq > newest.stream_seq {
            return false;
        }
        if let Some(last) = &mut self.last
            && (last.mark.seq, last.key) == (head.mark.seq, head.key)
            && last.stream_seq < head.stream_seq
            && message.is_removed
        {
            // The carrier of a message whose record still exists, or whose hole was counted.
            last.stream_seq = head.stream_seq;
            return true;
        }
        let read_seq = self.conversation.settings.read.seq;
        let before = self.last.unwrap_or_else(|| self.before_first(message));
        let before = self.after_those_passed_over(before, message);
        if self.last.is_none() && before.mark.seq > 0 {
            self.is_whole = before.mark.seq <= read_seq;
            if !self.is_whole {
                // Messages aged out or were removed. The remaining ones show how many of those were
                // unread.
                self.found.gaps.push((0, head.stream_seq));
            }
            if before.mark.seq == read_seq {
                self.at_read_mark = Some(before.mark.counted);
            }
        }
        let missing = head.mark.seq.saturating_sub(before.mark.seq + 1);
        let counted = before.mark.counted + u64::from(counts);
        let is_known = (counted..=counted + missing).contains(&head.mark.counted);
        // The next message shows how many of the missing messages counted.
        let counted = if missing > 0 && is_known { head.mark.counted } else { counted };
        if missing > 0 {
            let from = self.last.map_or(0, |last| last.stream_seq);
            self.found.gaps.push((from, head.stream_seq));
            self.is_mark_missing |= (before.mark.seq + 1..head.mark.seq).contains(&read_seq);
            self.suspect(Subject::MessageSeq, before.mark.seq + 1, head.mark.seq);
        } else {
            self.compare(Subject::MessageSeq, before.mark.seq + 1, head.mark.seq);
        }
        self.compare(Subject::Counted, counted, head.mark.counted);
        if head.key <= before.key {
            self.differs(Subject::OrderKey, before.key.0 + 1, head.key.0);
        }
        if head.mark.seq == read_seq {
            self.at_read_mark = Some(counted);
        }
        if counts && head.mark.seq > read_seq {
            let Settings { deleted, cleared_received, .. } = &self.conversation.settings;
            let is_gone = head.mark.seq <= cleared_received.seq
                || message.is_removed
                || deleted.contains(Direction::Receive, head.mark.seq);
            self.deleted_unread += u64::from(is_gone);
            self.unread += u64::from(!is_gone);
        }
        // Continues from the recounted number, so that one wrong number causes only one difference.
        let mut last = head;
        last.mark.counted = counted;
        self.last = Some(last);
        true
    }

    /// Skips a record of the log that cannot be read.
    pub fn pass_over(&mut self, stream_seq: u64) {
        let newest = self.conversation.received;
        if newest.is_some_and(|newest| stream_seq <= newest.stream_seq) {
            self.passed_over += 1;
        }
    }

    /// The head that the next message builds on, if records before it could not be read.
    fn after_those_passed_over(&mut self, before: Head, next: Counted) -> Head {
        let passed_over = std::mem::take(&mut self.passed_over);
        if passed_over == 0 || (self.last.is_none() && self.may_age) {
            return before;
        }
        let Head { mark, .. } = before;
        let counted = next.head.mark.counted.saturating_sub(u64::from(next.counts));
        let counted = counted.clamp(mark.counted, mark.counted + passed_over);
        let seq = mark.seq + passed_over;
        let read = self.conversation.settings.read;
        if (mark.seq + 1..=seq).contains(&read.seq) {
            self.at_read_mark = Some(read.counted);
        }
        self.unread += counted - mark.counted.max(read.counted).min(counted);
        Head { mark: super::conversation::Mark { seq, counted }, ..before }
    }

    /// Checks the conversation's state after the last message.
    #[must_use]
    pub fn finish(mut self) -> Recounted {
        let settings = &self.conversation.settings;
        let mut last = self.last.map_or_else(Default::default, |last| last.mark);
        if (last.seq + 1..=last.seq + self.passed_over).contains(&settings.read.seq) {
            self.at_read_mark = Some(settings.read.counted);
        }
        last.seq += self.passed_over;
        let is_empty = self.last.is_none();
        self.found.unread = self.unread;
        let Some(newest) = self.conversation.stored_received() else { return self.found };
        if is_empty && self.may_age {
            self.found.gaps.push((0, newest.stream_seq + 1));
            return self.found;
        }
        // A wrong number in the newest message itself was already reported.
        if last.seq < newest.mark.seq {
            let from = self.last.map_or(0, |last| last.stream_seq);
            self.found.gaps.push((from, newest.stream_seq + 1));
            self.is_mark_missing |= last.seq < settings.read.seq;
            self.suspect(Subject::NewestReceived, last.seq, newest.mark.seq);
        } else {
            self.compare(Subject::NewestReceived, last.seq, newest.mark.seq);
        }
        let is_missing = !self.found.gaps.is_empty();
        match self.at_read_mark {
            Some(counted) => self.compare(Subject::ReadMark, counted, settings.read.counted),
            // The read mark lies before the first message or beyond the last one.
            None if self.may_age || self.is_mark_missing => {}
            None => self.differs(Subject::ReadMark, last.counted, settings.read.counted),
        }
        let (unread, held) = (self.unread, self.conversation.unread());
        if !self.is_whole {
            // The gap shows it.
        } else if is_missing {
            // Missing messages may be among the deleted ones, which are not unread either.
            self.suspect(Subject::Unread, unread, held);
        } else {
            self.compare(Subject::DeletedUnread, self.deleted_unread, settings.deleted_unread);
            self.compare(Subject::Unread, unread, held);
        }
        self.found
    }

    /// The head that the first message builds on: zero, unless messages before it may have aged
    /// out.
    fn before_first(&self, first: Counted) -> Head {
        let mut before = Head { key: OrderKey::ZERO, ..first.head };
        before.mark = if self.may_age {
            let Head { mark, .. } = first.head;
            super::conversation::Mark {
                seq: mark.seq.saturating_sub(1),
                counted: mark.counted.saturating_sub(u64::from(first.counts)),
            }
        } else {
            super::conversation::Mark::default()
        };
        before
    }

    fn compare(&mut self, subject: Subject, expected: u64, found: u64) {
        if expected != found {
            self.differs(subject, expected, found);
        }
    }

    fn suspect(&mut self, subject: Subject, expected: u64, found: u64) {
        if expected != found && self.found.suspects.len() < DIFFERENCES_MAX {
            let other = Some(self.other.clone());
            self.found.suspects.push(Difference { other, subject, expected, found });
        }
    }

    fn differs(&mut self, subject: Subject, expected: u64, found: u64) {
        if self.found.differences.len() < DIFFERENCES_MAX {
            let other = Some(self.other.clone());
            self.found.differences.push(Difference { other, subject, expected, found });
        }
    }
}

/// Compares the totals with the sum over the conversations.
#[must_use]
pub fn recount_totals<'c>(
    conversations: impl Iterator<Item = &'c Conversation>,
    totals: Totals,
) -> Vec<Difference> {
    let (mut all, mut unmuted) = (0, 0);
    for conversation in conversations {
        let unread = conversation.unread();
        all += unread;
        unmuted += if conversation.is_muted() { 0 } else { unread };
    }
    let of = |subject, expected, found| {
        (expected != found).then_some(Difference { other: None, subject, expected, found })
    };
    let unmuted = of(Subject::Total, unmuted, totals.unmuted);
    unmuted.into_iter().chain(of(Subject::TotalWithMuted, all, totals.all)).collect()
}

#[cfg(test)]
mod tests;
