//! The state of the connection to NATS: whether it is up, how many times it was made, and what the
//! server forbade on it.

mod data;
mod violation;

pub(crate) use data::DataConnection;
pub use violation::{Operation, Violation};

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Client, Event, ServerError};
use tokio::sync::watch;
use tokio::time::Instant;

/// A connection and its state.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) link: Link,
}

impl Connection {
    /// The largest message, headers and body, that every server accepts to which this was
    /// connected, in bytes: what is written now may be sent over the next connection.
    pub(crate) fn max_payload(&self) -> usize {
        self.link.note_max_payload(self.client.max_payload())
    }
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    connected: bool,
    generation: u64,
}

/// The positions of the parts of a packed state.
const CONNECTED: u64 = 1;
const GENERATION: u64 = 2;

impl State {
    const fn packed(self) -> u64 {
        self.generation * GENERATION + if self.connected { CONNECTED } else { 0 }
    }
}

/// The most different violations that are remembered.
const VIOLATIONS_MAX: usize = 32;

/// The kind of a failure, which decides whether to try again, and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A person must change something; trying again does not help.
    Configuration,
    /// As [`Cause::Configuration`], unless the server itself is being changed at the moment.
    Refused,
    /// The failure may pass by itself.
    Transient,
}

/// Tracks the state of a connection by its events.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    state: watch::Sender<State>,
    /// The same state in one number, to be read without a lock.
    packed: Arc<AtomicU64>,
    /// The smallest `max_payload` that was seen.
    max_payload: Arc<AtomicUsize>,
    /// The operations that the server forbade, each once.
    violations: watch::Sender<Vec<Violation>>,
    /// Why the connection was lost, or could not be made again.
    problem: Arc<Mutex<String>>,
}

/// Why a wait on the link ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The deadline passed.
    TimedOut,
    /// The connection was lost while waiting.
    Disconnected,
}

impl Link {
    pub(crate) fn new() -> Self {
        let max_payload = Arc::new(AtomicUsize::new(usize::MAX));
        let state = watch::Sender::new(State::default());
        let (packed, problem) = (Arc::default(), Arc::default());
        Self { state, packed, max_payload, violations: watch::Sender::default(), problem }
    }

    /// Records a connection event.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::Connected => self.note_up(),
            Event::Disconnected | Event::Closed => self.note_down(),
            Event::ServerError(ServerError::Other(text)) => {
                if let Some(violation) = Violation::parse(text) {
                    self.note_violation(violation);
                }
            }
            Event::LameDuckMode
            | Event::Draining
            | Event::SlowConsumer(_)
            | Event::ServerError(
                ServerError::AuthorizationViolation | ServerError::SlowConsumer(_),
            )
            | Event::ClientError(_) => {}
        }
    }

    /// Records that the connection is made, or made again.
    pub(crate) fn note_up(&self) {
        self.change(|state| State { connected: true, generation: state.generation + 1 });
    }

    /// Records why the connection was lost, or could not be made again.
    pub(crate) fn note_problem(&self, problem: String) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Why there is no connection; `None` while there is one.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = || self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (!self.is_up()).then(problem)
    }

    /// How often the connection was made again.
    pub(crate) fn reconnects(&self) -> u64 {
        self.generation().saturating_sub(1)
    }

    /// Records that the connection is lost.
    pub(crate) fn note_down(&self) {
        self.change(|state| State { connected: false, ..state });
    }

    fn change(&self, change: impl FnOnce(State) -> State) {
        self.state.send_modify(|state| {
            *state = change(*state);
            // Still locked, so that both always come to the same.
            self.packed.store(state.packed(), Ordering::Release);
        });
    }

    /// Records a server's `max_payload`, and returns the smallest one so far.
    pub(crate) fn note_max_payload(&self, seen: usize) -> usize {
        let smallest = self.max_payload.load(Ordering::Relaxed);
        if smallest <= seen {
            return smallest;
        }
        self.max_payload.fetch_min(seen, Ordering::Relaxed).min(seen)
    }

    /// Records an operation that the server forbade.
    pub(crate) fn note_violation(&self, violation: Violation) {
        self.violations.send_if_modified(|violations| {
            let is_new = violations.len() < VIOLATIONS_MAX && !violations.contains(&violation);
            if is_new {
                violations.push(violation);
            }
            is_new
        });
    }

    /// Waits until the server has forbidden an operation that `matters`.
    pub(crate) async fn forbidden(&self, matters: impl Fn(&Violation) -> bool) -> Violation {
        let mut violations = self.violations.subscribe();
        loop {
            if let Some(violation) = violations.borrow_and_update().iter().find(|it| matters(it)) {
                return violation.clone();
            }
            // It cannot fail: `self` holds the sender.
            let _ = violations.changed().await;
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.packed.load(Ordering::Acquire) & CONNECTED != 0
    }

    /// Whether the `generation`th connection is still up.
    pub(crate) fn is_up_since(&self, generation: u64) -> bool {
        self.packed.load(Ordering::Acquire) == State { connected: true, generation }.packed()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.packed.load(Ordering::Acquire) / GENERATION
    }

    /// Waits until the connection is up.
    pub(crate) async fn up(&self) {
        // It cannot fail: `self` holds the sender.
        let _ = self.state.subscribe().wait_for(|state| state.connected).await;
    }

    /// Waits until a connection other than the `generation`th is up, and returns its generation.
    pub(crate) async fn newer_than(&self, generation: u64) -> u64 {
        let is_newer = |state: &State| state.connected && state.generation != generation;
        // It cannot fail: `self` holds the sender.
        self.state.subscribe().wait_for(is_newer).await.map_or(generation, |state| state.generation)
    }

    /// Waits until the `generation`th connection is down, which it may be already.
    pub(crate) async fn lost(&self, generation: u64) {
        let up = State { connected: true, generation };
        // It cannot fail: `self` holds the sender.
        let _ = self.state.subscribe().wait_for(|state| *state != up).await;
    }

    /// Waits for an answer until the deadline, and only while the connection of the request is up:
    /// async-nats would wait for an answer that can no longer arrive.
    pub(crate) async fn guard<T>(
        &self,
        deadline: Instant,
        answer: impl Future<Output = T>,
    ) -> Result<T, Broken> {
        let lost = self.lost(self.generation());
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            () = lost => Err(Broken::Disconnected),
            () = tokio::time::sleep_until(deadline) => Err(Broken::TimedOut),
        }
    }
}
