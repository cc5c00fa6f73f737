//! The trace of the call in progress.
//!
//! A caller asks for a trace with the header `traceparent` of its request, and `trace.sample_ratio`
//! picks some of the other calls. Everything that such a call leads to belongs to its trace: its
//! log lines, the records that it appends, its requests to other instances, its events and its
//! reply. The trace is a local of the task that works for the call, and of the tasks that this one
//! starts, so no function passes it on.

#[cfg(feature = "otel")]
mod otel;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use peerd_core::id::Partition;
use peerd_protocol::trace::TraceParent;
use tracing::{Instrument as _, Span, field};

/// The target of all spans of traces, so that a log of any level has them.
pub(crate) const TARGET: &str = "peerd::trace";

tokio::task_local! {
    static CURRENT: Trace;
}

/// A trace, at the span of a call or of a request of another instance.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    span: Span,
    /// The position that is sent on.
    position: Option<TraceParent>,
}

/// Picks calls whose caller does not ask for a trace.
static SAMPLER: OnceLock<Sampler> = OnceLock::new();

struct Sampler {
    ratio: f64,
    seen: AtomicU64,
}

/// Begins to pick this share of the calls whose caller does not ask for a trace.
#[cfg(feature = "otel")]
pub(crate) fn sample(ratio: f64) {
    // The process does it once, when it sets up its log.
    let _ = SAMPLER.set(Sampler { ratio, seen: AtomicU64::new(0) });
}

impl Sampler {
    /// Whether the next call is picked: as evenly as the ratio allows.
    #[expect(clippy::cast_precision_loss, reason = "of counts beyond 2^53")]
    fn picks(&self) -> bool {
        if self.ratio <= 0.0 {
            return false;
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        let picked = |calls: u64| (calls as f64 * self.ratio).floor();
        picked(seen + 1) > picked(seen)
    }
}

impl Trace {
    /// The trace of an incoming message, if it has one.
    pub(crate) fn of(header: Option<TraceParent>) -> Option<Self> {
        if header.is_none() && !SAMPLER.get().is_some_and(Sampler::picks) {
            return None;
        }
        // The names are those of OpenTelemetry's conventions where it has one.
        let span = tracing::info_span!(
            target: TARGET,
            "request",
            otel.kind = "server",
            otel.status_code = field::Empty,
            messaging.system = "nats",
            trace_id = field::Empty,
            method = field::Empty,
            partition = field::Empty,
            user = field::Empty,
            outcome = field::Empty,
            duration = field::Empty,
        );
        let position = position(&span, header);
        if let Some(position) = position {
            span.record("trace_id", field::display(format_args!("{:032x}", position.trace_id)));
        }
        Some(Self { span, position })
    }

    /// The trace of the task that runs.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The position that messages of the task that runs are sent with.
    pub(crate) fn header() -> Option<TraceParent> {
        CURRENT.try_with(|trace| trace.position).ok().flatten()
    }

    /// Names the span.
    pub(crate) fn is_request(&self, method: &'static str, partition: Partition) {
        #[cfg(feature = "otel")]
        otel::name(&self.span, method);
        self.span.record("method", method);
        self.span.record("partition", partition.0);
    }

    /// The span of the call or request.
    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }

    /// A span for an append to a stream.
    pub(crate) fn append(&self, stream: &str) -> Span {
        tracing::info_span!(target: TARGET, parent: &self.span, "append", stream)
    }

    /// Calls a function as a part of the trace, if there is one.
    pub(crate) fn scope<T>(trace: Option<Self>, function: impl FnOnce() -> T) -> T {
        let Some(trace) = trace else { return function() };
        let span = trace.span.clone();
        CURRENT.sync_scope(trace, || span.in_scope(function))
    }

    /// Runs a future as a part of the trace.
    pub(crate) async fn follow<F: Future>(self, future: F) -> F::Output {
        let span = self.span.clone();
        CURRENT.scope(self, future.instrument(span)).await
    }
}

/// The position that is sent on: of the span, where spans are exported, and otherwise the caller's.
fn position(span: &Span, header: Option<TraceParent>) -> Option<TraceParent> {
    #[cfg(feature = "otel")]
    return otel::begin(span, header).or(header);
    #[cfg(not(feature = "otel"))]
    return {
        let _ = span;
        header
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(ratio: f64, calls: usize) -> usize {
        let sampler = Sampler { ratio, seen: AtomicU64::new(0) };
        (0..calls).filter(|_| sampler.picks()).count()
    }

    #[test]
    fn the_ratio_of_the_calls_is_picked() {
        let counts = [(0.0, 0), (0.01, 10), (0.3, 300), (1.0, 1000)];
        for (ratio, expected) in counts {
            assert_eq!(picked(ratio, 1000), expected, "{ratio}");
        }
    }

    #[tokio::test]
    async fn tasks_and_functions_of_a_trace_have_it_and_others_do_not() {
        let header = TraceParent { trace_id: 1, span_id: 2, flags: 1 };
        let trace = Trace::of(Some(header)).expect("a trace");
        assert_eq!(Trace::header(), None);
        assert_eq!(Trace::scope(Some(trace.clone()), Trace::header), Some(header));
        assert_eq!(Trace::scope(None, Trace::header), None);
        assert_eq!(trace.follow(async { Trace::header() }).await, Some(header));
        assert!(Trace::of(None).is_none());
    }
}
