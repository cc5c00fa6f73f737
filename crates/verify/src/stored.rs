//! The content of the streams as typed facts, and the views of users that follow from it.
//!
//! The caller reads and decodes the streams; nothing here knows an encoding.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::checker::{Attached, Line, Summary, Views};
use super::fault::{Fault, Kind};
use peerd_core::amendment::Removed;
use peerd_core::audit::{Counted, Recount, Subject};
use peerd_core::content::Content;
use peerd_core::conversation::{Conversation, Head, Settings};
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{Direction, LocalMessageId, MessageId, OrderKey, Partition, UserId};
use peerd_core::message::{Message, ReceiptStatus};
use peerd_core::reaction::Reaction;
use peerd_core::receipt::ReceiptMarks;

/// A message in the log, or the stub of one.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// As a page of history shows it; a removed one without its text.
    pub line: Line,
    /// Whether its content was removed.
    pub is_removed: bool,
    /// Whether histories show it: a message, or the revocation of a removed one.
    pub is_shown: bool,
    /// The receiver.
    pub receiver: UserId,
    /// The sender.
    pub sender: UserId,
    /// The head that it made when it was the newest.
    pub head: Head,
    /// Whether it counts as unread until read.
    pub counts: bool,
    /// The status of its own read receipt.
    pub receipt: ReceiptStatus,
    /// The reactions to it.
    pub reactions: Vec<Reaction>,
}

/// The content of all streams of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The messages of one pair are in the order of the log.
    pub messages: Vec<StoredMessage>,
    /// By user and other.
    settings: BTreeMap<(UserId, UserId), Settings>,
    pages: Vec<(UserId, UserId, PageId, Bitmap)>,
    /// The pages that have amendments, by receiver and sender.
    amended: Vec<(UserId, UserId, u64)>,
    unreadable: Vec<String>,
    may_age: bool,
}

/// The remaining part of a message, by the log and its amendments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Message,
    /// Its revocation, which histories show.
    Revocation,
    /// Only the fields on which other messages depend.
    Stub,
}

/// The name of a message within a conversation: its sender, and the sender's own ID for it.
#[must_use]
pub fn key(sender: &str, local_id: &str, message_id: &str) -> String {
    if local_id.is_empty() {
        format!("{sender}#{message_id}")
    } else {
        format!("{sender}:{local_id}")
    }
}

impl Stored {
    /// Empty content. `may_age`: messages may age out, so that a log may begin later.
    #[must_use]
    pub fn new(may_age: bool) -> Self {
        Self { may_age, ..Self::default() }
    }

    /// Adds a message of a log. `head`: the head that it made when it was the newest.
    pub fn take_message(&mut self, message: &Message, head: Head) {
        let pair = (message.receiver.clone(), message.sender.clone());
        let id = message.id();
        let line =
            line(&pair.1, id, message.seq, message.local_id.as_ref(), text(&message.content));
        let annotations = message.annotations.as_ref();
        let reactions = annotations.map(|it| it.reactions.clone()).unwrap_or_default();
        let stored = StoredMessage::new(pair, line, head, message.counts, Left::Message);
        self.messages.push(StoredMessage { receipt: message.receipt, reactions, ..stored });
    }

    /// Adds the stub of a removed message from `sender` to `receiver`.
    pub fn take_removed(
        &mut self,
        (receiver, sender): (UserId, UserId),
        partition: Partition,
        removed: &Removed,
        head: Head,
    ) {
        let stub = &removed.stub;
        let id = MessageId::new(stub.key, partition);
        let line = line(&sender, id, stub.mark.seq, stub.local_id.as_ref(), String::new());
        let left = if removed.revocation.is_some() { Left::Revocation } else { Left::Stub };
        let stored = StoredMessage::new((receiver, sender), line, head, stub.counts, left);
        self.messages.push(StoredMessage { receipt: stub.receipt, ..stored });
    }

    /// Adds the settings of `user`'s conversation with `other`.
    pub fn take_settings(&mut self, user: UserId, other: UserId, settings: Settings) {
        self.settings.insert((user, other), settings);
    }

    /// Adds a page of the messages that `user` deleted in the conversation with `other`.
    pub fn take_deletions(&mut self, user: UserId, other: UserId, page: PageId, deleted: Bitmap) {
        self.pages.push((user, other, page, deleted));
    }

    /// Adds a page with amendments of messages from `sender` to `receiver`.
    pub fn take_amended(&mut self, receiver: UserId, sender: UserId, page: u64) {
        self.amended.push((receiver, sender, page));
    }

    /// Adds an unreadable record: a sentence that names its place.
    pub fn take_unreadable(&mut self, what: String) {
        self.unreadable.push(what);
    }

    /// The messages by ID.
    #[must_use]
    pub fn by_id(&self) -> HashMap<&str, &StoredMessage> {
        self.messages.iter().map(|stored| (stored.line.message_id.as_str(), stored)).collect()
    }

    /// The faults of the stored data by itself.
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
        found.extend(self.unnamed_pages());
        found.extend(self.half_receipts());
        found.extend(self.unnamed_pins());
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

    /// The pages with amendments that a conversation entry of their two users does not name.
    fn unnamed_pages(&self) -> impl Iterator<Item = Fault> {
        self.amended.iter().flat_map(|(receiver, sender, page)| {
            let sides = [
                (receiver, sender, Direction::Receive, "received"),
                (sender, receiver, Direction::Send, "sent"),
            ];
            let is_unnamed = |(user, other, direction, _): &(&UserId, &UserId, Direction, &str)| {
                let settings = self.settings.get(&((*user).clone(), (*other).clone()));
                !settings.is_some_and(|settings| settings.amended(*direction).contains(*page))
            };
            sides.into_iter().filter(is_unnamed).map(move |(user, other, _, what)| {
                let text = format!("the entry does not name page {page} of what was {what}");
                Fault::new(Kind::Unnamed, text).of(&format!("{user} with {other}"))
            })
        })
    }

    /// The read receipts that only one of the two users sees. One that has begun may have reached
    /// its author or not.
    fn half_receipts(&self) -> impl Iterator<Item = Fault> {
        let unknown = ReceiptMarks::default;
        let marks = move |user: &UserId, other: &UserId| {
            let settings = self.settings.get(&(user.clone(), other.clone()));
            settings.map_or_else(unknown, |settings| settings.receipts)
        };
        self.settings.keys().flat_map(move |(user, other)| {
            let (own, others) = (marks(user, other), marks(other, user));
            let lost = (own.sent > others.received).then(|| {
                Fault::new(Kind::HalfReceipt, format!("{other} does not see what was confirmed"))
            });
            let unsent = (own.received > others.begun).then(|| {
                Fault::new(Kind::HalfReceipt, format!("{other} has not confirmed what is seen"))
            });
            let faults = lost.into_iter().chain(unsent);
            faults.map(move |fault| fault.of(&format!("{user} with {other}")))
        })
    }

    /// The pinned messages that the user who does not keep the pins does not look for.
    fn unnamed_pins(&self) -> impl Iterator<Item = Fault> {
        self.settings.iter().flat_map(|((keeper, other), settings)| {
            let others = self.settings.get(&(other.clone(), keeper.clone()));
            let up_to = others.map_or(OrderKey::ZERO, |settings| settings.pinned_up_to);
            let pinned = settings.pins.list().iter().map(|pin| pin.message.key);
            pinned.filter(move |key| *key > up_to).map(move |OrderKey(key)| {
                let text = format!("{other} does not see that the message {key} is pinned");
                Fault::new(Kind::Unnamed, text).of(&format!("{keeper} with {other}"))
            })
        })
    }

    /// By user and other: the conversation, and the received messages.
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
        for (conversation, messages) in map.values_mut() {
            end_removal(conversation, messages);
        }
        map
    }

    /// The views of all users.
    #[must_use]
    pub fn views(&self) -> Views {
        let conversations = self.conversations();
        let mut views = Views::new();
        for ((user, other), (conversation, received)) in &conversations {
            let theirs = conversations.get(&(other.clone(), user.clone()));
            let sent = theirs.map_or(&[][..], |(_, received)| received);
            let is_seen = |direction| {
                move |stored: &&&StoredMessage| {
                    stored.is_shown && !conversation.hides(direction, stored.line.seq)
                }
            };
            let view = views.entry(user.as_str().to_owned()).or_default();
            let mut lines = Vec::new();
            for (direction, messages) in
                [(Direction::Receive, received.as_slice()), (Direction::Send, sent)]
            {
                let confirmed = conversation.settings.receipts.of(direction);
                for stored in messages.iter().filter(is_seen(direction)) {
                    lines.push(stored.line.clone());
                    let attached = stored.attached(confirmed);
                    if attached != Attached::default() {
                        view.attached.insert(stored.line.message_id.clone(), attached);
                    }
                }
            }
            lines.sort_by_key(|line| line.order_key);
            if conversation.exists() {
                let unread = conversation.unread();
                let last_message_id = lines.last().map(|line| line.message_id.clone());
                let muted = conversation.is_muted();
                view.total += if muted { 0 } else { unread };
                view.total_with_muted += unread;
                let summary = Summary {
                    unread,
                    muted,
                    last_message_id,
                    pinned: conversation.is_pinned(),
                    draft: conversation.settings.draft.as_deref().unwrap_or_default().to_owned(),
                    marks: conversation.settings.marks.numbers().collect(),
                };
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

impl StoredMessage {
    /// A message to which nothing is attached.
    fn new(
        (receiver, sender): (UserId, UserId),
        line: Line,
        head: Head,
        counts: bool,
        left: Left,
    ) -> Self {
        let is_removed = left != Left::Message;
        let is_shown = left != Left::Stub;
        let (receipt, reactions) = (ReceiptStatus::None, Vec::new());
        Self { line, is_removed, is_shown, receiver, sender, head, counts, receipt, reactions }
    }

    /// What is attached to it for a user who sees this direction as confirmed up to a key.
    fn attached(&self, confirmed: OrderKey) -> Attached {
        let is_confirmed = match self.receipt {
            ReceiptStatus::Done => true,
            ReceiptStatus::Processing | ReceiptStatus::Delivered => self.head.key <= confirmed,
            ReceiptStatus::None => false,
        };
        let mut reactions = BTreeSet::new();
        for Reaction { kind, by_sender, by_receiver } in &self.reactions {
            for (user, count) in [(&self.sender, by_sender), (&self.receiver, by_receiver)] {
                if *count > 0 {
                    reactions.insert((kind.clone(), user.as_str().to_owned()));
                }
            }
        }
        Attached { is_confirmed, reactions }
    }
}

/// A removal that was begun and has removed the message: the unread count follows when the user is
/// loaded next.
fn end_removal(conversation: &mut Conversation, messages: &[&StoredMessage]) {
    let Some(removing) = conversation.settings.removing.take() else { return };
    let mut removed = messages.iter().filter(|stored| stored.is_removed && stored.counts);
    let is_it = |stored: &&&StoredMessage| stored.head.key == removing.key;
    if let Some(stored) = removed.find(is_it)
        && stored.head.mark.seq > conversation.settings.read.seq
        && !conversation.hides(Direction::Receive, stored.head.mark.seq)
    {
        conversation.settings.deleted_unread += 1;
    }
}

/// A message as a page of history shows it.
fn line(
    sender: &UserId,
    id: MessageId,
    seq: u64,
    local_id: Option<&LocalMessageId>,
    text: String,
) -> Line {
    let message_id = id.to_string();
    let local_id = local_id.map_or("", |id| id.as_str());
    let sender = sender.as_str();
    Line {
        sender: sender.to_owned(),
        local_id: key(sender, local_id, &message_id),
        text,
        message_id,
        seq,
        order_key: id.key().0,
    }
}

/// The text of a Text message.
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
