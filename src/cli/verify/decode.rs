//! Decodes records of the streams into the facts that the history checker compares.

use std::collections::BTreeMap;

use crate::storage::message::RecordError;
use crate::storage::reads::{Item, Raw, Slot, whole};
use crate::storage::{Entry, Key};
use crate::store::Record;
use peerd_core::amendment::AmendmentPage;
use peerd_core::id::{Partition, UserId};
use peerd_protocol::subject::{Subjects, Token, is_sentinel};
use peerd_verify::stored::Stored;

/// A receiver and a sender.
type Pair = (UserId, UserId);

/// Decodes the records of all partitions. Messages are amended once everything was read.
pub(crate) struct Decoder<'s> {
    subjects: &'s Subjects,
    stored: Stored,
    /// Records that are not amended yet.
    records: BTreeMap<Pair, (Partition, Vec<Raw>)>,
    amendments: BTreeMap<Pair, BTreeMap<u64, AmendmentPage>>,
}

impl<'s> Decoder<'s> {
    /// A new decoder. `may_age`: messages may age out.
    pub(crate) fn new(subjects: &'s Subjects, may_age: bool) -> Self {
        let stored = Stored::new(may_age);
        Self { subjects, stored, records: BTreeMap::new(), amendments: BTreeMap::new() }
    }

    /// Adds a record of the log of a partition.
    pub(crate) fn message(&mut self, partition: Partition, record: &Record) {
        if is_sentinel(&record.subject) {
            return;
        }
        if let Err(problem) = self.try_message(partition, record) {
            self.stored.take_unreadable(place_of(record, &problem));
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
        let records = self.records.entry((receiver, sender));
        records.or_insert_with(|| (partition, Vec::new())).1.push(raw);
        Ok(())
    }

    /// Adds an entry of the state of a partition.
    pub(crate) fn entry(&mut self, partition: Partition, record: &Record) {
        if let Err(problem) = self.try_entry(partition, record) {
            self.stored.take_unreadable(place_of(record, &problem));
        }
    }

    fn try_entry(&mut self, partition: Partition, record: &Record) -> Result<(), RecordError> {
        let Some((user, key)) = Key::parse(self.subjects, partition, &record.subject)? else {
            return Ok(());
        };
        match Entry::decode(key.clone(), &record.payload) {
            Ok(entry) => self.take_entry(user, entry),
            Err(problem) => {
                // The same substitute as in an instance, so that consequences are not reported as
                // faults.
                self.take_entry(user, Entry::instead(key));
                return Err(problem);
            }
        }
        Ok(())
    }

    fn take_entry(&mut self, user: UserId, entry: Entry) {
        match entry {
            Entry::Conversation(other, settings) => {
                self.stored.take_settings(user, other, *settings);
            }
            Entry::Deletions(other, page, deleted) => {
                self.stored.take_deletions(user, other, page, deleted);
            }
            Entry::Amendments(sender, number, page) => {
                self.amendments.entry((user, sender)).or_default().insert(number, page);
            }
            // They are not part of a view.
            Entry::Account(_) | Entry::Block(..) | Entry::Subscriptions(_) => {}
        }
    }

    /// The facts: amended messages, and the stubs of removed ones.
    pub(crate) fn finish(mut self) -> Stored {
        for ((receiver, sender), pages) in &self.amendments {
            for (number, page) in pages {
                if page.iter().next().is_some() {
                    self.stored.take_amended(receiver.clone(), sender.clone(), *number);
                }
            }
        }
        let nothing = BTreeMap::new();
        for (pair, (partition, records)) in self.records {
            let pages = self.amendments.get(&pair).unwrap_or(&nothing);
            for slot in whole(records, pages).into_iter().filter_map(Item::slot) {
                let head = slot.head();
                match slot {
                    Slot::Message(found) => self.stored.take_message(&found.stored.message, head),
                    Slot::Removed(removed) => {
                        self.stored.take_removed(pair.clone(), partition, &removed, head);
                    }
                }
            }
        }
        self.stored
    }
}

fn place_of(record: &Record, problem: &dyn std::fmt::Display) -> String {
    format!("{} at {}: {problem}", record.subject, record.stream_seq)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::storage::{amendments, conversation, message as stored_message};
    use peerd_core::amendment::Receipt;
    use peerd_core::content::Content;
    use peerd_core::conversation::{Mark, PagePointers, Settings};
    use peerd_core::id::{OrderKey, UserId};
    use peerd_core::message::{Message, ReceiptStatus};
    use peerd_core::receive::Placed;
    use peerd_verify::fault::Kind;

    const PARTITION: Partition = Partition(0);

    fn record(subject: &str, stream_seq: u64, payload: impl Into<Bytes>) -> Record {
        Record { subject: subject.to_owned(), stream_seq, stored_ms: 0, payload: payload.into() }
    }

    fn message_to_bob(stream_seq: u64) -> Record {
        let user = |id| UserId::new(id, "user").expect("a userID");
        let message = Arc::new(Message {
            sender: user("ann"),
            receiver: user("bob"),
            partition: PARTITION,
            key: OrderKey(1000),
            seq: 1,
            timestamp_ms: 0,
            local_id: None,
            receipt: ReceiptStatus::None,
            counts: true,
            extended_data: String::new(),
            content: Content::Text { message: "hello".to_owned() },
            annotations: None,
        });
        let mark = Mark { seq: 1, counted: 1 };
        let placed = Placed { message, mark, page: PagePointers::default(), expected_seq: 0 };
        let payload = stored_message::encode(&placed, None).expect("writable");
        record("peer.log.0.bob.ann", stream_seq, payload)
    }

    #[test]
    fn messages_and_settings_make_the_views_of_both_users() {
        let subjects = Subjects::new("peer", 4);
        let mut decoder = Decoder::new(&subjects, false);
        decoder.message(PARTITION, &record("peer.log.0.=", 1, Bytes::new()));
        decoder.message(PARTITION, &message_to_bob(2));
        let read = Mark { seq: 1, counted: 1 };
        let settings = Settings { read, kept: true, ..Settings::default() };
        let payload = conversation::encode(&settings).expect("writable");
        let subject = "peer.state.0.bob.conversation.ann";
        decoder.entry(PARTITION, &record(subject, 3, payload));
        let stored = decoder.finish();
        assert_eq!(stored.faults(), []);
        let views = stored.views();
        let unread = |user: &str, other: &str| views[user].conversations[other].unread;
        assert_eq!((unread("bob", "ann"), unread("ann", "bob")), (0, 0), "bob has read it");
        assert_eq!(views["ann"].histories["bob"], views["bob"].histories["ann"]);
        assert_eq!(views["bob"].histories["ann"][0].text, "hello");
    }

    #[test]
    fn a_page_of_amendments_that_no_entry_names_is_found() {
        let subjects = Subjects::new("peer", 4);
        let mut page = AmendmentPage::default();
        for (is_amended, expected) in [(false, &[][..]), (true, &[Kind::Unnamed, Kind::Unnamed])] {
            if is_amended {
                page.amend(1, OrderKey(1000)).receipt = Receipt::Changed(ReceiptStatus::Done);
            }
            let mut decoder = Decoder::new(&subjects, false);
            decoder.message(PARTITION, &message_to_bob(2));
            let payload = amendments::encode(&page).expect("writable");
            decoder.entry(PARTITION, &record("peer.state.0.bob.amendments.ann.0", 3, payload));
            let kinds: Vec<Kind> =
                decoder.finish().faults().iter().map(|fault| fault.kind).collect();
            assert_eq!(kinds, expected);
        }
    }

    #[test]
    fn an_unreadable_record_is_named_by_its_place() {
        let subjects = Subjects::new("peer", 4);
        let mut decoder = Decoder::new(&subjects, false);
        let nonsense = [0x91, 0x63].to_vec();
        decoder.message(PARTITION, &record("peer.log.0.bob.ann", 7, nonsense.clone()));
        let subject = "peer.state.0.bob.conversation.ann";
        decoder.entry(PARTITION, &record(subject, 8, nonsense));
        let faults = decoder.finish().faults();
        assert!(faults.iter().all(|fault| fault.kind == Kind::Unreadable), "{faults:?}");
        assert!(faults[0].text.starts_with("peer.log.0.bob.ann at 7: "), "{faults:?}");
        assert!(faults[1].text.starts_with(&format!("{subject} at 8: ")), "{faults:?}");
    }
}
