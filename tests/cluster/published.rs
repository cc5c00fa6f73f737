//! The next owner of a partition publishes what the previous one stored and did not publish before
//! it died.
//!
//! In each round a few senders send a burst, an owner is killed during it, and then no user calls:
//! the stored messages must be published all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    machine,
    settings::{rounds, setup, ttl},
};
use crate::{
    faults::{
        caller::{Caller, Manner},
        explained::explained,
        failure::Failure,
        random::Random,
        reading,
        trial::Setup,
    },
    support::{Client, Nats, Owners, Peerd, Store, partition, start_instances},
    wait::{now_ms, say, until},
};

/// How long publishing may take after the instance counts as dead.
const MARGIN: Duration = Duration::from_secs(3);
const PAIRS: [(&str, &str); 5] =
    [("ann", "bob"), ("cid", "dora"), ("eve", "finn"), ("gil", "hana"), ("ida", "bob")];
const SENDS_PER_BURST: u64 = 12;
const BURST_MS: u64 = 400;

/// The events that were received, each with its time in milliseconds since 1970.
#[derive(Debug, Default)]
struct ReceivedEvents {
    /// `peer_message_received`, by receiver and message ID.
    received: BTreeMap<(String, String), Vec<u64>>,
    /// The message IDs under which a local message ID was published.
    ids: BTreeMap<(String, String), BTreeSet<String>>,
    /// The newest message of each `conversation_changed` of its sender: sender, receiver, then
    /// messageSeq.
    sent: BTreeMap<(String, String), BTreeMap<u64, u64>>,
}

impl ReceivedEvents {
    fn add(&mut self, user: &str, event: &str, body: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let now = now_ms();
        if event == "peer_message_received" {
            for message in body["messageList"].as_array().into_iter().flatten() {
                let id = text(&message["messageID"]);
                self.received.entry((user.to_owned(), id.clone())).or_default().push(now);
                let local = (text(&message["senderUserID"]), text(&message["localMessageID"]));
                self.ids.entry(local).or_default().insert(id);
            }
        } else if event == "conversation_changed" {
            for info in body["infoList"].as_array().into_iter().flatten() {
                let last = &info["conversation"]["lastMessage"];
                if last["senderUserID"] == user {
                    let pair = (user.to_owned(), text(&last["conversationID"]));
                    let seq = last["messageSeq"].as_u64().unwrap_or_default();
                    self.sent.entry(pair).or_default().entry(seq).or_insert(now);
                }
            }
        }
    }

    /// The number of messages of one sender that were published to the receiver.
    fn received_count(&self, from: &str, to: &str) -> u64 {
        let published =
            self.ids.iter().filter(|((sender, _), _)| sender == from).flat_map(|(_, ids)| ids);
        let published =
            published.filter(|id| self.received.contains_key(&(to.to_owned(), (*id).clone())));
        u64::try_from(published.count()).unwrap_or_default()
    }

    /// The newest of its own messages that was published to a sender.
    fn newest_sent(&self, from: &str, to: &str) -> u64 {
        let sent = self.sent.get(&(from.to_owned(), to.to_owned()));
        sent.and_then(|seqs| seqs.last_key_value()).map_or(0, |(seq, _)| *seq)
    }
}

struct Stage {
    random: Random,
    peerds: Vec<Peerd>,
    owners: Owners,
    caller: Caller,
    store: Store,
    events: Arc<Mutex<ReceivedEvents>>,
    partitions: u32,
    bursts: u64,
    _listening: JoinSet<()>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_messages_of_a_killed_owner_are_published_without_a_call() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let setup = setup("published", &nats.url(), Manner::Patient);
    let mut stage = Stage::start(&nats, &setup).await?;
    for round in 0..4 * rounds() {
        let (from, to) = PAIRS[usize::try_from(round / 2)? % PAIRS.len()];
        let victim = if round % 2 == 0 { to } else { from };
        stage.round(victim).await.map_err(|trouble| {
            let seed = setup.seed;
            let what = format!("CLUSTER_SEED={seed}: {round}, {victim}'s owner killed: {trouble}");
            explained(what, &stage.caller.counts(), &stage.peerds)
        })?;
    }
    stage.judge().await
}

impl Stage {
    async fn start(nats: &Nats, setup: &Setup) -> Result<Self, Failure> {
        let mut settings = setup.settings();
        settings.push(("PEERD__EVENTS__ENCODING".to_owned(), "json".to_owned()));
        let peerds = start_instances(&setup.instances, &settings).await?;
        let owners = Owners::connect(&setup.clients, setup.partitions).await?;
        let caller = Caller::connect(&nats.url()).await?;
        let client = Client::connect(&nats.url()).await;
        let mut messages = client.nats().subscribe("peer.event.*.*").await?;
        client.round_trip().await;
        let events = Arc::<Mutex<ReceivedEvents>>::default();
        let mut listening = JoinSet::new();
        let receiving = Arc::clone(&events);
        listening.spawn(async move {
            while let Some(message) = messages.next().await {
                let mut tokens = message.subject.split('.').skip(2);
                let (Some(user), Some(event)) = (tokens.next(), tokens.next()) else { continue };
                let body = serde_json::from_slice(&message.payload).unwrap_or_default();
                lock(&receiving).add(user, event, &body);
            }
        });
        for (from, to) in PAIRS {
            caller.until_done(from, "login", &json!({})).await?;
            caller.until_done(to, "login", &json!({})).await?;
        }
        Ok(Self {
            random: Random::new(setup.seed),
            peerds,
            owners,
            caller,
            store: Store::new(&client),
            events,
            partitions: setup.partitions,
            bursts: 0,
            _listening: listening,
        })
    }

    /// A burst, in which the owner of that user dies.
    async fn round(&mut self, user: &str) -> Result<(), Failure> {
        let owner = self.owners.place_of(user, &self.peerds).await?;
        let sends = self.burst();
        sleep(self.random.pause(BURST_MS + BURST_MS / 4)).await;
        let killed = Instant::now();
        self.peerds[owner].kill9();
        // Each send is answered or given up; none is repeated.
        sends.join_all().await;
        let given_up = Instant::now().max(killed + ttl());
        until((given_up + MARGIN).saturating_duration_since(Instant::now()), async || {
            self.all_published().await
        })
        .await?;
        self.peerds[owner].spawn_again();
        self.peerds[owner].until_ready().await?;
        Ok(())
    }

    fn burst(&mut self) -> JoinSet<()> {
        self.bursts += 1;
        let began = Instant::now();
        let mut sends = JoinSet::new();
        for (from, to) in PAIRS {
            for number in 0..SENDS_PER_BURST {
                let at = began + self.random.pause(BURST_MS);
                let local_id = format!("{}-{number}", self.bursts);
                let message = json!({ "type": 1, "message": "x", "localMessageID": local_id });
                let body = json!({ "message": message, "toUserID": to });
                let caller = self.caller.clone();
                sends.spawn(async move {
                    sleep_until(at).await;
                    // The store shows the outcome.
                    let _ = caller.ask(from, "send_peer_message", &body).await;
                });
            }
        }
        sends
    }

    /// Whether everything that is stored has been published to both sides.
    async fn all_published(&self) -> Result<(), String> {
        for (from, to) in PAIRS {
            let p = partition(to, self.partitions);
            let subject = format!("peer.log.{p}.{to}.{from}");
            let found = self.store.subjects(&format!("PEER_LOG_{p}"), &subject).await;
            let stored = found.first().map_or(0, |(_, count)| u64::try_from(*count).unwrap_or(0));
            let events = lock(&self.events);
            let (published, newest) =
                (events.received_count(from, to), events.newest_sent(from, to));
            if published < stored {
                return Err(format!("{to} received {published} of {stored} from {from}"));
            }
            if newest < stored {
                return Err(format!("{from} received up to {newest} of {stored} to {to}"));
            }
        }
        Ok(())
    }

    /// Checks the events and their times for each stored message.
    async fn judge(&self) -> Result<(), Failure> {
        let (mut stored, mut twice, mut each) = (0, 0, 0);
        let (mut slowest, mut slowest_sent) = (0, 0);
        for (from, to) in PAIRS {
            let messages = reading::messages(&self.caller, to, from).await?;
            for message in messages {
                let id = message["messageID"].as_str().unwrap_or_default().to_owned();
                let at = message["timestamp"].as_u64().unwrap_or_default();
                let seq = message["messageSeq"].as_u64().unwrap_or_default();
                stored += 1;
                let events = lock(&self.events);
                let published = events.received.get(&(to.to_owned(), id.clone()));
                let published =
                    published.ok_or_else(|| format!("{to} never received {message}"))?;
                twice += u64::from(published.len() > 1);
                slowest = slowest.max(published[0].saturating_sub(at));
                let seqs = events.sent.get(&(from.to_owned(), to.to_owned()));
                let covering = seqs.and_then(|seqs| seqs.range(seq..).map(|(_, ms)| *ms).min());
                let covering =
                    covering.ok_or_else(|| format!("{from} never received {message}"))?;
                slowest_sent = slowest_sent.max(covering.saturating_sub(at));
                each += u64::from(seqs.is_some_and(|seqs| seqs.contains_key(&seq)));
            }
        }
        let events = lock(&self.events);
        let under_two_ids: Vec<_> = events.ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        say(&format!(
            "published: {stored} stored, all published, {twice} twice or more; the slowest {slowest} ms after \
             it was accepted. Senders: {each} shown as the newest, the slowest {slowest_sent} ms"
        ));
        assert!(under_two_ids.is_empty(), "published under two message IDs: {under_two_ids:?}");
        let bound = u64::try_from((ttl() + MARGIN).as_millis())?;
        assert!(slowest <= bound, "a receiver got its event after {slowest} ms");
        assert!(slowest_sent <= bound, "a sender got its event after {slowest_sent} ms");
        Ok(())
    }
}

fn lock(events: &Mutex<ReceivedEvents>) -> MutexGuard<'_, ReceivedEvents> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}
