//! Service discovery (NATS ADR-32).
//!
//! async-nats has a service module, but it would send our error replies without a body, and would
//! count them wrongly if we sent them ourselves (`docs/decisions/0003-service-discovery.md`).

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use peerd_dataplane::{Client, Message, Publish};
use tokio::time::{Instant, timeout_at};

use peerd_protocol::discovery::{
    DISCOVERY_PREFIX, EndpointInfo, EndpointStats, Gauges, Identity, Info, Ping, QUEUE_GROUP,
    SERVICE, Stats, StatsAnswer,
};
use peerd_protocol::subject::Subjects;

const DESCRIPTION: &str = "One-to-one messaging for NATS";

/// The numbers of all calls since the instance started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls answered.
    pub requests: u64,
    /// Calls answered with an error.
    pub errors: u64,
    /// The sum over all calls of the nanoseconds from intake to reply.
    pub processing_ns: u64,
    /// The code and reason of the last error; empty: there was none.
    pub last_error: String,
}

fn stats(endpoint: &EndpointInfo, totals: Totals, data: Gauges) -> EndpointStats {
    let Totals { requests, errors, processing_ns, last_error } = totals;
    EndpointStats {
        name: endpoint.name,
        subject: endpoint.subject.clone(),
        queue_group: QUEUE_GROUP,
        num_requests: requests,
        num_errors: errors,
        last_error,
        processing_time: processing_ns,
        average_processing_time: processing_ns.checked_div(requests).unwrap_or_default(),
        data,
    }
}

/// The report of this instance in service discovery.
pub struct Discovery {
    /// The service's name, version and instance ID.
    pub identity: Identity,
    /// The start time, RFC 3339.
    pub started: String,
    /// The endpoint that takes calls.
    pub endpoint: EndpointInfo,
    /// Returns the endpoint's numbers and the instance's current gauges.
    pub statistics: Arc<dyn Fn() -> (Totals, Gauges) + Send + Sync>,
    /// Recognizes the subjects to which nothing may be published as a reply.
    pub subjects: Subjects,
}

#[derive(Clone, Copy)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Discovery {
    /// Answers discovery requests until the connection closes.
    pub async fn serve(self, client: Client) {
        let mut requests = Vec::new();
        for (verb, word) in [(Verb::Ping, "PING"), (Verb::Info, "INFO"), (Verb::Stats, "STATS")] {
            let all = format!("{DISCOVERY_PREFIX}.{word}");
            let ours = format!("{all}.{SERVICE}");
            let this = format!("{ours}.{}", self.identity.id);
            for subject in [all, ours, this] {
                let subscription = client.subscribe(&subject, None);
                let next = stream::unfold(subscription, async |mut subscription| {
                    let request = subscription.next().await?;
                    Some((request, subscription))
                });
                requests.push(next.map(move |request| (verb, request)).boxed());
            }
        }
        let mut requests = stream::select_all(requests);
        while let Some((verb, request)) = requests.next().await {
            self.answer(&client, verb, &request);
        }
    }

    fn answer(&self, client: &Client, verb: Verb, request: &Message) {
        let Some(reply) = &request.reply else { return };
        // A requester must not make peerd publish to a subject that only peerd may publish to.
        if self.subjects.is_reserved_bytes(reply) {
            return;
        }
        let identity = &self.identity;
        let body = match verb {
            Verb::Ping => {
                serde_json::to_vec(&Ping { kind: "io.nats.micro.v1.ping_response", identity })
            }
            Verb::Info => serde_json::to_vec(&Info {
                kind: "io.nats.micro.v1.info_response",
                identity,
                description: DESCRIPTION,
                endpoints: std::slice::from_ref(&self.endpoint),
            }),
            Verb::Stats => {
                let (totals, gauges) = (self.statistics)();
                serde_json::to_vec(&Stats {
                    kind: "io.nats.micro.v1.stats_response",
                    identity,
                    started: &self.started,
                    endpoints: &[stats(&self.endpoint, totals, gauges)],
                })
            }
        };
        match body {
            Ok(body) => {
                let answer = Publish { subject: reply, payload: &body, ..Publish::default() };
                // The requester repeats the request if the answer is lost.
                let _ = client.try_publish(&answer);
            }
            Err(error) => tracing::error!(%error, "cannot encode a discovery answer"),
        }
    }
}

/// Asks all instances of a deployment for their statistics. Returns the answers that arrived until
/// all of `expected` had answered, or until the deadline.
pub async fn ask(
    client: &async_nats::Client,
    subject_prefix: &str,
    mut expected: BTreeSet<&str>,
    deadline: Instant,
) -> Result<Vec<StatsAnswer>, async_nats::Error> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    let subject = format!("{DISCOVERY_PREFIX}.STATS.{SERVICE}");
    client.publish_with_reply(subject, inbox, bytes::Bytes::new()).await?;
    let mut stats = Vec::new();
    while let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await {
        if answer.status.is_some() {
            // No responders: no instance serves discovery.
            break;
        }
        if let Some(answer) = StatsAnswer::read(&answer.payload, subject_prefix) {
            expected.remove(answer.id.as_str());
            stats.push(answer);
            if expected.is_empty() {
                break;
            }
        }
    }
    Ok(stats)
}
