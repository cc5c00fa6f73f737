//! Service discovery bodies (NATS ADR-32).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The service's name.
pub const SERVICE: &str = "peerd";
/// The queue group that shares the calls.
pub const QUEUE_GROUP: &str = "peerd";
/// What the discovery subjects begin with. `$SRV` is NATS's own, whatever peerd's prefix is.
pub const DISCOVERY_PREFIX: &str = "$SRV";
/// The metadata that tells the deployments of one account apart.
pub const SUBJECT_PREFIX: &str = "subject_prefix";
/// The metadata that tells among how many partitions users are divided.
pub const PARTITIONS: &str = "partitions";

/// The metadata that tells how the binary was built: [`THIS_BUILD`] of the instance.
pub const BUILD: &str = "build";
/// How this binary was built. A debug build is many times slower: no figure of one says how fast
/// peerd is.
pub const THIS_BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// What every discovery answer tells of an instance.
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

/// What can be called, and with which subject.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointInfo {
    /// The endpoint's name.
    pub name: &'static str,
    /// The subject it is subscribed with.
    pub subject: String,
    /// [`QUEUE_GROUP`].
    pub queue_group: &'static str,
    /// Nothing yet; ADR-32 asks for the field.
    pub metadata: BTreeMap<&'static str, String>,
}

/// What an endpoint has done since the instance started.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStats {
    /// The endpoint's name.
    pub name: &'static str,
    /// The subject it is subscribed with.
    pub subject: String,
    /// [`QUEUE_GROUP`].
    pub queue_group: &'static str,
    /// Calls answered.
    pub num_requests: u64,
    /// Calls answered with an error.
    pub num_errors: u64,
    /// The last such error: code and reason, never content.
    pub last_error: String,
    /// Nanoseconds from intake to reply, all calls together.
    pub processing_time: u64,
    /// Nanoseconds from intake to reply, on average.
    pub average_processing_time: u64,
    /// How it is at this moment; ADR-32 leaves the content to the service.
    pub data: Gauges,
}

/// How an instance is at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gauges {
    /// Calls that came in and are not answered.
    pub calls_under_way: u64,
    /// Messages that other instances' users sent to users of this one, and that are not answered.
    pub deliveries_under_way: u64,
    /// Calls that were passed on to another instance, since the start.
    pub routed: u64,
    /// Partitions that it owns.
    pub partitions: u64,
    /// Users in memory.
    pub users_in_memory: u64,
    /// Messages that wait to go out.
    pub outgoing: u64,
    /// Tasks of its own that are alive. A timer belongs to the task that waits for it.
    pub tasks: u64,
    /// Users whose counts were held against the log, since the start.
    pub users_audited: u64,
    /// What differed then. Always 0, unless something is wrong.
    pub audit_differences: u64,
    /// Stored records that it met lately and could not read.
    pub unreadable_records: u64,
    /// Offline pushes that were given up, since the start.
    pub pushes_dropped: u64,
    /// What is wrong with the store and does not pass by itself.
    pub store_troubles: Vec<StoreTrouble>,
}

/// Something wrong with the store that does not pass by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreTrouble {
    /// The stream with which it was met.
    pub stream: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// For how long it has been so.
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
    /// What the service is.
    pub description: &'static str,
    /// What can be called.
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
    /// What each endpoint has done.
    pub endpoints: &'a [EndpointStats],
}

/// What is read of an instance's answer to STATS, by whoever asked.
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
    /// Reads an answer; `None` when it is not one, or another service's.
    #[must_use]
    pub fn read(body: &[u8], subject_prefix: &str) -> Option<Self> {
        let answer: Self = serde_json::from_slice(body).ok()?;
        let prefix = answer.metadata.get(SUBJECT_PREFIX)?;
        (prefix == subject_prefix).then_some(answer)
    }

    /// How it was built; `None` from a release that did not tell.
    #[must_use]
    pub fn build(&self) -> Option<&str> {
        self.metadata.get(BUILD).map(String::as_str)
    }

    /// How it is; `None` from a release that did not tell.
    #[must_use]
    pub fn gauges(&self) -> Option<Gauges> {
        self.endpoints.iter().find_map(|endpoint| endpoint.data.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_reads_what_was_answered() {
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
