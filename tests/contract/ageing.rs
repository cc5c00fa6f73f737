//! Counts follow messages that aged out or that an operator removed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::world::{CHANGED, FAST, TOTAL, World, number, of, text_to};
use crate::support::{partition, run_cli_env};

const AGE: (&str, &str) = ("PEERD__STREAM__MAX_AGE_SECONDS", "3");
const JSON: (&str, &str) = ("PEERD__EVENTS__ENCODING", "json");
const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// The number of stored messages from one user to another.
async fn stored(world: &World, to: &str, from: &str) -> u64 {
    let number = partition(to, 8);
    let subject = format!("peer.log.{number}.{to}.{from}");
    let subjects = world.store.subjects(&format!("PEER_LOG_{number}"), &subject).await;
    subjects.first().map_or(0, |(_, count)| u64::try_from(*count).unwrap())
}

async fn log_of(world: &World, user: &str) -> async_nats::jetstream::stream::Stream {
    let name = format!("PEER_LOG_{}", partition(user, 8));
    world.store.jetstream().get_stream(name).await.unwrap()
}

async fn unread(world: &World, user: &str, other: &str) -> u64 {
    number(&world.conversation(user, other).await, "unreadMessageCount")
}

/// Asserts that the count never exceeds the stored messages, until there are `left`.
async fn never_more_than_stored(world: &World, left: u64) {
    let began = Instant::now();
    loop {
        // The number of stored messages before is the upper bound.
        let most = stored(world, "bob", "alice").await;
        let shown = unread(world, "bob", "alice").await;
        let (total, _) = world.totals("bob").await;
        assert!(shown <= most && total <= most, "{shown} unread, {total} in total, of {most}");
        if most <= left {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{most} are left");
        sleep(POLL).await;
    }
}

#[tokio::test]
async fn messages_that_aged_out_are_no_longer_unread_and_the_change_is_published() {
    let mut world = World::with(&[FAST, AGE, JSON]).await;
    world.login(&["alice", "bob"]).await;
    for number in 0..4 {
        world.send("alice", "bob", &format!("old {number}")).await;
    }
    sleep(Duration::from_millis(1_500)).await;
    for number in 0..3 {
        world.send("alice", "bob", &format!("new {number}")).await;
    }
    let mut events = world.events("bob").await;
    never_more_than_stored(&world, 3).await;
    assert_eq!(unread(&world, "bob", "alice").await, 3);
    assert_eq!(world.totals("bob").await, (3, 3));
    never_more_than_stored(&world, 0).await;
    assert_eq!(world.totals("bob").await, (0, 0));
    let shown = world.conversation("bob", "alice").await;
    assert_eq!((number(&shown, "unreadMessageCount"), shown.get("lastMessage")), (0, None));
    let published = events.drain().await;
    let totals = published.iter().filter(|event| event.name == TOTAL);
    let totals: Vec<u64> =
        totals.map(|event| number(&event.body, "totalUnreadMessageCount")).collect();
    assert!(totals.is_sorted_by(|one, next| one > next), "{totals:?}");
    assert_eq!(totals.last(), Some(&0));
    let mut counts = published.iter().filter(|event| event.name == CHANGED);
    let last = counts.next_back().unwrap().body["infoList"][0]["conversation"].clone();
    assert_eq!(
        (number(&last, "unreadMessageCount"), &last["conversationID"]),
        (0, &json!("alice"))
    );
    // The next message counts as one.
    world.send("alice", "bob", "again").await;
    assert_eq!((unread(&world, "bob", "alice").await, world.totals("bob").await), (1, (1, 1)));
    world.peerd.restart().await;
    assert_eq!(world.totals("bob").await, (1, 1));
}

#[tokio::test]
async fn an_idle_users_counts_follow_ageing_and_count_reads_and_deletions_once() {
    let mut world = World::with(&[FAST, AGE, JSON]).await;
    world.login(&["alice", "bob"]).await;
    world.send("alice", "bob", "read").await;
    world.clear("bob", "alice").await;
    let mut deleted = Value::Null;
    for number in 0..3 {
        deleted = world.send("alice", "bob", &format!("old {number}")).await;
    }
    let delete = |message: &Value| {
        let mut body = of("alice");
        body["messageList"] = json!([{ "messageID": message["messageID"] }]);
        body
    };
    world.ok("bob", "delete_messages", delete(&deleted)).await;
    sleep(Duration::from_millis(1_500)).await;
    let kept = world.send("alice", "bob", "new").await;
    world.send("alice", "bob", "newer").await;
    world.ok("bob", "delete_messages", delete(&kept)).await;
    assert_eq!(world.totals("bob").await, (3, 3));
    let mut events = world.events("bob").await;
    // Without a call of bob.
    let published = events.expect(&[CHANGED, TOTAL]).await;
    assert!(number(&published[1].body, "totalUnreadMessageCount") < 3);
    never_more_than_stored(&world, 2).await;
    assert_eq!(world.totals("bob").await, (1, 1), "one of the two that are left was deleted");
    world.peerd.restart().await;
    let totals = world.totals("bob").await;
    assert!(totals.0 <= 1, "{totals:?}");
    never_more_than_stored(&world, 0).await;
}

#[tokio::test]
async fn the_badge_of_a_push_counts_what_is_left() {
    let world = World::with(&[FAST, AGE, JSON]).await;
    world.login(&["alice", "bob"]).await;
    world.ok("bob", "logout", json!({})).await;
    for number in 0..4 {
        world.send("alice", "bob", &format!("old {number}")).await;
    }
    let began = Instant::now();
    while stored(&world, "bob", "alice").await > 0 {
        assert!(began.elapsed() < DEADLINE);
        sleep(POLL).await;
    }
    let mut body = text_to("bob", "new");
    body["config"] = json!({ "pushConfig": { "title": "t" } });
    world.ok("alice", "send_peer_message", body).await;
    let pushes = world.store.jetstream().get_stream("PEER_PUSH").await.unwrap();
    while world.store.count("PEER_PUSH").await == 0 {
        assert!(began.elapsed() < DEADLINE);
        sleep(POLL).await;
    }
    let push = pushes.get_last_raw_message_by_subject("peer.push.bob").await.unwrap();
    let push: Value = serde_json::from_slice(&push.payload).unwrap();
    assert_eq!(push["badge"], 1, "{push}");
}

/// Runs the audit until nothing differs; returns its report.
async fn audited(world: &World) -> Value {
    let url = world.nats.url();
    let run = run_cli_env(&["audit", "--json"], &[("PEERD__NATS__SERVERS", &url)]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[tokio::test]
async fn the_audit_corrects_and_publishes_what_an_operator_removed() {
    let mut world = World::with(&[FAST, JSON, ("PEERD__AUDIT__READS_PER_SECOND", "0")]).await;
    world.login(&["alice", "bob", "carol"]).await;
    for number in 0..6 {
        world.send("alice", "bob", &format!("m{number}")).await;
        world.send("carol", "bob", &format!("m{number}")).await;
        world.send("bob", "carol", &format!("m{number}")).await;
    }
    let log = log_of(&world, "bob").await;
    let number_of_bob = partition("bob", 8);
    let subject = format!("peer.log.{number_of_bob}.bob.alice");
    let last = log.get_last_raw_message_by_subject(&subject).await.unwrap().sequence;
    let mut events = world.events("bob").await;
    for (remove, left) in [("middle", 5), ("newest", 4), ("oldest", 3), ("all", 0)] {
        match remove {
            "middle" => assert!(log.delete_message(last - 6).await.is_ok()),
            "newest" => assert!(log.delete_message(last).await.is_ok()),
            "oldest" => drop(log.purge().filter(&subject).keep(3).await.unwrap()),
            _ => drop(log.purge().filter(&subject).await.unwrap()),
        }
        assert_eq!(stored(&world, "bob", "alice").await, left, "{remove}");
        let report = audited(&world).await;
        assert!(number(&report, "corrected") > 0, "{remove}: {report}");
        assert_eq!(unread(&world, "bob", "alice").await, left, "{remove}");
        assert_eq!(world.totals("bob").await, (left + 6, left + 6), "{remove}");
        let published = events.drain().await;
        let total = published.iter().rfind(|event| event.name == TOTAL).unwrap();
        assert_eq!(number(&total.body, "totalUnreadMessageCount"), left + 6);
        assert_eq!(number(&audited(&world).await, "corrected"), 0, "{remove}");
        world.peerd.restart().await;
        // A revision that nothing stored shows is unknown after a restart.
        events = world.events("bob").await;
        assert_eq!(world.totals("bob").await, (left + 6, left + 6), "{remove}, after a restart");
        assert_eq!(number(&audited(&world).await, "corrected"), 0, "{remove}");
    }
    let next = world.send("alice", "bob", "next").await;
    assert_eq!(unread(&world, "bob", "alice").await, 1);
    assert!(number(&next, "messageSeq") > 4, "{next}");
    // All messages of a partition, including the user's own.
    log_of(&world, "carol").await.purge().await.unwrap();
    log.purge().await.unwrap();
    audited(&world).await;
    assert_eq!((world.totals("bob").await, world.totals("carol").await), ((0, 0), (0, 0)));
    audited(&world).await;
    world.send("carol", "bob", "after").await;
    assert_eq!(world.totals("bob").await, (1, 1));
    world.peerd.restart().await;
    assert_eq!((world.totals("bob").await, world.totals("carol").await), ((1, 1), (0, 0)));
    audited(&world).await;
}
