//! The audit: what is held of users is recounted from the log, message by message. Slowly in the
//! background, for all users of the partitions that this instance owns, and for one user when asked.
//!
//! What is compared is taken while the user's state is locked, and the log is read up to the newest
//! message of that moment: what is stored up to there never changes, so what changes meanwhile does
//! not matter. Only what may still be on its way (an append without an acknowledgement yet, an entry
//! that is being written) can look like a difference and be none. So a difference counts when it is
//! still there some time after such things must be known.

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
use super::users::{LATE_WRITE, LoadError, Ownership, Stored, UserCell, Users, unread_pages};
use crate::bus::{Bus, Incoming, Kind, Outgoing};
use crate::storage::reads::Item;
use crate::store::{Start, Store};
use crate::wire::owner_request::{Audit, Audited, DIFFERENCES_MAX, OwnerRequest as _};
use peerd_core::audit::{Difference, Recount, Recounted, Subject, recount_totals};
use peerd_core::conversation::Conversation;
use peerd_core::event::Totals;
use peerd_core::id::{Partition, UserId};
use peerd_protocol::encoding::Encoding;

/// Messages that one read asks for.
const PAGE: usize = 256;
/// Accounts that one read asks for.
const ACCOUNTS: usize = 16;
/// How long one read may take.
const READ: Duration = Duration::from_secs(5);
/// After how long, beyond a call's deadline, a difference that may only be on its way is looked at
/// again: longer than a write can be late, and than it takes to notice that somebody else wrote, or
/// that another owner stored what it could not answer any more.
const CONFIRM: Duration = Duration::from_secs(LATE_WRITE.as_secs() + 3);
/// How often it is looked again, at most.
const LOOKS: usize = 4;
/// Between rounds, and where nothing is owned or the store does not answer.
const IDLE: Duration = Duration::from_secs(1);
/// The audit waits while more than one of so many permits for calls is taken.
const BUSY_SHARE: usize = 16;
/// How often it looks whether there is less to do.
const BUSY: Duration = Duration::from_millis(100);

/// What the audit came to, since the start.
#[derive(Debug, Default)]
struct Tally {
    users: AtomicU64,
    differences: AtomicU64,
    /// Conversations that were corrected after what the store lost.
    corrected: AtomicU64,
    /// Whether messages go away by age, or by other rules of the streams.
    may_age: AtomicBool,
}

/// How fast it is read.
pub(super) struct ReadRate {
    /// Between two reads; `None`: at once.
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

/// What is held of a user at one moment.
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

    /// Says that messages may go away by age: then a log that begins later is no difference.
    pub(super) fn set_messages_may_age(&self, may_age: bool) {
        self.tally.may_age.store(may_age, Ordering::Relaxed);
    }

    /// Audits the users of all partitions that this instance owns, round after round, with no more
    /// than so many reads in a second. Runs until it is dropped.
    pub(super) async fn audit_all(self: Arc<Self>, reads_per_second: u32) {
        let interval = Duration::from_secs(1) / reads_per_second.max(1);
        let mut rate = ReadRate::every(Some(interval));
        // Where to go on in each partition's entries.
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
                        sleep(IDLE).await;
                    }
                }
            }
            if !has_more {
                sleep(IDLE).await;
            }
        }
    }

    /// Audits the next few users of a partition, in the order in which their accounts were stored.
    /// Answers where to go on; `None` at the end.
    async fn audit_some(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        next: u64,
        rate: &mut ReadRate,
    ) -> Result<Option<u64>, Unaudited> {
        self.wait_for_interval(rate, ownership).await?;
        let storage = self.env.storage(Instant::now() + READ);
        let users = storage.users(ownership.partition, next, ACCOUNTS).await;
        let (users, after) = users.map_err(LoadError::from)?;
        for user in users {
            self.audit_user(ownership, &user, rate).await?;
        }
        Ok(after)
    }

    /// Audits one user; logs and counts what differs for good.
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
        // What is taken in meanwhile may differ in another way than before.
        for _ in 0..LOOKS {
            if last.differences.is_empty() {
                break;
            }
            ownership.sleep(self.env.options.call_deadline + CONFIRM).await;
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

    /// Recounts a user once. Answers as well of which conversations the store has lost messages that
    /// are still counted or shown.
    async fn recount(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        rate: &mut ReadRate,
    ) -> Result<(Audited, Vec<UserId>), Unaudited> {
        self.wait_for_interval(rate, ownership).await?;
        let cell = self.audited_cell(ownership, user).await?;
        let snapshot = Snapshot::of(&cell);
        let stored = self.users.read_user(&cell, Instant::now() + READ).await?;
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
            // What the newest message is may have been said already.
            let is_new = |found: &Difference| !audited.differences.contains(found);
            let found: Vec<Difference> = found.into_iter().filter(is_new).collect();
            audited.differences.extend(found);
        }
        audited.differences.truncate(DIFFERENCES_MAX);
        audited.unreadable.truncate(DIFFERENCES_MAX);
        Ok((audited, lost))
    }

    /// The user as this instance has it, or would have it: without a place among those in memory for
    /// the audit's sake.
    async fn audited_cell(
        &self,
        ownership: &Arc<Ownership>,
        user: &UserId,
    ) -> Result<Arc<UserCell>, Unaudited> {
        let in_memory = ownership.cell_in_memory(user);
        let cell =
            in_memory.unwrap_or_else(|| Arc::new(UserCell::new(user.clone(), ownership.clone())));
        if !cell.is_loaded(self.env.store.generation()) {
            let loaded = self.users.load(&cell, Instant::now() + READ).await;
            loaded.map_err(|_| Unaudited::Unloaded)?;
        }
        Ok(cell)
    }

    /// Recounts what one other sent to the user.
    pub(super) async fn recount_one(
        &self,
        cell: &UserCell,
        other: &UserId,
        conversation: &Conversation,
        audited: &mut Audited,
        rate: &mut ReadRate,
    ) -> Result<Recounted, Unaudited> {
        let mut conversation = conversation.clone();
        for pages in unread_pages(&conversation, PAGE) {
            self.wait_for_interval(rate, &cell.ownership).await?;
            let deadline = Instant::now() + READ;
            self.users.add_deletions(cell, other, &mut conversation, pages, deadline).await?;
        }
        let may_age = self.tally.may_age.load(Ordering::Relaxed);
        let mut recount = Recount::new(other, &conversation, may_age);
        let pair = self.env.pair(other, &cell.id);
        let mut next = conversation.stored_received().map(|_| 1);
        while let Some(seq) = next.take() {
            self.wait_for_interval(rate, &cell.ownership).await?;
            let storage = self.env.storage(Instant::now() + READ);
            let amended = &conversation.settings.amended_received;
            let read = storage.page(&pair, amended, Start::Seq(seq), PAGE).await;
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

    /// Waits until it may be read, and calls leave room for it.
    async fn wait_for_interval(
        &self,
        rate: &mut ReadRate,
        ownership: &Ownership,
    ) -> Result<(), Unaudited> {
        if let Some(interval) = rate.interval {
            sleep_until(rate.next).await;
            let busy = self.env.options.calls_under_way / BUSY_SHARE;
            let under_way = || self.permits.calls_under_way();
            while under_way() > busy && ownership.may_act() {
                sleep(BUSY).await;
            }
            rate.next = Instant::now() + interval;
        }
        if ownership.may_act() { Ok(()) } else { Err(Unaudited::Over) }
    }

    /// Audits the user that somebody asked for, and answers.
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
            // Some of them say that something is wrong as well as all do.
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

/// Those that were there before, too.
fn still(before: &[Difference], now: &[Difference]) -> Vec<Difference> {
    let is_newest = |subject| matches!(subject, Subject::NewestReceived | Subject::NewestSent);
    let is_still = |found: &&Difference| {
        before.iter().any(|before| {
            // Where more comes all the time, the newest is another one each time.
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

    /// With whom the user has a newest sent message that the store no longer has.
    fn lost_sent(&self, stored: &Stored) -> Vec<UserId> {
        let ends: HashMap<&UserId, u64> =
            stored.sent.iter().map(|(other, head)| (other, head.stream_seq)).collect();
        let is_lost = |(other, known): &&(UserId, Conversation)| {
            let end = ends.get(other).copied().unwrap_or_default();
            known.sent.is_some_and(|head| head.stream_seq > end)
        };
        self.conversations.iter().filter(is_lost).map(|(other, _)| other.clone()).collect()
    }

    /// Holds the newest messages and the settings against those that the store has.
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
            // Where more is known, the store has lost its end: that shows in the recount.
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
