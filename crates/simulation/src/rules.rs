//! The observations of a run, and the rules on stored records and entries, which must hold at every
//! moment.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use peerd::storage::account;
use peerd::storage::conversation;
use peerd::storage::message::{self, Recorded};
use peerd::storage::owners::{self, Key, Owner};
use peerd::store::registry::Value as Entry;
use peerd_core::content::Content;
use peerd_core::id::{Partition, UserId};
use peerd_core::message::ReceiptStatus;
use peerd_protocol::subject::Token;
use serde_json::{Value, json};

use crate::journal::{Journal, OpKind, Outcome};
use crate::model::facts::May;
use crate::model::state::Message;
pub(crate) use crate::names::{number, text, user_of as user};
use crate::plan::NAMES;
use crate::rule::{Broken, Rule};

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
    pub(crate) owners: BTreeMap<u16, Option<String>>,
    /// The messages that each user received in events.
    pub(crate) received: BTreeSet<(usize, String)>,
    /// The newest order key of each conversation in events to its user.
    pub(crate) changed: BTreeMap<(usize, usize), u64>,
    /// The newest revision in events to each user, and the number of ownership changes at that
    /// time.
    pub(crate) revisions: BTreeMap<usize, (u64, usize)>,
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
    /// Whether senders are informed when their messages were delivered.
    pub(crate) delivers: bool,
    /// The messages that their authors were shown as read one by one.
    pub(crate) read_one_by_one: BTreeSet<String>,
    /// The order key up to which an author was shown that a reader has read.
    pub(crate) read_up_to: BTreeMap<(usize, usize), u64>,
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

pub(crate) fn user_of_token(token: &str) -> Option<usize> {
    user(Token::parse(token).ok()?.as_str())
}

impl Watch {
    pub(crate) fn new(delivers: bool) -> Self {
        Self { delivers, ..Self::default() }
    }

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
    pub(crate) fn shows(&self, user: usize, revision: u64) -> bool {
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

    /// Whether its author was informed that a message was delivered, for a call between two times. A
    /// later message covers those before it, so it can be missing only for a while; but a receiver
    /// who deletes a message, hides or blocks may send nothing.
    pub(crate) fn delivered(&self, logged: &Logged, span: (u64, u64), is_settled: bool) -> May {
        if !self.delivers || !logged.receipt {
            return May::sure(false);
        }
        let (author, reader) = (logged.from, logged.to);
        let all = (0, span.1);
        let stored = (logged.id.as_str(), logged.stored_at_ms);
        let refusals = [
            self.journal.may_block((author, reader), all),
            self.journal.may_block((reader, author), all),
            self.journal.may_hide(author, all),
            self.journal.may_hide(reader, all),
            self.journal.may_hide_status(reader, all),
            self.journal.hidden((reader, author), stored, all),
        ];
        May { be: true, not_be: !is_settled || refusals.iter().any(|refusal| refusal.be) }
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

    pub(crate) fn note_newest(&mut self, user: usize, body: &Value) {
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
