//! Checks the replies of reading calls against the store.
//!
//! At any time, a message in a reply must be stored as shown, between the two users of the
//! conversation, and in order. Once a user's data no longer changes, every number in a reply must
//! match the store.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::account::{Account, Held, Sent};
use super::checker::{Attached, Line, View, Views};
use super::fault::{Fault, Kind};
use super::gather::changing_until;
use super::notes::{Answer, Call, Notes};
use super::stored::key;

/// `receiptStatus` of a message that its receiver has confirmed.
const CONFIRMED: u64 = 2;

/// The faults of the replies.
pub(super) fn faults(notes: &Notes, account: &Account, views: &Views, slack_us: u64) -> Vec<Fault> {
    let until = changing_until(account);
    let mut found = Vec::new();
    let nothing = View::default();
    let lines = by_id(views);
    let sent = account.sent.iter().map(|sent| (sent.local_id.as_str(), sent)).collect();
    for call in &notes.calls {
        let Some((answered, Answer::Reply(reply))) = &call.answer else { continue };
        let view = views.get(&call.user).unwrap_or(&nothing);
        let ends = until.get(call.user.as_str()).copied().unwrap_or_default();
        let began = call.at.saturating_sub(slack_us);
        let (span, is_final) = ((began, answered + slack_us), began > ends);
        let reading = Reading { call, reply, view, lines: &lines, sent: &sent, span, is_final };
        let faults = reading.faults();
        found
            .extend(faults.into_iter().map(|it| it.of(&format!("{}, {}", call.user, call.method))));
    }
    found
}

/// Every message that a user sees, by ID, with its two users.
fn by_id(views: &Views) -> HashMap<&str, (&Line, [&str; 2])> {
    let mut lines = HashMap::new();
    for (user, view) in views {
        for (other, history) in &view.histories {
            for line in history {
                lines.insert(line.message_id.as_str(), (line, [user.as_str(), other.as_str()]));
            }
        }
    }
    lines
}

struct Reading<'a> {
    call: &'a Call,
    reply: &'a Value,
    view: &'a View,
    lines: &'a HashMap<&'a str, (&'a Line, [&'a str; 2])>,
    /// By the message's name.
    sent: &'a HashMap<&'a str, &'a Sent>,
    /// From the beginning of the call to its answer.
    span: (u64, u64),
    is_final: bool,
}

impl Reading<'_> {
    fn faults(&self) -> Vec<Fault> {
        match self.call.method.as_str() {
            "query_history_message" => self.history(),
            "query_messages" => self.numbered(),
            "query_conversation_list" => self.list(),
            "query_conversation_pinned_list" | "query_changes" => {
                let page = array(&self.reply["conversationList"]);
                page.iter().flat_map(|one| self.conversation(one)).collect()
            }
            "query_conversation" => self.conversation(&self.reply["conversation"]),
            "query_conversation_total_unread_message_count" => self.totals(),
            _ => Vec::new(),
        }
    }

    fn history(&self) -> Vec<Fault> {
        let other = self.call.body["conversationID"].as_str().unwrap_or_default();
        let page: Vec<Line> = array(&self.reply["messageList"]).iter().map(line).collect();
        let mut found: Vec<Fault> =
            page.iter().filter_map(|line| self.message(line, other)).collect();
        let mut seqs: BTreeMap<&str, u64> = BTreeMap::new();
        for pair in page.windows(2) {
            if pair[1].order_key <= pair[0].order_key {
                let text = format!("{} is not in ascending order", pair[1].local_id);
                found.push(Fault::new(Kind::Reordered, text));
            }
        }
        for line in &page {
            let last = seqs.insert(&line.sender, line.seq).unwrap_or_default();
            if line.seq <= last {
                let text = format!("{}'s {} follows {last}", line.sender, line.seq);
                found.push(Fault::new(Kind::Reordered, text));
            }
        }
        if self.is_final && found.is_empty() {
            found.extend(self.is_run(&page, other));
            let page = array(&self.reply["messageList"]);
            found.extend(page.iter().filter_map(|message| self.attached(message)));
        }
        found
    }

    /// Checks in the end that a message is shown with its reactions and the status of its receipt.
    fn attached(&self, message: &Value) -> Option<Fault> {
        let id = message["messageID"].as_str().unwrap_or_default();
        let reactions = array(&message["reactions"]).iter().flat_map(|reaction| {
            let kind = reaction["reactionType"].as_str().unwrap_or_default();
            let users = array(&reaction["userList"]).iter();
            users.map(|user| {
                (kind.to_owned(), user["userID"].as_str().unwrap_or_default().to_owned())
            })
        });
        let is_confirmed = message["receiptStatus"] == CONFIRMED;
        let shown = Attached { is_confirmed, reactions: reactions.collect() };
        let nothing = Attached::default();
        let stored = self.view.attached.get(id).unwrap_or(&nothing);
        (*stored != shown).then(|| {
            let text = format!("{id} is shown with {shown:?}, the store has {stored:?}");
            Fault::new(Kind::WrongContent, text)
        })
    }

    /// Messages by their numbers: each is the stored message with one of these numbers.
    fn numbered(&self) -> Vec<Fault> {
        let other = self.call.body["conversationID"].as_str().unwrap_or_default();
        let numbers = array(&self.call.body["messageSeqs"]);
        let mut found = Vec::new();
        for message in array(&self.reply["messageList"]) {
            found.extend(self.message(&line(message), other));
            if !numbers.contains(&message["messageSeq"]) {
                let text = format!("{} is none of those with {other}", message["messageSeq"]);
                found.push(Fault::new(Kind::WrongContent, text));
            }
        }
        found
    }

    /// Checks that in the end a page is a contiguous part of the stored messages, and the newest
    /// page their end.
    fn is_run(&self, page: &[Line], other: &str) -> Option<Fault> {
        let history = self.view.histories.get(other).map_or(&[][..], Vec::as_slice);
        let config = &self.call.body["config"];
        let is_newest = config["reverse"] == true && config["nextMessage"].is_null();
        let Some(first) = page.first() else {
            let text = format!("no messages with {other}, the store has {}", history.len());
            let is_lost = is_newest && !history.is_empty();
            return is_lost.then(|| Fault::new(Kind::Lost, text));
        };
        let begins = history.iter().position(|line| line.message_id == first.message_id)?;
        let stored = &history[begins..(begins + page.len()).min(history.len())];
        let ends = begins + stored.len() == history.len();
        let text = format!("a page with {other} is not what the store has in its place");
        let is_wrong = stored != page || (is_newest && !ends);
        is_wrong.then(|| Fault::new(Kind::Lost, text))
    }

    /// Checks a message that was shown.
    fn message(&self, line: &Line, other: &str) -> Option<Fault> {
        let id = &line.local_id;
        let Some((stored, parties)) = self.lines.get(line.message_id.as_str()) else {
            // A message that both users have deleted since is in no view.
            return self.is_final.then(|| {
                Fault::new(Kind::Unsent, format!("{id} is shown with {other}, and not stored"))
            });
        };
        let user = self.call.user.as_str();
        if !parties.contains(&user) || !parties.contains(&other) {
            let text =
                format!("{id}, which is between {} and {}, is shown", parties[0], parties[1]);
            return Some(Fault::new(Kind::WrongRecipient, text));
        }
        let is_there = *stored == &Line { text: stored.text.clone(), ..line.clone() };
        let is_same = is_there && self.may_have_text(stored, &line.text);
        (!is_same).then(|| {
            Fault::new(Kind::WrongContent, format!("{id} is shown otherwise than it is stored"))
        })
    }

    /// Whether a message may have been shown with this text, none if it is revoked.
    fn may_have_text(&self, stored: &Line, text: &str) -> bool {
        let Some(sent) = self.sent.get(stored.local_id.as_str()) else {
            return stored.text == text;
        };
        let (from, until) = self.span;
        match sent.revoked(from, until) {
            Held::Yes => text.is_empty(),
            Held::Maybe if text.is_empty() => true,
            Held::Maybe | Held::No => sent.texts(from, until).contains(&text),
        }
    }

    fn list(&self) -> Vec<Fault> {
        let page = array(&self.reply["conversationList"]);
        let mut found: Vec<Fault> = page.iter().flat_map(|one| self.conversation(one)).collect();
        let config = &self.call.body["config"];
        let count = config["count"].as_u64().unwrap_or_default();
        let is_whole = config["nextConversation"].is_null()
            && u64::try_from(page.len()).is_ok_and(|length| length < count)
            && self.call.body["option"].is_null();
        let missing = self.view.conversations.len().saturating_sub(page.len());
        if self.is_final && is_whole && missing > 0 {
            let text = format!("{missing} conversations are not in the list");
            found.push(Fault::new(Kind::Lost, text));
        }
        found
    }

    fn conversation(&self, shown: &Value) -> Vec<Fault> {
        let other = shown["conversationID"].as_str().unwrap_or_default();
        let mut found = Vec::new();
        let last = &shown["lastMessage"];
        if last.is_object() {
            found.extend(self.message(&line(last), other));
        }
        if !self.is_final {
            return found;
        }
        let Some(stored) = self.view.conversations.get(other) else {
            let text = format!("a conversation with {other}, which is not stored");
            found.push(Fault::new(Kind::Unsent, text));
            return found;
        };
        let unread = shown["unreadMessageCount"].as_u64().unwrap_or(u64::MAX);
        if unread != stored.unread {
            let text = format!("unread with {other} is {unread}, the store says {}", stored.unread);
            found.push(Fault::new(Kind::WrongCount, text));
        }
        if (shown["notificationStatus"] == 2) != stored.muted {
            let text = format!("muted with {other} is not {}", stored.muted);
            found.push(Fault::new(Kind::WrongContent, text));
        }
        // A client of an older release may not note these fields.
        let is_same = |field: &str, value: Value| shown[field].is_null() || shown[field] == value;
        let is_set_so = is_same("isPinned", stored.pinned.into())
            && is_same("draft", stored.draft.as_str().into())
            && is_same("marks", stored.marks.clone().into());
        if !is_set_so {
            let text = format!("pin, draft or marks with {other} are not what the store says");
            found.push(Fault::new(Kind::WrongContent, text));
        }
        if last["messageID"].as_str() != stored.last_message_id.as_deref() {
            let text = format!("the last message with {other} is not the newest that is stored");
            found.push(Fault::new(Kind::WrongContent, text));
        }
        found
    }

    fn totals(&self) -> Vec<Fault> {
        // A total with a filter cannot be compared with the store.
        if !self.is_final || !self.call.body["config"].is_null() {
            return Vec::new();
        }
        let pairs = [
            ("unreadMessageCount", self.view.total),
            ("unreadMessageCountIncludingMuted", self.view.total_with_muted),
        ];
        let wrong = pairs.into_iter().filter(|(field, stored)| self.reply[field] != *stored);
        let fault = |(field, stored): (&str, u64)| {
            let text = format!("{field} is {}, the store says {stored}", self.reply[field]);
            Fault::new(Kind::WrongCount, text)
        };
        wrong.map(fault).collect()
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A message as a body shows it.
pub(super) fn line(message: &Value) -> Line {
    let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| message[field].as_u64().unwrap_or_default();
    let (sender, id) = (text("senderUserID"), text("messageID"));
    Line {
        local_id: key(&sender, &text("localMessageID"), &id),
        text: text("message"),
        seq: number("messageSeq"),
        order_key: number("orderKey"),
        message_id: id,
        sender,
    }
}
