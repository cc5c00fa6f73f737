//! The plan of a run: it is drawn from a seed as a value and then executed, so that a plan that
//! reveals a bug can be shortened.

mod further;

pub(crate) use crate::names::NAMES;
use crate::random::Random;

/// Changes the seed for the draw of `is_observed`.
const OBSERVED: u64 = 0x0b5e_77ed;
/// Changes the seed for the draw of `delivered`.
const DELIVERED: u64 = 0x6465_6c69;
/// The type of reactions.
pub(crate) const REACTION: &str = "secret-\u{1f44d}";
/// Changes of one message that wait for each other need up to so many latencies.
const DEADLINE_LATENCIES: u64 = 160;
/// A hand-over waits for the calls in progress for up to so many latencies, as a rule.
const HAND_OVER_LATENCIES: u64 = 80;
/// The same as [`DEADLINE_LATENCIES`] with each read from a replica that lags.
const DEADLINE_LAGS: u64 = 8;
/// The mark that users put on conversations.
pub(crate) const MARK: i64 = 7;

/// The configuration of the daemons, and the constant behaviour of the network and the store.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) instances: usize,
    pub(crate) partitions: u16,
    pub(crate) users: usize,
    /// Whether copies answer reads, one of which may be behind.
    pub(crate) replicas: bool,
    pub(crate) ttl_ms: u64,
    pub(crate) call_deadline_ms: u64,
    pub(crate) owner_wait_ms: u64,
    pub(crate) messages_per_second: usize,
    pub(crate) commands_per_second: usize,
    pub(crate) calls_under_way: usize,
    pub(crate) cached_users: usize,
    /// Whether an observer subscribes to all subjects, so that the server never reports that there
    /// are no responders.
    pub(crate) is_observed: bool,
    /// Whether senders are informed when their messages were delivered.
    pub(crate) delivered: bool,
    pub(crate) weather: Weather,
}

/// The constant behaviour of the network and the store. Chances are out of 1,000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The longest latency in one direction.
    pub(crate) latency_ms: u64,
    /// The longest lag of a stream's copy.
    pub(crate) lag_ms: u64,
    /// The acknowledgement of a write is lost.
    pub(crate) lost_ack: u64,
    /// A write reaches the store after its writer gave up.
    pub(crate) late_write: u64,
    /// A write is rejected for the moment (10164, or no leader).
    pub(crate) busy: u64,
    /// A message on the bus is lost: a call, a reply, or a request between instances.
    pub(crate) lost_message: u64,
}

impl Weather {
    pub(crate) const CALM: Self =
        Self { latency_ms: 2, lag_ms: 0, lost_ack: 0, late_write: 0, busy: 0, lost_message: 0 };
}

/// An event of the plan and its time.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Call { user: usize, call: Call },
    Fault(Fault),
}

/// A call of the protocol. Numbers select messages among those that the caller knows.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Login,
    Logout,
    Heartbeat,
    Send {
        to: usize,
        draft: Draft,
    },
    /// Repeats an earlier send of the user.
    Repeat {
        pick: usize,
    },
    /// Uses the local ID of an earlier send with other content.
    Reuse {
        pick: usize,
    },
    /// Sends `count` texts at once, faster than the rate allows.
    Burst {
        to: usize,
        count: usize,
    },
    History {
        other: usize,
        count: usize,
        reverse: bool,
        pick: Option<usize>,
    },
    Delete {
        other: usize,
        picks: Vec<usize>,
    },
    DeleteAll {
        other: usize,
    },
    List {
        count: usize,
    },
    Conversation {
        other: usize,
    },
    Clear {
        other: usize,
    },
    ClearAll,
    Totals,
    Mute {
        other: usize,
        on: bool,
    },
    Block {
        other: usize,
        on: bool,
    },
    IsBlocked {
        other: usize,
    },
    Typing {
        other: usize,
        on: bool,
    },
    Blacklist,
    Pin {
        other: usize,
        on: bool,
    },
    Draft {
        other: usize,
        is_empty: bool,
    },
    SetMark {
        other: usize,
        on: bool,
    },
    /// Reads up to one of the messages that the caller knows.
    ClearTo {
        other: usize,
        pick: usize,
    },
    MarkUnread {
        other: usize,
        on: bool,
    },
    DeleteConversation {
        other: usize,
    },
    DeleteConversations,
    DeleteAllMessages,
    Numbered {
        other: usize,
        first: u64,
    },
    /// Queries the changes since one of the messages that the caller knows.
    Changes {
        other: usize,
        pick: usize,
    },
    /// A list with a filter.
    Filtered {
        pinned: u8,
        mark: Option<i64>,
    },
    /// Confirms a conversation as read.
    Receipt {
        other: usize,
    },
    /// Confirms some of the messages that the caller knows as read.
    ReceiptOf {
        other: usize,
        pick: usize,
    },
    /// Hides read receipts, or shows them.
    Hide {
        on: bool,
    },
    CustomStatus {
        is_empty: bool,
    },
    /// Hides the online status, or shows it.
    HideStatus {
        on: bool,
    },
    /// Reads the status of all users.
    UsersStatus,
    /// Follows the status of another user, or no longer.
    Follow {
        other: usize,
        on: bool,
    },
    /// Reads the status of all who are followed.
    Followed,
    /// Reacts to one of the messages that the caller knows, or deletes the reaction, or all.
    React {
        other: usize,
        pick: usize,
        change: Reacting,
    },
    /// Pins one of the messages that the caller knows, or removes its pin.
    PinMessage {
        other: usize,
        pick: usize,
        on: bool,
    },
    PinnedMessages {
        other: usize,
    },
    /// Reads the replies of the tree of one of the messages that the caller knows.
    RepliedList {
        other: usize,
        pick: usize,
    },
    /// Replies to one of the messages that the caller knows.
    Reply {
        other: usize,
        pick: usize,
        draft: Draft,
    },
}

/// A change of a user's reactions to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reacting {
    Add,
    Delete,
    DeleteAll,
}

impl Call {
    /// Whether all users in the call are below a number.
    pub(crate) fn names_below(&self, users: usize) -> bool {
        match self {
            Self::Send { to: other, .. }
            | Self::Burst { to: other, .. }
            | Self::History { other, .. }
            | Self::Delete { other, .. }
            | Self::DeleteAll { other }
            | Self::Conversation { other }
            | Self::Clear { other }
            | Self::Mute { other, .. }
            | Self::Block { other, .. }
            | Self::IsBlocked { other }
            | Self::Typing { other, .. }
            | Self::Pin { other, .. }
            | Self::Draft { other, .. }
            | Self::SetMark { other, .. }
            | Self::ClearTo { other, .. }
            | Self::MarkUnread { other, .. }
            | Self::DeleteConversation { other }
            | Self::Numbered { other, .. }
            | Self::Receipt { other }
            | Self::ReceiptOf { other, .. }
            | Self::Changes { other, .. }
            | Self::Follow { other, .. }
            | Self::PinMessage { other, .. }
            | Self::PinnedMessages { other }
            | Self::Reply { other, .. }
            | Self::RepliedList { other, .. }
            | Self::React { other, .. } => *other < users,
            Self::Login
            | Self::Logout
            | Self::Heartbeat
            | Self::Repeat { .. }
            | Self::Reuse { .. }
            | Self::List { .. }
            | Self::ClearAll
            | Self::Totals
            | Self::Blacklist
            | Self::DeleteConversations
            | Self::DeleteAllMessages
            | Self::Hide { .. }
            | Self::CustomStatus { .. }
            | Self::HideStatus { .. }
            | Self::UsersStatus
            | Self::Followed
            | Self::Filtered { .. } => true,
        }
    }
}

/// A message to send.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the call")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    /// Whether it has a local ID; if so, it is sent again while its outcome is unknown.
    pub(crate) local: bool,
    pub(crate) command: bool,
    pub(crate) counts: bool,
    pub(crate) push: bool,
    pub(crate) into_conversation: bool,
}

/// An injected fault or a change of the deployment. Numbers select one of the running instances.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Crashes the instance after `after` further actions. `done` says whether the last one is
    /// executed.
    Crash {
        pick: usize,
        after: u64,
        done: bool,
    },
    /// Starts a new instance.
    Start,
    /// Stops an instance in order.
    Leave {
        pick: usize,
    },
    /// Freezes an instance: nothing reaches or leaves it for a while.
    Freeze {
        pick: usize,
        ms: u64,
    },
    /// Breaks connections of an instance, which are restored after a while.
    Cut {
        pick: usize,
        store: bool,
        bus: bool,
        ms: u64,
    },
    /// Streams have no leader for a while.
    Outage {
        what: Outage,
        ms: u64,
    },
    /// A copy of all streams falls behind.
    Lag {
        ms: u64,
        for_ms: u64,
    },
    LoseAcks {
        count: u32,
    },
    LateWrites {
        count: u32,
    },
    /// Sets the wall clock of an instance.
    WallStep {
        pick: usize,
        ms: i64,
    },
    BreakWatches {
        pick: usize,
    },
    LoseMessages {
        count: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    Everything,
    Partition(u16),
    Bucket,
}

/// A plan: the configuration, calls and faults of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    /// The seed of the run's own random source.
    pub(crate) noise: u64,
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

impl Weather {
    /// Whether nothing is lost and no write is late.
    pub(crate) fn is_calm(&self) -> bool {
        let Self { lag_ms: _, latency_ms: _, lost_ack, late_write, busy: _, lost_message } = self;
        lost_ack + late_write + lost_message == 0
    }
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_calm = random.percent(15);
        let mut setup = setup(&mut random, is_calm);
        // A separate source keeps all other draws as they were before this setting existed.
        setup.is_observed = Random::new(seed ^ OBSERVED).percent(33);
        setup.delivered = Random::new(seed ^ DELIVERED).percent(25);
        let count = 15 + random.below(70);
        let faults = if is_calm { 0 } else { random.below(12) };
        let interval_ms = [5, 40, 200][choose(&mut random, 3)];
        let mut steps: Vec<Step> = Vec::new();
        let mut at_ms = 0;
        for _ in 0..count {
            let gap_ms = if random.percent(4) { 3000 } else { interval_ms };
            at_ms += random.below(gap_ms + 1);
            let user = busy(&mut random, setup.users);
            let call = call(&mut random, &setup, user);
            steps.push(Step { at_ms, what: What::Call { user, call } });
        }
        let ends_ms = at_ms + 1;
        further::add(seed, ends_ms, &setup, &mut steps);
        for _ in 0..faults {
            let fault = fault(&mut random, &setup);
            steps.push(Step { at_ms: random.below(ends_ms), what: What::Fault(fault) });
        }
        if is_calm || random.percent(30) {
            // Instances start and stop in order.
            for _ in 0..random.below(3) {
                let pick = choose(&mut random, 8);
                let fault = if random.percent(50) { Fault::Start } else { Fault::Leave { pick } };
                steps.push(Step { at_ms: random.below(ends_ms), what: What::Fault(fault) });
            }
        }
        steps.sort_by_key(|step| step.at_ms);
        let noise = seed.wrapping_mul(1000);
        Self { seed, noise, setup, steps }
    }

    /// The same plan in which so many of 1,000 writes are late.
    #[must_use]
    pub const fn with_late_writes(mut self, late_write: u64) -> Self {
        self.setup.weather.late_write = late_write;
        self
    }

    /// Whether there are no faults, so that no call may fail or time out. On a slow network, or with
    /// replicas that lag, not every deadline has room for many changes of one message that wait for
    /// each other.
    pub(crate) fn is_calm(&self) -> bool {
        let Setup { call_deadline_ms, owner_wait_ms, weather, .. } = &self.setup;
        let Weather { latency_ms, lag_ms, .. } = weather;
        let has_time = *call_deadline_ms > DEADLINE_LATENCIES * latency_ms + DEADLINE_LAGS * lag_ms;
        let is_orderly = |step: &Step| match &step.what {
            What::Call { .. } | What::Fault(Fault::Start | Fault::Leave { .. }) => true,
            What::Fault(_) => false,
        };
        let waits = *owner_wait_ms > HAND_OVER_LATENCIES * latency_ms;
        has_time && waits && weather.is_calm() && self.steps.iter().all(is_orderly)
    }

    /// Whether all wall clocks agree all the time.
    pub(crate) fn is_punctual(&self) -> bool {
        let sets = |step: &Step| matches!(step.what, What::Fault(Fault::WallStep { .. }));
        !self.steps.iter().any(sets)
    }
}

fn choose(random: &mut Random, below: u64) -> usize {
    usize::try_from(random.below(below)).unwrap_or_default()
}

/// A user; one is busier than the others.
fn busy(random: &mut Random, users: usize) -> usize {
    if random.percent(35) { 0 } else { choose(random, users as u64) }
}

fn setup(random: &mut Random, is_calm: bool) -> Setup {
    let mut weather = Weather { latency_ms: [2, 5, 20][choose(random, 3)], ..Weather::CALM };
    weather.lag_ms = [0, 20, 400][choose(random, 3)];
    if !is_calm && random.percent(50) {
        let mut chance = |most| if random.percent(50) { random.below(most) } else { 0 };
        weather.lost_ack = chance(40);
        weather.late_write = chance(40);
        weather.busy = chance(100);
        weather.lost_message = chance(20);
    }
    Setup {
        instances: 1 + choose(random, 4),
        partitions: [1, 2, 4, 8][choose(random, 4)],
        users: 2 + choose(random, 4),
        replicas: random.percent(70),
        ttl_ms: [2000, 2000, 5000][choose(random, 3)],
        call_deadline_ms: [1500, 3000, 5000][choose(random, 3)],
        owner_wait_ms: [1000, 2000][choose(random, 2)],
        messages_per_second: [3, 10, 1000][choose(random, 3)],
        commands_per_second: [4, 30][choose(random, 2)],
        calls_under_way: [6, 64, 64][choose(random, 3)],
        cached_users: [1, 1000, 1000][choose(random, 3)],
        is_observed: false,
        delivered: false,
        weather,
    }
}

fn other(random: &mut Random, users: usize, user: usize) -> usize {
    // Two users are chosen more often, so that the calls of one affect the other.
    let other = if random.percent(50) { 1 - user.min(1) } else { choose(random, users as u64) };
    if other == user { (user + 1) % users } else { other }
}

fn call(random: &mut Random, setup: &Setup, user: usize) -> Call {
    let other = other(random, setup.users, user);
    let pick = choose(random, 1000);
    match random.below(100) {
        0..42 => {
            let draft = Draft {
                local: random.percent(70),
                command: random.percent(8),
                counts: random.percent(85),
                push: random.percent(15),
                into_conversation: random.percent(20),
            };
            Call::Send { to: other, draft }
        }
        42..46 => Call::Repeat { pick },
        46..48 => Call::Reuse { pick },
        48..52 => Call::Burst { to: other, count: 4 + choose(random, 12) },
        52..60 => {
            let pick = random.percent(60).then_some(pick);
            let count = [1, 3, 7, 100][choose(random, 4)];
            Call::History { other, count, reverse: random.percent(60), pick }
        }
        60..64 => Call::Delete { other, picks: vec![pick, choose(random, 1000)] },
        64..66 => Call::DeleteAll { other },
        66..70 => Call::List { count: [1, 2, 100][choose(random, 3)] },
        70..74 => Call::Conversation { other },
        74..80 => Call::Clear { other },
        80..82 => Call::ClearAll,
        82..84 => Call::Totals,
        84..89 => Call::Mute { other, on: random.percent(65) },
        89..93 => Call::Block { other, on: random.percent(50) },
        93..94 => Call::IsBlocked { other },
        94..95 => Call::Blacklist,
        95..96 => Call::Heartbeat,
        96..98 => Call::Logout,
        _ => Call::Login,
    }
}

fn fault(random: &mut Random, setup: &Setup) -> Fault {
    let pick = choose(random, 8);
    // Durations around the limits after which others take an instance for dead.
    let span_ms = |random: &mut Random| match random.below(3) {
        0 => 1 + random.below(300),
        1 => setup.ttl_ms * 3 / 5 + random.below(setup.ttl_ms / 2),
        _ => random.below(2 * setup.ttl_ms),
    };
    match random.below(20) {
        0..5 => {
            let after = if random.percent(50) { random.below(4) } else { random.below(60) };
            Fault::Crash { pick, after, done: random.percent(50) }
        }
        5..7 => Fault::Start,
        7..8 => Fault::Leave { pick },
        8..10 => Fault::Freeze { pick, ms: span_ms(random) },
        10..12 => {
            let which = random.below(3);
            Fault::Cut { pick, store: which != 0, bus: which != 1, ms: span_ms(random) }
        }
        12..14 => {
            let what = match random.below(3) {
                0 => Outage::Everything,
                1 => Outage::Bucket,
                _ => {
                    let number = random.below(u64::from(setup.partitions));
                    Outage::Partition(u16::try_from(number).unwrap_or_default())
                }
            };
            Fault::Outage { what, ms: 1 + random.below(1500) }
        }
        14..15 => Fault::Lag { ms: 200 + random.below(3000), for_ms: 5000 },
        15..16 => Fault::LoseAcks { count: 1 + u32::try_from(random.below(4)).unwrap_or(0) },
        16..17 => Fault::LateWrites { count: 1 + u32::try_from(random.below(3)).unwrap_or(0) },
        17..18 => {
            let span_ms = i64::try_from(random.below(20_000)).unwrap_or_default();
            Fault::WallStep { pick, ms: span_ms - 10_000 }
        }
        18..19 => Fault::BreakWatches { pick },
        _ => Fault::LoseMessages { count: 1 + u32::try_from(random.below(6)).unwrap_or(0) },
    }
}
