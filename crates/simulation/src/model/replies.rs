//! The possible replies to each call, given the known facts: one function for each kind of reply.
//!
//! If everything is certain, only one reply is possible.

mod conversations;
mod pages;
mod users;

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::facts::{Difference, Facts, May};
use super::request::{HIDDEN, ListOption, Request};
use super::state::{Message, is_shown, show_content, show_message};
use crate::names::{NAMES, number, text};
use crate::rule::Rule;

/// Reasons of blocking users that do not depend on a state: the caller's own ID.
const OWN_ID: u32 = 6_000_805;

pub(crate) const NOT_LOGGED_IN: u64 = 6_000_121;
pub(crate) const NOT_PINNED: u64 = 6_000_208;
pub(crate) const BLOCKED_BY_RECEIVER: u64 = 6_000_284;
pub(crate) const CONVERSATION_NOT_FOUND: u64 = 6_000_603;

/// The differences between a reply that reports success and what is known.
pub(crate) fn check(
    facts: &impl Facts,
    user: usize,
    request: &Request,
    reply: &Value,
) -> Vec<Difference> {
    let mut check = Check { facts, user, found: Vec::new() };
    if !matches!(request, Request::Login { .. }) && !facts.is_logged_in(user).be {
        check.wrong(Rule::ChangesStay, "the user is not logged in");
    }
    match request {
        Request::Login { .. } => check.login(reply),
        Request::Heartbeat => {
            check.is_within("serverTime", number(reply, "serverTime"), &facts.now_ms());
            check.is(reply, &json!({ "serverTime": reply["serverTime"] }));
        }
        Request::Send { to, message, .. } | Request::Reply { other: to, message, .. } => {
            check.sent(*to, message, reply);
        }
        Request::History { other, reverse, count, anchor } => {
            check.page(*other, *reverse, *count, anchor.as_deref(), reply);
        }
        Request::List { count, after, option } => check.list(*count, *after, option, reply),
        Request::PinnedList { count } => {
            let option = ListOption { pinned: 1, ..ListOption::default() };
            check.list(*count, None, &option, reply);
        }
        Request::Conversation { other } => check.single_conversation(*other, reply),
        Request::Totals => check.totals(reply),
        Request::Clear { other, .. }
        | Request::Mute { other, .. }
        | Request::MarkUnread { other, .. }
        | Request::DeleteConversation { other }
        | Request::Pin { other, .. }
        | Request::Draft { other, .. }
        | Request::ReceiptRead { other } => {
            let fields = json!({ "conversationID": NAMES[*other], "conversationType": 0 });
            check.is(reply, &fields);
        }
        Request::Logout { .. }
        | Request::Delete { .. }
        | Request::DeleteAll { .. }
        | Request::ClearAll
        | Request::DeleteConversations
        | Request::DeleteAllMessages
        | Request::Typing { .. }
        | Request::Unreact { kind: None, .. } => check.is(reply, &json!({})),
        Request::PinMessage { other, .. } => {
            check.is(reply, &json!({}));
            check.is_not_blocked_by(*other);
        }
        Request::PinnedMessages { other } => check.pinned_messages(*other, reply),
        Request::RepliedList { other, id, after, count } => {
            check.replied_list((*other, id), (*after, *count), reply);
        }
        Request::Block { others, on } => check.blocked(others, *on, reply),
        Request::Blacklist { count, place } => {
            check.block_page(*count, &facts.block_list(user, *place), reply);
        }
        Request::IsBlocked { other } => check.is_blocked(*other, reply),
        Request::Profile { part, text } => {
            let field = ["userName", "userAvatarUrl", "extendedData"][*part];
            check.is(reply, &json!({ field: text }));
        }
        Request::UsersInfo { others } => check.users_info(others, reply),
        Request::SelfInfo => check.self_info(reply),
        Request::CustomStatus { text, .. } => check.is(reply, &json!({ "customStatus": text })),
        Request::UsersStatus { others } => check.users_status(others, reply),
        Request::Follow { .. } | Request::Unfollow { .. } => {
            check.has_fields(reply, &["errorUserList"]);
        }
        Request::Followed { others } => check.followed(others, reply),
        Request::Privacy { what, on } => {
            let field = HIDDEN[*what];
            check.is(&reply[field], &json!(on));
            check.has_fields(reply, &HIDDEN);
        }
        Request::Revoke { id, .. } | Request::Edit { id, .. } => {
            check.changed(id, reply);
        }
        Request::React { other, id, kind, .. }
        | Request::Unreact { other, id, kind: Some(kind) } => {
            check.reacted(*other, (id, kind), reply);
        }
        Request::Reactors { other, id, kind } => check.reactors(*other, (id, kind), reply),
        Request::SetMark { others, .. } => {
            let own = json!({ "conversationID": NAMES[user], "conversationType": 0 });
            let refused: Vec<Value> = if others.contains(&user) { vec![own] } else { Vec::new() };
            check.is(reply, &json!({ "failedConversationInfos": refused }));
        }
        Request::Numbered { other, seqs, sender } => {
            check.numbered(*other, seqs, *sender, reply);
        }
        Request::Combine { other, .. } => {
            check.has_fields(reply, &["message"]);
            let history = check.facts.history(user, *other);
            check.message(*other, &history, &reply["message"]);
        }
        Request::Changes { revision } => check.changes(*revision, reply),
        Request::Receipts { other, ids } => check.receipts(*other, ids, reply),
        Request::ReceiptsRead { .. } => {
            check.has_fields(reply, &["conversationID", "conversationType", "errorMessageIDs"]);
        }
    }
    check.found
}

/// The differences between a refusal and what is known.
pub(crate) fn check_refusal(
    facts: &impl Facts,
    user: usize,
    request: &Request,
    code: u64,
) -> Vec<Difference> {
    let mut check = Check { facts, user, found: Vec::new() };
    match (code, request) {
        (NOT_LOGGED_IN, _) => {
            let is_login = matches!(request, Request::Login { .. });
            if is_login || !facts.is_logged_in(user).not_be {
                check.wrong(Rule::ChangesStay, "the user is logged in");
            }
        }
        (
            BLOCKED_BY_RECEIVER,
            Request::Send { to, .. }
            | Request::Reply { other: to, .. }
            | Request::Edit { other: to, .. }
            | Request::React { other: to, .. }
            | Request::Unreact { other: to, .. }
            | Request::PinMessage { other: to, .. }
            | Request::ReceiptRead { other: to }
            | Request::ReceiptsRead { other: to, .. },
        ) if !facts.blocks(*to, user).be => {
            check.wrong(Rule::Blocked, format!("{} blocks nobody", NAMES[*to]));
        }
        (CONVERSATION_NOT_FOUND, Request::Conversation { other })
            if !facts.conversation(user, *other).exists.not_be =>
        {
            let why = format!("the conversation with {} is denied", NAMES[*other]);
            check.wrong(Rule::NeverStale, why);
        }
        (
            BLOCKED_BY_RECEIVER,
            Request::Send { .. }
            | Request::Reply { .. }
            | Request::Edit { .. }
            | Request::React { .. }
            | Request::Unreact { .. }
            | Request::PinMessage { .. }
            | Request::ReceiptRead { .. }
            | Request::ReceiptsRead { .. },
        )
        | (CONVERSATION_NOT_FOUND, Request::Conversation { .. }) => {}
        (NOT_PINNED, Request::PinMessage { on: false, id, .. }) => {
            let pinned = facts.message(id).map(|message| facts.pinned(message));
            if pinned.is_some_and(May::is_sure) {
                check.wrong(Rule::ChangesStay, format!("{id} is pinned"));
            }
        }
        (NOT_PINNED | BLOCKED_BY_RECEIVER | CONVERSATION_NOT_FOUND, _) => {
            check.wrong(
                Rule::PublishedCorrectly,
                format!("{} has no error {code}", request.method()),
            );
        }
        _ => {}
    }
    check.found
}

/// Whether a message is shown to its viewer as it is stored, apart from the status of its receipt.
pub(crate) fn is_shown_rightly(viewer: usize, message: &Message, shown: &Value) -> bool {
    let mut expected = show_message(viewer, message);
    // Whether it is confirmed as read, or was delivered, is checked elsewhere.
    let is_delivered = shown["receiptStatus"] == 5 && viewer == message.from;
    if message.receipt && (shown["receiptStatus"] == 2 || is_delivered) {
        expected["receiptStatus"] = shown["receiptStatus"].clone();
    } else if message.confirmed && shown["receiptStatus"] == 1 {
        expected["receiptStatus"] = json!(1);
    }
    is_shown(viewer, message) && *shown == expected
}

/// Whether a reply shows that its viewer deleted the original, or that it was revoked.
pub(crate) fn shows_deleted(info: &Value) -> bool {
    info["state"] == 1
}

/// Whether a shown message has a reaction of a user.
pub(crate) fn has_reacted(user: usize, shown: &Value) -> bool {
    let reactions = shown["reactions"].as_array().into_iter().flatten();
    let mut users =
        reactions.flat_map(|reaction| reaction["userList"].as_array().into_iter().flatten());
    users.any(|shown| shown["userID"] == NAMES[user])
}

struct Check<'f, F> {
    facts: &'f F,
    user: usize,
    found: Vec<Difference>,
}

impl<F: Facts> Check<'_, F> {
    fn wrong(&mut self, rule: Rule, why: impl Into<String>) {
        self.found.push((rule, why.into()));
    }

    fn is(&mut self, seen: &Value, expected: &Value) {
        if seen != expected {
            self.wrong(Rule::PublishedCorrectly, format!("{seen}, expected {expected}"));
        }
    }

    fn is_not_blocked_by(&mut self, other: usize) {
        if !self.facts.blocks(other, self.user).not_be {
            self.wrong(Rule::Blocked, format!("{} blocks the user", NAMES[other]));
        }
    }

    fn changed(&mut self, id: &str, reply: &Value) {
        self.has_fields(reply, &["message"]);
        if text(&reply["message"], "messageID") != id {
            self.wrong(Rule::PublishedCorrectly, format!("{reply}, changed was {id}"));
        }
    }

    fn blocked(&mut self, others: &[usize], on: bool, reply: &Value) {
        let own = json!({ "userID": NAMES[self.user], "reason": OWN_ID });
        let refused: Vec<Value> =
            if on && others.contains(&self.user) { vec![own] } else { Vec::new() };
        self.is(reply, &json!({ "errorUserList": refused }));
    }

    fn is_within(&mut self, what: &str, seen: u64, expected: &RangeInclusive<u64>) {
        if !expected.contains(&seen) {
            self.wrong(Rule::NeverStale, format!("{what} is {seen}, expected {expected:?}"));
        }
    }

    fn login(&mut self, reply: &Value) {
        let [loud, _] = self.facts.totals(self.user);
        let unread = number(reply, "totalUnreadMessageCount");
        if !loud.contains(&unread) {
            self.wrong(Rule::CountsEqualRecount, format!("{unread} unread, expected {loud:?}"));
        }
        self.is_within("serverTime", number(reply, "serverTime"), &self.facts.now_ms());
        let revision = self.facts.revision(self.user);
        self.is_within("revision", number(reply, "revision"), &revision);
        if text(reply, "sessionID").is_empty() {
            self.wrong(Rule::PublishedCorrectly, "there is no session ID");
        }
        let fields = ["sessionID", "serverTime", "heartbeatIntervalMs", "totalUnreadMessageCount"];
        self.has_fields(reply, &[&fields[..], &["revision"]].concat());
    }

    fn has_fields(&mut self, seen: &Value, names: &[&str]) {
        let fields: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), seen[*name].clone())).collect();
        self.is(seen, &Value::Object(fields));
    }

    /// A reaction was added or deleted: not to a message of a user who blocks the caller.
    fn reacted(&mut self, other: usize, (id, kind): (&str, &str), reply: &Value) {
        self.has_fields(reply, &["reaction"]);
        let (blocker, user) = (NAMES[other], NAMES[self.user]);
        if !self.facts.blocks(other, self.user).not_be {
            self.wrong(Rule::Blocked, format!("{blocker} blocks {user}"));
        }
        let reaction = &reply["reaction"];
        if (text(reaction, "messageID"), text(reaction, "reactionType")) != (id, kind) {
            let what = format!("{reply}, changed was {kind} of {id}");
            self.wrong(Rule::PublishedCorrectly, what);
        }
    }

    /// The users who reacted, and the message.
    fn reactors(&mut self, other: usize, (id, kind): (&str, &str), reply: &Value) {
        let history = self.facts.history(self.user, other);
        self.message(other, &history, &reply["message"]);
        let Some((message, _)) = history.iter().find(|(message, _)| message.id == id) else {
            return self.wrong(Rule::PublishedCorrectly, format!("{id} is not there: {reply}"));
        };
        let is_shown = !message.is_revoked;
        let by = |side: usize, kind: &str| {
            let reaction = message.reactions.iter().find(|reaction| reaction.kind == kind);
            reaction.filter(|_| is_shown).map_or(0, |reaction| reaction.by[side])
        };
        let users = [message.from, message.to];
        let reacted = || (0..2).filter(|side| by(*side, kind) > 0);
        let full = |side: usize| {
            let kinds = message.reactions.iter().map(|reaction| reaction.kind.as_str());
            let own = kinds.filter(|kind| by(side, kind) > 0);
            let own = own.map(|kind| json!({ "reactionType": kind, "sumCount": by(side, kind) }));
            json!({ "userID": NAMES[users[side]], "reactions": own.collect::<Value>() })
        };
        let expected = json!({
            "message": reply["message"],
            "userInfoList": reacted().map(full).collect::<Value>(),
            "reactionType": kind,
            "nextFlag": 0,
            "totalCount": reacted().count(),
            "userList": reacted().map(|side| json!({ "userID": NAMES[users[side]] })).collect::<Value>(),
        });
        self.is(reply, &expected);
    }

    /// A message that is answered is stored, as its sender wrote it; a Command is not stored.
    fn sent(&mut self, to: usize, sent: &Value, reply: &Value) {
        let (from, seen) = (self.user, &reply["message"]);
        self.has_fields(reply, &["message"]);
        if !self.facts.blocks(to, from).not_be {
            self.wrong(Rule::Blocked, format!("{} blocks {}", NAMES[to], NAMES[from]));
        }
        let id = text(seen, "messageID");
        let is_command = number(sent, "type") == 2;
        let same = |name: &str| {
            let (sent, seen) = (&sent[name], &seen[name]);
            sent == seen || (sent.is_null() && *seen == "")
        };
        let content = show_content(sent);
        let is_content = content.as_object().into_iter().flatten().all(|(name, value)| {
            // The caller cannot set these, or they are compared below.
            let is_other = ["messageSeq", "localMessageID", "extendedData"];
            is_other.contains(&name.as_str()) || seen[name] == *value
        });
        if !is_content || !same("localMessageID") || !same("extendedData") {
            self.wrong(Rule::Repeats, format!("{sent} is answered with {seen}"));
        }
        if is_command {
            if id.is_empty() || number(seen, "messageSeq") != 0 || number(seen, "orderKey") == 0 {
                self.wrong(Rule::PublishedCorrectly, format!("a Command is answered as {seen}"));
            }
            return;
        }
        match self.facts.message(id) {
            Some(message) => {
                let is_it = (message.from, message.to) == (from, to);
                let shown = self.facts.as_shown(message, seen);
                if !is_it || !is_shown_rightly(from, &shown, seen) {
                    let why = format!("{seen} is answered, {message:?} is stored");
                    self.wrong(Rule::SuccessIsStored, why);
                }
            }
            None => self.wrong(Rule::SuccessIsStored, format!("{seen} is not stored")),
        }
    }

    /// A message that is shown is stored, in this conversation, and not deleted.
    fn message(&mut self, other: usize, history: &[(&Message, May)], shown: &Value) {
        let id = text(shown, "messageID");
        let Some((message, seen)) = history.iter().find(|(message, _)| message.id == id) else {
            let why = format!("{shown} is not in the conversation with {}", NAMES[other]);
            return self.wrong(Rule::PublishedCorrectly, why);
        };
        if !is_shown_rightly(self.user, &self.facts.as_shown(message, shown), shown) {
            self.wrong(Rule::PublishedCorrectly, format!("{shown}, {message:?} is stored"));
        }
        for user in [message.from, message.to] {
            if !self.facts.reacted(user, message).admits(has_reacted(user, shown)) {
                let why = format!("{shown}: the reactions of {}", NAMES[user]);
                self.wrong(Rule::ChangesStay, why);
            }
        }
        if !seen.be {
            self.wrong(Rule::ChangesStay, format!("{id} ({}) was deleted", message.extended));
        }
        let is_pinned = !shown["pinnedTime"].is_null();
        if !self.facts.pinned(message).admits(is_pinned) {
            self.wrong(Rule::ChangesStay, format!("{shown} is pinned: {is_pinned}"));
        }
        let info = &shown["repliedInfo"];
        let original = text(info, "messageID");
        if let Some((original, seen)) = history.iter().find(|(message, _)| message.id == original) {
            let gone = [May::sure(original.is_revoked), seen.not()];
            if !May::any(gone.into_iter()).admits(shows_deleted(info)) {
                self.wrong(Rule::ChangesStay, format!("{shown}: the original is seen: {seen:?}"));
            }
        }
        // A revoked root shows no number.
        let counts = self.facts.replied_count(message);
        let counts = if message.is_revoked { 0..=0 } else { counts };
        self.counts(&format!("replies to {id}"), number(shown, "rootRepliedCount"), &counts);
        let confirmed = self.facts.confirmed(message);
        let is_confirmed = shown["receiptStatus"] == 2;
        if !confirmed.admits(is_confirmed) {
            let rule = if is_confirmed { Rule::PublishedCorrectly } else { Rule::ChangesStay };
            self.wrong(rule, format!("{id} ({}) is read: {is_confirmed}", message.extended));
        }
        self.delivered(message, number(shown, "receiptStatus"));
    }

    /// The status of a receipt shows to the sender of the message that it was delivered.
    fn delivered(&mut self, message: &Message, status: u64) {
        let own = message.from == self.user;
        // One that was read or revoked need not have been delivered before.
        if !own || status == 2 || message.is_revoked || !message.receipt {
            return;
        }
        let is_delivered = status == 5;
        if !self.facts.delivered(message).admits(is_delivered) {
            let rule = if is_delivered { Rule::PublishedCorrectly } else { Rule::ChangesStay };
            let (id, extended) = (&message.id, &message.extended);
            self.wrong(rule, format!("{id} ({extended}) was delivered: {is_delivered}"));
        }
    }

    fn counts(&mut self, what: &str, seen: u64, expected: &RangeInclusive<u64>) {
        if !expected.contains(&seen) {
            let why = format!("{what}: {seen}, expected {expected:?}");
            self.wrong(Rule::CountsEqualRecount, why);
        }
    }

    /// Each message with a receipt once, in the order of the IDs, and the IDs of the others.
    fn receipts(&mut self, other: usize, ids: &[String], reply: &Value) {
        self.has_fields(reply, &["infos", "errorMessageIDs"]);
        let mut ids = ids.to_vec();
        ids.sort_by_key(|id| id.parse().unwrap_or(0_u64));
        ids.dedup();
        let history = self.facts.history(self.user, other);
        let (infos, errors) = (list(&reply["infos"]), list(&reply["errorMessageIDs"]));
        if infos.len() + errors.len() != ids.len() {
            self.wrong(Rule::Pages, format!("{reply} for {ids:?}"));
        }
        for id in ids {
            let found = history.iter().find(|(message, _)| message.id == id);
            let found = found.filter(|(message, seen)| message.receipt && seen.be);
            let info = infos.iter().find(|info| text(info, "messageID") == id);
            let (message, seen) = match (found, info) {
                (Some(found), Some(_)) => found,
                (found, None) => {
                    let is_due = found.is_some_and(|(_, seen)| seen.is_sure());
                    if is_due || !errors.contains(&json!(id)) {
                        self.wrong(Rule::NeverStale, format!("{id} is missing in {reply}"));
                    }
                    continue;
                }
                (None, Some(info)) => {
                    self.wrong(Rule::PublishedCorrectly, format!("{info} has no receipt"));
                    continue;
                }
            };
            debug_assert!(seen.be, "see above");
            let status = info.map_or(0, |info| number(info, "status"));
            let is_confirmed = status == 2;
            if !self.facts.confirmed(message).admits(is_confirmed) {
                self.wrong(Rule::ChangesStay, format!("{id} is read: {is_confirmed}"));
            }
            let own = message.from == self.user;
            self.delivered(message, status);
            let is_delivered = own && status == 5;
            let expected = json!({
                "status": if is_confirmed { 2 } else if is_delivered { 5 } else { 1 },
                "messageID": id,
                "conversationID": NAMES[other],
                "conversationType": 0,
                "readMemberCount": u8::from(own && is_confirmed),
                "unreadMemberCount": u8::from(own && !is_confirmed),
                "deliveredMemberCount": u8::from(is_delivered),
                "isSelfOperated": false,
                "readTime": message.read_ms,
            });
            self.is(info.unwrap_or(&Value::Null), &expected);
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
