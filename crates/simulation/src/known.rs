//! The knowledge of the simulation's clients when a call is answered. Calls overlap and outcomes
//! may be unknown, so many facts are uncertain; at the end of a run, when all work is done, most
//! are certain.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::journal::{Journal, Op, OpKind, Outcome};
use crate::model::facts::{ANY, BlockList, Conversation, Difference, Facts, May};
use crate::model::replies::{has_reacted, shows_deleted};
use crate::model::state::{Message, Reaction, User, show_info, show_rule, show_user};
use crate::names::{NAMES, number, text, user_of};
use crate::plan::{MARK, REACTION};
use crate::rule::Rule;
use crate::rules::{Logged, Watch};

/// How long a subscription of the plans lasts at least and at most, with clocks that differ.
pub(crate) const FOLLOWED_MS: (u64, u64) =
    (FOLLOWED_MINUTES * 60_000 - CLOCKS_MS, FOLLOWED_MINUTES * 60_000 + CLOCKS_MS);
/// The duration of the subscriptions of the plans.
pub(crate) const FOLLOWED_MINUTES: u64 = 2;
/// By how much the wall clocks of two instances differ at most.
const CLOCKS_MS: u64 = 40_000;

/// How long a user who logged in is certainly online: less than it takes to be offline.
const SOON_MS: u64 = 10_000;

/// The knowledge of a user when it made a call.
#[derive(Debug)]
pub(crate) struct Before {
    asked_ms: u64,
    /// The IDs of the messages that the user knew; `None` at the end of a run, when all messages
    /// that are stored must be shown.
    known: Option<BTreeSet<String>>,
    /// The newest order key that it knew in each conversation.
    newest: Vec<u64>,
}

impl Before {
    pub(crate) fn of(journal: &Journal, user: usize, asked_ms: u64, is_settled: bool) -> Self {
        let ids = journal.known.get(&user).into_iter().flatten().map(|(id, _)| id.clone());
        let newest = (0..NAMES.len()).map(|other| journal.newest_known(user, other)).collect();
        Self { asked_ms, known: (!is_settled).then(|| ids.collect()), newest }
    }
}

/// The knowledge when the call is answered.
pub(crate) struct Known<'w> {
    pub(crate) watch: &'w Watch,
    pub(crate) before: &'w Before,
    /// The time since which a block may matter: that of the first of several tries.
    pub(crate) since_ms: u64,
    pub(crate) answered_ms: u64,
}

impl Known<'_> {
    const fn span(&self) -> (u64, u64) {
        (self.before.asked_ms, self.answered_ms)
    }

    const fn is_settled(&self) -> bool {
        self.before.known.is_none()
    }

    /// Whether the user sees a message.
    fn sees(&self, user: usize, other: usize, logged: &Logged) -> May {
        let stored = (logged.id.as_str(), logged.stored_at_ms);
        let hidden = self.watch.journal.hidden((user, other), stored, self.span());
        let is_known = self.before.known.as_ref().is_none_or(|known| known.contains(&logged.id));
        May { be: hidden.not_be, not_be: hidden.be || !is_known }
    }

    /// How far a conversation may be read: the messages that the user knew when clearing are read,
    /// and messages after the last clear are not.
    fn read_seq(&self, user: usize, other: usize) -> RangeInclusive<u64> {
        if !self.is_settled() {
            return ANY;
        }
        let between = self.watch.between(user, other);
        let received = || between.iter().filter(|logged| logged.from == other);
        let (mut least, mut most) = (0, 0);
        for clear in self.watch.journal.clears(user, other) {
            let reach = if let OpKind::ClearTo(id) = &clear.kind {
                self.watch.logged(id).map_or(0, |logged| logged.key)
            } else {
                u64::MAX
            };
            // A clear of a conversation without unread messages does not move the mark.
            let is_read = |logged: &&&Logged| {
                clear.outcome == Outcome::Done
                    && logged.key <= reach
                    && logged.counts
                    && clear.known.contains(&logged.id)
                    && self.sees(user, other, logged).is_sure()
            };
            least = received().filter(is_read).map(|logged| logged.seq).fold(least, u64::max);
            let may_be_read =
                |logged: &&&Logged| logged.key <= reach && logged.stored_at_ms <= clear.done_ms;
            most = received().filter(may_be_read).map(|logged| logged.seq).fold(most, u64::max);
        }
        least..=most
    }
}

/// A message with the reactions and the pin with which it is shown, if they can be: reactions of the
/// type of the plans, a pin of one of the two users, and the number of replies. A reply may show that
/// its viewer deleted the original.
pub(crate) fn with_changes(message: &Message, shown: &Value) -> Message {
    let mut message = message.clone();
    let by = [message.from, message.to].map(|user| u64::from(has_reacted(user, shown)));
    if by != [0, 0] {
        message.reactions.push(Reaction { kind: REACTION.to_owned(), by });
    }
    let by = user_of(text(shown, "pinnedUserID"));
    let by = by.filter(|by| [message.from, message.to].contains(by));
    message.pinned = by.map(|by| (by, number(shown, "pinnedTime")));
    message.replied_count = number(shown, "rootRepliedCount");
    let viewer = if shown["direction"] == 0 { message.from } else { message.to };
    if let Some(original) = &mut message.original
        && shows_deleted(&shown["repliedInfo"])
    {
        original.hidden_for = vec![viewer];
    }
    message
}

impl Facts for Known<'_> {
    fn is_logged_in(&self, user: usize) -> May {
        self.watch.journal.may_be_home(user, self.span())
    }

    fn now_ms(&self) -> RangeInclusive<u64> {
        // The clocks of the instances may differ.
        ANY
    }

    fn revision(&self, _user: usize) -> RangeInclusive<u64> {
        ANY
    }

    fn history(&self, user: usize, other: usize) -> Vec<(&Message, May)> {
        let between = self.watch.between(user, other).into_iter();
        between.map(|logged| (&logged.message, self.sees(user, other, logged))).collect()
    }

    fn confirmed(&self, message: &Message) -> May {
        let logged = self.watch.logged(&message.id);
        let (span, is_settled) = (self.span(), self.is_settled());
        let confirmed = |logged| self.watch.confirmed(logged, span, is_settled);
        logged.map_or(May::sure(false), confirmed)
    }

    fn delivered(&self, message: &Message) -> May {
        let logged = self.watch.logged(&message.id);
        let (span, is_settled) = (self.span(), self.is_settled());
        let delivered = |logged| self.watch.delivered(logged, span, is_settled);
        logged.map_or(May::sure(false), delivered)
    }

    fn pinned(&self, message: &Message) -> May {
        let pair = (message.from, message.to);
        self.watch.journal.may_pin_message(pair, &message.id, self.span())
    }

    fn replied_count(&self, message: &Message) -> RangeInclusive<u64> {
        let replies = || self.watch.replies(&message.id);
        let is_known = |logged: &&Logged| {
            self.before.known.as_ref().is_none_or(|known| known.contains(&logged.id))
        };
        replies().filter(is_known).count() as u64..=replies().count() as u64
    }

    fn message(&self, id: &str) -> Option<&Message> {
        self.watch.logged(id).map(|logged| &logged.message)
    }

    fn as_shown(&self, message: &Message, shown: &Value) -> Message {
        with_changes(message, shown)
    }

    fn reacted(&self, user: usize, message: &Message) -> May {
        let other = if user == message.from { message.to } else { message.from };
        self.watch.journal.may_react((user, other), &message.id, self.span())
    }

    fn conversation(&self, user: usize, other: usize) -> Conversation {
        let (journal, pair) = (&self.watch.journal, (user, other));
        let newest = if self.is_settled() {
            self.watch.between(user, other).last().map_or(0, |logged| logged.key)
        } else {
            self.before.newest[other]
        };
        let is_certain = self.is_settled() && newest > 0;
        let (may_be_deleted, deletion) = journal.delisted(pair, self.span());
        // A message that was stored before, and in doubt at the deletion, came afterwards for the
        // owner. One that the user knew was not.
        let is_back = |deletion: &Op| {
            self.watch.between(user, other).iter().any(|logged| {
                logged.stored_at_ms >= deletion.issued_ms
                    || !deletion.known.contains(&logged.message.id)
            })
        };
        let is_deleted = deletion.is_some_and(|deletion| !is_back(deletion));
        Conversation {
            exists: May { be: !is_deleted, not_be: newest == 0 || may_be_deleted },
            order_key: newest..=if is_certain { newest } else { u64::MAX },
            read_seq: self.read_seq(user, other),
            muted: journal.may_mute(pair, self.span()),
            pinned: journal.may_pin(pair, self.span()),
            pinned_ms: 1..=u64::MAX,
            drafts: journal.drafts(pair, self.span()),
            marked_unread: journal.may_mark_unread(pair, self.span()),
            marks: vec![(MARK, journal.may_mark(pair, self.span()))],
            // Nobody gives a name.
            name: NAMES[other].to_owned(),
            avatar: String::new(),
        }
    }

    fn totals(&self, user: usize) -> [RangeInclusive<u64>; 2] {
        let (mut loud, mut all) = ((0, 0), (0, 0));
        for other in 0..NAMES.len() {
            let Conversation { read_seq, muted, .. } = self.conversation(user, other);
            let least = *self.recount(user, other, *read_seq.end()).start();
            let most = *self.recount(user, other, *read_seq.start()).end();
            all = (all.0 + least, all.1 + most);
            loud.0 += if muted.be { 0 } else { least };
            loud.1 += if muted.not_be { most } else { 0 };
        }
        [loud.0..=loud.1, all.0..=all.1]
    }

    fn changed_since(&self, user: usize, revision: u64) -> (May, Vec<(usize, May)>) {
        let changed = |other: usize| {
            let is_newer = self.before.newest[other] > revision;
            let exists = self.conversation(user, other).exists;
            (other, May { be: exists.be, not_be: !is_newer || exists.not_be })
        };
        (May { be: true, not_be: true }, (0..NAMES.len()).map(changed).collect())
    }

    fn blocks(&self, user: usize, other: usize) -> May {
        self.watch.journal.may_block((user, other), (self.since_ms, self.answered_ms))
    }

    fn block_list(&self, user: usize, _place: u64) -> BlockList {
        let users = (0..NAMES.len()).map(|other| (other, self.blocks(user, other)));
        BlockList { users: users.filter(|(_, blocked)| blocked.be).collect(), is_in_order: false }
    }

    fn listed(&self, user: usize) -> Value {
        show_user(user, "", "")
    }

    fn info(&self, user: usize) -> Option<Value> {
        Some(show_info(user, &User::default()))
    }

    fn wrong_status(&self, viewer: usize, of: usize, shown: Option<&Value>) -> Option<Difference> {
        let (journal, span) = (&self.watch.journal, self.span());
        let login_ms = journal.certain_login(of, self.before.asked_ms);
        let Some(shown) = shown else {
            let why = format!("{} never logged in", NAMES[of]);
            return login_ms.map(|_| (Rule::NeverStale, why));
        };
        let wrong = |rule: Rule, why: &str| Some((rule, format!("{}: {shown}: {why}", NAMES[of])));
        let (online, is_own) = (number(shown, "onlineStatus"), viewer == of);
        let is_online = online == 0;
        let platforms = if is_online { json!([32]) } else { json!([]) };
        if shown["onlinePlatforms"] != platforms {
            return wrong(Rule::PublishedCorrectly, "the platforms");
        }
        if !journal.custom_statuses(of, span).contains(text(shown, "customStatus")) {
            return wrong(Rule::ChangesStay, "the custom status");
        }
        let hidden = if is_own { May::sure(false) } else { journal.may_hide_status(of, span) };
        let names = ["lastUpdateTime", "customStatusExpiredTime", "lastCustomStatusUpdateTime"];
        let has_times = names.iter().any(|name| number(shown, name) > 0);
        if hidden.is_sure() && (online != 1 || has_times) {
            return wrong(Rule::ChangesStay, "the status is hidden");
        }
        let home = journal.may_be_home(of, span);
        if is_online && !home.be {
            return wrong(Rule::ChangesStay, "the user logged out");
        }
        if online == 2 && !home.not_be {
            return wrong(Rule::ChangesStay, "the user is logged in");
        }
        // At the end all users log in, one soon after the other.
        let is_recent = login_ms.is_some_and(|at_ms| self.before.asked_ms - at_ms < SOON_MS);
        let is_there = is_own || (self.is_settled() && is_recent && !hidden.be);
        if is_there && home.is_sure() && !is_online {
            return wrong(Rule::NeverStale, "the user is online");
        }
        None
    }

    fn follows(&self, user: usize, other: usize) -> May {
        self.watch.journal.may_follow((user, other), FOLLOWED_MS, self.span())
    }

    fn rule(&self, _user: usize) -> Value {
        show_rule([false; 3])
    }
}
