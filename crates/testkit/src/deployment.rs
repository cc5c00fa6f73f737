//! Several instances that run together.

use crate::{Peerd, faults::failure::Failure};

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
