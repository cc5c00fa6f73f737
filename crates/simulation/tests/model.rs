//! Drives a node with random calls and compares every reply, event and push with the model of the
//! contract.
//!
//! The model keeps a list of messages and recounts everything each time. It shares no code with the
//! daemon's decisions.

#![expect(clippy::print_stdout, reason = "a run reports its results")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use peerd_simulation::single::{case, drive, messages_that_cross};
use peerd_simulation::{Flaw, unknown_methods};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

const CASES: u32 = 128;
/// The seeds of failed cases, which are tried first in later runs.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model-failed-seeds.txt");
/// The number of cases, one of which must reveal each flaw.
const FLAWED_CASES: u32 = 1600;

#[test]
fn a_node_keeps_the_contract() {
    let config = Config {
        cases: CASES,
        max_shrink_iters: 4000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..Config::default()
    };
    let result = TestRunner::new(config)
        .run(&case(), |case| drive(&case, Flaw::None).map_err(TestCaseError::fail));
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}\n\nwith {case}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Each wrong model, and a case that reveals it. The search begins there, and goes on through all
/// others after the cases have changed.
const FLAWS: [(Flaw, usize); 35] = [
    (Flaw::OwnMessagesCount, 0),
    (Flaw::DeletedStaysUnread, 85),
    (Flaw::MutedMovesTotal, 14),
    (Flaw::HistoryShowsDeleted, 16),
    (Flaw::OneMoreInASecond, 13),
    (Flaw::RepeatsAreForgottenEarly, 622),
    (Flaw::EveryMessageIsTheFirst, 3),
    (Flaw::PushesWakeTheMuted, 760),
    (Flaw::OneMoreSession, 0),
    (Flaw::ReplayGoesBackFurther, 84),
    (Flaw::DeviceCountsTwice, 129),
    (Flaw::DevicesMissTheSame, 13),
    (Flaw::EventsIgnoreSessions, 20),
    (Flaw::BlocksGoByName, 1157),
    (Flaw::BlockedMaySend, 42),
    (Flaw::UnreadMarkStays, 48),
    (Flaw::DeletedIsListed, 21),
    (Flaw::ReadsEverything, 3),
    (Flaw::RevokedStaysUnread, 0),
    (Flaw::EditsAreForgotten, 770),
    (Flaw::ReceiptsIgnorePrivacy, 13),
    (Flaw::ReceiptsAreForgotten, 120),
    (Flaw::HiddenIsShown, 131),
    (Flaw::CustomStatusStays, 81),
    (Flaw::SubscriptionsStay, 5),
    (Flaw::NewIsNotShown, 2),
    (Flaw::ReactsTwice, 1157),
    (Flaw::DeletesOthersReactions, 1157),
    (Flaw::PinsAreUnbounded, 59),
    (Flaw::PinsAreOwn, 2),
    (Flaw::PinsKeepTheirTime, 2),
    (Flaw::OriginalsStay, 966),
    (Flaw::RepliesGoUnnoticed, 966),
    (Flaw::RootsAreForgotten, 960),
    (Flaw::CountsGoUnnoticed, 7),
];

/// The comparison detects a wrong model, so it would detect a wrong node.
#[test]
fn a_model_with_a_flaw_is_detected() {
    let mut runner = TestRunner::deterministic();
    let cases: Vec<_> = (0..FLAWED_CASES)
        .map(|_| case().new_tree(&mut runner).expect("a case").current())
        .collect();
    let (next, undetected) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((flaw, first)) = FLAWS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut order = (0..cases.len()).map(|at| (first + at) % cases.len());
            match order.find(|at| drive(&cases[*at], *flaw).is_err()) {
                Some(at) => println!("{flaw:?} is detected by case {at}"),
                None => undetected.lock().expect("no panic").push(*flaw),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    assert_eq!(undetected.into_inner().expect("no panic"), [] as [Flaw; 0], "not detected");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn messages_that_cross_each_other_are_all_in_the_history() {
    for partitions in [1, 2, 8] {
        messages_that_cross(partitions).await;
    }
}

#[test]
fn the_model_knows_every_method() {
    assert_eq!(unknown_methods(), [""; 0]);
}
