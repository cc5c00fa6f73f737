//! Replies that show several messages of a conversation.

use serde_json::{Value, json};

use super::{Check, list};
use crate::model::facts::{Facts, May};
use crate::model::state::Message;
use crate::names::{NAMES, number, text};
use crate::rule::Rule;

impl<F: Facts> Check<'_, F> {
    /// A page shows every message within its range that the user certainly sees.
    pub(super) fn page(
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
    pub(super) fn numbered(
        &mut self,
        other: usize,
        seqs: &[u64],
        sender: Option<usize>,
        reply: &Value,
    ) {
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

    /// Exactly the pinned messages that the user sees, the last pinned first.
    pub(super) fn pinned_messages(&mut self, other: usize, reply: &Value) {
        self.has_fields(reply, &["messageList"]);
        let shown = list(&reply["messageList"]);
        let history = self.facts.history(self.user, other);
        for one in shown {
            self.message(other, &history, one);
        }
        let times: Vec<u64> = shown.iter().map(|message| number(message, "pinnedTime")).collect();
        if !times.is_sorted_by(|one, next| one > next) || times.contains(&0) {
            self.wrong(Rule::Pages, format!("pinned messages have the times {times:?}"));
        }
        for (message, seen) in history {
            let is_due = seen.is_sure() && self.facts.pinned(message).is_sure();
            if is_due && !shown.iter().any(|shown| text(shown, "messageID") == message.id) {
                self.wrong(Rule::ChangesStay, format!("{} is pinned: {reply}", message.id));
            }
        }
    }

    /// A page of a tree shows its replies in order, and the root as it is.
    pub(super) fn replied_list(
        &mut self,
        (other, id): (usize, &str),
        (after, count): (u64, usize),
        reply: &Value,
    ) {
        self.has_fields(reply, &["messageList", "nextFlag", "rootRepliedInfo"]);
        let history = self.facts.history(self.user, other);
        let Some((named, _)) = history.iter().find(|(message, _)| message.id == id) else {
            return self.wrong(Rule::PublishedCorrectly, format!("{id} is not there: {reply}"));
        };
        let root = named.root.as_ref().filter(|_| !named.is_revoked).unwrap_or(&named.id);
        let (page, next) = (list(&reply["messageList"]), number(reply, "nextFlag"));
        for shown in page {
            self.message(other, &history, shown);
        }
        let keys: Vec<u64> = page.iter().map(|shown| number(shown, "orderKey")).collect();
        let is_page = keys.is_sorted_by(|one, other| one < other)
            && keys.len() <= count
            && keys.iter().all(|key| *key > after && (next == 0 || *key <= next));
        if !is_page {
            self.wrong(Rule::Pages, format!("{keys:?} after {after}, before {next}"));
        }
        let covered = after + 1..=if next == 0 { u64::MAX } else { next };
        for (message, seen) in &history {
            let is_shown = page.iter().any(|shown| text(shown, "messageID") == message.id);
            let is_of_tree = message.root.as_ref() == Some(root);
            if is_shown && !is_of_tree {
                let why = format!("{} is no reply of the tree of {root}", message.id);
                self.wrong(Rule::PublishedCorrectly, why);
            }
            if !is_shown && is_of_tree && seen.is_sure() && covered.contains(&message.key) {
                self.wrong(Rule::NeverStale, format!("{} is missing in {reply}", message.id));
            }
        }
        let info = &reply["rootRepliedInfo"];
        let Some((root, seen)) = history.iter().find(|(message, _)| message.id == *root) else {
            return self.is(&info["state"], &json!(2));
        };
        let is_there = info["state"] == 0;
        let gone = May::any([May::sure(root.is_revoked), seen.not()].into_iter());
        if !gone.admits(!is_there) {
            self.wrong(Rule::ChangesStay, format!("{info}: the root is seen: {seen:?}"));
        }
        let counts = self.facts.replied_count(root);
        self.counts("replies in the list", number(info, "repliedCount"), &counts);
        if is_there {
            self.message(other, &history, &info["message"]);
        }
        let mut expected = json!({
            "state": u8::from(!is_there),
            "senderUserID": NAMES[root.from],
            "sentTime": root.at_ms,
            "repliedCount": info["repliedCount"],
        });
        if is_there {
            expected["message"] = info["message"].clone();
        }
        self.is(info, &expected);
    }
}
