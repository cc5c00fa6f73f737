//! Tests of the state of a conversation.

use super::*;

fn head(seq: u64, counted: u64) -> Head {
    Head {
        mark: Mark { seq, counted },
        key: OrderKey(seq),
        timestamp_ms: 0,
        stream_seq: seq * 10,
        page: PagePointers { first: 10, previous: 0 },
    }
}

#[test]
fn unread_is_what_counts_past_the_read_mark_less_what_was_deleted() {
    let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
    assert_eq!(conversation.unread(), 7);
    conversation.settings.read = Mark { seq: 4, counted: 3 };
    conversation.settings.deleted_unread = 1;
    assert_eq!(conversation.unread(), 3);
}

#[test]
fn messages_gone_from_the_store_are_not_unread() {
    let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
    conversation.settings.read = Mark { seq: 3, counted: 2 };
    conversation.settings.deleted_unread = 2;
    assert_eq!(conversation.unread(), 3);
    conversation.gone = Gone { counted: 4, deleted: 1, oldest_ms: 0 };
    assert_eq!(conversation.unread(), 2, "five to seven, of which one was deleted");
    conversation.gone = Gone { counted: 1, deleted: 0, oldest_ms: 0 };
    assert_eq!(conversation.unread(), 3, "what is gone had been read");
    assert!(conversation.move_end_back(Direction::Receive, None));
    assert_eq!((conversation.unread(), conversation.received_mark().seq), (0, 9));
    let next = Mark { seq: 10, counted: conversation.counted() + 1 };
    let next = Head { mark: next, ..head(10, 0) };
    conversation.begins_with(&next, true);
    conversation.adopt_head(Direction::Receive, next);
    assert_eq!(conversation.unread(), 1);
    conversation.gone = Gone::default();
    assert_eq!(conversation.unread(), 1, "as a load finds it");
}

#[test]
fn numbering_goes_on_above_an_end_that_was_lost() {
    let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
    assert!(conversation.move_end_back(Direction::Receive, Some(head(6, 5))));
    assert_eq!((conversation.unread(), conversation.counted()), (5, 5));
    assert_eq!(conversation.received_mark().seq, 9);
    assert!(!conversation.move_end_back(Direction::Receive, Some(head(8, 6))));
}

#[test]
fn counting_goes_on_above_the_stored_marks_when_the_log_is_empty() {
    let mut conversation = Conversation::default();
    conversation.settings.received_mark = Mark { seq: 40, counted: 38 };
    assert_eq!(conversation.received_mark().seq, 40);
    conversation.adopt_head(Direction::Receive, head(41, 39));
    assert_eq!(conversation.received_mark(), Mark { seq: 41, counted: 39 });
}

#[test]
fn a_page_opens_after_32_messages_and_points_to_the_one_before() {
    assert_eq!(head(31, 0).next_pointers(), PagePointers { first: 10, previous: 0 });
    assert_eq!(head(32, 0).next_pointers(), PagePointers { first: 0, previous: 10 });
    assert_eq!([1, 31, 32, 33].map(|seq| head(seq, 0).in_page()), [1, 31, 32, 1]);
}

#[test]
fn an_older_answer_of_the_store_changes_nothing() {
    let mut conversation = Conversation { settings_seq: 5, ..Default::default() };
    conversation.adopt_settings(Settings { kept: true, ..Default::default() }, 4);
    assert!(!conversation.settings.kept);
    conversation.adopt_head(Direction::Send, head(3, 3));
    conversation.adopt_head(Direction::Send, head(2, 2));
    assert_eq!(conversation.sent, Some(head(3, 3)));
}

#[test]
fn a_carrier_takes_the_place_of_its_message_and_changes_no_count() {
    let mut conversation = Conversation { received: Some(head(9, 7)), ..Default::default() };
    conversation.published_seq = 90;
    conversation.repeats.complete(5, Vec::new());
    let carrier = Head { stream_seq: 95, ..head(9, 7) };
    conversation.adopt_received(carrier);
    assert!(conversation.repeats.covers(5), "no message is new");
    assert_eq!((conversation.received, conversation.unread()), (Some(carrier), 7));
    assert!(conversation.has_unpublished());
    conversation.take_in_removed(carrier, true);
    assert!(!conversation.has_unpublished());
    conversation.adopt_head(Direction::Receive, head(9, 7));
    assert_eq!((conversation.received, conversation.unread()), (Some(carrier), 7));
}

#[test]
fn with_what_a_load_finds_the_repeats_at_hand_are_not_all() {
    let mut conversation = Conversation::default();
    conversation.repeats.complete(5, Vec::new());
    conversation.adopt_received(head(1, 1));
    assert!(!conversation.repeats.covers(5), "the first message");
    conversation.repeats.complete(5, Vec::new());
    conversation.adopt_received(head(1, 1));
    assert!(conversation.repeats.covers(5), "no news");
    conversation.adopt_received(head(2, 2));
    assert!(!conversation.repeats.covers(5), "a later one");
}
