//! The signs of life of a member.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::claims::Claims;
use super::host::Host;
use super::lease::Lease;
use crate::clock::Clock;
use crate::storage::owners::{self, Key, Member, MemberId, Told};
use crate::store::AppendError;
use crate::store::registry::Registry;

/// Signs of life in the time after which a member without one is taken for dead.
pub(super) const BEATS_PER_TTL: u32 = 5;
/// How long it is remembered how far a member had told everything. Later, those whom it should have
/// told are offline, and get it with their next login.
const TOLD_TTL: Duration = Duration::from_secs(60 * 60);

/// Gives signs of life for one member.
pub(super) struct Heartbeat<R, H> {
    pub(super) registry: Arc<R>,
    pub(super) host: H,
    pub(super) clock: Clock,
    pub(super) ttl: Duration,
    pub(super) id: MemberId,
    pub(super) member: Member,
    pub(super) lease: Arc<Lease>,
    /// When what the others do was last acted upon, in microseconds of the steady clock.
    pub(super) acted_us: Arc<AtomicU64>,
    pub(super) claims: Arc<Claims>,
    /// Where the entry is; 0: it was never there.
    pub(super) seq: u64,
}

/// What became of a sign of life.
enum Beat {
    Given,
    Missed,
    /// The others have taken the member for dead.
    Lost,
}

impl<R: Registry, H: Host> Heartbeat<R, H> {
    /// Writes the member's first entry.
    pub(super) async fn join(&mut self) -> Result<(), AppendError> {
        self.put(self.seq).await
    }

    /// Gives signs of life until the others take the member for dead, or it must.
    pub(super) async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut is_missed = false;
        let mut ticks = interval(self.ttl / BEATS_PER_TTL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The others are to learn of it with the next sign.
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
                    tracing::warn!("a sign of life was missed");
                }
                ticks.reset_after(self.ttl / (4 * BEATS_PER_TTL));
            }
        }
    }

    async fn beat(&mut self) -> Beat {
        // Who cannot be reached, or does not see what the others do, is of no use as an owner: so it
        // gives no sign, and they take over.
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
        self.store_told().await;
        beat
    }

    /// Stores how far everything was told. Where that fails, more is told again than must be.
    async fn store_told(&self) {
        // Read first: an opened partition counts among what is to be published from then on.
        let claimed_seq = self.claims.settled_seq();
        let Ok(Some(told)) = timeout_at(self.deadline(), self.host.told()).await else { return };
        if let Ok(told) = owners::encode(&Told { claimed_seq, ..told }) {
            let key = Key::Told(self.id.clone()).to_string();
            let written = self.registry.put(key, told, None, Some(TOLD_TTL), self.deadline()).await;
            if let Err(error) = written {
                tracing::debug!(%error, "how far everything was told was not stored");
            }
        }
    }

    /// The entry is not where it was left: perhaps a sign was stored whose acknowledgement was lost.
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
            tracing::error!(%error, "a member's entry could not be written");
            AppendError::Unavailable(error.to_string())
        })?;
        let key = Key::Member(self.id.clone()).to_string();
        let given = self.clock.now();
        let (expected, ttl) = (Some(expected_seq), Some(self.ttl));
        self.seq = self.registry.put(key, entry, expected, ttl, self.deadline()).await?;
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        self.lease.extend(given, ttl_ms);
        Ok(())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.ttl * 2 / BEATS_PER_TTL
    }
}
