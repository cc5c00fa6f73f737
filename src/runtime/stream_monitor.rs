//! Monitors the streams while peerd runs: creates missing ones again and reports what is wrong.

use std::collections::BTreeSet;

use async_nats::jetstream::stream::Config;
use futures::stream::{self, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::tuning::{
    JETSTREAM_SILENT_MAX, PROVISION_TIMEOUT, STREAM_CHECK_INTERVAL, STREAM_CHECKS_CONCURRENT,
    STREAM_STATE_TIMEOUT, STREAMS_PER_CHECK, SUSPECT_PAUSE,
};
use crate::link::Connection;
use crate::store::jetstream::{JetStream, StreamNames};
use crate::store::provision::{
    ProvisionError, StreamOptions, all_expected, differences, provision,
};
use crate::store::survey::{self, StreamState, Unseen};
use crate::store::trouble::{Cause, Resource};
use peerd_protocol::subject::Subjects;

/// Monitors the streams.
pub(super) struct StreamMonitor {
    pub(super) store: Connection,
    pub(super) jetstream: JetStream,
    pub(super) subjects: Subjects,
    pub(super) names: StreamNames,
    pub(super) options: StreamOptions,
}

impl StreamMonitor {
    /// Checks all streams after each reconnect (memory streams are lost when their server
    /// restarts), suspect streams at once, and streams that no call would miss soon at intervals.
    pub(super) async fn run(self) {
        let troubles = self.jetstream.trouble().clone();
        let mut ticks = interval(STREAM_CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_since = None;
        // Streams that were missing and that peerd could not create.
        let mut absent = BTreeSet::new();
        let all: Vec<Resource> = all_expected(&self.subjects, &self.names, &self.options)
            .into_iter()
            .map(|(resource, _)| resource)
            .collect();
        let mut round = all.iter().copied().cycle();
        let mut generation = self.store.link.generation();
        loop {
            let suspects = tokio::select! {
                newer = self.store.link.newer_than(generation) => {
                    generation = newer;
                    if self.provision(&BTreeSet::new()).await {
                        absent.clear();
                    }
                    continue;
                }
                suspects = troubles.suspects() => suspects,
                _ = ticks.tick() => {
                    let mut due = troubles.resources();
                    due.extend([Resource::Owners, Resource::Push]);
                    due.extend(round.by_ref().take(STREAMS_PER_CHECK.min(all.len())));
                    due
                }
            };
            if self.store.link.is_up() {
                self.look(suspects, &mut absent, &mut silent_since).await;
            } else {
                silent_since = None;
            }
            sleep(SUSPECT_PAUSE).await;
        }
    }

    /// Checks the state of streams, and creates the missing ones again.
    async fn look(
        &self,
        suspects: BTreeSet<Resource>,
        absent: &mut BTreeSet<Resource>,
        silent_since: &mut Option<Instant>,
    ) {
        let deadline = Instant::now() + STREAM_STATE_TIMEOUT;
        let looks = stream::iter(suspects).map(|resource| async move {
            let name = self.names.resource(resource);
            (resource, survey::stream(&self.store.client, &name, deadline).await)
        });
        let seen: Vec<_> = looks.buffered(STREAM_CHECKS_CONCURRENT).collect().await;
        let silent = seen.iter().find_map(|(resource, state)| match state {
            Err(Unseen::Silent(why)) => Some((*resource, why.clone())),
            Ok(_) | Err(Unseen::Missing | Unseen::Refused { .. }) => None,
        });
        let is_silent = seen.iter().all(|(_, state)| matches!(state, Err(Unseen::Silent(_))));
        match silent.filter(|_| is_silent && self.store.link.is_up()) {
            None => *silent_since = None,
            Some((resource, why)) => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= JETSTREAM_SILENT_MAX {
                    self.jetstream.trouble().met(resource, Cause::NoJetStream(why));
                }
            }
        }
        let mut gone = BTreeSet::new();
        let mut is_back = false;
        for (resource, state) in seen {
            match state {
                Ok(state) => {
                    is_back |= absent.contains(&resource);
                    self.judge(resource, &state);
                }
                Err(Unseen::Missing) => _ = gone.insert(resource),
                Err(Unseen::Refused { code, description }) => {
                    let cause = Cause::of_refusal(code, &description);
                    if matches!(cause, Cause::NoJetStream(_)) {
                        self.jetstream.trouble().met(resource, cause);
                    }
                }
                Err(Unseen::Silent(_)) => {}
            }
        }
        // A stream that somebody else created lacks its sentinel.
        if gone.is_empty() && !is_back {
            return;
        }
        if self.provision(&gone).await {
            absent.clear();
        } else {
            absent.extend(gone);
        }
    }

    /// Records the state of an existing stream.
    fn judge(&self, resource: Resource, state: &StreamState) {
        let troubles = self.jetstream.trouble();
        let lines = self.differences(resource, &state.config);
        if lines.is_empty() {
            troubles.is_well(resource, survey::fullness(state).is_none());
        } else {
            troubles.met(resource, Cause::Differs(lines));
        }
    }

    fn differences(&self, resource: Resource, found: &Config) -> Vec<String> {
        let expected = all_expected(&self.subjects, &self.names, &self.options);
        let want = expected.iter().find(|(of, _)| *of == resource);
        want.map(|(_, want)| differences(want, found)).unwrap_or_default()
    }

    /// Records that a stream is missing.
    fn lose(&self, resource: Resource) {
        self.jetstream.lose_stream(resource);
        if self.options.in_memory {
            // Expected with this configuration: the stream was lost with its server.
            let stream = self.names.resource(resource);
            tracing::warn!(stream, "a memory stream was lost with its messages");
        } else {
            self.jetstream.trouble().met(resource, Cause::Gone);
        }
    }

    /// Creates the streams in `gone` and any others that are missing, and compares all of them.
    /// Returns whether all exist and are as configured.
    async fn provision(&self, gone: &BTreeSet<Resource>) -> bool {
        let troubles = self.jetstream.trouble();
        for resource in gone {
            self.lose(*resource);
        }
        let Self { store, subjects, names, options, .. } = self;
        match timeout(PROVISION_TIMEOUT, provision(&store.client, subjects, names, options)).await {
            Ok(Ok(made)) => {
                for resource in made {
                    // These were missing too, but not noticed before.
                    if !gone.contains(&resource) {
                        self.lose(resource);
                        troubles.is_well(resource, true);
                    }
                }
                // Another instance may have created some of them first.
                for resource in gone {
                    troubles.is_well(*resource, true);
                }
                return true;
            }
            Ok(Err(ProvisionError::Differs(lines))) => {
                for (resource, want) in all_expected(subjects, names, options) {
                    let prefix = format!("{}: ", want.name);
                    let of_it = lines.iter().filter(|line| line.trim().starts_with(&prefix));
                    let of_it: Vec<String> = of_it.cloned().collect();
                    if !of_it.is_empty() {
                        troubles.met(resource, Cause::Differs(of_it));
                    }
                }
            }
            Ok(Err(ProvisionError::NoJetStream { problem, .. })) => {
                troubles.met(Resource::Owners, Cause::NoJetStream(problem.to_owned()));
            }
            Ok(Err(error)) if gone.is_empty() => {
                tracing::warn!(%error, "cannot check the streams");
            }
            Ok(Err(error)) => {
                for resource in gone {
                    troubles.met(*resource, Cause::NotMadeAnew(error.to_string()));
                }
            }
            Err(_) => tracing::warn!("cannot check the streams in time"),
        }
        false
    }
}
