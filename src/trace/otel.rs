//! The position of a span in the trace that is exported.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use peerd_protocol::trace::TraceParent;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Begins a span below the caller's. `None` if spans are not exported.
pub(super) fn begin(span: &Span, header: Option<TraceParent>) -> Option<TraceParent> {
    if let Some(TraceParent { trace_id, span_id, flags }) = header {
        let (trace_id, span_id) = (TraceId::from(trace_id), SpanId::from(span_id));
        let flags = TraceFlags::new(flags);
        let caller = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
        let caller = Context::new().with_remote_span_context(caller);
        // It fails where spans are not exported.
        span.set_parent(caller).ok()?;
    }
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| TraceParent {
        trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(span.span_id().to_bytes()),
        flags: span.trace_flags().to_u8(),
    })
}

/// Names a span that has begun: `otel.name` is read before that only.
pub(super) fn name(span: &Span, name: &'static str) {
    span.context().span().update_name(name);
}
