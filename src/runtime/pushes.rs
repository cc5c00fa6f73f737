//! Offline pushes on their way to the work queue, beside the answers to their senders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cell::UserCell;
use super::node::Node;
use crate::bus::Bus;
use crate::domain::message::Message;
use crate::domain::send::Push;
use crate::domain::user::User;
use crate::storage;
use crate::store::Store;

/// How long the hand-off of a push is tried.
const DEADLINE: Duration = Duration::from_secs(30);
/// Most pushes that are tried at the same time. Where the work queue takes none, the others are
/// dropped: an offline push is a courtesy, the message is stored.
const MOST: usize = 4096;
/// How long an instance that ends goes on trying.
const AT_THE_END: Duration = Duration::from_secs(1);

/// Offline pushes on their way to the work queue.
#[derive(Debug)]
pub(super) struct Pushes {
    room: Arc<Semaphore>,
    dropped: AtomicU64,
    /// Whether the last one was handed off: that they are not is told once.
    is_told: AtomicBool,
    ending: CancellationToken,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(MOST)),
            dropped: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            ending: CancellationToken::new(),
        }
    }
}

impl Pushes {
    /// How many were given up since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_one(&self, why: &str) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "an offline push was dropped; the next ones may be, too");
        }
    }
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Waits for no push for long any more.
    pub fn end_pushes(&self) {
        self.pushes.ending.cancel();
    }

    /// Hands an offline push on, if one is wanted and the receiver is away and has not muted the
    /// conversation.
    pub(super) fn push_if_away(
        self: &Arc<Self>,
        receiver: &UserCell,
        user: &User,
        push: Option<&Push>,
        message: &Message,
    ) {
        let Some(push) = push else { return };
        let is_online = user.is_online(self.clock.wall_ms(), self.limits());
        let is_muted = user.conversations[&message.sender].is_muted();
        if !is_online && !is_muted {
            self.hand_off(receiver, push, message, user.totals.unmuted);
        }
    }

    /// Hands an offline push to the work queue, beside the answer to the sender.
    fn hand_off(self: &Arc<Self>, receiver: &UserCell, push: &Push, message: &Message, badge: u64) {
        let encoding = self.options.event_encoding;
        let body = match storage::push::encode(push, message, badge, encoding) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "a push could not be written");
                return;
            }
        };
        let Ok(place) = self.pushes.room.clone().try_acquire_owned() else {
            self.pushes.drop_one("too many wait for the work queue");
            return;
        };
        let (subject, id) =
            (storage::push::key(&self.subjects, &receiver.token), message.id().to_string());
        let node = self.clone();
        self.tasks.spawn(async move {
            let deadline = Instant::now() + DEADLINE;
            let content_type = encoding.content_type();
            let ended = async {
                node.pushes.ending.cancelled().await;
                sleep(AT_THE_END).await;
            };
            tokio::select! {
                handed_off = node.store.hand_off(subject, body, content_type, id, deadline) => {
                    match handed_off {
                        Ok(()) => node.pushes.is_told.store(false, Ordering::Relaxed),
                        Err(error) => node.pushes.drop_one(&error.to_string()),
                    }
                }
                () = ended => node.pushes.drop_one("the instance ends"),
            }
            drop(place);
        });
    }
}
