//! Replies: messages that refer to an earlier message of their conversation, the *original*.
//!
//! A reply is stored with a reference and without a copy, so that a change of the original shows in
//! all of its replies, and a removed content is nowhere else.
//!
//! Replies form trees: a reply to a reply belongs to the tree of the same *root*, which is the
//! message at its beginning that is no reply itself.

use super::content::Content;
use super::id::{Direction, MessageId, OrderKey, Partition};
use super::pages::{AmendedPages, page_number};

/// How many messages of the same sender may be stored between the decision to reply and the reply.
const AHEAD_MAX: u64 = 32;

/// A reference to an original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whether the sender of the reply sent the original, too.
    pub by_sender: bool,
    /// The order key of the original.
    pub key: OrderKey,
    /// The partition of its receiver.
    pub partition: Partition,
    /// Its `messageSeq`.
    pub seq: u64,
    /// Its stream sequence.
    pub stream_seq: u64,
    /// When it was accepted, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

impl Reference {
    /// The message ID of the original.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        MessageId::new(self.key, self.partition)
    }

    /// The direction of the original for a user for whom the reply has this direction.
    #[must_use]
    pub const fn direction(&self, reply: Direction) -> Direction {
        match (reply, self.by_sender) {
            (Direction::Send, true) | (Direction::Receive, false) => Direction::Send,
            (Direction::Send, false) | (Direction::Receive, true) => Direction::Receive,
        }
    }
}

/// An original as a user sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Original {
    /// It is not there: it has aged out, or cannot be read.
    #[default]
    NotFound,
    /// The user deleted it.
    Deleted,
    /// Its sender revoked it.
    Revoked,
    /// It has this content.
    Normal(Content),
}

impl Original {
    /// The content, if it is shown.
    #[must_use]
    pub const fn content(&self) -> Option<&Content> {
        match self {
            Self::Normal(content) => Some(content),
            Self::NotFound | Self::Deleted | Self::Revoked => None,
        }
    }
}

/// What makes a message a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The reference to the original.
    pub to: Reference,
    /// The root of the tree, if that is not the original.
    pub root: Option<Reference>,
    /// The original. It is read when the reply is shown, and is not stored.
    pub original: Original,
}

impl Reply {
    /// The reference to the root of the tree.
    #[must_use]
    pub const fn root(&self) -> &Reference {
        match &self.root {
            Some(root) => root,
            None => &self.to,
        }
    }
}

/// How many messages of one user up to a place belong to a tree. Records never change, so the number
/// stays right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepliesUpTo {
    /// The `messageSeq` of the last of these messages.
    pub seq: u64,
    /// Its stream sequence.
    pub stream_seq: u64,
    /// The number of replies.
    pub count: u64,
}

/// Where the replies of one user to a message, or in its tree, can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepliesOf {
    /// The pages that may have some: a superset of those that do.
    pub pages: AmendedPages,
    /// If the message is a root: those that are counted. All others are in the last two pages.
    pub counted: RepliesUpTo,
}

/// The places of the replies to a message; for a root, of all replies in its tree. It is stored with
/// the message before a reply is, so that no reply is missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepliedPages {
    /// Replies of its sender.
    pub by_sender: RepliesOf,
    /// Replies of its receiver.
    pub by_receiver: RepliesOf,
}

impl RepliedPages {
    /// Whether nobody replied to the message.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.by_sender.pages.is_empty() && self.by_receiver.pages.is_empty()
    }

    /// The replies that have this direction for a user for whom the original has the other one
    /// given.
    #[must_use]
    pub const fn of(&self, original: Direction, replies: Direction) -> &RepliesOf {
        match (original, replies) {
            (Direction::Send, Direction::Send) | (Direction::Receive, Direction::Receive) => {
                &self.by_sender
            }
            (Direction::Send, Direction::Receive) | (Direction::Receive, Direction::Send) => {
                &self.by_receiver
            }
        }
    }

    /// Adds the pages in which a reply after the message `after` of its sender can be stored.
    /// `by_sender`: its sender sent the original, too. Returns whether they are new.
    pub fn insert(&mut self, by_sender: bool, after: u64) -> bool {
        let pages = &mut self.by_mut(by_sender).pages;
        let first = pages.insert(page_number(after + 1));
        pages.insert(page_number(last_seq(after))) || first
    }

    /// Notes how many replies there are up to a place. Notes of two replies may arrive in any order.
    pub fn count(&mut self, by_sender: bool, counted: RepliesUpTo) {
        let known = &mut self.by_mut(by_sender).counted;
        if counted.seq > known.seq {
            *known = counted;
        }
    }

    const fn by_mut(&mut self, sender: bool) -> &mut RepliesOf {
        if sender { &mut self.by_sender } else { &mut self.by_receiver }
    }
}

/// The highest `messageSeq` of a reply that was decided after the message `after` of its sender.
#[must_use]
pub const fn last_seq(after: u64) -> u64 {
    after.saturating_add(AHEAD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_has_the_direction_of_its_sender() {
        use Direction::{Receive, Send};
        let reference = |by_sender| Reference {
            by_sender,
            key: OrderKey(7),
            partition: Partition(3),
            seq: 1,
            stream_seq: 1,
            timestamp_ms: 0,
        };
        assert_eq!([Send, Receive].map(|way| reference(true).direction(way)), [Send, Receive]);
        assert_eq!([Send, Receive].map(|way| reference(false).direction(way)), [Receive, Send]);
    }

    #[test]
    fn every_place_of_a_reply_is_in_a_named_page() {
        for after in 0..100 {
            let mut pages = RepliedPages::default();
            assert!(pages.insert(true, after) && !pages.insert(true, after));
            for seq in after + 1..=last_seq(after) {
                assert!(pages.by_sender.pages.contains(page_number(seq)), "{after} {seq}");
            }
            assert!(pages.by_receiver.pages.is_empty() && !pages.is_empty());
            assert_eq!(pages.of(Direction::Receive, Direction::Receive), &pages.by_sender);
            assert_eq!(pages.of(Direction::Receive, Direction::Send), &pages.by_receiver);
        }
    }

    #[test]
    fn a_count_never_goes_back() {
        let up_to = |seq, count| RepliesUpTo { seq, stream_seq: 10 * seq, count };
        let mut pages = RepliedPages::default();
        pages.count(false, up_to(40, 3));
        pages.count(false, up_to(7, 1));
        assert_eq!(pages.by_receiver.counted, up_to(40, 3));
        assert_eq!(pages.by_sender.counted, RepliesUpTo::default());
    }
}
