//! Several instances and nats-servers that run together.

use std::{fmt::Write as _, io, path::Path};

use crate::{NatsCluster, Peerd, faults::failure::Failure, peerd::tail};

/// Settings of an instance, as variables of its environment.
pub type Settings = Vec<(String, String)>;

/// Settings from names and values.
pub fn settings<V: ToString>(settings: impl IntoIterator<Item = (&'static str, V)>) -> Settings {
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
}

/// Starts an instance for each address, all but the first concurrently, and waits until all are
/// ready.
pub async fn start_instances(
    urls: &[String],
    settings: &[(String, String)],
) -> Result<Vec<Peerd>, Failure> {
    let mut peerds: Vec<Peerd> = Vec::new();
    for url in urls {
        // The first one creates the streams.
        if let [first] = &mut peerds[..] {
            first.until_ready().await?;
        }
        peerds.push(Peerd::spawn(url, settings));
    }
    for peerd in &mut peerds {
        peerd.until_ready().await?;
    }
    Ok(peerds)
}

/// Copies the logs to a folder that outlives the processes.
pub fn keep_logs(folder: &Path, nats: &NatsCluster, peerds: &[Peerd]) -> io::Result<()> {
    for node in 0..nats.node_count() {
        std::fs::write(folder.join(format!("nats-server-{}.log", node + 1)), nats.log(node))?;
    }
    for (place, peerd) in peerds.iter().enumerate() {
        std::fs::write(folder.join(format!("peerd-{}.log", place + 1)), peerd.log())?;
    }
    Ok(())
}

/// A sentence, followed by the end of each instance's log.
pub fn with_log<'a>(what: &str, peerds: impl IntoIterator<Item = &'a Peerd>) -> String {
    let mut text = what.to_owned();
    for (number, peerd) in peerds.into_iter().enumerate() {
        let (id, pid, log) = (peerd.instance_id(), peerd.pid(), tail(&peerd.log()));
        // Writing to a string cannot fail.
        let _ = write!(text, "\n--- the log of instance {number}, {id}, process {pid} ---\n{log}");
    }
    text
}
