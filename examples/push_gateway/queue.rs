//! The queue of offline pushes.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{Client, Error};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

/// The stream with peerd's pushes; named after peerd's `subject_prefix`.
pub(crate) const STREAM: &str = "PEER_PUSH";
/// The consumer that all gateways share, and that their NATS permissions name.
pub(crate) const CONSUMER: &str = "gateway";
/// The time after which a push without an acknowledgement is delivered again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// The most unacknowledged pushes of all gateways: those that a crash repeats.
const MOST_UNACKNOWLEDGED: i64 = 256;
/// Pushes that one gateway handles concurrently.
const CONCURRENT: usize = 16;
/// The time after which a push that the vendor refused is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The number of failed deliveries after which a push is given up.
const TRIES: i64 = 5;

/// Creates the consumer, unless it exists.
pub(crate) async fn create(client: Client) -> Result<(), Error> {
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MOST_UNACKNOWLEDGED,
        ..pull::Config::default()
    };
    let context = jetstream::new(client);
    context.create_consumer_on_stream(config, STREAM).await?;
    Ok(())
}

/// Passes each push to `deliver`, and acknowledges successful ones. Ends with the first error of
/// NATS; unacknowledged pushes are delivered again, to this gateway or another.
pub(crate) async fn run(
    client: Client,
    deliver: impl AsyncFn(&Value) -> Result<(), String>,
) -> Result<(), Error> {
    let context = jetstream::new(client);
    let consumer: PullConsumer = context.get_consumer_from_stream(CONSUMER, STREAM).await?;
    // Two bounds: the pushes of one request, and the pushes in progress.
    let pushes = consumer.stream().max_messages_per_batch(CONCURRENT).messages().await?;
    let handled = pushes.map(|push| async {
        let push = push?;
        handle(&push, &deliver).await
    });
    handled.buffer_unordered(CONCURRENT).try_collect().await
}

async fn handle(
    push: &Message,
    deliver: &impl AsyncFn(&Value) -> Result<(), String>,
) -> Result<(), Error> {
    let delivered = match read(push) {
        Ok(body) => deliver(&body).await,
        // A repeat would not make it readable.
        Err(problem) => return give_up(push, &problem).await,
    };
    match delivered {
        // Confirmed, because a lost acknowledgement causes another delivery. The vendor recognizes
        // that by its `messageID`.
        Ok(()) => push.double_ack().await,
        Err(problem) if push.info()?.delivered >= TRIES => give_up(push, &problem).await,
        Err(_) => push.ack_with(AckKind::Nak(Some(TRY_AGAIN))).await,
    }
}

async fn give_up(push: &Message, problem: &str) -> Result<(), Error> {
    report_failure(&format!("gave up a push on {}: {problem}", push.subject));
    push.ack_with(AckKind::Term).await
}

/// The body, in the encoding that the message names.
fn read(push: &Message) -> Result<Value, String> {
    let header = |name| push.headers.as_ref()?.get(name);
    match header("Content-Type").map(async_nats::HeaderValue::as_str) {
        Some("application/json") => {
            serde_json::from_slice(&push.payload).map_err(|e| e.to_string())
        }
        Some("application/msgpack") => {
            rmp_serde::from_slice(&push.payload).map_err(|error| error.to_string())
        }
        other => Err(format!("Content-Type is {other:?}")),
    }
}

#[expect(clippy::print_stderr, reason = "an example talks to its user")]
fn report_failure(problem: &str) {
    eprintln!("{problem}");
}
