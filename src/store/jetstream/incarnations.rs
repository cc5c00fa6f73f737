//! The incarnations of streams: a stream that was lost is created again under its name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::store::StreamId;

/// The part of JetStream's stream information that is used here.
#[derive(Deserialize)]
pub(super) struct StreamInfo {
    pub(super) state: StreamState,
    /// When the stream was made.
    #[serde(default)]
    pub(super) created: String,
}

/// The state of a stream.
#[derive(Deserialize)]
pub(super) struct StreamState {
    pub(super) last_seq: u64,
}

/// When each stream was created, as far as it was seen, and how often it was created again since.
#[derive(Debug, Default)]
pub(super) struct Incarnations(Mutex<BTreeMap<StreamId, (u64, u64)>>);

impl Incarnations {
    /// Notes the time of creation of a stream; returns whether it was another one before.
    pub(super) fn is_another(&self, stream: StreamId, created_ms: Option<u64>) -> bool {
        let Some(created_ms) = created_ms else { return false };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known_ms, count) = known.entry(stream).or_insert((created_ms, 0));
        let is_another = *known_ms != created_ms;
        *known_ms = created_ms;
        *count += u64::from(is_another);
        is_another
    }

    /// How often it was created again.
    pub(super) fn of(&self, stream: StreamId) -> u64 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&stream).map_or(0, |(_, count)| *count)
    }
}
