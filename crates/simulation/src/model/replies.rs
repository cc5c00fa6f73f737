//! The possible replies to each call, given the known facts: one function for each kind of reply.
//!
//! If everything is certain, only one reply is possible.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::facts::{BlockList, Conversation, Facts, May};
use super::request::{ListOption, Request};
use super::state::{Message, is_shown, show_content, show_message};
use super::{NAMES, number, text, user_of};
use crate::rules::Rule;

/// Reasons of blocking users that do not depend on a state: the caller's own ID.
const OWN_ID: u32 = 6_000_805;

const NO_SUCH_USER: u32 = 6_000_011;
/// What a user may hide.
pub(crate) const HIDDEN: [&str; 3] = ["hideReadReceipts", "hideTyping", "hideOnlineStatus"];

pub(crate) const NOT_LOGGED_IN: u64 = 6_000_121;
pub(crate) const BLOCKED_BY_RECEIVER: u64 = 6_000_284;
pub(crate) const CONVERSATION_NOT_FOUND: u64 = 6_000_603;

/// A difference between a reply and what is known: the rule that is broken, and how.
pub(crate) type Difference = (Rule, String);

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
        Request::Send { to, message, .. } => check.sent(*to, message, reply),
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
        | Request::Typing { .. } => check.is(reply, &json!({})),
        Request::Block { others, on } => {
            let own = json!({ "userID": NAMES[user], "reason": OWN_ID });
            let refused: Vec<Value> =
                if *on && others.contains(&user) { vec![own] } else { Vec::new() };
            check.is(reply, &json!({ "errorUserList": refused }));
        }
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
        Request::Privacy { what, on } => {
            let field = HIDDEN[*what];
            check.is(&reply[field], &json!(on));
            check.has_fields(reply, &HIDDEN);
        }
        Request::Revoke { id, .. } | Request::Edit { id, .. } => {
            check.has_fields(reply, &["message"]);
            if text(&reply["message"], "messageID") != id {
                check.wrong(Rule::PublishedCorrectly, format!("{reply}, changed was {id}"));
            }
        }
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
            | Request::Edit { other: to, .. }
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
            | Request::Edit { .. }
            | Request::ReceiptRead { .. }
            | Request::ReceiptsRead { .. },
        )
        | (CONVERSATION_NOT_FOUND, Request::Conversation { .. }) => {}
        (BLOCKED_BY_RECEIVER | CONVERSATION_NOT_FOUND, _) => {
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
    // Whether it is confirmed as read is another question.
    if message.receipt && shown["receiptStatus"] == 2 {
        expected["receiptStatus"] = json!(2);
    } else if message.confirmed && shown["receiptStatus"] == 1 {
        expected["receiptStatus"] = json!(1);
    }
    is_shown(viewer, message) && *shown == expected
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
            // These are not the caller's to set, or are compared below.
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
                if !is_it || !is_shown_rightly(from, message, seen) {
                    let why = format!("{seen} is answered, {message:?} is stored");
                    self.wrong(Rule::SuccessIsStored, why);
                }
            }
            None => self.wrong(Rule::SuccessIsStored, format!("{seen} is not stored")),
        }
    }

    /// A page shows every message within its range that the user certainly sees.
    fn page(
        &mut self,
        other: usize,
        reverse: bool,
        count: usize,
        anchor: Option<&str>,
        reply: &Value,
    ) {
        self.has_fields(reply, &["conversationID", "conversationType", "messageList"]);
        let head = json!([reply["conversationID"], reply["conversationType"]]);
        self.is(&head, &json!([NAMES[other], 0]));
        let page = list(&reply["messageList"]);
        let history = self.facts.history(self.user, other);
        for shown in page {
            self.message(other, &history, shown);
        }
        let keys: Vec<u64> = page.iter().map(|message| number(message, "orderKey")).collect();
        if !keys.is_sorted_by(|a, b| a < b) || keys.len() > count {
            self.wrong(Rule::Pages, format!("a page of {count} is {keys:?}"));
        }
        let at = anchor.and_then(|id| self.facts.message(id)).map(|message| message.key);
        let is_beyond = |key: u64| at.is_none_or(|at| if reverse { key < at } else { key > at });
        if let Some(wrong) = keys.iter().find(|key| !is_beyond(**key)) {
            self.wrong(Rule::Pages, format!("a page (reverse: {reverse}) of {at:?} has {wrong}"));
        }
        let edge = if keys.len() < count {
            None
        } else if reverse {
            keys.first()
        } else {
            keys.last()
        };
        let is_covered =
            |key: u64| edge.is_none_or(|edge| if reverse { key >= *edge } else { key <= *edge });
        for (message, seen) in history {
            let is_due = is_beyond(message.key) && is_covered(message.key);
            let is_shown = page.iter().any(|shown| text(shown, "messageID") == message.id);
            if is_due && seen.is_sure() && !is_shown {
                let why = format!("{} ({}) is missing", message.id, message.extended);
                self.wrong(Rule::NeverStale, why);
            }
        }
    }

    /// Exactly the messages with these numbers that the user sees.
    fn numbered(&mut self, other: usize, seqs: &[u64], sender: Option<usize>, reply: &Value) {
        self.has_fields(reply, &["conversationID", "conversationType", "messageList"]);
        let shown = list(&reply["messageList"]);
        let history = self.facts.history(self.user, other);
        let is_meant = |message: &Message| {
            seqs.contains(&message.seq) && sender.is_none_or(|sender| message.from == sender)
        };
        for one in shown {
            self.message(other, &history, one);
            let id = text(one, "messageID");
            let is_wrong =
                history.iter().any(|(message, _)| message.id == id && !is_meant(message));
            if is_wrong {
                self.wrong(Rule::Pages, format!("{id} is none of {seqs:?} of {sender:?}"));
            }
        }
        let keys: Vec<u64> = shown.iter().map(|message| number(message, "orderKey")).collect();
        if !keys.is_sorted_by(|a, b| a < b) {
            self.wrong(Rule::Pages, format!("messages by number are {keys:?}"));
        }
        for (message, seen) in history {
            let is_shown = shown.iter().any(|shown| text(shown, "messageID") == message.id);
            if is_meant(message) && seen.is_sure() && !is_shown {
                self.wrong(Rule::NeverStale, format!("{} is missing", message.id));
            }
        }
    }

    /// The changes since a revision: every conversation that certainly changed, or a page of all.
    fn changes(&mut self, revision: u64, reply: &Value) {
        let (reset, changed) = self.facts.changed_since(self.user, revision);
        let mut fields = json!({
            "conversationList": reply["conversationList"], "revision": reply["revision"],
        });
        for (field, is_there) in [("reset", reply["reset"] == true), ("blacklistChanged", true)] {
            if is_there && reply[field] == true {
                fields[field] = json!(true);
            }
        }
        self.is(reply, &fields);
        let is_reset = reply["reset"] == true;
        if !reset.admits(is_reset) {
            self.wrong(Rule::NeverStale, format!("since {revision} all is to be read: {is_reset}"));
        }
        let newest = self.facts.revision(self.user);
        self.is_within("revision", number(reply, "revision"), &newest);
        let mut others = Vec::new();
        for shown in list(&reply["conversationList"]) {
            let Some(other) = user_of(text(shown, "conversationID")) else {
                self.wrong(Rule::PublishedCorrectly, format!("{shown} is with nobody"));
                continue;
            };
            self.conversation(other, shown);
            others.push(other);
        }
        for (other, may) in &changed {
            if may.is_sure() && !others.contains(other) {
                let why = format!("{} changed since {revision}", NAMES[*other]);
                self.wrong(Rule::NeverStale, why);
            }
        }
        let is_known = |other: &usize| changed.iter().any(|(known, may)| known == other && may.be);
        if let Some(other) = others.iter().find(|other| !is_known(other)) {
            self.wrong(Rule::Pages, format!("{} did not change since {revision}", NAMES[*other]));
        }
    }

    /// A message that is shown is stored, in this conversation, and not deleted.
    fn message(&mut self, other: usize, history: &[(&Message, May)], shown: &Value) {
        let id = text(shown, "messageID");
        let Some((message, seen)) = history.iter().find(|(message, _)| message.id == id) else {
            let why = format!("{shown} is not in the conversation with {}", NAMES[other]);
            return self.wrong(Rule::PublishedCorrectly, why);
        };
        if !is_shown_rightly(self.user, message, shown) {
            self.wrong(Rule::PublishedCorrectly, format!("{shown}, {message:?} is stored"));
        }
        if !seen.be {
            self.wrong(Rule::ChangesStay, format!("{id} ({}) was deleted", message.extended));
        }
        let confirmed = self.facts.confirmed(message);
        let is_confirmed = shown["receiptStatus"] == 2;
        if !confirmed.admits(is_confirmed) {
            let rule = if is_confirmed { Rule::PublishedCorrectly } else { Rule::ChangesStay };
            self.wrong(rule, format!("{id} ({}) is read: {is_confirmed}", message.extended));
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
            let is_confirmed = info.is_some_and(|info| number(info, "status") == 2);
            if !self.facts.confirmed(message).admits(is_confirmed) {
                self.wrong(Rule::ChangesStay, format!("{id} is read: {is_confirmed}"));
            }
            let own = message.from == self.user;
            let expected = json!({
                "status": if is_confirmed { 2 } else { 1 },
                "messageID": id,
                "conversationID": NAMES[other],
                "conversationType": 0,
                "readMemberCount": u8::from(own && is_confirmed),
                "unreadMemberCount": u8::from(own && !is_confirmed),
                "deliveredMemberCount": 0,
                "isSelfOperated": false,
                "readTime": message.read_ms,
            });
            self.is(info.unwrap_or(&Value::Null), &expected);
        }
    }

    fn list(
        &mut self,
        count: usize,
        after: Option<(usize, Option<u64>)>,
        option: &ListOption,
        reply: &Value,
    ) {
        self.has_fields(reply, &["conversationList"]);
        let shown = list(&reply["conversationList"]);
        let places: Vec<Place> = shown.iter().map(Place::of).collect();
        if !places.is_sorted_by(|a, b| a > b) || places.len() > count {
            self.wrong(Rule::Pages, format!("a list of {count} is {places:?}"));
        }
        let start = after.map(|(other, key)| {
            let known = self.facts.conversation(self.user, other);
            let keys = key.map_or_else(|| known.order_key.clone(), |key| key..=key);
            Place::between(other, known.pinned, &keys)
        });
        for (shown, place) in shown.iter().zip(&places) {
            let Some(other) = user_of(&place.name) else {
                self.wrong(Rule::PublishedCorrectly, format!("{shown} is with nobody"));
                continue;
            };
            self.conversation(other, shown);
            self.passes(option, shown);
            let is_behind = start.as_ref().is_none_or(|(_, latest)| place < latest);
            if !is_behind {
                self.wrong(Rule::Pages, format!("{place:?} is not behind {start:?}"));
            }
        }
        let edge = places.last().filter(|_| places.len() >= count);
        for (other, name) in NAMES.iter().enumerate() {
            let known = self.facts.conversation(self.user, other);
            let (least, most) = Place::between(other, known.pinned, &known.order_key);
            let is_behind = start.as_ref().is_none_or(|(earliest, _)| most < *earliest);
            let is_covered = edge.is_none_or(|edge| least > *edge);
            let unread = self.facts.recount(self.user, other, *known.read_seq.end());
            let is_wanted = (!option.only_unread || *unread.start() > 0)
                && known.is_wanted(option.pinned).is_sure()
                && known.is_marked(&option.marks).is_sure();
            let is_due = known.exists.is_sure() && is_behind && is_covered && is_wanted;
            if is_due && !places.iter().any(|place| place.name == *name) {
                self.wrong(Rule::NeverStale, format!("{name} is missing in {places:?}"));
            }
        }
    }

    /// A conversation that is shown passes the filter.
    fn passes(&mut self, option: &ListOption, shown: &Value) {
        let marks: Vec<i64> = list(&shown["marks"]).iter().filter_map(Value::as_i64).collect();
        let is_marked = |filter: &i64| match filter {
            -1 => !marks.is_empty(),
            0 => marks.is_empty(),
            mark => marks.contains(mark),
        };
        let is_pinned = shown["isPinned"] == true;
        let passes = (!option.only_unread || number(shown, "unreadMessageCount") > 0)
            && (option.pinned == 0 || is_pinned == (option.pinned == 1))
            && (option.marks.is_empty() || option.marks.iter().any(is_marked));
        if !passes {
            self.wrong(Rule::Pages, format!("{shown} does not pass {option:?}"));
        }
    }

    fn single_conversation(&mut self, other: usize, reply: &Value) {
        self.has_fields(reply, &["conversation"]);
        if text(&reply["conversation"], "conversationID") == NAMES[other] {
            self.conversation(other, &reply["conversation"]);
        } else {
            self.wrong(Rule::PublishedCorrectly, format!("{reply} is not with {}", NAMES[other]));
        }
    }

    /// A conversation, as its user is shown it.
    fn conversation(&mut self, other: usize, shown: &Value) {
        let with = NAMES[other];
        let known = self.facts.conversation(self.user, other);
        if !known.exists.be {
            self.wrong(Rule::ChangesStay, format!("there is no conversation with {with}"));
        }
        let key = number(shown, "orderKey");
        self.is_within(&format!("the order key of {with}"), key, &known.order_key);
        let read_seq = number(shown, "readMessageSeq");
        if !known.read_seq.contains(&read_seq) {
            let why = format!("{with} is read up to {read_seq}, expected {:?}", known.read_seq);
            self.wrong(Rule::ChangesStay, why);
        }
        let muted = number(shown, "notificationStatus") == 2;
        if !known.muted.admits(muted) {
            self.wrong(Rule::ChangesStay, format!("{with} is muted: {muted}"));
        }
        self.preferences(&known, shown);
        let unread = number(shown, "unreadMessageCount");
        let recount = self.facts.recount(self.user, other, read_seq);
        if !recount.contains(&unread) {
            let why = format!("{with} has {unread} unread, the recount {recount:?}");
            self.wrong(Rule::CountsEqualRecount, why);
        }
        self.last_message(other, &shown["lastMessage"]);
        let mut fields = json!({
            "conversationID": with,
            "conversationName": known.name,
            "type": 0,
            "notificationStatus": if muted { 2 } else { 1 },
            "unreadMessageCount": unread,
            "orderKey": key,
            "isPinned": number(shown, "pinnedTime") > 0,
            "pinnedTime": shown["pinnedTime"],
            "draft": shown["draft"],
            "mentionedInfoList": [],
            "marks": shown["marks"],
            "readMessageSeq": read_seq,
        });
        if !known.avatar.is_empty() {
            fields["conversationAvatarUrl"] = json!(known.avatar);
        }
        let is_marked_unread = shown["isMarkedUnread"] == true;
        if !known.marked_unread.admits(is_marked_unread) {
            self.wrong(Rule::ChangesStay, format!("{with} is marked unread: {is_marked_unread}"));
        }
        if is_marked_unread {
            fields["isMarkedUnread"] = json!(true);
        }
        if shown["lastMessage"].is_object() {
            fields["lastMessage"] = shown["lastMessage"].clone();
        }
        self.is(shown, &fields);
    }

    /// What the user set for a conversation.
    fn preferences(&mut self, known: &Conversation, shown: &Value) {
        let with = &shown["conversationID"];
        let pinned_ms = number(shown, "pinnedTime");
        let is_pinned = pinned_ms > 0;
        if !known.pinned.admits(is_pinned) || (is_pinned && !known.pinned_ms.contains(&pinned_ms)) {
            self.wrong(Rule::ChangesStay, format!("{with} is pinned at {pinned_ms}"));
        }
        let draft = text(shown, "draft");
        if !known.drafts.iter().any(|known| known == draft) {
            let why = format!("{with} has the draft {draft:?}, expected {:?}", known.drafts);
            self.wrong(Rule::ChangesStay, why);
        }
        let marks: Vec<i64> = list(&shown["marks"]).iter().filter_map(Value::as_i64).collect();
        let is_known = |mark: &i64| known.marks.iter().any(|(known, may)| known == mark && may.be);
        let missing = known.marks.iter().any(|(mark, may)| may.is_sure() && !marks.contains(mark));
        if missing || !marks.iter().all(is_known) || !marks.is_sorted_by(|a, b| a < b) {
            let why = format!("{with} has the marks {marks:?}, expected {:?}", known.marks);
            self.wrong(Rule::ChangesStay, why);
        }
    }

    /// The last message is the newest that the user sees.
    fn last_message(&mut self, other: usize, last: &Value) {
        let history = self.facts.history(self.user, other);
        if last.is_object() {
            self.message(other, &history, last);
        }
        let key = number(last, "orderKey");
        let newer =
            history.iter().rev().find(|(message, seen)| seen.is_sure() && message.key > key);
        if let Some((newer, _)) = newer {
            let why = format!("{last} is the last message of {}, not {newer:?}", NAMES[other]);
            self.wrong(Rule::NeverStale, why);
        }
    }

    fn totals(&mut self, reply: &Value) {
        const FIELDS: [&str; 2] = ["unreadMessageCount", "unreadMessageCountIncludingMuted"];
        self.has_fields(reply, &[FIELDS[0], FIELDS[1], "revision"]);
        for (field, expected) in FIELDS.into_iter().zip(self.facts.totals(self.user)) {
            let seen = number(reply, field);
            if !expected.contains(&seen) {
                let why = format!("{field} is {seen}, expected {expected:?}");
                self.wrong(Rule::CountsEqualRecount, why);
            }
        }
        let revision = self.facts.revision(self.user);
        self.is_within("revision", number(reply, "revision"), &revision);
    }

    /// Each user once, in the order of the IDs.
    fn users_info(&mut self, others: &[usize], reply: &Value) {
        let mut others = others.to_vec();
        others.sort_unstable_by_key(|other| NAMES[*other]);
        others.dedup();
        let (mut users, mut unknown) = (Vec::new(), Vec::new());
        for other in others {
            match self.facts.info(other) {
                Some(info) => users.push(info),
                None => unknown.push(json!({ "userID": NAMES[other], "reason": NO_SUCH_USER })),
            }
        }
        self.is(reply, &json!({ "userList": users, "errorUserList": unknown }));
    }

    fn self_info(&mut self, reply: &Value) {
        let info = &reply["selfUserInfo"];
        let expected = self.facts.info(self.user).unwrap_or_default();
        self.is(&info["userFullInfo"], &expected);
        self.is(&info["userRule"], &self.facts.rule(self.user));
        let since = info["userStatus"]["lastUpdateTime"].clone();
        let status = json!({
            "userID": NAMES[self.user],
            "onlineStatus": 0,
            "onlinePlatforms": [32],
            "customStatus": "",
            "customStatusExpiredTime": 0,
            "lastUpdateTime": since,
            "lastOnlineStatusUpdateTime": since,
            "lastCustomStatusUpdateTime": 0,
        });
        self.is(&info["userStatus"], &status);
        self.has_fields(reply, &["selfUserInfo"]);
    }

    fn is_blocked(&mut self, other: usize, reply: &Value) {
        self.has_fields(reply, &["isUserInBlacklist"]);
        let is_blocked = reply["isUserInBlacklist"] == true;
        if !self.facts.blocks(self.user, other).admits(is_blocked) {
            let why = format!("{} is blocked: {is_blocked}", NAMES[other]);
            self.wrong(Rule::ChangesStay, why);
        }
    }

    /// A page of the block list neither skips nor repeats users.
    fn block_page(&mut self, count: usize, known: &BlockList, reply: &Value) {
        self.has_fields(reply, &["blacklist", "nextFlag"]);
        let (page, place) = (list(&reply["blacklist"]), number(reply, "nextFlag"));
        let mut places: Vec<usize> = Vec::new();
        for shown in page {
            let found = user_of(text(shown, "userID"));
            let at = known.users.iter().position(|(other, _)| Some(*other) == found);
            match (found, at.and_then(|at| known.users.get(at)).zip(at)) {
                (Some(other), Some(((_, blocked), at))) if blocked.be => {
                    self.is(shown, &self.facts.listed(other));
                    places.push(at);
                }
                _ => self.wrong(Rule::ChangesStay, format!("{shown} is not blocked here")),
            }
        }
        let mut once = places.clone();
        once.sort_unstable();
        once.dedup();
        let is_in_order = !known.is_in_order || places == once;
        if once.len() != places.len() || !is_in_order || page.len() > count || place >= 1 << 53 {
            self.wrong(Rule::Pages, format!("{reply} is a page of {count} of {known:?}"));
        }
        // The last page has all remaining users; any other has all users up to its end.
        let end =
            if place == 0 { known.users.len() } else { once.last().map_or(0, |last| last + 1) };
        let is_due = |at: usize| at < end && (known.is_in_order || place == 0);
        let missing = (known.users.iter().enumerate())
            .find(|(at, (_, blocked))| is_due(*at) && blocked.is_sure() && !places.contains(at));
        let is_cut = place != 0 && page.len() != count;
        let is_needless = place != 0
            && !(known.users.iter().enumerate())
                .any(|(at, (_, blocked))| blocked.be && !places.contains(&at));
        if missing.is_some() || is_cut || is_needless {
            let why = format!("{reply} is not all, {missing:?} is missing of {known:?}");
            self.wrong(Rule::Pages, why);
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Where a conversation is in a list: larger comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    is_pinned: bool,
    key: u64,
    name: String,
}

impl Place {
    fn of(shown: &Value) -> Self {
        let name = text(shown, "conversationID").to_owned();
        Self { is_pinned: shown["isPinned"] == true, key: number(shown, "orderKey"), name }
    }

    /// The last and the first place that a conversation may have.
    fn between(other: usize, pinned: May, keys: &RangeInclusive<u64>) -> (Self, Self) {
        let place = |is_pinned, key| Self { is_pinned, key, name: NAMES[other].to_owned() };
        (place(pinned.is_sure(), *keys.start()), place(pinned.be, *keys.end()))
    }
}
