//! A load of many pairs of users who write to each other.
//!
//! Most pairs have one task, which makes one call after another, so that the expected result is
//! exact. Some pairs have several concurrent tasks; the notes show which calls overlapped.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{caller::Caller, failure::Failure, look::look, random::Random};

mod changes;

/// The time within which every task must have been answered again after a death.
pub const RECOVERY_DEADLINE: Duration = Duration::from_secs(30);
/// Longer than the time limit of the last call in progress.
const STOP_DEADLINE: Duration = Duration::from_secs(40);
/// The percentage of reading steps in a load that reads.
const READ_PERCENT: u64 = 30;
/// The steps of users who come and leave.
const VISIT_STEPS: u64 = 12;
/// The percentage of changes of messages among the marks of a task.
const AMEND_PERCENT: u64 = 40;
/// The percentage of messages that request a read receipt.
const RECEIPT_PERCENT: u64 = 30;
/// The epoch of a task that has ended.
const ENDED: u64 = u64::MAX;

const TEXTS: [&str; 6] = [
    "Are you there?",
    "Ja, ich höre dich gut. Bis später!",
    "今夜は何時に会いましょうか。",
    "🚲🌧️ on my way",
    "нет связи, отправляю ещё раз",
    "مرحبا، كيف حالك اليوم؟",
];

/// The kind of a load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The number of users, each of whom writes to four others.
    pub users: usize,
    /// The number of pairs with several concurrent tasks.
    pub racing_pairs: usize,
    /// Whether users also clear and mute conversations, and delete, edit, revoke, confirm and react to
    /// messages.
    pub marks: bool,
    /// The mean pause of a task between two calls, in milliseconds.
    pub interval_ms: u64,
    /// Whether users also read, and call all other methods.
    pub reads: bool,
    /// The number of tasks whose users come, write to each other, leave, and never return.
    pub visits: usize,
}

impl Plan {
    /// Pairs that send, with one task each and this interval between sends.
    pub const fn sends(users: usize, interval_ms: u64) -> Self {
        Self { users, racing_pairs: 0, marks: false, interval_ms, reads: false, visits: 0 }
    }
}

/// A running load.
pub struct Load {
    shared: Arc<Shared>,
    answered: watch::Receiver<Vec<u64>>,
    walkers: JoinSet<Result<(), Failure>>,
}

/// The time from a death until there were answers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Until one task was answered.
    pub first: Duration,
    /// Until every task was.
    pub all: Duration,
}

impl Load {
    /// Logs the users in and starts their tasks, over all these connections.
    pub async fn start(
        callers: &[Caller],
        plan: Plan,
        random: &mut Random,
    ) -> Result<Self, Failure> {
        let users: Vec<_> = (0..plan.users).map(|user| format!("user.{user}")).collect();
        for (user, caller) in users.iter().zip(callers.iter().cycle()) {
            caller.until_done(user, "login", &json!({})).await?;
        }
        let walks = walks(&users, plan);
        let (answering, answered) = watch::channel(vec![0; walks.len()]);
        let shared = Arc::new(Shared {
            answering,
            epoch: AtomicU64::new(1),
            stopping: AtomicU64::new(0),
            pairs: Mutex::default(),
            deletable: Mutex::default(),
        });
        let mut walkers = JoinSet::new();
        let callers = callers.iter().cycle();
        for ((index, walk), caller) in walks.into_iter().enumerate().zip(callers) {
            let walker = Walker {
                shared: Arc::clone(&shared),
                caller: caller.clone(),
                interval_ms: plan.interval_ms,
                index,
                walk,
                reads: plan.reads,
                random: random.split(),
                sent: 0,
                has_begun: false,
                visit: Visit::default(),
                muted: HashMap::new(),
                own: HashMap::new(),
                reacted: HashSet::new(),
            };
            walkers.spawn(walker.run());
        }
        Ok(Self { shared, answered, walkers })
    }

    /// Answers to calls that begin from now on belong to a new epoch.
    pub fn new_epoch(&self) -> u64 {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Waits until every task had an answer to a call that it began in that epoch.
    pub async fn answered(&self, epoch: u64, since: Instant) -> Result<Recovery, Failure> {
        let deadline = since + RECOVERY_DEADLINE;
        let mut answered = self.answered.clone();
        let any = |epochs: &Vec<u64>| epochs.iter().any(|seen| *seen >= epoch);
        let every = |epochs: &Vec<u64>| epochs.iter().all(|seen| *seen >= epoch);
        let late = |_| format!("no answer within {RECOVERY_DEADLINE:?}");
        timeout_at(deadline, answered.wait_for(any)).await.map_err(late)??;
        let first = since.elapsed();
        if timeout_at(deadline, answered.wait_for(every)).await.is_err() {
            let waiting = answered.borrow().iter().filter(|seen| **seen < epoch).count();
            let said = format!("{waiting} tasks without an answer within {RECOVERY_DEADLINE:?}");
            return Err(said.into());
        }
        Ok(Recovery { first, all: since.elapsed() })
    }

    /// Ends the load, waits for the calls in progress, and returns the users who wrote to each
    /// other.
    pub async fn finish(mut self) -> Result<Pairs, Failure> {
        self.shared.stopping.store(1, Ordering::SeqCst);
        let deadline = Instant::now() + STOP_DEADLINE;
        let mut troubles = BTreeSet::new();
        while let Some(ended) = timeout_at(deadline, self.walkers.join_next()).await? {
            if let Err(trouble) = ended? {
                troubles.insert(trouble.to_string());
            }
        }
        if !troubles.is_empty() {
            return Err(format!("calls that came to nothing: {troubles:#?}").into());
        }
        Ok(self.shared.pairs().clone())
    }
}

/// The work of a task: calls as `user`, in the conversation with `other`.
#[derive(Clone, Debug)]
struct Walk {
    user: String,
    other: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sends as either of the two.
    Sends,
    /// Sends and marks as either of the two.
    SendsAndMarks,
    /// Sends as `user` only, while others do so too.
    RacingSends,
    /// Marks as `user` only, while others send.
    RacingMarks,
    /// Sends and marks as either of two users. After some steps, two new users replace them.
    Visits,
}

/// The progress of a task whose users come and leave.
#[derive(Clone, Copy, Debug, Default)]
struct Visit {
    number: u64,
    /// Steps until the two leave.
    steps_left: u64,
}

/// A ring in which each user writes to the next user and to the third next.
fn walks(users: &[String], plan: Plan) -> Vec<Walk> {
    let pairs = (0..users.len()).flat_map(|user| [(user, user + 1), (user, user + 3)]);
    let mut walks = Vec::new();
    for (number, (user, other)) in pairs.enumerate() {
        let (user, other) = (&users[user], &users[other % users.len()]);
        let mut add = |user: &String, other: &String, kind| {
            let (user, other) = (user.clone(), other.clone());
            walks.push(Walk { user, other, kind });
        };
        if number >= plan.racing_pairs {
            let kind = if plan.marks { Kind::SendsAndMarks } else { Kind::Sends };
            add(user, other, kind);
            continue;
        }
        for (user, other) in [(user, other), (other, user)] {
            add(user, other, Kind::RacingSends);
            add(user, other, Kind::RacingSends);
            if plan.marks {
                add(user, other, Kind::RacingMarks);
            }
        }
    }
    let visits = 0..plan.visits;
    let nobody = String::new();
    walks.extend(visits.map(|_| Walk {
        user: nobody.clone(),
        other: nobody.clone(),
        kind: Kind::Visits,
    }));
    walks
}

/// By user and other: the IDs of the messages that the user may still delete.
type Deletable = HashMap<(String, String), Vec<String>>;

/// By user: the users with whom that user exchanged messages.
pub type Pairs = BTreeMap<String, BTreeSet<String>>;

/// The shared state of the tasks of one load.
struct Shared {
    /// The epoch of the last answered call of each task.
    answering: watch::Sender<Vec<u64>>,
    epoch: AtomicU64,
    stopping: AtomicU64,
    pairs: Mutex<Pairs>,
    deletable: Mutex<Deletable>,
}

impl Shared {
    fn pairs(&self) -> MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_deletable(&self, from: &str, to: &str, message_id: &str) {
        let mut deletable = (self.deletable.lock()).unwrap_or_else(PoisonError::into_inner);
        for (user, other) in [(from, to), (to, from)] {
            let list = deletable.entry((user.to_owned(), other.to_owned())).or_default();
            list.push(message_id.to_owned());
        }
    }

    fn take_deletable(&self, user: &str, other: &str, random: &mut Random) -> Option<String> {
        let mut deletable = (self.deletable.lock()).unwrap_or_else(PoisonError::into_inner);
        let list = deletable.get_mut(&(user.to_owned(), other.to_owned()))?;
        let length = u64::try_from(list.len()).ok().filter(|length| *length > 0)?;
        let index = usize::try_from(random.below(length)).ok()?;
        Some(list.swap_remove(index))
    }
}

struct Walker {
    shared: Arc<Shared>,
    caller: Caller,
    interval_ms: u64,
    reads: bool,
    index: usize,
    walk: Walk,
    random: Random,
    sent: u64,
    /// Whether the two have exchanged messages.
    has_begun: bool,
    visit: Visit,
    muted: HashMap<String, bool>,
    /// By user, the messages that the user sent and did not revoke, and that both users see, where
    /// no other task changes them.
    own: HashMap<String, Vec<Own>>,
    /// The reactions that are there.
    reacted: HashSet<changes::Reaction>,
}

/// A message that its two users may change.
struct Own {
    message_id: String,
    sent: Instant,
    has_receipt: bool,
}

impl Walker {
    async fn run(mut self) -> Result<(), Failure> {
        let result = self.walk().await;
        self.answered(ENDED);
        result
    }

    async fn walk(&mut self) -> Result<(), Failure> {
        while self.shared.stopping.load(Ordering::SeqCst) == 0 {
            let epoch = self.shared.epoch.load(Ordering::SeqCst);
            self.step().await?;
            self.answered(epoch);
            tokio::time::sleep(self.random.pause(2 * self.interval_ms)).await;
        }
        Ok(())
    }

    fn answered(&self, epoch: u64) {
        self.shared.answering.send_if_modified(|epochs| {
            let newer = epochs[self.index] < epoch;
            epochs[self.index] = epochs[self.index].max(epoch);
            newer
        });
    }

    async fn step(&mut self) -> Result<(), Failure> {
        if self.walk.kind == Kind::Visits && self.visit.steps_left == 0 {
            return self.next_visit().await;
        }
        self.visit.steps_left = self.visit.steps_left.saturating_sub(1);
        let (mut user, mut other) = (self.walk.user.clone(), self.walk.other.clone());
        if self.is_alone() && self.random.percent(50) {
            (user, other) = (other, user);
        }
        let marks = match self.walk.kind {
            Kind::Sends | Kind::RacingSends => false,
            Kind::SendsAndMarks | Kind::Visits => self.random.percent(20),
            Kind::RacingMarks => true,
        };
        // A conversation begins with a message.
        if self.reads && self.has_begun && self.random.percent(READ_PERCENT) {
            look(&self.caller, &mut self.random, &user, &other).await
        } else if marks && self.has_begun {
            self.mark(user, other).await
        } else {
            self.send(user, other).await
        }
    }

    /// Replaces the two users of a visit by new ones.
    async fn next_visit(&mut self) -> Result<(), Failure> {
        if self.visit.number > 0 {
            for user in [&self.walk.user, &self.walk.other] {
                self.caller.until_done(user, "logout", &json!({})).await?;
            }
        }
        self.visit.number += 1;
        let name = |side| format!("visitor.{}.{}.{side}", self.index, self.visit.number);
        (self.walk.user, self.walk.other) = (name('a'), name('b'));
        for user in [&self.walk.user, &self.walk.other] {
            self.caller.until_done(user, "login", &json!({ "userName": user })).await?;
        }
        self.muted.clear();
        self.own.clear();
        self.reacted.clear();
        self.has_begun = false;
        self.visit.steps_left = VISIT_STEPS;
        Ok(())
    }

    async fn send(&mut self, user: String, other: String) -> Result<(), Failure> {
        self.sent += 1;
        self.has_begun = true;
        let local_id = format!("task-{}-{}", self.index, self.sent);
        let choice = usize::try_from(self.random.below(6)).unwrap_or_default();
        for (user, other) in [(&user, &other), (&other, &user)] {
            self.shared.pairs().entry(user.clone()).or_default().insert(other.clone());
        }
        let text = format!("{} ({local_id})", TEXTS[choice]);
        let has_receipt = self.random.percent(RECEIPT_PERCENT);
        let body = json!({
            "message": { "type": 1, "message": text, "localMessageID": local_id },
            "toUserID": other,
            "config": {
                "disableUnreadMessageCount": self.random.percent(3), "hasReceipt": has_receipt,
            },
        });
        let reply = self.caller.until_done(&user, "send_peer_message", &body).await?;
        let message_id = reply["message"]["messageID"]
            .as_str()
            .ok_or_else(|| format!("not a sent message: {reply}"))?;
        self.shared.add_deletable(&user, &other, message_id);
        if self.is_alone() {
            let (message_id, sent) = (message_id.to_owned(), Instant::now());
            let own = Own { message_id, sent, has_receipt };
            self.own.entry(user).or_default().push(own);
        }
        Ok(())
    }

    /// Whether no other task calls as one of the two users in their conversation.
    const fn is_alone(&self) -> bool {
        matches!(self.walk.kind, Kind::Sends | Kind::SendsAndMarks | Kind::Visits)
    }

    async fn mark(&mut self, user: String, other: String) -> Result<(), Failure> {
        let mut body = json!({ "conversationID": other, "conversationType": 0 });
        if self.is_alone() && self.random.percent(AMEND_PERCENT) {
            return self.change_message(user, other).await;
        }
        let dice = self.random.below(100);
        let method = if dice < 35 {
            "clear_conversation_unread_message_count"
        } else if dice < 40 {
            "clear_conversation_total_unread_message_count"
        } else if dice < 60 {
            let muted = self.muted.entry(user.clone()).or_default();
            *muted = !*muted;
            body["status"] = json!(if *muted { 2 } else { 1 });
            "set_conversation_notification_status"
        } else if dice < 95 {
            let picked = self.shared.take_deletable(&user, &other, &mut self.random);
            let Some(message_id) = picked else { return self.send(user, other).await };
            for own in self.own.values_mut() {
                own.retain(|own| own.message_id != message_id);
            }
            body["messageList"] = json!([{ "messageID": message_id }]);
            "delete_messages"
        } else {
            self.own.clear();
            "delete_all_message"
        };
        self.caller.until_done(&user, method, &body).await?;
        Ok(())
    }
}
