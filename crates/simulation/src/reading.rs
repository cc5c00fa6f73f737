//! Users that read while everything goes on. They must see everything that they received in events.

use serde_json::{Value, json};

use crate::client::{Client, Said};
use crate::plan::NAMES;
use crate::rules::{Rule, number, text};

impl Client {
    pub(crate) async fn history(
        &self,
        user: usize,
        other: usize,
        count: usize,
        reverse: bool,
        pick: Option<usize>,
    ) {
        let asked_ms = self.world.now_ms();
        let (known, anchor) = {
            let core = self.world.lock();
            let journal = &core.watch.journal;
            let known = journal.known_with(user, other);
            let anchor =
                pick.filter(|_| !known.is_empty()).map(|pick| known[pick % known.len()].clone());
            let anchor_key = anchor.as_ref().and_then(|id| core.watch.logged(id)).map(|at| at.key);
            (known, anchor.zip(anchor_key))
        };
        let next = anchor.as_ref().map(|(id, _)| json!({ "messageID": id }));
        let config = json!({ "count": count, "reverse": reverse, "nextMessage": next });
        let body = json!({ "conversationID": NAMES[other], "config": config });
        let said = self.ask(user, "query_history_message", &body).await;
        let Said::Good { body, .. } = said else { return };
        let now_ms = self.world.now_ms();
        let page = body["messageList"].as_array().cloned().unwrap_or_default();
        let mut core = self.world.lock();
        for message in &page {
            core.watch.is_of(user, message);
        }
        let keys: Vec<u64> = page.iter().map(|message| number(message, "orderKey")).collect();
        if !keys.is_sorted_by(|a, b| a < b) || page.len() > count {
            core.broken(Rule::Pages, format!("a page of {count} is {keys:?}"));
        }
        let at = anchor.map(|(_, key)| key);
        let is_beyond = |key: u64| at.is_none_or(|at| if reverse { key < at } else { key > at });
        if let Some(wrong) = keys.iter().find(|key| !is_beyond(**key)) {
            core.broken(Rule::Pages, format!("a page {reverse} of {at:?} shows {wrong}"));
        }
        // Within its range, the page must show every message that the user knows and has not
        // deleted.
        let edge = if page.len() < count {
            None
        } else if reverse {
            keys.first()
        } else {
            keys.last()
        };
        let is_covered =
            |key: u64| edge.is_none_or(|edge| if reverse { key >= *edge } else { key <= *edge });
        let shown: Vec<&str> = page.iter().map(|message| text(message, "messageID")).collect();
        let mut wrong = Vec::new();
        for id in &known {
            let Some(logged) = core.watch.logged(id) else { continue };
            let stored = (id.as_str(), logged.stored_at_ms);
            let hidden = core.watch.journal.hidden((user, other), stored, (asked_ms, now_ms));
            let is_due = is_beyond(logged.key) && is_covered(logged.key);
            let is_shown = shown.contains(&id.as_str());
            if is_due && !hidden.be && !is_shown {
                wrong.push((Rule::NeverStale, format!("{id} ({}) is missing", logged.mark)));
            }
            if is_shown && !hidden.not_be {
                wrong.push((Rule::ChangesStay, format!("{id} ({}) was deleted", logged.mark)));
            }
        }
        for (rule, why) in wrong {
            let (user, other) = (NAMES[user], NAMES[other]);
            core.broken(rule, format!("{user} reads the history with {other}: {why}"));
        }
    }

    pub(crate) async fn list(&self, user: usize, count: usize) {
        let body = json!({ "config": { "count": count } });
        let (asked_ms, known) = (self.world.now_ms(), self.newest_known(user));
        let said = self.ask(user, "query_conversation_list", &body).await;
        let Said::Good { body, .. } = said else { return };
        let list = body["conversationList"].as_array().cloned().unwrap_or_default();
        let keys: Vec<u64> = list.iter().map(|shown| number(shown, "orderKey")).collect();
        if !keys.is_sorted_by(|a, b| a >= b) || list.len() > count {
            self.world.lock().broken(Rule::Pages, format!("a list of {count} is {keys:?}"));
        }
        for shown in &list {
            self.is_current(user, shown, &known, asked_ms);
        }
    }

    /// The newest order key that a user knows in each conversation, by the other user.
    fn newest_known(&self, user: usize) -> Vec<u64> {
        let core = self.world.lock();
        (0..NAMES.len()).map(|other| core.watch.journal.newest_known(user, other)).collect()
    }

    pub(crate) async fn conversation(&self, user: usize, other: usize) {
        let (asked_ms, known) = (self.world.now_ms(), self.newest_known(user));
        let body = json!({ "conversationID": NAMES[other] });
        match self.ask(user, "query_conversation", &body).await {
            Said::Good { body, .. } => {
                self.is_current(user, &body["conversation"], &known, asked_ms);
            }
            Said::Refused { code: 6_000_603, .. } if known[other] > 0 => {
                let why =
                    format!("{} is denied the conversation with {}", NAMES[user], NAMES[other]);
                self.world.lock().broken(Rule::NeverStale, why);
            }
            Said::Refused { .. } | Said::Nothing => {}
        }
    }

    /// Checks that a conversation is not older than what its user knew when asking.
    fn is_current(&self, user: usize, shown: &Value, known: &[u64], asked_ms: u64) {
        let now_ms = self.world.now_ms();
        let mut core = self.world.lock();
        let Some(other) = crate::rules::user(text(shown, "conversationID")) else { return };
        if shown["lastMessage"].is_object() {
            core.watch.is_of(user, &shown["lastMessage"]);
        }
        let key = number(shown, "orderKey");
        let known = known[other];
        if known > key {
            let (user, other) = (NAMES[user], NAMES[other]);
            let why = format!("{user} is shown {other} as of {key}, and knew {known}");
            core.broken(Rule::NeverStale, why);
        }
        let stored = core
            .watch
            .log
            .iter()
            .filter(|logged| (logged.from, logged.to) == (other, user) && logged.counts);
        let (most, unread) = (stored.count() as u64, number(shown, "unreadMessageCount"));
        if unread > most {
            let why = format!("{} has {unread} unread of {most}", NAMES[user]);
            core.broken(Rule::CountsEqualRecount, why);
        }
        let may = core.watch.journal.may_mute((user, other), (asked_ms, now_ms));
        let is_muted = number(shown, "notificationStatus") == 2;
        if (is_muted && !may.be) || (!is_muted && !may.not_be) {
            let why = format!("{} has {} muted: {is_muted}", NAMES[user], NAMES[other]);
            core.broken(Rule::ChangesStay, why);
        }
    }
}
