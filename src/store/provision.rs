//! Creates the streams that peerd needs, and compares existing ones.
//!
//! peerd never changes or deletes a stream: on a difference it refuses to start and names it. The
//! comparison uses the configuration that the server returns, since an older server silently drops
//! options that it does not know.

mod judge;

use std::collections::HashMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use self::judge::Refusal;
use super::StreamId;
use super::names::{Resource, StreamNames};
use super::tuning::{EXPIRED_MARKER_TTL, PROVISION_CONCURRENT};
use crate::link::Cause;
use peerd_core::id::Partition;
use peerd_protocol::subject::Subjects;

/// The version of the stored layout.
const LAYOUT: &str = "1";
/// The metadata of a bucket of owners that replaces a lost one: members may still act by the
/// entries of the lost one.
pub(super) const STANDS_IN_KEY: &str = "peerd.stands_in";
/// The metadata with the version of the layout and the number of partitions.
const LAYOUT_KEY: &str = "peerd.layout";
pub(super) const PARTITIONS_KEY: &str = "peerd.partitions";
/// The oldest nats-server with everything that peerd needs.
pub const SERVER_VERSION_MIN: (i64, i64, i64) = (2, 12, 0);

/// The configuration of the streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Copies of each stream, 1 to 5.
    pub replicas: usize,
    /// In memory instead of in files.
    pub in_memory: bool,
    /// How long messages are kept; zero: for ever.
    pub max_age: Duration,
    /// The most bytes of messages in a partition; 0: no bound.
    pub max_bytes: u64,
    /// How long an offline push waits for its gateway; zero: for ever.
    pub push_max_age: Duration,
    /// The most offline pushes that wait; beyond it the oldest are dropped.
    pub push_max_messages: u64,
    /// Whether peerd creates missing streams; otherwise others do, and it only compares.
    pub is_created: bool,
}

impl StreamOptions {
    /// Whether the server drops stored messages by itself.
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
    #[error("{problem}")]
    NoJetStream {
        /// The part that is off, and the remedy.
        problem: &'static str,
        /// The kind of remedy that it calls for.
        cause: Cause,
    },
    /// Another stream of the account has some of the subjects.
    #[error(
        "stream {name} cannot be made: its subjects {subjects} overlap with those of stream \
        {other} on the same account; choose another subject_prefix, or remove that stream"
    )]
    Overlaps {
        /// The stream.
        name: String,
        /// Its subjects.
        subjects: String,
        /// The other stream.
        other: String,
    },
    /// Streams are missing that others create.
    #[error(
        "streams are missing, and stream.provision is \"verify\": {}; create them as `peerd streams` \
        prints them, or set stream.provision to \"create\"", .0.join(", ")
    )]
    Missing(Vec<String>),
    /// Streams differ from the configuration.
    #[error("streams are not as configured, and peerd does not change them:\n{}", .0.join("\n"))]
    Differs(Vec<String>),
    /// The server did not answer, or refused.
    #[error("stream {name}: {problem}")]
    Failed {
        /// The stream.
        name: String,
        /// The server's answer.
        problem: String,
        /// The kind of remedy that it calls for.
        cause: Cause,
    },
}

impl ProvisionError {
    /// The kind of remedy that it calls for.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::OldServer { .. } | Self::Differs(_) | Self::Overlaps { .. } => {
                Cause::Configuration
            }
            // A controller may be about to create them.
            Self::Missing(_) => Cause::Transient,
            Self::NoJetStream { cause, .. } | Self::Failed { cause, .. } => *cause,
        }
    }
}

/// Creates the missing streams and compares all. Returns the streams that were missing although
/// others existed: they were lost.
pub async fn provision(
    client: &Client,
    subjects: &Subjects,
    names: &StreamNames,
    options: &StreamOptions,
) -> Result<Vec<Resource>, ProvisionError> {
    check_version(client)?;
    let context = jetstream::new(client.clone());
    // Existing streams first, so that a refusal leaves everything unchanged. The bucket of owners
    // is looked up last and created first: if a stream exists and the bucket does not, the bucket
    // was lost.
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    let mut looked = stream::iter(expected(subjects, names, options))
        .map(|(resource, config)| find(client, &context, resource, config))
        .buffered(PROVISION_CONCURRENT);
    let mut owners = None;
    while let Some((resource, want, found)) = looked.try_next().await? {
        match found {
            Some(found) => there.push((want, found)),
            None => missing.push((resource, want)),
        }
    }
    drop(looked);
    let (resource, want) = owners_config(subjects, names, options);
    let (resource, mut want, found) = find(client, &context, resource, want).await?;
    if let Some(found) = found {
        there.push((want, found));
    } else {
        if !there.is_empty() {
            want.metadata.insert(STANDS_IN_KEY.to_owned(), true.to_string());
        }
        owners = Some((resource, want));
    }
    refuse(there.iter().map(|(want, found)| (want, found)))?;
    if !options.is_created {
        let missing = missing.iter().chain(&owners).map(|(_, config)| config.name.clone());
        let missing: Vec<String> = missing.collect();
        if !missing.is_empty() {
            return Err(ProvisionError::Missing(missing));
        }
    }
    let lost = !there.is_empty();
    let mut created = Vec::new();
    if let Some((resource, config)) = owners {
        created.push(create(client, &context, resource, config).await?);
    }
    let others: Vec<(Resource, Config, Config)> = stream::iter(missing)
        .map(|(resource, config)| create(client, &context, resource, config))
        .buffered(PROVISION_CONCURRENT)
        .try_collect()
        .await?;
    created.extend(others);
    refuse(created.iter().map(|(_, want, echoed)| (want, echoed)))?;
    write_sentinels(client, subjects).await?;
    Ok(created.into_iter().filter(|_| lost).map(|(resource, ..)| resource).collect())
}

fn check_version(client: &Client) -> Result<(), ProvisionError> {
    let (major, minor, patch) = SERVER_VERSION_MIN;
    if client.is_server_compatible(major, minor, patch) {
        return Ok(());
    }
    Err(ProvisionError::OldServer { found: client.server_info().version })
}

/// The expected configuration of all streams except that of the bucket of owners.
fn expected(
    subjects: &Subjects,
    names: &StreamNames,
    options: &StreamOptions,
) -> Vec<(Resource, Config)> {
    let base = base(subjects, options);
    let mut configs = Vec::new();
    for number in 0..subjects.partitions() {
        let partition = Partition(number);
        let (log, state) = (StreamId::Log(partition), StreamId::State(partition));
        configs.push((
            Resource::Stream(log),
            Config {
                name: names.of(log),
                subjects: vec![subjects.all_log(partition)],
                // A full log refuses new messages; it does not forget acknowledged ones.
                discard: DiscardPolicy::New,
                max_age: options.max_age,
                max_bytes: limit(options.max_bytes),
                ..base.clone()
            },
        ));
        configs.push((
            Resource::Stream(state),
            Config {
                name: names.of(state),
                subjects: vec![subjects.all_state(partition)],
                max_messages_per_subject: 1,
                ..base.clone()
            },
        ));
    }
    let push = Config {
        name: names.push(),
        subjects: vec![subjects.all_pushes()],
        retention: RetentionPolicy::WorkQueue,
        max_age: options.push_max_age,
        max_messages: limit(options.push_max_messages),
        ..base
    };
    configs.push((Resource::Push, push));
    configs
}

/// The expected configuration of the stream of the bucket of owners: as `nats kv` would create it,
/// so that the usual tools show it.
fn owners_config(
    subjects: &Subjects,
    names: &StreamNames,
    options: &StreamOptions,
) -> (Resource, Config) {
    let config = Config {
        name: names.owners(),
        subjects: vec![names.all_owners()],
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        allow_message_ttl: true,
        // Watchers receive a change for an expired entry.
        subject_delete_marker_ttl: Some(EXPIRED_MARKER_TTL),
        ..base(subjects, options)
    };
    (Resource::Owners, config)
}

/// The expected configuration of each stream, by name.
#[must_use]
pub fn all_expected(
    subjects: &Subjects,
    names: &StreamNames,
    options: &StreamOptions,
) -> Vec<(Resource, Config)> {
    let mut all = expected(subjects, names, options);
    all.push(owners_config(subjects, names, options));
    all
}

/// The configurations for those who create the streams themselves, with the bucket of owners last.
///
/// The bucket always counts as one that replaces a lost one, since whoever creates it cannot know:
/// then members wait until nobody acts by the entries of an earlier one.
#[must_use]
pub fn made_by_others(
    subjects: &Subjects,
    names: &StreamNames,
    options: &StreamOptions,
) -> Vec<Config> {
    let all = all_expected(subjects, names, options).into_iter();
    let config = |(resource, mut config): (Resource, Config)| {
        if resource == Resource::Owners {
            config.metadata.insert(STANDS_IN_KEY.to_owned(), true.to_string());
        }
        config
    };
    all.map(config).collect()
}

/// The configuration that all streams share.
fn base(subjects: &Subjects, options: &StreamOptions) -> Config {
    let storage = if options.in_memory { StorageType::Memory } else { StorageType::File };
    let metadata: HashMap<String, String> =
        [(LAYOUT_KEY, LAYOUT.to_owned()), (PARTITIONS_KEY, subjects.partitions().to_string())]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
    Config {
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
    }
}

/// A limit in JetStream's form: -1 for none.
fn limit(limit: u64) -> i64 {
    if limit == 0 { -1 } else { i64::try_from(limit).unwrap_or(i64::MAX) }
}

/// The configuration of a stream, if it exists.
async fn find(
    client: &Client,
    context: &jetstream::Context,
    resource: Resource,
    want: Config,
) -> Result<(Resource, Config, Option<Config>), ProvisionError> {
    match context.get_stream(&want.name).await {
        Ok(stream) => Ok((resource, want, Some(stream.cached_info().config.clone()))),
        Err(error) => match judge::of_get(&error) {
            Refusal::Missing => Ok((resource, want, None)),
            refusal @ (Refusal::Nobody
            | Refusal::Off(_)
            | Refusal::Overlap
            | Refusal::Other(..)) => Err(failed(client, &want.name, refusal)),
        },
    }
}

/// Creates a stream; returns the requested configuration and the one that the server reports, which
/// another instance may have created.
async fn create(
    client: &Client,
    context: &jetstream::Context,
    resource: Resource,
    config: Config,
) -> Result<(Resource, Config, Config), ProvisionError> {
    let error = match context.create_stream(config.clone()).await {
        Ok(created) => return Ok((resource, config, created.cached_info().config.clone())),
        Err(error) => error,
    };
    // Another instance may have been faster, with other metadata.
    let (resource, config, found) = find(client, context, resource, config).await?;
    if let Some(found) = found {
        return Ok((resource, config, found));
    }
    match judge::of_create(&error) {
        Refusal::Overlap => Err(overlaps(context, config).await),
        refusal @ (Refusal::Nobody | Refusal::Off(_) | Refusal::Missing | Refusal::Other(..)) => {
            Err(failed(client, &config.name, refusal))
        }
    }
}

/// Finds the stream whose subjects overlap with those of another.
async fn overlaps(context: &jetstream::Context, config: Config) -> ProvisionError {
    let mut others = Vec::new();
    for subject in &config.subjects {
        if let Ok(other) = context.stream_by_subject(subject.clone()).await {
            others.push(other);
        }
    }
    let other = if others.is_empty() { "(unknown)".to_owned() } else { others.join(", ") };
    ProvisionError::Overlaps { name: config.name, subjects: config.subjects.join(", "), other }
}

fn refuse<'a>(pairs: impl Iterator<Item = (&'a Config, &'a Config)>) -> Result<(), ProvisionError> {
    let differences: Vec<String> =
        pairs.flat_map(|(want, found)| differences(want, found)).collect();
    if differences.is_empty() { Ok(()) } else { Err(ProvisionError::Differs(differences)) }
}

fn failed(client: &Client, name: &str, refusal: Refusal) -> ProvisionError {
    let off = |problem, cause| ProvisionError::NoJetStream { problem, cause };
    let of = |cause, problem| ProvisionError::Failed { name: name.to_owned(), problem, cause };
    match refusal {
        Refusal::Nobody => {
            let server = client.server_info();
            let may_come = server.cluster.is_some() || server.jetstream;
            // Another node of the cluster may have JetStream, and not be up yet.
            let cause = if may_come { Cause::Transient } else { Cause::Refused };
            let problem = if may_come {
                "nobody serves JetStream in this NATS cluster: peerd needs nodes with JetStream (-js, \
                 or a jetstream block)"
            } else {
                "JetStream is not enabled on this nats-server: start it with -js, or with a jetstream \
                 block in its configuration"
            };
            off(problem, cause)
        }
        Refusal::Off(true) => off(
            "JetStream is not enabled for the account of this NATS user: enable it there (jetstream: \
             enabled)",
            Cause::Refused,
        ),
        Refusal::Off(false) => off("JetStream is not enabled on this nats-server", Cause::Refused),
        Refusal::Missing => of(Cause::Transient, "is not there any more".to_owned()),
        Refusal::Overlap => of(Cause::Configuration, "its subjects overlap others".to_owned()),
        Refusal::Other(cause, problem) => of(cause, problem),
    }
}

/// The differences of two configurations, one per line.
#[must_use]
pub fn differences(want: &Config, found: &Config) -> Vec<String> {
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
            // Any answer is enough: a refusal means that the sentinel exists.
            written.map(drop).map_err(|error| {
                let stream = format!("of {subject}");
                match judge::of_request(&error) {
                    // JetStream has just answered, so this stream has no leader.
                    Refusal::Nobody => ProvisionError::Failed {
                        name: stream,
                        problem: "nobody takes messages for it: it has no leader".to_owned(),
                        cause: Cause::Transient,
                    },
                    refusal @ (Refusal::Off(_)
                    | Refusal::Missing
                    | Refusal::Overlap
                    | Refusal::Other(..)) => failed(client, &stream, refusal),
                }
            })
        })
        .buffered(PROVISION_CONCURRENT)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}
