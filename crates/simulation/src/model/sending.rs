//! The expected results of a send.

use serde_json::{Value, json};

use crate::model::conversations::NO_MESSAGE;
use crate::model::flaw::Flaw;
use crate::model::state::{Message, show_message};
use crate::model::{Expected, INVALID_PARAMETER, Model, Reply, Wrong};
use crate::names::{NAMES, number};
use crate::single::calls::{Config, Draft, content};
use crate::single::world::{
    COMMANDS_PER_SECOND, MESSAGES_PER_SECOND, Observed, PublishedEvent, Pushed, REPEAT_MS,
    RETRY_MS, token,
};

const SECOND_MS: u64 = 1000;
const RATE_LIMITED: (u32, &str) = (6_000_005, "rate_limited");

/// The draft's local message ID; empty for none.
pub(crate) fn local_id(draft: &Draft) -> String {
    draft.local.map_or_else(String::new, |number| format!("local {number}"))
}

/// The draft's extended data.
pub(crate) fn extended_data(draft: &Draft) -> &'static str {
    if draft.extended { "more" } else { "" }
}

/// The push configuration with this index.
pub(crate) fn push(number: usize) -> Value {
    [
        json!({"title": "T", "content": "C", "payload": "P", "resourcesID": "R", "threadID": "H"}),
        json!({"title": "only this", "enableBadge": true}),
    ][number]
        .clone()
}

fn is_command(draft: &Draft) -> bool {
    draft.kind == 1
}

fn received(message: &Message) -> Value {
    json!({
        "messageList": [show_message(message.to, message)],
        "fromConversationID": NAMES[message.from],
        "info": { "isOfflineMessage": false },
    })
}

fn says_the_same(first: &Message, draft: &Draft) -> bool {
    let original = first.original.as_ref().map(|original| &original.id);
    first.content == content(draft.kind, draft.variant)
        && first.extended == extended_data(draft)
        && original == draft.original.as_ref()
}

/// A repeat gets the first reply again, and no event is published.
fn repeated(from: usize, first: &Message) -> Expected {
    let reply = json!({ "message": show_message(from, first) });
    Expected { reply: Reply::Repeated(reply), ..Expected::good(Value::Null, Vec::new()) }
}

impl Model {
    /// Checks, in this order: parameters, the sender's rate, the receiver's rules, repeats.
    pub(crate) fn send(
        &mut self,
        from: usize,
        to: usize,
        draft: &Draft,
        config: &Config,
        now_ms: u64,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        if to == from || (config.receipt && is_command(draft)) {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        if let Some(refused) = self.over_the_rate(from, draft, now_ms, observed) {
            let first = self.known_over_the_rate(from, to, draft, now_ms, observed);
            return Ok(first.map_or(refused, |first| repeated(from, &first)));
        }
        if self.setup.require_known_receiver && !self.state.users[to].ever_logged_in {
            return Ok(Expected::refused((6_000_204, "target_not_found")));
        }
        if self.state.users[to].blocked.contains(&from) && self.state.flaw != Flaw::BlockedMaySend {
            return Ok(Expected::refused((6_000_284, "blocked_by_receiver")));
        }
        if is_command(draft) {
            return self.send_command(from, to, draft, now_ms, observed);
        }
        if let Some(first) = self.used_before(from, to, draft, config, now_ms) {
            if first.is_revoked || !says_the_same(&first, draft) {
                return Ok(Expected::refused((6_000_001, "local_message_id_reused")));
            }
            return Ok(repeated(from, &first));
        }
        self.store(from, to, draft, config, now_ms, observed)
    }

    /// A send that replies to a message, which the sender must see.
    pub(crate) fn reply(
        &mut self,
        (from, to): (usize, usize),
        pick: usize,
        (draft, config): (&Draft, &Config),
        now_ms: u64,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        if is_command(draft) {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        let original = self.anchor(from, to, Some(pick)).cloned();
        let id = original.as_ref().map_or(NO_MESSAGE, |original| original.id.as_str());
        let draft = &Draft { original: Some(id.to_owned()), ..draft.clone() };
        let refused = match &original {
            Some(original) if original.hidden_for.contains(&from) => Some(INVALID_PARAMETER),
            Some(original) if original.is_revoked => Some((6_000_279, "message_revoked")),
            Some(_) => None,
            None => Some(INVALID_PARAMETER),
        };
        let is_over = self.over_the_rate(from, draft, now_ms, observed).is_some();
        let Some(refused) = refused.filter(|_| to != from && !is_over) else {
            return self.send(from, to, draft, config, now_ms, observed);
        };
        // A repeat is answered nevertheless.
        let is_blocked = self.state.users[to].blocked.contains(&from);
        let first = self.used_before(from, to, draft, config, now_ms);
        let first = first.filter(|first| !first.is_revoked && says_the_same(first, draft));
        let first = first.filter(|_| !is_blocked || self.state.flaw == Flaw::BlockedMaySend);
        Ok(first.map_or(Expected::refused(refused), |first| repeated(from, &first)))
    }

    /// Applies the limit of messages in any second. Rejected calls and repeats do not count.
    fn over_the_rate(
        &self,
        from: usize,
        draft: &Draft,
        now_ms: u64,
        observed: &Observed,
    ) -> Option<Expected> {
        let account = &self.state.users[from];
        let (accepted, limit) = if is_command(draft) {
            (&account.commands_ms, COMMANDS_PER_SECOND)
        } else {
            (&account.accepted_ms, MESSAGES_PER_SECOND)
        };
        let limit = limit + usize::from(self.state.flaw == Flaw::OneMoreInASecond);
        let within: Vec<u64> =
            accepted.iter().copied().filter(|at| at + SECOND_MS > now_ms).collect();
        let retry_after_ms =
            within.len().checked_sub(limit).map(|at| within[at] + SECOND_MS - now_ms);
        let seen = observed.reply["reason"] == RATE_LIMITED.1;
        let seen_ms = number(&observed.reply, "retryAfterMs");
        // Commands are not stored, so an evicted user starts with an empty count.
        let may_be_forgotten = is_command(draft) && self.is_forgetful() && !seen;
        // A daemon that just started may count earlier messages as sent at its start.
        let since_ms = self.restarted_ms.map_or(SECOND_MS, |at| now_ms - at);
        let is_fresh = since_ms < SECOND_MS
            && account.accepted_ms.iter().any(|at| at + since_ms + SECOND_MS > now_ms);
        let retry_after_ms = match retry_after_ms {
            Some(_) if may_be_forgotten => return None,
            Some(exact) if is_fresh && seen && seen_ms > exact && seen_ms <= SECOND_MS => seen_ms,
            Some(exact) => exact,
            None if is_fresh && seen && seen_ms <= SECOND_MS - since_ms => seen_ms,
            None => return None,
        };
        let (code, reason) = RATE_LIMITED;
        let reply = Reply::Refused { code, reason, retry_after_ms: Some(retry_after_ms) };
        Some(Expected { reply, ..Expected::good(Value::Null, Vec::new()) })
    }

    /// The original message of a send over the rate: it is found only as far as the daemon's memory
    /// goes.
    fn known_over_the_rate(
        &self,
        from: usize,
        to: usize,
        draft: &Draft,
        now_ms: u64,
        observed: &Observed,
    ) -> Option<Message> {
        let first = self.used_before(from, to, draft, &Config::default(), now_ms)?;
        let may_be_forgotten =
            self.is_forgetful() || self.restarted_ms.is_some_and(|at| first.at_ms <= at);
        let is_refused = observed.reply["reason"] == RATE_LIMITED.1;
        let is_repeat = !is_command(draft) && !first.is_revoked && says_the_same(&first, draft);
        (is_repeat && !(may_be_forgotten && is_refused)).then_some(first)
    }

    /// The newest message with the draft's local ID within the window in which repeats are
    /// recognized.
    fn used_before(
        &self,
        from: usize,
        to: usize,
        draft: &Draft,
        config: &Config,
        now_ms: u64,
    ) -> Option<Message> {
        let local = local_id(draft);
        let span_ms = if config.retry { RETRY_MS } else { REPEAT_MS };
        let is_early = self.state.flaw == Flaw::RepeatsAreForgottenEarly;
        let span_ms = if is_early { span_ms / 2 } else { span_ms };
        let is_it = |message: &&&Message| {
            message.from == from && message.local == local && message.at_ms + span_ms >= now_ms
        };
        let messages = self.state.between(from, to);
        messages
            .iter()
            .rev()
            .find(is_it)
            .filter(|_| !local.is_empty())
            .map(|found| (*found).clone())
    }

    /// The message with the ID and the order key that the daemon assigned.
    fn given(
        &mut self,
        from: usize,
        to: usize,
        draft: &Draft,
        config: &Config,
        now_ms: u64,
        observed: &Observed,
    ) -> Result<Message, Wrong> {
        let seen = &observed.reply["message"];
        let id = seen["messageID"].as_str().unwrap_or_default().to_owned();
        let key = number(seen, "orderKey");
        let newest_published = self.state.users[from].newest_published;
        if key <= newest_published || key >= 1 << 53 {
            return Err(format!(
                "the order key {key} is not above {newest_published}: {observed:?}"
            ));
        }
        if id.is_empty() || !self.ids.insert(id.clone()) {
            return Err(format!("the message ID {id:?} is not new"));
        }
        let original = draft.original.as_ref().and_then(|id| {
            let original = self.state.messages.iter().find(|message| message.id == *id);
            original.map(|original| Message { original: None, ..original.clone() })
        });
        let sent = self.state.messages.iter().filter(|sent| (sent.from, sent.to) == (from, to));
        let seq = if is_command(draft) { 0 } else { sent.count() as u64 + 1 };
        Ok(Message {
            id,
            key,
            seq,
            from,
            to,
            at_ms: now_ms,
            local: local_id(draft),
            content: content(draft.kind, draft.variant),
            extended: extended_data(draft).to_owned(),
            receipt: config.receipt,
            counts: !config.not_counted,
            read: false,
            hidden_for: Vec::new(),
            shown: None,
            edited_ms: 0,
            is_revoked: false,
            reactions: Vec::new(),
            pinned: None,
            root: original.as_ref().map(|original| self.root_of(original)),
            replied_count: 0,
            original: original.map(Box::new),
            confirmed: false,
            read_ms: 0,
        })
    }

    /// A Command is delivered live and changes no conversation.
    fn send_command(
        &mut self,
        from: usize,
        to: usize,
        draft: &Draft,
        now_ms: u64,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let message = self.given(from, to, draft, &Config::default(), now_ms, observed)?;
        self.state.users[from].commands_ms.push(now_ms);
        let body = received(&message);
        let events =
            vec![self.event_without_change(to, "peer_message_received", body, observed)?];
        let reply = json!({ "message": show_message(from, &message) });
        Ok(Expected::good(reply, events))
    }

    /// Stores the message; publishes to the receiver, then to the sender; pushes to an offline
    /// receiver.
    fn store(
        &mut self,
        from: usize,
        to: usize,
        draft: &Draft,
        config: &Config,
        now_ms: u64,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let message = self.given(from, to, draft, config, now_ms, observed)?;
        let is_flawed = self.state.flaw == Flaw::EveryMessageIsTheFirst;
        let is_first = [(to, from), (from, to)].map(|(user, other)| {
            !(self.state.exists(user, other) && self.state.has_begun(user, other))
        });
        self.state.messages.push(message.clone());
        if let Some(root) = &message.root {
            self.state.recount_replies(root);
        }
        let stays = self.state.flaw == Flaw::UnreadMarkStays;
        let settings = self.state.users[from].settings.get_mut(&to);
        if let Some(settings) = settings.filter(|_| !stays) {
            settings.marked_unread = false;
        }
        self.state.users[from].accepted_ms.push(now_ms);
        let changed = |model: &Self, user: usize, other: usize| {
            let conversation = model.state.show_conversation(user, other);
            let is_first = is_first[usize::from(user == from)] || is_flawed;
            let (event, action) = if is_first { (0, 0) } else { (1, 2) };
            let infos = json!([{ "event": event, "action": action, "conversation": conversation }]);
            ("conversation_changed", json!({ "infoList": infos }))
        };
        let is_muted = self.state.settings(to, from).muted;
        let mut to_receiver =
            vec![("peer_message_received", received(&message)), changed(self, to, from)];
        if !is_muted {
            to_receiver.push(self.total_changed(to));
        }
        let to_sender = vec![changed(self, from, to)];
        let mut events = self.events_of_change(to, to_receiver, observed)?;
        events.extend(self.count_changed((to, from), &message, observed)?);
        events.extend(self.events_of_change(from, to_sender, observed)?);
        events.extend(self.count_changed((from, to), &message, observed)?);
        for (user, other) in [(to, from), (from, to)] {
            let revision = self.state.users[user].revision;
            self.settings_mut(user, other).revision = revision;
        }
        let reply = json!({ "message": show_message(from, &message) });
        let mut expected = Expected::good(reply, events);
        let wakes_muted = self.state.flaw == Flaw::PushesWakeTheMuted;
        let is_wanted = (!is_muted || wakes_muted) && !self.state.is_online(to, now_ms);
        if let Some(number) = config.push.filter(|_| is_wanted) {
            expected.pushes.push(self.pushed(&message, &push(number)));
        }
        Ok(expected)
    }

    /// The ID of the root of the tree to which a reply to a message belongs.
    fn root_of(&self, original: &Message) -> String {
        let root = original.root.clone().filter(|_| self.state.flaw != Flaw::RootsAreForgotten);
        root.unwrap_or_else(|| original.id.clone())
    }

    /// The event about the number of replies to a user who is logged in and sees the root.
    fn count_changed(
        &self,
        (user, other): (usize, usize),
        reply: &Message,
        observed: &Observed,
    ) -> Result<Option<PublishedEvent>, Wrong> {
        let root = reply.root.as_ref();
        let root = root.and_then(|id| self.state.messages.iter().find(|it| it.id == *id));
        let is_seen = |root: &&Message| !root.is_revoked && !root.hidden_for.contains(&user);
        let is_logged_in = self.state.is_logged_in(user, self.now_ms);
        let is_published = is_logged_in && self.state.flaw != Flaw::CountsGoUnnoticed;
        let Some(root) = root.filter(is_seen).filter(|_| is_published) else { return Ok(None) };
        let body = json!({ "infos": [{
            "messageID": root.id,
            "conversationID": NAMES[other],
            "conversationType": 0,
            "count": root.replied_count,
        }] });
        self.event_without_change(user, "message_replied_count_changed", body, observed).map(Some)
    }

    fn pushed(&self, message: &Message, config: &Value) -> Pushed {
        let text = |field: &str| config[field].as_str().unwrap_or_default();
        let body = json!({
            "title": text("title"),
            "content": text("content"),
            "payload": text("payload"),
            "resourcesID": text("resourcesID"),
            "threadID": text("threadID"),
            "badge": self.state.totals(message.to).0,
            "messageID": message.id,
            "from": NAMES[message.from],
            "to": NAMES[message.to],
        });
        let subject = format!("peer.push.{}", token(NAMES[message.to]));
        Pushed { subject, id: message.id.clone(), body }
    }
}
