//! Monitoring by HTTP: `/metrics`, `/livez` and `/readyz`.
//!
//! An ordinary task looks at the instance once a second. For that it takes the locks that calls
//! take, so if calls make no progress, neither does this task, and the instance counts as stuck.
//! The listener's thread takes none of these locks: it shows the last look, and numbers that are
//! counted without locks.

mod collect;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use tokio::time::{MissedTickBehavior, interval};

use super::commands::counters::Counters;
use super::health::{ConnectionState, Health, Known, Phase};
use super::tuning::{LOOK_INTERVAL, STUCK_AFTER};
use crate::callout;
use crate::clock::Clock;
use crate::http::{Page, Pages, StatusCode, TEXT};
use crate::store::trouble::Trouble;
use crate::store::waits::Waits;
use peerd_protocol::discovery::Gauges;

/// The type of the text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What one look at an instance shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// As service discovery reports them.
    pub(super) gauges: Gauges,
    pub(super) troubles: Vec<Trouble>,
    pub(super) is_owning_impossible: bool,
    pub(super) connections: Vec<ConnectionState>,
    /// As the routing table has it.
    pub(super) is_settled: bool,
    pub(super) without_owner: usize,
    /// The most messages in the outgoing queue.
    pub(super) queue_capacity: usize,
    /// Outgoing messages that were dropped, by reason.
    pub(super) dropped: Vec<(&'static str, u64)>,
    /// Why no client can log in with a token, where that is configured.
    pub(super) login_problem: Option<String>,
}

/// What is known of an instance once its parts exist.
pub(super) struct Sources {
    pub(super) counters: Arc<Counters>,
    pub(super) waits: Arc<Waits>,
    pub(super) logins: Arc<callout::counters::Counters>,
    /// Looks at the instance; `None` when it is about to end.
    pub(super) look: Box<dyn Fn() -> Option<Look> + Send + Sync>,
}

/// What is known of an instance.
#[derive(Debug)]
pub(super) struct Monitor {
    clock: Clock,
    started_ms: u64,
    partitions: u16,
    progress: Mutex<Progress>,
    sources: OnceLock<Sources>,
    /// The last look.
    seen: Mutex<Arc<Look>>,
    /// When it ended, in microseconds of the steady clock.
    seen_us: AtomicU64,
    /// How long no look may succeed before the instance counts as stuck.
    stuck_after: Duration,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// How far the daemon has come.
#[derive(Clone, Debug, Default)]
struct Progress {
    phase: Phase,
    waits_for: String,
}

impl Monitor {
    /// The monitor of an instance that starts.
    pub(super) fn new(clock: Clock, partitions: u16) -> Arc<Self> {
        Arc::new(Self {
            clock,
            started_ms: clock.wall_ms(),
            partitions,
            progress: Mutex::default(),
            sources: OnceLock::new(),
            seen: Mutex::default(),
            seen_us: AtomicU64::new(clock.steady_us()),
            stuck_after: STUCK_AFTER,
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the start waits for.
    pub(super) fn waits_for(&self, what: impl Into<String>) {
        self.progress().waits_for = what.into();
    }

    /// Notes that the parts of the instance exist.
    pub(super) fn exists(&self, sources: Sources) {
        // It exists once.
        let _ = self.sources.set(sources);
        self.look();
    }

    /// Notes that the instance takes calls.
    pub(super) fn serves(&self) {
        self.look();
        self.progress().phase = Phase::Serving;
    }

    /// Notes that the instance was asked to stop.
    pub(super) fn drains(&self) {
        self.progress().phase = Phase::Draining;
    }

    /// Looks at the instance at intervals. Runs until it is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        if let Some(look) = self.sources.get().and_then(|sources| (sources.look)()) {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(look);
        }
        self.seen_us.store(self.clock.steady_us(), Ordering::Release);
    }

    fn seen(&self) -> Arc<Look> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn health(&self) -> Health {
        let (seen, Progress { phase, waits_for }) = (self.seen(), self.progress().clone());
        let idle_us = self.clock.steady_us().saturating_sub(self.seen_us.load(Ordering::Acquire));
        Health::of(&Known {
            phase,
            waits_for: &waits_for,
            connections: &seen.connections,
            is_settled: seen.is_settled,
            troubles: &seen.troubles,
            is_owning_impossible: seen.is_owning_impossible,
            login_problem: seen.login_problem.as_deref(),
            idle: Duration::from_micros(idle_us),
            stuck_after: self.stuck_after,
        })
    }

    fn livez(&self) -> Page {
        let health = self.health();
        let body = if health.is_live { "live\n" } else { "stuck: no task makes progress\n" };
        page(health.is_live, body.to_owned())
    }

    fn readyz(&self) -> Page {
        let health = self.health();
        let first = if health.is_ready() { "ready" } else { "not ready" }.to_owned();
        let unready = health.unready.iter();
        let unready = unready.map(|(reason, text)| format!("{}: {text}", reason.name()));
        let warnings = health.warnings.iter().map(|text| format!("warning: {text}"));
        let lines = std::iter::once(first).chain(unready).chain(warnings);
        page(health.is_ready(), lines.map(|line| line + "\n").collect())
    }

    fn metrics(self: &Arc<Self>) -> Page {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut body = String::new();
        // A text in memory takes everything.
        let is_written = prometheus_text::encode(&mut body, &registry).is_ok();
        Page { content_type: METRICS, ..page(is_written, body) }
    }
}

fn page(is_well: bool, body: String) -> Page {
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Page { status, content_type: TEXT, body }
}

impl Pages for Arc<Monitor> {
    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/metrics" => Some(self.metrics()),
            "/livez" => Some(self.livez()),
            "/readyz" => Some(self.readyz()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
