//! The span of a call, and calls after a lost lease.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tracing_subscriber::fmt::format::FmtSpan;

use super::*;
use crate::clock::Clock;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::store::memory::Memory;
use peerd_core::limits::Limits;

/// Collects the trace.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<u8>>>);

impl Trace {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_span_has_method_partition_and_outcome_but_no_user_and_no_content() {
    let trace = Trace::default();
    let writer = trace.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _traced = tracing::subscriber::set_default(subscriber);
    let clock = Clock::simulated(WALL_MS);
    let store = Memory::new(move || clock.wall_ms());
    let node = fake::node(store, Limits::default(), clock).await;
    // Another test may register the span at this moment without a subscriber. So it is registered
    // first, and the interest is rebuilt.
    node.handle(incoming("alice", "heartbeat", &json!({}))).await;
    tracing::callsite::rebuild_interest_cache();
    node.handle(incoming("alice", "login", &json!({ "userName": "the name" }))).await;
    let body = json!({ "toUserID": "bob", "message": { "type": 1, "message": "the secret" } });
    node.handle(incoming("alice", "send_peer_message", &body)).await;
    node.handle(incoming("alice", "query_conversation", &json!({}))).await;
    node.settle().await;
    let text = trace.text();
    let spans: Vec<&str> = text.lines().filter(|line| line.contains("close")).collect();
    for (method, outcome) in
        [("login", "ok"), ("send_peer_message", "ok"), ("query_conversation", "invalid_parameter")]
    {
        let span = spans.iter().find(|span| span.contains(&format!("method=\"{method}\"")));
        let span = span.unwrap_or_else(|| panic!("no span of {method} in {text}"));
        assert!(span.contains(&format!("outcome=\"{outcome}\"")), "{span}");
        assert!(span.contains("partition=") && span.contains("duration="), "{span}");
    }
    for private in ["alice", "bob", "the name", "the secret"] {
        assert!(spans.iter().all(|span| !span.contains(private)), "{private} in {text}");
    }
}

#[test]
fn a_lost_lease_means_what_the_kind_of_the_command_says() {
    let after = |method: Method| lost_lease(method.kind());
    assert_eq!(after(Method::Heartbeat), Some(NO_OWNER));
    assert_eq!(after(Method::QueryHistoryMessage), Some(NO_OWNER));
    assert_eq!(after(Method::Login), Some(Failure::OutcomeUnknown));
    assert_eq!(after(Method::Logout), Some(Failure::OutcomeUnknown));
    assert_eq!(after(Method::DeleteMessages), Some(Failure::OutcomeUnknown));
    assert_eq!(after(Method::SendPeerMessage), None);
    assert_eq!(after(Method::SendMessage), None);
}
