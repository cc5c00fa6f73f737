//! The known facts when a call is answered.
//!
//! In a single instance without faults all facts are certain. If calls overlap or have unknown
//! outcomes, some are not.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::state::Message;
use crate::rule::Rule;

/// A difference between a reply and what is known: the rule that is broken, and how.
pub(crate) type Difference = (Rule, String);

/// Whether a condition may hold (`be`), and whether it may fail (`not_be`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct May {
    pub(crate) be: bool,
    pub(crate) not_be: bool,
}

impl May {
    /// A condition that certainly holds or certainly fails.
    pub(crate) const fn sure(is_so: bool) -> Self {
        Self { be: is_so, not_be: !is_so }
    }

    /// Whether at least one of several conditions holds.
    pub(crate) fn any(several: impl Iterator<Item = Self>) -> Self {
        several.fold(Self::sure(false), |all, one| Self {
            be: all.be || one.be,
            not_be: all.not_be && one.not_be,
        })
    }

    /// The opposite condition.
    pub(crate) const fn not(self) -> Self {
        Self { be: self.not_be, not_be: self.be }
    }

    /// Whether an observation agrees.
    pub(crate) const fn admits(self, is_so: bool) -> bool {
        if is_so { self.be } else { self.not_be }
    }

    /// Whether the condition certainly holds.
    pub(crate) const fn is_sure(self) -> bool {
        self.be && !self.not_be
    }
}

/// Any number.
pub(crate) const ANY: RangeInclusive<u64> = 0..=u64::MAX;

/// A conversation of a user.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) exists: May,
    pub(crate) order_key: RangeInclusive<u64>,
    pub(crate) read_seq: RangeInclusive<u64>,
    pub(crate) muted: May,
    pub(crate) pinned: May,
    /// When it was pinned, if it is pinned.
    pub(crate) pinned_ms: RangeInclusive<u64>,
    /// The possible drafts.
    pub(crate) drafts: Vec<String>,
    pub(crate) marked_unread: May,
    /// The marks that were ever set, and whether each may be set now.
    pub(crate) marks: Vec<(i64, May)>,
    /// Its name: that of the other user, or the other user's ID.
    pub(crate) name: String,
    /// The URL of the other user's avatar; empty if there is none.
    pub(crate) avatar: String,
}

impl Conversation {
    /// Whether it passes a filter by marks.
    pub(crate) fn is_marked(&self, filter: &[i64]) -> May {
        let mut may = May::sure(filter.is_empty());
        for number in filter {
            let one = match number {
                -1 => May::any(self.marks.iter().map(|(_, may)| *may)),
                0 => May::any(self.marks.iter().map(|(_, may)| *may)).not(),
                number => {
                    let here = self.marks.iter().filter(|(mark, _)| mark == number);
                    May::any(here.map(|(_, may)| *may))
                }
            };
            may = May::any([may, one].into_iter());
        }
        may
    }

    /// Whether it passes a filter by pins.
    pub(crate) const fn is_wanted(&self, pinned_filter: u8) -> May {
        match pinned_filter {
            0 => May::sure(true),
            1 => self.pinned,
            _ => self.pinned.not(),
        }
    }
}

/// The users of a block list who come after a place.
#[derive(Clone, Debug)]
pub(crate) struct BlockList {
    /// Users that may be in the list. A user for whom this is certain must be in it.
    pub(crate) users: Vec<(usize, May)>,
    /// Whether they are in the order in which they were blocked.
    pub(crate) is_in_order: bool,
}

/// The known facts about a user between a call and its reply.
pub(crate) trait Facts {
    fn is_logged_in(&self, user: usize) -> May;

    /// The server's time.
    fn now_ms(&self) -> RangeInclusive<u64>;

    /// The newest revision of the user.
    fn revision(&self, user: usize) -> RangeInclusive<u64>;

    /// The messages of a conversation in order, and whether the user sees them.
    fn history(&self, user: usize, other: usize) -> Vec<(&Message, May)>;

    /// Whether the receiver of a message has confirmed it as read.
    fn confirmed(&self, message: &Message) -> May;

    /// Whether the sender of a message was informed that it was delivered.
    fn delivered(&self, message: &Message) -> May;

    /// A stored message.
    fn message(&self, id: &str) -> Option<&Message>;

    fn conversation(&self, user: usize, other: usize) -> Conversation;

    /// The unread messages of the conversations that are not muted, and of all.
    fn totals(&self, user: usize) -> [RangeInclusive<u64>; 2];

    /// Which conversations of the user changed, and which may have changed, since a revision;
    /// `None`: the client must read all.
    fn changed_since(&self, user: usize, revision: u64) -> (May, Vec<(usize, May)>);

    /// Whether the user blocks the other.
    fn blocks(&self, user: usize, other: usize) -> May;

    fn block_list(&self, user: usize, place: u64) -> BlockList;

    /// A user in a list.
    fn listed(&self, user: usize) -> Value;

    /// A user with everything that others may query; `None` if the user never logged in.
    fn info(&self, user: usize) -> Option<Value>;

    /// The difference between the status of a user as it is shown to a viewer and what is known, if
    /// there is one. `None` is shown of a user who never logged in.
    fn wrong_status(&self, viewer: usize, of: usize, shown: Option<&Value>) -> Option<Difference>;

    /// Whether a user follows the status of another.
    fn follows(&self, user: usize, other: usize) -> May;

    /// When that expires.
    fn followed_until(&self, _user: usize, _other: usize) -> RangeInclusive<u64> {
        ANY
    }

    /// The rules of a user.
    fn rule(&self, user: usize) -> Value;

    /// Whether a message is pinned.
    fn pinned(&self, message: &Message) -> May;

    /// How many replies the tree of a root has.
    fn replied_count(&self, message: &Message) -> RangeInclusive<u64>;

    /// A stored message with the reactions and the pin with which it is shown, if these are
    /// checked by [`Self::reacted`] and [`Self::pinned`].
    fn as_shown(&self, message: &Message, _shown: &Value) -> Message {
        message.clone()
    }

    /// Whether a user has reacted to a message, unless the message says so.
    fn reacted(&self, _user: usize, _message: &Message) -> May {
        May { be: true, not_be: true }
    }

    /// The unread messages of a conversation with this read mark, by a recount.
    fn recount(&self, user: usize, other: usize, read_seq: u64) -> RangeInclusive<u64> {
        let (mut least, mut most) = (0, 0);
        for (message, seen) in self.history(user, other) {
            if message.from == other && message.counts && message.seq > read_seq {
                least += u64::from(seen.is_sure());
                most += u64::from(seen.be);
            }
        }
        least..=most
    }
}
