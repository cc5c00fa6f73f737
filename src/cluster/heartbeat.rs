//! The heartbeats of a member.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::claims::Claims;
use super::host::Host;
use super::lease::Lease;
use super::tuning::{BEATS_PER_TTL, PUBLISHED_TTL};
use crate::clock::Clock;
use crate::failpoint::{self, Fault};
use crate::storage::owners::{self, Key, Member, MemberId, PublishedUpTo};
use crate::store::AppendError;
use crate::store::registry::Registry;

/// The lease of an injected fault, in milliseconds.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Sends the heartbeats of one member.
pub(super) struct Heartbeat<R, H> {
    pub(super) registry: Arc<R>,
    pub(super) host: H,
    pub(super) clock: Clock,
    pub(super) ttl: Duration,
    pub(super) id: MemberId,
    pub(super) member: Member,
    pub(super) lease: Arc<Lease>,
    /// When this instance last acted on the state of the bucket, in microseconds of the monotonic
    /// clock.
    pub(super) acted_us: Arc<AtomicU64>,
    pub(super) claims: Arc<Claims>,
    /// The revision of the member's entry; 0: it was never written.
    pub(super) seq: u64,
}

/// The outcome of a heartbeat.
enum Beat {
    Given,
    Missed,
    /// The entry is gone: the other members consider this one dead.
    Lost,
}

impl<R: Registry, H: Host> Heartbeat<R, H> {
    /// Writes the member's first entry.
    pub(super) async fn join(&mut self) -> Result<(), AppendError> {
        self.put(self.seq).await
    }

    /// Sends heartbeats until the other members consider this one dead, or until its lease is over.
    pub(super) async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut is_missed = false;
        let mut ticks = interval(self.ttl / BEATS_PER_TTL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The next heartbeat announces that the member is leaving.
                biased;
                Ok(()) = leaving.changed() => self.member.leaving = *leaving.borrow_and_update(),
                _ = ticks.tick() => {}
            }
            let beat = self.beat().await;
            if matches!(beat, Beat::Lost) || !self.lease.holds(self.clock.now()) {
                return;
            }
            let was_missed = std::mem::replace(&mut is_missed, matches!(beat, Beat::Missed));
            if is_missed {
                if !was_missed {
                    tracing::warn!("a heartbeat was missed");
                }
                ticks.reset_after(self.ttl / (4 * BEATS_PER_TTL));
            }
        }
    }

    async fn beat(&mut self) -> Beat {
        // A member that cannot be reached, or that does not see the changes of the others, is of no
        // use as an owner. It sends no heartbeat, so the others take over.
        let acted_us = self.acted_us.load(Ordering::Acquire);
        let idle_us = self.clock.steady_us().saturating_sub(acted_us);
        if u128::from(idle_us) > self.ttl.as_micros() {
            return Beat::Missed;
        }
        if !matches!(timeout_at(self.deadline(), self.host.is_reached()).await, Ok(true)) {
            return Beat::Missed;
        }
        self.member.beat += 1;
        let beat = match self.put(self.seq).await {
            Ok(()) => Beat::Given,
            Err(AppendError::Conflict) => self.find().await,
            Err(AppendError::Unavailable(_) | AppendError::Unknown) => Beat::Missed,
        };
        self.store_published().await;
        beat
    }

    /// Stores the time up to which all events were published. If that fails, more events are
    /// redelivered than necessary.
    async fn store_published(&self) {
        // Read before `Host::published_up_to`, which takes a partition into account as soon as it
        // is open: so it covers every claim up to this revision.
        let claimed_seq = self.claims.settled_seq();
        let Ok(Some(published_up_to)) =
            timeout_at(self.deadline(), self.host.published_up_to()).await
        else {
            return;
        };
        if let Ok(published_up_to) =
            owners::encode(&PublishedUpTo { claimed_seq, ..published_up_to })
        {
            let key = Key::Published(self.id.clone()).to_string();
            let written = self
                .registry
                .put(key, published_up_to, None, Some(PUBLISHED_TTL), self.deadline())
                .await;
            if let Err(error) = written {
                tracing::debug!(%error, "could not store up to when all events were published");
            }
        }
    }

    /// Looks the entry up after a conflict: perhaps a heartbeat was stored whose acknowledgement
    /// was lost.
    async fn find(&mut self) -> Beat {
        let key = Key::Member(self.id.clone()).to_string();
        match self.registry.find(key, self.deadline()).await {
            Ok(Some(seq)) => {
                self.seq = seq;
                Beat::Missed
            }
            Ok(None) => Beat::Lost,
            Err(_) => Beat::Missed,
        }
    }

    async fn put(&mut self, expected_seq: u64) -> Result<(), AppendError> {
        let entry = owners::encode(&self.member).map_err(|error| {
            tracing::error!(%error, "a member's entry could not be encoded");
            AppendError::Unavailable(error.to_string())
        })?;
        let key = Key::Member(self.id.clone()).to_string();
        let given = self.clock.now();
        let (expected, ttl) = (Some(expected_seq), Some(self.ttl));
        self.seq = self.registry.put(key, entry, expected, ttl, self.deadline()).await?;
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        let ttl_ms = if failpoint::is(Fault::LeaseIgnored) { YEAR_MS } else { ttl_ms };
        self.lease.extend(given, ttl_ms);
        Ok(())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.ttl * 2 / BEATS_PER_TTL
    }
}
