//! Decodes records of the streams into the facts that the history checker compares.

use crate::storage::message::RecordError;
use crate::storage::reads::Found;
use crate::storage::{Entry, Key};
use crate::store::Record;
use peerd_core::id::Partition;
use peerd_protocol::subject::{Subjects, Token, is_sentinel};
use peerd_verify::stored::Stored;

/// Adds a record of the log of a partition.
pub(super) fn message(stored: &mut Stored, partition: Partition, record: &Record) {
    if is_sentinel(&record.subject) {
        return;
    }
    if let Err(problem) = try_message(stored, partition, record) {
        stored.take_unreadable(place_of(record, &problem));
    }
}

fn try_message(stored: &mut Stored, partition: Partition, record: &Record) -> Result<(), String> {
    let mut tokens = record.subject.rsplit('.');
    let mut user = || {
        let token = tokens.next().unwrap_or_default();
        Token::parse(token).map_err(|error| error.to_string())
    };
    let (sender, receiver) = (user()?, user()?);
    let found = Found::read(record, (&sender, &receiver), partition);
    let found = found.map_err(|error| error.to_string())?;
    let head = found.head();
    stored.take_message(found.stored.message, head);
    Ok(())
}

/// Adds an entry of the state of a partition.
pub(super) fn entry(
    stored: &mut Stored,
    subjects: &Subjects,
    partition: Partition,
    record: &Record,
) {
    if let Err(problem) = try_entry(stored, subjects, partition, record) {
        stored.take_unreadable(place_of(record, &problem));
    }
}

fn try_entry(
    stored: &mut Stored,
    subjects: &Subjects,
    partition: Partition,
    record: &Record,
) -> Result<(), RecordError> {
    let Some((user, key)) = Key::parse(subjects, partition, &record.subject)? else {
        return Ok(());
    };
    match Entry::decode(key, &record.payload)? {
        Entry::Conversation(other, settings) => stored.take_settings(user, other, settings),
        Entry::Deletions(other, page, deleted) => {
            stored.take_deletions(user, other, page, deleted);
        }
        // They are in no view.
        Entry::Account(_) | Entry::Block(..) => {}
    }
    Ok(())
}

fn place_of(record: &Record, problem: &dyn std::fmt::Display) -> String {
    format!("{} at {}: {problem}", record.subject, record.stream_seq)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::storage::{conversation, message as stored_message};
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
        let message = Message {
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
        };
        let mark = Mark { seq: 1, counted: 1 };
        let placed = Placed { message, mark, page: PagePointers::default(), expected_seq: 0 };
        let payload = stored_message::encode(&placed, None).expect("writable");
        record("peer.log.0.bob.ann", stream_seq, payload)
    }

    #[test]
    fn messages_and_settings_make_the_views_of_both_users() {
        let mut stored = Stored::new(false);
        let subjects = Subjects::new("peer", 4);
        message(&mut stored, PARTITION, &record("peer.log.0.=", 1, Bytes::new()));
        message(&mut stored, PARTITION, &message_to_bob(2));
        let read = Mark { seq: 1, counted: 1 };
        let settings = Settings { read, kept: true, ..Settings::default() };
        let payload = conversation::encode(&settings).expect("writable");
        let subject = "peer.state.0.bob.conversation.ann";
        entry(&mut stored, &subjects, PARTITION, &record(subject, 3, payload));
        assert_eq!(stored.faults(), []);
        let views = stored.views();
        let unread = |user: &str, other: &str| views[user].conversations[other].unread;
        assert_eq!((unread("bob", "ann"), unread("ann", "bob")), (0, 0), "bob has read it");
        assert_eq!(views["ann"].histories["bob"], views["bob"].histories["ann"]);
        assert_eq!(views["bob"].histories["ann"][0].text, "hello");
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_place() {
        let mut stored = Stored::new(false);
        let nonsense = [0x91, 0x63].to_vec();
        message(&mut stored, PARTITION, &record("peer.log.0.bob.ann", 7, nonsense.clone()));
        let subject = "peer.state.0.bob.conversation.ann";
        entry(&mut stored, &Subjects::new("peer", 4), PARTITION, &record(subject, 8, nonsense));
        let faults = stored.faults();
        assert!(faults.iter().all(|fault| fault.kind == Kind::Unreadable), "{faults:?}");
        assert!(faults[0].text.starts_with("peer.log.0.bob.ann at 7: "), "{faults:?}");
        assert!(faults[1].text.starts_with(&format!("{subject} at 8: ")), "{faults:?}");
    }
}
