//! Service discovery, as in NATS's ADR-32.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{World, keys, number, string};
use crate::support::Peerd;

const DEADLINE: Duration = Duration::from_secs(5);

/// A number of all endpoints together.
fn sum(stats: &Value, field: &str) -> u64 {
    let endpoints = stats["endpoints"].as_array().unwrap();
    endpoints.iter().map(|one| number(one, field)).sum()
}

async fn ask(world: &World, subject: &str) -> Value {
    let reply = world
        .client
        .nats()
        .request(subject.to_owned(), "".into())
        .await
        .unwrap_or_else(|error| panic!("{subject}: {error}"));
    serde_json::from_slice(&reply.payload).unwrap()
}

#[track_caller]
fn assert_identity(answer: &Value, kind: &str, peerd: &Peerd) {
    assert_eq!(answer["type"], format!("io.nats.micro.v1.{kind}_response"));
    assert_eq!(answer["name"], "peerd");
    assert_eq!(answer["id"], peerd.instance_id());
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    assert!(answer["metadata"].is_object() || answer["metadata"].is_null(), "{answer}");
}

#[tokio::test]
async fn ping_info_and_stats_answer_under_all_their_subjects() {
    let world = World::start().await;
    let id = world.peerd.instance_id();
    for (verb, kind) in [("PING", "ping"), ("INFO", "info"), ("STATS", "stats")] {
        for subject in [
            format!("$SRV.{verb}"),
            format!("$SRV.{verb}.peerd"),
            format!("$SRV.{verb}.peerd.{id}"),
        ] {
            assert_identity(&ask(&world, &subject).await, kind, &world.peerd);
        }
    }
    let info = ask(&world, "$SRV.INFO.peerd").await;
    assert!(info["description"].is_string(), "{info}");
    let endpoints = info["endpoints"].as_array().unwrap();
    let api = endpoints
        .iter()
        .find(|endpoint| endpoint["subject"] == "peer.api.*.*")
        .unwrap_or_else(|| panic!("no endpoint on peer.api.*.*: {info}"));
    assert_eq!(api["queue_group"], "peerd");
    assert!(!string(api, "name").is_empty());
}

#[tokio::test]
async fn the_statistics_count_calls_and_errors() {
    let world = World::start().await;
    for _ in 0..3 {
        world.ok("alice", "login", json!({})).await;
    }
    for _ in 0..2 {
        world.refused("alice", "no_such_method", json!({})).await;
    }
    // A call may be counted a moment after its reply.
    let started = Instant::now();
    let stats = loop {
        let stats = ask(&world, "$SRV.STATS.peerd").await;
        if sum(&stats, "num_requests") >= 5 {
            break stats;
        }
        assert!(started.elapsed() < DEADLINE, "not counted: {stats}");
    };
    assert!(string(&stats, "started").ends_with('Z'), "{stats}");
    let endpoints = stats["endpoints"].as_array().unwrap();
    assert_eq!(sum(&stats, "num_requests"), 5);
    assert_eq!(sum(&stats, "num_errors"), 2);
    assert!(sum(&stats, "processing_time") > 0);
    for endpoint in endpoints {
        let fields = keys(endpoint);
        for field in [
            "average_processing_time",
            "name",
            "num_errors",
            "num_requests",
            "processing_time",
            "queue_group",
            "subject",
        ] {
            assert!(fields.contains(&field), "{field} is missing in {endpoint}");
        }
    }
    assert!(
        endpoints
            .iter()
            .any(|endpoint| endpoint["last_error"].as_str().is_some_and(|e| !e.is_empty())),
        "{stats}"
    );
}
