//! The checker finds each kind of fault in hand-made views, and none in sound ones.

use super::{Line, Summary, View, Views, faults};
use crate::account::{Account, Ack, Change, Mark, Sent};

/// `ann` sends a1, a2, a3 to `bob`, who answers b1 after a2; each call ends before the next begins.
fn account() -> Account {
    Account {
        sent: vec![
            sent("ann", "bob", "a1", 1, 10),
            sent("ann", "bob", "a2", 2, 20),
            sent("bob", "ann", "b1", 1, 30),
            sent("ann", "bob", "a3", 3, 40),
        ],
        marks: Vec::new(),
    }
}

fn sent(from: &str, to: &str, local_id: &str, seq: u64, tick: u64) -> Sent {
    Sent {
        from: from.to_owned(),
        to: to.to_owned(),
        local_id: local_id.to_owned(),
        text: format!("text of {local_id}"),
        counts: true,
        started: tick,
        ack: Some(Ack {
            at: tick + 5,
            message_id: format!("id of {local_id}"),
            seq,
            order_key: tick * 100,
        }),
        has_receipt: false,
        amended: Vec::new(),
        reacted: Vec::new(),
    }
}

fn line(sent: &Sent) -> Line {
    let ack = sent.ack.as_ref();
    Line {
        sender: sent.from.clone(),
        local_id: sent.local_id.clone(),
        text: sent.text.clone(),
        message_id: format!("id of {}", sent.local_id),
        seq: ack.map_or(0, |ack| ack.seq),
        order_key: ack.map_or(0, |ack| ack.order_key),
    }
}

fn mark(user: &str, what: Change, tick: u64) -> Mark {
    Mark { user: user.to_owned(), what, started: tick, acked: Some(tick + 3) }
}

/// The views of the two without faults, clears, mutes or deletes.
fn views() -> Views {
    let lines: Vec<_> = account().sent.iter().map(line).collect();
    let view = |other: &str, unread: u64| View {
        histories: [(other.to_owned(), lines.clone())].into(),
        removed: [].into(),
        attached: [].into(),
        conversations: [(
            other.to_owned(),
            Summary { unread, last_message_id: Some("id of a3".to_owned()), ..Summary::default() },
        )]
        .into(),
        total: unread,
        total_with_muted: unread,
    };
    [("ann".to_owned(), view("bob", 1)), ("bob".to_owned(), view("ann", 3))].into()
}

fn lines<'a>(views: &'a mut Views, user: &str, other: &str) -> &'a mut Vec<Line> {
    let view = views.entry(user.to_owned()).or_default();
    view.histories.entry(other.to_owned()).or_default()
}

/// Changes `bob`'s unread count for `ann`, and his totals with it.
fn unread(views: &mut Views, count: u64) {
    if let Some(view) = views.get_mut("bob") {
        view.total = count;
        view.total_with_muted = count;
        for summary in view.conversations.values_mut() {
            summary.unread = count;
        }
    }
}

#[track_caller]
fn assert_found(account: &Account, views: &Views, part: &str) {
    let found = faults(account, views);
    assert!(found.iter().any(|fault| fault.text.contains(part)), "no {part:?} in {found:?}");
}

#[track_caller]
fn assert_sound(account: &Account, views: &Views) {
    assert_eq!(faults(account, views), Vec::new());
}

#[test]
fn sound_views_have_no_fault() {
    assert_sound(&account(), &views());
}

#[test]
fn a_lost_message_is_found() {
    let mut views = views();
    lines(&mut views, "bob", "ann").remove(1);
    assert_found(&account(), &views, "bob with ann: a2 is lost");
    assert_found(&account(), &views, "ann's messageSeq jumps from 1 to 3");
}

#[test]
fn a_lost_last_message_is_found() {
    let mut views = views();
    lines(&mut views, "ann", "bob").pop();
    assert_found(&account(), &views, "ann with bob: a3 is lost");
}

#[test]
fn a_history_that_is_not_there_is_found() {
    let mut views = views();
    views.insert("bob".to_owned(), View::default());
    assert_found(&account(), &views, "bob with ann: a1 is lost");
    assert_found(&account(), &views, "bob with ann: not in the list");
}

#[test]
fn a_view_that_was_not_read_is_found() {
    let mut views = views();
    views.remove("bob");
    assert_found(&account(), &views, "bob: no view");
}

#[test]
fn a_message_stored_twice_is_found() {
    let mut views = views();
    for (user, other) in [("ann", "bob"), ("bob", "ann")] {
        let lines = lines(&mut views, user, other);
        let again =
            Line { seq: 4, order_key: 9_000, message_id: "other".into(), ..lines[3].clone() };
        lines.push(again);
    }
    unread(&mut views, 4);
    assert_found(&account(), &views, "a3 is there twice");
    assert_found(&account(), &views, "unread is 4, the recount 3 to 3");
}

#[test]
fn a_message_that_nobody_sent_is_found() {
    let mut views = views();
    let stray = line(&sent("ann", "bob", "a9", 4, 50));
    lines(&mut views, "bob", "ann").push(stray);
    assert_found(&account(), &views, "a9 of ann was never sent");
}

#[test]
fn other_content_is_found() {
    let mut views = views();
    lines(&mut views, "bob", "ann")[0].text = "something else".to_owned();
    assert_found(&account(), &views, "a1 has other content");
    assert_found(&account(), &views, "a1 is not the same on both sides");
}

#[test]
fn another_message_id_than_answered_is_found() {
    let mut views = views();
    for (user, other) in [("ann", "bob"), ("bob", "ann")] {
        lines(&mut views, user, other)[1].message_id = "another".to_owned();
    }
    assert_found(&account(), &views, "a2 is Line");
}

#[test]
fn a_gap_in_the_sequence_is_found() {
    let (mut account, mut views) = (account(), views());
    for ack in account.sent.iter_mut().filter_map(|sent| sent.ack.as_mut()) {
        ack.seq += u64::from(ack.seq == 3);
    }
    for (user, other) in [("ann", "bob"), ("bob", "ann")] {
        lines(&mut views, user, other)[3].seq = 4;
    }
    assert_found(&account, &views, "ann's messageSeq jumps from 2 to 4");
}

#[test]
fn a_repeat_in_the_sequence_is_found() {
    let (mut account, mut views) = (account(), views());
    for ack in account.sent.iter_mut().filter_map(|sent| sent.ack.as_mut()) {
        ack.seq = ack.seq.min(2);
    }
    for (user, other) in [("ann", "bob"), ("bob", "ann")] {
        lines(&mut views, user, other)[3].seq = 2;
    }
    assert_found(&account, &views, "ann's 2 follows 2 in the order");
}

#[test]
fn a_wrong_order_is_found() {
    let mut views = views();
    lines(&mut views, "bob", "ann").swap(0, 1);
    assert_found(&account(), &views, "a1 is not in ascending order");
    assert_found(&account(), &views, "ann's 1 follows 2 in the order");
}

#[test]
fn an_order_key_below_what_was_answered_before_is_found() {
    let (mut account, mut views) = (account(), views());
    for ack in account.sent.iter_mut().filter_map(|sent| sent.ack.as_mut()) {
        ack.order_key = 5_000 - ack.order_key;
    }
    for (user, other) in [("ann", "bob"), ("bob", "ann")] {
        *lines(&mut views, user, other) = account.sent.iter().rev().map(line).collect();
    }
    assert_found(&account, &views, "ann: a2 does not sort after");
}

#[test]
fn wrong_unread_counts_are_found() {
    for count in [0, 2, 4] {
        let mut views = views();
        unread(&mut views, count);
        assert_found(&account(), &views, &format!("unread is {count}, the recount 3 to 3"));
    }
}

#[test]
fn wrong_totals_are_found() {
    let mut views = views();
    if let Some(view) = views.get_mut("bob") {
        view.total = 4;
        view.total_with_muted = 2;
    }
    assert_found(&account(), &views, "bob: the total is 4, the sum of the conversations 3");
    assert_found(&account(), &views, "bob: the total including muted is 2");
}

#[test]
fn a_wrong_last_message_is_found() {
    let mut views = views();
    for summary in views.values_mut().flat_map(|view| view.conversations.values_mut()) {
        summary.last_message_id = Some("id of a2".to_owned());
    }
    assert_found(&account(), &views, "the last message is");
}

#[test]
fn a_message_that_does_not_count_is_not_unread() {
    let (mut account, mut views) = (account(), views());
    account.sent[1].counts = false;
    assert_found(&account, &views, "unread is 3, the recount 2 to 2");
    unread(&mut views, 2);
    assert_sound(&account, &views);
}

#[test]
fn a_clear_must_have_cleared_what_was_before_it_and_nothing_else() {
    let (mut account, mut views) = (account(), views());
    account.marks.push(mark("bob", Change::Clear("ann".into()), 33));
    assert_found(&account, &views, "unread is 3, the recount 1 to 1");
    unread(&mut views, 1);
    assert_sound(&account, &views);
    unread(&mut views, 0);
    assert_found(&account, &views, "unread is 0, the recount 1 to 1");
}

#[test]
fn a_clear_that_overlaps_a_send_may_count_it_or_not() {
    let (mut account, mut views) = (account(), views());
    account.marks.push(mark("bob", Change::Clear("ann".into()), 41));
    for (count, sound) in [(0, true), (1, true), (2, false)] {
        unread(&mut views, count);
        assert_eq!(faults(&account, &views).is_empty(), sound, "{count}");
    }
}

#[test]
fn a_clear_with_an_unknown_outcome_may_have_happened_or_not() {
    let (mut account, mut views) = (account(), views());
    account.marks.push(mark("bob", Change::ClearTotal, 50));
    account.marks[0].acked = None;
    for count in [0, 3] {
        unread(&mut views, count);
        assert_sound(&account, &views);
    }
}

#[test]
fn a_muted_conversation_is_outside_the_total() {
    let (mut account, mut views) = (account(), views());
    account.marks.push(mark("bob", Change::Mute("ann".into(), true), 50));
    assert_found(&account, &views, "muted is false");
    if let Some(view) = views.get_mut("bob") {
        view.conversations.values_mut().for_each(|summary| summary.muted = true);
    }
    assert_found(&account, &views, "the total is 3, the sum of the conversations 0");
    if let Some(view) = views.get_mut("bob") {
        view.total = 0;
    }
    assert_sound(&account, &views);
}

#[test]
fn a_deleted_message_is_gone_from_one_side_and_from_its_count() {
    let (mut account, mut views) = (account(), views());
    account.marks.push(mark("bob", Change::Delete("ann".into(), "a2".into()), 50));
    assert_found(&account, &views, "bob with ann: a2 was deleted");
    lines(&mut views, "bob", "ann").remove(1);
    assert_found(&account, &views, "unread is 3, the recount 2 to 2");
    unread(&mut views, 2);
    assert_sound(&account, &views);
    lines(&mut views, "ann", "bob").remove(1);
    assert_found(&account, &views, "ann with bob: a2 is lost");
}

#[test]
fn deleting_all_takes_what_was_before_it() {
    let (mut account, mut views) = (account(), views());
    account.marks.push(mark("bob", Change::DeleteAll("ann".into()), 36));
    lines(&mut views, "bob", "ann").drain(..3);
    unread(&mut views, 1);
    assert_sound(&account, &views);
    lines(&mut views, "bob", "ann").clear();
    assert_found(&account, &views, "bob with ann: a3 is lost");
}

#[test]
fn a_send_with_an_unknown_outcome_may_be_there_or_not_but_for_both() {
    let (mut account, views_with) = (account(), views());
    account.sent[3].ack = None;
    assert_sound(&account, &views_with);
    let mut without = views_with.clone();
    for (user, other) in [("ann", "bob"), ("bob", "ann")] {
        lines(&mut without, user, other).pop();
    }
    unread(&mut without, 2);
    for view in without.values_mut() {
        for summary in view.conversations.values_mut() {
            summary.last_message_id = Some("id of b1".to_owned());
        }
    }
    assert_sound(&account, &without);
    let mut half = views_with;
    lines(&mut half, "ann", "bob").pop();
    assert_found(&account, &half, "ann with bob: a3 is on the other side only");
}
