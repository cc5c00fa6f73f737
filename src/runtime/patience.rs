//! Retries at the start, for as long as they may help.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::monitor::Monitor;
use super::tuning::{
    LOG_OTHER_PROBLEM_EVERY, LOG_PROBLEM_EVERY, START_PAUSE_MAX, START_PAUSE_MIN,
    START_REFUSED_TIMEOUT,
};
use crate::link::Cause;

/// How long to retry.
#[derive(Debug)]
pub(super) struct Patience {
    deadline: Instant,
    began: Instant,
    pause: Duration,
    refused: Option<Instant>,
    said: Option<(Instant, String)>,
    monitor: Option<Arc<Monitor>>,
}

impl Patience {
    /// Retries until `timeout` has passed; there is at least one attempt.
    pub(super) fn new(timeout: Duration) -> Self {
        let began = Instant::now();
        Self {
            deadline: began + timeout,
            began,
            pause: START_PAUSE_MIN,
            refused: None,
            said: None,
            monitor: None,
        }
    }

    /// Reports to a monitor what the start waits for.
    pub(super) fn monitored(self, monitor: Arc<Monitor>) -> Self {
        Self { monitor: Some(monitor), ..self }
    }

    /// Waits before the next attempt after one that failed; returns false when there is none.
    pub(super) async fn wait(&mut self, what: &str, cause: Cause, problem: &str) -> bool {
        let gives_up = match cause {
            Cause::Configuration => true,
            Cause::Refused => {
                self.refused.get_or_insert_with(Instant::now).elapsed() >= START_REFUSED_TIMEOUT
            }
            Cause::Transient => false,
        };
        if gives_up || Instant::now() + self.pause >= self.deadline {
            return false;
        }
        if let Some(monitor) = &self.monitor {
            monitor.waits_for(format!("{what}: {problem}"));
        }
        self.say(what, problem);
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(START_PAUSE_MAX);
        true
    }

    /// Logs the wait: the first time, and then at intervals.
    fn say(&mut self, what: &str, problem: &str) {
        let is_due = self.said.as_ref().is_none_or(|(at, before)| {
            at.elapsed()
                >= if before == problem { LOG_PROBLEM_EVERY } else { LOG_OTHER_PROBLEM_EVERY }
        });
        if is_due {
            self.said = Some((Instant::now(), problem.to_owned()));
            let waited_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(waited_ms, problem, "waiting for {what}");
        }
    }
}
