//! The account of the clients: every call, when it began and when it was answered.
//!
//! Times are microseconds. The possible difference of clocks was subtracted from beginnings and
//! added to answers, so "answered before the other began" is a comparison of two numbers.

/// One message that a client sent, including its repeats.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// The same in every repeat, and used once in a whole run.
    pub local_id: String,
    /// The content.
    pub text: String,
    /// False when it was sent with `disableUnreadMessageCount`.
    pub counts: bool,
    /// When the first attempt began.
    pub started: u64,
    /// The success; `None` while the outcome is unknown.
    pub ack: Option<Ack>,
    /// Whether it was sent with `hasReceipt`.
    pub has_receipt: bool,
    /// Its changes by the sender, in the order in which they began.
    pub amended: Vec<Amended>,
    /// The reactions to it by both users, in the order in which the calls began.
    pub reacted: Vec<Reacted>,
}

/// A change of a user's reaction to a sent message.
#[derive(Clone, Debug)]
pub struct Reacted {
    /// The user.
    pub by: String,
    /// The type; `None`: all types.
    pub kind: Option<String>,
    /// Whether the user reacts with it from then on.
    pub is_set: bool,
    /// When the first attempt began.
    pub started: u64,
    /// When it was answered; `None` while the outcome is unknown.
    pub acked: Option<u64>,
}

/// A change of a sent message, for both users.
#[derive(Clone, Debug)]
pub struct Amended {
    /// The change.
    pub what: Amendment,
    /// When the first attempt began.
    pub started: u64,
    /// When it was answered; `None` while the outcome is unknown.
    pub acked: Option<u64>,
}

/// How a sent message is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// It has this text.
    Edited(String),
    /// Its content is removed.
    Revoked,
}

impl Sent {
    /// The texts that a reader may see between the two times, unless the message is revoked.
    #[must_use]
    pub fn texts(&self, from: u64, until: u64) -> Vec<&str> {
        let mut possible = vec![(self.text.as_str(), Some(0))];
        for Amended { what, started, acked } in &self.amended {
            let Amendment::Edited(text) = what else { continue };
            if *started > until {
                continue;
            }
            if acked.is_some_and(|acked| acked < from) {
                // Only edits at the same time may have come after this one.
                possible.retain(|(_, before)| before.is_none_or(|before| before >= *started));
            }
            possible.push((text, *acked));
        }
        possible.into_iter().map(|(text, _)| text).collect()
    }

    /// Whether a user may in the end have a reaction of this type, and whether the user may have
    /// none.
    #[must_use]
    pub fn may_have_reacted(&self, by: &str, kind: &str) -> Vec<bool> {
        let mut possible = vec![false];
        let is_it =
            |it: &&Reacted| it.by == by && it.kind.as_deref().is_none_or(|given| given == kind);
        for Reacted { is_set, acked, .. } in self.reacted.iter().filter(is_it) {
            if acked.is_some() {
                possible.clear();
            }
            possible.push(*is_set);
        }
        possible
    }

    /// Whether a reader sees the message as revoked between the two times.
    #[must_use]
    pub fn revoked(&self, from: u64, until: u64) -> Held {
        let is_revocation = |it: &&Amended| it.what == Amendment::Revoked && it.started <= until;
        let mut revocations = self.amended.iter().filter(is_revocation).peekable();
        if revocations.peek().is_none() {
            return Held::No;
        }
        let is_over = revocations.any(|it| it.acked.is_some_and(|acked| acked < from));
        if is_over { Held::Yes } else { Held::Maybe }
    }
}

/// The reply to a successful send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// When it was answered.
    pub at: u64,
    /// `messageID`
    pub message_id: String,
    /// `messageSeq`
    pub seq: u64,
    /// `orderKey`
    pub order_key: u64,
}

/// A call that changes the caller's own view.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The caller.
    pub user: String,
    /// The change.
    pub what: Change,
    /// When the first attempt began.
    pub started: u64,
    /// When it was answered; `None` while the outcome is unknown.
    pub acked: Option<u64>,
}

/// The changes that the load makes. A conversation is named by the other user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One conversation is read.
    Clear(String),
    /// One conversation is read up to the message with this order key.
    ClearUpTo(String, u64),
    /// All conversations are read.
    ClearTotal,
    /// Notification status of a conversation: true is `DoNotDisturb`.
    Mute(String, bool),
    /// One message, by its local ID.
    Delete(String, String),
    /// All messages of a conversation up to now.
    DeleteAll(String),
    /// All messages of all conversations up to now are deleted.
    DeleteEverything,
    /// A conversation leaves the list until its next message, and is read.
    Delist(String),
    /// All conversations leave the list.
    DelistAll,
    /// Whether a conversation is pinned.
    Pin(String, bool),
    /// The draft of a conversation.
    Draft(String, String),
    /// A mark of a conversation, by its number, and whether it is set.
    SetMark(String, u8, bool),
    /// All messages of a conversation are confirmed as read.
    Confirm(String),
    /// One message is confirmed as read, by its local ID.
    ConfirmOne(String, String),
}

/// All calls of the clients of one run.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// In the order in which they began.
    pub sent: Vec<Sent>,
    /// In the order in which they began.
    pub marks: Vec<Mark>,
}

/// Whether something certainly holds, certainly does not, or depends on how calls overlapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It holds for every order of the overlapping calls.
    Yes,
    /// It holds for some orders, or the deciding call has an unknown outcome.
    Maybe,
    /// It holds for no order.
    No,
}

impl Account {
    /// The changes by `user` of the conversation with `other`.
    #[must_use]
    pub fn marks_of<'a>(&'a self, user: &str, other: &'a str) -> Marks<'a> {
        let concerns = |mark: &&Mark| {
            mark.user == user
                && match &mark.what {
                    Change::ClearTotal | Change::DeleteEverything | Change::DelistAll => true,
                    Change::Clear(conversation)
                    | Change::ClearUpTo(conversation, _)
                    | Change::Mute(conversation, _)
                    | Change::Delete(conversation, _)
                    | Change::DeleteAll(conversation)
                    | Change::Delist(conversation)
                    | Change::Pin(conversation, _)
                    | Change::Draft(conversation, _)
                    | Change::SetMark(conversation, ..)
                    | Change::Confirm(conversation)
                    | Change::ConfirmOne(conversation, _) => conversation == other,
                }
        };
        Marks(self.marks.iter().filter(concerns).collect())
    }
}

/// The changes that concern one user's side of one conversation.
#[derive(Debug)]
pub struct Marks<'a>(Vec<&'a Mark>);

impl Marks<'_> {
    /// Whether `sent` is deleted on this side.
    #[must_use]
    pub fn deleted(&self, sent: &Sent) -> Held {
        self.covered(sent, |what| match what {
            Change::Delete(_, local_id) if *local_id == sent.local_id => Held::Yes,
            Change::DeleteAll(_) | Change::DeleteEverything => Held::Yes,
            Change::Delete(..)
            | Change::Clear(_)
            | Change::ClearUpTo(..)
            | Change::ClearTotal
            | Change::Mute(..)
            | Change::Delist(_)
            | Change::DelistAll
            | Change::Pin(..)
            | Change::Draft(..)
            | Change::SetMark(..)
            | Change::Confirm(_)
            | Change::ConfirmOne(..) => Held::No,
        })
    }

    /// Whether this side has confirmed that it read `sent`, which requests a receipt.
    #[must_use]
    pub fn confirmed(&self, sent: &Sent) -> Held {
        let held = self.covered(sent, |what| match what {
            Change::Confirm(_) => Held::Yes,
            Change::ConfirmOne(_, local_id) if *local_id == sent.local_id => Held::Yes,
            Change::ConfirmOne(..)
            | Change::Clear(_)
            | Change::ClearUpTo(..)
            | Change::ClearTotal
            | Change::Mute(..)
            | Change::Delete(..)
            | Change::DeleteAll(_)
            | Change::DeleteEverything
            | Change::Delist(_)
            | Change::DelistAll
            | Change::Pin(..)
            | Change::Draft(..)
            | Change::SetMark(..) => Held::No,
        });
        // What this side does not see, it does not confirm.
        let is_seen = self.deleted(sent) == Held::No && sent.revoked(0, u64::MAX) == Held::No;
        if held == Held::Yes && !is_seen { Held::Maybe } else { held }
    }

    /// Whether this side was cleared after `sent` arrived.
    #[must_use]
    pub fn read(&self, sent: &Sent) -> Held {
        // The contract does not say whether clearing the total clears a muted conversation too.
        let muted = self.0.iter().any(|mark| matches!(mark.what, Change::Mute(_, true)));
        let total = if muted { Held::Maybe } else { Held::Yes };
        self.covered(sent, |what| match what {
            Change::Clear(_) | Change::Delist(_) | Change::DelistAll => Held::Yes,
            Change::ClearUpTo(_, key) => match &sent.ack {
                None => Held::Maybe,
                Some(ack) if ack.order_key <= *key => Held::Yes,
                Some(_) => Held::No,
            },
            Change::ClearTotal => total,
            Change::Delete(..)
            | Change::DeleteAll(_)
            | Change::DeleteEverything
            | Change::Mute(..)
            | Change::Pin(..)
            | Change::Draft(..)
            | Change::SetMark(..)
            | Change::Confirm(_)
            | Change::ConfirmOne(..) => Held::No,
        })
    }

    /// The values that a setting may have: `value` is what a change sets, `initial` the value
    /// before.
    #[must_use]
    pub fn possible<T>(&self, initial: T, value: impl Fn(&Change) -> Option<T>) -> Vec<T> {
        let mut possible = vec![initial];
        for mark in &self.0 {
            if let Some(value) = value(&mark.what) {
                if mark.acked.is_some() {
                    possible.clear();
                }
                possible.push(value);
            }
        }
        possible
    }

    /// The notification status that this side may have: true is `DoNotDisturb`.
    #[must_use]
    pub fn may_be_muted(&self) -> Vec<bool> {
        self.possible(
            false,
            |what| {
                if let Change::Mute(_, muted) = what { Some(*muted) } else { None }
            },
        )
    }

    /// Whether this side may be pinned.
    #[must_use]
    pub fn may_be_pinned(&self) -> Vec<bool> {
        self.possible(
            false,
            |what| {
                if let Change::Pin(_, pinned) = what { Some(*pinned) } else { None }
            },
        )
    }

    /// Whether this side may have a mark.
    #[must_use]
    pub fn may_be_marked(&self, number: u8) -> Vec<bool> {
        self.possible(false, |what| {
            let Change::SetMark(_, mark, is_set) = what else { return None };
            (*mark == number).then_some(*is_set)
        })
    }

    /// The drafts that this side may have.
    #[must_use]
    pub fn drafts(&self) -> Vec<&str> {
        let mut possible = vec![""];
        for mark in &self.0 {
            let text = if let Change::Draft(_, text) = &mark.what {
                text.as_str()
            } else if matches!(mark.what, Change::Delist(_) | Change::DelistAll) {
                ""
            } else {
                continue;
            };
            if mark.acked.is_some() {
                possible.clear();
            }
            possible.push(text);
        }
        possible
    }

    /// Whether this side is out of its user's list, given what both sent.
    #[must_use]
    pub fn delisted(&self, sent: &[&Sent]) -> Held {
        let is_deletion =
            |mark: &&&Mark| matches!(mark.what, Change::Delist(_) | Change::DelistAll);
        let Some(last) = self.0.iter().rfind(is_deletion) else { return Held::No };
        let is_before = |at: Option<u64>| at.is_some_and(|at| at < last.started);
        let others = self.0.iter().filter(|mark| !std::ptr::eq(**mark, *last));
        let is_last = others.clone().all(|mark| is_before(mark.acked))
            && sent.iter().all(|sent| is_before(sent.ack.as_ref().map(|ack| ack.at)));
        if is_last && last.acked.is_some() { Held::Yes } else { Held::Maybe }
    }

    /// Whether anything was ever deleted on this side.
    #[must_use]
    pub fn any_deleted(&self) -> bool {
        let deletes = |what: &Change| {
            matches!(what, Change::Delete(..) | Change::DeleteAll(_) | Change::DeleteEverything)
        };
        self.0.iter().any(|mark| deletes(&mark.what))
    }

    /// Whether a change that `covers` everything before it has covered `sent`.
    fn covered(&self, sent: &Sent, covers: impl Fn(&Change) -> Held) -> Held {
        let mut held = Held::No;
        for mark in &self.0 {
            let coverage = covers(&mark.what);
            if coverage == Held::No || mark.acked.is_some_and(|acked| acked < sent.started) {
                continue;
            }
            let stored_before = sent.ack.as_ref().is_some_and(|ack| ack.at < mark.started);
            if coverage == Held::Yes && mark.acked.is_some() && stored_before {
                return Held::Yes;
            }
            held = Held::Maybe;
        }
        held
    }
}
