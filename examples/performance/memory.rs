//! The memory of users.

use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::{
    effort::Effort,
    figures::{Figure, Goal, Measured, median},
    stage::{Kind, Stage},
};

/// Concurrent calls.
const CONCURRENT: usize = 256;
/// A few users for the first measurement, which has the memory of peerd itself.
const FEW: usize = 1000;
/// For the first figure peerd may keep more users in memory than there are.
const CACHED_SHARE: usize = 2;
/// The ratio by which known users beyond those in memory may increase it.
const FLAT: f64 = 1.1;
/// How long memory must be stable, and how often it is sampled.
const SETTLED: Duration = Duration::from_secs(2);

/// Logs users in, and makes one more call for each, as an active user does.
async fn log_in(client: &Client, users: &str, from: usize, to: usize) -> Result<(), String> {
    stream::iter(from..to)
        .map(|number| async move {
            for method in ["login", "heartbeat"] {
                let subject = format!("peer.api.{users}{number}.{method}");
                let answer = client.request(subject, Bytes::new()).await;
                let answer = answer.map_err(|error| error.to_string())?;
                let error = answer
                    .headers
                    .and_then(|headers| headers.get("Nats-Service-Error").map(ToString::to_string));
                if let Some(error) = error {
                    return Err(format!("{method} of {users}{number}: {error}"));
                }
            }
            Ok(())
        })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await
}

/// Resident memory, once the leftovers of calls are freed.
async fn settled(stage: &Stage) -> f64 {
    tokio::time::sleep(SETTLED).await;
    bytes(stage.peerd.rss_bytes())
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
fn bytes(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "users are far fewer than 2^53")]
fn users(number: usize) -> f64 {
    number as f64
}

pub(crate) async fn measure(effort: &Effort) -> Result<Vec<Figure>, String> {
    let (active, known) = (effort.active_users, effort.known_users);
    let (mut each, mut growth) = (Vec::new(), Vec::new());
    let connect = async |stage: &Stage| {
        async_nats::connect(stage.url()).await.map_err(|error| error.to_string())
    };
    let cached = (active * CACHED_SHARE).to_string();
    for _ in 0..effort.rounds {
        let stage = Stage::start(Kind::One, &[("PEERD__LIMITS__CACHED_USERS", &cached)]).await?;
        let client = connect(&stage).await?;
        log_in(&client, "user", 0, FEW).await?;
        let few = settled(&stage).await;
        log_in(&client, "user", FEW, FEW + active).await?;
        each.push((settled(&stage).await - few) / users(active));
    }
    // Once: it takes long, and the result does not depend on speed.
    let cached = active.to_string();
    let stage = Stage::start(Kind::One, &[("PEERD__LIMITS__CACHED_USERS", &cached)]).await?;
    let client = connect(&stage).await?;
    // Until the cache of users is full.
    log_in(&client, "user", 0, CACHED_SHARE * active).await?;
    let before = settled(&stage).await;
    log_in(&client, "user", CACHED_SHARE * active, known).await?;
    let after = settled(&stage).await;
    growth.push(after / before);
    let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
    Ok(vec![
        Figure::new(
            "memory",
            &format!("memory of peerd for each of {active} users active in the last minute, bytes"),
            Goal::AtMost(2048.0),
            Measured::of(&each),
            format!("{:.1} MiB for all", mib(median(&each) * users(active))),
        ),
        Figure::new(
            "memory",
            &format!(
                "memory of peerd with {known} known users, most of them idle, against {}",
                CACHED_SHARE * active
            ),
            Goal::AtMost(FLAT),
            Measured::of(&growth),
            format!("{:.1} and {:.1} MiB, {active} users kept in memory", mib(after), mib(before)),
        ),
    ])
}
