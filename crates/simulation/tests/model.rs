//! Drives a node with random calls and compares every reply, event and push with the model of the
//! contract.
//!
//! The model keeps a list of messages and recounts everything each time. It shares no code with the
//! daemon's decisions.

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

/// The comparison detects a wrong model, so it would detect a wrong node.
#[test]
fn a_model_with_a_flaw_is_detected() {
    let flaws = [
        Flaw::OwnMessagesCount,
        Flaw::DeletedStaysUnread,
        Flaw::MutedMovesTotal,
        Flaw::HistoryShowsDeleted,
        Flaw::OneMoreInASecond,
        Flaw::RepeatsAreForgottenEarly,
        Flaw::EveryMessageIsTheFirst,
        Flaw::PushesWakeTheMuted,
        Flaw::OneMoreSession,
        Flaw::ReplayGoesBackFurther,
        Flaw::DeviceCountsTwice,
        Flaw::DevicesMissTheSame,
        Flaw::EventsIgnoreSessions,
        Flaw::BlocksGoByName,
        Flaw::BlockedMaySend,
        Flaw::UnreadMarkStays,
        Flaw::DeletedIsListed,
        Flaw::ReadsEverything,
        Flaw::RevokedStaysUnread,
        Flaw::EditsAreForgotten,
        Flaw::ReceiptsIgnorePrivacy,
        Flaw::ReceiptsAreForgotten,
        Flaw::HiddenIsShown,
        Flaw::CustomStatusStays,
        Flaw::SubscriptionsStay,
        Flaw::NewIsNotShown,
        Flaw::ReactsTwice,
        Flaw::DeletesOthersReactions,
        Flaw::PinsAreUnbounded,
        Flaw::PinsAreOwn,
        Flaw::PinsKeepTheirTime,
        Flaw::OriginalsStay,
        Flaw::RepliesGoUnnoticed,
        Flaw::RootsAreForgotten,
        Flaw::CountsGoUnnoticed,
    ];
    let mut runner = TestRunner::deterministic();
    let cases: Vec<_> = (0..FLAWED_CASES)
        .map(|_| case().new_tree(&mut runner).expect("a case").current())
        .collect();
    for flaw in flaws {
        let is_caught = cases.iter().any(|case| drive(case, flaw).is_err());
        assert!(is_caught, "{flaw:?} is not detected");
    }
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
