//! The model of the contract.
//!
//! [`request`] has every call in the form in which clients write it. [`replies`] has the possible
//! replies to each, given the known facts ([`facts`]). For a single instance these are its plain
//! state ([`state`]), where everything is certain; in the simulation they are the knowledge of the
//! clients, since calls overlap and outcomes may be unknown.
//!
//! [`Model`] applies calls to the state and expects their exact events, pushes and refusals.
//! Numbers that only the daemon can choose (IDs, order keys, revisions) are taken from the observed
//! results, after a check against the rules of the contract. Everything else is computed.

pub(crate) mod amending;
mod blocking;
mod certain;
pub(crate) mod conversations;
mod delisting;
pub(crate) mod facts;
pub(crate) mod flaw;
mod following;
mod pins;
mod preferences;
mod profile;
mod receipts;
pub(crate) mod replies;
pub(crate) mod request;
pub(crate) mod sending;
pub(crate) mod state;

use std::collections::HashSet;

use peerd::bus::Kind;
use serde_json::{Value, json};

use self::amending::Reacting;
use self::certain::Certain;
pub use self::flaw::Flaw;
use self::replies::CONVERSATION_NOT_FOUND;
use self::request::Request;
use self::state::{Message, Session, State, merge, show_message};
use crate::names::{NAMES, number};
use crate::single::calls::{Call, DRAFTS, INVALID, PROFILES, REACTIONS, STATUSES};
use crate::single::world::{
    HEARTBEAT_MS, MAX_SESSIONS, Observed, PublishedEvent, Pushed, REPLAY_AGE_MS, REPLAY_MESSAGES,
    Setup,
};

/// A description of a difference.
pub(crate) type Wrong = String;

/// The expected results of a call.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) reply: Reply,
    pub(crate) events: Vec<PublishedEvent>,
    pub(crate) events_before_reply: usize,
    pub(crate) pushes: Vec<Pushed>,
}

#[derive(Debug)]
pub(crate) enum Reply {
    /// A reply that [`replies`] admits.
    Read,
    Good(Value),
    Repeated(Value),
    Refused {
        code: u32,
        reason: &'static str,
        retry_after_ms: Option<u64>,
    },
}

pub(crate) const INVALID_PARAMETER: (u32, &str) = (6_000_001, "invalid_parameter");

impl Expected {
    pub(crate) fn good(reply: Value, events: Vec<PublishedEvent>) -> Self {
        let events_before_reply = events.len();
        Self { reply: Reply::Good(reply), events, events_before_reply, pushes: Vec::new() }
    }

    fn read() -> Self {
        Self { reply: Reply::Read, ..Self::good(Value::Null, Vec::new()) }
    }

    pub(crate) fn refused((code, reason): (u32, &'static str)) -> Self {
        Self {
            reply: Reply::Refused { code, reason, retry_after_ms: None },
            ..Self::good(Value::Null, Vec::new())
        }
    }
}

/// The model: the expected state, and the observed numbers that only the daemon can choose.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) state: State,
    pub(crate) setup: Setup,
    pub(crate) restarted_ms: Option<u64>,
    /// The time of the current call.
    pub(crate) now_ms: u64,
    /// All message IDs that were assigned.
    pub(crate) ids: HashSet<String>,
}

impl Model {
    pub(crate) fn new(setup: &Setup, flaw: Flaw) -> Self {
        let (setup, state) = (setup.clone(), State::new(flaw));
        Self { state, setup, restarted_ms: None, now_ms: 0, ids: HashSet::new() }
    }

    /// A restart loses only the rate limiter's record of Commands.
    pub(crate) fn restart(&mut self, now_ms: u64) {
        self.restarted_ms = Some(now_ms);
        for user in &mut self.state.users {
            user.commands_ms.clear();
            user.following.forget();
        }
    }

    /// Whether the daemon may evict a user from memory at any time.
    pub(crate) fn is_forgetful(&self) -> bool {
        self.setup.cached_users == 0
    }

    /// Applies a call to the model, and compares the observed results with the expected ones.
    pub(crate) fn check(
        &mut self,
        user: usize,
        (call, request): (&Call, Option<&Request>),
        now_ms: u64,
        observed: &Observed,
    ) -> Result<(), Wrong> {
        self.now_ms = now_ms;
        // A message that was sent is in the state afterwards; the caller was logged in before.
        let is_send = matches!(call, Call::Send { .. } | Call::Reply { .. });
        if !is_send {
            self.judge(user, request, observed)?;
        }
        let expected = self.expect(user, call, now_ms, observed)?;
        if is_send {
            self.judge(user, request, observed)?;
        }
        compare_reply(&expected.reply, observed)?;
        same("events", &by_id(&expected.events), &by_id(&observed.events))?;
        same(
            "events before the reply",
            &expected.events_before_reply,
            &observed.events_before_reply,
        )?;
        same("pushes", &expected.pushes, &observed.pushes)?;
        for event in &observed.events {
            self.note_newest(event.user, &event.body);
        }
        self.note_newest(user, &observed.reply);
        Ok(())
    }

    /// The facts of the state.
    pub(crate) const fn facts(&self) -> Certain<'_> {
        Certain { state: &self.state, now_ms: self.now_ms }
    }

    /// Compares a reply with what is known.
    fn judge(
        &self,
        user: usize,
        request: Option<&Request>,
        observed: &Observed,
    ) -> Result<(), Wrong> {
        let Some(request) = request else { return Ok(()) };
        let found = if let Kind::Error { code, .. } = observed.kind {
            replies::check_refusal(&self.facts(), user, request, u64::from(code))
        } else {
            replies::check(&self.facts(), user, request, &observed.reply)
        };
        found.into_iter().next().map_or(Ok(()), |(rule, why)| Err(format!("{rule:?}: {why}")))
    }

    #[expect(clippy::too_many_lines, reason = "an arm for each call")]
    fn expect(
        &mut self,
        user: usize,
        call: &Call,
        now_ms: u64,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        if let Call::Login { name, device, after, packed } = call {
            let after = after.map(|after| self.newest_of_device(user, after));
            let (device, packed) = (*device, *packed);
            let session = Session { id: String::new(), device, packed, since_ms: now_ms };
            return self.login(user, *name, session, after, observed);
        }
        if !self.state.is_logged_in(user, now_ms) {
            return Ok(Expected::refused((6_000_121, "not_logged_in")));
        }
        // Any call counts as a heartbeat.
        self.state.users[user].last_seen_ms = Some(now_ms);
        self.state.users[user].following.is_loaded = true;
        match call {
            Call::Login { .. } => unreachable!("see above"),
            Call::Logout { session } => Ok(self.logout(user, *session)),
            Call::Heartbeat => Ok(Expected::good(json!({ "serverTime": now_ms }), Vec::new())),
            Call::Send { to, draft, config, .. } => {
                self.send(user, *to, draft, config, now_ms, observed)
            }
            Call::Reply { other, pick, draft, config } => {
                self.reply((user, *other), *pick, (draft, config), now_ms, observed)
            }
            Call::History { .. }
            | Call::List { .. }
            | Call::PinnedList { .. }
            | Call::Conversation { .. }
            | Call::Totals
            | Call::UsersInfo { .. }
            | Call::SelfInfo
            | Call::UsersStatus { .. }
            | Call::Followed { .. }
            | Call::Numbered { .. }
            | Call::Changes { .. }
            | Call::Receipts { .. }
            | Call::PinnedMessages { .. }
            | Call::IsBlocked { .. } => Ok(Expected::read()),
            Call::Delete { other, picks, foreign } => {
                self.delete(user, *other, picks, *foreign, observed)
            }
            Call::DeleteAll { other } => self.delete_all(user, *other, observed),
            Call::Clear { other, up_to } => match self.anchor(user, *other, *up_to) {
                Some(last) => {
                    let last = last.id.clone();
                    self.clear_up_to(user, *other, &last, observed)
                }
                None => self.clear(user, *other, observed),
            },
            Call::MarkUnread { other, on } => self.mark_unread(user, *other, *on, observed),
            Call::DeleteConversation { other } => self.delete_conversation(user, *other, observed),
            Call::DeleteConversations => self.delete_conversations(user, observed),
            Call::DeleteAllMessages => self.delete_all_messages(user, observed),
            Call::Combine { other, pick } => {
                let id = self.picked(user, *other, &[*pick], false).remove(0);
                let visible = self.state.visible(user, *other);
                let found = visible.iter().find(|message| message.id == id);
                let is_combine = found.is_some_and(|message| message.content_now()["type"] == 100);
                Ok(if is_combine { Expected::read() } else { Expected::refused(INVALID_PARAMETER) })
            }
            Call::ClearAll => self.clear_all(user, observed),
            Call::Mute { other, mute } => self.mute(user, *other, *mute, observed),
            Call::Pin { other, on } => self.pin(user, *other, *on, observed),
            Call::Draft { other, text } => self.draft(user, *other, DRAFTS[*text], observed),
            Call::SetMark { mark, on, others } => {
                self.set_mark(user, (*mark, *on), others, observed)
            }
            Call::Revoke { other, pick } => self.revoke(user, *other, *pick, observed),
            Call::Edit { other, pick, kind, variant } => {
                self.edit(user, *other, (*pick, *kind, *variant), observed)
            }
            Call::ReceiptsRead { other, picks } => {
                self.receipts_read(user, *other, picks, observed)
            }
            Call::PinMessage { other, pick, on, replaces } => {
                self.pin_message(user, *other, *pick, (*on, *replaces), observed)
            }
            Call::ReceiptRead { other } => self.receipt_read(user, *other, observed),
            Call::React { other, pick, kind, increase } => {
                let change = Reacting::Add(REACTIONS[*kind], *increase);
                self.react(user, *other, *pick, change, observed)
            }
            Call::Unreact { other, pick, kind } => {
                let change =
                    kind.map_or(Reacting::DeleteAll, |kind| Reacting::Delete(REACTIONS[kind]));
                self.react(user, *other, *pick, change, observed)
            }
            Call::Reactors { other, pick, .. } | Call::RepliedList { other, pick, .. } => {
                let message = self.anchor(user, *other, Some(*pick));
                let is_seen = message.is_some_and(|message| !message.hidden_for.contains(&user));
                Ok(if is_seen { Expected::read() } else { Expected::refused(INVALID_PARAMETER) })
            }
            Call::Block { others, block } => self.block(user, others, *block, observed),
            Call::Typing { other, on } => self.typing(user, *other, *on, observed),
            Call::Profile { part, text } => {
                self.set_profile(user, *part, PROFILES[*text], observed)
            }
            Call::CustomStatus { text, seconds } => {
                self.set_custom_status(user, STATUSES[*text], *seconds, observed)
            }
            Call::Follow { others, minutes } => self.follow(user, others, *minutes, observed),
            Call::Unfollow { others } => Ok(self.unfollow(user, others)),
            Call::Privacy { what, on } => self.set_privacy(user, *what, *on, observed),
            Call::Blacklist { goes_on, .. } => {
                self.read_blacklist(user, *goes_on, &observed.reply);
                Ok(Expected::read())
            }
            Call::Invalid { which } => {
                let text = observed.reply["message"].as_str().unwrap_or_default();
                let field = INVALID[*which].2;
                if !text.starts_with(field) {
                    return Err(format!("{text:?} does not name {field}"));
                }
                Ok(Expected::refused(INVALID_PARAMETER))
            }
        }
    }

    /// The other user sees it if logged in and not blocking the caller, at most once a second. A
    /// user who left memory, or a restart, may begin a new second.
    fn typing(
        &mut self,
        user: usize,
        other: usize,
        on: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        if other == user {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        let now_ms = self.now_ms;
        let is_seen = self.state.is_logged_in(other, now_ms)
            && !self.state.users[other].blocked.contains(&user)
            && !self.state.users[other].hidden[1];
        if self.state.users[user].hidden[1] {
            return Ok(Expected::good(json!({}), Vec::new()));
        }
        let (shown_ms, is_sure) = match self.state.users[user].typing_ms.get(&other) {
            Some((shown_ms, is_sure)) => (Some(*shown_ms), *is_sure),
            None => (None, true),
        };
        let is_soon = shown_ms.is_some_and(|shown_ms| now_ms < shown_ms + 1000);
        let may_forget = !is_sure || self.is_forgetful() || self.restarted_ms >= shown_ms;
        let is_observed = observed.events.iter().any(|event| event.name == "typing");
        let is_due = !is_soon || (may_forget && is_observed);
        if is_due || (may_forget && !is_seen) {
            let is_sure = is_due || is_seen;
            self.state.users[user].typing_ms.insert(other, (now_ms, is_sure));
        }
        let mut events = Vec::new();
        if is_due && is_seen {
            let body = json!({ "fromUserID": NAMES[user], "isTyping": on });
            events.push(self.event_without_change(other, "typing", body, observed)?);
        }
        Ok(Expected::good(json!({}), events))
    }

    /// Beyond the session limit, the earliest session is ended. The messages since the user was
    /// last seen are replayed after the reply.
    fn login(
        &mut self,
        user: usize,
        name: Option<usize>,
        mut session: Session,
        after: Option<u64>,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let now_ms = self.now_ms;
        let was_logged_in = self.state.is_logged_in(user, now_ms);
        let last_seen_ms = self.state.users[user].last_seen_ms.unwrap_or_default();
        let id = observed.reply["sessionID"].as_str().unwrap_or_default().to_owned();
        session.id.clone_from(&id);
        let is_twice = self.state.flaw == Flaw::DeviceCountsTwice;
        let account = &mut self.state.users[user];
        if id.is_empty() || account.sessions.iter().any(|known| known.id == id) {
            return Err(format!("{id:?} is not a new session ID"));
        }
        if !was_logged_in {
            account.sessions.clear();
        }
        if session.device.is_some() && !is_twice {
            account.sessions.retain(|known| known.device != session.device);
        }
        account.sessions.push(session);
        account.last_seen_ms = Some(now_ms);
        account.ever_logged_in = true;
        if let Some(name) = name.map(user_name).filter(|name| !name.is_empty()) {
            account.name = name;
        }
        let most = MAX_SESSIONS + usize::from(self.state.flaw == Flaw::OneMoreSession);
        let surplus = account.sessions.len().saturating_sub(most);
        let kicked: Vec<Session> = account.sessions.drain(..surplus).collect();
        let mut events = Vec::new();
        for Session { id, .. } in kicked {
            let body = json!({ "state": 0, "event": 4, "extendedData": "{}", "sessionID": id });
            events.push(self.event_without_change(
                user,
                "connection_state_changed",
                body,
                observed,
            )?);
        }
        let reply = json!({
            "sessionID": id,
            "serverTime": now_ms,
            "heartbeatIntervalMs": HEARTBEAT_MS,
            "totalUnreadMessageCount": self.state.totals(user).0,
            "revision": self.state.users[user].revision,
        });
        let mut expected = Expected::good(reply, events);
        expected.events.extend(self.replay(user, last_seen_ms, after, observed)?);
        Ok(expected)
    }

    fn replay(
        &self,
        user: usize,
        last_seen_ms: u64,
        after: Option<u64>,
        observed: &Observed,
    ) -> Result<Vec<PublishedEvent>, Wrong> {
        let oldest_ms = self.now_ms - REPLAY_AGE_MS;
        let after = after.filter(|_| self.state.flaw != Flaw::DevicesMissTheSame);
        let since_ms = if after.is_some() { oldest_ms } else { last_seen_ms.max(oldest_ms) };
        let since_ms =
            if self.state.flaw == Flaw::ReplayGoesBackFurther { since_ms - 1 } else { since_ms };
        let mut messages: Vec<&Message> = self.state.messages.iter().collect();
        messages.retain(|message| message.to == user && message.at_ms >= since_ms);
        messages.retain(|message| message.key > after.unwrap_or_default());
        messages.sort_by_key(|message| message.key);
        let is_visible =
            |message: &&&Message| !message.hidden_for.contains(&user) && !message.is_revoked;
        let recent = messages.len().saturating_sub(REPLAY_MESSAGES);
        let least = messages[recent..].iter().filter(is_visible).count();
        messages.retain(|message| is_visible(&message));
        // The daemon's limit counts messages back from the newest, deleted ones included, so that a
        // few more visible messages may be replayed.
        let replayed = observed.events.iter().filter(|event| event.name == "peer_message_received");
        let replayed: usize =
            replayed.map(|event| event.body["messageList"].as_array().map_or(0, Vec::len)).sum();
        let count = replayed.clamp(least, messages.len().min(REPLAY_MESSAGES));
        let messages = messages.split_off(messages.len() - count);
        let mut events = Vec::new();
        for run in messages.chunk_by(|left, right| left.from == right.from) {
            let shown = run.iter().map(|message| show_message(user, message));
            let body = json!({
                "messageList": shown.collect::<Value>(),
                "fromConversationID": NAMES[run[0].from],
                "info": { "isOfflineMessage": true },
            });
            events.push(self.event_without_change(
                user,
                "peer_message_received",
                body,
                observed,
            )?);
        }
        Ok(events)
    }

    fn logout(&mut self, user: usize, session: Option<usize>) -> Expected {
        let ended = session.map(|session| self.session(user, session));
        let sessions = &mut self.state.users[user].sessions;
        sessions.retain(|session| ended.as_ref().is_some_and(|ended| *ended != session.id));
        Expected::good(json!({}), Vec::new())
    }

    /// The ID of the session that a call selects, or one that does not exist.
    pub(crate) fn session(&self, user: usize, session: usize) -> String {
        let sessions = &self.state.users[user].sessions;
        sessions.get(session).map_or_else(|| "no session".to_owned(), |known| known.id.clone())
    }

    /// The order key of the newest message on a device: a message that the user received, or 0.
    pub(crate) fn newest_of_device(&self, user: usize, after: usize) -> u64 {
        let received = self.state.messages.iter().filter(|message| message.to == user);
        let keys: Vec<u64> = received.map(|message| message.key).collect();
        keys.get(after % (keys.len() + 1)).copied().unwrap_or_default()
    }

    /// An event that belongs to no change: the revision stays.
    pub(crate) fn event_without_change(
        &self,
        user: usize,
        name: &str,
        mut body: Value,
        observed: &Observed,
    ) -> Result<PublishedEvent, Wrong> {
        let account = &self.state.users[user];
        let found = observed.events.iter().find(|event| event.user == user && event.name == name);
        let previous = found.map_or(0, |event| number(&event.body, "previousRevision"));
        // The last change before a restart may be missing from the chain of revisions.
        if found.is_some() && previous != account.revision && previous != account.previous_revision
        {
            return Err(format!("{name} has the previous revision {previous}: {account:?}"));
        }
        let revisions = json!({ "revision": account.revision, "previousRevision": previous });
        merge(&mut body, revisions);
        let packed = self.state.is_packed(user, self.now_ms);
        Ok(PublishedEvent { user, name: name.to_owned(), body, packed })
    }

    /// The events of one change: the revision rises, and the previous one is named.
    pub(crate) fn events_of_change(
        &mut self,
        user: usize,
        events: Vec<(&str, Value)>,
        observed: &Observed,
    ) -> Result<Vec<PublishedEvent>, Wrong> {
        let first = observed.events.iter().find(|event| event.user == user);
        let first = first.ok_or_else(|| format!("{} receives no event", NAMES[user]))?;
        let revision = number(&first.body, "revision");
        let account = &mut self.state.users[user];
        let previous = std::mem::replace(&mut account.revision, revision);
        account.previous_revision = previous;
        if revision <= previous || revision >= 1 << 53 {
            return Err(format!("the revision {revision} does not rise above {previous}"));
        }
        let packed = self.state.is_packed(user, self.now_ms);
        let publish = |(name, mut body): (&str, Value)| {
            let revisions = json!({ "revision": revision, "previousRevision": previous });
            merge(&mut body, revisions);
            PublishedEvent { user, name: name.to_owned(), body, packed }
        };
        Ok(events.into_iter().map(publish).collect())
    }

    /// Notes the highest order key of the messages in a body.
    fn note_newest(&mut self, user: usize, body: &Value) {
        match body {
            Value::Object(fields) => {
                // A daemon that evicts users forgets Commands, which are not stored.
                let is_forgotten = self.is_forgetful() && body["messageSeq"] == 0;
                if fields.contains_key("messageSeq") && !is_forgotten {
                    let newest = &mut self.state.users[user].newest_published;
                    *newest = (*newest).max(number(body, "orderKey"));
                }
                fields.values().for_each(|field| self.note_newest(user, field));
            }
            Value::Array(items) => items.iter().for_each(|item| self.note_newest(user, item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The names that users give at login; the first is empty.
pub(crate) fn user_name(name: usize) -> String {
    ["", "Anna", "B\u{e9}la"][name].to_owned()
}

/// Sorts lists of conversations, because the contract defines no order for them.
fn by_id(events: &[PublishedEvent]) -> Vec<PublishedEvent> {
    let mut events = events.to_vec();
    for event in &mut events {
        if let Some(Value::Array(changes)) = event.body.get_mut("infoList") {
            changes.sort_by_key(|change| change["conversation"]["conversationID"].to_string());
        }
    }
    events
}

fn compare_reply(expected: &Reply, observed: &Observed) -> Result<(), Wrong> {
    let (kind, body) = match expected {
        Reply::Read => return compare_read(observed),
        Reply::Good(body) => (Kind::Plain, body.clone()),
        Reply::Repeated(body) => (Kind::Duplicate, body.clone()),
        Reply::Refused { code, reason, retry_after_ms } => {
            // The text is not part of the contract.
            let text = observed.reply["message"].as_str().unwrap_or("(none)").to_owned();
            let mut body = json!({ "code": code, "reason": reason, "message": text });
            if let Some(retry_after_ms) = retry_after_ms {
                merge(&mut body, json!({ "retryAfterMs": retry_after_ms }));
            }
            (Kind::Error { code: *code, text }, body)
        }
    };
    same("reply", &body, &observed.reply)?;
    same("kind of reply", &kind, &observed.kind)
}

/// The one refusal that depends on what is read.
fn compare_read(observed: &Observed) -> Result<(), Wrong> {
    if let Kind::Error { code, .. } = observed.kind {
        let is_it = u64::from(code) == CONVERSATION_NOT_FOUND
            && observed.reply["reason"] == "conversation_not_found"
            && observed.reply["code"] == code;
        return if is_it { Ok(()) } else { Err(format!("reply: {}", observed.reply)) };
    }
    same("kind of reply", &Kind::Plain, &observed.kind)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, seen: &T) -> Result<(), Wrong> {
    if expected == seen {
        return Ok(());
    }
    Err(format!("{what}:\n expected {expected:?}\n     seen {seen:?}"))
}
