//! The rules that must hold at every moment of a run, checked against the traffic at the server:
//! stored records, events, replies, and the instances that act.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use peerd::bus::Kind;
use peerd::storage::account;
use peerd::storage::conversation;
use peerd::storage::message::{self, Recorded};
use peerd::storage::owners::{self, Key, Owner};
use peerd::store::registry::Value as Entry;
use peerd::wire::owner_request::Request;
use peerd_core::content::Content;
use peerd_core::id::{Partition, UserId};
use peerd_core::message::ReceiptStatus;
use peerd_protocol::subject::Token;
use serde_json::{Value, json};

use crate::journal::{Journal, OpKind, Outcome};
use crate::known::{FOLLOWED_MS, with_changes};
use crate::model::facts::May;
use crate::model::replies::is_shown_rightly;
use crate::model::state::Message;
pub(crate) use crate::model::{number, text, user_of as user};
use crate::plan::NAMES;
use crate::world::Core;

/// How long an event may be on its way after it was decided.
const ON_ITS_WAY_MS: u64 = 3000;

/// The rules. The first ten are those of ARCHITECTURE, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// 1: no success before the store's acknowledgement.
    SuccessIsStored,
    /// 2: unread counts and totals equal a recount from the log.
    CountsEqualRecount,
    /// 3: a message that was accepted once is stored once.
    StoredOnce,
    /// 4: `messageSeq` has no gap and no repeat, and order keys rise with it.
    InSequence,
    /// 5: the rate limit.
    Rate,
    /// 6: two instances never both act for a partition.
    OneOwner,
    /// 7: every resource has a limit, and a call at the limit gets a reply.
    Bounded,
    /// 8: no message content in the logs.
    NoContentInLog,
    /// 9: records are only added, and each stream has only its own subjects.
    StoreIsKept,
    /// 10: the cost of a send.
    Cost,
    /// Each event goes to the user it concerns, and its content is correct.
    PublishedCorrectly,
    /// Every stored message is published to both sides, whichever instance crashes.
    PublishedAtAll,
    /// A user's events are in the order of their revisions.
    PublishedInOrder,
    /// A user who received an event also reads what it announced.
    NeverStale,
    /// Pages together show everything, each message once and in order.
    Pages,
    /// A user's changes persist: read marks, mutes, deletions, blocks, sessions.
    ChangesStay,
    /// Messages from blocked users are rejected.
    Blocked,
    /// A repeat gets the reply of the first send.
    Repeats,
    /// Without faults, no call fails for lack of an owner or a store.
    Served,
}

/// A broken rule.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// A sentence that says what happened.
    pub why: String,
}

/// A message in the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) message: Message,
    /// A text that identifies the message in a run.
    pub(crate) mark: String,
    pub(crate) stored_at_ms: u64,
}

impl std::ops::Deref for Logged {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// The observations of a run so far.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) first: Option<Broken>,
    pub(crate) log: Vec<Logged>,
    by_id: BTreeMap<String, usize>,
    by_mark: BTreeMap<String, usize>,
    newest: BTreeMap<(usize, usize), usize>,
    /// The owner of each partition, according to the bucket.
    owners: BTreeMap<u16, Option<String>>,
    /// The messages that each user received in events.
    pub(crate) received: BTreeSet<(usize, String)>,
    /// The newest order key of each conversation in events to its user.
    pub(crate) changed: BTreeMap<(usize, usize), u64>,
    /// The newest revision in events to each user, and the number of ownership changes at that
    /// time.
    revisions: BTreeMap<usize, (u64, usize)>,
    /// The order keys of the changes in each user's stored settings.
    settings: BTreeSet<(usize, u64)>,
    /// The newest revision in each user's stored account.
    accounts: BTreeMap<usize, u64>,
    pub(crate) journal: Journal,
    /// The number of ownership changes.
    pub(crate) claims: usize,
    pub(crate) events: usize,
    /// The status of a user as it was last shown to one who follows.
    pub(crate) statuses: BTreeMap<(usize, usize), Value>,
    /// The users who reacted to each message, as the first of its two users saw it at the end.
    pub(crate) reacted: BTreeMap<String, (usize, Vec<usize>)>,
    /// The pinned messages of each conversation, as the first of its users was shown them at the
    /// end.
    pub(crate) pinned: BTreeMap<[usize; 2], (usize, Vec<Value>)>,
}

pub(crate) fn id(user: usize) -> Option<UserId> {
    UserId::new(NAMES[user], "userID").ok()
}

/// A user's token in subjects.
pub(crate) fn token(user: usize) -> String {
    id(user).map(|id| Token::of(&id).to_string()).unwrap_or_default()
}

fn user_of_token(token: &str) -> Option<usize> {
    user(Token::parse(token).ok()?.as_str())
}

impl Watch {
    pub(crate) fn broken(&mut self, rule: Rule, why: String) {
        self.first.get_or_insert(Broken { rule, why });
    }

    /// Checks and records a message that is stored in the log.
    pub(crate) fn stored(
        &mut self,
        partition: Partition,
        subject: &str,
        payload: &Bytes,
        at_ms: u64,
    ) {
        let mut tokens = subject.rsplit('.');
        let (sender, receiver) = (tokens.next().unwrap_or(""), tokens.next().unwrap_or(""));
        let (Some(from), Some(to)) = (user_of_token(sender), user_of_token(receiver)) else {
            return self.broken(Rule::StoreIsKept, format!("{subject} has no known users"));
        };
        let (Some(sender), Some(receiver)) = (id(from), id(to)) else { return };
        let decoded = message::decode(payload, &sender, &receiver, partition);
        let Ok(Recorded::Message(stored)) = decoded else {
            return self.broken(Rule::StoreIsKept, format!("{subject} cannot be decoded"));
        };
        let message = stored.message;
        // Nothing else is sent that is stored.
        let content = if let Content::Text { message } = &message.content {
            json!({ "type": 1, "message": message })
        } else {
            Value::Null
        };
        let original = message.reply().and_then(|reply| self.logged(&reply.to.id().to_string()));
        let original = original.map(|logged| Message { original: None, ..logged.message.clone() });
        // Not by the reference to the root, which is to be checked.
        let root = original.as_ref().map(|it| it.root.clone().unwrap_or_else(|| it.id.clone()));
        let logged = Logged {
            mark: message.extended_data.clone(),
            stored_at_ms: at_ms,
            message: Message {
                id: message.id().to_string(),
                key: message.key.0,
                seq: message.seq,
                from,
                to,
                at_ms: message.timestamp_ms,
                local: message.local_id.map_or_else(String::new, |id| id.as_str().to_owned()),
                content,
                extended: message.extended_data,
                receipt: message.receipt == ReceiptStatus::Processing,
                counts: message.counts,
                read: false,
                hidden_for: Vec::new(),
                shown: None,
                edited_ms: 0,
                is_revoked: false,
                reactions: Vec::new(),
                pinned: None,
                original: original.map(Box::new),
                root,
                replied_count: 0,
                confirmed: false,
                read_ms: 0,
            },
        };
        let before = self.newest.get(&(from, to)).map(|index| &self.log[*index]);
        let (seq, key) = before.map_or((0, 0), |before| (before.seq, before.key));
        if logged.seq != seq + 1 {
            let why = format!("{subject}: messageSeq {} after {seq}", logged.seq);
            self.broken(Rule::InSequence, why);
        }
        if logged.key <= key {
            let why = format!("{subject}: order key {} after {key}", logged.key);
            self.broken(Rule::InSequence, why);
        }
        let index = self.log.len();
        if self.by_id.insert(logged.id.clone(), index).is_some() {
            self.broken(Rule::InSequence, format!("two messages have the ID {}", logged.id));
        }
        if let Some(first) = self.by_mark.insert(logged.mark.clone(), index) {
            let why =
                format!("{} is stored as {} and {}", logged.mark, self.log[first].id, logged.id);
            self.broken(Rule::StoredOnce, why);
        }
        if let Some(sent) = self.journal.sent.get(&logged.mark)
            && logged.key <= sent.floor
        {
            let why = format!(
                "{} has order key {}, but its sender already knew {}",
                logged.mark, logged.key, sent.floor
            );
            self.broken(Rule::InSequence, why);
        }
        self.newest.insert((from, to), index);
        self.log.push(logged);
    }

    /// The stored replies of the tree of a root.
    pub(crate) fn replies<'w>(&'w self, root: &'w str) -> impl Iterator<Item = &'w Logged> {
        self.log.iter().filter(move |logged| logged.root.as_deref() == Some(root))
    }

    /// Records a record that is stored in a state stream.
    pub(crate) fn stored_state(&mut self, subject: &str, payload: &[u8]) {
        let tokens: Vec<&str> = subject.split('.').collect();
        match tokens[..] {
            [_, _, _, user, "account"] => {
                if let (Some(user), Ok(account)) = (user_of_token(user), account::decode(payload)) {
                    let known = self.accounts.entry(user).or_default();
                    *known = (*known).max(account.revision);
                }
            }
            [_, _, _, user, "conversation", _] => {
                if let (Some(user), Ok(settings)) =
                    (user_of_token(user), conversation::decode(payload))
                {
                    self.settings.insert((user, settings.changed.0));
                }
            }
            _ => {}
        }
    }

    /// Whether the stored records reflect a user's revision.
    fn shows(&self, user: usize, revision: u64) -> bool {
        let is_of = |logged: &Logged| logged.from == user || logged.to == user;
        self.settings.contains(&(user, revision))
            || self.accounts.get(&user).is_some_and(|stored| *stored >= revision)
            || self.log.iter().any(|logged| logged.key == revision && is_of(logged))
    }

    /// A message in the log by its ID.
    pub(crate) fn logged(&self, id: &str) -> Option<&Logged> {
        self.by_id.get(id).map(|index| &self.log[*index])
    }

    /// A message in the log by its mark.
    pub(crate) fn logged_by_mark(&self, mark: &str) -> Option<&Logged> {
        self.by_mark.get(mark).map(|index| &self.log[*index])
    }

    /// Whether the receiver of a message has confirmed it as read, for a call between two times. The
    /// author may learn of a message that was confirmed by itself later, as of an edit.
    pub(crate) fn confirmed(
        &self,
        logged: &Logged,
        (asked_ms, answered_ms): (u64, u64),
        is_settled: bool,
    ) -> May {
        let (author, reader) = (logged.from, logged.to);
        let mut may = May { be: false, not_be: true };
        for op in self.journal.receipts(reader, author) {
            if !logged.receipt || op.issued_ms > answered_ms || logged.stored_at_ms > op.done_ms {
                continue;
            }
            let ids = if let OpKind::Receipt(ids) = &op.kind { ids.as_ref() } else { None };
            if ids.is_some_and(|ids| !ids.contains(&logged.id)) {
                continue;
            }
            let span = (op.issued_ms, op.done_ms);
            let refusals = [
                self.journal.may_block((author, reader), span),
                self.journal.may_hide(author, span),
                self.journal.may_hide(reader, span),
            ];
            may.be |= refusals.iter().all(|refusal| refusal.not_be);
            let stored = (logged.id.as_str(), logged.stored_at_ms);
            let is_sure = (ids.is_none() || is_settled)
                && op.outcome == Outcome::Done
                && op.done_ms < asked_ms
                && op.known.contains(&logged.id)
                && !self.journal.hidden((reader, author), stored, span).be
                && refusals.iter().all(|refusal| !refusal.be);
            may.not_be &= !is_sure;
        }
        may
    }

    /// The messages between two users, by order key.
    pub(crate) fn between(&self, user: usize, other: usize) -> Vec<&Logged> {
        let is_here = |logged: &&Logged| {
            (logged.from, logged.to) == (user, other) || (logged.from, logged.to) == (other, user)
        };
        let mut here: Vec<&Logged> = self.log.iter().filter(is_here).collect();
        here.sort_by_key(|logged| logged.key);
        here
    }

    /// Records a change of an entry in the bucket.
    pub(crate) fn entry(&mut self, key: &str, entry: &Entry) {
        let (Some(Key::Owner(partition)), Entry::Put(bytes)) = (Key::parse(key), entry) else {
            return;
        };
        match owners::decode::<Owner>(bytes) {
            Ok(owner) => {
                let holder = owner.holder.map(|holder| holder.instance().to_owned());
                self.claims += usize::from(holder.is_some());
                self.owners.insert(partition.0, holder);
            }
            Err(_) => self.broken(Rule::OneOwner, format!("{key} cannot be decoded")),
        }
    }

    /// Whether all partitions have an owner.
    pub(crate) fn all_owned(&self, partitions: u16) -> bool {
        (0..partitions).all(|number| matches!(self.owners.get(&number), Some(Some(_))))
    }

    /// Counts an event that was lost with a connection as published, because NATS may lose it.
    pub(crate) fn lost_by_the_wire(&mut self, subject: &str, body: &Bytes) {
        if let Some(rest) = subject.strip_prefix("peer.event.")
            && let Some((token, _)) = rest.split_once('.')
            && let (Some(user), Ok(body)) = (user_of_token(token), serde_json::from_slice(body))
        {
            self.note_newest(user, &body);
        }
    }

    fn note_newest(&mut self, user: usize, body: &Value) {
        for message in body["messageList"].as_array().into_iter().flatten() {
            self.received.insert((user, text(message, "messageID").to_owned()));
        }
        for info in body["infoList"].as_array().into_iter().flatten() {
            let conversation = &info["conversation"];
            if let Some(other) = self::user(text(conversation, "conversationID")) {
                let known = self.changed.entry((user, other)).or_default();
                *known = (*known).max(number(conversation, "orderKey"));
            }
        }
    }
}

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
                self.published_receipt(user, info, now_ms);
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
        let of = self::user(text(status, "userID"));
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
        let by = self::user(text(message, "pinnedUserID"));
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
            let (by, on) = (self::user(text(change, "userID")), number(change, "action") == 0);
            let kind = OpKind::React(id.to_owned(), on);
            let ops = &self.watch.journal.ops;
            if !ops.iter().any(|op| Some(op.user) == by && op.kind == kind) {
                let why = format!("{change} of {id}, which this user did not make");
                self.broken(Rule::PublishedCorrectly, why);
            }
        }
    }

    /// A receipt is published to the two users of its message, after its reader sent it.
    fn published_receipt(&mut self, user: usize, info: &Value, now_ms: u64) {
        let watch = &self.watch;
        let is_right = watch.logged(text(info, "messageID")).is_some_and(|logged| {
            let (own, other) = (logged.from == user, text(info, "conversationID"));
            let reader = NAMES[logged.to];
            let expected = if own { reader } else { NAMES[logged.from] };
            (own || logged.to == user)
                && (other == expected && info["isSelfOperated"] == !own)
                && (number(info, "status") == 2
                    && watch.confirmed(logged, (now_ms, now_ms), false).be)
        });
        if !is_right {
            let why = format!("{} receives the receipt {info}", NAMES[user]);
            self.broken(Rule::PublishedCorrectly, why);
        }
    }

    fn published_message(&mut self, user: usize, message: &Value, now_ms: u64) {
        let id = text(message, "messageID").to_owned();
        let is_command = number(message, "type") == 2;
        let from = self::user(text(message, "senderUserID"));
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
