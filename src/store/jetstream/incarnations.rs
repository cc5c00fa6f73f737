//! The incarnations of streams: a stream that was lost is created again under its name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::store::StreamId;
use peerd_protocol::time::unix_ms;

/// The part of JetStream's stream information that is used here.
#[derive(Deserialize)]
pub(super) struct StreamInfo {
    pub(super) state: StreamState,
    /// When the stream was made.
    #[serde(default)]
    created: String,
    cluster: Option<ClusterInfo>,
}

/// The state of a stream.
#[derive(Deserialize)]
pub(super) struct StreamState {
    pub(super) last_seq: u64,
}

/// The part of a stream's cluster information that is used here.
#[derive(Deserialize)]
struct ClusterInfo {
    raft_group: Option<String>,
}

impl StreamInfo {
    /// What tells the stream from an earlier one of its name; `None` if the server does not say it.
    pub(super) fn birth(&self) -> Option<Birth> {
        let group = self.cluster.as_ref().and_then(|cluster| cluster.raft_group.clone());
        Some(Birth { created_ms: unix_ms(&self.created)?, group })
    }
}

/// When a stream was created, and its Raft group, if it has replicas.
#[derive(Clone, Debug)]
pub(super) struct Birth {
    created_ms: u64,
    group: Option<String>,
}

impl Birth {
    /// Whether both are the same stream. After a restore, the replicas of a stream disagree about
    /// when it was created; a change of the number of replicas gives it another group.
    fn is_same(&self, other: &Self) -> bool {
        let is_same_group = self.group.is_some() && self.group == other.group;
        self.created_ms == other.created_ms || is_same_group
    }
}

/// When each stream was created, as far as it was seen, and how often it was created again since.
#[derive(Debug, Default)]
pub(super) struct Incarnations(Mutex<BTreeMap<StreamId, (Birth, u64)>>);

impl Incarnations {
    /// Notes the birth of a stream; returns whether it was another one before.
    pub(super) fn is_another(&self, stream: StreamId, birth: Option<Birth>) -> bool {
        let Some(birth) = birth else { return false };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, count) = known.entry(stream).or_insert_with(|| (birth.clone(), 0));
        let is_another = !last.is_same(&birth);
        *last = birth;
        *count += u64::from(is_another);
        is_another
    }

    /// How often it was created again.
    pub(super) fn of(&self, stream: StreamId) -> u64 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&stream).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_core::id::Partition;

    #[test]
    fn a_stream_is_another_one_if_neither_its_time_nor_its_group_is_the_same() {
        let stream = StreamId::Log(Partition(0));
        let incarnations = Incarnations::default();
        let seen = |created: &str, group: &str| {
            let cluster = if group.is_empty() {
                String::new()
            } else {
                format!(r#", "cluster": {{"name": "c", "raft_group": "{group}"}}"#)
            };
            let text =
                format!(r#"{{"state": {{"last_seq": 1}}, "created": "{created}"{cluster}}}"#);
            let info: StreamInfo = serde_json::from_str(&text).unwrap();
            incarnations.is_another(stream, info.birth())
        };
        let (one, two) = ("2026-11-28T13:21:50.594Z", "2026-11-28T13:21:50.435Z");
        assert!(!seen(one, ""));
        assert!(!seen(one, "S-R3F-A"), "it has replicas now");
        assert!(!seen(two, "S-R3F-A"), "another replica of a restored stream leads");
        assert!(!seen(two, "S-R3F-B"), "it had one replica, and has three again");
        assert!(seen(one, "S-R3F-C"));
        assert!(!seen("", "S-R3F-D"), "nothing is known");
        assert!(!seen(one, ""));
        assert!(seen(two, ""), "without replicas only the time tells");
        assert_eq!(incarnations.of(stream), 2);
    }
}
