//! The users: makes their calls, and checks each reply at once.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use peerd::bus::Kind;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::journal::{May, OpKind, Outcome, Sent};
use crate::plan::{Call, Draft, NAMES};
use crate::rules::{Rule, number, text, token};
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
}

impl Client {
    /// Makes a call and waits for its reply.
    pub(crate) async fn ask(&self, user: usize, method: &str, body: &Value) -> Said {
        let subject = format!("peer.api.{}.{method}", token(user));
        let (patience, asked_ms) = {
            let mut core = self.world.lock();
            let asked_ms = self.world.now_ms();
            core.watch.journal.begin_call(asked_ms);
            let setup = &core.setup;
            let span_ms = setup.call_deadline_ms + setup.owner_wait_ms + 500;
            (Duration::from_millis(span_ms), asked_ms)
        };
        let answer = self.world.call(subject, body.to_string(), patience).await;
        let now_ms = self.world.now_ms();
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
        let Kind::Error { code, .. } = answer.kind else {
            let is_repeat = answer.kind == Kind::Duplicate;
            if method != "login" {
                must_be_home(&mut core, user, method, true, (asked_ms, now_ms));
            }
            return Said::Good { body, is_repeat };
        };
        let reason = text(&body, "reason").to_owned();
        let number_of_error = u64::from(code);
        if number(&body, "code") != number_of_error {
            core.broken(Rule::ToldRightly, format!("the header has code {code}: {body}"));
        }
        if code == 6_000_121 {
            must_be_home(&mut core, user, method, false, (asked_ms, now_ms));
        }
        let is_overload = reason == "overloaded" && is_overload(&core, &body, asked_ms);
        let is_failure = matches!(code, 6_000_007 | 6_000_008) && !is_overload;
        if self.is_calm && is_failure {
            let why = format!("{method} by {} fails: {body}", NAMES[user]);
            core.broken(Rule::Served, why);
        }
        Said::Refused { code: number_of_error, reason }
    }

    /// Executes a call of the plan.
    pub(crate) async fn perform(&self, user: usize, call: Call, number: usize) {
        let now_ms = self.world.now_ms();
        self.world.lock().watch.journal.learn(now_ms);
        let with = |other: usize| json!({ "conversationID": NAMES[other] });
        match call {
            Call::Login => {
                let body = match number % 3 {
                    0 => json!({}),
                    1 => json!({ "deviceID": "one", "replayAfter": 0 }),
                    _ => json!({ "deviceID": "two" }),
                };
                self.change(user, None, OpKind::Login, "login", &body).await;
            }
            Call::Logout => self.change(user, None, OpKind::Logout, "logout", &json!({})).await,
            Call::Heartbeat => _ = self.ask(user, "heartbeat", &json!({})).await,
            Call::Send { to, draft } => self.send_new(user, to, draft, number).await,
            Call::Repeat { pick } => self.repeat(user, pick).await,
            Call::Reuse { pick } => self.reuse(user, pick, number).await,
            Call::Burst { to, count } => self.burst(user, to, count, number).await,
            Call::History { other, count, reverse, pick } => {
                self.history(user, other, count, reverse, pick).await;
            }
            Call::Delete { other, picks } => self.delete(user, other, &picks).await,
            Call::DeleteAll { other } => {
                let body = with(other);
                self.change(user, Some(other), OpKind::DeleteAll, "delete_all_message", &body)
                    .await;
            }
            Call::List { count } => self.list(user, count).await,
            Call::Conversation { other } => self.conversation(user, other).await,
            Call::Clear { other } => {
                let method = "clear_conversation_unread_message_count";
                self.change(user, Some(other), OpKind::Clear, method, &with(other)).await;
            }
            Call::ClearAll => {
                let method = "clear_conversation_total_unread_message_count";
                self.change(user, None, OpKind::Clear, method, &json!({})).await;
            }
            Call::Totals => {
                let method = "query_conversation_total_unread_message_count";
                self.ask(user, method, &json!({})).await;
            }
            Call::Mute { other, on } => {
                let body =
                    json!({ "conversationID": NAMES[other], "status": if on { 2 } else { 1 } });
                let method = "set_conversation_notification_status";
                self.change(user, Some(other), OpKind::Mute(on), method, &body).await;
            }
            Call::Block { other, on } => {
                let body = json!({ "userIDs": [NAMES[other]] });
                let method =
                    if on { "add_users_to_blacklist" } else { "remove_users_from_blacklist" };
                self.change(user, Some(other), OpKind::Block(on), method, &body).await;
            }
            Call::IsBlocked { other } => self.is_blocked(user, other).await,
            Call::Blacklist => _ = self.ask(user, "query_blacklist", &json!({})).await,
        }
    }

    /// Makes a call that changes the user's own state.
    async fn change(
        &self,
        user: usize,
        other: Option<usize>,
        kind: OpKind,
        method: &str,
        body: &Value,
    ) {
        let is_partial = matches!((&kind, other), (OpKind::Clear, None) | (OpKind::Block(_), _));
        // Sessions belong to no conversation: the user stands in for the other.
        let other = if matches!(kind, OpKind::Login | OpKind::Logout) { Some(user) } else { other };
        let op = {
            let now_ms = self.world.now_ms();
            self.world.lock().watch.journal.begin(user, other, kind, now_ms)
        };
        let said = self.ask(user, method, body).await;
        let outcome = match said.outcome() {
            // A part of it may have been done.
            Outcome::Refused if is_partial && !is_refusal(&said) => Outcome::Unknown,
            outcome @ (Outcome::UnderWay | Outcome::Done | Outcome::Refused | Outcome::Unknown) => {
                outcome
            }
        };
        let now_ms = self.world.now_ms();
        self.world.lock().watch.journal.end(op, outcome, now_ms);
    }

    async fn delete(&self, user: usize, other: usize, picks: &[usize]) {
        let known = self.world.lock().watch.journal.known_with(user, other);
        if known.is_empty() {
            return;
        }
        let ids: Vec<String> = picks.iter().map(|pick| known[pick % known.len()].clone()).collect();
        let list: Vec<Value> = ids.iter().map(|id| json!({ "messageID": id })).collect();
        let body = json!({ "conversationID": NAMES[other], "messageList": list });
        self.change(user, Some(other), OpKind::Delete(ids), "delete_messages", &body).await;
    }

    async fn send_new(&self, user: usize, to: usize, draft: Draft, number: usize) {
        let mark = format!("secret-{number}");
        let body = body_of(&mark, to, draft);
        self.send(user, to, &mark, draft, &body).await;
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
            let body = body_of(&mark, to, draft);
            self.send(user, to, &mark, draft, &body).await;
        });
        futures::future::join_all(sends).await;
    }

    async fn send(&self, user: usize, to: usize, mark: &str, draft: Draft, body: &Value) {
        let now_ms = self.world.now_ms();
        {
            let journal = &mut self.world.lock().watch.journal;
            let sent = Sent {
                from: user,
                to,
                local: draft.local.then(|| mark.to_owned()),
                command: draft.command,
                floor: journal.floor(user),
                issued_ms: now_ms,
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
            let asked_ms = self.world.now_ms();
            let said = self.ask(user, method_of(draft), body).await;
            let is_over = self.sent(user, mark, &said, asked_ms);
            if is_over {
                return;
            }
        }
    }

    /// Records the result of a send; returns whether no further try is needed.
    fn sent(&self, user: usize, mark: &str, said: &Said, asked_ms: u64) -> bool {
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
                let may = core.watch.journal.may_block((to, user), (sent.issued_ms, now_ms));
                if *is_repeat && is_first {
                    let why = format!("the first of {mark} is answered as a repeat");
                    core.broken(Rule::Repeats, why);
                }
                if !is_same {
                    core.broken(Rule::StoredOnce, format!("{mark} has two IDs: {:?}", sent.acked));
                }
                if text(message, "extendedData") != mark {
                    core.broken(Rule::Repeats, format!("{mark} is answered with {message}"));
                }
                if !may.not_be {
                    let why =
                        format!("{mark} is accepted by {}, who blocked {}", NAMES[to], NAMES[user]);
                    core.broken(Rule::Blocked, why);
                }
                let key = number(message, "orderKey");
                core.watch.journal.will_know(now_ms, user, to, id, key, is_command);
                core.watch.journal.learn(now_ms);
                true
            }
            Said::Refused { code: 6_000_284, .. } => {
                let may = core.watch.journal.may_block((to, user), (asked_ms, now_ms));
                if !may.be {
                    let why = format!("{mark} is refused by {}, who blocks nobody", NAMES[to]);
                    core.broken(Rule::Blocked, why);
                }
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
        let body = body_of(&mark, sent.to, PLAIN);
        let said = self.ask(user, "send_peer_message", &body).await;
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
        let mut body = body_of(&format!("secret-{number}"), sent.to, PLAIN);
        body["message"]["localMessageID"] = json!(mark);
        let said = self.ask(user, "send_peer_message", &body).await;
        if let Said::Good { body, .. } = &said {
            let why = format!("the local ID of {mark} is taken for other content: {body}");
            self.world.lock().broken(Rule::Repeats, why);
        }
    }

    async fn is_blocked(&self, user: usize, other: usize) {
        let asked_ms = self.world.now_ms();
        let body = json!({ "userID": NAMES[other] });
        if let Said::Good { body, .. } = self.ask(user, "check_user_is_in_blacklist", &body).await {
            let now_ms = self.world.now_ms();
            let mut core = self.world.lock();
            let may = core.watch.journal.may_block((user, other), (asked_ms, now_ms));
            let is_blocked = body["isUserInBlacklist"].as_bool().unwrap_or_default();
            if (is_blocked && !may.be) || (!is_blocked && !may.not_be) {
                let why = format!("{} has {} blocked: {is_blocked}", NAMES[user], NAMES[other]);
                core.broken(Rule::ChangesStay, why);
            }
        }
    }
}

/// Checks that a user's login state agrees with the user's logins and logouts.
fn must_be_home(core: &mut Core, user: usize, method: &str, is_home: bool, span: (u64, u64)) {
    let May { be, not_be } = core.watch.journal.may_be_home(user, span);
    if (is_home && !be) || (!is_home && !not_be) {
        let why = format!("{method} by {}: logged in is {is_home}", NAMES[user]);
        core.broken(Rule::ChangesStay, why);
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

const fn method_of(draft: Draft) -> &'static str {
    if draft.into_conversation { "send_message" } else { "send_peer_message" }
}

pub(crate) fn body_of(mark: &str, to: usize, draft: Draft) -> Value {
    let mut message = if draft.command {
        let bytes = base64::engine::general_purpose::STANDARD.encode(mark);
        json!({ "type": 2, "message": bytes, "extendedData": mark })
    } else {
        json!({ "type": 1, "message": mark, "extendedData": mark })
    };
    if draft.local {
        message["localMessageID"] = json!(mark);
    }
    let mut config = json!({ "disableUnreadMessageCount": !draft.counts });
    if draft.push {
        config["pushConfig"] = json!({ "title": "secret-title", "content": mark });
    }
    let field = if draft.into_conversation { "toConversationID" } else { "toUserID" };
    json!({ field: NAMES[to], "message": message, "config": config })
}
