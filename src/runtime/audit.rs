//! The audit recounts the state of users from the log, message by message: slowly in the background
//! for all users of the partitions that this instance owns, and on request for one user.
//!
//! The state to compare is copied while the user's state is locked, and the log is read up to the
//! newest message of that copy. That part of the log never changes, so later changes do not matter.
//! Only work in progress (an append without an acknowledgement, an entry that is being written) can
//! look like a difference. So a difference counts only if it is still there when such work must
//! have ended.

mod lost;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::ageing::Ageing;
use super::commit::Entries;
use super::env::Env;
use super::permits::Permits;
use super::tuning::{
    AUDIT_ACCOUNTS_PER_READ, AUDIT_BUSY_PAUSE, AUDIT_BUSY_SHARE, AUDIT_CHECKS_MAX,
    AUDIT_CONFIRM_DELAY, AUDIT_IDLE_PAUSE, AUDIT_MESSAGES_PER_READ, AUDIT_READ_TIMEOUT,
};
use super::users::{LoadError, Ownership, Stored, UserCell, Users, unread_pages};
use crate::bus::{Bus, Incoming, Kind, Outgoing};
use crate::storage::reads::Item;
use crate::store::{Start, Store};
use crate::wire::owner_request::{Audit, Audited, DIFFERENCES_MAX, OwnerRequest as _};
use peerd_core::audit::{Difference, Recount, Recounted, Subject, recount_totals};
use peerd_core::conversation::Conversation;
use peerd_core::event::Totals;
use peerd_core::id::{Partition, UserId};
use peerd_protocol::encoding::Encoding;

/// The results of the audit since the start.
#[derive(Debug, Default)]
struct Tally {
    users: AtomicU64,
    differences: AtomicU64,
    /// Conversations that were corrected after the store lost messages.
    corrected: AtomicU64,
    /// Whether messages are dropped by age or by other limits of the streams.
    may_age: AtomicBool,
}

/// The rate of reads.
pub(super) struct ReadRate {
    /// The interval between two reads; `None`: no pause.
    interval: Option<Duration>,
    next: Instant,
}

impl ReadRate {
    pub(super) fn every(interval: Option<Duration>) -> Self {
        Self { interval, next: Instant::now() }
    }
}

/// Why a user was not audited.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unaudited {
    #[error("the partition has another owner now")]
    Over,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the user could not be loaded")]
    Unloaded,
}

/// The state of a user at one moment.
struct Snapshot {
    conversations: Vec<(UserId, Conversation)>,
    totals: Totals,
}

/// Audits users.
pub(super) struct Auditor<S, B> {
    env: Arc<Env<S, B>>,
    users: Arc<Users<S, B>>,
    ageing: Arc<Ageing<S, B>>,
    entries: Arc<Entries<S, B>>,
    permits: Arc<Permits>,
    tally: Tally,
}

impl<S: Store, B: Bus> Auditor<S, B> {
    pub(super) fn new(
        env: Arc<Env<S, B>>,
        users: Arc<Users<S, B>>,
        ageing: Arc<Ageing<S, B>>,
        entries: Arc<Entries<S, B>>,
        permits: Arc<Permits>,
    ) -> Self {
        Self { env, users, ageing, entries, permits, tally: Tally::default() }
    }

    /// How many users were audited since the start.
    pub(super) fn users_audited(&self) -> u64 {
        self.tally.users.load(Ordering::Relaxed)
    }

    /// How many counts differed from the log since the start.
    pub(super) fn differences(&self) -> u64 {
        self.tally.differences.load(Ordering::Relaxed)
    }

    /// Sets that messages may be dropped by age: then a log that begins later is no difference.
    pub(super) fn set_messages_may_age(&self, may_age: bool) {
        self.tally.may_age.store(may_age, Ordering::Relaxed);
    }

    /// Audits the users of all partitions that this instance owns, round after round, with at most
    /// `reads_per_second`. Runs until it is dropped.
    pub(super) async fn audit_all(self: Arc<Self>, reads_per_second: u32) {
        let interval = Duration::from_secs(1) / reads_per_second.max(1);
        let mut rate = ReadRate::every(Some(interval));
        // Where to continue in each partition's entries.
        let mut next = vec![1; usize::from(self.env.subjects.partitions())];
        loop {
            let mut has_more = false;
            for (number, next) in (0..).zip(&mut next) {
                let Some(ownership) = self.users.ownership(Partition(number)) else {
                    *next = 1;
                    continue;
                };
                match self.audit_some(&ownership, *next, &mut rate).await {
                    Ok(after) => {
                        has_more |= after.is_some();
                        *next = after.unwrap_or(1);
                    }
                    Err(Unaudited::Over) => *next = 1,
                    Err(error @ (Unaudited::Load(_) | Unaudited::Unloaded)) => {
                        tracing::debug!(%error, "the audit goes on later");
                        sleep(AUDIT_IDLE_PAUSE).await;
                    }
                }
            }
            if !has_more {
                sleep(AUDIT_IDLE_PAUSE).await;
            }
        }
    }

    /// Audits the next few users of a partition, in the order in which their accounts were stored.
    /// Returns where to continue; `None` at the end.
    async fn audit_some(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        next: u64,
        rate: &mut ReadRate,
    ) -> Result<Option<u64>, Unaudited> {
        self.wait_for_interval(rate, ownership).await?;
        let storage = self.env.storage(Instant::now() + AUDIT_READ_TIMEOUT);
        let users = storage.users(ownership.partition, next, AUDIT_ACCOUNTS_PER_READ).await;
        let (users, after) = users.map_err(LoadError::from)?;
        for user in users {
            self.audit_user(ownership, &user, rate).await?;
        }
        Ok(after)
    }

    /// Audits one user; logs and counts confirmed differences.
    pub(super) async fn audit_user(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        rate: &mut ReadRate,
    ) -> Result<Audited, Unaudited> {
        let (mut last, missing) = self.recount(ownership, user, rate).await?;
        if !missing.is_empty() {
            let corrected = self.correct_all(ownership, user, &missing).await;
            last = self.recount(ownership, user, rate).await?.0;
            last.corrected = corrected;
            self.tally.corrected.fetch_add(corrected, Ordering::Relaxed);
        }
        let mut confirmed = Vec::new();
        // Messages that arrive meanwhile may cause other differences.
        for _ in 0..AUDIT_CHECKS_MAX {
            if last.differences.is_empty() {
                break;
            }
            ownership.sleep(self.env.options.call_deadline + AUDIT_CONFIRM_DELAY).await;
            let (mut again, _) = self.recount(ownership, user, rate).await?;
            again.corrected = last.corrected;
            confirmed = still(&last.differences, &again.differences);
            last = again;
            if confirmed.len() == last.differences.len() {
                break;
            }
        }
        let audited = Audited { differences: confirmed, ..last };
        if !ownership.may_act() {
            return Err(Unaudited::Over);
        }
        for Difference { other, subject, expected, found } in &audited.differences {
            let other = other.as_ref().map(UserId::as_str);
            let what = subject.name();
            tracing::error!(%user, other, what, expected, found, "a count differs from the log");
        }
        let differences = u64::try_from(audited.differences.len()).unwrap_or(u64::MAX);
        self.tally.users.fetch_add(1, Ordering::Relaxed);
        self.tally.differences.fetch_add(differences, Ordering::Relaxed);
        Ok(audited)
    }

    /// Recounts a user once. Also returns the conversations of which the store has lost messages
    /// that are still counted or shown.
    async fn recount(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        rate: &mut ReadRate,
    ) -> Result<(Audited, Vec<UserId>), Unaudited> {
        self.wait_for_interval(rate, ownership).await?;
        let cell = self.audited_cell(ownership, user).await?;
        let snapshot = Snapshot::of(&cell);
        let stored = self.users.read_user(&cell, Instant::now() + AUDIT_READ_TIMEOUT).await?;
        let mut audited = Audited::default();
        let conversations = snapshot.conversations.iter().map(|(_, conversation)| conversation);
        audited.differences.extend(recount_totals(conversations, snapshot.totals));
        snapshot.compare(&stored, &mut audited.differences);
        let mut lost = snapshot.lost_sent(&stored);
        for (other, conversation) in &snapshot.conversations {
            audited.conversations += 1;
            let recounted =
                self.recount_one(&cell, other, conversation, &mut audited, rate).await?;
            let Recounted { unread, ref gaps, .. } = recounted;
            let is_removed = self.are_removed(&cell, gaps, rate).await?;
            let beyond = conversation.stored_received().map_or(0, |head| head.stream_seq + 1);
            let is_end_gone = gaps.iter().any(|(_, to)| *to == beyond);
            let is_lost = is_removed && (is_end_gone || unread != conversation.unread());
            if is_lost && !gaps.is_empty() && !lost.contains(other) {
                lost.push(other.clone());
            }
            let found = if is_removed { recounted.differences } else { recounted.all() };
            // A difference of the newest message may be in the list already.
            let is_new = |found: &Difference| !audited.differences.contains(found);
            let found: Vec<Difference> = found.into_iter().filter(is_new).collect();
            audited.differences.extend(found);
        }
        audited.differences.truncate(DIFFERENCES_MAX);
        audited.unreadable.truncate(DIFFERENCES_MAX);
        Ok((audited, lost))
    }

    /// The user as this instance has it in memory, or would load it. The audit does not add users
    /// to the cache.
    async fn audited_cell(
        &self,
        ownership: &Arc<Ownership>,
        user: &UserId,
    ) -> Result<Arc<UserCell>, Unaudited> {
        let in_memory = ownership.cell_in_memory(user);
        let cell =
            in_memory.unwrap_or_else(|| Arc::new(UserCell::new(user.clone(), ownership.clone())));
        if !cell.is_loaded(self.env.store.generation()) {
            let loaded = self.users.load(&cell, Instant::now() + AUDIT_READ_TIMEOUT).await;
            loaded.map_err(|_| Unaudited::Unloaded)?;
        }
        Ok(cell)
    }

    /// Recounts the messages of one other user to this one.
    pub(super) async fn recount_one(
        &self,
        cell: &UserCell,
        other: &UserId,
        conversation: &Conversation,
        audited: &mut Audited,
        rate: &mut ReadRate,
    ) -> Result<Recounted, Unaudited> {
        let mut conversation = conversation.clone();
        for pages in unread_pages(&conversation, AUDIT_MESSAGES_PER_READ) {
            self.wait_for_interval(rate, &cell.ownership).await?;
            let deadline = Instant::now() + AUDIT_READ_TIMEOUT;
            self.users.add_deletions(cell, other, &mut conversation, pages, deadline).await?;
        }
        let may_age = self.tally.may_age.load(Ordering::Relaxed);
        let mut recount = Recount::new(other, &conversation, may_age);
        let pair = self.env.pair(other, &cell.id);
        let mut next = conversation.stored_received().map(|_| 1);
        while let Some(seq) = next.take() {
            self.wait_for_interval(rate, &cell.ownership).await?;
            let storage = self.env.storage(Instant::now() + AUDIT_READ_TIMEOUT);
            let amended = &conversation.settings.amended_received;
            let read = storage.page(&pair, amended, Start::Seq(seq), AUDIT_MESSAGES_PER_READ).await;
            let read = read.map_err(LoadError::from)?;
            let mut has_more = true;
            for item in read.items {
                match item {
                    Item::Slot(slot) => {
                        has_more &= recount.take(slot.counted());
                        audited.messages += 1;
                    }
                    Item::Unreadable { stream_seq, .. } => {
                        recount.pass_over(stream_seq);
                        audited.unreadable.push(format!("{} {stream_seq}", pair.subject));
                    }
                }
            }
            next = read.next.filter(|_| has_more);
        }
        Ok(recount.finish())
    }

    /// Waits until the next read is allowed and calls leave room for it.
    async fn wait_for_interval(
        &self,
        rate: &mut ReadRate,
        ownership: &Ownership,
    ) -> Result<(), Unaudited> {
        if let Some(interval) = rate.interval {
            sleep_until(rate.next).await;
            let busy = self.env.options.calls_under_way / AUDIT_BUSY_SHARE;
            let under_way = || self.permits.calls_under_way();
            while under_way() > busy && ownership.may_act() {
                sleep(AUDIT_BUSY_PAUSE).await;
            }
            rate.next = Instant::now() + interval;
        }
        if ownership.may_act() { Ok(()) } else { Err(Unaudited::Over) }
    }

    /// Audits a user on request, and answers.
    pub(super) async fn answer_audit(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        incoming: &Incoming,
    ) {
        let Some(subject) = incoming.reply_to.clone() else { return };
        let audited = self.audit_user(ownership, user, &mut ReadRate::every(None)).await;
        let mut audited = audited.map_err(|error| error.to_string());
        let mut answer = Audit::encode_answer(&audited);
        while answer.as_ref().is_ok_and(|body| body.len() > self.env.room().body)
            && let Ok(Audited { differences, .. }) = &mut audited
            && !differences.is_empty()
        {
            // A part of the differences is enough to show that something is wrong.
            differences.truncate(differences.len() / 2);
            answer = Audit::encode_answer(&audited);
        }
        match answer {
            Ok(body) => {
                let (encoding, kind) = (Encoding::MessagePack, Kind::Answer);
                self.env.emit(Outgoing { subject, encoding, kind, body, permit: None });
            }
            Err(error) => tracing::error!(%error, "an answer could not be written"),
        }
    }
}

/// The differences that were there before, too.
fn still(before: &[Difference], now: &[Difference]) -> Vec<Difference> {
    let is_newest = |subject| matches!(subject, Subject::NewestReceived | Subject::NewestSent);
    let is_still = |found: &&Difference| {
        before.iter().any(|before| {
            // While messages keep arriving, the newest one differs each time.
            let has_moved = is_newest(found.subject) && found.found >= before.expected;
            (&before.other, before.subject) == (&found.other, found.subject) && !has_moved
        })
    };
    now.iter().filter(is_still).cloned().collect()
}

impl Snapshot {
    fn of(cell: &UserCell) -> Self {
        let user = cell.lock();
        let conversations = user.conversations.iter();
        Self {
            conversations: conversations
                .map(|(other, known)| (other.clone(), known.clone()))
                .collect(),
            totals: user.totals,
        }
    }

    /// The users to whom this user's newest sent message is no longer in the store.
    fn lost_sent(&self, stored: &Stored) -> Vec<UserId> {
        let ends: HashMap<&UserId, u64> =
            stored.sent.iter().map(|(other, head)| (other, head.stream_seq)).collect();
        let is_lost = |(other, known): &&(UserId, Conversation)| {
            let end = ends.get(other).copied().unwrap_or_default();
            known.sent.is_some_and(|head| head.stream_seq > end)
        };
        self.conversations.iter().filter(is_lost).map(|(other, _)| other.clone()).collect()
    }

    /// Compares the newest messages and the settings with those in the store.
    fn compare(&self, stored: &Stored, differences: &mut Vec<Difference>) {
        let mut compare = |other: &UserId, subject, expected: u64, found: u64| {
            if expected != found {
                let other = Some(other.clone());
                differences.push(Difference { other, subject, expected, found });
            }
        };
        let known = |other: &UserId| {
            self.conversations.iter().find(|(id, _)| id == other).map(|(_, known)| known)
        };
        for (other, head) in &stored.received {
            let found = known(other).and_then(|known| known.received);
            let found = found.map_or(0, |found| found.mark.seq);
            // If memory knows more, the store has lost its end; the recount shows that.
            compare(other, Subject::NewestReceived, head.mark.seq.max(found), found);
        }
        for (other, head) in &stored.sent {
            let found = known(other).and_then(|known| known.sent);
            let found = found.map_or(0, |found| found.mark.seq);
            compare(other, Subject::NewestSent, head.mark.seq.max(found), found);
        }
        for (other, _, seq) in &stored.settings {
            let found = known(other).map_or(0, |known| known.settings_seq);
            compare(other, Subject::Settings, *seq, found);
        }
    }
}
