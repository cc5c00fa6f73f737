//! The end of a run: all faults are over, and every user reads everything. The results are compared
//! with the log and with the earlier replies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::client::{Client, Said};
use crate::journal::{OpKind, Outcome};
use crate::known::{FOLLOWED_MINUTES, FOLLOWED_MS};
use crate::model::replies::has_reacted;
use crate::model::request::{ListOption, Request};
use crate::plan::{NAMES, Plan};
use crate::rule::Rule;
use crate::rules::{number, text};

/// How many times a call is tried until it succeeds.
const TRIES: usize = 12;
const SECOND_MS: u64 = 1000;
/// How long it takes until a follower was shown a changed status: some rounds.
const SHOWN_MS: u64 = 4000;
/// How long it takes until messages are reported as delivered after a login.
const REPORTED_MS: u64 = 5000;
/// In one of so many seeds, the run goes on until subscriptions have expired.
const EXPIRED_SEEDS: u64 = 8;
/// The numbers of messages per page.
const PAGES: [usize; 2] = [5, 100];

impl Client {
    /// Makes a call that must succeed.
    async fn surely(&self, user: usize, request: &Request) -> Option<Value> {
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.ask(user, request).await {
                Said::Good { body, .. } => return Some(body),
                said @ (Said::Refused { .. } | Said::Nothing) => last = format!("{said:?}"),
            }
            sleep(Duration::from_millis(300)).await;
        }
        let (method, user) = (request.method(), NAMES[user]);
        let why = format!("{method} by {user} still fails at the end: {last}");
        self.world.lock().broken(Rule::Served, why);
        None
    }

    /// Checks everything that was stored and published against the rules, and then everything that
    /// users read.
    pub(crate) async fn audit(&self, plan: &Plan) {
        self.world.note(format_args!("the end: every user reads everything"));
        let now_ms = self.world.now_ms();
        self.world.lock().watch.journal.learn(now_ms);
        self.check_acknowledged();
        self.check_published();
        self.check_rate(plan);
        if plan.setup.delivered {
            self.log_in_again(plan.setup.users).await;
            sleep(Duration::from_millis(REPORTED_MS)).await;
        }
        for user in 0..plan.setup.users {
            if self.world.lock().watch.first.is_some() {
                return;
            }
            let now_ms = self.world.now_ms();
            let login = OpKind::Login;
            let op = self.world.lock().watch.journal.begin(user, Some(user), login, now_ms);
            let request = Request::Login { name: None, device: None, after: None };
            if self.surely(user, &request).await.is_none() {
                return;
            }
            let now_ms = self.world.now_ms();
            self.world.lock().watch.journal.end(op, Outcome::Done, now_ms);
            self.read_all(user, plan.setup.users).await;
        }
        self.follow_all(plan).await;
    }

    /// Every user follows another one, whose status then changes: the follower is shown what is
    /// read, and nothing more after the subscription has expired.
    async fn follow_all(&self, plan: &Plan) {
        let users = plan.setup.users;
        for user in 0..users {
            let others = vec![(user + 1) % users];
            let kind = OpKind::Follow(true);
            let request = Request::Follow { others, minutes: FOLLOWED_MINUTES };
            self.surely_change(user, (user + 1) % users, kind, &request).await;
        }
        self.log_in_again(users).await;
        sleep(Duration::from_millis(SHOWN_MS)).await;
        for (user, name) in NAMES.iter().enumerate().take(users) {
            let other = (user + 1) % users;
            let request = Request::Followed { others: vec![other] };
            let Some(reply) = self.surely(user, &request).await else { return };
            let read = &reply["userStatusSubscriptionList"][0]["userStatus"];
            let shown = self.world.lock().watch.statuses.get(&(user, other)).cloned();
            // An instance that evicts users all the time shows a change when the user is loaded.
            if plan.setup.cached_users > 1 && shown.as_ref() != Some(read) {
                let why = format!("{name} was shown {shown:?}, which is {read}");
                self.world.lock().broken(Rule::PublishedAtAll, why);
            }
        }
        if plan.seed.is_multiple_of(EXPIRED_SEEDS) {
            sleep(Duration::from_millis(FOLLOWED_MS.1)).await;
            self.log_in_again(users).await;
            sleep(Duration::from_millis(SHOWN_MS)).await;
        }
    }

    /// Changes the status of all users.
    async fn log_in_again(&self, users: usize) {
        for user in 0..users {
            let request = Request::Login { name: None, device: None, after: None };
            self.surely_change(user, user, OpKind::Login, &request).await;
        }
    }

    /// Makes a call that must succeed, and notes it.
    async fn surely_change(&self, user: usize, other: usize, kind: OpKind, request: &Request) {
        let now_ms = self.world.now_ms();
        let op = self.world.lock().watch.journal.begin(user, Some(other), kind, now_ms);
        if self.surely(user, request).await.is_some() {
            let now_ms = self.world.now_ms();
            self.world.lock().watch.journal.end(op, Outcome::Done, now_ms);
        }
    }

    /// Every acknowledged message is in the log once, as acknowledged, and there is no other
    /// message.
    fn check_acknowledged(&self) {
        let mut core = self.world.lock();
        let mut wrong = Vec::new();
        for (mark, sent) in core.watch.journal.sent.iter().filter(|(_, sent)| !sent.command) {
            let logged = core.watch.logged_by_mark(mark);
            match (logged, sent.acked.first()) {
                (None, Some(id)) => {
                    wrong.push((Rule::SuccessIsStored, format!("{mark} ({id}) is lost")));
                }
                (Some(logged), _) if (logged.from, logged.to) != (sent.from, sent.to) => {
                    wrong.push((
                        Rule::PublishedCorrectly,
                        format!("{mark} is stored as {logged:?}"),
                    ));
                }
                (Some(_), None) if !sent.is_unknown => {
                    wrong.push((
                        Rule::SuccessIsStored,
                        format!("{mark} was refused, and is stored"),
                    ));
                }
                (Some(_), _) | (None, None) => {}
            }
        }
        let unsent = core
            .watch
            .log
            .iter()
            .find(|logged| !core.watch.journal.sent.contains_key(&logged.mark));
        if let Some(unsent) = unsent {
            wrong.push((Rule::StoredOnce, format!("no client sent {unsent:?}")));
        }
        let pushed: Vec<String> = core.pushes.keys().cloned().collect();
        for id in pushed {
            if core.watch.logged(&id).is_none() {
                wrong.push((
                    Rule::PublishedCorrectly,
                    format!("a push for {id}, which is not stored"),
                ));
            }
        }
        for (rule, why) in wrong {
            core.broken(rule, why);
        }
    }

    /// Every stored message was published to both sides, despite crashes.
    fn check_published(&self) {
        let mut core = self.world.lock();
        let mut wrong = Vec::new();
        for logged in &core.watch.log {
            let stored = (logged.id.as_str(), logged.stored_at_ms);
            let pair = (logged.to, logged.from);
            // Deleted messages are not redelivered.
            let is_hidden = core.watch.journal.hidden(pair, stored, (u64::MAX, u64::MAX)).be;
            let is_received = core.watch.received.contains(&(logged.to, logged.id.clone()));
            if !is_received && !is_hidden {
                wrong.push(format!("{} never received {}", NAMES[logged.to], logged.mark));
            }
            for pair in [(logged.to, logged.from), (logged.from, logged.to)] {
                let changed = core.watch.changed.get(&pair).copied().unwrap_or_default();
                // A deleted conversation is not shown.
                let may_be_deleted =
                    core.watch.journal.may_be_delisted_since(pair, logged.stored_at_ms);
                if changed < logged.key && !may_be_deleted {
                    let (user, mark) = (NAMES[pair.0], &logged.mark);
                    wrong.push(format!("{user} received no conversation_changed for {mark}"));
                }
            }
        }
        for why in wrong {
            core.broken(Rule::PublishedAtAll, why);
        }
    }

    /// Checks the limit of messages in any second, by the times at which they were accepted.
    fn check_rate(&self, plan: &Plan) {
        if !plan.is_punctual() {
            // The instances disagree about these times.
            return;
        }
        let mut core = self.world.lock();
        let mut accepted: BTreeMap<(usize, bool), Vec<u64>> = BTreeMap::new();
        for logged in &core.watch.log {
            accepted.entry((logged.from, false)).or_default().push(logged.at_ms);
        }
        for sent in core.watch.journal.sent.values() {
            if sent.command && !sent.acked.is_empty() {
                accepted.entry((sent.from, true)).or_default().push(sent.accepted_ms);
            }
        }
        let setup = core.setup.clone();
        // A crash may hide accepted messages from the next owner, so that twice as many are
        // accepted.
        let times = if plan.is_calm() { 1 } else { 2 };
        for ((user, is_command), mut accepted) in accepted {
            let limit =
                if is_command { setup.commands_per_second } else { setup.messages_per_second };
            accepted.sort_unstable();
            for (index, first) in accepted.iter().enumerate() {
                let later = &accepted[index..];
                let within = later.partition_point(|at| *at < first + SECOND_MS);
                if within > limit * times {
                    let why = format!(
                        "{} had {within} accepted in a second (Commands: {is_command}), not {limit}",
                        NAMES[user]
                    );
                    core.broken(Rule::Rate, why);
                    break;
                }
            }
        }
    }

    /// Reads everything of a user. Each reply is compared with what is stored; pages and totals are
    /// compared with each other.
    async fn read_all(&self, user: usize, users: usize) {
        let Some(list) = self.read_list(user).await else { return };
        let Some(totals) = self.surely(user, &Request::Totals).await else { return };
        if self.surely(user, &Request::Blacklist { count: NAMES.len(), place: 0 }).await.is_none() {
            return;
        }
        let others = (0..users).collect();
        if self.surely(user, &Request::UsersStatus { others }).await.is_none() {
            return;
        }
        let (mut loud, mut all) = (0, 0);
        for other in (0..users).filter(|other| *other != user) {
            if self.read_history(user, other).await.is_none() {
                return;
            }
            let shown = list.get(NAMES[other]);
            let unread = shown.map_or(0, |shown| number(shown, "unreadMessageCount"));
            all += unread;
            if shown.is_none_or(|shown| number(shown, "notificationStatus") == 1) {
                loud += unread;
            }
            let Some(pinned) = self.surely(user, &Request::PinnedMessages { other }).await else {
                return;
            };
            self.same_pins(user, other, &pinned);
            self.read_trees(user, other).await;
            if self.surely(user, &Request::IsBlocked { other }).await.is_none() {
                return;
            }
        }
        let reported = (
            number(&totals, "unreadMessageCount"),
            number(&totals, "unreadMessageCountIncludingMuted"),
        );
        if reported != (loud, all) {
            let why =
                format!("{}'s totals are {reported:?}, the sums {:?}", NAMES[user], (loud, all));
            self.world.lock().broken(Rule::CountsEqualRecount, why);
        }
    }

    /// Reads the trees of replies of a conversation, a few replies at a time.
    async fn read_trees(&self, user: usize, other: usize) {
        let roots: BTreeSet<String> = {
            let core = self.world.lock();
            let between = core.watch.between(user, other);
            between.iter().filter_map(|logged| logged.root.clone()).collect()
        };
        for id in roots {
            let mut after = 0;
            loop {
                let request = Request::RepliedList { other, id: id.clone(), after, count: 3 };
                // Refused if the user deleted the root.
                let Said::Good { body, .. } = self.ask(user, &request).await else { break };
                let next = number(&body, "nextFlag");
                if next == 0 {
                    break;
                }
                if next <= after {
                    let why = format!("the page after {after} ends at {next}");
                    return self.world.lock().broken(Rule::Pages, why);
                }
                after = next;
            }
        }
    }

    /// The conversations by ID. Checks that they are the same with pages of any size.
    async fn read_list(&self, user: usize) -> Option<BTreeMap<String, Value>> {
        let mut lists: Vec<Vec<Value>> = Vec::new();
        for count in [1, 100] {
            let mut list: Vec<Value> = Vec::new();
            loop {
                let after = list.last().and_then(|last| {
                    let other = crate::rules::user(text(last, "conversationID"))?;
                    Some((other, last["orderKey"].as_u64()))
                });
                let request = Request::List { count, after, option: ListOption::default() };
                let page = self.surely(user, &request).await?;
                let page = page["conversationList"].as_array().cloned().unwrap_or_default();
                if page.is_empty() {
                    break;
                }
                list.extend(page);
                if list.len() > NAMES.len() {
                    break;
                }
            }
            lists.push(list);
        }
        let ids = |list: &[Value]| -> Vec<String> {
            list.iter().map(|shown| text(shown, "conversationID").to_owned()).collect()
        };
        let (one, whole) = (ids(&lists[0]), ids(&lists[1]));
        if one != whole {
            let why = format!("{}'s list is {whole:?}, one by one {one:?}", NAMES[user]);
            self.world.lock().broken(Rule::Pages, why);
        }
        Some(whole.into_iter().zip(lists.pop().unwrap_or_default()).collect())
    }

    /// Both users see the same pinned messages, apart from those that one of them may have deleted,
    /// also where it is not known whether they were pinned.
    fn same_pins(&self, user: usize, other: usize, pinned: &Value) {
        let mut core = self.world.lock();
        let is_seen_by_both = |message: &&Value| {
            let Some(logged) = core.watch.logged(text(message, "messageID")) else { return true };
            let stored = (logged.id.as_str(), logged.stored_at_ms);
            let end = (u64::MAX, u64::MAX);
            let pairs = [(user, other), (other, user)];
            pairs.into_iter().all(|pair| !core.watch.journal.hidden(pair, stored, end).be)
        };
        let shown = pinned["messageList"].as_array().into_iter().flatten();
        let shown = shown.filter(is_seen_by_both).map(|message| {
            json!([message["messageID"], message["pinnedUserID"], message["pinnedTime"]])
        });
        let shown: Vec<Value> = shown.collect();
        let users = [user.min(other), user.max(other)];
        let pinned = &mut core.watch.pinned;
        let first = pinned.entry(users).or_insert_with(|| (user, shown.clone())).clone();
        if first.1 != shown {
            let (one, two) = (NAMES[user], NAMES[first.0]);
            let why = format!("{one} sees the pins {shown:?}, {two} sees {:?}", first.1);
            core.broken(Rule::ChangesStay, why);
        }
    }

    /// Both users of a message see the same reactions, also where it is not known whether they were
    /// made.
    fn same_reactions(&self, user: usize, other: usize, message: &Value) {
        let users = [user.min(other), user.max(other)];
        let reacted = users.into_iter().filter(|user| has_reacted(*user, message)).collect();
        let id = text(message, "messageID").to_owned();
        let mut core = self.world.lock();
        let seen = core.watch.reacted.entry(id).or_insert((user, reacted)).clone();
        let now: Vec<usize> =
            users.into_iter().filter(|user| has_reacted(*user, message)).collect();
        if seen.1 != now {
            let why =
                format!("{} sees {message}, {} sees {:?}", NAMES[user], NAMES[seen.0], seen.1);
            core.broken(Rule::ChangesStay, why);
        }
    }

    /// The messages that a user sees. Checks that they are the same with pages of any size, from
    /// either end.
    async fn read_history(&self, user: usize, other: usize) -> Option<Vec<Value>> {
        let mut read: Vec<Vec<Value>> = Vec::new();
        for reverse in [true, false] {
            for count in PAGES {
                let mut all: Vec<Value> = Vec::new();
                loop {
                    let edge = if reverse { all.first() } else { all.last() };
                    let anchor = edge.map(|edge| text(edge, "messageID").to_owned());
                    let request = Request::History { other, reverse, count, anchor };
                    let page = self.surely(user, &request).await?;
                    let page = page["messageList"].as_array().cloned().unwrap_or_default();
                    if page.is_empty() {
                        break;
                    }
                    let at = if reverse { 0 } else { all.len() };
                    all.splice(at..at, page);
                    if all.len() > self.world.lock().watch.log.len() {
                        break;
                    }
                }
                read.push(all);
            }
        }
        for message in read.last().into_iter().flatten() {
            self.same_reactions(user, other, message);
        }
        let ids = |all: &Vec<Value>| -> Vec<String> {
            all.iter().map(|message| text(message, "messageID").to_owned()).collect()
        };
        let all: Vec<Vec<String>> = read.iter().map(ids).collect();
        if all.iter().any(|ids| *ids != all[0]) {
            let (user, other) = (NAMES[user], NAMES[other]);
            let why = format!("the history of {user} with {other} differs by its pages: {all:?}");
            self.world.lock().broken(Rule::Pages, why);
        }
        read.pop()
    }
}
