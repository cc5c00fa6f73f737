//! The cost of a call that arrives at an instance that is not the owner. It prints figures and
//! asserts none, since the speed of a debug build says little.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::{
    machine,
    settings::{rounds, setup},
};
use crate::{
    faults::{caller::Manner, failure::Failure},
    support::{Client, Nats, login, start_instances, token},
    wait::say,
};

/// The same calls under another first token, which the server maps to the subjects of their owners.
const BOTH_WAYS: &str = "jetstream {}\nmappings { \"direct.api.*.*\": \
    \"peer.part.{{partition(8,1)}}.{{wildcard(1)}}.{{wildcard(2)}}\" }\n";
const USERS: usize = 24;
const LANES_PER_USER: usize = 4;
const RUN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_arrive_anywhere_and_calls_that_arrive_at_their_owner() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("both-ways.conf");
    std::fs::write(&path, BOTH_WAYS)?;
    let nats = Nats::start_with_config(&path, &[]).await;
    let setup = setup("hop", &nats.url(), Manner::Strict);
    let _peerds = start_instances(&setup.instances, &setup.settings()).await?;
    let client = Client::connect(&nats.url()).await;
    let users: Vec<_> = (0..USERS).map(|user| format!("user{user}")).collect();
    for user in &users {
        login(&client, user).await;
    }
    let (mut anywhere, mut at_owner) = (0, 0);
    for _ in 0..rounds() {
        anywhere += send_for_a_while(&client, "peer", &users).await?;
        at_owner += send_for_a_while(&client, "direct", &users).await?;
    }
    let per_second = |sent: u64| {
        let seconds = RUN.as_secs_f64() * f64::from(u32::try_from(rounds()).unwrap_or(1));
        f64::from(u32::try_from(sent).unwrap_or(u32::MAX)) / seconds
    };
    let (anywhere, at_owner) = (per_second(anywhere), per_second(at_owner));
    let ratio = anywhere / at_owner;
    say(&format!(
        "hop: {anywhere:.0} sends/s arriving anywhere, {at_owner:.0} at their owner: {ratio:.2}"
    ));
    Ok(())
}

/// The number of sends, each of which must succeed.
async fn send_for_a_while(client: &Client, prefix: &str, users: &[String]) -> Result<u64, Failure> {
    let ends = Instant::now() + RUN;
    let sent = AtomicU64::new(0);
    let lanes = (0..users.len() * LANES_PER_USER).map(|lane| {
        let user = lane % users.len();
        let to = &users[(user + 1 + lane / users.len()) % users.len()];
        let subject = format!("{prefix}.api.{}.send_peer_message", token(&users[user]));
        let body = json!({ "message": { "type": 1, "message": "x" }, "toUserID": to }).to_string();
        let sent = &sent;
        async move {
            while Instant::now() < ends {
                let reply = client.nats().request(subject.clone(), body.clone().into()).await?;
                if reply.headers.is_some_and(|headers| headers.get("Nats-Service-Error").is_some())
                {
                    return Err(format!("{subject}: {}", reply.payload.escape_ascii()).into());
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Failure>(())
        }
    });
    join_all(lanes).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(sent.load(Ordering::Relaxed))
}
