//! Compares the result of each reader with the list.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::pair::{Listed, NAMES, PARTITIONS, World, deadline, first_text, id};
use super::{Shown, page_config, shown};
use crate::cli::verify::decode::Decoder;
use crate::runtime::audit::ReadRate;
use crate::runtime::fake::faulty::Counts;
use crate::runtime::replay::ReplayFrom;
use crate::store::StreamId;
use crate::wire::owner_request::Audited;
use peerd_core::audit::Difference;
use peerd_core::conversation::Mark;
use peerd_core::id::{Direction, OrderKey, Partition};
use peerd_verify::stored::Stored;

impl World {
    fn is_seen(viewer: usize, message: &Listed) -> bool {
        !message.is_removed && !message.is_aged && !message.deleted[viewer]
    }

    fn shown(message: &Listed) -> Shown {
        (message.seq, message.text.clone(), message.receipt as u64, message.reactions)
    }

    /// The messages that a user must see.
    pub(super) fn seen(&self, viewer: usize) -> Vec<Shown> {
        let mut all: Vec<&Listed> =
            self.messages.iter().filter(|message| Self::is_seen(viewer, message)).collect();
        all.sort_by_key(|message| message.key);
        all.into_iter().map(Self::shown).collect()
    }

    /// The whole history, read in pages of a given size.
    pub(super) async fn history(&self, viewer: usize, backwards: bool, page: usize) -> Vec<Shown> {
        let (mut all, mut anchor): (VecDeque<Shown>, Option<Value>) = (VecDeque::new(), None);
        loop {
            let config = page_config(backwards, anchor.as_ref(), page);
            let body = json!({ "conversationID": NAMES[1 - viewer], "config": config });
            let reply = self.call(NAMES[viewer], "query_history_message", &body).await;
            let list = reply["messageList"].as_array().unwrap_or_else(|| panic!("{reply}")).clone();
            if list.is_empty() {
                return all.into();
            }
            if backwards {
                for message in list.iter().rev() {
                    all.push_front(shown(message));
                }
                anchor = list.first().cloned();
            } else {
                all.extend(list.iter().map(shown));
                anchor = list.last().cloned();
            }
        }
    }

    /// The reads of the newest page of a history.
    pub(super) async fn history_reads(&self) -> Counts {
        // Loaded before.
        self.cell(1).await;
        let before = self.node.store().counts();
        let config = page_config(true, None, 4);
        let body = json!({ "conversationID": NAMES[0], "config": config });
        self.call(NAMES[1], "query_history_message", &body).await;
        let after = self.node.store().counts();
        Counts {
            log: after.log - before.log,
            amendments: after.amendments - before.amendments,
            newest: after.newest - before.newest,
        }
    }

    /// A user's unread messages.
    pub(super) fn unread(&self, viewer: usize) -> u64 {
        let is_unread = |message: &&Listed| {
            let is_counted = message.from != viewer && message.counts && !message.is_aged;
            is_counted && !message.is_read && !message.deleted[viewer] && !message.is_removed
        };
        self.messages.iter().filter(is_unread).count() as u64
    }

    pub(super) async fn assert_conversation(&self, viewer: usize) {
        if self.messages.is_empty() {
            return;
        }
        let body = json!({ "conversationID": NAMES[1 - viewer], "conversationType": 0 });
        let reply = self.call(NAMES[viewer], "query_conversation", &body).await;
        if reply["code"] == 6_000_603 {
            assert!(self.messages.iter().all(|message| message.is_aged), "{reply}");
            return;
        }
        let found = &reply["conversation"];
        assert_eq!(found["unreadMessageCount"], self.unread(viewer), "{reply}");
        let last = &found["lastMessage"];
        let last = last.is_object().then(|| shown(last));
        assert_eq!(last, self.seen(viewer).pop(), "the last message");
    }

    /// Checks the replay for a device without messages, and for one with messages up to some point.
    pub(super) async fn assert_replayed(&self, viewer: usize) {
        let cell = self.cell(viewer).await;
        let is_left = |message: &&Listed| message.from != viewer && !message.is_aged;
        let mut received: Vec<&Listed> = self.messages.iter().filter(is_left).collect();
        received.sort_by_key(|message| message.key);
        let middle = received.get(received.len() / 2).map_or(0, |message| message.key);
        for from in [ReplayFrom::Since(0), ReplayFrom::After(OrderKey(middle))] {
            self.node.bus().take();
            self.node.parts.replays.replay(&cell, from, deadline()).await.expect("replayed");
            let subject = format!("peer.event.{}.peer_message_received", NAMES[viewer]);
            let events = self.node.bus().take();
            let events = events.iter().filter(|event| event.subject == subject);
            let replayed: Vec<Shown> = events
                .flat_map(|event| {
                    let body: Value = serde_json::from_slice(&event.body).expect("JSON");
                    body["messageList"].as_array().cloned().unwrap_or_default()
                })
                .map(|message| shown(&message))
                .collect();
            let after = if let ReplayFrom::After(key) = from { key.0 } else { 0 };
            let expected: Vec<Shown> = received
                .iter()
                .filter(|message| message.key > after && Self::is_seen(viewer, message))
                .map(|message| Self::shown(message))
                .collect();
            assert_eq!(replayed, expected, "replayed to {}", NAMES[viewer]);
        }
    }

    /// Checks the heads after a load.
    pub(super) async fn assert_heads(&self) {
        self.forget();
        for user in 0..2 {
            let cell = self.cell(user).await;
            let known = cell.lock().conversations.get(&id(1 - user)).cloned();
            for (direction, from) in [(Direction::Send, user), (Direction::Receive, 1 - user)] {
                let expected = self.newest(from).map(|&Listed { seq, counted, key, .. }| {
                    (Mark { seq, counted }, OrderKey(key))
                });
                let head = known.as_ref().and_then(|known| known.head(direction));
                assert_eq!(head.map(|head| (head.mark, head.key)), expected);
            }
        }
    }

    /// The differences from the log.
    pub(super) async fn recount(&self, viewer: usize) -> Vec<Difference> {
        let (cell, other) = (self.cell(viewer).await, id(1 - viewer));
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let (mut audited, mut rate) = (Audited::default(), ReadRate::every(None));
        let recounted =
            self.node.audit.recount_one(&cell, &other, &known, &mut audited, &mut rate).await;
        recounted.expect("recounted").all()
    }

    /// When the messages of one user were stored, from a given time on.
    pub(super) async fn times(&self, from: usize, since_ms: u64) -> Vec<u64> {
        let amended = self.cell(from).await.amended(&id(1 - from), Direction::Send);
        let storage = self.node.parts.env.storage(deadline());
        storage.times(&self.pair(from), &amended, since_ms, 1000).await.expect("readable")
    }

    /// The result of a user's audit.
    pub(super) async fn audited(&self, user: usize) -> Audited {
        let cell = self.cell(user).await;
        let mut rate = ReadRate::every(None);
        let audit = self.node.audit.audit_user(&cell.ownership, &cell.id, &mut rate);
        audit.await.expect("audited")
    }

    fn gathered(&self) -> Stored {
        let mut decoder = Decoder::new(&self.node.parts.env.subjects, self.ages);
        for partition in (0..PARTITIONS).map(Partition) {
            let memory = &self.node.store().memory;
            for record in memory.records(StreamId::Log(partition)) {
                decoder.message(partition, &record);
            }
            for record in memory.records(StreamId::State(partition)) {
                decoder.entry(partition, &record);
            }
        }
        decoder.finish()
    }

    /// The kinds of faults that `peerd verify` finds in the store.
    pub(super) fn verified(&self) -> Vec<String> {
        self.gathered().faults().iter().map(|fault| fault.kind.name().to_owned()).collect()
    }

    pub(super) fn assert_verified(&self) {
        let stored = self.gathered();
        assert_eq!(stored.faults(), []);
        let views = stored.views();
        for viewer in 0..2 {
            let view = views.get(NAMES[viewer]).cloned().unwrap_or_default();
            let lines = view.histories.get(NAMES[1 - viewer]).cloned().unwrap_or_default();
            let lines: Vec<(u64, String)> =
                lines.into_iter().map(|line| (line.seq, line.text)).collect();
            let seen = self.seen(viewer).into_iter().map(|(seq, text, ..)| (seq, text));
            assert_eq!(lines, seen.collect::<Vec<_>>(), "verified for {}", NAMES[viewer]);
            if self.messages.iter().any(|message| message.is_aged) {
                // The store does not show how many of the missing messages were unread.
                continue;
            }
            let removed = view.removed.get(NAMES[1 - viewer]).map_or(0, Vec::len);
            let expected = self.messages.iter().filter(|message| message.is_removed).count();
            assert_eq!(removed, expected);
            if let Some(summary) = view.conversations.get(NAMES[1 - viewer]) {
                assert_eq!(summary.unread, self.unread(viewer));
            }
        }
        self.assert_gone();
    }

    /// The content of a removed message is in no record once its removal is finished.
    fn assert_gone(&self) {
        let is_begun = |index: &usize| self.begun.iter().any(|(begun, _)| begun == index);
        let removed = (0..self.messages.len()).filter(|index| self.messages[*index].is_removed);
        let removed: Vec<String> =
            removed.filter(|index| !is_begun(index)).map(first_text).collect();
        let partitions = (0..PARTITIONS).map(Partition);
        for stream in partitions.flat_map(|it| [StreamId::Log(it), StreamId::State(it)]) {
            for record in self.node.store().memory.records(stream) {
                let has = |text: &&String| {
                    record.payload.windows(text.len()).any(|part| part == text.as_bytes())
                };
                assert_eq!(removed.iter().find(has), None, "it is in {}", record.subject);
            }
        }
    }
}
