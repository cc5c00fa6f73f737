//! Received messages with a receipt whose authors are still to be informed that they were delivered.
//!
//! A message that arrives while its receiver is online is remembered until its author's owner has
//! stored it. For all others, only the author is remembered, and the log says which messages these
//! are. Nothing of this is stored but a position, up to which nothing is left to report: after a
//! load, each conversation with a newer message is examined.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{OrderKey, UserId};
use super::limits::{DELIVERED_AUTHORS_MAX, DELIVERED_BATCH_MAX};

/// A message of one direction of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessagePlace {
    /// Its order key.
    pub key: OrderKey,
    /// Its `messageSeq`.
    pub seq: u64,
}

/// The messages of one author that are to be reported as delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// These, in the order of their keys.
    These(Vec<MessagePlace>),
    /// Those with a receipt that the log has after this key.
    After(OrderKey),
}

/// What is left to report of one user's received messages.
#[derive(Clone, Debug, Default)]
pub struct Unreported {
    /// Nothing up to here is left.
    pub(crate) up_to: OrderKey,
    /// `up_to` once the reports in progress are done.
    pub(crate) next_up_to: Option<OrderKey>,
    /// Whether any conversation with messages after `up_to` may have some: since a load.
    pub(crate) compares: bool,
    /// Authors of whose messages the log may have some.
    pub(crate) looks: BTreeSet<UserId>,
    /// Known ones.
    pub(crate) waiting: BTreeMap<UserId, Vec<MessagePlace>>,
    pub(crate) is_running: bool,
}

impl Unreported {
    /// Notes a load: nothing up to `up_to` is left.
    pub fn loaded(&mut self, up_to: OrderKey) {
        self.up_to = self.up_to.max(up_to);
        self.compares = true;
    }

    /// Notes a message that arrived.
    pub fn note(&mut self, author: &UserId, message: MessagePlace, is_online: bool) {
        let before = OrderKey(message.key.0.saturating_sub(1));
        self.up_to = self.up_to.min(before);
        self.next_up_to = self.next_up_to.map(|next| next.min(before));
        if self.looks.contains(author) {
            return;
        }
        let has_room =
            self.waiting.len() < DELIVERED_AUTHORS_MAX || self.waiting.contains_key(author);
        if !is_online || !has_room {
            self.waiting.remove(author);
            self.looks.insert(author.clone());
            return;
        }
        let of_author = self.waiting.entry(author.clone()).or_default();
        if of_author.len() == DELIVERED_BATCH_MAX {
            of_author.remove(0);
        }
        of_author.push(message);
    }

    /// Begins to report, unless that is in progress or nothing is left.
    pub fn begin(&mut self) -> bool {
        let begins = !self.is_running && !self.is_done();
        self.is_running |= begins;
        begins
    }

    pub(crate) fn is_done(&self) -> bool {
        !self.compares && self.looks.is_empty() && self.waiting.is_empty()
    }

    /// Notes that the reports in progress are done, except those to some authors. Returns whether
    /// reporting goes on.
    pub fn reported(&mut self, failed: Vec<UserId>) -> bool {
        let next_up_to = self.next_up_to.take();
        let goes_on = failed.is_empty() && !self.is_done();
        if failed.is_empty() {
            self.up_to = self.up_to.max(next_up_to.unwrap_or_default());
        }
        for author in failed {
            self.waiting.remove(&author);
            self.looks.insert(author);
        }
        self.is_running = goes_on;
        goes_on
    }

    /// Stops to report for now.
    pub fn stop(&mut self) {
        self.is_running = false;
    }

    /// The position up to which nothing is left to report, if all messages up to `settled` have
    /// arrived.
    #[must_use]
    pub fn up_to(&self, settled: OrderKey) -> OrderKey {
        let is_done = self.is_done() && !self.is_running;
        if is_done { self.up_to.max(settled) } else { self.up_to }
    }
}
