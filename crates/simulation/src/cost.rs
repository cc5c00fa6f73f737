//! The cost of a send and of a page of history, in appends and reads of the store.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::client::{Client, PLAIN, Said, send_request};
use crate::instance::{forget_sessions, start};
use crate::model::request::Request;
use crate::plan::{NAMES, Setup, Weather};
use crate::random::Random;
use crate::world::World;

/// The number of messages between the first and the second measurement.
const HISTORY: usize = 450;
/// The number of sends per measurement. One of them may also store the time when its sender was
/// last seen.
const LOOKED_AT: usize = 3;
/// The messages of a page.
const PAGE: usize = 30;
/// The time after which no message can be stored before existing ones any more.
const SETTLED: Duration = Duration::from_secs(30);

/// The shortest time for which a reader looks at a page.
const LOOK: Duration = Duration::from_millis(500);

/// The cost of a send: appends and reads.
pub type Cost = (u64, u64);

/// One append and no read.
pub const USUAL: Cost = (1, 0);

/// The cost of a send in a conversation of two messages, and in one of many, beside others.
#[must_use]
pub fn measure() -> [Cost; 2] {
    run(async |client| {
        let mut number = 0;
        for _ in 0..2 {
            send(&client, 1, &mut number).await;
        }
        let early = cost(&client, &mut number).await;
        for _ in 0..HISTORY {
            send(&client, 1, &mut number).await;
        }
        for other in 2..NAMES.len() {
            send(&client, other, &mut number).await;
        }
        [early, cost(&client, &mut number).await]
    })
}

/// The cost of a send whose sender is informed that it was delivered.
#[must_use]
pub fn delivered() -> Cost {
    run_with(true, async |client| {
        let mut number = 0;
        for _ in 0..2 {
            send(&client, 1, &mut number).await;
        }
        cost(&client, &mut number).await
    })
}

/// The cost of a page of history.
#[derive(Debug)]
pub struct Page {
    /// Reads that the caller waited for.
    pub reads: u64,
    /// Reads ahead, for later pages.
    pub ahead: u64,
}

/// The cost of each page of a history that is read backwards.
#[must_use]
pub fn pages() -> Vec<Page> {
    run(async |client| {
        let mut number = 0;
        for _ in 0..HISTORY {
            send(&client, 1, &mut number).await;
        }
        sleep(SETTLED).await;
        let (mut pages, mut anchor) = (Vec::new(), None);
        for newest in (PAGE..=HISTORY).rev().step_by(PAGE) {
            let asked = || client.world.lock().asked.1;
            let before = asked();
            let request = Request::History { other: 1, reverse: true, count: PAGE, anchor };
            let said = client.ask(0, &request).await;
            let answered = asked();
            sleep(LOOK).await;
            pages.push(Page { reads: answered - before, ahead: asked() - answered });
            let page = if let Said::Good { body, .. } = said { body } else { Value::Null };
            let messages = page["messageList"].as_array().expect("a page");
            let seqs = messages.iter().map(|message| message["messageSeq"].clone());
            assert!(seqs.eq(newest + 1 - PAGE..=newest), "{page}");
            anchor = messages[0]["messageID"].as_str().map(str::to_owned);
        }
        pages
    })
}

/// The cost of a login, a heartbeat, a send and a logout together, of a user who follows nobody and
/// whom nobody follows: appends, reads and events. Before others follow each other, and after.
#[must_use]
pub fn unfollowed() -> [(Cost, usize); 2] {
    run(async |client| {
        let mut number = 0;
        send(&client, 1, &mut number).await;
        let before = session(&client, &mut number).await;
        for (user, other) in [(2, 3), (3, 2)] {
            let request = Request::Follow { others: vec![other], minutes: 60 };
            client.ask(user, &request).await;
        }
        sleep(Duration::from_secs(3)).await;
        [before, session(&client, &mut number).await]
    })
}

async fn session(client: &Client, number: &mut usize) -> (Cost, usize) {
    let spent = || {
        let core = client.world.lock();
        (core.asked, core.watch.events)
    };
    let mut least = ((u64::MAX, u64::MAX), usize::MAX);
    for _ in 0..LOOKED_AT {
        let before = spent();
        client.ask(0, &Request::Login { name: None, device: None, after: None }).await;
        client.ask(0, &Request::Heartbeat).await;
        send(client, 1, number).await;
        client.ask(0, &Request::Logout { session: None }).await;
        sleep(LOOK).await;
        let after = spent();
        let appends = after.0.0 - before.0.0;
        let reads = after.0.1 - before.0.1;
        least = least.min(((appends, reads), after.1 - before.1));
    }
    least
}

/// Runs a closure with one instance and without faults.
fn run<R>(what: impl AsyncFnOnce(Client) -> R) -> R {
    run_with(false, what)
}

/// As [`run`], with delivered receipts or without.
fn run_with<R>(delivered: bool, what: impl AsyncFnOnce(Client) -> R) -> R {
    let setup = Setup {
        instances: 1,
        partitions: 4,
        users: NAMES.len(),
        replicas: true,
        ttl_ms: 5000,
        call_deadline_ms: 5000,
        owner_wait_ms: 2000,
        messages_per_second: 1000,
        commands_per_second: 30,
        calls_under_way: 64,
        cached_users: 1000,
        is_observed: false,
        delivered,
        weather: Weather::CALM,
    };
    forget_sessions();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let world = World::new(&setup, Random::new(1));
        let _instance = start(&world);
        sleep(Duration::from_secs(5)).await;
        let client = Client { world: world.clone(), is_calm: true, is_settled: false };
        for user in 0..setup.users {
            let request = Request::Login { name: None, device: None, after: None };
            client.ask(user, &request).await;
        }
        what(client).await
    })
}

async fn send(client: &Client, to: usize, number: &mut usize) {
    *number += 1;
    client.ask(0, &send_request((&format!("secret-{number}"), None), to, PLAIN)).await;
    sleep(Duration::from_millis(10)).await;
}

async fn cost(client: &Client, number: &mut usize) -> Cost {
    let mut least = (u64::MAX, u64::MAX);
    for _ in 0..LOOKED_AT {
        let before = client.world.lock().asked;
        send(client, 1, number).await;
        let after = client.world.lock().asked;
        least = least.min((after.0 - before.0, after.1 - before.1));
    }
    least
}
