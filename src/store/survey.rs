//! Reads the state of the store for `peerd status` and `peerd audit`: the bucket of members and
//! owners, and the state of each stream. Unlike the store's own reads it needs no link: it asks
//! once, and a missing answer is a result, too.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::direct_get::{self, Failed, Request};
use super::names::StreamNames;
use super::provision::{PARTITIONS_KEY, STANDS_IN_KEY};
use super::{ReadError, Record, Start, StreamId};
use peerd_core::id::{Partition, UserId};
use peerd_protocol::subject::{Subjects, Token};
use peerd_protocol::time::unix_ms;

/// The stream does not exist.
pub(super) const STREAM_NOT_FOUND: u32 = 10059;
const TIMED_OUT: &str = "no answer in time";

/// The state of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// The node that leads it; `None`: it has no leader.
    pub leader: Option<String>,
    /// Its messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The sequence of the newest message that it ever had.
    pub last_seq: u64,
    /// The copies that it should have, including the leader's.
    pub copies: usize,
    /// The replicas that do not lead.
    pub replicas: Vec<Replica>,
    /// The number of partitions in its metadata, if any.
    pub partitions: Option<u16>,
    /// Its configuration at the server.
    pub config: StreamConfig,
    /// When it was created, by the server's clock, in milliseconds since 1970.
    pub created_ms: Option<u64>,
    /// Whether it replaces a lost one.
    pub stands_in: bool,
    /// Its consumers.
    pub consumers: usize,
    /// When the server answered, by its own clock, in milliseconds since 1970.
    pub answered_ms: Option<u64>,
}

/// A replica that does not lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// The node.
    pub name: String,
    /// Whether the leader considers it current.
    pub is_current: bool,
    /// The operations by which it lags.
    pub lag: u64,
    /// Whether the node is known to be gone.
    pub is_offline: bool,
    /// How long ago the leader last saw it; zero if it has not since it became the leader.
    pub last_seen_ago: Duration,
}

/// Why the state of a stream is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// It does not exist.
    #[error("is not there")]
    Missing,
    /// The server refused the request.
    #[error("does not answer: {description}")]
    Refused {
        /// Its error code.
        code: u32,
        /// Its error text.
        description: String,
    },
    /// There was no answer.
    #[error("does not answer: {0}")]
    Silent(String),
}

#[derive(Deserialize)]
struct Answer {
    error: Option<AnswerError>,
    config: Option<StreamConfig>,
    created: Option<String>,
    #[serde(default)]
    state: State,
    cluster: Option<Cluster>,
    ts: Option<String>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    messages: u64,
    bytes: u64,
    last_seq: u64,
    consumer_count: usize,
}

#[derive(Deserialize)]
struct Cluster {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Peer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Peer {
    name: String,
    current: bool,
    offline: bool,
    active: u64,
    lag: u64,
}

/// Requests the state of a stream.
pub async fn stream(client: &Client, name: &str, deadline: Instant) -> Result<StreamState, Unseen> {
    let request = client.request(format!("$JS.API.STREAM.INFO.{name}"), Bytes::new());
    let answer = timeout_at(deadline, request).await;
    let answer = answer.map_err(|_| Unseen::Silent(TIMED_OUT.to_owned()))?;
    let answer = answer.map_err(|error| Unseen::Silent(error.to_string()))?;
    read(&answer.payload)
}

fn read(body: &[u8]) -> Result<StreamState, Unseen> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| Unseen::Silent(error.to_string()))?;
    let config = match (answer.error, answer.config) {
        (Some(error), _) if error.err_code == STREAM_NOT_FOUND => return Err(Unseen::Missing),
        (Some(AnswerError { err_code: code, description }), _) => {
            return Err(Unseen::Refused { code, description });
        }
        (None, None) => return Err(Unseen::Silent("an answer without configuration".to_owned())),
        (None, Some(config)) => config,
    };
    let (leader, replicas) = match answer.cluster {
        Some(cluster) => (cluster.leader.filter(|name| !name.is_empty()), cluster.replicas),
        None => (None, Vec::new()),
    };
    Ok(StreamState {
        leader,
        messages: answer.state.messages,
        bytes: answer.state.bytes,
        last_seq: answer.state.last_seq,
        copies: config.num_replicas.max(1),
        replicas: replicas.into_iter().map(Replica::from).collect(),
        partitions: config.metadata.get(PARTITIONS_KEY).and_then(|number| number.parse().ok()),
        stands_in: config.metadata.contains_key(STANDS_IN_KEY),
        created_ms: answer.created.as_deref().and_then(unix_ms),
        consumers: answer.state.consumer_count,
        config,
        answered_ms: answer.ts.as_deref().and_then(unix_ms),
    })
}

impl From<Peer> for Replica {
    fn from(peer: Peer) -> Self {
        Self {
            name: peer.name,
            is_current: peer.current,
            lag: peer.lag,
            is_offline: peer.offline,
            last_seen_ago: Duration::from_nanos(peer.active),
        }
    }
}

/// The usage of an account's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// By the name of the limit: the usage, and the maximum.
    pub limits: Vec<(&'static str, u64, u64)>,
}

/// Requests the usage of the account's limits; `None`: no answer, or no permission.
pub async fn account(client: &Client, deadline: Instant) -> Option<Account> {
    let request = client.request("$JS.API.INFO", Bytes::new());
    let answer = timeout_at(deadline, request).await.ok()?.ok()?;
    let answer: AccountAnswer = serde_json::from_slice(&answer.payload).ok()?;
    let AccountAnswer { memory, storage, streams, limits, tiers } = answer;
    let of = |tier: &Tier| {
        let pairs = [
            ("max_memory", tier.memory, tier.limits.memory),
            ("max_storage", tier.storage, tier.limits.storage),
            ("max_streams", tier.streams, tier.limits.streams),
        ];
        pairs.map(|(name, held, most)| (name, held, u64::try_from(most).unwrap_or(0)))
    };
    let whole = Tier { memory, storage, streams, limits };
    let all = std::iter::once(&whole).chain(tiers.values());
    let limits = all.flat_map(of).filter(|(.., most)| *most > 0).collect();
    Some(Account { limits })
}

#[derive(Deserialize)]
struct AccountAnswer {
    #[serde(default)]
    memory: u64,
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    streams: u64,
    limits: AccountLimits,
    #[serde(default)]
    tiers: BTreeMap<String, Tier>,
}

#[derive(Deserialize)]
struct Tier {
    #[serde(default)]
    memory: u64,
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    streams: u64,
    limits: AccountLimits,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccountLimits {
    #[serde(rename = "max_memory")]
    memory: i64,
    #[serde(rename = "max_storage")]
    storage: i64,
    #[serde(rename = "max_streams")]
    streams: i64,
}

/// Whether the usage is close to the maximum.
#[must_use]
pub fn is_nearly(held: u64, most: u64) -> bool {
    u128::from(held) * 10 >= u128::from(most) * 9
}

/// The limit that a stream has reached or nearly reached, if it refuses messages then: the usage
/// and the maximum.
#[must_use]
pub fn fullness(state: &StreamState) -> Option<(&'static str, u64, u64)> {
    if state.config.discard != DiscardPolicy::New {
        return None;
    }
    let limits = [
        ("max_bytes", state.bytes, state.config.max_bytes),
        ("max_msgs", state.messages, state.config.max_messages),
    ];
    let nearly = |(name, held, most): (&'static str, u64, i64)| {
        let most = u64::try_from(most).ok().filter(|most| *most > 0)?;
        is_nearly(held, most).then_some((name, held, most))
    };
    limits.into_iter().find_map(nearly)
}

/// The entries of members and owners in the bucket with their keys, from any replica.
pub async fn entries(
    client: &Client,
    names: &StreamNames,
    deadline: Instant,
) -> Result<Vec<(String, Record)>, ReadError> {
    // With 1,024 partitions one request could match more subjects than allowed.
    let ask = async |keys: &str| {
        let request = Request::last(vec![names.owners_entry(keys)]);
        let stream = names.owners();
        let asked = direct_get::collect(client, &stream, &request);
        let answer = timeout_at(deadline, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(Failed::Other(TIMED_OUT.to_owned())));
        answer.map(|answer| answer.batch)
    };
    let (members, owners) = tokio::try_join!(ask("member.*"), ask("owner.*"))?;
    let prefix = names.owners_entry("");
    let records = members.records.into_iter().chain(owners.records);
    // An expired or deleted entry leaves an empty one for a while.
    let present = records.filter(|record| !record.payload.is_empty());
    let entries = present.filter_map(|record| {
        let key = record.subject.strip_prefix(&prefix)?.to_owned();
        Some((key, record))
    });
    Ok(entries.collect())
}

/// A part of the users of a partition who ever logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The users.
    pub users: Vec<UserId>,
    /// The sequence at which the rest begins, if there are more.
    pub next: Option<u64>,
}

/// Users of a partition, from a sequence in its entries on, from any replica. `filter`: the
/// subjects of their accounts.
pub async fn accounts(
    client: &Client,
    names: &StreamNames,
    filter: String,
    (partition, from): (Partition, u64),
    limit: usize,
    deadline: Instant,
) -> Result<Accounts, ReadError> {
    let request = Request::next(filter, Start::Seq(from), limit);
    let stream = names.of(StreamId::State(partition));
    let asked = direct_get::collect(client, &stream, &request);
    let answer = timeout_at(deadline, asked).await;
    let answer = answer.unwrap_or_else(|_| Err(Failed::Other(TIMED_OUT.to_owned())));
    let batch = answer?.batch;
    let user = |record: &Record| Token::parse(record.subject.rsplit('.').nth(1)?).ok();
    let last = batch.records.last().filter(|_| batch.remaining > 0);
    Ok(Accounts {
        users: batch.records.iter().filter_map(user).collect(),
        next: last.map(|last| last.stream_seq + 1),
    })
}

/// Whether anything is stored about a user: an account, or a conversation.
pub async fn is_known(
    client: &Client,
    names: &StreamNames,
    subjects: &Subjects,
    user: &UserId,
    deadline: Instant,
) -> Result<bool, ReadError> {
    let token = Token::of(user);
    let partition = subjects.partition(&token);
    let entries = format!("{}{token}.>", subjects.state_prefix(partition));
    let messages = subjects.log_to(partition, &token);
    for (stream, subject) in
        [(StreamId::State(partition), entries), (StreamId::Log(partition), messages)]
    {
        let (stream, request) = (names.of(stream), Request::next(subject, Start::Seq(1), 1));
        let asked = direct_get::collect(client, &stream, &request);
        let answer = timeout_at(deadline, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(Failed::Other(TIMED_OUT.to_owned())));
        if !answer?.batch.records.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_a_cluster_is_read_with_its_replicas() {
        let body = br#"{"type":"io.nats.jetstream.api.v1.stream_info_response","total":0,
            "config":{"name":"PEER_LOG_0","num_replicas":3,"metadata":{"peerd.partitions":"8"},
                "retention":"limits","storage":"file","discard":"new"},
            "state":{"messages":7,"bytes":900,"first_seq":1},
            "cluster":{"name":"peer","leader":"n1","replicas":[
                {"name":"n2","current":true,"active":120000000},
                {"name":"n3","current":false,"offline":true,"active":9000000000,"lag":5}]},
            "ts":"2026-01-01T00:00:00.5Z"}"#;
        let state = read(body).expect("readable");
        assert_eq!((state.leader.as_deref(), state.messages, state.bytes), (Some("n1"), 7, 900));
        assert_eq!((state.copies, state.partitions), (3, Some(8)));
        assert_eq!(state.answered_ms, Some(1_767_225_600_500));
        assert_eq!((state.replicas[0].is_current, state.replicas[0].lag), (true, 0));
        assert_eq!((state.replicas[1].is_offline, state.replicas[1].lag), (true, 5));
        assert_eq!(state.replicas[1].last_seen_ago, Duration::from_secs(9));
    }

    #[test]
    fn a_missing_stream_differs_from_a_silent_one() {
        let body = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert_eq!(read(body), Err(Unseen::Missing));
        let body = br#"{"error":{"code":503,"err_code":10008,"description":"unavailable"}}"#;
        let description = "unavailable".to_owned();
        assert_eq!(read(body), Err(Unseen::Refused { code: 10008, description }));
        assert!(matches!(read(b"nonsense"), Err(Unseen::Silent(_))));
    }
}
