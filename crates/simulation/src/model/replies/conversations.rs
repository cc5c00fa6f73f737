//! Replies that show conversations and their counts.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{Check, list};
use crate::model::facts::{Conversation, Facts, May};
use crate::model::request::ListOption;
use crate::names::{NAMES, number, text, user_of};
use crate::rule::Rule;

impl<F: Facts> Check<'_, F> {
    /// The changes since a revision: every conversation that certainly changed, or a page of all.
    pub(super) fn changes(&mut self, revision: u64, reply: &Value) {
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

    pub(super) fn list(
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

    pub(super) fn single_conversation(&mut self, other: usize, reply: &Value) {
        self.has_fields(reply, &["conversation"]);
        if text(&reply["conversation"], "conversationID") == NAMES[other] {
            self.conversation(other, &reply["conversation"]);
        } else {
            self.wrong(Rule::PublishedCorrectly, format!("{reply} is not with {}", NAMES[other]));
        }
    }

    /// A conversation, as its user is shown it.
    pub(super) fn conversation(&mut self, other: usize, shown: &Value) {
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

    /// The user's settings of a conversation.
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

    pub(super) fn totals(&mut self, reply: &Value) {
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
}

/// The position of a conversation in a list: larger comes first.
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
