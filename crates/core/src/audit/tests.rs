use super::*;
use crate::conversation::{Mark, PagePointers};

fn message(seq: u64, counted: u64, counts: bool) -> Counted {
    let head = Head {
        mark: Mark { seq, counted },
        key: OrderKey(seq * 100),
        timestamp_ms: 0,
        stream_seq: seq * 10,
        page: PagePointers::default(),
    };
    Counted { head, counts, is_removed: false }
}

/// Five messages, of which the third does not count.
fn log() -> Vec<Counted> {
    [(1, 1, true), (2, 2, true), (3, 2, false), (4, 3, true), (5, 4, true)]
        .map(|(seq, counted, counts)| message(seq, counted, counts))
        .to_vec()
}

fn conversation(log: &[Counted]) -> Conversation {
    Conversation { received: log.last().map(|last| last.head), ..Default::default() }
}

fn recount_aged(conversation: &Conversation, log: &[Counted], may_age: bool) -> Vec<Difference> {
    let other = UserId::new("bob", "other").unwrap();
    let mut recount = Recount::new(&other, conversation, may_age);
    for message in log {
        recount.take(*message);
    }
    recount.finish().all()
}

fn recount(conversation: &Conversation, log: &[Counted]) -> Vec<(Subject, u64, u64)> {
    let found = recount_aged(conversation, log, false);
    found.iter().map(|found| (found.subject, found.expected, found.found)).collect()
}

#[test]
fn state_that_follows_from_the_log_has_no_difference() {
    let mut conversation = conversation(&log());
    assert_eq!(recount(&conversation, &log()), []);
    conversation.settings.read = Mark { seq: 2, counted: 2 };
    assert_eq!(recount(&conversation, &log()), []);
    conversation.settings.deleted.insert(Direction::Receive, 4);
    conversation.settings.deleted.insert(Direction::Receive, 3);
    conversation.settings.deleted.insert(Direction::Receive, 1);
    conversation.settings.deleted_unread = 1;
    assert_eq!(recount(&conversation, &log()), []);
}

#[test]
fn a_conversation_without_messages_has_no_difference() {
    assert_eq!(recount(&Conversation::default(), &[]), []);
}

#[test]
fn messages_newer_than_the_conversation_are_ignored() {
    let mut longer = log();
    longer.push(message(6, 5, true));
    assert_eq!(recount(&conversation(&log()), &longer), []);
}

#[test]
fn a_gap_in_the_numbering_is_found() {
    let mut log = log();
    log.remove(2);
    assert_eq!(recount(&conversation(&log), &log), [(Subject::MessageSeq, 3, 4)]);
}

#[test]
fn a_wrong_count_in_a_stored_message_is_found_once_with_its_consequence() {
    let mut log = log();
    log[4].head.mark.counted = 9;
    let found = recount(&conversation(&log), &log);
    assert_eq!(found, [(Subject::Counted, 4, 9), (Subject::Unread, 4, 9)]);
}

#[test]
fn an_order_key_that_does_not_rise_is_found() {
    let mut log = log();
    log[3].head.key = OrderKey(250);
    assert_eq!(recount(&conversation(&log), &log), [(Subject::OrderKey, 301, 250)]);
}

#[test]
fn a_newest_message_beyond_the_end_of_the_log_is_found() {
    let mut conversation = conversation(&log());
    if let Some(head) = &mut conversation.received {
        head.mark = Mark { seq: 6, counted: 4 };
    }
    assert_eq!(recount(&conversation, &log()), [(Subject::NewestReceived, 5, 6)]);
}

#[test]
fn wrong_marks_are_found() {
    let mut wrong = conversation(&log());
    wrong.settings.read = Mark { seq: 2, counted: 1 };
    assert_eq!(recount(&wrong, &log()), [(Subject::ReadMark, 2, 1), (Subject::Unread, 2, 3)]);
    let mut wrong = conversation(&log());
    wrong.settings.deleted_unread = 1;
    assert_eq!(recount(&wrong, &log()), [(Subject::DeletedUnread, 0, 1), (Subject::Unread, 4, 3)]);
    let mut wrong = conversation(&log());
    wrong.settings.read = Mark { seq: 7, counted: 4 };
    assert_eq!(recount(&wrong, &log()), [(Subject::ReadMark, 4, 4), (Subject::Unread, 0, 0)][..1]);
}

#[test]
fn aged_out_messages_are_no_difference_and_the_remaining_ones_are_still_recounted() {
    let left = &log()[2..];
    let mut conversation = conversation(left);
    assert_eq!(recount_aged(&conversation, left, true), []);
    conversation.settings.read = Mark { seq: 2, counted: 2 };
    assert_eq!(recount_aged(&conversation, left, true), []);
    assert_eq!(recount_aged(&conversation, &[], true), []);
    conversation.settings.deleted_unread = 1;
    assert_eq!(recount_aged(&conversation, left, true).len(), 2);
    assert!(!recount(&conversation, left).is_empty());
}

#[test]
fn totals_that_differ_from_the_sums_are_found() {
    let mut muted = conversation(&log());
    muted.settings.notification = crate::conversation::NotificationStatus::DoNotDisturb;
    let conversations = [conversation(&log()), muted];
    assert_eq!(recount_totals(conversations.iter(), Totals { unmuted: 4, all: 8 }), []);
    let found = recount_totals(conversations.iter(), Totals { unmuted: 5, all: 8 });
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].subject, found[0].expected, found[0].found), (Subject::Total, 4, 5));
}

fn gaps(conversation: &Conversation, log: &[Counted]) -> (Vec<(u64, u64)>, u64, usize) {
    let other = UserId::new("bob", "other").unwrap();
    let mut recount = Recount::new(&other, conversation, false);
    for message in log {
        recount.take(*message);
    }
    let found = recount.finish();
    (found.gaps, found.unread, found.differences.len())
}

#[test]
fn missing_messages_are_reported_as_gaps_and_the_remaining_ones_are_counted() {
    let whole = conversation(&log());
    let without = |missing: &[usize]| {
        let log = log();
        let left = log.iter().enumerate().filter(|(at, _)| !missing.contains(at));
        left.map(|(_, message)| *message).collect::<Vec<_>>()
    };
    assert_eq!(gaps(&whole, &without(&[1])), (vec![(10, 30)], 3, 0));
    assert_eq!(gaps(&whole, &without(&[0, 1])), (vec![(0, 30)], 2, 0));
    assert_eq!(gaps(&whole, &without(&[4])), (vec![(40, 51)], 3, 0));
    assert_eq!(gaps(&whole, &[]), (vec![(0, 51)], 0, 0));
    let mut read = conversation(&log());
    read.settings.read = Mark { seq: 2, counted: 2 };
    assert_eq!(gaps(&read, &without(&[0, 1])), (vec![(0, 30)], 2, 0));
}
