//! Two instances on one NATS are one service.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use super::{
    limits::{accepted_timestamps, assert_at_most_ten_in_any_second, flood},
    world::{FAST, FAULT, RATE_LIMITED, World, number, text_to, texts},
};
use crate::support::{Client, Peerd};

#[tokio::test]
async fn the_rate_holds_over_two_instances_and_over_a_change_of_owners() {
    let mut world = World::of(&["alice", "bob"]).await;
    let mut second = Peerd::start(&world.nats).await;
    let clients = [world.client.clone(), Client::connect(&world.nats.url()).await];
    let mut replies = flood(&clients, "alice", "bob", Duration::from_millis(1_500)).await;
    // Whichever owns alice: when the first leaves, the other does.
    let leaving = async {
        assert!(world.peerd.terminate().await.success());
    };
    let flooding = flood(&clients, "alice", "bob", Duration::from_millis(2_500));
    let ((), during) = tokio::join!(leaving, flooding);
    replies.extend(during);
    // While nobody owns alice or bob, a call may be put off, but each is answered.
    for code in replies.iter().filter_map(|reply| reply.code) {
        assert!([RATE_LIMITED, FAULT].contains(&code), "{code}");
    }
    let timestamps = accepted_timestamps(&replies);
    assert!(timestamps.len() > 20, "{} accepted", timestamps.len());
    assert_at_most_ten_in_any_second(timestamps);
    assert!(second.is_running());
}

#[tokio::test]
async fn many_users_chat_over_two_instances_and_every_count_agrees() {
    let world = World::with(&[FAST]).await;
    let mut second = Peerd::start_with(&world.nats.url(), &[FAST]).await;
    let users: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let world = &world;
    join_all(users.iter().map(|user| world.login_one(user))).await;
    let sends = users.iter().flat_map(|from| {
        users.iter().filter(move |to| *to != from).map(move |to| {
            let body = text_to(to, &format!("{from} to {to}"));
            async move { world.ok(from, "send_peer_message", body).await }
        })
    });
    for reply in join_all(sends).await {
        assert_eq!(reply["message"]["messageSeq"], 1);
    }
    assert!(second.terminate().await.success(), "{}", second.log());
    for user in &users {
        assert_eq!(world.totals(user).await, (11, 11), "{user}");
        let conversations = world.conversations(user).await;
        assert_eq!(conversations.len(), 11);
        let keys: Vec<_> =
            conversations.iter().map(|conversation| number(conversation, "orderKey")).collect();
        assert!(keys.is_sorted_by(|one, next| one > next), "{keys:?}");
    }
    let history = world.history("user0", "user1").await;
    let mut texts = texts(&history);
    texts.sort_unstable();
    assert_eq!(texts, ["user0 to user1", "user1 to user0"]);
    world.ok("user0", "logout", json!({})).await;
}
