//! The metrics. docs/monitoring.md explains each of them; a test compares the two.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Look, Monitor, Sources};
use crate::callout::counters::Counters;
use crate::metrics::{Families, of};
use crate::runtime::commands::counters::Answered;
use crate::runtime::health::{Health, Reason};
use crate::store::trouble::Cause;
use peerd_protocol::discovery::{Gauges, THIS_BUILD};

impl Collector for Monitor {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (seen, health) = (self.seen(), self.health());
        let mut families = Families::new(encoder);
        self.encode_instance(&mut families, &health)?;
        if let Some(sources) = self.sources.get() {
            encode_calls(&mut families, sources)?;
            encode_store(&mut families, sources, &seen)?;
            encode_logins(&mut families, &sources.logins)?;
        }
        encode_cluster(&mut families, &seen, self.partitions)?;
        encode_messages(&mut families, &seen)
    }
}

impl Monitor {
    fn encode_instance(&self, families: &mut Families<'_>, health: &Health) -> fmt::Result {
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("build", THIS_BUILD)];
        families.gauges("peerd_info", "The release.", [(Some(labels), 1)])?;
        let help = "When the process started, in seconds since 1970.";
        families.gauge("peerd_start_time_seconds", help, self.started_ms / 1000)?;
        let help = "Whether the tasks of the instance make progress.";
        families.gauge("peerd_live", help, health.is_live.into())?;
        families.gauge("peerd_ready", "Whether it serves calls.", health.is_ready().into())?;
        let reason = |reason: Reason| (of("reason", reason.name()), u64::from(health.has(reason)));
        families.gauges("peerd_unready", "Why it is not ready.", Reason::ALL.map(reason))
    }
}

fn encode_calls(families: &mut Families<'_>, sources: &Sources) -> fmt::Result {
    let answered = sources.counters.all().map(|Answered { method, code, reason, count }| {
        let code = code.to_string();
        let label = |name: &'static str, value: &str| (name, value.to_owned());
        let labels = [label("method", method), label("code", &code), label("reason", reason)];
        (Some(labels), count)
    });
    families.counters("peerd_calls", "Answered calls.", answered)?;
    let help = "The time from the arrival of a call to its reply.";
    families.durations("peerd_call_duration_seconds", help, "method", sources.counters.durations())
}

fn encode_store(families: &mut Families<'_>, sources: &Sources, seen: &Look) -> fmt::Result {
    let help = "How long operations of the store take.";
    families.durations("peerd_store_wait_seconds", help, "operation", sources.waits.durations())?;
    let failures = sources.waits.failures();
    let failures = failures.map(|(operation, count)| (of("operation", operation), count));
    families.counters("peerd_store_failures", "Failed operations of the store.", failures)?;
    let troubles = Cause::KINDS.map(|kind| {
        let count = seen.troubles.iter().filter(|trouble| trouble.kind == kind).count();
        (of("cause", kind), number(count))
    });
    let help = "Problems of the store that do not pass by themselves.";
    families.gauges("peerd_store_troubles", help, troubles)?;
    let help = "Stored records that were met in the last 15 minutes and cannot be read.";
    families.gauge("peerd_unreadable_records", help, seen.gauges.unreadable_records)
}

fn encode_logins(families: &mut Families<'_>, logins: &Counters) -> fmt::Result {
    let requests = logins.requests().map(|(outcome, count)| (of("outcome", outcome), count));
    let help = "Logins by token: authorization requests of nats-servers.";
    families.counters("peerd_callout_requests", help, requests)?;
    let help = "The time from the arrival of an authorization request to its answer.";
    let durations = logins.durations();
    families.durations("peerd_callout_duration_seconds", help, "outcome", durations)?;
    let help = "Keys with which tokens are verified.";
    families.gauge("peerd_callout_keys", help, number(logins.keys()))?;
    let help = "Failed attempts to renew these keys.";
    families.counter("peerd_callout_key_failures", help, logins.fetches_failed())
}

fn encode_cluster(families: &mut Families<'_>, seen: &Look, partitions: u16) -> fmt::Result {
    let Gauges { partitions: owned, users_in_memory, tasks, .. } = seen.gauges;
    families.gauge("peerd_partitions", "Partitions of the deployment.", partitions.into())?;
    families.gauge("peerd_partitions_owned", "Partitions of this instance.", owned)?;
    let help = "Partitions without an owner that answers, as this instance sees it.";
    families.gauge("peerd_partitions_without_owner", help, number(seen.without_owner))?;
    families.gauge("peerd_users_in_memory", "Users in memory.", users_in_memory)?;
    families.gauge("peerd_tasks", "Live tasks.", tasks)?;
    let up = seen.connections.iter().map(|connection| {
        (of("connection", connection.name), u64::from(connection.problem.is_none()))
    });
    families.gauges("peerd_nats_connected", "Whether a connection to NATS is up.", up)?;
    let again = seen.connections.iter();
    let again = again.map(|connection| (of("connection", connection.name), connection.reconnects));
    families.counters("peerd_nats_reconnects", "How often a connection was made again.", again)
}

fn encode_messages(families: &mut Families<'_>, seen: &Look) -> fmt::Result {
    let Gauges { calls_under_way, deliveries_under_way, routed, outgoing, .. } = seen.gauges;
    let Gauges { users_audited, audit_differences, pushes_dropped, .. } = seen.gauges;
    families.gauge("peerd_calls_in_progress", "Calls without a reply yet.", calls_under_way)?;
    let help = "Requests of other instances without an answer yet.";
    families.gauge("peerd_owner_requests_in_progress", help, deliveries_under_way)?;
    let help = "Calls that were forwarded to another instance.";
    families.counter("peerd_calls_forwarded", help, routed)?;
    let help = "Messages in the outgoing queue.";
    families.gauge("peerd_outgoing_queue_messages", help, outgoing)?;
    let help = "The most messages in the outgoing queue.";
    let capacity = number(seen.queue_capacity);
    families.gauge("peerd_outgoing_queue_capacity_messages", help, capacity)?;
    let dropped = seen.dropped.iter().map(|(reason, count)| (of("reason", reason), *count));
    families.counters("peerd_publishes_dropped", "Outgoing messages dropped.", dropped)?;
    families.counter("peerd_pushes_dropped", "Offline pushes dropped.", pushes_dropped)?;
    families.counter("peerd_users_audited", "Users whose counts were audited.", users_audited)?;
    let help = "Counts that differ from the log.";
    families.counter("peerd_audit_differences", help, audit_differences)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
