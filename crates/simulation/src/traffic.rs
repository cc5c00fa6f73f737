//! The rules on the traffic of the instances: which of them acts for a partition, and what events
//! and replies show.

use bytes::Bytes;
use peerd::bus::Kind;
use peerd::wire::owner_request::Request;
use peerd_core::id::Partition;
use peerd_protocol::subject::Token;
use serde_json::Value;

use crate::journal::OpKind;
use crate::known::{FOLLOWED_MS, with_changes};
use crate::model::replies::is_shown_rightly;
use crate::names::{NAMES, number, text, user_of};
use crate::rule::Rule;
use crate::rules::{Logged, Watch, user_of_token};
use crate::world::Core;

/// How long an event may be on its way after it was decided.
const ON_ITS_WAY_MS: u64 = 3000;
/// How long the report of delivered messages may take, and the event after it.
const REPORT_MS: u64 = 15_000;

impl Core {
    /// Checks that an instance that writes owns the partition.
    pub(crate) fn acts(&mut self, who: usize, partition: Partition, what: &str) {
        let seat = &self.seats[who];
        let owner = self.watch.owners.get(&partition.0).cloned().flatten();
        if seat.is_alive && owner.as_deref() != Some(seat.name.as_str()) {
            let why = format!("{} acts ({what}) for {partition}, which {owner:?} owns", seat.name);
            self.broken(Rule::OneOwner, why);
        }
    }

    /// Checks that an instance that publishes an event owns its user's partition.
    pub(crate) fn acts_as_owner_of(&mut self, who: usize, subject: &str) {
        let token = subject.split('.').nth(2).unwrap_or_default();
        if let Ok(user) = Token::parse(token) {
            let partition = self.subjects.partition_of_user(&user);
            self.acts(who, partition, subject);
        }
    }

    /// Checks that an instance that forwards a message owns its sender's partition.
    pub(crate) fn hands_on(&mut self, who: usize, subject: &str, body: &Bytes) {
        let receiver = self.subjects.parse_ask(subject).and_then(|token| Token::parse(token).ok());
        let request = receiver.and_then(|receiver| Request::decode(body, &receiver).ok());
        if let Some(Request::Deliver(request)) = request {
            let partition = self.subjects.partition_of_user(&request.delivery.from);
            self.acts(who, partition, "forwards a message");
        }
    }

    /// Checks and records an event that arrives at the server.
    pub(crate) fn published(&mut self, who: usize, subject: &str, body: &Bytes, now_ms: u64) {
        let name = self.seats[who].name.clone();
        let shown = String::from_utf8_lossy(body);
        self.trace.line(now_ms, format_args!("{name} publishes {subject} {shown}"));
        let mut tokens = subject.split('.').skip(2);
        let receiver = tokens.next().and_then(user_of_token);
        let event = tokens.next().unwrap_or_default().to_owned();
        let (Some(user), Ok(body)) = (receiver, serde_json::from_slice::<Value>(body)) else {
            return self
                .broken(Rule::PublishedCorrectly, format!("{subject}: no known user, or no JSON"));
        };
        self.watch.events += 1;
        let (revision, previous) = (number(&body, "revision"), number(&body, "previousRevision"));
        let claims = self.watch.claims;
        let (known, owned) =
            self.watch.revisions.insert(user, (revision, claims)).unwrap_or_default();
        // A revision that no stored message or setting reflects is stored after it is published. If
        // the owner ends before that, the next owner cannot know the revision
        // (docs/decisions/0005).
        let is_excused = owned < claims && !self.watch.shows(user, known);
        if (revision < known && !is_excused) || previous > revision {
            let why = format!("{subject}: revision {revision} ({previous} before) after {known}");
            self.broken(Rule::PublishedInOrder, why);
        }
        self.watch.note_newest(user, &body);
        if event == "peer_message_received" {
            for message in body["messageList"].as_array().into_iter().flatten() {
                self.published_message(user, message, now_ms);
            }
        }
        if event == "message_replied_info_changed" {
            for message in body["messageList"].as_array().into_iter().flatten() {
                self.watch.is_of(user, message);
            }
        }
        for info in body["infos"].as_array().into_iter().flatten() {
            if event == "message_pin_status_changed" {
                self.watch.is_of(user, &info["message"]);
                self.published_pin(info);
            } else if event == "message_replied_count_changed" {
                self.published_count(user, info);
            } else {
                self.published_receipt(user, &event, info, now_ms);
            }
        }
        for info in body["infoList"].as_array().into_iter().flatten() {
            let last = &info["conversation"]["lastMessage"];
            if last.is_object() {
                self.watch.is_of(user, last);
            }
        }
        for status in body["userStatusList"].as_array().into_iter().flatten() {
            self.published_status(user, status, now_ms);
        }
        for info in body["changeInfoList"].as_array().into_iter().flatten() {
            self.watch.is_of(user, &info["message"]);
            self.published_reaction(info);
        }
    }

    /// The status of another user is published to those who follow.
    fn published_status(&mut self, user: usize, status: &Value, now_ms: u64) {
        let of = user_of(text(status, "userID"));
        let may_be = |of: usize| {
            // An event may be on its way for a while.
            let span = (now_ms.saturating_sub(ON_ITS_WAY_MS), now_ms);
            self.watch.journal.may_follow((user, of), FOLLOWED_MS, span).be
        };
        match of {
            Some(of) if of == user => {}
            Some(of) if may_be(of) => _ = self.watch.statuses.insert((user, of), status.clone()),
            _ => {
                let why = format!("{} is shown {status}, and does not follow", NAMES[user]);
                self.broken(Rule::PublishedCorrectly, why);
            }
        }
    }

    /// A change of a pin is one that a user tried to make: nothing in the plans replaces a pin.
    fn published_pin(&mut self, info: &Value) {
        let message = &info["message"];
        let on = number(info, "pinStatus") > 0;
        let by = user_of(text(message, "pinnedUserID"));
        let kind = OpKind::PinMessage(text(message, "messageID").to_owned(), on);
        let ops = &self.watch.journal.ops;
        let is_made = ops.iter().any(|op| op.kind == kind && (!on || Some(op.user) == by));
        if !is_made || on != by.is_some() {
            let why = format!("{info}, which this user did not make");
            self.broken(Rule::PublishedCorrectly, why);
        }
    }

    /// A number of replies counts some of those that are stored.
    fn published_count(&mut self, user: usize, info: &Value) {
        let id = text(info, "messageID");
        let is_right = self.watch.logged(id).is_some_and(|logged| {
            let other = if logged.from == user { logged.to } else { logged.from };
            let most = self.watch.replies(id).count() as u64;
            (logged.from == user || logged.to == user)
                && text(info, "conversationID") == NAMES[other]
                && (1..=most).contains(&number(info, "count"))
        });
        if !is_right {
            let why = format!("{} receives {info}", NAMES[user]);
            self.broken(Rule::CountsEqualRecount, why);
        }
    }

    /// A change of reactions is one that its user tried to make.
    fn published_reaction(&mut self, info: &Value) {
        let id = text(&info["message"], "messageID");
        for change in info["userChangeInfoList"].as_array().into_iter().flatten() {
            let (by, on) = (user_of(text(change, "userID")), number(change, "action") == 0);
            let kind = OpKind::React(id.to_owned(), on);
            let ops = &self.watch.journal.ops;
            if !ops.iter().any(|op| Some(op.user) == by && op.kind == kind) {
                let why = format!("{change} of {id}, which this user did not make");
                self.broken(Rule::PublishedCorrectly, why);
            }
        }
    }

    /// A receipt is published to the two users of its message, after its reader sent it. Its author
    /// alone is informed that it was delivered, and not after it was read.
    fn published_receipt(&mut self, user: usize, event: &str, info: &Value, now_ms: u64) {
        let watch = &self.watch;
        let id = text(info, "messageID");
        let Some(logged) = watch.logged(id) else {
            let why = format!("{} receives the receipt {info}", NAMES[user]);
            return self.broken(Rule::PublishedCorrectly, why);
        };
        let (author, reader, key) = (logged.from, logged.to, logged.key);
        let (own, other) = (author == user, text(info, "conversationID"));
        let expected = if own { NAMES[reader] } else { NAMES[author] };
        let is_due = match number(info, "status") {
            2 => watch.confirmed(logged, (now_ms, now_ms), false).be,
            5 => own && watch.may_be_delivered(logged, now_ms),
            _ => false,
        };
        let is_right =
            (own || reader == user) && other == expected && info["isSelfOperated"] == !own;
        if !is_right || !is_due {
            let why = format!("{} receives the receipt {info}", NAMES[user]);
            return self.broken(Rule::PublishedCorrectly, why);
        }
        let up_to = watch.read_up_to.get(&(author, reader)).copied().unwrap_or_default();
        let was_read = key <= up_to || watch.read_one_by_one.contains(id);
        if number(info, "status") == 5 && was_read {
            let why = format!("{} receives {info} after the message was read", NAMES[user]);
            self.broken(Rule::PublishedInOrder, why);
        } else if own && number(info, "status") == 2 && event == "message_receipt_changed" {
            self.watch.read_one_by_one.insert(id.to_owned());
        } else if own && number(info, "status") == 2 {
            self.watch.read_up_to.insert((author, reader), key.max(up_to));
        }
    }

    fn published_message(&mut self, user: usize, message: &Value, now_ms: u64) {
        let id = text(message, "messageID").to_owned();
        let is_command = number(message, "type") == 2;
        let from = user_of(text(message, "senderUserID"));
        if !is_command {
            match self.watch.logged(&id) {
                Some(logged)
                    if logged.to == user
                        && Some(logged.from) == from
                        && is_shown_rightly(user, &with_changes(logged, message), message) => {}
                Some(_) => {
                    let why =
                        format!("{} receives {id}, which is not addressed to it", NAMES[user]);
                    self.broken(Rule::PublishedCorrectly, why);
                }
                None => {
                    let why = format!("{} receives {id}, which is not stored", NAMES[user]);
                    self.broken(Rule::SuccessIsStored, why);
                }
            }
        }
        let due_ms = now_ms + self.latency_ms();
        if let Some(other) = from {
            let key = number(message, "orderKey");
            self.watch.journal.will_know(due_ms, user, other, id, key, is_command);
        }
    }

    /// Checks a reply that arrives at the server.
    pub(crate) fn replied(&mut self, inbox: &str, kind: &Kind, body: &Bytes) {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return self
                .broken(Rule::PublishedCorrectly, format!("{inbox}: a reply that is not JSON"));
        };
        let message = &body["message"];
        let is_success = matches!(kind, Kind::Plain | Kind::Duplicate);
        if is_success && message.is_object() && number(message, "type") != 2 {
            let id = text(message, "messageID");
            let logged = self.watch.logged(id);
            let is_it = logged.is_some_and(|logged| {
                logged.seq == number(message, "messageSeq")
                    && logged.key == number(message, "orderKey")
                    && logged.mark == text(message, "extendedData")
            });
            if !is_it {
                let why = format!("success for {message}, which the log has as {logged:?}");
                self.broken(Rule::SuccessIsStored, why);
            }
        }
        if text(&body, "reason") == "internal" {
            self.broken(Rule::Served, format!("a fault in peerd: {body}"));
        }
    }

    /// Checks an instance that hands a message to its connection.
    pub(crate) fn leaves(&mut self, who: usize, message: &peerd::bus::Outgoing) {
        if message.permit.is_some() && message.subject.starts_with("peer.event.") {
            self.acts_as_owner_of(who, &message.subject);
        }
    }
}

impl Watch {
    /// Whether the author of a message may be informed now that it was delivered: it was not hidden
    /// all the time while the report was on its way.
    fn may_be_delivered(&self, logged: &Logged, now_ms: u64) -> bool {
        let span = (now_ms.saturating_sub(REPORT_MS), now_ms);
        let refusals = [
            self.journal.may_hide(logged.from, span),
            self.journal.may_hide(logged.to, span),
            self.journal.may_hide_status(logged.to, span),
            self.journal.may_block((logged.from, logged.to), span),
        ];
        self.delivers && logged.receipt && refusals.iter().all(|refusal| refusal.not_be)
    }

    /// Checks that a message shown to a user is in the log, and between that user and the other
    /// one.
    pub(crate) fn is_of(&mut self, user: usize, message: &Value) {
        let id = text(message, "messageID");
        let is_it = self
            .logged(id)
            .is_some_and(|logged| is_shown_rightly(user, &with_changes(logged, message), message));
        if !is_it {
            let why =
                format!("{} is shown {message}, the log has {:?}", NAMES[user], self.logged(id));
            self.broken(Rule::PublishedCorrectly, why);
        }
    }
}
