//! A reader who pages forward from its last known message misses none, even if messages cross.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{CHANGED, FAST, World, number, of, string, text_to};
use crate::support::{Client, Events, Peerd, partition, run_cli_env};

const BURST: usize = 10;
const ROUNDS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(20);

/// The source of the message from which a reader pages on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    /// The last message of the previous page.
    Page,
    /// A message of an event; earlier messages are read once, at that moment.
    Event,
    /// The newest message of a page from the end, or of the conversation.
    Newest,
}

/// A user who pages forward while messages arrive.
struct Reader<'w> {
    world: &'w World,
    user: &'static str,
    other: &'static str,
    cursor: Cursor,
    /// The place up to which everything was read.
    at: Option<(u64, Value)>,
    seen: BTreeSet<String>,
    /// Messages that arrived later and sort before that.
    late: Vec<Value>,
}

impl<'w> Reader<'w> {
    fn new(world: &'w World, (user, other): (&'static str, &'static str), cursor: Cursor) -> Self {
        let (at, seen, late) = (None, BTreeSet::new(), Vec::new());
        Self { world, user, other, cursor, at, seen, late }
    }

    fn takes(&mut self, message: &Value) {
        let is_new = self.seen.insert(string(message, "messageID").to_owned());
        let at = self.at.as_ref().map_or(0, |(at, _)| *at);
        if is_new && number(message, "orderKey") < at {
            self.late.push(message.clone());
        }
    }

    fn moves_to(&mut self, message: &Value) {
        let key = number(message, "orderKey");
        if self.at.as_ref().is_none_or(|(at, _)| *at < key) {
            self.at = Some((key, json!({ "messageID": message["messageID"] })));
        }
    }

    async fn forth(&mut self, count: u64) -> usize {
        let mut config = json!({ "count": count });
        if let Some((_, next)) = &self.at {
            config["nextMessage"] = next.clone();
        }
        let page = self.world.page(self.user, self.other, config).await;
        for message in &page {
            self.takes(message);
        }
        page.last().into_iter().for_each(|last| self.moves_to(last));
        page.len()
    }

    async fn back(&mut self, before: Option<&Value>) {
        let mut config = json!({ "count": 100, "reverse": true });
        if let Some(before) = before {
            config["nextMessage"] = json!({ "messageID": before["messageID"] });
        }
        let page = self.world.page(self.user, self.other, config).await;
        page.iter().chain(before).for_each(|message| self.takes(message));
        page.last().into_iter().chain(before).for_each(|last| self.moves_to(last));
    }

    /// Reads until `total` messages are known.
    async fn run(mut self, mut events: Events, total: usize) -> Self {
        let began = Instant::now();
        let mut turn = 0;
        while self.seen.len() < total {
            if began.elapsed() > PATIENCE {
                // A missed message is in the history.
                self.back(None).await;
                self.at = None;
                while self.forth(100).await > 0 {}
                return self;
            }
            turn += 1;
            match self.cursor {
                Cursor::Page => {}
                Cursor::Event => {
                    let events = events.drain().await;
                    let last = events.iter().rfind(|event| event.name == CHANGED);
                    if let Some(last) = last {
                        let newest = &last.body["infoList"][0]["conversation"]["lastMessage"];
                        self.back(Some(newest)).await;
                    }
                }
                Cursor::Newest if turn % 2 == 0 => self.back(None).await,
                Cursor::Newest => {
                    let shown = self.world.conversation(self.user, self.other).await;
                    let newest = &shown["lastMessage"];
                    self.back(newest.is_object().then_some(newest)).await;
                }
            }
            self.forth([1, 3, 100][turn % 3]).await;
        }
        self
    }
}

type Pair = (&'static str, &'static str);

async fn bursts(clients: &[Client], (one, other): Pair) -> usize {
    for round in 0..ROUNDS {
        let sends = (0..BURST).flat_map(|number| {
            [(one, other), (other, one)].map(|(from, to)| {
                let client = &clients[number % clients.len()];
                let body = text_to(to, &format!("{from} {round} {number}"));
                async move { client.call(from, "send_peer_message", body).await.ok() }
            })
        });
        join_all(sends).await;
    }
    2 * ROUNDS * BURST
}

async fn nothing_is_missed(world: &World, clients: &[Client], pair: Pair) {
    let total = 2 * ROUNDS * BURST;
    let pairs = [pair, (pair.1, pair.0)];
    for cursor in [Cursor::Page, Cursor::Event, Cursor::Newest] {
        for (user, other) in pairs {
            world.ok(user, "delete_all_message", of(other)).await;
        }
        let mut readers = Vec::new();
        for pair in pairs {
            let events = world.events(pair.0).await;
            readers.push(Reader::new(world, pair, cursor).run(events, total));
        }
        let (sent, readers) = tokio::join!(bursts(clients, pair), join_all(readers));
        for reader in readers {
            assert_eq!(reader.late, Vec::<Value>::new(), "{} by {cursor:?}", reader.user);
            assert_eq!(reader.seen.len(), sent, "{} by {cursor:?}", reader.user);
        }
    }
}

#[tokio::test]
async fn crossing_bursts_are_read_by_paging_forward() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    nothing_is_missed(&world, std::slice::from_ref(&world.client), ("alice", "bob")).await;
}

/// Two users with different owners, once two instances share the partitions evenly.
async fn apart(world: &World) -> Pair {
    let users = ["alice", "bob", "carol", "erin", "frank", "grace", "heidi", "ivan"];
    let began = Instant::now();
    loop {
        let url = world.nats.url();
        let run = run_cli_env(&["status", "--json"], &[("PEERD__NATS__SERVERS", &url)]).await;
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        let lines = report["partitions"].as_array().unwrap();
        let owner = |user: &str| {
            let number = u64::from(partition(user, 8));
            let line = lines.iter().find(|line| number_of(line) == number);
            line.map(|line| line["owner"].clone()).unwrap_or_default()
        };
        let counts = report["members"].as_array().unwrap().iter();
        let least = counts.map(|member| member["partitions"].as_u64().unwrap_or(0)).min();
        let other = users.iter().find(|user| owner(user) != owner(users[0]));
        if let (Some(other), Some(3..)) = (other, least) {
            return (users[0], other);
        }
        assert!(began.elapsed() < PATIENCE, "{report}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn number_of(line: &Value) -> u64 {
    number(line, "partition")
}

#[tokio::test]
async fn crossing_bursts_between_two_instances_are_read_by_paging_forward() {
    let world = World::with(&[FAST]).await;
    let _second = Peerd::start_with(&world.nats.url(), &[FAST]).await;
    let pair = apart(&world).await;
    world.login(&[pair.0, pair.1]).await;
    let clients = [world.client.clone(), Client::connect(&world.nats.url()).await];
    nothing_is_missed(&world, &clients, pair).await;
}
