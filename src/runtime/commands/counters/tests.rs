use std::collections::BTreeSet;

use super::*;
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::Failure;

const SEND: Called = Called::Method(Method::SendPeerMessage);

#[test]
fn calls_are_counted_by_method_and_outcome_and_summed_for_service_discovery() {
    let counters = Counters::default();
    let took = Duration::from_millis(2);
    counters.answered(SEND, took, None);
    counters.answered(SEND, took, None);
    counters.answered(SEND, took, Some(&Rejection::NotLoggedIn.into()));
    counters.refused(Called::Unknown, &Method::unknown("x").into());
    counters.refused(SEND, &Failure::Overloaded { retry_after_ms: 1 }.into());
    counters.refused(SEND, &Failure::NoOwner { retry_after_ms: 1 }.into());
    let answered = |method, code, reason, count| Answered { method, code, reason, count };
    let all: Vec<Answered> = counters.all().collect();
    assert_eq!(
        all,
        [
            answered("send_peer_message", 0, "ok", 2),
            answered("send_peer_message", 6_000_121, "not_logged_in", 1),
            answered("send_peer_message", 6_000_007, "overloaded", 2),
            answered("unknown", 6_000_001, "unknown_method", 1),
        ]
    );
    let totals = counters.totals();
    assert_eq!((totals.requests, totals.errors), (6, 4));
    assert_eq!((totals.processing_ns, &*totals.last_error), (6_000_000, "6000007:overloaded"));
    let durations: Vec<_> = counters.durations().map(|(method, of)| (method, of.count())).collect();
    assert_eq!(durations, [("send_peer_message", 3)]);
}

#[test]
fn every_method_has_a_place_and_a_label_of_its_own() {
    let methods = Method::ALL.iter().copied().map(Called::Method);
    let called = methods.chain([Called::Unsupported, Called::Unknown]);
    assert!(called.map(place).eq(0..METHODS));
    assert_eq!(labels().collect::<BTreeSet<_>>().len(), METHODS);
}

/// The reasons are those of docs/protocol.md: each line of its table of errors has one.
#[test]
fn there_is_room_for_every_reason() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md");
    let page = std::fs::read_to_string(page).expect("the reference");
    let row = |line: &str| {
        let (code, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
        code.parse::<u32>().ok()?;
        Some(rest.split('`').nth(1)?.to_owned())
    };
    let reasons: BTreeSet<String> = page.lines().filter_map(row).collect();
    assert!(reasons.contains("not_logged_in") && reasons.contains("overloaded"), "{reasons:?}");
    assert!(reasons.len() < ERRORS_MAX, "{}", reasons.len());
}
