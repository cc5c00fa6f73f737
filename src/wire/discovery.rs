//! Service discovery bodies (NATS ADR-32).

use serde::Serialize;

/// The service's name.
pub const SERVICE: &str = "peerd";
/// The queue group that shares the calls.
pub const QUEUE_GROUP: &str = "peerd";
/// What the discovery subjects begin with. `$SRV` is NATS's own, whatever peerd's prefix is.
pub const DISCOVERY_PREFIX: &str = "$SRV";

/// What every discovery answer tells of an instance.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// [`SERVICE`].
    pub name: &'static str,
    /// The instance.
    pub id: String,
    /// peerd's version.
    pub version: &'static str,
    /// Subject prefix and partitions.
    pub metadata: std::collections::BTreeMap<&'static str, String>,
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
    pub metadata: std::collections::BTreeMap<&'static str, String>,
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
