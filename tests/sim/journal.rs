//! What the clients did, what they were answered, and what they know.

use std::collections::BTreeMap;

/// A message that a client sent, once or again.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) local: Option<String>,
    pub(crate) command: bool,
    /// The largest order key that the sender knew then.
    pub(crate) floor: u64,
    pub(crate) issued_ms: u64,
    /// The message IDs that it was acknowledged with.
    pub(crate) acked: Vec<String>,
    /// When Commands were accepted.
    pub(crate) accepted_ms: u64,
    /// Whether a call for it had no answer, or one that says no more.
    pub(crate) is_unknown: bool,
}

/// What a user changed, or tried to.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) user: usize,
    /// `None`: all others.
    pub(crate) other: Option<usize>,
    pub(crate) kind: OpKind,
    pub(crate) issued_ms: u64,
    pub(crate) done_ms: u64,
    pub(crate) outcome: Outcome,
    /// The messages of the conversation that the user knew then.
    pub(crate) known: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    Clear,
    Delete(Vec<String>),
    DeleteAll,
    Mute(bool),
    Block(bool),
    Login,
    Logout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not over yet.
    UnderWay,
    Done,
    /// Not done, for certain.
    Refused,
    Unknown,
}

/// A message that a user knows of.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) other: usize,
    pub(crate) key: u64,
    pub(crate) is_command: bool,
}

/// What a user will know of, and when.
#[derive(Clone, Debug)]
struct News {
    due_ms: u64,
    user: usize,
    id: String,
    known: Known,
}

#[derive(Default)]
pub(crate) struct Journal {
    /// By their marks.
    pub(crate) sent: BTreeMap<String, Sent>,
    pub(crate) ops: Vec<Op>,
    pub(crate) known: BTreeMap<usize, BTreeMap<String, Known>>,
    news: Vec<News>,
    pub(crate) calls: usize,
    pub(crate) unanswered: usize,
    /// Calls that have no answer yet, and logins, whose replay goes on after that: nobody sees its end.
    under_way: usize,
    /// When so many were last under way, by their number.
    crowded_ms: BTreeMap<usize, u64>,
}

/// How a yes or no may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct May {
    pub(crate) be: bool,
    pub(crate) not_be: bool,
}

impl Journal {
    /// A call is made.
    pub(crate) fn begin_call(&mut self, now_ms: u64) {
        self.calls += 1;
        self.under_way += 1;
        self.crowded_ms.insert(self.under_way, now_ms);
    }

    /// A call is answered, or given up.
    pub(crate) fn end_call(&mut self, method: &str) {
        self.under_way -= usize::from(method != "login");
    }

    /// Whether more than so many calls were under way at some time since.
    pub(crate) fn was_crowded(&self, most: usize, since_ms: u64) -> bool {
        self.crowded_ms.range(most + 1..).any(|(_, at_ms)| *at_ms >= since_ms)
    }

    /// A user comes to know of a message at a time.
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

    /// What was due by now is known.
    pub(crate) fn learn(&mut self, now_ms: u64) {
        let due: Vec<News> = self.news.extract_if(.., |news| news.due_ms <= now_ms).collect();
        for News { user, id, known, .. } in due {
            self.known.entry(user).or_default().insert(id, known);
        }
    }

    /// The messages of a conversation that its user knows of.
    pub(crate) fn known_with(&self, user: usize, other: usize) -> Vec<String> {
        let known = self.known.get(&user).into_iter().flatten();
        let here = known.filter(|(_, known)| known.other == other && !known.is_command);
        here.map(|(id, _)| id.clone()).collect()
    }

    /// The newest order key that a user knows of in a conversation.
    pub(crate) fn newest_known(&self, user: usize, other: usize) -> u64 {
        let known = self.known.get(&user).into_iter().flatten().map(|(_, known)| known);
        let here = known.filter(|known| known.other == other && !known.is_command);
        here.map(|known| known.key).max().unwrap_or_default()
    }

    /// The largest order key that a user knows of. A Command leaves no trace, so an owner that takes
    /// over does not know of it.
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

    /// How a mute or a block may stand for who asked between two times.
    pub(crate) fn may(
        &self,
        (user, other): (usize, usize),
        value: impl Fn(&OpKind) -> Option<bool>,
        (asked_ms, answered_ms): (u64, u64),
    ) -> May {
        let ops: Vec<(&Op, bool)> = self
            .of(user, other)
            .filter(|op| op.issued_ms <= answered_ms)
            .filter_map(|op| value(&op.kind).map(|value| (op, value)))
            .collect();
        // What was done and over before it was asked leaves nothing of what was over before it began.
        let is_past = |done_ms: u64| {
            ops.iter().any(|(op, _)| {
                op.outcome == Outcome::Done && op.done_ms < asked_ms && op.issued_ms > done_ms
            })
        };
        let mut may = May { be: false, not_be: !is_past(0) };
        for (op, value) in &ops {
            if !is_past(op.done_ms) {
                may.be |= value;
                may.not_be |= !value;
            }
        }
        may
    }

    pub(crate) fn may_block(&self, pair: (usize, usize), span: (u64, u64)) -> May {
        let value = |kind: &OpKind| match kind {
            OpKind::Block(on) => Some(*on),
            OpKind::Clear
            | OpKind::Delete(_)
            | OpKind::DeleteAll
            | OpKind::Mute(_)
            | OpKind::Login
            | OpKind::Logout => None,
        };
        self.may(pair, value, span)
    }

    pub(crate) fn may_mute(&self, pair: (usize, usize), span: (u64, u64)) -> May {
        let value = |kind: &OpKind| match kind {
            OpKind::Mute(on) => Some(*on),
            OpKind::Clear
            | OpKind::Delete(_)
            | OpKind::DeleteAll
            | OpKind::Block(_)
            | OpKind::Login
            | OpKind::Logout => None,
        };
        self.may(pair, value, span)
    }

    /// Whether a message may be hidden from a user who asks by `answered_ms`, or must be who asked
    /// after `asked_ms`.
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
                | OpKind::Block(_)
                | OpKind::Login
                | OpKind::Logout => (false, false),
            };
            may.be |= is_meant;
            may.not_be &= !(is_sure && op.outcome == Outcome::Done && op.done_ms < asked_ms);
        }
        may
    }

    /// Whether a user may be logged in for a call between two times, and may not be.
    pub(crate) fn may_be_home(&self, user: usize, span: (u64, u64)) -> May {
        let value = |kind: &OpKind| match kind {
            OpKind::Login => Some(true),
            OpKind::Logout => Some(false),
            OpKind::Clear
            | OpKind::Delete(_)
            | OpKind::DeleteAll
            | OpKind::Mute(_)
            | OpKind::Block(_) => None,
        };
        self.may((user, user), value, span)
    }

    /// What a user did to a conversation's read mark: all that was tried.
    pub(crate) fn clears(&self, user: usize, other: usize) -> impl Iterator<Item = &Op> {
        let is_clear = |op: &&Op| matches!(op.kind, OpKind::Clear | OpKind::DeleteAll);
        self.of(user, other).filter(is_clear)
    }
}
