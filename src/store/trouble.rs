//! Problems of the store that do not pass by themselves: logged once when they begin and once when
//! they are over, however many calls meet them, and reported in the statistics.

mod cause;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::cause::Cause;
use self::cause::Place;
pub use super::names::Resource;
use super::names::StreamNames;
use super::tuning::{
    LOSS_REPORTED_FOR, SAME_TROUBLE, TROUBLE_CALM, TROUBLE_FORGOTTEN, UNACKED_MAX,
};

/// A problem, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The stream, or the resource that has reached a limit.
    pub resource: String,
    /// The problem, a sentence.
    pub problem: String,
    /// The remedy, a sentence.
    pub remedy: String,
    /// How long it has been going on.
    pub lasts: Duration,
    /// The kind of its cause, for programs.
    pub kind: &'static str,
}

/// A problem that is ongoing, or was until recently.
#[derive(Debug)]
struct Known {
    cause: Cause,
    /// The stream on which it was met last.
    resource: Resource,
    began: Instant,
    met: Instant,
    over: Option<Instant>,
}

impl Known {
    /// Whether it means a loss of data, although it is over.
    const fn is_loss(&self) -> bool {
        let is_lost = matches!(self.cause, Cause::Gone | Cause::NotMadeAnew(_));
        is_lost && matches!(self.resource, Resource::Stream(_))
    }
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<Place, Known>,
    /// Streams that must be checked.
    suspects: BTreeSet<Resource>,
    /// The time since which no publish into a stream was acknowledged.
    unacked: BTreeMap<Resource, Instant>,
}

/// The problems that an instance has met.
#[derive(Debug)]
pub struct Troubles {
    names: StreamNames,
    state: Mutex<State>,
    /// The number of ongoing ones: the check at each write must cost nothing.
    ongoing: AtomicUsize,
    is_unacked: AtomicBool,
    suspected: Notify,
}

impl Troubles {
    /// No problems.
    #[must_use]
    pub fn new(names: StreamNames) -> Self {
        Self {
            names,
            state: Mutex::default(),
            ongoing: AtomicUsize::new(0),
            is_unacked: AtomicBool::new(false),
            suspected: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a check whether a stream exists: it did not answer.
    pub fn suspect(&self, resource: Resource) {
        if self.lock().suspects.insert(resource) {
            self.suspected.notify_one();
        }
    }

    /// Notes that a publish was not answered in time although the connection is up.
    pub fn unacked(&self, resource: Resource) {
        self.suspect(resource);
        self.is_unacked.store(true, Ordering::Release);
        let since = *self.lock().unacked.entry(resource).or_insert_with(Instant::now);
        if since.elapsed() >= UNACKED_MAX {
            self.met(resource, Cause::Unacked);
        }
    }

    /// The streams that must be checked, as soon as there are any.
    pub async fn suspects(&self) -> BTreeSet<Resource> {
        loop {
            let suspects = std::mem::take(&mut self.lock().suspects);
            if !suspects.is_empty() {
                return suspects;
            }
            self.suspected.notified().await;
        }
    }

    /// Notes a problem, and logs it if it is new.
    pub fn met(&self, resource: Resource, cause: Cause) {
        let now = Instant::now();
        let place = cause.place(resource);
        let mut state = self.lock();
        if let Some(known) = state.known.get_mut(&place) {
            let is_same = known.over.is_none_or(|over| now < over + SAME_TROUBLE)
                && std::mem::discriminant(&known.cause) == std::mem::discriminant(&cause);
            if is_same {
                if known.over.take().is_some() {
                    self.ongoing.fetch_add(1, Ordering::AcqRel);
                }
                (known.met, known.resource) = (now, resource);
                return;
            }
            if known.over.is_none() {
                self.ongoing.fetch_sub(1, Ordering::AcqRel);
            }
        }
        let name = self.names.resource(resource);
        let (problem, remedy) = cause.sentences(resource, &name);
        state.known.insert(place, Known { cause, resource, began: now, met: now, over: None });
        self.ongoing.fetch_add(1, Ordering::AcqRel);
        drop(state);
        tracing::error!(stream = name, remedy, "{problem}");
    }

    /// Notes that a stream stored a write.
    pub fn stored(&self, resource: Resource) {
        if self.is_unacked.load(Ordering::Relaxed) {
            let mut state = self.lock();
            state.unacked.remove(&resource);
            self.is_unacked.store(!state.unacked.is_empty(), Ordering::Release);
        }
        if self.ongoing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = Instant::now();
        self.end_where(|place, known| match &known.cause {
            // If other streams still have it, it is met again.
            Cause::Unacked => now >= known.met + TROUBLE_CALM,
            // A write shows neither the configuration of the stream nor what it lost.
            Cause::Differs(_) => false,
            // The stream takes no writes while it is gone.
            Cause::Gone | Cause::NotMadeAnew(_) => place == Place::One(resource),
            Cause::NoJetStream(_) => true,
            Cause::Full(_)
            | Cause::Refused(_)
            | Cause::Account(_)
            | Cause::Server(_)
            | Cause::Disk(_) => known.resource == resource && now >= known.met + TROUBLE_CALM,
        });
    }

    /// Notes the result of a check: the stream exists as configured, and has room or not.
    pub fn is_well(&self, resource: Resource, has_room: bool) {
        let now = Instant::now();
        self.end_where(|place, known| match &known.cause {
            Cause::NoJetStream(_) => true,
            Cause::Full(_) => {
                place == Place::One(resource) && has_room && now >= known.met + TROUBLE_CALM
            }
            Cause::Gone | Cause::NotMadeAnew(_) | Cause::Differs(_) => {
                place == Place::One(resource)
            }
            Cause::Unacked
            | Cause::Refused(_)
            | Cause::Account(_)
            | Cause::Server(_)
            | Cause::Disk(_) => now >= known.met + TROUBLE_FORGOTTEN,
        });
    }

    fn end_where(&self, is_over: impl Fn(Place, &Known) -> bool) {
        if self.ongoing.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = Instant::now();
        let mut state = self.lock();
        let mut over = Vec::new();
        for (place, known) in &mut state.known {
            if known.over.is_none() && is_over(*place, known) {
                known.over = Some(now);
                over.push((known.resource, known.cause.clone(), known.began.elapsed()));
            }
        }
        self.ongoing.fetch_sub(over.len(), Ordering::AcqRel);
        drop(state);
        for (resource, cause, lasted) in over {
            let name = self.names.resource(resource);
            let (problem, _) = cause.sentences(resource, &name);
            let seconds = lasted.as_secs();
            let is_anew = matches!(cause, Cause::Gone | Cause::NotMadeAnew(_));
            let made = if is_anew { " (made anew, empty)" } else { "" };
            tracing::info!(stream = name, seconds, "over: {problem}{made}");
        }
    }

    /// Whether no instance can own partitions until the problem is solved by a person or by this
    /// instance.
    #[must_use]
    pub fn is_owning_impossible(&self) -> bool {
        if self.ongoing.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let state = self.lock();
        state.known.iter().any(|(place, known)| {
            known.over.is_none()
                && match place {
                    Place::One(resource) => {
                        *resource == Resource::Owners && !matches!(known.cause, Cause::Differs(_))
                    }
                    Place::Account | Place::Server | Place::Disk | Place::JetStream => true,
                }
        })
    }

    /// The streams that are checked because of a problem.
    #[must_use]
    pub fn resources(&self) -> BTreeSet<Resource> {
        let state = self.lock();
        let ongoing = state.known.values().filter(|known| known.over.is_none());
        ongoing.map(|known| known.resource).collect()
    }

    /// The ongoing problems, and recent losses.
    #[must_use]
    pub fn ongoing(&self) -> Vec<Trouble> {
        let state = self.lock();
        let is_reported = |known: &&Known| match known.over {
            None => true,
            Some(over) => known.is_loss() && over.elapsed() < LOSS_REPORTED_FOR,
        };
        let ongoing = state.known.values().filter(is_reported);
        let trouble = |known: &Known| {
            let resource = self.names.resource(known.resource);
            let (problem, remedy) = known.cause.sentences(known.resource, &resource);
            let kind = known.cause.kind();
            Trouble { resource, problem, remedy, lasts: known.began.elapsed(), kind }
        };
        ongoing.map(trouble).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::store::StreamId;
    use peerd_core::id::Partition;

    const LOG: Resource = Resource::Stream(StreamId::Log(Partition(3)));

    fn troubles() -> Troubles {
        Troubles::new(StreamNames::new("peer"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_ongoing_until_a_write_succeeds_some_time_after() {
        let troubles = troubles();
        troubles.met(LOG, Cause::Full("maximum bytes exceeded (10077)".to_owned()));
        troubles.met(LOG, Cause::Full("maximum bytes exceeded (10077)".to_owned()));
        let [trouble] = &troubles.ongoing()[..] else { panic!("one trouble") };
        assert_eq!(trouble.resource, "PEER_LOG_3");
        assert!(trouble.remedy.contains("stream.max_bytes"), "{trouble:?}");
        troubles.stored(LOG);
        assert_eq!(troubles.ongoing().len(), 1, "a small one fitted");
        advance(TROUBLE_CALM).await;
        troubles.stored(Resource::Push);
        assert_eq!(troubles.ongoing().len(), 1, "another stream");
        troubles.stored(LOG);
        assert_eq!(troubles.ongoing(), []);
        troubles.met(LOG, Cause::Full(String::new()));
        assert_eq!(troubles.ongoing().len(), 1, "it is back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_acks_for_a_while_is_reported() {
        let troubles = troubles();
        for _ in 0..3 {
            troubles.unacked(LOG);
            advance(UNACKED_MAX / 2).await;
            troubles.stored(LOG);
        }
        assert_eq!(troubles.ongoing(), []);
        troubles.unacked(Resource::Owners);
        advance(UNACKED_MAX).await;
        troubles.unacked(Resource::Owners);
        assert_eq!(troubles.ongoing().len(), 1);
        assert!(troubles.is_owning_impossible());
        advance(TROUBLE_CALM).await;
        troubles.stored(Resource::Owners);
        assert_eq!(troubles.ongoing(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_owners_nobody_can_own() {
        let troubles = troubles();
        troubles.met(LOG, Cause::Gone);
        assert!(!troubles.is_owning_impossible());
        troubles.met(Resource::Owners, Cause::Gone);
        assert!(troubles.is_owning_impossible());
        troubles.is_well(Resource::Owners, true);
        assert!(!troubles.is_owning_impossible());
        assert_eq!(troubles.resources(), BTreeSet::from([LOG]));
        troubles.is_well(LOG, true);
        assert_eq!(troubles.resources(), BTreeSet::new());
        assert_eq!(troubles.ongoing().len(), 1, "what was lost is reported for a while");
        advance(LOSS_REPORTED_FOR).await;
        assert_eq!(troubles.ongoing(), []);
    }

    #[tokio::test]
    async fn a_suspect_is_looked_at_once() {
        let troubles = troubles();
        troubles.suspect(LOG);
        troubles.suspect(LOG);
        assert_eq!(troubles.suspects().await, BTreeSet::from([LOG]));
        let none = tokio::time::timeout(Duration::from_millis(10), troubles.suspects()).await;
        assert!(none.is_err());
    }
}
