//! The servers to be measured, and `peerd bench` against them.

use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Nats, NatsCluster, Peerd, peerd_command};

/// Above the rate of any sender of a load.
const NO_RATE_LIMIT: (&str, &str) = ("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000000");

/// The setup of nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One server with defaults: acknowledged messages are written, and synced every two minutes.
    One,
    /// Three servers, three copies of everything.
    Three,
    /// One server that syncs its disk before it acknowledges (`sync_interval: always`).
    OneSynced,
    /// Three servers like that, three copies of everything.
    ThreeSynced,
}

enum Servers {
    One(Nats),
    Three(NatsCluster),
}

/// Servers and a peerd.
pub(crate) struct Stage {
    pub(crate) peerd: Peerd,
    servers: Servers,
    envs: Vec<(String, String)>,
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn start(kind: Kind, envs: &[(&str, &str)]) -> Result<Self, String> {
        let mut all = vec![NO_RATE_LIMIT];
        all.extend(envs);
        if matches!(kind, Kind::Three | Kind::ThreeSynced) {
            all.push(("PEERD__STREAM__REPLICAS", "3"));
        }
        let servers = match kind {
            Kind::One => Servers::One(Nats::start().await),
            Kind::OneSynced => Servers::One(Nats::start_synced().await),
            Kind::Three => Servers::Three(NatsCluster::start("").await),
            Kind::ThreeSynced => Servers::Three(NatsCluster::start_synced().await),
        };
        let url = servers.url();
        let mut envs: Vec<(String, String)> =
            all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut peerd = Peerd::spawn(&url, &envs);
        peerd.until_ready().await?;
        if let Servers::Three(cluster) = &servers {
            cluster.until_healthy().await?;
        }
        envs.push(("PEERD__NATS__SERVERS".to_owned(), url));
        Ok(Self { peerd, servers, envs })
    }

    /// The addresses of the servers, as configured.
    pub(crate) fn url(&self) -> String {
        self.servers.url()
    }

    /// Stops peerd. Its streams stay, without a writer.
    pub(crate) async fn end_peerd(&mut self) {
        self.peerd.terminate().await;
    }

    /// Starts peerd again, with nothing in memory.
    pub(crate) async fn start_peerd(&mut self) -> Result<(), String> {
        self.peerd.spawn_again();
        self.peerd.until_ready().await
    }

    /// Runs `peerd bench` with arguments; returns its report.
    pub(crate) async fn bench(&self, arguments: &[&str]) -> Result<Value, String> {
        let dir = TempDir::new().map_err(|error| error.to_string())?;
        let mut command = tokio::process::Command::from(peerd_command(dir.path()));
        let envs = self.envs.iter().map(|(name, value)| (name, value));
        command.arg("bench").args(arguments).arg("--json").envs(envs).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().await.map_err(|error| error.to_string())?;
        if !output.status.success() {
            let failure = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("peerd bench {}: {failure}", arguments.join(" ")));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }
}

impl Servers {
    fn url(&self) -> String {
        match self {
            Self::One(nats) => nats.url(),
            Self::Three(cluster) => cluster.urls().join(","),
        }
    }
}
