//! Two users and their messages to each other: in a node, and as a plain list.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::sample::Index;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bus;
use crate::clock::Clock;
use crate::runtime::fake::faulty::Faulty;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::{Node, Options};
use crate::runtime::users::UserCell;
use crate::storage::reads::{Item, Pair};
use crate::storage::removal::{self, Left, Write};
use crate::storage::{self, conversation};
use crate::store::memory::Memory;
use crate::store::{Record, Start, Store as _, StreamId};
use peerd_core::amendment::{Amendment, Change, Receipt, Removed, Replacement, Stub};
use peerd_core::content::Content;
use peerd_core::event::Totals;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::Limits;
use peerd_core::message::ReceiptStatus;
use peerd_core::pages::{AmendedPages, page_number};
use peerd_core::reaction::Reaction;
use peerd_protocol::subject::{Token, is_sentinel};

pub(super) const NAMES: [&str; 2] = ["alice", "bob"];
pub(super) const PARTITIONS: u16 = 4;
/// The age at which messages age out, if they do.
const MAX_AGE_MS: u64 = 600_000;

type TestNode = Node<Faulty, bus::memory::Memory>;

/// How far a removal has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The page of amendments has the stub.
    Page,
    /// The carrier is appended, if the message was the newest.
    Carrier,
    /// The record is erased.
    All,
}

/// A message in the list.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what may become of a message, each by itself")]
pub(super) struct Listed {
    pub(super) from: usize,
    pub(super) seq: u64,
    pub(super) key: u64,
    pub(super) counts: bool,
    /// How many messages of its direction count, including this one.
    pub(super) counted: u64,
    /// When its record, or its carrier, was stored.
    pub(super) stored_ms: u64,
    pub(super) is_aged: bool,
    pub(super) is_read: bool,
    pub(super) text: String,
    pub(super) receipt: ReceiptStatus,
    /// How often both have reacted to it.
    pub(super) reactions: u64,
    pub(super) is_removed: bool,
    /// The users who deleted it.
    pub(super) deleted: [bool; 2],
    local_id: String,
    shown: Value,
}

impl Listed {
    /// Whether it can still be amended.
    const fn is_there(&self) -> bool {
        !self.is_removed && !self.is_aged
    }
}

pub(super) struct World {
    clock: Clock,
    /// Whether messages age.
    pub(super) ages: bool,
    pub(super) node: Arc<TestNode>,
    pub(super) messages: Vec<Listed>,
    /// Removals that were begun, by place in the list.
    pub(super) begun: Vec<(usize, Removed)>,
}

pub(super) fn id(user: usize) -> UserId {
    UserId::new(NAMES[user], "userID").expect("a userID")
}

pub(super) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

impl World {
    pub(super) async fn new(ages: bool) -> Self {
        let clock = Clock::simulated(WALL_MS);
        let memory = Memory::new(move || clock.wall_ms());
        let store = Faulty::over(memory);
        let limits =
            Limits { messages_per_second: 10_000, replay_messages: 100_000, ..Limits::default() };
        // No page cache: the test amends messages behind the node's back, and must see it.
        let options = Options { history_bytes: 0, ..fake::options(limits) };
        let node = fake::alone(store, options, clock).await;
        if ages {
            node.set_messages_may_age(true);
            node.set_max_age(Duration::from_millis(MAX_AGE_MS));
        }
        let world = Self { clock, ages, node, messages: Vec::new(), begun: Vec::new() };
        for user in NAMES {
            world.call(user, "login", &json!({})).await;
        }
        world
    }

    pub(super) async fn call(&self, user: &str, method: &str, body: &Value) -> Value {
        self.node.bus().take();
        self.node.handle(incoming(user, method, body)).await;
        let sent = self.node.bus().take();
        let reply = sent.iter().find(|sent| sent.subject == "reply").expect("a reply");
        serde_json::from_slice(&reply.body).expect("a JSON body")
    }

    pub(super) async fn settle(&self) {
        self.node.settle().await;
    }

    pub(super) async fn cell(&self, user: usize) -> Arc<UserCell> {
        let id = id(user);
        let partition = self.node.parts.env.subjects.partition_of_user(&id);
        let ownership = self.node.parts.users.ownership(partition).expect("an owner");
        self.node.parts.ageing.user(&ownership, &id, deadline()).await.expect("loaded")
    }

    pub(super) fn pair(&self, from: usize) -> Pair {
        self.node.parts.env.pair(&id(from), &id(1 - from))
    }

    fn body(message: &Listed) -> Value {
        json!({
            "toUserID": NAMES[1 - message.from],
            "message": {
                "type": 1, "message": message.text, "localMessageID": message.local_id,
            },
            "config": { "hasReceipt": true, "disableUnreadMessageCount": !message.counts },
        })
    }

    pub(super) async fn send(&mut self, from: usize, counts: bool) {
        tokio::time::advance(Duration::from_millis(7)).await;
        self.age();
        let number = self.messages.len();
        let mut message = Listed {
            from,
            seq: 0,
            key: 0,
            counts,
            counted: u64::from(counts),
            stored_ms: 0,
            is_aged: false,
            is_read: false,
            text: first_text(number),
            receipt: ReceiptStatus::Processing,
            reactions: 0,
            is_removed: false,
            deleted: [false; 2],
            local_id: format!("l{number}"),
            shown: Value::Null,
        };
        let body = Self::body(&message);
        let reply = self.call(NAMES[from], "send_peer_message", &body).await;
        message.shown = reply["message"].clone();
        message.seq = message.shown["messageSeq"].as_u64().unwrap_or_default();
        message.key = message.shown["orderKey"].as_u64().unwrap_or_default();
        message.stored_ms = self.clock.wall_ms();
        if let Some(before) = self.newest(from) {
            assert_eq!(message.seq, before.seq + 1, "{reply}");
            message.counted += before.counted;
        } else if self.messages.iter().any(|other| other.from == from) {
            // All earlier messages aged out. Numbering continues above the remembered numbers.
            assert!(message.seq > 0, "{reply}");
            let end = self.node.parts.env.storage(deadline()).end(&self.pair(from)).await;
            message.counted = end.expect("readable").expect("a message").mark.counted;
        } else {
            assert_eq!(message.seq, 1, "{reply}");
        }
        self.messages.push(message);
    }

    /// The newest message of one of the two that did not age out.
    pub(super) fn newest(&self, from: usize) -> Option<&Listed> {
        self.messages.iter().rfind(|message| message.from == from && !message.is_aged)
    }

    /// Lets time pass until a message ages out, and all that were stored before it.
    pub(super) async fn age_out(&mut self, index: usize) {
        let aged_ms = self.messages[index].stored_ms + MAX_AGE_MS;
        let left = Duration::from_millis(aged_ms.saturating_sub(self.clock.wall_ms()));
        tokio::time::advance(left).await;
        self.age();
    }

    /// Deletes the records that have aged out, as the server does.
    fn age(&mut self) {
        if !self.ages {
            return;
        }
        let now_ms = self.clock.wall_ms();
        let is_aged = |stored_ms| stored_ms + MAX_AGE_MS <= now_ms;
        for log in (0..PARTITIONS).map(|number| StreamId::Log(Partition(number))) {
            for record in self.node.store().memory.records(log) {
                if is_aged(record.stored_ms) && !is_sentinel(&record.subject) {
                    let erased = self.node.store().erase(log, record.stream_seq, deadline());
                    futures::executor::block_on(erased).expect("erased");
                }
            }
        }
        for message in &mut self.messages {
            message.is_aged |= is_aged(message.stored_ms);
        }
    }

    /// One of the two reads all messages received so far.
    pub(super) async fn clear(&mut self, who: usize) {
        let body = json!({ "conversationID": NAMES[1 - who] });
        self.call(NAMES[who], "clear_conversation_unread_message_count", &body).await;
        for message in self.messages.iter_mut().filter(|message| message.from != who) {
            message.is_read = true;
        }
    }

    /// Sends a message with the local ID and the content of one that was sent before.
    pub(super) async fn send_again(&self, index: usize) -> Value {
        let message = &self.messages[index];
        let body = Self::body(message);
        self.call(NAMES[message.from], "send_peer_message", &body).await
    }

    /// Makes both users load again, as after another owner's change.
    fn invalidate(&self) {
        for user in 0..2 {
            if let Some(cell) = self.node.parts.users.user_in_memory(&id(user)) {
                cell.invalidate();
            }
        }
    }

    /// Forgets everything in memory, as for an owner that has just taken the partition over.
    pub(super) fn forget(&self) {
        for cell in self.node.parts.users.ownerships().flat_map(|ownership| ownership.cells()) {
            let mut user = cell.lock();
            user.conversations.clear();
            user.totals = Totals::default();
            drop(user);
            cell.invalidate();
        }
    }

    async fn store(&self, write: Write) -> u64 {
        let Write { stream, subject, payload, expected_seq } = write;
        let store = self.node.store();
        let stored = store.append(stream, subject, payload, expected_seq, deadline()).await;
        stored.expect("stored")
    }

    /// Makes both conversation entries name a page that may have amendments. `is_gone`: an unread
    /// message of the page is being removed.
    async fn index(&self, from: usize, page: u64, is_gone: bool) {
        for user in 0..2 {
            let cell = self.cell(user).await;
            let other = id(1 - user);
            let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
            let mut settings = known.settings;
            let pages = if user == from {
                &mut settings.amended_sent
            } else {
                &mut settings.amended_received
            };
            let is_unread = is_gone && user != from;
            if !pages.insert(page) && !is_unread {
                continue;
            }
            settings.deleted_unread += u64::from(is_unread);
            let token = Token::of(&other);
            let subjects = &self.node.parts.env.subjects;
            self.store(Write {
                stream: StreamId::State(cell.partition),
                subject: conversation::key(subjects, cell.partition, &cell.token, &token),
                payload: conversation::encode(&settings).expect("writable"),
                expected_seq: known.settings_seq,
            })
            .await;
        }
        self.invalidate();
    }

    /// Makes a user's conversation entry unreadable.
    pub(super) async fn damage_entry(&self, user: usize) {
        let (cell, other) = (self.cell(user).await, id(1 - user));
        let expected_seq =
            cell.lock().conversations.get(&other).map_or(0, |known| known.settings_seq);
        let subjects = &self.node.parts.env.subjects;
        self.store(Write {
            stream: StreamId::State(cell.partition),
            subject: conversation::key(subjects, cell.partition, &cell.token, &Token::of(&other)),
            payload: Bytes::from_static(b"\x91\x7f"),
            expected_seq,
        })
        .await;
        self.forget();
    }

    async fn amend(&self, index: usize, change: impl FnOnce(&mut Amendment)) -> Result<(), String> {
        self.amend_with(index, false, change).await
    }

    async fn amend_with(
        &self,
        index: usize,
        is_gone: bool,
        change: impl FnOnce(&mut Amendment),
    ) -> Result<(), String> {
        let Listed { from, seq, key, .. } = self.messages[index];
        let (pair, number) = (self.pair(from), page_number(seq));
        self.index(from, number, is_gone).await;
        let storage = self.node.parts.env.storage(deadline());
        let (mut page, at) = storage.amendments(&pair, number).await.expect("readable");
        change(page.amend(seq, OrderKey(key)));
        let write = removal::amend(&self.node.parts.env.subjects, &pair, number, &page, at);
        self.store(write.map_err(|error| error.to_string())?).await;
        Ok(())
    }

    pub(super) async fn try_replace(&mut self, index: usize, text: &str) -> Result<(), String> {
        let content = Content::Text { message: text.to_owned() };
        let change = |amendment: &mut Amendment| {
            let extended_data = "replaced".to_owned();
            amendment.change =
                Change::Replaced(Replacement { content, extended_data, edited_ms: 0 });
        };
        self.amend(index, change).await?;
        text.clone_into(&mut self.messages[index].text);
        Ok(())
    }

    pub(super) async fn replace(&mut self, index: usize) {
        if self.messages[index].is_there() {
            let text = format!("{} again", self.messages[index].text);
            self.try_replace(index, &text).await.expect("there is room");
        }
    }

    pub(super) async fn read(&mut self, index: usize) {
        if self.messages[index].is_there() {
            let change = |amendment: &mut Amendment| {
                amendment.receipt = Receipt::Changed(ReceiptStatus::Done);
            };
            self.amend(index, change).await.expect("there is room");
            self.messages[index].receipt = ReceiptStatus::Done;
        }
    }

    pub(super) async fn react(&mut self, who: usize, index: usize) {
        if self.messages[index].is_there() {
            let is_sender = self.messages[index].from == who;
            let change = |amendment: &mut Amendment| {
                if amendment.reactions.is_empty() {
                    let kind = "r".to_owned();
                    amendment.reactions.push(Reaction { kind, ..Reaction::default() });
                }
                let Reaction { by_sender, by_receiver, .. } = &mut amendment.reactions[0];
                *if is_sender { by_sender } else { by_receiver } += 1;
            };
            self.amend(index, change).await.expect("there is room");
            self.messages[index].reactions += 1;
        }
    }

    pub(super) async fn remove(&mut self, index: usize, reached: Reached) {
        if !self.messages[index].is_there() {
            return;
        }
        let Listed { from, seq, .. } = self.messages[index];
        let pair = self.pair(from);
        let storage = self.node.parts.env.storage(deadline());
        let page = storage.page(&pair, &AmendedPages::default(), Start::Seq(1), 100_000).await;
        let items = page.expect("readable").items.into_iter().filter_map(Item::message);
        let found = items.into_iter().find(|found| found.seq() == seq).expect("it is there");
        let stored = &found.stored;
        let removed = Removed {
            stream_seq: found.stream_seq,
            stored_ms: found.stored_ms,
            stub: Stub::of(&stored.message, stored.mark, stored.page),
            revocation: None,
        };
        let change = |amendment: &mut Amendment| {
            amendment.change = Change::Removed(removed.clone());
        };
        let Listed { counts, is_read, deleted, .. } = self.messages[index];
        let is_unread = counts && !is_read && !deleted[1 - from];
        self.amend_with(index, is_unread, change).await.expect("there is room");
        self.messages[index].is_removed = true;
        self.go_on(index, &removed, reached).await;
        if reached != Reached::All {
            self.begun.push((index, removed));
        }
    }

    async fn go_on(&mut self, index: usize, removed: &Removed, reached: Reached) {
        let pair = self.pair(self.messages[index].from);
        let storage = self.node.parts.env.storage(deadline());
        let left = storage.left(&pair, removed).await.expect("readable");
        if left == Left::Carrier && reached != Reached::Page {
            self.store(removal::carry(&pair, removed).expect("writable")).await;
            self.messages[index].stored_ms = self.clock.wall_ms();
        }
        if left != Left::Nothing && reached == Reached::All {
            let log = StreamId::Log(pair.partition);
            self.node.store().erase(log, removed.stream_seq, deadline()).await.expect("erased");
        }
        self.invalidate();
    }

    pub(super) async fn finish(&mut self) {
        for (index, removed) in std::mem::take(&mut self.begun) {
            self.go_on(index, &removed, Reached::All).await;
            let pair = self.pair(self.messages[index].from);
            let storage = self.node.parts.env.storage(deadline());
            let left = storage.left(&pair, &removed).await.expect("readable");
            assert_eq!(left, Left::Nothing);
        }
    }

    pub(super) async fn delete(&mut self, who: usize, index: usize) {
        let message = &self.messages[index];
        if !message.is_there() || message.deleted[who] {
            return;
        }
        let body =
            json!({ "conversationID": NAMES[1 - who], "messageList": [message.shown.clone()] });
        self.call(NAMES[who], "delete_messages", &body).await;
        self.messages[index].deleted[who] = true;
    }

    /// Loses a record that is not among the newest and was not removed. If messages age, it is not
    /// among the oldest either, which may be gone. Returns its sender.
    pub(super) fn lose(&self, which: Index) -> Option<usize> {
        let newest = |from| self.messages.iter().rposition(|message| message.from == from);
        let oldest = |from| {
            let is_it = |message: &Listed| message.from == from && message.is_there();
            self.messages.iter().position(is_it).filter(|_| self.ages)
        };
        let is_it = |index: &usize| {
            let message = &self.messages[*index];
            let is_end = [newest(message.from), oldest(message.from)].contains(&Some(*index));
            message.is_there() && !is_end
        };
        let all: Vec<usize> = (0..self.messages.len()).filter(is_it).collect();
        let lost = (!all.is_empty()).then(|| all[which.index(all.len())])?;
        self.lose_at(lost);
        Some(self.messages[lost].from)
    }

    /// Loses the record of a message.
    pub(super) fn lose_at(&self, index: usize) {
        let Listed { from, key, .. } = self.messages[index];
        let pair = self.pair(from);
        let log = StreamId::Log(pair.partition);
        let records = self.node.store().memory.records(log);
        let is_it = |record: &&Record| {
            let found = storage::message::order_key(&record.payload);
            record.subject == pair.subject && found == Ok(OrderKey(key))
        };
        let seq = records.iter().find(is_it).expect("it is there").stream_seq;
        let erased = self.node.store().erase(log, seq, deadline());
        futures::executor::block_on(erased).expect("erased");
    }
}

/// The original text of the message at this index.
pub(super) fn first_text(index: usize) -> String {
    format!("<m{index}>")
}
