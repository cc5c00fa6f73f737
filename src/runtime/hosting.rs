//! Takes partitions over and hands them over, for the cluster layer.
//!
//! **Opening** reads the ends of both streams from their leaders, and the newest 256 records of the
//! log, so that no order key is assigned twice even if the wall clock was set back. With replicas,
//! the end of every other stream is requested before its next read, because the former owner knew
//! of what others had stored there.
//!
//! **Closing** stores the last-seen times of users. The ownership takes no new calls and finishes
//! those in progress, then the same for deliveries (a call may wait for a delivery to the same
//! partition, a delivery waits for no call). Foreign writes since the last check are taken in, and
//! a round trip shows that all events were published. If a message may still be stored later (an
//! append in doubt, a delivery without an answer, a closing that ran out of time), the owner entry
//! has the time since which events may be unpublished, and the next owner redelivers them.
//!
//! **Between the two**, calls that arrive at the former owner wait there and are forwarded: it
//! stays subscribed until it has seen the next owner's claim, for two seconds at most.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::env::Env;
use super::redelivery::{Redelivery, Unpublished};
use super::send::SendPath;
use super::session::Sessions;
use super::tuning::{
    CLOSE_WRITES_CONCURRENT, FOREIGN_WRITE_LATE_MS, GAP_LOOKS_CONCURRENT, GAP_RECORDS_PER_READ,
    KEYS_IN_FLIGHT_MAX, LAST_SEEN_TIMEOUT, OPEN_TIMEOUT, PROBES_UNANSWERED, PULSE_TIMEOUT,
};
use super::users::{LoadError, Ownership, Users};
use crate::bus::{Answer, AskError, Bus, Kind, Outgoing, Take};
use crate::cluster::host::{Closed, Grant, NotOpened};
use crate::cluster::table::Table;
use crate::failpoint::{self, Fault};
use crate::storage::owners::{MemberId, PublishedUpTo};
use crate::store::{Start, Store, StreamId};
use crate::wire::probe;
use peerd_core::id::{Partition, UserId};
use peerd_protocol::encoding::Encoding;

/// Opens and closes partitions. [`crate::cluster::host::Host`] describes the methods.
pub(super) struct Hosting<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    pub(super) sessions: Arc<Sessions<S, B>>,
    pub(super) redelivery: Arc<Redelivery<S, B>>,
    pub(super) table: Arc<Table>,
    pub(super) send_path: Arc<SendPath<S, B>>,
    /// The partition at which the next look around begins.
    pub(super) next_look: AtomicU16,
}

impl<S: Store, B: Bus> Hosting<S, B> {
    pub(super) async fn listen(&self, partition: Partition, take: Take) -> Result<(), NotOpened> {
        if self.env.bus.listen(partition, take).await {
            Ok(())
        } else {
            Err(NotOpened("the server did not confirm the subscription".to_owned()))
        }
    }

    pub(super) async fn open(self: &Arc<Self>, grant: Grant) -> Result<(), NotOpened> {
        // Registered before the partition opens, so that the published-up-to time does not move
        // past the events that are to be redelivered.
        let begin = |since_ms| self.env.pending.clone().begin_owned(since_ms);
        let under_way = grant.unpublished_since_ms.map(begin);
        let opened = self.try_open(&grant, None, Instant::now() + OPEN_TIMEOUT).await;
        if !opened.map_err(|error| NotOpened(error.to_string()))? {
            return Err(NotOpened("the lease ended before the partition was open".to_owned()));
        }
        if let Some((since_ms, under_way)) = grant.unpublished_since_ms.zip(under_way)
            && !failpoint::is(Fault::NotRedelivered)
        {
            self.redelivery.redeliver(Unpublished {
                partition: grant.partition,
                since_ms,
                under_way,
            });
        }
        Ok(())
    }

    pub(super) async fn close(
        self: &Arc<Self>,
        partition: Partition,
        patience: Option<Duration>,
    ) -> Option<Closed> {
        let Some(ownership) = self.users.ownership(partition) else {
            return Some(Closed::default());
        };
        // While the partition still takes calls: they would wait otherwise.
        self.store_all_last_seen(&ownership, Instant::now() + LAST_SEEN_TIMEOUT).await;
        let published_ms = self.env.published_ms();
        let most = patience.unwrap_or(self.env.options.call_deadline);
        let is_cut_off = timeout(most, ownership.close()).await.is_err();
        if is_cut_off {
            if patience.is_some() {
                ownership.reopen();
                return None;
            }
            tracing::warn!(%partition, "closed the partition with calls still in progress");
        }
        let mut unpublished_since_ms = ownership.unpublished_since_ms();
        if is_cut_off {
            // Events of messages that are stored from now on are not published here.
            unpublished_since_ms = earlier(unpublished_since_ms, published_ms);
        }
        // Takes in foreign writes since the last look. No acknowledgement is outstanding any more,
        // so two looks in a row find every gap.
        let log = StreamId::Log(partition);
        let looked = timeout(LAST_SEEN_TIMEOUT, async {
            self.look(&ownership, log).await?;
            self.look(&ownership, log).await
        });
        if !matches!(looked.await, Ok(Ok(()))) {
            unpublished_since_ms =
                earlier(unpublished_since_ms, published_ms.saturating_sub(FOREIGN_WRITE_LATE_MS));
        }
        // A late write shows as a gap to the next owner only if it is stored after that owner opens
        // the partition; one that is stored before must be redelivered by time.
        if let Some(since_ms) = ownership.in_doubt_since_ms() {
            unpublished_since_ms = earlier(unpublished_since_ms, since_ms);
        }
        // Queued events are dropped once the ownership has ended.
        if !self.env.bus.reach(Instant::now() + PULSE_TIMEOUT).await {
            unpublished_since_ms = earlier(unpublished_since_ms, published_ms);
        }
        // More writes may have become in doubt during the waits above.
        if let Some(since_ms) = ownership.in_doubt_since_ms() {
            unpublished_since_ms = earlier(unpublished_since_ms, since_ms);
        }
        self.forget(&ownership);
        Some(Closed { key: ownership.clock.newest(), unpublished_since_ms })
    }

    pub(super) async fn unlisten(&self, partition: Partition) {
        self.env.bus.unlisten(partition).await;
    }

    pub(super) fn abandon(&self, partition: Partition) {
        if let Some(ownership) = self.users.ownership(partition) {
            self.forget(&ownership);
        }
    }

    pub(super) async fn is_reached(&self) -> bool {
        let asked_us = self.env.clock.steady_us();
        let is_reached = self.env.bus.is_reached(Instant::now() + PULSE_TIMEOUT).await;
        if is_reached {
            self.env.reached_us.fetch_max(asked_us, Ordering::Relaxed);
        }
        is_reached
    }

    pub(super) async fn published_up_to(&self) -> Option<PublishedUpTo> {
        // Read before the round trip: the events of work that begins later are published later.
        let published_ms = self.env.published_ms();
        let key = self
            .users
            .ownerships()
            .map(|ownership| ownership.clock.newest())
            .max()
            .unwrap_or_default();
        let is_reached = self.env.bus.reach(Instant::now() + PULSE_TIMEOUT).await;
        is_reached.then_some(PublishedUpTo { published_ms, key, claimed_seq: 0 })
    }

    pub(super) async fn answers(
        &self,
        member: &MemberId,
        names_itself: bool,
        within: Duration,
    ) -> bool {
        let until = Instant::now() + within;
        // A probe or its answer may be lost or late: one answer to any of them is enough.
        let mut probes = FuturesUnordered::new();
        loop {
            probes.push(self.probe(member, names_itself, until));
            let next_probe = (Instant::now() + within / PROBES_UNANSWERED).min(until);
            loop {
                match timeout_at(next_probe, probes.next()).await {
                    Ok(Some(Ok(_))) => return true,
                    // The server reports no responders: no reason to wait.
                    Ok(Some(Err(AskError::Nobody))) => return false,
                    Ok(Some(Err(AskError::Unknown))) => {}
                    Ok(None) => {
                        sleep_until(next_probe).await;
                        break;
                    }
                    Err(_) => break,
                }
            }
            if next_probe >= until {
                return false;
            }
        }
    }

    pub(super) fn observe_server_time(&self, server_ms: u64) {
        let steady_ms = self.env.clock.steady_us() / 1000;
        self.env.server_began_ms.store(server_ms.saturating_sub(steady_ms), Ordering::Relaxed);
    }

    pub(super) async fn look_around(self: &Arc<Self>) {
        let count = self.env.subjects.partitions();
        let first = self.next_look.load(Ordering::Relaxed);
        let numbers = (0..count).map(|step| (first + step) % count);
        let ownerships: Vec<_> = numbers
            .filter_map(|number| self.users.ownership(Partition(number)))
            .take(GAP_LOOKS_CONCURRENT)
            .collect();
        if let Some(last) = ownerships.last() {
            self.next_look.store((last.partition.0 + 1) % count, Ordering::Relaxed);
        }
        let looks = ownerships.iter().flat_map(|ownership| {
            [StreamId::Log(ownership.partition), StreamId::State(ownership.partition)]
                .map(|stream| self.look(ownership, stream))
        });
        for looked in join_all(looks).await {
            if let Err(error) = looked {
                tracing::debug!(%error, "cannot check a stream for foreign writes");
            }
        }
    }
}

impl<S: Store, B: Bus> Hosting<S, B> {
    /// Opens a partition and begins its ownership. With `former`, replaces that ownership, and only
    /// if it is still the current one. Returns whether the ownership began.
    async fn try_open(
        &self,
        grant: &Grant,
        former: Option<&Arc<Ownership>>,
        deadline: Instant,
    ) -> Result<bool, LoadError> {
        let partition = grant.partition;
        let (log, state) = (StreamId::Log(partition), StreamId::State(partition));
        // The previous owner knew what other owners had stored, so this one must read their ends
        // again.
        self.env.store.forget_ends();
        let (log_end, state_end) = futures::try_join!(
            self.env.store.last_seq(log, deadline),
            self.env.store.last_seq(state, deadline),
        )?;
        let incarnations = (self.env.store.incarnation(log), self.env.store.incarnation(state));
        let ownership = Ownership::new(grant, self.env.clock, (log_end, state_end), incarnations);
        ownership.clock.observe(grant.key);
        // An order key is never assigned twice, even when the wall clock was set back. Records of
        // different pairs may be stored in another order than that of their keys.
        let from = log_end.saturating_sub(KEYS_IN_FLIGHT_MAX - 1);
        let most = usize::try_from(KEYS_IN_FLIGHT_MAX).unwrap_or(usize::MAX);
        for key in self.env.storage(deadline).order_keys(partition, from, most).await? {
            ownership.clock.observe(key);
        }
        let slot = &self.users.slots[usize::from(partition.0)];
        let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
        // An ownership that was abandoned meanwhile is not resumed.
        let is_free = match (former, &*slot) {
            (Some(former), Some(there)) => Arc::ptr_eq(former, there),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let may_act = ownership.may_act() && is_free;
        if may_act {
            if let Some(former) = former {
                former.end();
            }
            *slot = Some(Arc::new(ownership));
        }
        Ok(may_act)
    }

    /// Sends one probe to a member and waits for the answer.
    async fn probe(
        &self,
        member: &MemberId,
        names_itself: bool,
        until: Instant,
    ) -> Result<Answer, AskError> {
        let (instance, reply_to) = (member.instance().to_owned(), self.env.bus.inbox());
        let probe = Outgoing {
            subject: self.env.subjects.probe(&instance).into(),
            encoding: Encoding::default(),
            kind: Kind::Routed {
                reply_to: Some(reply_to.clone().into()),
                content_type: None,
                hops: 0,
            },
            body: bytes::Bytes::new(),
            permit: None,
        };
        let is_answer = move |answer: &Answer| {
            if names_itself {
                probe::is_answer(&answer.body, &instance, &reply_to)
            } else {
                answer.body.is_empty()
            }
        };
        self.env.bus.ask(probe, Box::new(is_answer), until).await
    }

    fn forget(&self, ownership: &Ownership) {
        ownership.end();
        let slot = &self.users.slots[usize::from(ownership.partition.0)];
        // The partition may have been reopened meanwhile.
        if let Some(there) = slot.write().unwrap_or_else(PoisonError::into_inner).take() {
            there.end();
        }
    }

    /// Stores the last-seen times of the users in memory that lag behind, as far as the time
    /// allows.
    async fn store_all_last_seen(&self, ownership: &Ownership, until: Instant) {
        let cells = ownership.cells();
        let lagging: Vec<_> = cells.iter().filter(|cell| cell.is_last_seen_lagging()).collect();
        for chunk in lagging.chunks(CLOSE_WRITES_CONCURRENT) {
            // A write that has begun is awaited: its acknowledgement gives the entry's sequence.
            join_all(chunk.iter().map(|cell| self.sessions.store_last_seen(cell))).await;
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Checks whether a stream holds records that this instance did not write, and takes them in.
    async fn look(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        stream: StreamId,
    ) -> Result<(), LoadError> {
        let _under_way = self.env.pending.begin(self.env.server_ms());
        let (began, deadline) = (Instant::now(), self.env.deadline());
        let last = self.env.store.last_seq(stream, deadline).await?;
        let known = match stream {
            StreamId::Log(_) => ownership.incarnations.0,
            StreamId::State(_) => ownership.incarnations.1,
        };
        if self.env.store.incarnation(stream) != known {
            return self.begin_anew(ownership, deadline).await;
        }
        let mut gaps = ownership.gap_tracker(stream).look(last);
        if failpoint::is(Fault::LateWriteUnnoticed) {
            gaps.clear();
        }
        for gap in gaps {
            self.take_gap_in(ownership, stream, &gap, deadline).await?;
            // Only after success: after a failure the next look finds the gap again.
            ownership.gap_tracker(stream).know(gap);
        }
        if stream == StreamId::Log(ownership.partition) {
            ownership.note_look(began);
        }
        Ok(())
    }

    /// Reopens an owned partition after one of its streams was lost and created again. The users in
    /// memory are stale and are loaded again on their next use.
    async fn begin_anew(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let partition = ownership.partition;
        let grant = ownership.grant_anew(self.env.published_ms());
        let under_way =
            grant.unpublished_since_ms.map(|since| self.env.pending.clone().begin_owned(since));
        if self.try_open(&grant, Some(ownership), deadline).await? {
            tracing::warn!(%partition, "reopened the partition: one of its streams was lost");
            self.table.wake();
            if let Some((since_ms, under_way)) = grant.unpublished_since_ms.zip(under_way) {
                self.redelivery.redeliver(Unpublished { partition, since_ms, under_way });
            }
        }
        Ok(())
    }

    async fn take_gap_in(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        stream: StreamId,
        gap: &RangeInclusive<u64>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let partition = ownership.partition;
        let mut next = *gap.start();
        while next <= *gap.end() {
            let storage = self.env.storage(deadline);
            let after = match stream {
                StreamId::Log(_) => {
                    let from = Start::Seq(next);
                    let logged = storage.logged(partition, from, GAP_RECORDS_PER_READ, |_, _| true);
                    let (logged, after) = logged.await?;
                    for logged in logged {
                        let seq = logged.record.stream_seq();
                        if gap.contains(&seq) {
                            tracing::info!(%partition, seq, "found a foreign write");
                            self.send_path.take_in_foreign(ownership, logged, deadline).await?;
                        }
                    }
                    after
                }
                StreamId::State(_) => {
                    let entries =
                        storage.whose_entries(partition, next, GAP_RECORDS_PER_READ).await?;
                    let (entries, after) = entries;
                    for (seq, user) in entries.into_iter().filter(|(seq, _)| gap.contains(seq)) {
                        tracing::info!(%partition, seq, "found a foreign write");
                        doubt_entry(ownership, user.as_ref());
                    }
                    after
                }
            };
            let Some(after) = after else { break };
            next = after;
        }
        Ok(())
    }
}

/// Makes the user of an entry load again before the next use.
fn doubt_entry(ownership: &Ownership, user: Option<&UserId>) {
    if let Some(cell) = user.and_then(|user| ownership.cell_in_memory(user)) {
        cell.invalidate();
    }
}

/// The earlier of two times since which events may be unpublished; `known_ms` is `None` if there
/// was none.
fn earlier(known_ms: Option<u64>, since_ms: u64) -> Option<u64> {
    known_ms.into_iter().chain([since_ms]).min()
}
