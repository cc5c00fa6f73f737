//! The state that a connection's handles share with its task.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::event::Event;
use crate::info::ServerInfo;
use crate::options::Options;
use crate::outbox::Outbox;
use crate::request::Requests;
use crate::subscriptions::Subscriptions;

/// The state that a connection's handles share with its task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) outbox: Outbox,
    /// Locked before the outbox where both are locked.
    subscriptions: Mutex<Subscriptions>,
    pub(crate) requests: Requests,
    pub(crate) max_payload: AtomicUsize,
    info: Mutex<Arc<ServerInfo>>,
    /// Whether the server is in lame duck mode.
    pub(crate) is_lame_duck: watch::Sender<bool>,
    /// Notified when the client is closed.
    pub(crate) closing: Notify,
    /// Whether the connection's task has ended.
    pub(crate) ended: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let subscriptions =
            Subscriptions::new(options.subscription_messages, options.subscription_bytes);
        Self {
            outbox: Outbox::new(options.write_buffer_bytes, options.control_line_bytes),
            requests: Requests::new(&options.inbox_prefix),
            subscriptions: Mutex::new(subscriptions),
            max_payload: AtomicUsize::new(0),
            info: Mutex::default(),
            is_lame_duck: watch::Sender::new(false),
            closing: Notify::new(),
            ended: watch::Sender::new(false),
            options,
        }
    }

    pub(crate) fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn event(&self, event: &Event<'_>) {
        (self.options.on_event)(event);
    }

    pub(crate) fn set_info(&self, info: ServerInfo) {
        self.max_payload.store(info.max_payload, Ordering::Relaxed);
        self.is_lame_duck.send_replace(info.is_lame_duck);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(info);
    }

    pub(crate) fn info(&self) -> Arc<ServerInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to use a new connection, and subscribes again on it.
    pub(crate) fn open(&self) {
        let mut subscriptions = self.subscriptions();
        let mut frames = self.requests.subscribe();
        frames += &subscriptions.renew();
        // Still locked, so that the frames of later subscriptions follow.
        self.outbox.open(frames.as_bytes());
    }

    /// Notes that the connection is lost.
    pub(crate) fn lost(&self) {
        self.outbox.lost();
        self.requests.fail();
    }

    pub(crate) fn close(&self) {
        self.outbox.close();
        self.closing.notify_one();
    }
}
