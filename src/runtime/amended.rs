//! Tests every reader with random histories of messages, amendments, carriers and deleted records,
//! against a plain list of messages.

mod pair;
mod readers;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use self::pair::{NAMES, Reached, World};
use crate::storage::tuning::AMENDMENTS_BYTES_MAX;
use peerd_core::message::ReceiptStatus;

/// A step of a history.
#[derive(Clone, Debug)]
enum Op {
    /// Messages from one of the two.
    Send { from: usize, count: usize, counts: bool },
    /// Messages that the two send alternately.
    Talk(usize),
    /// The content of a message is replaced.
    Replace(Index),
    /// A message was read.
    Read(Index),
    /// A user reacted to a message.
    React(usize, Index),
    /// A message is removed; or the owner dies during the removal, which is finished later.
    Remove(Index, Reached),
    /// Consecutive messages are removed, possibly whole pages.
    RemoveRun(Index, usize),
    /// The newest message of one is removed.
    RemoveNewest(usize, Reached),
    /// A user deletes a message for that user only.
    Delete(usize, Index),
    /// A user reads all received messages.
    Clear(usize),
    /// Time passes until a message ages out, if messages age.
    Age(Index),
    /// Interrupted removals are finished.
    Finish,
    /// All readers are checked.
    Look,
}

fn reached() -> impl Strategy<Value = Reached> {
    prop_oneof![
        4 => Just(Reached::All),
        1 => Just(Reached::Page),
        1 => Just(Reached::Carrier),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        4 => (0..2_usize, 1..40_usize, any::<bool>())
            .prop_map(|(from, count, counts)| Op::Send { from, count, counts }),
        2 => (1..30_usize).prop_map(Op::Talk),
        2 => index().prop_map(Op::Replace),
        2 => index().prop_map(Op::Read),
        2 => (0..2_usize, index()).prop_map(|(who, which)| Op::React(who, which)),
        4 => (index(), reached()).prop_map(|(which, reached)| Op::Remove(which, reached)),
        1 => (index(), 2..80_usize).prop_map(|(which, count)| Op::RemoveRun(which, count)),
        3 => (0..2_usize, reached()).prop_map(|(of, reached)| Op::RemoveNewest(of, reached)),
        1 => (0..2_usize, index()).prop_map(|(who, which)| Op::Delete(who, which)),
        1 => (0..2_usize).prop_map(Op::Clear),
        2 => index().prop_map(Op::Age),
        1 => Just(Op::Finish),
        1 => Just(Op::Look),
    ]
}

async fn apply(world: &mut World, op: Op) {
    let count = world.messages.len();
    match op {
        Op::Send { from, count, counts } => {
            for _ in 0..count {
                world.send(from, counts).await;
            }
        }
        Op::Talk(count) => {
            for number in 0..count {
                world.send(number % 2, true).await;
            }
        }
        Op::Replace(which) if count > 0 => world.replace(which.index(count)).await,
        Op::Read(which) if count > 0 => world.read(which.index(count)).await,
        Op::React(who, which) if count > 0 => world.react(who, which.index(count)).await,
        Op::Remove(which, reached) if count > 0 => {
            world.remove(which.index(count), reached).await;
        }
        Op::RemoveRun(which, run) if count > 0 => {
            let first = which.index(count);
            for index in first..(first + run).min(count) {
                world.remove(index, Reached::All).await;
            }
        }
        Op::RemoveNewest(of, reached) => {
            let newest = world.messages.iter().rposition(|message| message.from == of);
            if let Some(newest) = newest {
                world.remove(newest, reached).await;
            }
        }
        Op::Delete(who, which) if count > 0 => world.delete(who, which.index(count)).await,
        Op::Clear(who) if count > 0 => world.clear(who).await,
        Op::Age(which) if world.ages => {
            let left = (0..count).filter(|index| !world.messages[*index].is_aged);
            let left: Vec<usize> = left.collect();
            if !left.is_empty() {
                world.age_out(left[which.index(left.len())]).await;
            }
        }
        Op::Finish => world.finish().await,
        Op::Look => look(world).await,
        Op::Replace(_)
        | Op::Read(_)
        | Op::React(..)
        | Op::Remove(..)
        | Op::RemoveRun(..)
        | Op::Delete(..)
        | Op::Clear(_)
        | Op::Age(_) => {}
    }
}

/// Checks every reader.
async fn look(world: &World) {
    world.assert_heads().await;
    for (viewer, name) in NAMES.iter().enumerate() {
        // Small pages of a long history take long.
        let smallest = 1 + world.messages.len() / 20;
        for page in [smallest, 33, 100] {
            assert_eq!(world.history(viewer, true, page).await, world.seen(viewer), "back, {page}");
            assert_eq!(world.history(viewer, false, page).await, world.seen(viewer), "on, {page}");
        }
        world.assert_conversation(viewer).await;
        world.assert_replayed(viewer).await;
        assert_eq!(world.recount(viewer).await, [], "the audit of {name}");
    }
    world.assert_verified();
}

fn run(test: impl AsyncFnOnce(&mut World)) {
    run_with(false, test);
}

/// As [`run`], with messages that age.
fn run_ageing(test: impl AsyncFnOnce(&mut World)) {
    run_with(true, test);
}

fn run_with(ages: bool, test: impl AsyncFnOnce(&mut World)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(ages).await;
        test(&mut world).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_reader_sees_what_a_plain_list_of_messages_says(
        ages in any::<bool>(),
        ops in prop::collection::vec(op(), 1..24),
        lost in any::<Index>(),
    ) {
        run_with(ages, async |world: &mut World| {
            for op in ops {
                apply(world, op).await;
            }
            look(world).await;
            world.finish().await;
            look(world).await;
            // A record that is missing without a removal is detected.
            if let Some(lost) = world.lose(lost) {
                assert!(!world.recount(1 - lost).await.is_empty(), "the audit finds no gap");
                assert!(world.verified().iter().any(|kind| kind == "gap"), "no gap is found");
            }
        });
    }
}

#[test]
fn pages_cost_one_read_more_only_where_amendments_exist() {
    run(async |world: &mut World| {
        for _ in 0..100 {
            world.send(0, true).await;
        }
        world.settle().await;
        let first = world.history_reads().await;
        assert_eq!(first.amendments, 0);
        world.replace(3).await;
        let after = world.history_reads().await;
        assert_eq!((after.log, after.amendments), (first.log, 0), "another page is read");
        world.replace(98).await;
        let after = world.history_reads().await;
        assert_eq!((after.log, after.amendments), (first.log, 1));
    });
}

#[test]
fn a_hole_ages_as_its_record_would_have_and_is_not_read_for_again() {
    run_ageing(async |world: &mut World| {
        for _ in 0..5 {
            world.send(0, true).await;
        }
        for index in [1, 2] {
            world.remove(index, Reached::All).await;
        }
        for (aged, unread) in [(0, 2), (1, 2), (2, 2), (3, 1)] {
            world.age_out(aged).await;
            look(world).await;
            assert_eq!(world.unread(1), unread, "{aged} has aged out");
            world.cell(1).await;
            let before = world.node.store().counts();
            world.cell(1).await;
            assert_eq!(world.node.store().counts(), before, "{aged} is looked for again");
        }
    });
}

#[test]
fn a_removed_message_was_sent_when_it_was_sent() {
    run(async |world: &mut World| {
        for _ in 0..5 {
            world.send(0, true).await;
        }
        let sent_ms: Vec<u64> = world.messages.iter().map(|message| message.stored_ms).collect();
        tokio::time::advance(Duration::from_millis(300)).await;
        for index in [1, 4] {
            world.remove(index, Reached::All).await;
        }
        assert!(world.messages[4].stored_ms > sent_ms[4], "it has no carrier");
        assert_eq!(world.times(0, sent_ms[0]).await, sent_ms);
        assert_eq!(world.times(0, sent_ms[1]).await, sent_ms[1..]);
        assert!(world.times(0, sent_ms[4] + 1).await.is_empty(), "a carrier is no message");
    });
}

/// A stub takes the place of its record, so a free place in the stream is examined only if another
/// record is missing.
#[test]
fn the_audit_takes_no_removed_message_for_lost_and_finds_a_loss_between_two() {
    run(async |world: &mut World| {
        for _ in 0..10 {
            world.send(0, true).await;
        }
        for index in [2, 4, 9] {
            world.remove(index, Reached::All).await;
        }
        let audited = world.audited(1).await;
        assert_eq!((audited.corrected, audited.messages), (0, 10), "{audited:?}");
        assert_eq!(audited.differences, []);
        world.lose_at(3);
        let audited = world.audited(1).await;
        assert_eq!((audited.corrected, audited.messages), (1, 9), "{audited:?}");
        assert_eq!(audited.differences, []);
        let cell = world.cell(1).await;
        assert_eq!(cell.lock().totals.all, 6);
    });
}

#[test]
fn an_amendment_that_outlived_its_message_is_not_of_the_next_one_with_its_number() {
    run_ageing(async |world: &mut World| {
        // To remove one that is unread would write the mark above which numbering continues.
        for counts in [true, false, true] {
            world.send(0, counts).await;
        }
        world.replace(0).await;
        world.remove(1, Reached::All).await;
        world.age_out(2).await;
        world.forget();
        for _ in 0..3 {
            world.send(0, true).await;
        }
        assert_eq!(world.messages[4].seq, 2, "the number was not given again");
        look(world).await;
        world.read(3).await;
        world.remove(4, Reached::All).await;
        look(world).await;
    });
}

/// Numbering continues above the mark in the conversation entry, and counting begins anew.
#[test]
fn a_carrier_of_an_aged_message_does_not_precede_the_next_one() {
    run_ageing(async |world: &mut World| {
        for _ in 0..3 {
            world.send(0, true).await;
        }
        let body = json!({ "conversationID": NAMES[0], "status": 2 });
        world.call(NAMES[1], "set_conversation_notification_status", &body).await;
        world.remove(2, Reached::All).await;
        world.age_out(2).await;
        world.forget();
        world.send(0, true).await;
        // The removed one stays among those that were counted and are not unread.
        assert_eq!((world.messages[3].seq, world.messages[3].counted), (4, 2));
        look(world).await;
    });
}

#[test]
fn a_repeat_of_a_removed_message_is_recognized_and_not_stored_again() {
    for is_newest in [true, false] {
        for is_forgotten in [true, false] {
            run(async |world: &mut World| {
                world.send(0, true).await;
                if !is_newest {
                    world.send(0, true).await;
                }
                world.remove(0, Reached::All).await;
                if is_forgotten {
                    world.forget();
                }
                let reply = world.send_again(0).await;
                assert_eq!(reply["code"], 6_000_001, "{reply}");
                assert_eq!(reply["reason"], "local_message_id_reused", "{reply}");
                world.send(0, true).await;
                look(world).await;
            });
        }
    }
}

#[test]
fn a_page_of_amendments_that_is_full_is_refused() {
    run(async |world: &mut World| {
        for _ in 0..20 {
            world.send(0, true).await;
        }
        let large = "x".repeat(AMENDMENTS_BYTES_MAX / 8);
        for index in 0..7 {
            world.try_replace(index, &large).await.expect("there is room");
        }
        let refused = world.try_replace(7, &large).await.expect_err("no room");
        assert!(refused.contains("the page of amendments would have"), "{refused}");
        world.try_replace(7, "small").await.expect("there is room for a small one");
        look(world).await;
    });
}

#[test]
fn a_history_of_which_whole_pages_were_removed_can_be_paged() {
    run(async |world: &mut World| {
        for _ in 0..170 {
            world.send(0, true).await;
        }
        for index in (0..3).chain(20..140).chain(160..170) {
            world.remove(index, Reached::All).await;
        }
        look(world).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        world.send(1, true).await;
        for index in 0..160 {
            world.remove(index, Reached::All).await;
        }
        look(world).await;
        assert_eq!(world.seen(0).len(), 1);
    });
}

#[test]
fn messages_of_an_unreadable_conversation_entry_are_shown_as_amended() {
    run(async |world: &mut World| {
        // Only the entry shows that an unread message no longer counts.
        for counts in [true, false, true] {
            world.send(0, counts).await;
        }
        world.replace(0).await;
        world.remove(1, Reached::All).await;
        for user in 0..2 {
            world.damage_entry(user).await;
            assert_eq!(world.history(user, true, 10).await, world.seen(user));
            // The next change replaces the entry, and names the pages too.
            let body = json!({ "conversationID": NAMES[1 - user], "status": 2 });
            world.call(NAMES[user], "set_conversation_notification_status", &body).await;
            look(world).await;
        }
    });
}

#[test]
fn read_messages_are_shown_as_read() {
    run(async |world: &mut World| {
        world.send(0, true).await;
        world.read(0).await;
        assert_eq!(world.messages[0].receipt, ReceiptStatus::Done);
        look(world).await;
    });
}

/// A message as a reader shows it.
type Shown = (u64, String, u64, u64);

fn shown(message: &Value) -> Shown {
    let number = |field: &str| message[field].as_u64().unwrap_or_default();
    let text = message["message"].as_str().unwrap_or_default().to_owned();
    let reactions = message["reactions"][0]["sumCount"].as_u64().unwrap_or_default();
    (number("messageSeq"), text, number("receiptStatus"), reactions)
}

fn page_config(backwards: bool, anchor: Option<&Value>, count: usize) -> Value {
    json!({ "nextMessage": anchor, "count": count, "reverse": backwards })
}
