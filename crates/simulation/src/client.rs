//! The users: makes their calls, and checks each reply at once.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use peerd::bus::Kind;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::journal::{OpKind, Outcome, Sent};
use crate::known::{Before, FOLLOWED_MINUTES, Known};
use crate::model::replies;
use crate::model::request::{ListOption, Request};
use crate::plan::{Call, Draft, MARK, NAMES, REACTION, Reacting};
use crate::rule::Rule;
use crate::rules::{number, text, token};
use crate::world::{Core, World};

/// How many times a send with an unknown outcome is tried.
const TRIES: usize = 4;
/// The retry hint of a call without an owner. The hint of a call over the limit differs.
const NO_OWNER_RETRY_MS: u64 = 1000;
/// The longest wait between tries.
const AGAIN_MS: u64 = 300;

/// The result of a call.
#[derive(Debug)]
pub(crate) enum Said {
    Good { body: Value, is_repeat: bool },
    Refused { code: u64, reason: String },
    Nothing,
}

impl Said {
    /// Whether a call failed for some of the users that it names.
    fn has_errors(&self) -> bool {
        let errors =
            if let Self::Good { body, .. } = self { &body["errorUserList"] } else { return false };
        errors.as_array().is_some_and(|errors| !errors.is_empty())
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Good { .. } => Outcome::Done,
            Self::Refused { reason, .. } if reason == "outcome_unknown" => Outcome::Unknown,
            Self::Refused { .. } => Outcome::Refused,
            Self::Nothing => Outcome::Unknown,
        }
    }
}

/// The client side of a run.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) is_calm: bool,
    /// Whether everything has come to rest: all that is stored must be shown.
    pub(crate) is_settled: bool,
}

impl Client {
    /// Makes a call, waits for its reply, and compares it with what is known.
    pub(crate) async fn ask(&self, user: usize, request: &Request) -> Said {
        self.ask_since(user, request, self.world.now_ms()).await
    }

    /// The same with a call whose first try was made at `since_ms`.
    async fn ask_since(&self, user: usize, request: &Request, since_ms: u64) -> Said {
        let method = request.method();
        let subject = format!("peer.api.{}.{method}", token(user));
        let (patience, before, asked_ms) = {
            let mut core = self.world.lock();
            let asked_ms = self.world.now_ms();
            let journal = &mut core.watch.journal;
            journal.begin_call(asked_ms);
            let before = Before::of(journal, user, asked_ms, self.is_settled);
            let setup = &core.setup;
            let span_ms = setup.call_deadline_ms + setup.owner_wait_ms + 500;
            (Duration::from_millis(span_ms), before, asked_ms)
        };
        let answer = self.world.call(subject, request.body().to_string(), patience).await;
        let answered_ms = self.world.now_ms();
        let mut core = self.world.lock();
        core.watch.journal.end_call(method);
        let Some(answer) = answer else {
            core.watch.journal.unanswered += 1;
            if self.is_calm {
                let why = format!("{method} by {} has no reply", NAMES[user]);
                core.broken(Rule::Bounded, why);
            }
            return Said::Nothing;
        };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        // A success may be that of an earlier try.
        let is_refusal = matches!(answer.kind, Kind::Error { .. });
        let since_ms = if is_refusal { asked_ms } else { since_ms };
        let known = Known { watch: &core.watch, before: &before, since_ms, answered_ms };
        let found = if let Kind::Error { code, .. } = &answer.kind {
            replies::check_refusal(&known, user, request, u64::from(*code))
        } else {
            replies::check(&known, user, request, &body)
        };
        for (rule, why) in found {
            core.broken(rule, format!("{method} by {}: {why}", NAMES[user]));
        }
        let Kind::Error { code, .. } = answer.kind else {
            let is_repeat = answer.kind == Kind::Duplicate;
            return Said::Good { body, is_repeat };
        };
        self.refused(&mut core, (user, method), u64::from(code), &body, asked_ms)
    }

    /// Checks a refusal against the limits and the faults of the run.
    fn refused(
        &self,
        core: &mut Core,
        (user, method): (usize, &str),
        number_of_error: u64,
        body: &Value,
        asked_ms: u64,
    ) -> Said {
        let reason = text(body, "reason").to_owned();
        if number(body, "code") != number_of_error {
            let why = format!("the header has code {number_of_error}: {body}");
            core.broken(Rule::PublishedCorrectly, why);
        }
        let is_overload = reason == "overloaded" && is_overload(core, body, asked_ms);
        let is_failure = matches!(number_of_error, 6_000_007 | 6_000_008) && !is_overload;
        if self.is_calm && is_failure {
            let why = format!("{method} by {} fails: {body}", NAMES[user]);
            core.broken(Rule::Served, why);
        }
        Said::Refused { code: number_of_error, reason }
    }

    /// Executes a call of the plan.
    #[expect(clippy::too_many_lines, reason = "an arm for each call")]
    pub(crate) async fn perform(&self, user: usize, call: Call, number: usize) {
        let now_ms = self.world.now_ms();
        self.world.lock().watch.journal.learn(now_ms);
        match call {
            Call::Login => {
                let (device, after) = match number % 3 {
                    0 => (None, None),
                    1 => (Some("one"), Some(0)),
                    _ => (Some("two"), None),
                };
                let device = device.map(str::to_owned);
                let request = Request::Login { name: None, device, after };
                self.change(user, None, OpKind::Login, &request).await;
            }
            Call::Logout => {
                let request = Request::Logout { session: None };
                self.change(user, None, OpKind::Logout, &request).await;
            }
            Call::Heartbeat => _ = self.ask(user, &Request::Heartbeat).await,
            Call::Send { to, draft } => self.send_new(user, to, draft, number).await,
            Call::Repeat { pick } => self.repeat(user, pick).await,
            Call::Reuse { pick } => self.reuse(user, pick, number).await,
            Call::Burst { to, count } => self.burst(user, to, count, number).await,
            Call::History { other, count, reverse, pick } => {
                let known = self.world.lock().watch.journal.known_with(user, other);
                let pick = pick.filter(|_| !known.is_empty());
                let anchor = pick.map(|pick| known[pick % known.len()].clone());
                self.ask(user, &Request::History { other, reverse, count, anchor }).await;
            }
            Call::Delete { other, picks } => self.delete(user, other, &picks).await,
            Call::DeleteAll { other } => {
                let request = Request::DeleteAll { other };
                self.change(user, Some(other), OpKind::DeleteAll, &request).await;
            }
            Call::List { count } => {
                let request = Request::List { count, after: None, option: ListOption::default() };
                self.ask(user, &request).await;
            }
            Call::Filtered { pinned, mark } => {
                let marks = mark.into_iter().collect();
                let option = ListOption { only_unread: false, pinned, marks };
                self.ask(user, &Request::List { count: 100, after: None, option }).await;
                self.ask(user, &Request::PinnedList { count: 100 }).await;
            }
            Call::ClearTo { other, pick } => {
                let known = self.world.lock().watch.journal.known_with(user, other);
                if let Some(id) = known.get(pick % known.len().max(1)).cloned() {
                    let request = Request::Clear { other, up_to: Some(id.clone()) };
                    self.change(user, Some(other), OpKind::ClearTo(id), &request).await;
                }
            }
            Call::MarkUnread { other, on } => {
                let request = Request::MarkUnread { other, on };
                self.change(user, Some(other), OpKind::MarkUnread(on), &request).await;
            }
            Call::DeleteConversation { other } => {
                let request = Request::DeleteConversation { other };
                self.change(user, Some(other), OpKind::DeleteConversation, &request).await;
            }
            Call::DeleteConversations => {
                let request = Request::DeleteConversations;
                self.change(user, None, OpKind::DeleteConversation, &request).await;
            }
            Call::DeleteAllMessages => {
                self.change(user, None, OpKind::DeleteAll, &Request::DeleteAllMessages).await;
            }
            Call::Numbered { other, first } => {
                let seqs = (first..first + 5).collect();
                self.ask(user, &Request::Numbered { other, seqs, sender: None }).await;
            }
            Call::Changes { other, pick } => {
                let revision = {
                    let journal = &self.world.lock().watch.journal;
                    let known = journal.known_with(user, other);
                    let id = known.get(pick % known.len().max(1));
                    let known = journal.known.get(&user).zip(id);
                    known.and_then(|(known, id)| known.get(id)).map_or(0, |known| known.key)
                };
                self.ask(user, &Request::Changes { revision }).await;
            }
            Call::Receipt { other } => {
                let request = Request::ReceiptRead { other };
                self.change(user, Some(other), OpKind::Receipt(None), &request).await;
            }
            Call::ReceiptOf { other, pick } => {
                let known = self.world.lock().watch.journal.known_with(user, other);
                let ids: Vec<String> = known.into_iter().skip(pick % 5).take(3).collect();
                if !ids.is_empty() {
                    let request = Request::ReceiptsRead { other, ids: ids.clone() };
                    let kind = OpKind::Receipt(Some(ids));
                    self.change(user, Some(other), kind, &request).await;
                }
            }
            Call::Hide { on } => {
                let request = Request::Privacy { what: 0, on };
                self.change(user, None, OpKind::Hide(on), &request).await;
            }
            Call::HideStatus { on } => {
                let request = Request::Privacy { what: 2, on };
                self.change(user, None, OpKind::HideStatus(on), &request).await;
            }
            Call::CustomStatus { is_empty } => {
                let text = if is_empty { String::new() } else { format!("secret-status-{number}") };
                let request = Request::CustomStatus { text: text.clone(), seconds: None };
                self.change(user, None, OpKind::CustomStatus(text), &request).await;
            }
            Call::Follow { other, on } => self.follow(user, other, on).await,
            Call::Followed => {
                self.ask(user, &Request::Followed { others: Vec::new() }).await;
            }
            Call::UsersStatus => {
                let others = (0..self.world.lock().setup.users).collect();
                self.ask(user, &Request::UsersStatus { others }).await;
            }
            Call::Pin { other, on } => {
                let request = Request::Pin { other, on };
                self.change(user, Some(other), OpKind::Pin(on), &request).await;
            }
            Call::Draft { other, is_empty } => {
                let text = if is_empty { String::new() } else { format!("secret-draft-{number}") };
                let request = Request::Draft { other, text: text.clone() };
                self.change(user, Some(other), OpKind::Draft(text), &request).await;
            }
            Call::SetMark { other, on } => {
                let request = Request::SetMark { mark: MARK, on, others: vec![other] };
                self.change(user, Some(other), OpKind::Mark(on), &request).await;
            }
            Call::Conversation { other } => {
                self.ask(user, &Request::Conversation { other }).await;
            }
            Call::Clear { other } => {
                let request = Request::Clear { other, up_to: None };
                self.change(user, Some(other), OpKind::Clear, &request).await;
            }
            Call::ClearAll => self.change(user, None, OpKind::Clear, &Request::ClearAll).await,
            Call::Totals => _ = self.ask(user, &Request::Totals).await,
            Call::Mute { other, on } => {
                let request = Request::Mute { other, on };
                self.change(user, Some(other), OpKind::Mute(on), &request).await;
            }
            Call::Block { other, on } => {
                let request = Request::Block { others: vec![other], on };
                self.change(user, Some(other), OpKind::Block(on), &request).await;
            }
            Call::IsBlocked { other } => _ = self.ask(user, &Request::IsBlocked { other }).await,
            Call::Typing { other, on } => {
                self.ask(user, &Request::Typing { other, on }).await;
            }
            Call::PinMessage { other, pick, on } => {
                let known = self.world.lock().watch.journal.known_with(user, other);
                if let Some(id) = known.get(pick % known.len().max(1)).cloned() {
                    let kind = OpKind::PinMessage(id.clone(), on);
                    let request = Request::PinMessage { other, id, on, replaces: true };
                    self.change(user, Some(other), kind, &request).await;
                }
            }
            Call::PinnedMessages { other } => {
                self.ask(user, &Request::PinnedMessages { other }).await;
            }
            Call::RepliedList { other, pick } => {
                let known = self.world.lock().watch.journal.known_with(user, other);
                if let Some(id) = known.get(pick % known.len().max(1)).cloned() {
                    let request = Request::RepliedList { other, id, after: 0, count: 100 };
                    self.ask(user, &request).await;
                }
            }
            Call::React { other, pick, change } => self.react(user, other, pick, change).await,
            Call::Reply { other, pick, draft } => {
                let known = self.world.lock().watch.journal.known_with(user, other);
                if let Some(id) = known.get(pick % known.len().max(1)) {
                    let mark = format!("secret-{number}");
                    self.send(user, other, (&mark, Some(id)), draft).await;
                }
            }
            Call::Blacklist => {
                self.ask(user, &Request::Blacklist { count: NAMES.len(), place: 0 }).await;
            }
        }
    }

    /// Makes a call that changes the user's own state.
    async fn change(&self, user: usize, other: Option<usize>, kind: OpKind, request: &Request) {
        let is_partial = matches!(
            (&kind, other),
            (OpKind::Clear | OpKind::DeleteAll | OpKind::DeleteConversation, None)
                | (OpKind::Block(_) | OpKind::Mark(_) | OpKind::Receipt(_), _)
        );
        // These belong to no conversation: the user stands in for the other.
        let is_own = matches!(
            kind,
            OpKind::Login
                | OpKind::Logout
                | OpKind::Hide(_)
                | OpKind::HideStatus(_)
                | OpKind::CustomStatus(_)
        );
        let other = if is_own { Some(user) } else { other };
        let op = {
            let now_ms = self.world.now_ms();
            self.world.lock().watch.journal.begin(user, other, kind, now_ms)
        };
        let said = self.ask(user, request).await;
        let outcome = match said.outcome() {
            // The other user has not logged in yet.
            Outcome::Done if said.has_errors() && matches!(request, Request::Follow { .. }) => {
                Outcome::Refused
            }
            // A part of it may have been done.
            Outcome::Refused if is_partial && !is_refusal(&said) => Outcome::Unknown,
            outcome @ (Outcome::UnderWay | Outcome::Done | Outcome::Refused | Outcome::Unknown) => {
                outcome
            }
        };
        let now_ms = self.world.now_ms();
        self.world.lock().watch.journal.end(op, outcome, now_ms);
    }

    /// Follows the status of another user, or no longer.
    async fn follow(&self, user: usize, other: usize, on: bool) {
        let others = vec![other];
        let request = if on {
            Request::Follow { others, minutes: FOLLOWED_MINUTES }
        } else {
            Request::Unfollow { others }
        };
        self.change(user, Some(other), OpKind::Follow(on), &request).await;
    }

    async fn react(&self, user: usize, other: usize, pick: usize, change: Reacting) {
        let known = self.world.lock().watch.journal.known_with(user, other);
        let Some(id) = known.get(pick % known.len().max(1)).cloned() else { return };
        let kind = REACTION.to_owned();
        let request = match change {
            Reacting::Add => Request::React { other, id: id.clone(), kind, increase: 0 },
            Reacting::Delete => Request::Unreact { other, id: id.clone(), kind: Some(kind) },
            Reacting::DeleteAll => Request::Unreact { other, id: id.clone(), kind: None },
        };
        let on = change == Reacting::Add;
        self.change(user, Some(other), OpKind::React(id, on), &request).await;
    }

    async fn delete(&self, user: usize, other: usize, picks: &[usize]) {
        let known = self.world.lock().watch.journal.known_with(user, other);
        if known.is_empty() {
            return;
        }
        let ids: Vec<String> = picks.iter().map(|pick| known[pick % known.len()].clone()).collect();
        let request = Request::Delete { other, ids: ids.clone() };
        self.change(user, Some(other), OpKind::Delete(ids), &request).await;
    }

    async fn send_new(&self, user: usize, to: usize, draft: Draft, number: usize) {
        let mark = format!("secret-{number}");
        self.send(user, to, (&mark, None), draft).await;
    }

    async fn burst(&self, user: usize, to: usize, count: usize, number: usize) {
        let draft = Draft {
            local: false,
            command: false,
            counts: true,
            push: false,
            into_conversation: false,
        };
        let sends = (0..count).map(|index| async move {
            let mark = format!("secret-{number}-{index}");
            self.send(user, to, (&mark, None), draft).await;
        });
        futures::future::join_all(sends).await;
    }

    /// Sends a message with this mark, which may reply to another.
    async fn send(
        &self,
        user: usize,
        to: usize,
        (mark, original): (&str, Option<&String>),
        draft: Draft,
    ) {
        let issued_ms = self.world.now_ms();
        let request = send_request((mark, original), to, draft);
        {
            let journal = &mut self.world.lock().watch.journal;
            let sent = Sent {
                from: user,
                to,
                local: draft.local.then(|| mark.to_owned()),
                original: original.cloned(),
                command: draft.command,
                floor: journal.floor(user),
                acked: Vec::new(),
                accepted_ms: 0,
                is_unknown: false,
            };
            journal.sent.insert(mark.to_owned(), sent);
        }
        let tries = if draft.local && !draft.command { TRIES } else { 1 };
        for turn in 0..tries {
            if turn > 0 {
                let pause = self.world.lock().noise.pause(AGAIN_MS);
                sleep(pause).await;
            }
            let said = self.ask_since(user, &request, issued_ms).await;
            let is_over = self.sent(user, mark, &said);
            if is_over {
                return;
            }
        }
    }

    /// Records the result of a send; returns whether no further try is needed.
    fn sent(&self, user: usize, mark: &str, said: &Said) -> bool {
        let now_ms = self.world.now_ms();
        let mut core = self.world.lock();
        let Some(sent) = core.watch.journal.sent.get_mut(mark) else { return true };
        let to = sent.to;
        match said {
            Said::Good { body, is_repeat } => {
                let message = &body["message"];
                let id = text(message, "messageID").to_owned();
                let is_command = sent.command;
                sent.acked.push(id.clone());
                if is_command {
                    sent.accepted_ms = number(message, "timestamp");
                }
                let is_first = sent.acked.len() == 1 && !sent.is_unknown;
                let is_same = sent.acked.iter().all(|acked| *acked == id);
                let sent = sent.clone();
                if *is_repeat && is_first {
                    let why = format!("the first of {mark} is answered as a repeat");
                    core.broken(Rule::Repeats, why);
                }
                if !is_same {
                    core.broken(Rule::StoredOnce, format!("{mark} has two IDs: {:?}", sent.acked));
                }
                let key = number(message, "orderKey");
                core.watch.journal.will_know(now_ms, user, to, id, key, is_command);
                core.watch.journal.learn(now_ms);
                true
            }
            Said::Refused { code: 6_000_007 | 6_000_008, reason } => {
                sent.is_unknown |= reason == "outcome_unknown";
                false
            }
            Said::Refused { reason, .. } => {
                if reason == "local_message_id_reused" {
                    core.broken(Rule::Repeats, format!("{mark} is taken for a repeat of another"));
                }
                true
            }
            Said::Nothing => {
                sent.is_unknown = true;
                false
            }
        }
    }

    /// An earlier, acknowledged send of the user with a local ID.
    fn earlier(&self, user: usize, pick: usize) -> Option<(String, Sent)> {
        let core = self.world.lock();
        let is_it = |sent: &&Sent| {
            sent.from == user && !sent.acked.is_empty() && sent.local.is_some() && !sent.command
        };
        let all: Vec<(&String, &Sent)> =
            core.watch.journal.sent.iter().filter(|(_, sent)| is_it(sent)).collect();
        let found = all.get(pick % all.len().max(1));
        found.map(|(mark, sent)| ((*mark).clone(), (*sent).clone()))
    }

    async fn repeat(&self, user: usize, pick: usize) {
        let Some((mark, sent)) = self.earlier(user, pick) else { return };
        // Its first try was long ago: over the rate, a repeat is answered without asking the receiver,
        // who may have blocked the sender since.
        let request = send_request((&mark, sent.original.as_ref()), sent.to, PLAIN);
        let said = self.ask_since(user, &request, 0).await;
        if let Said::Good { body, is_repeat } = &said {
            let id = text(&body["message"], "messageID");
            if !is_repeat || sent.acked.first().is_none_or(|first| first != id) {
                let why = format!("a repeat of {mark} is answered with {body}, {is_repeat}");
                self.world.lock().broken(Rule::Repeats, why);
            }
        }
    }

    async fn reuse(&self, user: usize, pick: usize, number: usize) {
        let Some((mark, sent)) = self.earlier(user, pick) else { return };
        let mut message = message_of(&format!("secret-{number}"), PLAIN);
        message["localMessageID"] = json!(mark);
        let (to, config) = (sent.to, json!({}));
        let request = Request::Send { to, message, config, into_conversation: false };
        let said = self.ask(user, &request).await;
        if let Said::Good { body, .. } = &said {
            let why = format!("the local ID of {mark} is taken for other content: {body}");
            self.world.lock().broken(Rule::Repeats, why);
        }
    }
}

/// Whether a call may have been refused because of its limits: more calls were in progress than an
/// instance accepts, or more than may wait for an owner, which is a quarter of that.
fn is_overload(core: &Core, refusal: &Value, asked_ms: u64) -> bool {
    let takes = core.setup.calls_under_way;
    let is_for_an_owner = number(refusal, "retryAfterMs") == NO_OWNER_RETRY_MS;
    let most = if is_for_an_owner { (takes / 4).max(1) } else { takes };
    core.watch.journal.was_crowded(most, asked_ms)
}

/// Whether a refusal means that nothing was done.
fn is_refusal(said: &Said) -> bool {
    matches!(said, Said::Refused { code, .. } if !matches!(code, 6_000_007 | 6_000_008))
}

pub(crate) const PLAIN: Draft =
    Draft { local: true, command: false, counts: true, push: false, into_conversation: false };

fn message_of(mark: &str, draft: Draft) -> Value {
    let mut message = if draft.command {
        let bytes = base64::engine::general_purpose::STANDARD.encode(mark);
        json!({ "type": 2, "message": bytes, "extendedData": mark })
    } else {
        json!({ "type": 1, "message": mark, "extendedData": mark })
    };
    if draft.local {
        message["localMessageID"] = json!(mark);
    }
    message
}

pub(crate) fn send_request(
    (mark, original): (&str, Option<&String>),
    to: usize,
    draft: Draft,
) -> Request {
    let mut config =
        json!({ "disableUnreadMessageCount": !draft.counts, "hasReceipt": !draft.command });
    if draft.push {
        config["pushConfig"] = json!({ "title": "secret-title", "content": mark });
    }
    let message = message_of(mark, draft);
    if let Some(id) = original {
        return Request::Reply { other: to, id: id.clone(), message, config };
    }
    Request::Send { to, message, config, into_conversation: draft.into_conversation }
}
