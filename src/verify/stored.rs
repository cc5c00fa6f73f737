//! What the streams hold, decoded, and the views that users have by it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::checker::{Line, Summary, Views};
use super::fault::{Fault, Kind};
use crate::storage::message::RecordError;
use crate::storage::reads::{Item, Raw, Slot, whole};
use crate::storage::{Entry, Key};
use crate::store::Record;
use peerd_core::amendment::AmendmentPage;
use peerd_core::audit::{Counted, Recount, Subject};
use peerd_core::content::Content;
use peerd_core::conversation::{Conversation, Head, Settings};
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{MessageId, Partition, UserId};
use peerd_core::message::Direction;
use peerd_protocol::subject::{Subjects, Token, is_sentinel};

/// A message in the log, or what is left of one.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// As a page of history shows it; of one that was removed, without its text.
    pub line: Line,
    /// Whether its content was removed.
    pub is_removed: bool,
    /// Who received it.
    pub receiver: UserId,
    /// Who sent it.
    pub sender: UserId,
    /// The head that it was when it was the newest.
    pub head: Head,
    /// Whether it counts as unread until read.
    pub counts: bool,
}

/// All that the streams of a deployment hold.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Those of one sender to one receiver in the order of the log.
    pub messages: Vec<StoredMessage>,
    /// By user and other.
    settings: BTreeMap<(UserId, UserId), Settings>,
    pages: Vec<(UserId, UserId, PageId, Bitmap)>,
    /// Records that were read and not yet amended, by receiver and sender.
    records: BTreeMap<(UserId, UserId), (Partition, Vec<Raw>)>,
    /// By receiver and sender, then by page.
    amendments: BTreeMap<(UserId, UserId), BTreeMap<u64, AmendmentPage>>,
    unreadable: Vec<String>,
    may_age: bool,
}

/// What names a message among those of a conversation: who sent it, and the sender's own ID of it.
#[must_use]
pub fn key(sender: &str, local_id: &str, message_id: &str) -> String {
    if local_id.is_empty() {
        format!("{sender}#{message_id}")
    } else {
        format!("{sender}:{local_id}")
    }
}

impl Stored {
    /// Nothing yet. `may_age`: messages may go away by age, so that a log may begin later.
    #[must_use]
    pub fn new(may_age: bool) -> Self {
        Self { may_age, ..Self::default() }
    }

    /// Takes a record of the log of a partition.
    pub fn take_message(&mut self, partition: Partition, record: &Record) {
        if is_sentinel(&record.subject) {
            return;
        }
        if let Err(problem) = self.try_message(partition, record) {
            self.unreadable.push(format!("{} at {}: {problem}", record.subject, record.stream_seq));
        }
    }

    fn try_message(&mut self, partition: Partition, record: &Record) -> Result<(), String> {
        let mut tokens = record.subject.rsplit('.');
        let mut user = || {
            let token = tokens.next().unwrap_or_default();
            Token::parse(token).map_err(|error| error.to_string())
        };
        let (sender, receiver) = (user()?, user()?);
        let raw = Raw::read(record, (&sender, &receiver), partition);
        let raw = raw.map_err(|error| error.to_string())?;
        let (_, records) =
            self.records.entry((receiver, sender)).or_insert_with(|| (partition, Vec::new()));
        records.push(raw);
        Ok(())
    }

    /// The same once everything was read: messages as they were amended, and what is left of those that
    /// were removed.
    #[must_use]
    pub fn amended(mut self) -> Self {
        let nothing = BTreeMap::new();
        for ((receiver, sender), (partition, records)) in std::mem::take(&mut self.records) {
            let pair = (receiver, sender);
            let pages = self.amendments.get(&pair).unwrap_or(&nothing);
            let slots = whole(records, pages).into_iter().filter_map(Item::slot);
            self.messages.extend(slots.map(|slot| stored(&slot, &pair, partition)));
        }
        self
    }

    /// Takes an entry of the state of a partition.
    pub fn take_entry(&mut self, subjects: &Subjects, partition: Partition, record: &Record) {
        if let Err(problem) = self.try_entry(subjects, partition, record) {
            self.unreadable.push(format!("{} at {}: {problem}", record.subject, record.stream_seq));
        }
    }

    fn try_entry(
        &mut self,
        subjects: &Subjects,
        partition: Partition,
        record: &Record,
    ) -> Result<(), RecordError> {
        let Some((user, key)) = Key::parse(subjects, partition, &record.subject)? else {
            return Ok(());
        };
        match Entry::decode(key, &record.payload)? {
            Entry::Conversation(other, settings) => {
                self.settings.insert((user, other), settings);
            }
            Entry::Deletions(other, page, bitmap) => self.pages.push((user, other, page, bitmap)),
            Entry::Amendments(sender, number, page) => {
                self.amendments.entry((user, sender)).or_default().insert(number, page);
            }
            // They are in no view.
            Entry::Account(_) | Entry::Block(..) => {}
        }
        Ok(())
    }

    /// By the ID: the message.
    #[must_use]
    pub fn by_id(&self) -> HashMap<&str, &StoredMessage> {
        self.messages.iter().map(|stored| (stored.line.message_id.as_str(), stored)).collect()
    }

    /// What is wrong with what is stored, whatever clients did.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut found: Vec<Fault> =
            self.unreadable.iter().map(|text| Fault::new(Kind::Unreadable, text.clone())).collect();
        let mut ids = HashSet::new();
        for stored in &self.messages {
            let id = stored.line.message_id.as_str();
            if !ids.insert(id) {
                found.push(Fault::new(Kind::Doubled, format!("messageID {id} is there twice")));
            }
        }
        for ((receiver, sender), (conversation, messages)) in self.conversations() {
            let mut recount = Recount::new(&sender, &conversation, self.may_age);
            for message in messages {
                let StoredMessage { head, counts, is_removed, .. } = *message;
                recount.take(Counted { head, counts, is_removed });
            }
            found.extend(recount.finish().all().into_iter().map(|difference| {
                let kind = match difference.subject {
                    Subject::MessageSeq | Subject::NewestReceived | Subject::NewestSent => {
                        Kind::Gap
                    }
                    Subject::OrderKey => Kind::Reordered,
                    Subject::Counted
                    | Subject::Settings
                    | Subject::ReadMark
                    | Subject::DeletedUnread
                    | Subject::Unread
                    | Subject::Total
                    | Subject::TotalWithMuted => Kind::WrongCount,
                };
                let (what, expected) = (difference.subject.name(), difference.expected);
                let text = format!("{what} is {}, the recount {expected}", difference.found);
                Fault::new(kind, text).of(&format!("{receiver} with {sender}"))
            }));
        }
        found
    }

    /// By user and other: the conversation, and what was received in it.
    fn conversations(&self) -> BTreeMap<(UserId, UserId), (Conversation, Vec<&StoredMessage>)> {
        let mut map: BTreeMap<(UserId, UserId), (Conversation, Vec<&StoredMessage>)> =
            BTreeMap::new();
        for (pair, settings) in &self.settings {
            map.entry(pair.clone()).or_default().0.settings = settings.clone();
        }
        for (me, other, page, bitmap) in &self.pages {
            let (conversation, _) = map.entry((me.clone(), other.clone())).or_default();
            conversation.settings.deleted.add_page(*page, bitmap.clone());
        }
        for stored in &self.messages {
            let pair = (stored.receiver.clone(), stored.sender.clone());
            let (conversation, messages) = map.entry(pair).or_default();
            conversation.received = Some(stored.head);
            messages.push(stored);
            let pair = (stored.sender.clone(), stored.receiver.clone());
            map.entry(pair).or_default().0.sent = Some(stored.head);
        }
        map
    }

    /// What all users see.
    #[must_use]
    pub fn views(&self) -> Views {
        let conversations = self.conversations();
        let mut views = Views::new();
        for ((user, other), (conversation, received)) in &conversations {
            let theirs = conversations.get(&(other.clone(), user.clone()));
            let sent = theirs.map_or(&[][..], |(_, received)| received);
            let is_seen = |direction| {
                move |stored: &&&StoredMessage| {
                    !stored.is_removed && !conversation.hides(direction, stored.line.seq)
                }
            };
            let mut lines: Vec<Line> = (received.iter().filter(is_seen(Direction::Receive)))
                .chain(sent.iter().filter(is_seen(Direction::Send)))
                .map(|stored| stored.line.clone())
                .collect();
            lines.sort_by_key(|line| line.order_key);
            let view = views.entry(user.as_str().to_owned()).or_default();
            if conversation.exists() {
                let unread = conversation.unread();
                let last_message_id = lines.last().map(|line| line.message_id.clone());
                let muted = conversation.is_muted();
                view.total += if muted { 0 } else { unread };
                view.total_with_muted += unread;
                let summary = Summary { unread, muted, last_message_id };
                view.conversations.insert(other.as_str().to_owned(), summary);
            }
            view.histories.insert(other.as_str().to_owned(), lines);
            let removed = received.iter().chain(sent).filter(|stored| stored.is_removed);
            let removed = removed.map(|stored| stored.line.clone()).collect();
            view.removed.insert(other.as_str().to_owned(), removed);
        }
        views
    }
}

/// A message of a pair (receiver, sender), or what is left of one.
fn stored(
    slot: &Slot,
    (receiver, sender): &(UserId, UserId),
    partition: Partition,
) -> StoredMessage {
    let (local_id, text) = match slot {
        Slot::Message(found) => {
            let message = &found.stored.message;
            (&message.local_id, text(&message.content))
        }
        Slot::Removed(removed) => (&removed.stub.local_id, String::new()),
    };
    let id = MessageId::new(slot.key(), partition).to_string();
    let local_id = local_id.as_ref().map_or("", |id| id.as_str());
    let line = Line {
        sender: sender.as_str().to_owned(),
        local_id: key(sender.as_str(), local_id, &id),
        text,
        message_id: id,
        seq: slot.seq(),
        order_key: slot.key().0,
    };
    let Counted { head, counts, is_removed } = slot.counted();
    let (receiver, sender) = (receiver.clone(), sender.clone());
    StoredMessage { line, is_removed, receiver, sender, head, counts }
}

/// What a message says, where that is a text.
fn text(content: &Content) -> String {
    match content {
        Content::Text { message } | Content::Custom { message, .. } => message.clone(),
        Content::Command { .. }
        | Content::Multiple { .. }
        | Content::Image { .. }
        | Content::File { .. }
        | Content::Audio { .. }
        | Content::Video { .. }
        | Content::Combine { .. } => String::new(),
    }
}
