//! The limit of ten messages in any second holds over all instances and while they change.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    machine,
    settings::{rounds, setup},
};
use crate::{
    faults::{
        caller::{Answer, Caller, Manner},
        failure::Failure,
        random::Random,
        reading,
    },
    support::{Nats, Owners, start_instances},
    wait::{now_ms, say, until},
};

const LIMIT: usize = 10;
/// After a sudden death the commands of the last second and the messages in progress are unknown.
const LIMIT_AFTER_A_KILL: usize = 20;
const SENDERS: [&str; 3] = ["fast", "faster", "fastest"];
const RECEIVERS: [&str; 2] = ["one", "two"];
const LANES_PER_CONNECTION: usize = 3;
const LANE_PAUSE: Duration = Duration::from_millis(10);
const ACCEPTED_AGAIN_DEADLINE: Duration = Duration::from_secs(15);
const LONGEST_WORK_MS: u64 = 1_500;

/// One send that was accepted.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    asked: Instant,
    answered: Instant,
}

/// The sends of one user over all connections.
#[derive(Default)]
struct Burst {
    accepted: Mutex<Vec<Accepted>>,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Burst {
    fn accepted(&self) -> Vec<Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_keeps_the_limit_over_many_instances_that_come_and_go() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let setup = setup("rate", &nats.url(), Manner::Patient);
    let mut random = Random::new(setup.seed);
    let mut settings = setup.settings();
    settings.retain(|(name, _)| name != "PEERD__LIMITS__MESSAGES_PER_SECOND");
    let mut peerds = start_instances(&setup.instances, &settings).await?;
    let owners = Owners::connect(&setup.clients, setup.partitions).await?;
    let callers = Caller::connect_each(&setup.clients, setup.manner).await?;
    let flood = Flood::start(&callers).await?;

    flood.until_all_accepted_since(Instant::now()).await?;
    for _ in 0..rounds() {
        for peerd in &mut peerds {
            sleep(random.pause(LONGEST_WORK_MS)).await;
            let status = peerd.terminate().await;
            assert!(status.success(), "ended with {status}: {}", peerd.log());
            peerd.spawn_again();
            peerd.until_ready().await?;
        }
    }
    flood.until_all_accepted_since(Instant::now()).await?;
    let (in_order, in_order_ms) = (Instant::now(), now_ms());
    for round in 0..2 * rounds() {
        sleep(random.pause(LONGEST_WORK_MS)).await;
        let sender = SENDERS[usize::try_from(round)? % SENDERS.len()];
        let killed = owners.place_of(sender, &peerds).await?;
        peerds[killed].kill9();
        flood.until_all_accepted_since(Instant::now()).await?;
        peerds[killed].spawn_again();
        peerds[killed].until_ready().await?;
    }
    let bursts = flood.finish().await?;

    for (sender, burst) in SENDERS.iter().zip(&bursts) {
        let stored = stored_ms(&callers[0], sender).await?;
        let (before, after): (Vec<_>, Vec<_>) = stored.iter().partition(|ms| **ms < in_order_ms);
        let (worst_before, worst_after) = (most_in_a_second(&before), most_in_a_second(&after));
        let answered = burst.accepted();
        say(&format!(
            "rate: {sender}: {} stored, {} answered, {} refused, {} failed; most in one second: \
             {worst_before} over restarts in order, {worst_after} over kills",
            stored.len(),
            answered.len(),
            burst.refused.load(Ordering::Relaxed),
            burst.failed.load(Ordering::Relaxed),
        ));
        assert!(burst.refused.load(Ordering::Relaxed) > 0, "{sender} never met the limit");
        assert!(worst_before <= LIMIT, "{sender}: {worst_before} in one second: {before:?}");
        assert!(worst_after <= LIMIT_AFTER_A_KILL, "{sender}: {worst_after} in one second");
        let in_time: Vec<_> =
            answered.into_iter().filter(|accepted| accepted.answered < in_order).collect();
        let at_once = most_seen_in_a_second(&in_time);
        assert!(at_once <= LIMIT, "{sender}: {at_once} asked and answered within one second");
    }
    Ok(())
}

/// All senders at work.
struct Flood {
    bursts: Vec<Arc<Burst>>,
    ending: Arc<AtomicBool>,
    lanes: JoinSet<()>,
}

impl Flood {
    async fn start(callers: &[Caller]) -> Result<Self, Failure> {
        let ending = Arc::<AtomicBool>::default();
        let (mut bursts, mut lanes) = (Vec::new(), JoinSet::new());
        for sender in SENDERS {
            callers[0].until_done(sender, "login", &json!({})).await?;
            let burst = Arc::<Burst>::default();
            for caller in callers {
                for lane in 0..LANES_PER_CONNECTION {
                    let to = RECEIVERS[lane % RECEIVERS.len()];
                    let (burst, ending) = (Arc::clone(&burst), Arc::clone(&ending));
                    lanes.spawn(send_on(caller.clone(), sender, to, burst, ending));
                }
            }
            bursts.push(burst);
        }
        Ok(Self { bursts, ending, lanes })
    }

    /// Waits until each sender had a send accepted that began after that time.
    async fn until_all_accepted_since(&self, since: Instant) -> Result<(), Failure> {
        until(ACCEPTED_AGAIN_DEADLINE, async || {
            for (sender, burst) in SENDERS.iter().zip(&self.bursts) {
                let accepted = burst.accepted();
                if accepted.last().is_none_or(|newest| newest.asked < since) {
                    return Err(format!("{sender} has nothing accepted"));
                }
            }
            Ok(())
        })
        .await
    }

    async fn finish(mut self) -> Result<Vec<Arc<Burst>>, Failure> {
        self.ending.store(true, Ordering::SeqCst);
        while let Some(ended) = self.lanes.join_next().await {
            ended?;
        }
        Ok(self.bursts)
    }
}

async fn send_on(
    caller: Caller,
    from: &'static str,
    to: &'static str,
    burst: Arc<Burst>,
    ending: Arc<AtomicBool>,
) {
    let body = json!({ "message": { "type": 1, "message": "x" }, "toUserID": to });
    while !ending.load(Ordering::SeqCst) {
        let asked = Instant::now();
        match caller.ask(from, "send_peer_message", &body).await {
            Answer::Done(_) => {
                let accepted = Accepted { asked, answered: Instant::now() };
                burst.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(accepted);
            }
            Answer::Refused(refusal) if refusal.is_rate() => {
                burst.refused.fetch_add(1, Ordering::Relaxed);
            }
            Answer::Refused(_) | Answer::NoResponders | Answer::Silence => {
                burst.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(LANE_PAUSE).await;
    }
}

/// The times at which the messages of a sender were accepted, from the store, ascending.
async fn stored_ms(caller: &Caller, sender: &str) -> Result<Vec<u64>, Failure> {
    let mut stored = Vec::new();
    for receiver in RECEIVERS {
        let messages = reading::messages(caller, sender, receiver).await?;
        stored.extend(messages.iter().filter_map(|message: &Value| message["timestamp"].as_u64()));
    }
    stored.sort_unstable();
    Ok(stored)
}

/// The most of `times` (milliseconds, ascending) in any second.
fn most_in_a_second(times: &[u64]) -> usize {
    let after = |first: u64| times.iter().filter(|ms| (first..first + 1_000).contains(*ms)).count();
    times.iter().map(|first| after(*first)).max().unwrap_or_default()
}

/// The most messages that were both sent and answered within one second, and so accepted within it.
fn most_seen_in_a_second(accepted: &[Accepted]) -> usize {
    let within = |first: Instant| {
        let end = first + Duration::from_secs(1);
        accepted.iter().filter(|one| one.asked >= first && one.answered < end).count()
    };
    accepted.iter().map(|one| within(one.asked)).max().unwrap_or_default()
}
