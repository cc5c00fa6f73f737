//! Hands offline pushes to the work queue, concurrently with the replies to their senders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::env::Env;
use super::tuning::{PUSH_DEADLINE, PUSH_STOP_TIMEOUT, PUSHES_IN_FLIGHT_MAX};
use super::users::UserCell;
use crate::bus::Bus;
use crate::storage;
use crate::store::Store;
use peerd_core::message::Message;
use peerd_core::send::Push;
use peerd_core::user::User;

/// Hands offline pushes to the work queue.
pub(super) struct Pushes<S, B> {
    env: Arc<Env<S, B>>,
    room: Arc<Semaphore>,
    dropped: AtomicU64,
    /// Whether a dropped push was logged since the last successful one: a series of drops is logged
    /// once.
    is_logged: AtomicBool,
}

impl<S: Store, B: Bus> Pushes<S, B> {
    pub(super) fn new(env: Arc<Env<S, B>>) -> Self {
        Self {
            env,
            room: Arc::new(Semaphore::new(PUSHES_IN_FLIGHT_MAX)),
            dropped: AtomicU64::new(0),
            is_logged: AtomicBool::new(false),
        }
    }

    /// How many pushes were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_one(&self, why: &str) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if !self.is_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "dropped an offline push; the following ones may be dropped too");
        }
    }

    /// Hands over the offline push of a message if the receiver is offline.
    pub(super) fn push_if_away(
        self: &Arc<Self>,
        receiver: &UserCell,
        user: &User,
        push: &Push,
        message: &Message,
    ) {
        if !user.is_online(self.env.clock.wall_ms(), self.env.limits()) {
            self.hand_off(receiver, push, message, user.totals.unmuted);
        }
    }

    /// Hands an offline push to the work queue in the background.
    fn hand_off(self: &Arc<Self>, receiver: &UserCell, push: &Push, message: &Message, badge: u64) {
        let encoding = self.env.options.event_encoding;
        let body = match storage::push::encode(push, message, badge, encoding) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "cannot encode a push");
                return;
            }
        };
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            self.drop_one("too many pushes wait for the work queue");
            return;
        };
        let (subject, id) =
            (storage::push::key(&self.env.subjects, &receiver.token), message.id().to_string());
        let on_its_way = self.env.handing_off.begin(message.id());
        let pushes = self.clone();
        self.env.tasks.spawn(async move {
            let deadline = Instant::now() + PUSH_DEADLINE;
            let content_type = encoding.content_type();
            let stopped = async {
                pushes.env.stopping.cancelled().await;
                sleep(PUSH_STOP_TIMEOUT).await;
            };
            let store = &pushes.env.store;
            tokio::select! {
                handed_off = store.hand_off(subject, body, content_type, id, deadline) => {
                    match handed_off {
                        Ok(()) => pushes.is_logged.store(false, Ordering::Relaxed),
                        Err(error) => pushes.drop_one(&error.to_string()),
                    }
                }
                () = stopped => pushes.drop_one("the instance is stopping"),
            }
            drop((permit, on_its_way));
        });
    }
}
