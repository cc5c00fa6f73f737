//! The servers to be measured, and `peerd bench` against them.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Nats, NatsCluster, Peerd, Settings, run_cli_within, settings};

/// Above the rate of any sender of a load.
const NO_RATE_LIMIT: (&str, &str) = ("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000000");
/// Longer than any load.
const BENCH_DEADLINE: Duration = Duration::from_secs(3600);

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
    envs: Settings,
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn start(kind: Kind, envs: &[(&'static str, &str)]) -> Result<Self, String> {
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
        let mut envs = settings(all);
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
        let arguments = [&["bench", "--json"], arguments].concat();
        let envs = self.envs.iter().map(|(name, value)| (name, value));
        let run = run_cli_within(BENCH_DEADLINE, &arguments, envs).await;
        if run.code != Some(0) {
            return Err(format!("peerd {}: {}", arguments.join(" "), run.stderr));
        }
        run.json().map_err(|error| error.to_string())
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
