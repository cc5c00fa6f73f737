//! Logins by token, as a part of the daemon: the task that answers them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::connect::NatsOptions;
use crate::callout::counters::Counters;
use crate::callout::options::Options;
use crate::callout::service::Service;
use crate::clock::Clock;
use crate::link::Connection;
use peerd_protocol::subject::Subjects;

/// How clients log in with tokens.
pub struct Login {
    /// How to connect to NATS for that; `None`: as for everything else.
    pub nats: Option<NatsOptions>,
    /// How requests are answered.
    pub options: Options,
}

/// The task that answers logins by token.
pub(super) struct AnsweringLogins {
    pub(super) service: Arc<Service>,
    pub(super) counters: Arc<Counters>,
    stop: CancellationToken,
    task: AbortOnDrop<()>,
}

impl Login {
    /// Everything that is wrong with the configured files, each with its option.
    #[must_use]
    pub fn file_problems(&self) -> Vec<(&'static str, String)> {
        let connection = self.nats.as_ref().map(NatsOptions::file_problems).unwrap_or_default();
        let is_own = |(option, _): &(&str, String)| *option == "nats.credentials_file";
        let own = connection.into_iter().filter(is_own);
        let own = own.map(|(_, problem)| ("callout.credentials_file", problem));
        own.chain(self.options.file_problems()).collect()
    }

    /// Begins to answer. An error names the files that cannot be used, one per line.
    pub(super) fn answer(
        &self,
        connection: Connection,
        subjects: &Subjects,
        clock: Clock,
        stop_within: Duration,
    ) -> Result<AnsweringLogins, String> {
        let counters = Arc::<Counters>::default();
        let service = Service::new(&self.options, subjects, clock, counters.clone());
        let service = service.map_err(|problems| {
            let lines = problems.iter().map(|(option, problem)| format!("{option}: {problem}"));
            lines.collect::<Vec<_>>().join("\n")
        })?;
        let stop = CancellationToken::new();
        let running = service.clone().run(connection, stop.clone(), stop_within);
        let task = AbortOnDrop::new(tokio::spawn(running));
        Ok(AnsweringLogins { service, counters, stop, task })
    }
}

impl AnsweringLogins {
    /// Answers the requests that have arrived, and ends. Other instances get the further ones.
    pub(super) async fn end(answering: Option<Self>) {
        if let Some(Self { stop, task, .. }) = answering {
            stop.cancel();
            let _ = task.await;
        }
    }
}
