//! Subscriptions of the status of users, from a change to the event.
//!
//! Once a second, each owner compares the present status of its users who are followed with what
//! their followers' owners have taken, and sends what differs. So no call does anything for it,
//! whatever it changes, and a status that changes often is sent once a second, as it is then. The
//! owner of a follower renews its watches at intervals, while the follower is online; each renewal
//! is answered with the present status, so that a change that was not sent is shown then. Nothing of
//! this is stored: after a restart or a take-over of either owner, the next renewal begins it anew
//! ([`peerd_core::following`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hashbrown::HashMap;
use tokio::time::{Instant, sleep, timeout};

use super::Presences;
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::{
    OVERLOADED_RETRY_MS, STATUS_DUE_MAX, STATUS_INTERVAL, STATUS_LEASE, STATUS_RENEW_INTERVAL,
    STATUS_RENEW_RETRY, STATUS_REQUESTS_CONCURRENT, STATUS_SHOW_TIMEOUT,
};
use crate::runtime::users::{Ownership, UserCell};
use crate::store::Store;
use crate::wire::owner_request::{STATUS_BATCH_MAX, ShowStatus, Watch, WatchStatus, Watching};
use peerd_core::event::Event;
use peerd_core::following::Due;
use peerd_core::id::{Partition, UserId};
use peerd_core::status::{Presence, Viewer};
use peerd_protocol::failure::{CallError, Failure};

impl<S: Store, B: Bus> Presences<S, B> {
    /// Publishes changes of the status of users to those who follow them. Runs until it is dropped.
    pub(in crate::runtime) async fn follow_all(self: Arc<Self>) {
        loop {
            sleep(STATUS_INTERVAL).await;
            self.follow_once().await;
        }
    }

    /// Sends what changed, and renews watches that are due.
    pub(in crate::runtime) async fn follow_once(&self) {
        let ownerships = self.users.ownerships().filter(|it| !it.following().is_empty());
        let ownerships: Vec<_> = ownerships.collect();
        join_all(ownerships.iter().map(|ownership| async move {
            self.show_changes(ownership).await;
            self.renew_watches(ownership).await;
        }))
        .await;
    }

    /// Sends changes of the status of a partition's users to the owners of their followers.
    async fn show_changes(&self, ownership: &Arc<Ownership>) {
        let ids = ownership.following().watched.ids();
        if ids.is_empty() || !ownership.may_act() {
            return;
        }
        let mut present: HashMap<UserId, Presence> = HashMap::new();
        for id in ids {
            if let Some(cell) = ownership.cell_in_memory(&id) {
                let user = cell.lock();
                if user.is_known() {
                    present.insert(id, user.account.presence());
                }
            }
        }
        let (now, limits) = (self.env.clock.now(), self.env.limits());
        let due = {
            let watched = &mut ownership.following().watched;
            let present = |id: &UserId| present.get(id).cloned();
            watched.refresh(now.steady_us, present, |id, presence| {
                presence.status(id, Viewer::Other, now.wall_ms, limits)
            });
            watched.due(STATUS_DUE_MAX)
        };
        let batches = batches(&due, |due| self.partition(&due.watcher));
        for batches in batches.chunks(STATUS_REQUESTS_CONCURRENT) {
            join_all(batches.iter().map(|batch| self.show(ownership, batch))).await;
        }
    }

    /// Sends changes to followers of one partition.
    async fn show(&self, ownership: &Arc<Ownership>, batch: &[&Due]) {
        let Some(first) = batch.first() else { return };
        let shown = batch.iter().map(|due| (due.watcher.clone(), due.status.clone())).collect();
        let (request, deadline) = (&ShowStatus { shown }, Instant::now() + STATUS_SHOW_TIMEOUT);
        let here = |ownership: Arc<Ownership>| async move {
            Ok(self.serve_show(&ownership, request).await?)
        };
        match self.router.at_owner(&first.watcher, request, deadline, here).await {
            Ok(follows) => {
                let watched = &mut ownership.following().watched;
                for (due, follows) in batch.iter().zip(follows) {
                    watched.taken(due, follows);
                }
            }
            // The next round sends them again, as they are then.
            Err(error) => tracing::debug!(%error, "changes of a status are shown later"),
        }
    }

    /// Takes changed statuses for followers of a partition that this instance owns.
    pub(in crate::runtime) async fn serve_show(
        &self,
        ownership: &Arc<Ownership>,
        ShowStatus { shown }: &ShowStatus,
    ) -> Result<Vec<bool>, Failure> {
        // Its sender does not wait longer, and sends what is then present.
        let room = self.env.wait_for_room_beyond(shown.len());
        timeout(STATUS_SHOW_TIMEOUT, room)
            .await
            .map_err(|_| Failure::Overloaded { retry_after_ms: OVERLOADED_RETRY_MS })?;
        let now_ms = self.valid_at();
        let mut follows = Vec::with_capacity(shown.len());
        let mut cells: Vec<Arc<UserCell>> = Vec::new();
        for (watcher, status) in shown {
            // A follower who is not in memory renews when loaded.
            let cell = ownership.cell_in_memory(watcher);
            let following = cell.filter(|cell| cell.lock().follows(&status.id, now_ms));
            follows.push(following.is_some());
            if let Some(cell) = following {
                ownership.following().followers.note(watcher).learn(status.clone());
                cells.push(cell);
            }
        }
        for cell in &cells {
            self.publish_due(cell);
        }
        Ok(follows)
    }

    /// Publishes the statuses that are due to a follower, at most one event a second.
    fn publish_due(&self, cell: &UserCell) {
        let now = self.env.clock.now();
        // Locked until the event is published: no reply to an unsubscription comes in between.
        let user = cell.lock();
        let due = {
            let followers = &mut cell.ownership.following().followers;
            let Some(follower) = followers.get(&cell.id) else { return };
            if !user.is_logged_in(now.wall_ms, self.env.limits()) {
                follower.leave();
                return;
            }
            if !follower.is_due() {
                return;
            }
            let now_ms = self.valid_at();
            follower.keep(|other| user.follows(other, now_ms));
            follower.take_due(now.steady_us)
        };
        if due.is_empty() || failpoint::is(Fault::FollowerNotShown) {
            return;
        }
        let publication = user.publication(vec![Event::UserStatusUpdated(due)]);
        self.publisher.publish(cell, &user, &publication);
    }

    /// Renews the watches of a partition's followers, as far as they are due, and publishes what
    /// they have not been shown.
    async fn renew_watches(&self, ownership: &Arc<Ownership>) {
        let ids = ownership.following().followers.ids();
        if ids.is_empty() || !ownership.may_act() {
            return;
        }
        self.env.wait_for_room_beyond(ids.len()).await;
        let mut watches = Vec::new();
        let mut next = None;
        for id in ids {
            let has_room = watches.len() < STATUS_DUE_MAX;
            if !has_room && next.is_none() {
                next = Some(id.clone());
            }
            let cell = ownership.cell_in_memory(&id);
            let due = cell.as_ref().and_then(|cell| self.watches_of(cell, has_room));
            match (cell, due) {
                (Some(cell), Some(due)) => {
                    watches.extend(due);
                    self.publish_due(&cell);
                }
                // A load notes the follower again.
                _ => ownership.following().followers.forget(&id),
            }
        }
        ownership.following().followers.begin_with(next);
        let deadline = Instant::now() + STATUS_SHOW_TIMEOUT;
        let batches = batches(&watches, |watch| self.partition(&watch.user));
        for batches in batches.chunks(STATUS_REQUESTS_CONCURRENT) {
            join_all(batches.iter().map(|batch| async {
                let watches = batch.iter().map(|watch| (*watch).clone()).collect::<Vec<_>>();
                match self.watch_batch(watches.clone(), deadline).await {
                    Ok(answers) => self.learn(ownership, watches.iter().zip(answers)),
                    Err(error) => {
                        tracing::debug!(%error, "the status of users is watched later");
                        let retry_us = self.env.clock.steady_us() + micros(STATUS_RENEW_RETRY);
                        let followers = &mut ownership.following().followers;
                        for watch in &watches {
                            if let Some(follower) = followers.get(&watch.watcher) {
                                follower.renew_us = follower.renew_us.min(retry_us);
                            }
                        }
                    }
                }
            }))
            .await;
        }
    }

    /// The watches of a follower that are to be renewed now, if there is room for them; `None` if the
    /// user follows nobody.
    fn watches_of(&self, cell: &UserCell, has_room: bool) -> Option<Vec<Watch>> {
        let now = self.env.clock.now();
        let (subscriptions, is_online) = {
            let user = cell.lock();
            (user.subscriptions.clone()?, user.is_online(now.wall_ms, self.env.limits()))
        };
        let now_ms = self.valid_at();
        subscriptions.active(now_ms).next()?;
        let followers = &mut cell.ownership.following().followers;
        let follower = followers.note(&cell.id);
        if !is_online || !has_room {
            return Some(Vec::new());
        }
        let watch = |user: UserId| Watch { user, watcher: cell.id.clone() };
        let again = std::mem::take(&mut follower.again);
        if follower.renew_us > now.steady_us {
            let again = again.into_iter();
            let kept = again.filter(|user| subscriptions.until_ms(user, now_ms).is_some());
            return Some(kept.map(watch).collect());
        }
        follower.renew_us = now.steady_us + micros(STATUS_RENEW_INTERVAL);
        Some(subscriptions.active(now_ms).map(|(user, _)| watch(user.clone())).collect())
    }

    /// The time at which a subscription must not have expired.
    fn valid_at(&self) -> u64 {
        if failpoint::is(Fault::ExpiredFollowed) { 0 } else { self.env.clock.wall_ms() }
    }

    /// Takes the answers to watches, and publishes what is due.
    fn learn<'w>(
        &self,
        ownership: &Arc<Ownership>,
        answers: impl Iterator<Item = (&'w Watch, Watching)>,
    ) {
        let now_ms = self.valid_at();
        let mut cells: BTreeMap<UserId, Arc<UserCell>> = BTreeMap::new();
        for (Watch { user, watcher }, Watching { status, .. }) in answers {
            let Some(cell) = ownership.cell_in_memory(watcher) else { continue };
            // The user may have unsubscribed meanwhile.
            let follows = cell.lock().follows(user, now_ms);
            if let Some(status) = status.filter(|_| follows) {
                ownership.following().followers.note(watcher).learn(status);
                cells.insert(watcher.clone(), cell);
            }
        }
        for cell in cells.values() {
            self.publish_due(cell);
        }
    }

    /// Begins to watch users for a follower, before the subscription is stored.
    pub(in crate::runtime) async fn watch(
        &self,
        follower: &UserId,
        users: &[UserId],
        deadline: Instant,
    ) -> Result<Vec<(UserId, Watching)>, CallError> {
        let watch = |user: &UserId| Watch { user: user.clone(), watcher: follower.clone() };
        let watches: Vec<Watch> = users.iter().map(watch).collect();
        let mut watching = Vec::with_capacity(watches.len());
        let batches = batches(&watches, |watch| self.partition(&watch.user));
        for batches in batches.chunks(STATUS_REQUESTS_CONCURRENT) {
            let asked = batches.iter().map(|batch| {
                let watches = batch.iter().map(|watch| (*watch).clone()).collect();
                self.watch_batch(watches, deadline)
            });
            for (batch, answers) in batches.iter().zip(join_all(asked).await) {
                let users = batch.iter().map(|watch| watch.user.clone());
                watching.extend(users.zip(answers?));
            }
        }
        watching.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(watching)
    }

    /// Shows the status of users after the subscription is stored; of the `new` ones in any case.
    pub(in crate::runtime) fn followed(
        &self,
        cell: &UserCell,
        watching: Vec<(UserId, Watching)>,
        new: &[UserId],
    ) {
        let renew_us = self.env.clock.steady_us() + micros(STATUS_RENEW_INTERVAL);
        {
            let followers = &mut cell.ownership.following().followers;
            let is_new = followers.get(&cell.id).is_none();
            let follower = followers.note(&cell.id);
            if is_new {
                follower.renew_us = renew_us;
            }
            follower.forget(new);
            // No more than one list of a call: the others are renewed at the interval.
            follower.again = watching.iter().map(|(user, _)| user.clone()).collect();
            watching.into_iter().filter_map(|(_, it)| it.status).for_each(|it| follower.learn(it));
        }
        self.publish_due(cell);
    }

    async fn watch_batch(
        &self,
        watches: Vec<Watch>,
        deadline: Instant,
    ) -> Result<Vec<Watching>, CallError> {
        let Some(first) = watches.first().map(|watch| watch.user.clone()) else {
            return Ok(Vec::new());
        };
        let request = &WatchStatus { watches };
        let here = |ownership: Arc<Ownership>| async move {
            Ok(self.serve_watch(&ownership, request, deadline).await?)
        };
        self.router.at_owner(&first, request, deadline, here).await
    }

    /// Serves watches of users of a partition that this instance owns.
    pub(in crate::runtime) async fn serve_watch(
        &self,
        ownership: &Arc<Ownership>,
        WatchStatus { watches }: &WatchStatus,
        deadline: Instant,
    ) -> Result<Vec<Watching>, Failure> {
        let users: Vec<&UserId> = watches.iter().map(|watch| &watch.user).collect();
        let presences = self.presences(ownership, &users, deadline).await?;
        let now_us = self.env.clock.steady_us();
        let until_us = now_us + micros(STATUS_LEASE);
        let watched = &mut ownership.following().watched;
        let answer = |(watch, presence): (&Watch, Option<Presence>)| {
            let Some(presence) = presence else {
                return Watching { status: None, is_watched: false };
            };
            let status = self.status(&watch.user, &presence);
            let times = (now_us, until_us);
            let is_watched = watched.watch(&watch.watcher, presence, &status, times);
            Watching { status: Some(status), is_watched }
        };
        Ok(watches.iter().zip(presences).map(answer).collect())
    }

    pub(super) fn partition(&self, user: &UserId) -> Partition {
        self.env.subjects.partition_of_user(user)
    }
}

/// Splits a list into requests to the owners of its users, by their partitions.
pub(super) fn batches<T>(list: &[T], partition: impl Fn(&T) -> Partition) -> Vec<Vec<&T>> {
    let mut by_partition: BTreeMap<Partition, Vec<&T>> = BTreeMap::new();
    for item in list {
        by_partition.entry(partition(item)).or_default().push(item);
    }
    let batches = by_partition.values().flat_map(|of| of.chunks(STATUS_BATCH_MAX));
    batches.map(<[&T]>::to_vec).collect()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
