//! Beginning and ending to own partitions.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::again::Untold;
use super::load::LoadError;
use super::node::Node;
use super::tenure::Tenure;
use crate::bus::{Answer, AskError, Bus, Kind, Outgoing};
use crate::cluster::host::{Closed, Grant, Host, NotOpened};
use crate::deliberate::{self, Fault};
use crate::domain::id::{Partition, UserId};
use crate::storage::owners::{MemberId, Told};
use crate::storage::reads::Logged;
use crate::store::{ReadError, Start, Store, StreamId};
use crate::wire::encoding::Encoding;
use crate::wire::probe;

/// How long a partition may take to be opened.
const OPEN: Duration = Duration::from_secs(5);
/// How long it may take to store when users were last heard from, before a partition is closed.
const HEARD: Duration = Duration::from_secs(1);
/// Entries that are written at the same time before a partition is closed.
const WRITES_AT_CLOSE: usize = 64;
/// Newest records of a partition among which the newest order key is.
const KEYS_IN_FLIGHT: u64 = 256;
/// Partitions that are looked at in one look around, and records that are read for one gap.
const LOOKS: usize = 64;
const GAP_RECORDS: usize = 256;
/// How long what somebody else wrote may go unnoticed: two looks around.
const LATE_MS: u64 = 2000;
/// Probes that a member must leave unanswered, one after the other, before it counts as silent.
const PROBES: u32 = 5;
/// How long the server has to answer.
const PULSE: Duration = Duration::from_secs(2);

impl<S: Store, B: Bus> Host for Arc<Node<S, B>> {
    async fn listen(&self, partition: Partition) -> Result<(), NotOpened> {
        if self.bus.listen(partition, self.taker()).await {
            Ok(())
        } else {
            Err(NotOpened("no subscription".to_owned()))
        }
    }

    async fn open(&self, grant: Grant) -> Result<(), NotOpened> {
        // Before it is open: how far everything was told does not move past what is to be told again.
        let begin = |since_ms| self.pending.clone().begin_owned(since_ms);
        let under_way = grant.untold_since_ms.map(begin);
        let opened = self.try_open(&grant, None, Instant::now() + OPEN).await;
        if !opened.map_err(|error| NotOpened(error.to_string()))? {
            return Err(NotOpened("the time to act was over before".to_owned()));
        }
        if let Some((since_ms, under_way)) = grant.untold_since_ms.zip(under_way)
            && !deliberate::is(Fault::NotToldAgain)
        {
            self.tell_again(Untold { partition: grant.partition, since_ms, under_way });
        }
        Ok(())
    }

    async fn close(&self, partition: Partition, patience: Option<Duration>) -> Option<Closed> {
        let Some(tenure) = self.tenure(partition) else { return Some(Closed::default()) };
        // Before it takes nothing new: calls wait while it does not.
        self.store_all_heard(&tenure, Instant::now() + HEARD).await;
        let told = self.told_ms();
        let most = patience.unwrap_or(self.options.call_deadline);
        let is_cut_off = timeout(most, tenure.close()).await.is_err();
        if is_cut_off {
            if patience.is_some() {
                tenure.reopen();
                return None;
            }
            tracing::warn!(%partition, "something was under way for too long");
        }
        let mut untold_since_ms = tenure.untold_since_ms();
        if is_cut_off {
            // What it still stores is told by nobody here.
            untold_since_ms = earlier(untold_since_ms, told);
        }
        // What somebody else wrote since the last look. Nothing is on its way to being noted any more,
        // so what is missing now shows at once.
        let log = StreamId::Log(partition);
        let looked = timeout(HEARD, async {
            self.look(&tenure, log).await?;
            self.look(&tenure, log).await
        });
        if !matches!(looked.await, Ok(Ok(()))) {
            untold_since_ms = earlier(untold_since_ms, told.saturating_sub(LATE_MS));
        }
        // What may still come into the log shows to the next owner only if that is there before.
        if let Some(since_ms) = tenure.unsure_since_ms() {
            untold_since_ms = earlier(untold_since_ms, since_ms);
        }
        // What is on its way out is not sent once the tenure is over.
        if !self.bus.reach(Instant::now() + PULSE).await {
            untold_since_ms = earlier(untold_since_ms, told);
        }
        // Other partitions and late news have gone on meanwhile.
        if let Some(since_ms) = tenure.unsure_since_ms() {
            untold_since_ms = earlier(untold_since_ms, since_ms);
        }
        self.forget(&tenure);
        Some(Closed { key: tenure.clock.newest(), untold_since_ms })
    }

    async fn unlisten(&self, partition: Partition) {
        self.bus.unlisten(partition).await;
    }

    fn abandon(&self, partition: Partition) {
        if let Some(tenure) = self.tenure(partition) {
            self.forget(&tenure);
        }
    }

    async fn is_reached(&self) -> bool {
        let asked_us = self.clock.steady_us();
        let is_reached = self.bus.is_reached(Instant::now() + PULSE).await;
        if is_reached {
            self.reached_us.fetch_max(asked_us, Ordering::Relaxed);
        }
        is_reached
    }

    async fn told(&self) -> Option<Told> {
        // Read first: what begins after this is told after this.
        let told_ms = self.told_ms();
        let key = self.tenures().map(|tenure| tenure.clock.newest()).max().unwrap_or_default();
        let is_reached = self.bus.reach(Instant::now() + PULSE).await;
        is_reached.then_some(Told { told_ms, key, claimed_seq: 0 })
    }

    async fn answers(&self, member: &MemberId, names_itself: bool, within: Duration) -> bool {
        let until = Instant::now() + within;
        // A probe or its answer may be lost, or late: one answer of several is enough.
        let mut probes = FuturesUnordered::new();
        loop {
            probes.push(self.probe(member, names_itself, until));
            let again = (Instant::now() + within / PROBES).min(until);
            loop {
                match timeout_at(again, probes.next()).await {
                    Ok(Some(Ok(_))) => return true,
                    // The server says so: it need not be waited for.
                    Ok(Some(Err(AskError::Nobody))) => return false,
                    Ok(Some(Err(AskError::Unknown))) => {}
                    Ok(None) => {
                        sleep_until(again).await;
                        break;
                    }
                    Err(_) => break,
                }
            }
            if again >= until {
                return false;
            }
        }
    }

    fn observe_server_time(&self, server_ms: u64) {
        let steady_ms = self.clock.steady_us() / 1000;
        self.server_began_ms.store(server_ms.saturating_sub(steady_ms), Ordering::Relaxed);
    }

    async fn look_around(&self) {
        let count = self.subjects.partitions();
        let first = self.next_look.load(Ordering::Relaxed);
        let numbers = (0..count).map(|step| (first + step) % count);
        let tenures: Vec<_> =
            numbers.filter_map(|number| self.tenure(Partition(number))).take(LOOKS).collect();
        if let Some(last) = tenures.last() {
            self.next_look.store((last.partition.0 + 1) % count, Ordering::Relaxed);
        }
        let looks = tenures.iter().flat_map(|tenure| {
            [StreamId::Log(tenure.partition), StreamId::State(tenure.partition)]
                .map(|stream| self.look(tenure, stream))
        });
        for looked in join_all(looks).await {
            if let Err(error) = looked {
                tracing::debug!(%error, "could not look around");
            }
        }
    }
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Begins a tenure, in place of another if one is given and still there; whether there is one now.
    async fn try_open(
        &self,
        grant: &Grant,
        former: Option<&Arc<Tenure>>,
        deadline: Instant,
    ) -> Result<bool, LoadError> {
        let partition = grant.partition;
        let (log, state) = (StreamId::Log(partition), StreamId::State(partition));
        // Whoever had the partition knew of what others had stored, too.
        self.store.forget_ends();
        let (log_end, state_end) = futures::try_join!(
            self.store.last_seq(log, deadline),
            self.store.last_seq(state, deadline),
        )?;
        let incarnations = (self.store.incarnation(log), self.store.incarnation(state));
        let tenure = Tenure::new(grant, self.clock, (log_end, state_end), incarnations);
        tenure.clock.observe(grant.key);
        // A key is never given twice, even when the wall clock was set back. Records of different
        // pairs may be stored in another order than their keys'.
        let from = log_end.saturating_sub(KEYS_IN_FLIGHT - 1);
        let most = usize::try_from(KEYS_IN_FLIGHT).unwrap_or(usize::MAX);
        for key in self.storage(deadline).order_keys(partition, from, most).await? {
            tenure.clock.observe(key);
        }
        let slot = &self.tenures[usize::from(partition.0)];
        let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
        // What was abandoned meanwhile stays so.
        let is_free = match (former, &*slot) {
            (Some(former), Some(there)) => Arc::ptr_eq(former, there),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let may_act = tenure.may_act() && is_free;
        if may_act {
            if let Some(former) = former {
                former.end();
            }
            *slot = Some(Arc::new(tenure));
        }
        Ok(may_act)
    }

    /// Up to when everything that is not under way was told, by the server's clock, by which messages
    /// are stored.
    fn told_ms(&self) -> u64 {
        self.pending.since(self.server_ms())
    }

    /// The server's clock, in milliseconds since 1970, or a little less. It is known since when this
    /// instance has seen itself in the bucket, before it owns anything, and goes on by the steady clock:
    /// the wall clock may be set.
    pub(super) fn server_ms(&self) -> u64 {
        self.server_began_ms.load(Ordering::Relaxed) + self.clock.steady_us() / 1000
    }

    /// Sends one probe to a member.
    async fn probe(
        &self,
        member: &MemberId,
        names_itself: bool,
        until: Instant,
    ) -> Result<Answer, AskError> {
        let (instance, reply_to) = (member.instance().to_owned(), self.bus.inbox());
        let probe = Outgoing {
            subject: self.subjects.probe(&instance),
            encoding: Encoding::default(),
            kind: Kind::Routed { reply_to: Some(reply_to.clone()), content_type: None, hops: 0 },
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
        self.bus.ask(probe, Box::new(is_answer), until).await
    }

    fn forget(&self, tenure: &Tenure) {
        tenure.end();
        let slot = &self.tenures[usize::from(tenure.partition.0)];
        // It may have begun anew meanwhile.
        if let Some(there) = slot.write().unwrap_or_else(PoisonError::into_inner).take() {
            there.end();
        }
    }

    /// Stores when each user in memory was last heard from, as far as the time allows.
    async fn store_all_heard(&self, tenure: &Tenure, until: Instant) {
        let cells = tenure.cells();
        let lagging: Vec<_> = cells.iter().filter(|cell| cell.is_heard_lagging()).collect();
        for chunk in lagging.chunks(WRITES_AT_CLOSE) {
            // What was begun is waited for: its acknowledgement tells where the entry is.
            join_all(chunk.iter().map(|cell| self.store_heard(cell))).await;
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Looks whether a stream holds what this instance did not write, and takes it in.
    async fn look(
        self: &Arc<Self>,
        tenure: &Arc<Tenure>,
        stream: StreamId,
    ) -> Result<(), LoadError> {
        let _under_way = self.pending.begin(self.server_ms());
        let deadline = self.deadline();
        let last = self.store.last_seq(stream, deadline).await?;
        let known = match stream {
            StreamId::Log(_) => tenure.incarnations.0,
            StreamId::State(_) => tenure.incarnations.1,
        };
        if self.store.incarnation(stream) != known {
            return self.begin_anew(tenure, deadline).await;
        }
        let gaps = tenure.written(stream).look(last);
        for gap in gaps {
            self.take_gap_in(tenure, stream, &gap, deadline).await?;
            // Not before: where that failed, it is looked at again.
            tenure.written(stream).know(gap);
        }
        Ok(())
    }

    /// Goes on as the owner of a partition of which a stream was lost and made anew: what is in memory
    /// of its users does not hold any more, and is read again as they come.
    async fn begin_anew(
        self: &Arc<Self>,
        tenure: &Arc<Tenure>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let partition = tenure.partition;
        let grant = tenure.grant_anew(self.told_ms());
        let under_way = grant.untold_since_ms.map(|since| self.pending.clone().begin_owned(since));
        if self.try_open(&grant, Some(tenure), deadline).await? {
            tracing::warn!(%partition, "begun anew, since a stream of it was lost");
            self.table.wake();
            if let Some((since_ms, under_way)) = grant.untold_since_ms.zip(under_way) {
                self.tell_again(Untold { partition, since_ms, under_way });
            }
        }
        Ok(())
    }

    async fn take_gap_in(
        self: &Arc<Self>,
        tenure: &Arc<Tenure>,
        stream: StreamId,
        gap: &RangeInclusive<u64>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let partition = tenure.partition;
        let mut next = *gap.start();
        while next <= *gap.end() {
            let storage = self.storage(deadline);
            let after = match stream {
                StreamId::Log(_) => {
                    let from = Start::Seq(next);
                    let logged = storage.logged(partition, from, GAP_RECORDS, |_, _| true);
                    let (logged, after) = logged.await?;
                    for logged in logged {
                        let seq = logged.item.stream_seq();
                        if gap.contains(&seq) {
                            tracing::info!(%partition, seq, "was not written here");
                            self.take_in(tenure, logged, deadline).await?;
                        }
                    }
                    after
                }
                StreamId::State(_) => {
                    let entries = storage.whose_entries(partition, next, GAP_RECORDS).await?;
                    let (entries, after) = entries;
                    for (seq, user) in entries.into_iter().filter(|(seq, _)| gap.contains(seq)) {
                        tracing::info!(%partition, seq, "was not written here");
                        doubt_entry(tenure, user.as_ref());
                    }
                    after
                }
            };
            let Some(after) = after else { break };
            next = after;
        }
        Ok(())
    }

    /// Takes in a message that this instance did not store: counts it and tells it.
    async fn take_in(
        self: &Arc<Self>,
        tenure: &Arc<Tenure>,
        Logged { receiver, sender, item }: Logged,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let stream_seq = item.stream_seq();
        if let Some(cell) = tenure.cell_in_memory(&receiver) {
            // In the pair's turn: it may be this instance's own, not told yet.
            let Ok(_turn) = cell.turn(&sender, deadline).await else { return Ok(()) };
            let told_seq = cell.lock().conversations.get(&sender).map_or(0, |known| known.told_seq);
            self.catch_up(&cell, &sender, deadline).await?;
            if told_seq < stream_seq {
                return Ok(());
            }
            // A load has taken it in, and nobody was told.
        }
        let Some(found) = item.message() else { return Ok(()) };
        // Else it is looked at again.
        let told = self.tell_of(found.stored.message).await;
        told.map_err(|failure| ReadError(failure.to_string()))?;
        self.notify_sender(&sender, &receiver);
        Ok(())
    }
}

/// Has the user of an entry loaded again before the next use.
fn doubt_entry(tenure: &Tenure, user: Option<&UserId>) {
    if let Some(cell) = user.and_then(|user| tenure.cell_in_memory(user)) {
        cell.invalidate();
    }
}

/// The earlier of two times since which something is to be told again, where there was one before.
fn earlier(known_ms: Option<u64>, since_ms: u64) -> Option<u64> {
    known_ms.into_iter().chain([since_ms]).min()
}
