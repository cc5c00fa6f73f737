//! Several membership managers over one bucket in memory, on tokio's own time: they join, leave,
//! die and are cut off, and never do two of them serve a partition at the same time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;

use super::*;
use crate::cluster::host::{Closed, Grant, NotOpened};
use crate::storage::owners::{self, Owner, PublishedUpTo};
use crate::store::registry::Value;
use crate::store::registry::memory::Memory;
use peerd_core::id::OrderKey;

const WALL_MS: u64 = 1_800_000_000_000;
const PARTITIONS: u16 = 16;
const TTL: Duration = Duration::from_secs(5);
/// How long serving a partition's last calls takes.
const CLOSING: Duration = Duration::from_millis(20);

/// The partitions that all hosts serve.
#[derive(Default)]
struct World {
    /// By partition: the instances that serve it, each with its lease and its epoch.
    served: BTreeMap<Partition, Vec<(usize, Grant)>>,
    /// How often a partition was opened.
    opened: BTreeMap<Partition, usize>,
    /// How many of these followed the death of an owner.
    unpublished: usize,
    /// Whether calls in progress delay every hand-over.
    is_held_up: bool,
    /// An instance whose subscriptions take very long.
    slow: Option<usize>,
}

/// A host that only records what it serves.
#[derive(Clone)]
struct TestHost {
    number: usize,
    clock: Clock,
    world: Arc<Mutex<World>>,
}

impl TestHost {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, partition: Partition) {
        if let Some(by) = self.world().served.get_mut(&partition) {
            by.retain(|(number, _)| *number != self.number);
        }
    }
}

impl Host for TestHost {
    async fn listen(&self, _partition: Partition) -> Result<(), NotOpened> {
        if self.world().slow == Some(self.number) {
            sleep(Duration::from_secs(60)).await;
        }
        Ok(())
    }

    async fn open(&self, grant: Grant) -> Result<(), NotOpened> {
        let mut world = self.world();
        *world.opened.entry(grant.partition).or_default() += 1;
        world.unpublished += usize::from(grant.unpublished_since_ms.is_some());
        world.served.entry(grant.partition).or_default().push((self.number, grant));
        Ok(())
    }

    async fn close(&self, partition: Partition, patience: Option<Duration>) -> Option<Closed> {
        sleep(CLOSING).await;
        if let Some(patience) = patience.filter(|_| self.world().is_held_up) {
            sleep(patience).await;
            return None;
        }
        self.forget(partition);
        Some(Closed { key: OrderKey(1), unpublished_since_ms: None })
    }

    async fn unlisten(&self, _partition: Partition) {}

    fn abandon(&self, partition: Partition) {
        self.forget(partition);
    }

    async fn is_reached(&self) -> bool {
        true
    }

    async fn published_up_to(&self) -> Option<PublishedUpTo> {
        Some(PublishedUpTo { published_ms: self.clock.wall_ms(), key: OrderKey(1), claimed_seq: 0 })
    }

    async fn answers(&self, _member: &MemberId, _names_itself: bool, _within: Duration) -> bool {
        true
    }

    fn observe_server_time(&self, _server_ms: u64) {}

    async fn look_around(&self) {}
}

/// An instance of the test.
struct Instance {
    host: TestHost,
    registry: Memory,
    table: Arc<Table>,
    leave: watch::Sender<bool>,
    task: AbortOnDrop<()>,
    is_ready: Arc<std::sync::atomic::AtomicBool>,
}

struct Cluster {
    bucket: Memory,
    clock: Clock,
    world: Arc<Mutex<World>>,
    instances: BTreeMap<usize, Instance>,
    next: usize,
    /// The seed that decides the run, for failure messages.
    seed: u64,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let clock = Clock::simulated(WALL_MS);
        let bucket = Memory::new(move || clock.wall_ms());
        let (world, instances) = (Arc::default(), BTreeMap::new());
        Self { bucket, clock, world, instances, next: 0, seed }
    }

    fn start(&mut self) -> usize {
        let number = self.next;
        self.next += 1;
        let registry = self.bucket.for_another();
        let host = TestHost { number, clock: self.clock, world: self.world.clone() };
        let options = Options {
            instance: format!("i{number}"),
            release: String::new(),
            partitions: PARTITIONS,
            ttl: TTL,
            // With an empty realm, no instance can see that another's process has ended.
            process: Process::default(),
        };
        let table = Arc::new(Table::new(PARTITIONS));
        let bucket = Arc::new(registry.clone());
        let manager =
            MembershipManager::new(bucket, host.clone(), table.clone(), self.clock, options);
        let (leave, leaving) = watch::channel(false);
        let is_ready = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ready = is_ready.clone();
        let ready = move || ready.store(true, std::sync::atomic::Ordering::SeqCst);
        let task = AbortOnDrop::new(tokio::spawn(manager.run(leaving, ready)));
        self.instances.insert(number, Instance { host, registry, table, leave, task, is_ready });
        number
    }

    /// Kills a process without warning. It stops serving its partitions.
    fn kill(&mut self, number: usize) {
        let instance = self.instances.remove(&number).expect("an instance");
        drop(instance.task);
        (0..PARTITIONS).for_each(|number| instance.host.forget(Partition(number)));
    }

    /// Makes an instance leave, and waits for its end.
    async fn leave(&mut self, number: usize) {
        let instance = self.instances.remove(&number).expect("an instance");
        instance.leave.send_replace(true);
        self.run_until(10, |_| instance.task.is_finished()).await;
        assert!(instance.task.now_or_never().expect("it has ended").is_ok());
    }

    /// Lets time pass, and checks all the time that no two instances serve the same partition.
    async fn run(&self, span: Duration) {
        let ends = Instant::now() + span;
        while Instant::now() < ends {
            self.check();
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn run_until(&self, seconds: u64, is_so: impl Fn(&Self) -> bool) {
        let ends = Instant::now() + Duration::from_secs(seconds);
        while !is_so(self) {
            assert!(Instant::now() < ends, "seed {}: not within {seconds} s", self.seed);
            self.run(Duration::from_millis(5)).await;
        }
    }

    /// The instances that serve each partition and may act.
    fn owners(&self) -> BTreeMap<Partition, Vec<usize>> {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let may = |(_, grant): &&(usize, Grant)| grant.lease.holds(self.clock.now());
        let owners = |by: &Vec<(usize, Grant)>| by.iter().filter(may).map(|(n, _)| *n).collect();
        world.served.iter().map(|(partition, by)| (*partition, owners(by))).collect()
    }

    fn check(&self) {
        for (partition, owners) in self.owners() {
            assert!(owners.len() <= 1, "seed {}: {partition} is served by {owners:?}", self.seed);
        }
    }

    /// Whether each partition is served, and no instance serves too many.
    fn is_even(&self) -> bool {
        let owners = self.owners();
        let served: Vec<usize> = owners.values().flatten().copied().collect();
        let share = |number: &usize| served.iter().filter(|owner| *owner == number).count();
        let most = self.instances.keys().map(share).max().unwrap_or_default();
        served.len() == usize::from(PARTITIONS)
            && most <= (5 * usize::from(PARTITIONS)).div_ceil(4 * self.instances.len())
    }

    fn opened(&self) -> BTreeMap<Partition, usize> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).opened.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn members_join_and_leave_and_each_partition_moves_at_most_once() {
    let mut cluster = Cluster::new(0);
    for _ in 0..3 {
        cluster.start();
    }
    cluster.run_until(5, Cluster::is_even).await;
    for _ in 0..4 {
        let before = cluster.opened();
        cluster.start();
        cluster.run_until(5, Cluster::is_even).await;
        cluster.run(Duration::from_secs(2)).await;
        let moves = cluster.opened().into_iter().map(|(partition, now)| now - before[&partition]);
        assert!(moves.max() <= Some(1));
    }
    assert!(
        cluster
            .instances
            .values()
            .all(|instance| { instance.is_ready.load(std::sync::atomic::Ordering::SeqCst) })
    );
    for number in 0..6 {
        let before = cluster.opened();
        cluster.leave(number).await;
        cluster.run_until(5, Cluster::is_even).await;
        cluster.run(Duration::from_secs(2)).await;
        let moves = cluster.opened().into_iter().map(|(partition, now)| now - before[&partition]);
        assert!(moves.max() <= Some(1));
    }
    cluster.leave(6).await;
    assert_eq!(cluster.world.lock().unwrap_or_else(PoisonError::into_inner).unpublished, 0);
    let released = |number| {
        let entry = cluster.bucket.entry(&Key::Owner(Partition(number)).to_string());
        let Some(Value::Put(entry)) = entry else { panic!("no entry: {entry:?}") };
        owners::decode::<Owner>(&entry).expect("an entry").holder.is_none()
    };
    assert!((0..PARTITIONS).all(released));
}

#[tokio::test(start_paused = true)]
async fn what_a_later_release_stored_of_a_partition_survives_its_owners() {
    let mut cluster = Cluster::new(0);
    let key = Key::Owner(Partition(0)).to_string();
    let later =
        r#"{"version":1,"holder":null,"next":null,"epoch":3,"key":7,"sinceMs":5,"zone":"z"}"#;
    let deadline = Instant::now() + Duration::from_secs(1);
    cluster.bucket.put(key.clone(), later.into(), None, None, deadline).await.expect("stored");
    let zone = |cluster: &Cluster| {
        let Some(Value::Put(entry)) = cluster.bucket.entry(&key) else { panic!("no entry") };
        let epoch = owners::decode::<Owner>(&entry).expect("an entry").epoch;
        let entry: serde_json::Value = serde_json::from_slice(&entry).expect("JSON");
        (epoch, entry["zone"].as_str().map(str::to_owned))
    };
    let first = cluster.start();
    cluster.run_until(5, Cluster::is_even).await;
    assert_eq!(zone(&cluster), (4, Some("z".to_owned())), "claimed");
    cluster.start();
    cluster.leave(first).await;
    cluster.run_until(5, Cluster::is_even).await;
    assert_eq!(zone(&cluster), (5, Some("z".to_owned())), "handed over and claimed");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_cannot_be_handed_over_soon_is_kept_and_handed_over_later() {
    let mut cluster = Cluster::new(0);
    let first = cluster.start();
    cluster.run_until(5, Cluster::is_even).await;
    let set_held_up = |cluster: &Cluster, is_held_up| {
        cluster.world.lock().unwrap_or_else(PoisonError::into_inner).is_held_up = is_held_up;
    };
    set_held_up(&cluster, true);
    cluster.start();
    cluster.run(Duration::from_secs(10)).await;
    assert!(cluster.owners().values().all(|owners| *owners == [first]));
    set_held_up(&cluster, false);
    cluster.run_until(5, Cluster::is_even).await;
    // A leaving instance does not wait for a better moment.
    set_held_up(&cluster, true);
    cluster.leave(first).await;
    cluster.run_until(5, Cluster::is_even).await;
}

#[tokio::test(start_paused = true)]
async fn a_leaving_instance_stays_until_its_waiting_calls_have_an_owner() {
    let mut cluster = Cluster::new(0);
    let (first, second) = (cluster.start(), cluster.start());
    cluster.run_until(5, Cluster::is_even).await;
    let table = cluster.instances[&second].table.clone();
    let is_there = |number| table.place(Partition(number)) == Place::There;
    let partition = (0..PARTITIONS).find(|number| is_there(*number)).expect("one of the other's");
    cluster.kill(first);
    cluster.run(Duration::from_secs(1)).await;
    let third = cluster.start();
    let waiting = table.wait();
    let instance = cluster.instances.remove(&second).expect("an instance");
    instance.leave.send_replace(true);
    let owned = |cluster: &Cluster| cluster.owners()[&Partition(partition)] == [third];
    cluster.run_until(10, owned).await;
    cluster.run(Duration::from_secs(1)).await;
    assert!(is_there(partition) && !instance.task.is_finished());
    drop(waiting);
    cluster.run_until(10, |_| instance.task.is_finished()).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_members_partitions_are_taken_over_within_the_ttl_and_a_second() {
    let mut cluster = Cluster::new(0);
    for _ in 0..3 {
        cluster.start();
    }
    cluster.run_until(5, Cluster::is_even).await;
    cluster.run(Duration::from_millis(3456)).await;
    let died = Instant::now();
    cluster.kill(1);
    cluster.run_until(6, Cluster::is_even).await;
    assert!(died.elapsed() + Duration::from_secs(2) >= TTL, "{:?}", died.elapsed());
    assert!(cluster.world.lock().unwrap_or_else(PoisonError::into_inner).unpublished > 0);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_cut_off_stops_in_time_and_rejoins_as_a_new_member() {
    let mut cluster = Cluster::new(0);
    let numbers = [cluster.start(), cluster.start()];
    cluster.run_until(5, Cluster::is_even).await;
    let [cut, other] = numbers.map(|number| cluster.instances[&number].registry.clone());
    let is_settled =
        |cluster: &Cluster| numbers.map(|number| cluster.instances[&number].table.is_settled());
    cluster.run_until(1, |cluster| is_settled(cluster) == [true, true]).await;
    cut.set_cut(true);
    cluster
        .run_until(7, |cluster| {
            let owners = cluster.owners();
            owners.len() == 16 && owners.values().all(|owners| *owners == [numbers[1]])
        })
        .await;
    cluster.run(Duration::from_secs(5)).await;
    assert_eq!(is_settled(&cluster), [false, true]);
    cut.set_cut(false);
    cluster.run_until(10, Cluster::is_even).await;
    cluster.run_until(1, |cluster| is_settled(cluster) == [true, true]).await;
    assert!(
        matches!(cut.entry("member.i0-2"), Some(Value::Put(_))),
        "{:?}",
        cut.entry("member.i0")
    );
    // Both at once: no partition may be served until both are back.
    cut.set_cut(true);
    other.set_cut(true);
    cluster.run(Duration::from_secs(20)).await;
    assert!(cluster.owners().values().all(Vec::is_empty));
    cut.set_cut(false);
    other.set_cut(false);
    cluster.run_until(15, Cluster::is_even).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_restarted_moves_no_partition() {
    let mut cluster = Cluster::new(0);
    for _ in 0..3 {
        cluster.start();
    }
    cluster.run_until(5, Cluster::is_even).await;
    cluster.run(Duration::from_secs(2)).await;
    let before = cluster.opened();
    for _ in 0..50 {
        cluster.bucket.break_watches();
        cluster.run(Duration::from_millis(137)).await;
    }
    cluster.run(Duration::from_secs(2)).await;
    assert_eq!(cluster.opened(), before);
}

#[tokio::test(start_paused = true)]
async fn a_partition_handed_to_a_member_that_leaves_comes_back_at_once() {
    let mut cluster = Cluster::new(0);
    let first = cluster.start();
    cluster.run_until(5, Cluster::is_even).await;
    let second = cluster.start();
    cluster.world.lock().unwrap_or_else(PoisonError::into_inner).slow = Some(second);
    let is_given = |cluster: &Cluster| cluster.owners().values().any(Vec::is_empty);
    cluster.run_until(5, is_given).await;
    cluster.instances[&second].leave.send_replace(true);
    let all_back = |cluster: &Cluster| cluster.owners().values().all(|by| *by == [first]);
    cluster.run_until(1, all_back).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_seen_at_first_is_not_considered_dead() {
    let mut cluster = Cluster::new(0);
    let first = cluster.start();
    cluster.run_until(5, Cluster::is_even).await;
    let before = cluster.opened();
    cluster.bucket.set_late(Some("member.i0"));
    cluster.start();
    cluster.run(TTL / 10).await;
    assert_eq!(cluster.opened(), before, "before its next heartbeat");
    cluster.run_until(5, Cluster::is_even).await;
    cluster.kill(first);
    cluster.start();
    cluster.run_until(6, Cluster::is_even).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_a_server_shows_although_it_is_gone_keeps_no_partition() {
    let mut cluster = Cluster::new(0);
    cluster.start();
    cluster.start();
    cluster.run_until(5, Cluster::is_even).await;
    let member = owners::encode(&owners::Member::default()).expect("writable");
    cluster.bucket.set_ghost("member.ghost".to_owned(), member);
    cluster.bucket.break_watches();
    // Partitions are assigned to it, and it does not claim them.
    cluster.run(TTL / 2).await;
    assert!(!cluster.is_even());
    cluster.run_until(10, Cluster::is_even).await;
    cluster.run(TTL).await;
    assert!(cluster.is_even());
    assert!(cluster.bucket.deletions() <= 4, "{} deletions", cluster.bucket.deletions());
}

#[tokio::test(start_paused = true)]
async fn the_partitions_of_a_single_instance_that_died_go_to_the_next() {
    let mut cluster = Cluster::new(0);
    let first = cluster.start();
    cluster.run_until(5, Cluster::is_even).await;
    cluster.kill(first);
    cluster.start();
    cluster.run_until(6, Cluster::is_even).await;
}

/// Random changes, from a seed that the failure message names.
#[tokio::test(start_paused = true)]
async fn never_two_owners_whatever_happens() {
    for seed in 0..16 {
        let mut state = seed * 2 + 1;
        let mut random = move |below: u64| {
            // xorshift
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut cluster = Cluster::new(seed);
        cluster.start();
        for _ in 0..12 {
            let numbers: Vec<usize> = cluster.instances.keys().copied().collect();
            let pick =
                numbers.get(usize::try_from(random(8)).expect("small") % numbers.len().max(1));
            match (random(6), pick.copied()) {
                (0, Some(number)) => cluster.kill(number),
                (1, Some(number)) => {
                    let instance = cluster.instances.remove(&number).expect("an instance");
                    instance.leave.send_replace(true);
                    tokio::spawn(instance.task);
                }
                (2 | 3, Some(number)) => {
                    let is_cut = random(2) == 0;
                    cluster.instances[&number].registry.set_cut(is_cut);
                }
                _ if numbers.len() < 5 => drop(cluster.start()),
                _ => {}
            }
            cluster.run(Duration::from_millis(random(4000))).await;
        }
        for instance in cluster.instances.values() {
            instance.registry.set_cut(false);
        }
        if cluster.instances.is_empty() {
            cluster.start();
        }
        cluster.run_until(30, Cluster::is_even).await;
    }
}
