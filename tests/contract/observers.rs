//! Observers of peerd's subjects change nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use super::world::{FAST, RECEIVED, World, text_to};
use crate::support::{Cli, Observer, run_cli_env};

/// Shorter than the default, so that effects of it show soon.
const MEMBER_TTL: (&str, &str) = ("PEERD__CLUSTER__MEMBER_TTL_MS", "2000");
/// Longer than an instance continues without a proof that the server answers.
const WATCHED: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(40);
/// How soon an idle instance must stop.
const ENDS_WITHIN: Duration = Duration::from_secs(4);
const USERS: [&str; 6] = ["alice", "bob", "carol", "dora", "erin", "fred"];

/// Calls and sends by all users for a while: each succeeds.
async fn work(world: &World) {
    let mut events = world.events("bob").await;
    let began = Instant::now();
    let mut round = 0;
    while began.elapsed() < WATCHED {
        for (place, user) in USERS.into_iter().enumerate() {
            let to = USERS[(place + 1 + round % 5) % USERS.len()];
            world.ok(user, "send_peer_message", text_to(to, "hi")).await;
            world.ok(user, "query_conversation_total_unread_message_count", json!({})).await;
        }
        round += 1;
        tokio::time::sleep(PAUSE).await;
    }
    let all = events.drain().await;
    assert!(all.iter().any(|event| event.name == RECEIVED), "bob receives nothing");
}

async fn cli(world: &World, args: &[&str]) -> Cli {
    let url = world.nats.url();
    run_cli_env(args, &[("PEERD__NATS__SERVERS", url.as_str()), MEMBER_TTL]).await
}

/// The commands of an operator: each reports that all is well.
async fn look(world: &World) {
    for args in [&["status"][..], &["audit"], &["audit", "alice"], &["call", "alice", "heartbeat"]]
    {
        let run = cli(world, args).await;
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
    }
}

#[tokio::test]
async fn one_instance_serves_on_while_everything_is_listened_to() {
    let mut world = World::with(&[MEMBER_TTL, FAST]).await;
    world.login(&USERS).await;
    let mut observer = Observer::connect(&world.nats.url()).await;
    observer.listen(&Observer::EVERYTHING).await;
    work(&world).await;
    look(&world).await;
    let asked = Instant::now();
    assert!(world.peerd.terminate().await.success());
    assert!(asked.elapsed() < ENDS_WITHIN, "it took {:?} to end", asked.elapsed());
    // The start works, too.
    world.peerd.restart().await;
    world.login(&["alice"]).await;
}

/// A client that replies to requests between instances is not mistaken for an instance.
#[tokio::test]
async fn several_instances_serve_despite_foreign_subscribers_and_replies() {
    let mut world = World::with(&[MEMBER_TTL, FAST]).await;
    let url = world.nats.url();
    let mut others = world.two_more(&[MEMBER_TTL, FAST]).await;
    world.login(&USERS).await;
    let mut observer = Observer::connect(&url).await;
    observer.listen(&Observer::EVERYTHING).await;
    // Probes and requests between owners. Calls are one token longer; every client that receives
    // them can reply to the caller.
    observer.reply_to("peer.part.*.*").await;
    work(&world).await;
    look(&world).await;
    // One instance is killed: this is noticed although the observer answers in its place.
    others[0].kill9();
    let died = Instant::now();
    let mut answered = 0;
    while answered < USERS.len() {
        assert!(died.elapsed() < Duration::from_secs(20), "its users are not taken over");
        answered = 0;
        for user in USERS {
            let call = world.client.try_call(user, "heartbeat", json!({}));
            let reply = tokio::time::timeout(Duration::from_secs(1), call).await;
            answered += usize::from(matches!(reply, Ok(Ok(reply)) if reply.code.is_none()));
        }
    }
    work(&world).await;
    for peerd in [&mut others[1], &mut world.peerd] {
        let asked = Instant::now();
        assert!(peerd.terminate().await.success());
        assert!(asked.elapsed() < ENDS_WITHIN, "it took {:?} to end", asked.elapsed());
    }
}

#[tokio::test]
async fn no_daemon_is_reported_although_an_observer_subscribes() {
    let mut world = World::with(&[MEMBER_TTL]).await;
    world.login(&["alice"]).await;
    let mut observer = Observer::connect(&world.nats.url()).await;
    observer.listen(&[">"]).await;
    assert!(world.peerd.terminate().await.success());
    let run = cli(&world, &["call", "alice", "heartbeat"]).await;
    assert_eq!(run.code, Some(69), "{run:?}");
    assert!(run.stderr.contains("no peerd"), "{run:?}");
    let asked = Instant::now();
    let run = cli(&world, &["audit", "alice"]).await;
    assert_eq!(run.code, Some(69), "{run:?}");
    assert!(run.stdout.contains("no instance owns its partition"), "{run:?}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}
