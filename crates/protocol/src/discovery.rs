//! Service discovery bodies (NATS ADR-32).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The service's name.
pub const SERVICE: &str = "peerd";
/// The queue group that distributes the calls.
pub const QUEUE_GROUP: &str = "peerd";
/// The prefix of the discovery subjects. NATS fixes `$SRV`, independent of peerd's own prefix.
pub const DISCOVERY_PREFIX: &str = "$SRV";
/// The metadata key that distinguishes deployments in one account.
pub const SUBJECT_PREFIX: &str = "subject_prefix";
/// The metadata key for the number of partitions.
pub const PARTITIONS: &str = "partitions";

/// The metadata key for the build profile: [`THIS_BUILD`] of the instance.
pub const BUILD: &str = "build";
/// The build profile of this binary. A debug build is many times slower, so its measurements say
/// nothing about peerd's speed.
pub const THIS_BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// The part that all discovery answers of an instance share.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// [`SERVICE`].
    pub name: &'static str,
    /// The instance.
    pub id: String,
    /// peerd's version.
    pub version: &'static str,
    /// Subject prefix, partitions and build.
    pub metadata: BTreeMap<&'static str, String>,
}

/// An endpoint and its subject.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointInfo {
    /// The endpoint's name.
    pub name: &'static str,
    /// The subject that the endpoint subscribes to.
    pub subject: String,
    /// [`QUEUE_GROUP`].
    pub queue_group: &'static str,
    /// Empty; ADR-32 requires the field.
    pub metadata: BTreeMap<&'static str, String>,
}

/// The statistics of an endpoint since the instance started.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStats {
    /// The endpoint's name.
    pub name: &'static str,
    /// The subject that the endpoint subscribes to.
    pub subject: String,
    /// [`QUEUE_GROUP`].
    pub queue_group: &'static str,
    /// Calls answered.
    pub num_requests: u64,
    /// Calls answered with an error.
    pub num_errors: u64,
    /// The last such error: code and reason, never content.
    pub last_error: String,
    /// The sum over all calls of the nanoseconds from intake to reply.
    pub processing_time: u64,
    /// The average nanoseconds from intake to reply.
    pub average_processing_time: u64,
    /// The instance's gauges; ADR-32 leaves this field to the service.
    pub data: Gauges,
}

/// The current state of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gauges {
    /// Calls that arrived and are not answered yet.
    pub calls_under_way: u64,
    /// Messages from users of other instances to users of this one that are not answered yet.
    pub deliveries_under_way: u64,
    /// Calls that were forwarded to another instance since the start.
    pub routed: u64,
    /// Partitions that the instance owns.
    pub partitions: u64,
    /// Users in memory.
    pub users_in_memory: u64,
    /// Messages in the outgoing queue.
    pub outgoing: u64,
    /// The instance's own live tasks. A timer belongs to the task that waits for it.
    pub tasks: u64,
    /// Users whose counts were compared with the log since the start.
    pub users_audited: u64,
    /// Differences that those audits found. Always 0, unless something is wrong.
    pub audit_differences: u64,
    /// Stored records that the instance encountered lately and could not decode.
    pub unreadable_records: u64,
    /// Offline pushes that were dropped since the start.
    pub pushes_dropped: u64,
    /// Problems with the store that do not go away without intervention.
    pub store_troubles: Vec<StoreTrouble>,
}

/// A problem with the store that does not go away without intervention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreTrouble {
    /// The stream that has the problem.
    pub stream: String,
    /// The problem.
    pub problem: String,
    /// How to fix it.
    pub remedy: String,
    /// How long it has lasted.
    pub lasts_seconds: u64,
}

/// The answer to PING.
#[derive(Serialize)]
pub struct Ping<'a> {
    /// `io.nats.micro.v1.ping_response`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The instance.
    #[serde(flatten)]
    pub identity: &'a Identity,
}

/// The answer to INFO.
#[derive(Serialize)]
pub struct Info<'a> {
    /// `io.nats.micro.v1.info_response`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The instance.
    #[serde(flatten)]
    pub identity: &'a Identity,
    /// A description of the service.
    pub description: &'static str,
    /// The service's endpoints.
    pub endpoints: &'a [EndpointInfo],
}

/// The answer to STATS.
#[derive(Serialize)]
pub struct Stats<'a> {
    /// `io.nats.micro.v1.stats_response`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The instance.
    #[serde(flatten)]
    pub identity: &'a Identity,
    /// When the instance started, RFC 3339.
    pub started: &'a str,
    /// The statistics of each endpoint.
    pub endpoints: &'a [EndpointStats],
}

/// The part of an instance's answer to STATS that a caller reads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StatsAnswer {
    /// The instance.
    pub id: String,
    /// [`SUBJECT_PREFIX`], [`PARTITIONS`], [`BUILD`].
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    endpoints: Vec<EndpointAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct EndpointAnswer {
    data: Option<Gauges>,
}

impl StatsAnswer {
    /// Reads an answer; `None` if it is not one, or from another service or deployment.
    #[must_use]
    pub fn read(body: &[u8], subject_prefix: &str) -> Option<Self> {
        let answer: Self = serde_json::from_slice(body).ok()?;
        let prefix = answer.metadata.get(SUBJECT_PREFIX)?;
        (prefix == subject_prefix).then_some(answer)
    }

    /// The build profile; `None` from a release that did not report it.
    #[must_use]
    pub fn build(&self) -> Option<&str> {
        self.metadata.get(BUILD).map(String::as_str)
    }

    /// The gauges; `None` from a release that did not report them.
    #[must_use]
    pub fn gauges(&self) -> Option<Gauges> {
        self.endpoints.iter().find_map(|endpoint| endpoint.data.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_stats_round_trips() {
        let gauges = Gauges { calls_under_way: 3, outgoing: 4, ..Gauges::default() };
        let endpoint = EndpointStats {
            name: "api",
            subject: "peer.api.*.*".to_owned(),
            queue_group: QUEUE_GROUP,
            num_requests: 0,
            num_errors: 0,
            last_error: String::new(),
            processing_time: 0,
            average_processing_time: 0,
            data: gauges.clone(),
        };
        let identity = Identity {
            name: SERVICE,
            id: "a".to_owned(),
            version: "0.1.0",
            metadata: BTreeMap::from([
                (SUBJECT_PREFIX, "peer".to_owned()),
                (BUILD, "release".to_owned()),
            ]),
        };
        let stats = Stats {
            kind: "io.nats.micro.v1.stats_response",
            identity: &identity,
            started: "2026-01-01T00:00:00Z",
            endpoints: &[endpoint],
        };
        let body = serde_json::to_vec(&stats).expect("writable");
        let answer = StatsAnswer::read(&body, "peer").expect("an answer");
        assert_eq!((answer.id.as_str(), answer.gauges()), ("a", Some(gauges)));
        assert_eq!(answer.build(), Some("release"));
        assert_eq!(StatsAnswer::read(&body, "other"), None);
        assert_eq!(StatsAnswer::read(b"{}", "peer"), None);
    }
}
