//! `peerd streams`: the configuration of the streams, to create them without peerd.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use clap::ValueEnum;
use serde::Serialize;

use super::{EXIT_FAILURE, complain, print};
use crate::runtime::daemon::Settings;
use crate::store::names::StreamNames;
use crate::store::provision::made_by_others;
use peerd_protocol::subject::Subjects;

/// The form in which the configurations are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Commands of the `nats` command line.
    Nats,
    /// Manifests for NACK, the JetStream controller for Kubernetes.
    Nack,
    /// The JSON of JetStream's API, one stream a line.
    Json,
}

pub(super) const HELP: &str = "\
peerd creates missing streams by itself. If a controller or an administrator owns the streams, \
set stream.provision to \"verify\", and create the streams from this output:

  peerd streams | sh
  peerd streams --form nack | kubectl apply -f -

The output depends on subject_prefix, partitions and [stream]; the command does not \
connect to NATS.";

pub(super) fn run(settings: &Settings, form: Form) -> ExitCode {
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let names = StreamNames::new(&settings.subject_prefix);
    for config in made_by_others(&subjects, &names, &settings.stream) {
        let text = match form {
            Form::Nats => Ok(command(&config)),
            Form::Nack => manifest(&config),
            Form::Json => serde_json::to_string(&config),
        };
        match text {
            Ok(text) if print(&text) => {}
            Ok(_) => break,
            Err(error) => return complain(EXIT_FAILURE, &error),
        }
    }
    ExitCode::SUCCESS
}

const fn storage(config: &Config) -> &'static str {
    match config.storage {
        StorageType::File => "file",
        StorageType::Memory => "memory",
    }
}

const fn discard(config: &Config) -> &'static str {
    match config.discard {
        DiscardPolicy::Old => "old",
        DiscardPolicy::New => "new",
    }
}

/// The retention policy; the forms differ in the name of a work queue.
const fn retention(config: &Config, work_queue: &'static str) -> &'static str {
    match config.retention {
        RetentionPolicy::Limits => "limits",
        RetentionPolicy::Interest => "interest",
        RetentionPolicy::WorkQueue => work_queue,
    }
}

/// The command that creates a stream. What is left out has the default that `--defaults` chooses.
fn command(config: &Config) -> String {
    let retention = retention(config, "work");
    let mut line = format!(
        "nats stream add {} --defaults --subjects='{}' --storage={} --replicas={} \
         --retention={retention} --discard={} --allow-direct",
        config.name,
        config.subjects.join(","),
        storage(config),
        config.num_replicas,
        discard(config),
    );
    let mut add = |is_set: bool, flag: &str| {
        if is_set {
            _ = write!(line, " --{flag}");
        }
    };
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    add(!config.max_age.is_zero(), &format!("max-age={}", seconds(config.max_age)));
    add(config.max_bytes > 0, &format!("max-bytes={}", config.max_bytes));
    add(config.max_messages > 0, &format!("max-msgs={}", config.max_messages));
    let most = config.max_messages_per_subject;
    add(most > 0, &format!("max-msgs-per-subject={most}"));
    add(config.allow_rollup, "allow-rollup");
    add(config.deny_delete, "deny-delete");
    add(config.allow_message_ttl, "allow-msg-ttl");
    let marker = config.subject_delete_marker_ttl.unwrap_or_default();
    add(!marker.is_zero(), &format!("subject-del-markers-ttl={}", seconds(marker)));
    for (name, value) in config.metadata.iter().collect::<BTreeMap<_, _>>() {
        add(true, &format!("metadata={name}={value}"));
    }
    line
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'c> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec<'c>,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
}

/// What NACK knows of a stream's configuration. A bucket is given as its stream, since a
/// `KeyValue` has neither metadata nor the lifetime of entries.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the fields of a manifest")]
struct Spec<'c> {
    name: &'c str,
    subjects: &'c [String],
    storage: &'static str,
    replicas: usize,
    retention: &'static str,
    discard: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    max_age: String,
    max_bytes: i64,
    max_msgs: i64,
    max_msgs_per_subject: i64,
    max_msg_size: i32,
    max_consumers: i32,
    allow_direct: bool,
    allow_rollup: bool,
    deny_delete: bool,
    allow_msg_ttl: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    subject_delete_marker_ttl: String,
    metadata: BTreeMap<&'c str, &'c str>,
    /// Deleting the manifest must not delete people's messages.
    prevent_delete: bool,
}

/// A manifest, as JSON, which is YAML too, after the line that separates documents.
fn manifest(config: &Config) -> serde_json::Result<String> {
    let seconds = |time: Duration| {
        if time.is_zero() { String::new() } else { format!("{}s", time.as_secs()) }
    };
    let spec = Spec {
        name: &config.name,
        subjects: &config.subjects,
        storage: storage(config),
        replicas: config.num_replicas,
        retention: retention(config, "workqueue"),
        discard: discard(config),
        max_age: seconds(config.max_age),
        max_bytes: config.max_bytes,
        max_msgs: config.max_messages,
        max_msgs_per_subject: config.max_messages_per_subject,
        max_msg_size: config.max_message_size,
        max_consumers: config.max_consumers,
        allow_direct: config.allow_direct,
        allow_rollup: config.allow_rollup,
        deny_delete: config.deny_delete,
        allow_msg_ttl: config.allow_message_ttl,
        subject_delete_marker_ttl: seconds(config.subject_delete_marker_ttl.unwrap_or_default()),
        metadata: config.metadata.iter().map(|(name, value)| (&**name, &**value)).collect(),
        prevent_delete: true,
    };
    let manifest = Manifest {
        api_version: "jetstream.nats.io/v1beta2",
        kind: "Stream",
        metadata: Metadata { name: config.name.to_lowercase().replace('_', "-") },
        spec,
    };
    Ok(format!("---\n{}", serde_json::to_string_pretty(&manifest)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::provision::StreamOptions;

    fn streams() -> Vec<Config> {
        let options = StreamOptions {
            replicas: 3,
            in_memory: false,
            max_age: Duration::from_secs(3600),
            max_bytes: 1 << 20,
            push_max_age: Duration::ZERO,
            push_max_messages: 10,
            is_created: false,
        };
        made_by_others(&Subjects::new("peer", 1), &StreamNames::new("peer"), &options)
    }

    #[test]
    fn each_stream_is_a_command() {
        let lines: Vec<String> = streams().iter().map(command).collect();
        let add = |name: &str, subjects: &str, rest: &str| {
            format!(
                "nats stream add {name} --defaults --subjects='{subjects}' --storage=file \
                 --replicas=3 {rest} --metadata=peerd.layout=1 --metadata=peerd.partitions=1"
            )
        };
        let expected = [
            add(
                "PEER_LOG_0",
                "peer.log.0.*.*",
                "--retention=limits --discard=new --allow-direct --max-age=3600s --max-bytes=1048576",
            ),
            add(
                "PEER_STATE_0",
                "peer.state.0.>",
                "--retention=limits --discard=old --allow-direct --max-msgs-per-subject=1",
            ),
            add(
                "PEER_PUSH",
                "peer.push.*",
                "--retention=work --discard=old --allow-direct --max-msgs=10",
            ),
            add(
                "KV_PEER_OWNERS",
                "$KV.PEER_OWNERS.>",
                "--retention=limits --discard=new --allow-direct --max-msgs-per-subject=1 \
                 --allow-rollup --deny-delete --allow-msg-ttl --subject-del-markers-ttl=60s",
            ) + " --metadata=peerd.stands_in=true",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn each_stream_is_a_manifest() {
        let owners = streams().pop().expect("the bucket of owners");
        let text = manifest(&owners).expect("JSON");
        let document = text.strip_prefix("---\n").expect("a document");
        let manifest: serde_json::Value = serde_json::from_str(document).expect("JSON");
        let expected = serde_json::json!({
            "apiVersion": "jetstream.nats.io/v1beta2",
            "kind": "Stream",
            "metadata": {"name": "kv-peer-owners"},
            "spec": {
                "name": "KV_PEER_OWNERS", "subjects": ["$KV.PEER_OWNERS.>"],
                "storage": "file", "replicas": 3, "retention": "limits", "discard": "new",
                "maxBytes": -1, "maxMsgs": -1, "maxMsgsPerSubject": 1, "maxMsgSize": -1,
                "maxConsumers": -1, "allowDirect": true, "allowRollup": true, "denyDelete": true,
                "allowMsgTtl": true, "subjectDeleteMarkerTtl": "60s", "preventDelete": true,
                "metadata": {
                    "peerd.layout": "1", "peerd.partitions": "1", "peerd.stands_in": "true",
                },
            },
        });
        assert_eq!(manifest, expected);
    }
}
