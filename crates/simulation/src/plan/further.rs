//! Calls of methods that were added to the plans later. Each kind is drawn from a source of its own,
//! which keeps all other draws of known seeds as they are.

use super::{Call, Draft, MARK, Reacting, Setup, Step, What, busy, choose, other};
use crate::random::Random;

/// Changes the seed for calls that show a user as typing.
const TYPING: u64 = 0x0079_7069;
/// Likewise for calls that change the settings of a conversation.
const PREFERENCES: u64 = 0x7072_6566;
/// Likewise for reactions to messages.
const REACTIONS: u64 = 0x7265_6163;
/// Likewise for calls that send read receipts, and that hide them.
const RECEIPTS: u64 = 0x7265_6164;
/// Likewise for subscriptions of the status of users.
const FOLLOWING: u64 = 0x666f_6c6c;
/// Likewise for calls about the status of users.
const STATUS: u64 = 0x7374_6174;
/// Likewise for pinned messages.
const PINS: u64 = 0x7069_6e73;
/// Likewise for replies to messages.
const REPLIES: u64 = 0x7265_706c;

/// Likewise for replies to replies, and for reading trees of replies.
const TREES: u64 = 0x7472_6565;

/// Adds the calls to the steps of a plan that ends at `ends_ms`.
pub(super) fn add(seed: u64, ends_ms: u64, setup: &Setup, steps: &mut Vec<Step>) {
    let mut further = Further { seed, ends_ms, setup, steps };
    further.add(TYPING, 4, |random, setup, user| Call::Typing {
        other: other(random, setup.users, user),
        on: random.percent(70),
    });
    further.add(PREFERENCES, 14, preference);
    further.add(RECEIPTS, 12, receipt);
    further.add(REACTIONS, 12, reaction);
    further.add(STATUS, 10, |random, _, _| match random.below(10) {
        0..3 => Call::CustomStatus { is_empty: random.percent(20) },
        3..5 => Call::HideStatus { on: random.percent(60) },
        _ => Call::UsersStatus,
    });
    further.add(FOLLOWING, 8, following);
    further.add(PINS, 14, pin);
    further.add(REPLIES, 14, reply);
    further.add(TREES, 14, tree);
}

struct Further<'a> {
    seed: u64,
    ends_ms: u64,
    setup: &'a Setup,
    steps: &'a mut Vec<Step>,
}

impl Further<'_> {
    /// Draws less than `most` calls from their source.
    fn add(&mut self, source: u64, most: u64, call: impl Fn(&mut Random, &Setup, usize) -> Call) {
        let mut random = Random::new(self.seed ^ source);
        for _ in 0..random.below(most) {
            let user = busy(&mut random, self.setup.users);
            let call = call(&mut random, self.setup, user);
            let at_ms = random.below(self.ends_ms);
            self.steps.push(Step { at_ms, what: What::Call { user, call } });
        }
    }
}

fn receipt(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    match random.below(10) {
        0 => Call::Hide { on: random.percent(70) },
        1 => Call::History { other, count: 100, reverse: true, pick: None },
        2..5 => Call::ReceiptOf { other, pick: choose(random, 1000) },
        _ => Call::Receipt { other },
    }
}

fn following(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    match random.below(10) {
        0..5 => Call::Follow { other, on: true },
        5..7 => Call::Follow { other, on: false },
        _ => Call::Followed,
    }
}

/// A call that changes a setting of a conversation, or a list that filters by one.
fn preference(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    match random.below(20) {
        8..11 => Call::ClearTo { other, pick: choose(random, 1000) },
        11..13 => Call::MarkUnread { other, on: random.percent(70) },
        13..15 => Call::DeleteConversation { other },
        15 => Call::DeleteConversations,
        16 => Call::DeleteAllMessages,
        17 => Call::Numbered { other, first: 1 + random.below(20) },
        18..20 => Call::Changes { other, pick: choose(random, 1000) },
        0..2 => Call::Pin { other, on: random.percent(70) },
        2..4 => Call::Draft { other, is_empty: random.percent(30) },
        4..6 => Call::SetMark { other, on: random.percent(70) },
        _ => {
            let mark = [None, Some(-1), Some(0), Some(MARK)][choose(random, 4)];
            Call::Filtered { pinned: [0, 1, 2][choose(random, 3)], mark }
        }
    }
}

/// A call that changes the reactions to one of a few messages.
fn reaction(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    let change = match random.below(10) {
        0..7 => Reacting::Add,
        7..9 => Reacting::Delete,
        _ => Reacting::DeleteAll,
    };
    Call::React { other, pick: choose(random, 3), change }
}

/// A call that pins one of a few messages, or shows what is pinned.
fn pin(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    match random.below(10) {
        0 => Call::PinnedMessages { other },
        1 => Call::History { other, count: 100, reverse: true, pick: None },
        _ => Call::PinMessage { other, pick: choose(random, 3), on: random.percent(65) },
    }
}

/// A reply to one of a few messages, or the deletion of one of them.
fn reply(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    let pick = choose(random, 3);
    match random.below(10) {
        0..2 => Call::Delete { other, picks: vec![pick] },
        2 => Call::History { other, count: 100, reverse: random.percent(50), pick: None },
        _ => Call::Reply { other, pick, draft: draft(random) },
    }
}

fn draft(random: &mut Random) -> Draft {
    Draft {
        local: random.percent(70),
        command: false,
        counts: random.percent(85),
        push: random.percent(15),
        into_conversation: false,
    }
}

/// A reply to a message that may be a reply, or the replies of a tree.
fn tree(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    let pick = choose(random, 1000);
    match random.below(10) {
        0..3 => Call::RepliedList { other, pick },
        _ => Call::Reply { other, pick, draft: draft(random) },
    }
}
