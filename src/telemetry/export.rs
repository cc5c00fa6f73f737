//! The export of traces by OTLP over HTTP.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Tracer};
use tokio::runtime::Handle;

use super::Traces;
use crate::http::client::Client;

/// The longest time for an export.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time in which the last spans are exported when the process ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a response that are read.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The export of traces, which runs in a thread of its own.
pub(super) struct Export(SdkTracerProvider);

impl Export {
    /// Begins to export.
    pub(super) fn start(traces: &Traces) -> Result<Self, String> {
        let endpoint = traces.endpoint.clone();
        let client = Client::new(traces.tls_ca_file.as_deref())?;
        let sender = Sender { client, endpoint, runtime: Handle::current(), fails: false.into() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_endpoint(format!("{}/v1/traces", traces.endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add to it.
        let process = KeyValue::new("process.pid", i64::from(std::process::id()));
        let resource = Resource::builder().with_attributes([version, process]);
        let has_name = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let resource = if has_name { resource } else { resource.with_service_name("peerd") };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            // The caller decides, and of calls without a trace those that were picked have a span.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource.build())
            .build();
        Ok(Self(provider))
    }

    pub(super) fn tracer(&self) -> Tracer {
        self.0.tracer("peerd")
    }

    /// Exports what is left.
    pub(super) async fn end(self) {
        // The failure was logged by the sender.
        let end = move || self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
        let _ = tokio::task::spawn_blocking(end).await;
    }
}

/// Sends spans. The thread of the export has no runtime: the requests run on that of the daemon.
#[derive(Debug)]
struct Sender {
    client: Client,
    endpoint: String,
    runtime: Handle,
    fails: AtomicBool,
}

impl Sender {
    /// Logs the beginning and the end of a time in which nothing can be exported.
    fn note(&self, problem: Option<&str>) {
        let endpoint = &self.endpoint;
        let failed = self.fails.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !failed => tracing::warn!(
                endpoint,
                problem,
                remedy = "see whether the collector runs and takes OTLP over HTTP there",
                "cannot export traces: they are lost until it is possible"
            ),
            None if failed => tracing::info!(endpoint, "traces are exported again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = async move {
            let sent = client.send(request, RESPONSE_BYTES_MAX);
            let late = |_| format!("no answer within {} s", TIMEOUT.as_secs());
            tokio::time::timeout(TIMEOUT, sent).await.map_err(late)?
        };
        let sent = self.runtime.spawn(sending).await?;
        let problem = match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("status {}", response.status())),
            Err(problem) => Some(problem.clone()),
        };
        self.note(problem.as_deref());
        sent.map_err(Into::into)
    }
}
