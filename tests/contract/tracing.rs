//! A message can be followed through two instances.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::world::{World, text_to};
use crate::support::{Client, Nats, Owners, Peerd, login, partition};

const PARTITIONS: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(20);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector that takes OTLP over HTTP.
struct Collector {
    address: String,
    exported: mpsc::UnboundedReceiver<ResourceSpans>,
    task: AbortHandle,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (export, exported) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let export = export.clone();
                let take = service_fn(move |request: Request<Incoming>| {
                    let export = export.clone();
                    async move {
                        assert_eq!(request.uri().path(), "/v1/traces");
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let body = ExportTraceServiceRequest::decode(body).unwrap();
                        for spans in body.resource_spans {
                            // The test may have ended.
                            let _ = export.send(spans);
                        }
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), take));
            }
        });
        Self { address, exported, task: task.abort_handle() }
    }

    /// The exported spans until `is_whole`, each with the process that made it.
    async fn until(&mut self, is_whole: impl Fn(&[(i64, Span)]) -> bool) -> Vec<(i64, Span)> {
        let mut all = Vec::new();
        while !is_whole(&all) {
            let next = timeout(DEADLINE, self.exported.recv()).await;
            let spans = next.unwrap_or_else(|_| panic!("only {all:?}")).unwrap();
            let resource = spans.resource.unwrap();
            let attribute = |key: &str| {
                let found = resource.attributes.iter().find(|found| found.key == key);
                found.and_then(|found| found.value.clone()?.value)
            };
            let name = Attribute::StringValue("peerd".to_owned());
            assert_eq!(attribute("service.name"), Some(name));
            let Some(Attribute::IntValue(process)) = attribute("process.pid") else {
                panic!("no process: {resource:?}")
            };
            for scope in spans.scope_spans {
                all.extend(scope.spans.into_iter().map(|span| (process, span)));
            }
        }
        all
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

#[tokio::test]
async fn one_message_is_followed_through_two_instances() {
    let (nats, mut collector) = (Nats::start().await, Collector::start().await);
    let settings = [
        ("PEERD__TRACE__ENDPOINT", collector.address.as_str()),
        ("PEERD__LOG__FORMAT", "json"),
        // It exports every second.
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let instances = [
        Peerd::start_with(&nats.url(), &settings).await,
        Peerd::start_with(&nats.url(), &settings).await,
    ];
    let pids = instances.each_ref().map(Peerd::pid);
    let owners = Owners::connect(&[nats.url()], PARTITIONS).await.unwrap();
    let shared = async {
        loop {
            let owned = owners.read().await.unwrap();
            if pids.iter().all(|pid| owned.held_by(*pid) > 0) {
                return owned;
            }
        }
    };
    let owned = timeout(DEADLINE, shared).await.expect("each owns some");
    let of = |pid: u32| {
        let mut users = (0..).map(|number| format!("user{number}"));
        users.find(|user| owned.pid_of(partition(user, PARTITIONS)) == Some(pid)).unwrap()
    };
    let [from, to] = pids.map(of);
    let client = Client::connect(&nats.url()).await;
    for user in [&from, &to] {
        login(&client, user).await;
    }
    let mut events = client.nats().subscribe("peer.event.*.peer_message_received").await.unwrap();
    client.round_trip().await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let body = serde_json::to_vec(&text_to(&to, "a secret of ours")).unwrap();
    let subject = format!("peer.api.{from}.send_peer_message");
    let sending = client.nats().request_with_headers(subject, headers, body.into());
    let reply = timeout(DEADLINE, sending).await.unwrap().unwrap();
    let reply = reply.headers.unwrap();
    assert!(reply.get("Nats-Service-Error").is_none(), "{reply:?}");
    let event = timeout(DEADLINE, events.next()).await.unwrap().unwrap();
    let position = event.headers.unwrap().get("traceparent").unwrap().to_string();
    assert!(position.starts_with(&format!("00-{TRACE}-")), "{position}");
    assert!(!position.contains(CALLER), "below a span of peerd");
    // The records have it, too.
    let jetstream = async_nats::jetstream::new(client.nats().clone());
    let name = format!("PEER_LOG_{}", partition(&to, PARTITIONS));
    let log = jetstream.get_stream(name).await.unwrap();
    let subject = format!("peer.log.*.{to}.{from}");
    let record = log.get_last_raw_message_by_subject(&subject).await.unwrap();
    assert!(record.headers.get("traceparent").unwrap().as_str().contains(TRACE));

    let is_whole = |all: &[(i64, Span)]| {
        ["owner_request.deliver", "send_peer_message"]
            .iter()
            .all(|name| all.iter().any(|(_, span)| span.name == *name))
    };
    let all = collector.until(is_whole).await;
    assert!(all.iter().all(|(_, span)| hex(&span.trace_id) == TRACE), "only what was asked for");
    let by_id = |id: &[u8]| all.iter().find(|(_, span)| span.span_id == id);
    let (there, delivered) =
        all.iter().find(|(_, span)| span.name == "owner_request.deliver").unwrap();
    let (here, call) = by_id(&delivered.parent_span_id).unwrap();
    assert_eq!(call.name, "send_peer_message");
    // The call may have been passed on to the sender's owner.
    let first = by_id(&call.parent_span_id).map_or(call, |(_, passed_on)| passed_on);
    assert_eq!(hex(&first.parent_span_id), CALLER);
    assert_ne!(here, there, "another process");
    let (appended_by, _) = all
        .iter()
        .find(|(_, span)| span.name == "append" && span.parent_span_id == delivered.span_id)
        .unwrap();
    assert_eq!(appended_by, there);
    let text = format!("{all:?}");
    assert!(!text.contains("a secret") && !text.contains(from.as_str()), "{text}");
}

#[tokio::test]
async fn a_share_of_the_other_calls_is_traced_and_a_missing_collector_is_logged_once() {
    let mut collector = Collector::start().await;
    let world = World::with(&[
        ("PEERD__TRACE__ENDPOINT", collector.address.as_str()),
        ("PEERD__TRACE__SAMPLE_RATIO", "0.5"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ])
    .await;
    world.login(&["alice"]).await;
    for _ in 0..9 {
        world.ok("alice", "heartbeat", json!({})).await;
    }
    let all = collector.until(|all| all.len() >= 5).await;
    assert_eq!(all.len(), 5, "of ten calls: {all:?}");
    assert!(all.iter().all(|(_, span)| span.parent_span_id.is_empty()));
    drop(collector);
    let missing = "cannot export traces";
    timeout(DEADLINE, async {
        while !world.peerd.log().contains(missing) {
            world.ok("alice", "heartbeat", json!({})).await;
        }
    })
    .await
    .expect("the log says that it is gone");
    assert_eq!(world.peerd.log().matches(missing).count(), 1);
}

#[tokio::test]
async fn a_line_of_a_traced_call_names_the_trace_without_a_collector() {
    let mut world = World::with(&[("PEERD__LOG__FORMAT", "json")]).await;
    world.login(&["alice", "bob"]).await;
    let mut events = world.client.nats().subscribe("peer.event.bob.>").await.unwrap();
    world.client.round_trip().await;
    let mut headers = async_nats::HeaderMap::new();
    let position = format!("00-{TRACE}-{CALLER}-00");
    headers.insert("traceparent", position.as_str());
    let body = serde_json::to_vec(&text_to("bob", "hello")).unwrap();
    let subject = "peer.api.alice.send_peer_message";
    let sending = world.client.nats().request_with_headers(subject, headers, body.into());
    timeout(DEADLINE, sending).await.unwrap().unwrap();
    let event = timeout(DEADLINE, events.next()).await.unwrap().unwrap();
    assert_eq!(event.headers.unwrap().get("traceparent").unwrap().as_str(), position);
    // One that is no position is no trace, and no error.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("traceparent", "00-zz");
    let body = serde_json::to_vec(&text_to("bob", "again")).unwrap();
    let sending = world.client.nats().request_with_headers(subject, headers, body.into());
    let reply = timeout(DEADLINE, sending).await.unwrap().unwrap();
    assert!(reply.headers.unwrap().get("traceparent").is_none());
    assert!(world.peerd.is_running());
}
