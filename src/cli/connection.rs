//! The connection of a command. If NATS forbids an operation, the command ends at once and names
//! it.

use std::process::ExitCode;

use async_nats::Client;

use super::{EXIT_UNAVAILABLE, complain, exit_code};
use crate::link::Connection;
use crate::runtime::connect::connect_once;
use crate::runtime::daemon::Settings;
use crate::runtime::permissions::Permissions;

/// The connection of a command.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    connection: Connection,
    permissions: Permissions,
}

/// Why a command has no connection, or cannot use it.
#[derive(Debug)]
pub(super) struct NoUse {
    pub(super) exit_code: u8,
    pub(super) text: String,
}

impl NoUse {
    pub(super) fn complain(&self) -> ExitCode {
        complain(self.exit_code, &self.text)
    }
}

impl Connected {
    /// Connects once.
    pub(super) async fn new(settings: &Settings, name: &str) -> Result<Self, NoUse> {
        let permissions = Permissions::new(&settings.subject_prefix, &settings.nats.inbox_prefix);
        match connect_once(&settings.nats, name, &permissions).await {
            Ok(connection) => Ok(Self { connection, permissions }),
            Err(error) => {
                Err(NoUse { exit_code: exit_code(error.cause()), text: error.to_string() })
            }
        }
    }

    pub(super) fn client(&self) -> Client {
        self.connection.client.clone()
    }

    /// Runs `work`, unless the server forbids an operation of it.
    pub(super) async fn allowed<T>(&self, work: impl Future<Output = T>) -> Result<T, NoUse> {
        tokio::select! {
            biased;
            no_use = self.forbidden() => Err(no_use),
            done = work => Ok(done),
        }
    }

    /// Ends when the server forbids an operation.
    pub(super) async fn forbidden(&self) -> NoUse {
        let violation = self.connection.link.forbidden(|_| true).await;
        let remedy = self.permissions.remedy_of_command(&violation);
        NoUse { exit_code: EXIT_UNAVAILABLE, text: format!("{violation}: {remedy}") }
    }
}

/// Connects and runs the work of a command.
pub(super) async fn with_client<F: Future<Output = ExitCode>>(
    settings: &Settings,
    name: &str,
    work: impl FnOnce(Client) -> F,
) -> ExitCode {
    let done = async {
        let connected = Connected::new(settings, name).await?;
        // Boxed, since it is large.
        connected.allowed(Box::pin(work(connected.client()))).await
    };
    done.await.unwrap_or_else(|no_use| no_use.complain())
}
