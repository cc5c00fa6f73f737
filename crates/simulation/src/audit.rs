//! The end of a run: all faults are over, and every user reads everything. The results are compared
//! with the log and with the earlier replies.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::client::{Client, Said};
use crate::journal::{OpKind, Outcome};
use crate::plan::{NAMES, Plan};
use crate::rules::{Logged, Rule, number, text};

/// How many times a call is tried until it succeeds.
const TRIES: usize = 12;
const SECOND_MS: u64 = 1000;
/// The numbers of messages per page.
const PAGES: [usize; 2] = [5, 100];

impl Client {
    /// Makes a call that must succeed.
    async fn surely(&self, user: usize, method: &str, body: &Value) -> Option<Value> {
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.ask(user, method, body).await {
                Said::Good { body, .. } => return Some(body),
                said @ (Said::Refused { .. } | Said::Nothing) => last = format!("{said:?}"),
            }
            sleep(Duration::from_millis(300)).await;
        }
        let why = format!("{method} by {} still fails at the end: {last}", NAMES[user]);
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
        self.check_told();
        self.check_rate(plan);
        for user in 0..plan.setup.users {
            if self.world.lock().watch.first.is_some() {
                return;
            }
            let now_ms = self.world.now_ms();
            let login = OpKind::Login;
            let op = self.world.lock().watch.journal.begin(user, Some(user), login, now_ms);
            if self.surely(user, "login", &json!({})).await.is_none() {
                return;
            }
            let now_ms = self.world.now_ms();
            self.world.lock().watch.journal.end(op, Outcome::Done, now_ms);
            self.read_all(user, plan.setup.users).await;
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
                    wrong.push((Rule::ToldRightly, format!("{mark} is stored as {logged:?}")));
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
                wrong.push((Rule::ToldRightly, format!("a push for {id}, which is not stored")));
            }
        }
        for (rule, why) in wrong {
            core.broken(rule, why);
        }
    }

    /// Every stored message was published to both sides, whatever crashed in between.
    fn check_told(&self) {
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
                if changed < logged.key {
                    let (user, mark) = (NAMES[pair.0], &logged.mark);
                    wrong.push(format!("{user} received no conversation_changed for {mark}"));
                }
            }
        }
        for why in wrong {
            core.broken(Rule::ToldAtAll, why);
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
            accepted.entry((logged.from, false)).or_default().push(logged.accepted_ms);
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

    async fn read_all(&self, user: usize, users: usize) {
        let Some(list) = self.read_list(user).await else { return };
        let totals = "query_conversation_total_unread_message_count";
        let Some(totals) = self.surely(user, totals, &json!({})).await else { return };
        let (mut loud, mut all) = (0, 0);
        for other in (0..users).filter(|other| *other != user) {
            let Some(history) = self.read_history(user, other).await else { return };
            let shown = list.get(NAMES[other]);
            self.check_history(user, other, &history);
            let unread = shown.map_or(0, |shown| number(shown, "unreadMessageCount"));
            all += unread;
            if shown.is_none_or(|shown| number(shown, "notificationStatus") == 1) {
                loud += unread;
            }
            self.check_conversation(user, other, shown, &history);
            self.check_block(user, other).await;
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

    /// The conversations by ID. Checks that they are the same with pages of any size.
    async fn read_list(&self, user: usize) -> Option<BTreeMap<String, Value>> {
        let mut lists: Vec<Vec<Value>> = Vec::new();
        for count in [1, 100] {
            let mut list: Vec<Value> = Vec::new();
            loop {
                let next = list.last().map(|last| {
                    json!({ "conversationID": last["conversationID"], "orderKey": last["orderKey"] })
                });
                let body = json!({ "config": { "count": count, "nextConversation": next } });
                let page = self.surely(user, "query_conversation_list", &body).await?;
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

    /// The messages that a user sees. Checks that they are the same with pages of any size, from
    /// either end.
    async fn read_history(&self, user: usize, other: usize) -> Option<Vec<Value>> {
        let mut read: Vec<Vec<Value>> = Vec::new();
        for reverse in [true, false] {
            for count in PAGES {
                let mut all: Vec<Value> = Vec::new();
                loop {
                    let edge = if reverse { all.first() } else { all.last() };
                    let next = edge.map(|edge| json!({ "messageID": edge["messageID"] }));
                    let config = json!({ "count": count, "reverse": reverse, "nextMessage": next });
                    let body = json!({ "conversationID": NAMES[other], "config": config });
                    let page = self.surely(user, "query_history_message", &body).await?;
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

    /// Checks that the history is the log without the messages that the user deleted.
    fn check_history(&self, user: usize, other: usize, history: &[Value]) {
        let mut core = self.world.lock();
        for message in history {
            core.watch.is_of(user, message);
        }
        let keys: Vec<u64> = history.iter().map(|message| number(message, "orderKey")).collect();
        if !keys.is_sorted_by(|a, b| a < b) {
            core.broken(Rule::Pages, format!("the history is not in order: {keys:?}"));
        }
        let mut wrong = Vec::new();
        for logged in core.watch.between(user, other) {
            let is_shown = history.iter().any(|message| text(message, "messageID") == logged.id);
            let stored = (logged.id.as_str(), logged.stored_at_ms);
            let span = (u64::MAX, u64::MAX);
            let hidden = core.watch.journal.hidden((user, other), stored, span);
            if is_shown && !hidden.not_be {
                wrong.push((Rule::ChangesStay, format!("{} was deleted", logged.mark)));
            }
            if !is_shown && !hidden.be {
                wrong.push((Rule::NeverStale, format!("{} is missing", logged.mark)));
            }
        }
        for (rule, why) in wrong {
            let (user, other) = (NAMES[user], NAMES[other]);
            core.broken(rule, format!("the history of {user} with {other}: {why}"));
        }
    }

    /// Checks that a conversation shows a recount of its messages and the user's settings.
    fn check_conversation(
        &self,
        user: usize,
        other: usize,
        shown: Option<&Value>,
        history: &[Value],
    ) {
        let mut core = self.world.lock();
        let between: Vec<Logged> = core.watch.between(user, other).into_iter().cloned().collect();
        let (me, with) = (NAMES[user], NAMES[other]);
        let Some(shown) = shown else {
            if !between.is_empty() {
                core.broken(Rule::NeverStale, format!("{me} has no conversation with {with}"));
            }
            return;
        };
        let read_seq = number(shown, "readMessageSeq");
        let received = |logged: &&Logged| logged.from == other;
        let is_visible = |logged: &&Logged| {
            history.iter().any(|message| text(message, "messageID") == logged.id)
        };
        let counted = between.iter().filter(received).filter(|logged| logged.counts);
        let unread = counted.clone().filter(is_visible).filter(|logged| logged.seq > read_seq);
        let (unread, reported) = (unread.count() as u64, number(shown, "unreadMessageCount"));
        if unread != reported {
            let why = format!("{me} has {reported} unread with {with}, the recount {unread}");
            core.broken(Rule::CountsEqualRecount, why);
        }
        let newest = between.last().map(|logged| logged.key);
        if newest.is_some_and(|newest| newest != number(shown, "orderKey")) {
            let why = format!("{me}'s {with} has order key {}, not {newest:?}", shown["orderKey"]);
            core.broken(Rule::NeverStale, why);
        }
        let last = history.last().map(|last| &last["messageID"]);
        let shown_last =
            shown["lastMessage"].is_object().then(|| &shown["lastMessage"]["messageID"]);
        if last != shown_last {
            let why = format!("{me}'s {with} shows {shown_last:?} as the last, not {last:?}");
            core.broken(Rule::NeverStale, why);
        }
        // The messages that the user knew when clearing are read; messages after the last clear are
        // not.
        let mut wrong = Vec::new();
        let journal = &core.watch.journal;
        let mut last_ms = 0;
        for op in journal.clears(user, other) {
            last_ms = last_ms.max(op.done_ms);
            let is_done = op.outcome == Outcome::Done;
            let unread = counted
                .clone()
                .filter(is_visible)
                .find(|logged| is_done && op.known.contains(&logged.id) && logged.seq > read_seq);
            if let Some(unread) = unread {
                wrong.push(format!(
                    "{me} had read {} of {with}, but the read mark is {read_seq}",
                    unread.seq
                ));
            }
        }
        let stored = between.iter().filter(received);
        let most = stored.filter(|logged| logged.stored_at_ms <= last_ms).map(|logged| logged.seq);
        if read_seq > most.max().unwrap_or_default() {
            wrong.push(format!("{me} has read {with} up to {read_seq}, which did not exist"));
        }
        let may = journal.may_mute((user, other), (u64::MAX, u64::MAX));
        let is_muted = number(shown, "notificationStatus") == 2;
        if (is_muted && !may.be) || (!is_muted && !may.not_be) {
            wrong.push(format!("{me} has {with} muted: {is_muted}"));
        }
        for why in wrong {
            core.broken(Rule::ChangesStay, why);
        }
    }

    async fn check_block(&self, user: usize, other: usize) {
        let body = json!({ "userID": NAMES[other] });
        let Some(said) = self.surely(user, "check_user_is_in_blacklist", &body).await else {
            return;
        };
        let is_blocked = said["isUserInBlacklist"].as_bool().unwrap_or_default();
        let mut core = self.world.lock();
        let may = core.watch.journal.may_block((user, other), (u64::MAX, u64::MAX));
        if (is_blocked && !may.be) || (!is_blocked && !may.not_be) {
            let why = format!("{} has {} blocked: {is_blocked}", NAMES[user], NAMES[other]);
            core.broken(Rule::ChangesStay, why);
        }
    }
}
