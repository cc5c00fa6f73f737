//! Makes the streams that peerd needs, or compares those that are there.
//!
//! peerd never changes or deletes a stream: on a difference it refuses to start and says what
//! differs. What is compared is the configuration as the server echoes it, since an older server
//! silently drops what it does not know.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::StreamId;
use super::jetstream::StreamNames;
use crate::domain::id::Partition;
use crate::wire::subject::Subjects;

/// The version of the stored layout.
const LAYOUT: &str = "1";
/// Where each stream says which layout it has, and among how many partitions it is one.
const LAYOUT_KEY: &str = "peerd.layout";
pub(super) const PARTITIONS_KEY: &str = "peerd.partitions";
/// How long the bucket of owners remembers that an entry expired or was deleted.
const EXPIRED_MARKER: Duration = Duration::from_secs(60);
/// Streams that are made or compared at the same time.
const CONCURRENT: usize = 8;
/// Oldest nats-server that does all that peerd asks of it.
pub const SERVER_VERSION_MIN: (i64, i64, i64) = (2, 12, 0);

/// How the streams are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Copies of each stream, 1 to 5.
    pub replicas: usize,
    /// In memory instead of in files.
    pub in_memory: bool,
    /// Whether appends that wait at the same time go as one atomic batch.
    pub group_commit: bool,
    /// How long messages are kept; zero: for ever.
    pub max_age: Duration,
    /// Most bytes of messages in a partition; 0: no bound.
    pub max_bytes: u64,
    /// How long an offline push waits for its gateway; zero: for ever.
    pub push_max_age: Duration,
    /// Most offline pushes that wait; past it the oldest are dropped.
    pub push_max_messages: u64,
}

impl StreamOptions {
    /// Whether messages that were stored go away, other than by somebody's hand.
    #[must_use]
    pub const fn may_forget(&self) -> bool {
        !self.max_age.is_zero() || self.in_memory
    }
}

/// Why peerd cannot use the streams.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The server is too old.
    #[error("nats-server {found} is too old, peerd needs {}.{}.{} or newer",
        SERVER_VERSION_MIN.0, SERVER_VERSION_MIN.1, SERVER_VERSION_MIN.2)]
    OldServer {
        /// Its version.
        found: String,
    },
    /// The server or the account has no JetStream.
    #[error("JetStream is not enabled on this nats-server, or not for this account")]
    NoJetStream,
    /// Streams differ from what the configuration asks for.
    #[error("streams are not as configured, and peerd does not change them:\n{}", .0.join("\n"))]
    Differs(Vec<String>),
    /// The server did not answer, or refused.
    #[error("stream {name}: {problem}")]
    Failed {
        /// Which stream.
        name: String,
        /// What the server said.
        problem: String,
    },
}

/// Makes every stream that is missing and compares all.
pub async fn provision(
    client: &Client,
    subjects: &Subjects,
    names: &StreamNames,
    options: &StreamOptions,
) -> Result<(), ProvisionError> {
    check_version(client)?;
    let context = jetstream::new(client.clone());
    let configs = configs(subjects, names, options);
    // First all that is there, so that a refusal leaves everything as it was.
    let found: Vec<Option<Config>> =
        stream::iter(configs.iter().map(|config| config.name.clone()).collect::<Vec<_>>())
            .map(|name| find(&context, name))
            .buffered(CONCURRENT)
            .try_collect()
            .await?;
    let there = configs.iter().zip(&found);
    let there = there.filter_map(|(want, found)| found.as_ref().map(|found| (want, found)));
    refuse(there, options)?;
    let missing = configs.into_iter().zip(found).filter(|(_, found)| found.is_none());
    let created: Vec<(Config, Config)> = stream::iter(missing.map(|(want, _)| want))
        .map(|config| create(&context, config))
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    refuse(created.iter().map(|(want, echoed)| (want, echoed)), options)?;
    write_sentinels(client, subjects).await
}

fn check_version(client: &Client) -> Result<(), ProvisionError> {
    let (major, minor, patch) = SERVER_VERSION_MIN;
    if client.is_server_compatible(major, minor, patch) {
        return Ok(());
    }
    Err(ProvisionError::OldServer { found: client.server_info().version })
}

fn configs(subjects: &Subjects, names: &StreamNames, options: &StreamOptions) -> Vec<Config> {
    let storage = if options.in_memory { StorageType::Memory } else { StorageType::File };
    let metadata: HashMap<String, String> =
        [(LAYOUT_KEY, LAYOUT.to_owned()), (PARTITIONS_KEY, subjects.partitions().to_string())]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
    let base = Config {
        storage,
        num_replicas: options.replicas,
        allow_direct: true,
        metadata,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        ..Config::default()
    };
    let mut configs = Vec::new();
    for number in 0..subjects.partitions() {
        let partition = Partition(number);
        configs.push(Config {
            name: names.of(StreamId::Log(partition)),
            subjects: vec![subjects.all_log(partition)],
            // A full log refuses new messages; it does not forget acknowledged ones.
            discard: DiscardPolicy::New,
            max_age: options.max_age,
            max_bytes: limit(options.max_bytes),
            allow_atomic_publish: true,
            ..base.clone()
        });
        configs.push(Config {
            name: names.of(StreamId::State(partition)),
            subjects: vec![subjects.all_state(partition)],
            max_messages_per_subject: 1,
            allow_atomic_publish: true,
            ..base.clone()
        });
    }
    // As `nats kv` would make it, so that the usual tools show it.
    configs.push(Config {
        name: names.owners(),
        subjects: vec![names.all_owners()],
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        allow_message_ttl: true,
        // Who watches is told of an entry that expired.
        subject_delete_marker_ttl: Some(EXPIRED_MARKER),
        ..base.clone()
    });
    configs.push(Config {
        name: names.push(),
        subjects: vec![subjects.all_pushes()],
        retention: RetentionPolicy::WorkQueue,
        max_age: options.push_max_age,
        max_messages: limit(options.push_max_messages),
        ..base
    });
    configs
}

/// JetStream's spelling of a limit, where -1 is none.
fn limit(limit: u64) -> i64 {
    if limit == 0 { -1 } else { i64::try_from(limit).unwrap_or(i64::MAX) }
}

/// The configuration of a stream, if it is there.
async fn find(
    context: &jetstream::Context,
    name: String,
) -> Result<Option<Config>, ProvisionError> {
    match context.get_stream(&name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(failed(&name, &error)),
    }
}

/// Makes a stream; answers what was asked for and what the server says it made.
async fn create(
    context: &jetstream::Context,
    config: Config,
) -> Result<(Config, Config), ProvisionError> {
    let created = context.create_stream(config.clone()).await;
    let created = created.map_err(|error| failed(&config.name, &error))?;
    Ok((config, created.cached_info().config.clone()))
}

fn refuse<'a>(
    pairs: impl Iterator<Item = (&'a Config, &'a Config)>,
    options: &StreamOptions,
) -> Result<(), ProvisionError> {
    let differences: Vec<String> =
        pairs.flat_map(|(want, found)| differences(want, found, options)).collect();
    if differences.is_empty() { Ok(()) } else { Err(ProvisionError::Differs(differences)) }
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error)
        if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn failed(name: &str, error: &dyn std::error::Error) -> ProvisionError {
    let mut problem = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !problem.contains(&cause_text) {
            problem = format!("{problem}: {cause_text}");
        }
        source = cause.source();
    }
    if problem.contains("no responders") || problem.contains("jetstream not enabled") {
        return ProvisionError::NoJetStream;
    }
    ProvisionError::Failed { name: name.to_owned(), problem }
}

/// What of the configuration differs, a line each.
fn differences(want: &Config, found: &Config, options: &StreamOptions) -> Vec<String> {
    let fields = |config: &Config| {
        let mut fields = vec![
            ("subjects", config.subjects.join(", ")),
            ("retention", format!("{:?}", config.retention)),
            ("storage", format!("{:?}", config.storage)),
            ("num_replicas", config.num_replicas.to_string()),
            ("discard", format!("{:?}", config.discard)),
            ("max_age", format!("{:?}", config.max_age)),
            ("max_bytes", config.max_bytes.to_string()),
            ("max_msgs", config.max_messages.to_string()),
            ("max_msgs_per_subject", config.max_messages_per_subject.to_string()),
            ("max_msg_size", config.max_message_size.max(-1).to_string()),
            ("allow_direct", config.allow_direct.to_string()),
            ("no_ack", config.no_ack.to_string()),
            ("sealed", config.sealed.to_string()),
            ("deny_delete", config.deny_delete.to_string()),
            ("deny_purge", config.deny_purge.to_string()),
            ("discard_new_per_subject", config.discard_new_per_subject.to_string()),
            ("allow_rollup_hdrs", config.allow_rollup.to_string()),
            ("allow_msg_ttl", config.allow_message_ttl.to_string()),
            ("subject_delete_marker_ttl", format!("{:?}", config.subject_delete_marker_ttl)),
            ("mirror", config.mirror.is_some().to_string()),
            ("sources", config.sources.is_some().to_string()),
            ("subject_transform", config.subject_transform.is_some().to_string()),
        ];
        // Streams that were made before it was asked for do for who does not use it.
        if options.group_commit {
            fields.push(("allow_atomic", config.allow_atomic_publish.to_string()));
        }
        for key in [LAYOUT_KEY, PARTITIONS_KEY] {
            let value = config.metadata.get(key).map_or("not set", String::as_str);
            fields.push((key, value.to_owned()));
        }
        fields
    };
    let pairs = fields(want).into_iter().zip(fields(found));
    let differing = pairs.filter(|((_, want), (_, found))| want != found);
    let line = |((field, want_value), (_, found_value))| {
        format!("  {}: {field} is {found_value}, should be {want_value}", want.name)
    };
    differing.map(line).collect()
}

/// Writes the entries that make every answer about a partition non-empty.
async fn write_sentinels(client: &Client, subjects: &Subjects) -> Result<(), ProvisionError> {
    let partitions = 0..subjects.partitions();
    let sentinels = partitions.map(Partition).flat_map(|partition| {
        [subjects.log_sentinel(partition), subjects.state_sentinel(partition)]
    });
    stream::iter(sentinels)
        .map(|subject| async move {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
            let written = client.request_with_headers(subject.clone(), headers, Bytes::new()).await;
            // An answer is enough: a refusal says that the sentinel is there.
            written.map(drop).map_err(|error| failed(&subject, &error))
        })
        .buffered(CONCURRENT)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}
