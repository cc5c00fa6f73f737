//! Every reader over random histories of messages, amendments, carriers and deleted records, held
//! against a plain list of messages.

mod counting;
mod pair;
mod readers;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use self::pair::{NAMES, Reached, World};
use crate::storage::amendments::PAGE_BYTES_MAX;
use peerd_core::message::ReceiptStatus;

/// What happens to a history.
#[derive(Clone, Debug)]
enum Op {
    /// So many messages, from one or the other.
    Send { from: usize, count: usize, counts: bool },
    /// Messages that the two send in turn.
    Talk(usize),
    /// A message gets other content.
    Replace(Index),
    /// A message was read.
    Read(Index),
    /// A message is removed; or the owner dies on the way, and what it began is done later.
    Remove(Index, Reached),
    /// So many messages in a row are removed: whole pages, perhaps.
    RemoveRun(Index, usize),
    /// The newest message of one is removed.
    RemoveNewest(usize, Reached),
    /// Somebody deletes a message for themselves.
    Delete(usize, Index),
    /// What was begun is done.
    Finish,
    /// All readers are asked.
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
        4 => (index(), reached()).prop_map(|(which, reached)| Op::Remove(which, reached)),
        1 => (index(), 2..80_usize).prop_map(|(which, count)| Op::RemoveRun(which, count)),
        3 => (0..2_usize, reached()).prop_map(|(of, reached)| Op::RemoveNewest(of, reached)),
        1 => (0..2_usize, index()).prop_map(|(who, which)| Op::Delete(who, which)),
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
        Op::Finish => world.finish().await,
        Op::Look => look(world).await,
        Op::Replace(_) | Op::Read(_) | Op::Remove(..) | Op::RemoveRun(..) | Op::Delete(..) => {}
    }
}

/// Asks every reader.
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new().await;
        test(&mut world).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_reader_sees_what_a_plain_list_of_messages_says(
        ops in prop::collection::vec(op(), 1..24),
        lost in any::<Index>(),
    ) {
        run(async |world: &mut World| {
            for op in ops {
                apply(world, op).await;
            }
            look(world).await;
            world.finish().await;
            look(world).await;
            // A record that is gone without being removed is found.
            if let Some(lost) = world.lose(lost) {
                assert!(!world.recount(1 - lost).await.is_empty(), "the audit finds no gap");
                assert!(world.verified().iter().any(|kind| kind == "gap"), "no gap is found");
            }
        });
    }
}

#[test]
fn where_nothing_was_amended_nothing_more_is_read_and_a_page_costs_one_read_where_something_was() {
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
        let large = "x".repeat(PAGE_BYTES_MAX / 8);
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
fn what_was_read_is_shown_as_read() {
    run(async |world: &mut World| {
        world.send(0, true).await;
        world.read(0).await;
        assert_eq!(world.messages[0].receipt, ReceiptStatus::Done);
        look(world).await;
    });
}

/// What a reader shows of a message.
type Shown = (u64, String, u64);

fn shown(message: &Value) -> Shown {
    let number = |field: &str| message[field].as_u64().unwrap_or_default();
    let text = message["message"].as_str().unwrap_or_default().to_owned();
    (number("messageSeq"), text, number("receiptStatus"))
}

fn page_config(backwards: bool, anchor: Option<&Value>, count: usize) -> Value {
    json!({ "nextMessage": anchor, "count": count, "reverse": backwards })
}
