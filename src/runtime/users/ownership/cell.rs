//! A user in memory: the state and its three locks.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hashbrown::HashMap;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::Ownership;
use crate::clock::Now;
use crate::runtime::tuning::{LATE_WRITE_MAX, OVERLOADED_RETRY_MS};
use crate::store::{AppendError, StreamId};
use peerd_core::id::{Direction, Partition, UserId};
use peerd_core::pages::AmendedPages;
use peerd_core::user::User;
use peerd_protocol::failure::Failure;
use peerd_protocol::subject::Token;

/// A user in memory.
///
/// Three locks order what happens to a user. The lock on the state is held for a decision and for
/// the events that follow from it, never across an await. The entry lock admits one load, or one
/// change of the user's own entries, at a time. A pair lock admits one message of each sender at a
/// time, from its plan to its acknowledgement, or until its outcome is known, since each message
/// builds on the one before.
pub(in crate::runtime) struct UserCell {
    pub(in crate::runtime) id: UserId,
    pub(in crate::runtime) token: Token,
    pub(in crate::runtime) partition: Partition,
    /// The time for which this instance may act for the user.
    pub(in crate::runtime) ownership: Arc<Ownership>,
    state: Mutex<User>,
    /// [`User::oldest_unread_ms`], to be read without the lock.
    oldest_unread_ms: AtomicU64,
    entry_lock: tokio::sync::Mutex<()>,
    ageing: tokio::sync::Mutex<()>,
    pair_locks: Mutex<HashMap<UserId, Arc<tokio::sync::Mutex<()>>>>,
    /// The number of the load from which the state came.
    load: AtomicU64,
    /// The store's generation in which the state was loaded; 0: it must be loaded.
    loaded_in: AtomicU64,
    /// The time until which the store may contain more of the user than a load finds.
    in_doubt_until: Mutex<Option<Instant>>,
    /// The time until which another owner may change messages of the user without this one knowing
    /// it.
    may_change_until: Mutex<Option<Instant>>,
    /// Whether a write of the account because of its revision is in progress.
    pub(in crate::runtime) is_revision_due: AtomicBool,
    /// Whether read receipts of the user have begun and must be completed.
    receipts_due: AtomicBool,
    /// Whether received messages may have to be reported as delivered.
    reports_due: AtomicBool,
    /// Set at each use, cleared by the eviction sweep.
    used: AtomicBool,
    /// The stored last-seen time, in milliseconds since 1970.
    pub(in crate::runtime) last_seen_stored_ms: AtomicU64,
    /// When the last-seen time is due to be stored again.
    last_seen_due_ms: AtomicU64,
    /// How often the state was locked.
    #[cfg(test)]
    pub(in crate::runtime) locked: AtomicU64,
}

impl UserCell {
    pub(in crate::runtime) fn new(id: UserId, ownership: Arc<Ownership>) -> Self {
        Self {
            partition: ownership.partition,
            ownership,
            token: Token::of(&id),
            state: Mutex::new(User::new(id.clone())),
            oldest_unread_ms: AtomicU64::new(u64::MAX),
            id,
            entry_lock: tokio::sync::Mutex::default(),
            ageing: tokio::sync::Mutex::default(),
            pair_locks: Mutex::default(),
            load: AtomicU64::new(0),
            loaded_in: AtomicU64::new(0),
            in_doubt_until: Mutex::new(None),
            may_change_until: Mutex::new(None),
            is_revision_due: AtomicBool::new(false),
            receipts_due: AtomicBool::new(false),
            reports_due: AtomicBool::new(false),
            used: AtomicBool::new(true),
            last_seen_stored_ms: AtomicU64::new(0),
            last_seen_due_ms: AtomicU64::new(0),
            #[cfg(test)]
            locked: AtomicU64::new(0),
        }
    }

    /// The stream that has the messages to this user.
    pub(in crate::runtime) const fn log(&self) -> StreamId {
        StreamId::Log(self.partition)
    }

    /// The time until which a write for the user may be tried: an instance that is no longer the
    /// owner does not write, and retries only while it is certain to remain the owner.
    pub(in crate::runtime) fn may_write(&self, deadline: Instant) -> Result<Instant, AppendError> {
        self.may_write_at(deadline, self.ownership.now())
    }

    /// As [`UserCell::may_write`], where the time was just read.
    pub(in crate::runtime) fn may_write_at(
        &self,
        deadline: Instant,
        (now, instant): (Now, Instant),
    ) -> Result<Instant, AppendError> {
        if !self.ownership.may_act_at(now) {
            return Err(AppendError::Unavailable("no longer the owner".to_owned()));
        }
        Ok(deadline.min(instant + self.ownership.lease_left(now)))
    }

    /// Notes a write that was acknowledged. An instance that lost the ownership meanwhile does not
    /// act on what it wrote.
    pub(in crate::runtime) fn wrote(&self, stream: StreamId, seq: u64) -> Result<u64, AppendError> {
        self.wrote_at(stream, seq, self.ownership.now().0)
    }

    /// As [`UserCell::wrote`], where the time was just read.
    pub(in crate::runtime) fn wrote_at(
        &self,
        stream: StreamId,
        seq: u64,
        now: Now,
    ) -> Result<u64, AppendError> {
        if !self.ownership.may_act_at(now) {
            return Err(AppendError::Unknown);
        }
        self.ownership.gap_tracker(stream).note(seq);
        Ok(seq)
    }

    /// The state. Not to be held across an await.
    pub(in crate::runtime) fn lock(&self) -> LockedUser<'_> {
        #[cfg(test)]
        self.locked.fetch_add(1, Ordering::Relaxed);
        // A panic while the lock was held is caught at the call; the state is loaded again.
        let user = self.state.lock().unwrap_or_else(|poisoned| {
            self.invalidate();
            self.state.clear_poison();
            poisoned.into_inner()
        });
        LockedUser { user, oldest_unread_ms: &self.oldest_unread_ms }
    }

    /// No unread message was stored before this time, in milliseconds since 1970, as of when the
    /// state was last unlocked.
    pub(in crate::runtime) fn oldest_unread_ms(&self) -> u64 {
        self.oldest_unread_ms.load(Ordering::Relaxed)
    }

    /// The pages of one direction of the conversation with `other` that may have amendments.
    pub(in crate::runtime) fn amended(&self, other: &UserId, direction: Direction) -> AmendedPages {
        let user = self.lock();
        let known = user.conversations.get(other);
        known.map(|known| known.settings.amended(direction).clone()).unwrap_or_default()
    }

    pub(in crate::runtime) fn is_loaded(&self, generation: u64) -> bool {
        self.loaded_in.load(Ordering::Acquire) == generation && generation > 0
    }

    /// The number of the load from which the state came.
    pub(in crate::runtime) fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }

    pub(in crate::runtime) fn was_ever_loaded(&self) -> bool {
        self.loaded_in.load(Ordering::Acquire) > 0
    }

    /// Notes that the state was loaded, and the number of the load. While the state is in doubt,
    /// the load is valid for one use only.
    pub(in crate::runtime) fn set_loaded(&self, generation: u64, load: u64) {
        self.load.store(load, Ordering::Relaxed);
        let in_doubt_until = *self.in_doubt_until();
        if in_doubt_until.is_none_or(|until| Instant::now() >= until) {
            self.loaded_in.store(generation, Ordering::Release);
        }
    }

    /// Makes the state load before each use for a while: an entry whose write was not acknowledged
    /// may still be stored.
    pub(in crate::runtime) fn doubt(&self) {
        *self.in_doubt_until() = Some(Instant::now() + LATE_WRITE_MAX);
        self.invalidate();
    }

    fn in_doubt_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.in_doubt_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the number of the load to `load`, so that cached histories are read again: a message
    /// was changed.
    pub(in crate::runtime) fn forget_read(&self, load: u64) {
        self.load.store(load, Ordering::Relaxed);
    }

    /// Notes the time until which another owner may change messages of the user: if that owner
    /// dies, this instance does not learn of the change, and cached histories would not show it.
    pub(in crate::runtime) fn note_may_change(&self, until: Instant) {
        let mut known = self.may_change_until.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(known.map_or(until, |known| known.max(until)));
    }

    /// Whether cached histories may lack a change of another owner.
    pub(in crate::runtime) fn may_have_changed(&self) -> bool {
        let until = *self.may_change_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Makes the next use of the state load it again.
    pub(in crate::runtime) fn invalidate(&self) {
        self.loaded_in.store(0, Ordering::Release);
    }

    /// Postpones storing the last-seen time to `due_ms`.
    pub(in crate::runtime) fn put_off_last_seen(&self, due_ms: u64) {
        self.last_seen_due_ms.store(due_ms, Ordering::Relaxed);
    }

    /// Whether the last-seen time must be stored now. Returns true to one of concurrent callers,
    /// and sets the next time to `next_ms`.
    pub(in crate::runtime) fn claim_last_seen(&self, now_ms: u64, next_ms: u64) -> bool {
        let due_ms = self.last_seen_due_ms.load(Ordering::Relaxed);
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        now_ms >= due_ms
            && self.last_seen_due_ms.compare_exchange(due_ms, next_ms, success, failure).is_ok()
    }

    /// Whether the stored last-seen time lags behind.
    pub(in crate::runtime) fn is_last_seen_lagging(&self) -> bool {
        let stored_ms = self.last_seen_stored_ms.load(Ordering::Relaxed);
        self.lock().account.last_seen_ms.is_some_and(|last_seen_ms| last_seen_ms > stored_ms)
    }

    pub(in crate::runtime) fn set_receipts_due(&self, are_due: bool) {
        self.receipts_due.store(are_due, Ordering::Relaxed);
    }

    pub(in crate::runtime) fn set_reports_due(&self) {
        self.reports_due.store(true, Ordering::Relaxed);
    }

    /// Whether received messages may have to be reported as delivered. Returns true to one of
    /// concurrent callers.
    pub(in crate::runtime) fn take_reports_due(&self) -> bool {
        self.reports_due.load(Ordering::Relaxed) && self.reports_due.swap(false, Ordering::Relaxed)
    }

    /// Whether read receipts must be completed. Returns true to one of concurrent callers.
    pub(in crate::runtime) fn take_receipts_due(&self) -> bool {
        // The swap alone would write to the line that every call reads.
        self.receipts_due.load(Ordering::Relaxed)
            && self.receipts_due.swap(false, Ordering::Relaxed)
    }

    pub(in crate::runtime) fn touch(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Whether the user was used since the last call of this.
    pub(in crate::runtime) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// Waits until no other load or change of the user's entries is in progress.
    pub(in crate::runtime) async fn entry_lock(
        &self,
        deadline: Instant,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, Failure> {
        timeout_at(deadline, self.entry_lock.lock()).await.map_err(|_| Failure::StoreUnavailable)
    }

    /// Waits until no other task examines what aged out.
    pub(in crate::runtime) async fn ageing_lock(
        &self,
        deadline: Instant,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, Failure> {
        timeout_at(deadline, self.ageing.lock()).await.map_err(|_| Failure::StoreUnavailable)
    }

    /// The pair lock of `sender`, if no other message of that sender to this user is in progress.
    pub(in crate::runtime) fn try_pair_lock(self: &Arc<Self>, sender: &UserId) -> Option<PairLock> {
        let mut pair_locks = self.pair_locks();
        let mutex = pair_locks.entry_ref(sender).or_default();
        let guard = mutex.clone().try_lock_owned().ok()?;
        let mutex = mutex.clone();
        Some(PairLock { receiver: self.clone(), sender: sender.clone(), mutex, guard: Some(guard) })
    }

    /// Waits until no other message of `sender` to this user is in progress.
    pub(in crate::runtime) async fn pair_lock(
        self: &Arc<Self>,
        sender: &UserId,
        deadline: Instant,
    ) -> Result<PairLock, Failure> {
        self.queue_for_pair_lock(sender).wait(deadline).await
    }

    /// Takes a place in the queue for the pair lock of `sender`: later messages wait behind it.
    pub(in crate::runtime) fn queue_for_pair_lock(
        self: &Arc<Self>,
        sender: &UserId,
    ) -> QueuedPairLock {
        let mutex = self.pair_locks().entry_ref(sender).or_default().clone();
        let mut locking: Locking = Box::pin(mutex.clone().lock_owned());
        // The first poll adds it to the queue, or takes the pair lock at once if that is free.
        let polled = locking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let guard = match polled {
            Poll::Ready(guard) => Some(guard),
            Poll::Pending => None,
        };
        let pair_lock = PairLock { receiver: self.clone(), sender: sender.clone(), mutex, guard };
        QueuedPairLock { locking, pair_lock }
    }

    fn pair_locks(&self) -> MutexGuard<'_, HashMap<UserId, Arc<tokio::sync::Mutex<()>>>> {
        self.pair_locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a user, locked.
pub(in crate::runtime) struct LockedUser<'c> {
    user: MutexGuard<'c, User>,
    oldest_unread_ms: &'c AtomicU64,
}

impl Deref for LockedUser<'_> {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

impl DerefMut for LockedUser<'_> {
    fn deref_mut(&mut self) -> &mut User {
        &mut self.user
    }
}

impl Drop for LockedUser<'_> {
    fn drop(&mut self) {
        self.oldest_unread_ms.store(self.user.oldest_unread_ms, Ordering::Relaxed);
    }
}

/// A future that locks a pair.
type Locking = Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>;

/// A place in the queue for a pair lock.
pub(in crate::runtime) struct QueuedPairLock {
    // Dropped first: then only the pair lock holds the mutex.
    locking: Locking,
    pair_lock: PairLock,
}

impl QueuedPairLock {
    /// Whether this is a pair lock of the receiver's current cell.
    pub(in crate::runtime) fn is_of(&self, receiver: &Arc<UserCell>) -> bool {
        Arc::ptr_eq(&self.pair_lock.receiver, receiver)
    }

    /// Waits for the pair lock. If that takes too long, either the store does not answer, or too
    /// many messages wait.
    pub(in crate::runtime) async fn wait(self, deadline: Instant) -> Result<PairLock, Failure> {
        let Self { locking, mut pair_lock } = self;
        if pair_lock.guard.is_some() {
            return Ok(pair_lock);
        }
        let receiver = pair_lock.receiver.clone();
        let newest = || receiver.ownership.gap_tracker(receiver.log()).newest();
        let before = newest();
        pair_lock.guard = Some(timeout_at(deadline, locking).await.map_err(|_| {
            let is_stored = newest() > before;
            let overloaded = Failure::Overloaded { retry_after_ms: OVERLOADED_RETRY_MS };
            if is_stored { overloaded } else { Failure::StoreUnavailable }
        })?);
        Ok(pair_lock)
    }
}

/// The exclusive right of one message of one sender to one receiver.
pub(in crate::runtime) struct PairLock {
    receiver: Arc<UserCell>,
    sender: UserId,
    mutex: Arc<tokio::sync::Mutex<()>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for PairLock {
    fn drop(&mut self) {
        self.guard = None;
        let mut pair_locks = self.receiver.pair_locks();
        // This reference and the map's: no other message waits.
        if Arc::strong_count(&self.mutex) == 2 {
            pair_locks.remove(&self.sender);
        }
    }
}
