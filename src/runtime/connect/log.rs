//! Logs the events of a connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_nats::{ClientError, Event};
use tokio::time::Instant;

use super::judge::{judge_bus, judge_refusal};
use crate::link::{Cause, Violation};
use crate::runtime::permissions::Permissions;
use crate::runtime::tuning::{
    LOG_DROPPED_EVERY, LOG_REFUSED_EVERY, LOG_WAITING_EVERY, VIOLATIONS_TRACKED_MAX,
};

/// Logs the events of a connection.
pub(super) struct Log {
    connection: String,
    permissions: Permissions,
    reported: Mutex<Reported>,
}

#[derive(Default)]
struct Reported {
    /// Messages that the client library dropped since the last line, and the time of that line.
    dropped: (u64, Option<Instant>),
    /// When each kind of violation was logged.
    refusals: HashMap<String, Instant>,
    /// When the log last reported that there is no connection, and the problem.
    waiting: Option<(Instant, String)>,
}

impl Log {
    pub(super) fn new(connection: &str, permissions: Permissions) -> Self {
        Self { connection: connection.to_owned(), permissions, reported: Mutex::default() }
    }

    pub(super) fn note(&self, event: &Event) {
        let connection = &self.connection;
        match event {
            Event::Connected => {
                self.reported().waiting = None;
                tracing::info!(connection, "connected to NATS");
            }
            Event::Disconnected => tracing::warn!(connection, "disconnected from NATS"),
            Event::Closed => tracing::info!(connection, "connection to NATS closed"),
            Event::ServerError(error) => self.note_refused(&error.to_string()),
            Event::SlowConsumer(_) => self.note_dropped(),
            Event::ClientError(ClientError::Other(problem)) => {
                self.note_waiting(judge_refusal(problem).0, problem);
            }
            Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {
                tracing::info!(connection, %event, "connection to NATS");
            }
        }
    }

    /// Logs an event of the bus's connection.
    pub(super) fn note_bus(&self, event: &peerd_dataplane::Event<'_>) {
        use peerd_dataplane::Event;

        let connection = &self.connection;
        match event {
            Event::Connected { server } => {
                self.reported().waiting = None;
                tracing::info!(connection, server, "connected to NATS");
            }
            Event::Disconnected { reason } => {
                tracing::warn!(connection, reason, "disconnected from NATS");
            }
            Event::NotConnected { error } => {
                let (cause, problem) = judge_bus(error);
                self.note_waiting(cause, &problem);
            }
            Event::Closed => tracing::info!(connection, "connection to NATS closed"),
            Event::PermissionViolation { text, .. } | Event::ServerError { text } => {
                self.note_refused(text);
            }
            Event::LameDuck => tracing::info!(connection, "the server is shutting down"),
            Event::SlowConsumer { .. } => self.note_dropped(),
        }
    }

    /// Logs one line for each missing permission, however many subjects it is noticed on.
    fn note_refused(&self, text: &str) {
        let connection = &self.connection;
        let violation = Violation::parse(text);
        if violation.as_ref().is_some_and(Permissions::is_harmless) {
            return;
        }
        let kind =
            violation.as_ref().map_or_else(|| text.to_owned(), |it| self.permissions.kind(it));
        if !self.reported().is_due(kind) {
            return;
        }
        if let Some(violation) = violation {
            let remedy = self.permissions.remedy(&violation);
            tracing::error!(connection, %violation, remedy, "a NATS permission is missing");
        } else {
            tracing::error!(connection, error = text, "the NATS server reported an error");
        }
    }

    fn note_waiting(&self, cause: Cause, problem: &str) {
        let mut reported = self.reported();
        let is_due = reported.waiting.as_ref().is_none_or(|(at, before)| {
            at.elapsed() >= LOG_WAITING_EVERY
                || (before != problem && at.elapsed() >= LOG_DROPPED_EVERY)
        });
        if is_due {
            reported.waiting = Some((Instant::now(), problem.to_owned()));
            let connection = &self.connection;
            if cause == Cause::Transient {
                tracing::warn!(connection, problem, "no connection to NATS yet");
            } else {
                tracing::error!(connection, problem, "NATS refuses the connection");
            }
        }
    }

    /// There is one event for each dropped message, so there may be very many.
    fn note_dropped(&self) {
        let mut reported = self.reported();
        let (count, at) = &mut reported.dropped;
        *count += 1;
        if at.is_none_or(|at| at.elapsed() >= LOG_DROPPED_EVERY) {
            let (connection, count) = (&self.connection, std::mem::take(count));
            *at = Some(Instant::now());
            // There may have been more: async-nats does not report each of them.
            tracing::error!(
                connection,
                count,
                "dropped messages: they arrived faster than they could be handled"
            );
        }
    }

    fn reported(&self) -> std::sync::MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reported {
    /// Whether a kind of violation is to be logged again.
    fn is_due(&mut self, kind: String) -> bool {
        if self.refusals.get(&kind).is_some_and(|at| at.elapsed() < LOG_REFUSED_EVERY) {
            return false;
        }
        self.refusals.retain(|_, at| at.elapsed() < LOG_REFUSED_EVERY);
        if self.refusals.len() >= VIOLATIONS_TRACKED_MAX {
            return false;
        }
        self.refusals.insert(kind, Instant::now());
        true
    }
}
