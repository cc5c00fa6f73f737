//! The calls of the clients, the replies, and the messages that each user knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::facts::May;

/// A message that a client sent, with its repeats.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) local: Option<String>,
    /// The message that it replies to.
    pub(crate) original: Option<String>,
    pub(crate) command: bool,
    /// The largest order key that the sender knew at the time of the call.
    pub(crate) floor: u64,
    /// The message IDs in successful replies.
    pub(crate) acked: Vec<String>,
    /// The time at which a Command was accepted.
    pub(crate) accepted_ms: u64,
    /// Whether a call for it had no reply, or one that leaves the outcome unknown.
    pub(crate) is_unknown: bool,
}

/// A change that a user made or tried to make.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) user: usize,
    /// The other user; `None` for all others.
    pub(crate) other: Option<usize>,
    pub(crate) kind: OpKind,
    pub(crate) issued_ms: u64,
    pub(crate) done_ms: u64,
    pub(crate) outcome: Outcome,
    /// The messages of the conversation that the user knew at the time of the call.
    pub(crate) known: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    Clear,
    Delete(Vec<String>),
    DeleteAll,
    Mute(bool),
    Pin(bool),
    Draft(String),
    Mark(bool),
    /// Reads up to a message.
    ClearTo(String),
    MarkUnread(bool),
    DeleteConversation,
    Block(bool),
    /// Confirms these messages as read, or the whole conversation.
    Receipt(Option<Vec<String>>),
    /// Hides read receipts, or shows them.
    Hide(bool),
    /// Hides the online status, or shows it.
    HideStatus(bool),
    /// Sets the custom status.
    CustomStatus(String),
    /// Follows the status of the other user, or no longer.
    Follow(bool),
    Login,
    Logout,
    /// Reacts to a message, or deletes the reaction.
    React(String, bool),
    /// Pins a message, or removes its pin.
    PinMessage(String, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Still in progress.
    UnderWay,
    Done,
    /// Certainly not done.
    Refused,
    Unknown,
}

/// A message that a user knows.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) other: usize,
    pub(crate) key: u64,
    pub(crate) is_command: bool,
}

/// A message that a user will know, and the time when that happens.
#[derive(Clone, Debug)]
struct News {
    due_ms: u64,
    user: usize,
    id: String,
    known: Known,
}

#[derive(Default)]
pub(crate) struct Journal {
    /// The sent messages by their marks.
    pub(crate) sent: BTreeMap<String, Sent>,
    pub(crate) ops: Vec<Op>,
    pub(crate) known: BTreeMap<usize, BTreeMap<String, Known>>,
    news: Vec<News>,
    pub(crate) calls: usize,
    pub(crate) unanswered: usize,
    /// The number of calls in progress. Logins stay in it, because their replay continues after the
    /// reply and its end is not visible.
    under_way: usize,
    /// The last time when this many calls were in progress, by number of calls.
    crowded_ms: BTreeMap<usize, u64>,
}

impl Journal {
    /// Records that a call begins.
    pub(crate) fn begin_call(&mut self, now_ms: u64) {
        self.calls += 1;
        self.under_way += 1;
        self.crowded_ms.insert(self.under_way, now_ms);
    }

    /// Records that a call was answered or timed out.
    pub(crate) fn end_call(&mut self, method: &str) {
        self.under_way -= usize::from(method != "login");
    }

    /// Whether more than `most` calls were in progress at some time since `since_ms`.
    pub(crate) fn was_crowded(&self, most: usize, since_ms: u64) -> bool {
        self.crowded_ms.range(most + 1..).any(|(_, at_ms)| *at_ms >= since_ms)
    }

    /// Records that a user will know a message at a given time.
    pub(crate) fn will_know(
        &mut self,
        due_ms: u64,
        user: usize,
        other: usize,
        id: String,
        key: u64,
        is_command: bool,
    ) {
        self.news.push(News { due_ms, user, id, known: Known { other, key, is_command } });
    }

    /// Applies everything that users know by now.
    pub(crate) fn learn(&mut self, now_ms: u64) {
        let due: Vec<News> = self.news.extract_if(.., |news| news.due_ms <= now_ms).collect();
        for News { user, id, known, .. } in due {
            self.known.entry(user).or_default().insert(id, known);
        }
    }

    /// The messages of a conversation that its user knows.
    pub(crate) fn known_with(&self, user: usize, other: usize) -> Vec<String> {
        let known = self.known.get(&user).into_iter().flatten();
        let here = known.filter(|(_, known)| known.other == other && !known.is_command);
        here.map(|(id, _)| id.clone()).collect()
    }

    /// The newest order key that a user knows in a conversation.
    pub(crate) fn newest_known(&self, user: usize, other: usize) -> u64 {
        let known = self.known.get(&user).into_iter().flatten().map(|(_, known)| known);
        let here = known.filter(|known| known.other == other && !known.is_command);
        here.map(|known| known.key).max().unwrap_or_default()
    }

    /// The largest order key that a user knows. Commands do not count: they are not stored, so a
    /// new owner does not know them.
    pub(crate) fn floor(&self, user: usize) -> u64 {
        let known = self.known.get(&user).into_iter().flatten();
        let stored = known.filter(|(_, known)| !known.is_command);
        stored.map(|(_, known)| known.key).max().unwrap_or_default()
    }

    pub(crate) fn begin(
        &mut self,
        user: usize,
        other: Option<usize>,
        kind: OpKind,
        now_ms: u64,
    ) -> usize {
        let known = other.map_or_else(
            || self.known.get(&user).into_iter().flatten().map(|(id, _)| id.clone()).collect(),
            |other| self.known_with(user, other),
        );
        let op = Op {
            user,
            other,
            kind,
            issued_ms: now_ms,
            done_ms: u64::MAX,
            outcome: Outcome::UnderWay,
            known,
        };
        self.ops.push(op);
        self.ops.len() - 1
    }

    pub(crate) fn end(&mut self, op: usize, outcome: Outcome, now_ms: u64) {
        self.ops[op].outcome = outcome;
        if outcome != Outcome::Unknown {
            self.ops[op].done_ms = now_ms;
        }
    }

    fn of(&self, user: usize, other: usize) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(move |op| {
            op.user == user
                && op.other.is_none_or(|with| with == other)
                && op.outcome != Outcome::Refused
        })
    }

    /// The values that a call between two times may see for a setting. `value` is the value that a
    /// change sets, `initial` the value before any change.
    pub(crate) fn possible<T: Clone + Ord>(
        &self,
        (user, other): (usize, usize),
        initial: T,
        value: impl Fn(&OpKind) -> Option<T>,
        span: (u64, u64),
    ) -> BTreeSet<T> {
        possible(self.of(user, other), initial, value, span)
    }

    /// Likewise for a flag that is initially not set.
    pub(crate) fn may(
        &self,
        pair: (usize, usize),
        value: impl Fn(&OpKind) -> Option<bool>,
        span: (u64, u64),
    ) -> May {
        let values = self.possible(pair, false, value, span);
        May { be: values.contains(&true), not_be: values.contains(&false) }
    }

    /// Whether a message may be pinned, which both users of the conversation may change.
    pub(crate) fn may_pin_message(
        &self,
        (user, other): (usize, usize),
        id: &str,
        span: (u64, u64),
    ) -> May {
        let value = |kind: &OpKind| {
            let OpKind::PinMessage(named, on) = kind else { return None };
            (named == id).then_some(*on)
        };
        let ops = self.of(user, other).chain(self.of(other, user));
        let values = possible(ops, false, value, span);
        May { be: values.contains(&true), not_be: values.contains(&false) }
    }

    pub(crate) fn may_block(&self, pair: (usize, usize), span: (u64, u64)) -> May {
        self.may(pair, |kind| if let OpKind::Block(on) = kind { Some(*on) } else { None }, span)
    }

    /// Whether a user may hide read receipts.
    pub(crate) fn may_hide(&self, user: usize, span: (u64, u64)) -> May {
        let value = |kind: &OpKind| if let OpKind::Hide(on) = kind { Some(*on) } else { None };
        self.may((user, user), value, span)
    }

    /// Whether a user may hide the online status.
    pub(crate) fn may_hide_status(&self, user: usize, span: (u64, u64)) -> May {
        let value =
            |kind: &OpKind| if let OpKind::HideStatus(on) = kind { Some(*on) } else { None };
        self.may((user, user), value, span)
    }

    /// The possible custom statuses of a user.
    pub(crate) fn custom_statuses(&self, user: usize, span: (u64, u64)) -> BTreeSet<String> {
        let value = |kind: &OpKind| {
            if let OpKind::CustomStatus(text) = kind { Some(text.clone()) } else { None }
        };
        self.possible((user, user), String::new(), value, span)
    }

    /// Whether a user may follow another, whose subscription may expire after `least_ms`, and has
    /// expired after `most_ms`.
    pub(crate) fn may_follow(
        &self,
        pair: (usize, usize),
        (least_ms, most_ms): (u64, u64),
        (asked_ms, answered_ms): (u64, u64),
    ) -> May {
        let value = |kind: &OpKind| if let OpKind::Follow(on) = kind { Some(*on) } else { None };
        let may = self.may(pair, value, (asked_ms, answered_ms));
        let is_follow = |op: &&Op| op.kind == OpKind::Follow(true);
        let follows = || self.of(pair.0, pair.1).filter(is_follow);
        // A call without an answer may have been performed late.
        let is_valid = |op: &Op| op.done_ms == u64::MAX || op.done_ms + most_ms > asked_ms;
        let is_recent = |op: &Op| op.issued_ms + least_ms > answered_ms;
        May {
            be: may.be && follows().any(is_valid),
            not_be: may.not_be || !follows().all(is_recent),
        }
    }

    /// When a user last logged in, as far as that is certain and nothing changed it since.
    pub(crate) fn certain_login(&self, user: usize, asked_ms: u64) -> Option<u64> {
        let is_login = |op: &&Op| op.kind == OpKind::Login && op.outcome == Outcome::Done;
        let logins = self.of(user, user).filter(is_login).filter(|op| op.done_ms < asked_ms);
        logins.map(|op| op.issued_ms).max()
    }

    /// The read receipts that a user sent, or may have sent, for the messages of another.
    pub(crate) fn receipts(&self, user: usize, other: usize) -> impl Iterator<Item = &Op> {
        self.of(user, other).filter(|op| matches!(op.kind, OpKind::Receipt(_)))
    }

    pub(crate) fn may_mute(&self, pair: (usize, usize), span: (u64, u64)) -> May {
        self.may(pair, |kind| if let OpKind::Mute(on) = kind { Some(*on) } else { None }, span)
    }

    pub(crate) fn may_pin(&self, pair: (usize, usize), span: (u64, u64)) -> May {
        self.may(pair, |kind| if let OpKind::Pin(on) = kind { Some(*on) } else { None }, span)
    }

    pub(crate) fn may_mark(&self, pair: (usize, usize), span: (u64, u64)) -> May {
        self.may(pair, |kind| if let OpKind::Mark(on) = kind { Some(*on) } else { None }, span)
    }

    /// Whether a user may have a reaction to a message.
    pub(crate) fn may_react(&self, pair: (usize, usize), id: &str, span: (u64, u64)) -> May {
        let value = |kind: &OpKind| {
            let OpKind::React(named, on) = kind else { return None };
            (named == id).then_some(*on)
        };
        self.may(pair, value, span)
    }

    /// Whether a conversation may be marked as unread. A send or a clear of the user may have
    /// removed the mark.
    pub(crate) fn may_mark_unread(&self, pair: (usize, usize), span: (u64, u64)) -> May {
        let value =
            |kind: &OpKind| if let OpKind::MarkUnread(on) = kind { Some(*on) } else { None };
        let mut may = self.may(pair, value, span);
        let has_sent = self.sent.values().any(|sent| (sent.from, sent.to) == pair);
        may.not_be |= has_sent || self.clears(pair.0, pair.1).next().is_some();
        may
    }

    /// Whether the user may have deleted the conversation, and the deletion by which it is certainly
    /// deleted, unless a message came since.
    pub(crate) fn delisted(
        &self,
        (user, other): (usize, usize),
        (asked_ms, answered_ms): (u64, u64),
    ) -> (bool, Option<&Op>) {
        let is_deletion = |op: &&Op| op.kind == OpKind::DeleteConversation;
        let may = self.of(user, other).any(|op| is_deletion(&op) && op.issued_ms <= answered_ms);
        let done =
            |op: &&Op| is_deletion(op) && op.outcome == Outcome::Done && op.done_ms < asked_ms;
        let last = self.of(user, other).filter(done).max_by_key(|op| op.issued_ms);
        let is_last = |last: &&Op| {
            self.of(user, other).all(|op| op.done_ms < last.issued_ms || std::ptr::eq(op, *last))
        };
        (may, last.filter(is_last))
    }

    /// Whether the user may have deleted the conversation after that time.
    pub(crate) fn may_be_delisted_since(
        &self,
        (user, other): (usize, usize),
        since_ms: u64,
    ) -> bool {
        self.of(user, other).any(|op| {
            let is_deletion = op.kind == OpKind::DeleteConversation;
            is_deletion && op.outcome != Outcome::Refused && op.done_ms >= since_ms
        })
    }

    /// The possible drafts.
    pub(crate) fn drafts(&self, pair: (usize, usize), span: (u64, u64)) -> Vec<String> {
        let text = |kind: &OpKind| match kind {
            OpKind::Draft(text) => Some(text.clone()),
            OpKind::DeleteConversation => Some(String::new()),
            OpKind::Clear
            | OpKind::ClearTo(_)
            | OpKind::Delete(_)
            | OpKind::DeleteAll
            | OpKind::Mute(_)
            | OpKind::Pin(_)
            | OpKind::Mark(_)
            | OpKind::MarkUnread(_)
            | OpKind::Block(_)
            | OpKind::Receipt(_)
            | OpKind::Hide(_)
            | OpKind::HideStatus(_)
            | OpKind::CustomStatus(_)
            | OpKind::Follow(_)
            | OpKind::Login
            | OpKind::Logout
            | OpKind::React(..)
            | OpKind::PinMessage(..) => None,
        };
        self.possible(pair, String::new(), text, span).into_iter().collect()
    }

    /// Whether a message may be hidden from a call that was answered at `answered_ms`, and whether
    /// it may be shown to a call that was made at `asked_ms`.
    pub(crate) fn hidden(
        &self,
        (user, other): (usize, usize),
        (id, stored_at_ms): (&str, u64),
        (asked_ms, answered_ms): (u64, u64),
    ) -> May {
        let mut may = May { be: false, not_be: true };
        for op in self.of(user, other).filter(|op| op.issued_ms <= answered_ms) {
            let (is_meant, is_sure) = match &op.kind {
                OpKind::Delete(ids) => {
                    let is_named = ids.iter().any(|named| named == id);
                    (is_named, is_named)
                }
                OpKind::DeleteAll => {
                    (stored_at_ms <= op.done_ms, op.known.iter().any(|known| known == id))
                }
                OpKind::Clear
                | OpKind::Mute(_)
                | OpKind::Pin(_)
                | OpKind::Draft(_)
                | OpKind::Mark(_)
                | OpKind::ClearTo(_)
                | OpKind::MarkUnread(_)
                | OpKind::DeleteConversation
                | OpKind::Block(_)
                | OpKind::Receipt(_)
                | OpKind::Hide(_)
                | OpKind::HideStatus(_)
                | OpKind::CustomStatus(_)
                | OpKind::Follow(_)
                | OpKind::Login
                | OpKind::Logout
                | OpKind::React(..)
                | OpKind::PinMessage(..) => (false, false),
            };
            may.be |= is_meant;
            may.not_be &= !(is_sure && op.outcome == Outcome::Done && op.done_ms < asked_ms);
        }
        may
    }

    /// Whether a user may be logged in, and may be logged out, for a call between two times.
    pub(crate) fn may_be_home(&self, user: usize, span: (u64, u64)) -> May {
        let value = |kind: &OpKind| match kind {
            OpKind::Login => Some(true),
            OpKind::Logout => Some(false),
            OpKind::Clear
            | OpKind::Delete(_)
            | OpKind::DeleteAll
            | OpKind::Mute(_)
            | OpKind::Pin(_)
            | OpKind::Draft(_)
            | OpKind::Mark(_)
            | OpKind::ClearTo(_)
            | OpKind::MarkUnread(_)
            | OpKind::DeleteConversation
            | OpKind::Receipt(_)
            | OpKind::Hide(_)
            | OpKind::HideStatus(_)
            | OpKind::CustomStatus(_)
            | OpKind::Follow(_)
            | OpKind::Block(_)
            | OpKind::React(..)
            | OpKind::PinMessage(..) => None,
        };
        self.may((user, user), value, span)
    }

    /// All attempts of a user to move a conversation's read mark.
    pub(crate) fn clears(&self, user: usize, other: usize) -> impl Iterator<Item = &Op> {
        let is_clear = |op: &&Op| match op.kind {
            OpKind::Clear | OpKind::ClearTo(_) | OpKind::DeleteAll | OpKind::DeleteConversation => {
                true
            }
            OpKind::Delete(_)
            | OpKind::Mute(_)
            | OpKind::Pin(_)
            | OpKind::Draft(_)
            | OpKind::Mark(_)
            | OpKind::MarkUnread(_)
            | OpKind::Block(_)
            | OpKind::Receipt(_)
            | OpKind::Hide(_)
            | OpKind::HideStatus(_)
            | OpKind::CustomStatus(_)
            | OpKind::Follow(_)
            | OpKind::Login
            | OpKind::Logout
            | OpKind::React(..)
            | OpKind::PinMessage(..) => false,
        };
        self.of(user, other).filter(is_clear)
    }
}

/// The values of a setting that a call between two times may see, after these changes of it.
fn possible<'o, T: Clone + Ord>(
    ops: impl Iterator<Item = &'o Op>,
    initial: T,
    value: impl Fn(&OpKind) -> Option<T>,
    (asked_ms, answered_ms): (u64, u64),
) -> BTreeSet<T> {
    let ops: Vec<(&Op, T)> = ops
        .filter(|op| op.issued_ms <= answered_ms)
        .filter_map(|op| value(&op.kind).map(|value| (op, value)))
        .collect();
    // A change that was done before the call began overrides the changes that were done before
    // that change began.
    let is_past = |done_ms: u64| {
        ops.iter().any(|(op, _)| {
            op.outcome == Outcome::Done && op.done_ms < asked_ms && op.issued_ms > done_ms
        })
    };
    let changed = ops.iter().filter(|(op, _)| !is_past(op.done_ms));
    let mut values: BTreeSet<T> = changed.map(|(_, value)| value.clone()).collect();
    if !is_past(0) {
        values.insert(initial);
    }
    values
}
