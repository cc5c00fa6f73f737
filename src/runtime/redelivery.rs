//! Redelivery of events that a dead owner may not have published.
//!
//! Messages that were stored since that owner's published-up-to time are published again, to both
//! sides, with their IDs, by which a client recognizes a repeat. No change belongs to these events,
//! so their revision is the user's current one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Instant, sleep};

use super::ageing::Ageing;
use super::conversations::Conversations;
use super::env::Env;
use super::pending::OwnedUnderWay;
use super::publisher::{Publisher, chunks};
use super::replay::{leave_out_deleted, leave_out_unknown, runs, show_received};
use super::tuning::{
    LATE_WRITE_CHECK_TIMEOUT, REDELIVERED_AGE_MAX_MS, REDELIVERED_MESSAGES_MAX,
    REDELIVERY_GATHER_DELAY, REDELIVERY_RECORDS_PER_READ, REDELIVERY_RETRY_DELAY,
    SERVER_CLOCK_SLACK_MS,
};
use super::users::{LoadError, Ownership, Users};
use crate::bus::Bus;
use crate::storage::reads::{Item, Logged, Raw};
use crate::store::{Start, Store, StreamId};
use peerd_core::conversation::{Conversation, ConversationEvent, ConversationView};
use peerd_core::event::Event;
use peerd_core::id::{Direction, Partition, UserId};
use peerd_core::message::Message;
use peerd_protocol::failure::Failure;

/// A partition whose owner has died, and the time since which its events may be unpublished.
#[derive(Debug)]
pub(super) struct Unpublished {
    pub(super) partition: Partition,
    pub(super) since_ms: u64,
    /// Held until they are published: if this owner dies before that, the next one redelivers.
    pub(super) under_way: OwnedUnderWay,
}

/// The messages to redeliver to a user.
#[derive(Clone, Default)]
struct News {
    /// As they were stored, each with its sender.
    received: Vec<(UserId, Arc<Raw>)>,
    /// The conversations that changed.
    changed: BTreeSet<UserId>,
}

/// Redelivers events that a dead owner may not have published.
pub(super) struct Redelivery<S, B> {
    env: Arc<Env<S, B>>,
    users: Arc<Users<S, B>>,
    publisher: Arc<Publisher<S, B>>,
    conversations: Arc<Conversations<S, B>>,
    ageing: Arc<Ageing<S, B>>,
    /// Events of dead owners that are to be redelivered.
    unpublished: Mutex<Vec<Unpublished>>,
}

impl<S: Store, B: Bus> Redelivery<S, B> {
    pub(super) fn new(
        env: Arc<Env<S, B>>,
        users: Arc<Users<S, B>>,
        publisher: Arc<Publisher<S, B>>,
        conversations: Arc<Conversations<S, B>>,
        ageing: Arc<Ageing<S, B>>,
    ) -> Self {
        Self { env, users, publisher, conversations, ageing, unpublished: Mutex::default() }
    }

    /// Redelivers, in the background, the events that the previous owner may not have published.
    pub(super) fn redeliver(self: &Arc<Self>, unpublished: Unpublished) {
        let mut waiting = self.unpublished.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(unpublished);
        if waiting.len() > 1 {
            return;
        }
        let redelivery = self.clone();
        self.env.tasks.spawn(async move {
            sleep(REDELIVERY_GATHER_DELAY).await;
            let unpublished = std::mem::take(
                &mut *redelivery.unpublished.lock().unwrap_or_else(PoisonError::into_inner),
            );
            // Messages that are stored from now on are not read.
            let read_ms = redelivery.env.server_ms();
            let of = |unpublished: &Unpublished| redelivery.users.ownership(unpublished.partition);
            let ownerships: Vec<_> = unpublished.iter().map(of).collect();
            // Until it is done, or this instance no longer owns the partitions.
            let mut left = None;
            while !redelivery.redeliver_all(&unpublished, &mut left).await {
                sleep(REDELIVERY_RETRY_DELAY).await;
                if unpublished
                    .iter()
                    .all(|unpublished| redelivery.users.ownership(unpublished.partition).is_none())
                {
                    return;
                }
            }
            for (ownership, Unpublished { under_way, .. }) in
                ownerships.into_iter().zip(unpublished)
            {
                if let Some(ownership) = ownership {
                    redelivery.await_late_writes(&ownership, read_ms);
                    ownership.set_published();
                }
                drop(under_way);
            }
        });
    }

    /// Everything that was stored before `read_ms` (server's clock, milliseconds since 1970) has
    /// been redelivered. A write of the previous owner may still be stored, which shows as a gap a
    /// moment later. Until no further one can, events since `read_ms` count as unpublished, so that
    /// the next owner publishes it if this one ends before it has seen the gap.
    fn await_late_writes(&self, ownership: &Arc<Ownership>, read_ms: u64) {
        let unpublished =
            (self.env.pending.clone().begin_owned(read_ms), ownership.begin_in_doubt(read_ms));
        let ownership = ownership.clone();
        self.env.tasks.spawn(async move {
            let _unpublished = unpublished;
            let ends = Instant::now() + LATE_WRITE_CHECK_TIMEOUT;
            while ownership.may_act() && !ownership.has_all_late_writes() {
                if Instant::now() >= ends {
                    let partition = ownership.partition;
                    tracing::warn!(%partition, "the log cannot be checked for late writes");
                    return;
                }
                ownership.sleep(REDELIVERY_RETRY_DELAY).await;
            }
        });
    }

    /// Publishes the messages in `left`, and keeps there those that could not be published. The
    /// first call gathers them. Returns whether all are done.
    async fn redeliver_all(
        &self,
        unpublished: &[Unpublished],
        left: &mut Option<BTreeMap<UserId, News>>,
    ) -> bool {
        let news = match left.take() {
            Some(news) => news,
            None => match self.gather_all(unpublished).await {
                Ok(news) => news,
                Err(error) => {
                    tracing::warn!(%error, "cannot read unpublished messages yet");
                    return false;
                }
            },
        };
        let mut failed = BTreeMap::new();
        for (user, news) in news {
            let published = self.publish_news(&user, news.clone()).await;
            // A record that cannot be read now cannot be read later.
            if published.is_err_and(|failure| failure != Failure::Internal) {
                failed.insert(user, news);
            }
        }
        let is_done = failed.is_empty();
        *left = Some(failed);
        is_done
    }

    /// Gathers the messages to redeliver, by user.
    async fn gather_all(
        &self,
        unpublished: &[Unpublished],
    ) -> Result<BTreeMap<UserId, News>, LoadError> {
        let taken: BTreeSet<Partition> =
            unpublished.iter().map(|unpublished| unpublished.partition).collect();
        let since_ms =
            unpublished.iter().map(|unpublished| unpublished.since_ms).min().unwrap_or_default();
        let oldest_ms = self.env.clock.wall_ms().saturating_sub(REDELIVERED_AGE_MAX_MS);
        let since_ms = since_ms.max(oldest_ms);
        let mut news = BTreeMap::new();
        let mut messages = 0;
        for number in 0..self.env.subjects.partitions() {
            let partition = Partition(number);
            let most = REDELIVERED_MESSAGES_MAX - messages;
            messages += self.gather(partition, since_ms, &taken, most, &mut news).await?;
        }
        tracing::info!(messages, users = news.len(), "redelivering");
        Ok(news)
    }

    /// Gathers from one log the messages that users of the taken partitions received or sent.
    async fn gather(
        &self,
        partition: Partition,
        since_ms: u64,
        taken: &BTreeSet<Partition>,
        most: usize,
        news: &mut BTreeMap<UserId, News>,
    ) -> Result<usize, LoadError> {
        let stream = StreamId::Log(partition);
        let end = self.env.store.last_seq(stream, self.env.deadline()).await?;
        let mut from = Start::TimeMs(since_ms.saturating_sub(SERVER_CLOCK_SLACK_MS));
        let mut count = 0;
        loop {
            let is_for = |user: &UserId| taken.contains(&self.env.subjects.partition_of_user(user));
            let is_wanted = |receiver: &UserId, sender: &UserId| is_for(receiver) || is_for(sender);
            let storage = self.env.storage(self.env.deadline());
            let (logged, next) =
                storage.logged(partition, from, REDELIVERY_RECORDS_PER_READ, is_wanted).await?;
            for Logged { receiver, sender, record } in logged {
                if count >= most {
                    tracing::warn!(
                        most = REDELIVERED_MESSAGES_MAX,
                        "redelivery stops at its limit"
                    );
                    return Ok(count);
                }
                count += 1;
                if is_for(&receiver) {
                    if record.is_unreadable() {
                        continue;
                    }
                    let news: &mut News = news.entry(receiver.clone()).or_default();
                    news.received.push((sender.clone(), Arc::new(record)));
                    news.changed.insert(sender.clone());
                }
                if is_for(&sender) {
                    news.entry(sender).or_default().changed.insert(receiver);
                }
            }
            match next.filter(|next| *next <= end) {
                Some(next) => from = Start::Seq(next),
                None => return Ok(count),
            }
        }
    }

    /// Publishes to a user the user's own messages that were stored without being published.
    pub(super) async fn publish_sent(
        &self,
        sender: &UserId,
        receiver: &UserId,
    ) -> Result<(), Failure> {
        let changed = BTreeSet::from([receiver.clone()]);
        self.publish_news(sender, News { received: Vec::new(), changed }).await
    }

    async fn publish_news(&self, user: &UserId, news: News) -> Result<(), Failure> {
        let published = self.try_publish_news(user, news, self.env.deadline()).await;
        published.inspect_err(|error| tracing::warn!(%error, "redelivery to a user failed"))
    }

    async fn try_publish_news(
        &self,
        user: &UserId,
        news: News,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let News { received, changed } = news;
        let Some(ownership) = self.users.ownership(self.env.subjects.partition_of_user(user))
        else {
            return Ok(());
        };
        let cell = self.ageing.user(&ownership, user, deadline).await?;
        let received = received.into_iter();
        let received = received
            .map(|(sender, record)| (sender, user.clone(), Arc::unwrap_or_clone(record)))
            .collect();
        let amended = |sender: &UserId, _: &UserId| cell.amended(sender, Direction::Receive);
        let storage = self.env.storage(deadline);
        let items = storage.amended(cell.partition, received, amended).await;
        let items = items.map_err(LoadError::from)?.into_iter().filter_map(Item::message);
        let mut received: Vec<_> = items.map(|found| Arc::new(found.stored.message)).collect();
        leave_out_deleted(&cell, &mut received);
        leave_out_unknown(&cell, &mut received);
        let history = &self.conversations.history;
        show_received(history, &cell, &mut received, deadline).await?;
        let page: Vec<_> = {
            let user = cell.lock();
            let known = |other: UserId| {
                let known = user.conversation(&other)?.clone();
                Some((other, known))
            };
            changed.into_iter().filter_map(known).collect()
        };
        let previews = self.conversations.previews(&cell, &page, deadline).await?;
        let runs = runs(&received);
        // An event for each, at worst.
        self.env.wait_for_room_beyond(received.len() + page.len() + 1).await;
        let user = cell.lock();
        let run = |run: &[Arc<Message>]| Event::PeerMessageReceived {
            from: run[0].sender.clone(),
            messages: run.into(),
            offline: false,
        };
        let mut events: Vec<Event> = runs.into_iter().map(run).collect();
        for event in &mut events {
            event.show_receipts(&user);
        }
        let views = page.iter().zip(previews).filter_map(|((other, seen), preview)| {
            let known = user.conversations.get(other)?;
            // Conversations that changed since were already published.
            let is_current = known.received == seen.received && known.sent == seen.sent;
            let view = ConversationView::new(other, &preview.profile, known, preview.last_message);
            is_current.then_some((ConversationEvent::Updated, view))
        });
        events.extend(chunks(views.collect()).map(Event::ConversationChanged));
        let is_muted = |other| user.conversations.get(other).is_some_and(Conversation::is_muted);
        if received.iter().any(|message| !is_muted(&message.sender)) {
            events.push(Event::TotalChanged(user.totals));
        }
        let publication = user.publication(events);
        self.publisher.publish(&cell, &user, &publication);
        Ok(())
    }
}
