//! The offline pushes on their way into the work queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use peerd_core::id::MessageId;

/// The messages whose pushes are on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct HandingOff(Arc<Ids>);

#[derive(Debug, Default)]
struct Ids {
    ids: Mutex<HashSet<MessageId>>,
    ended: Notify,
}

/// A push is on its way as long as this exists.
#[derive(Debug)]
pub(super) struct OnItsWay {
    of: HandingOff,
    id: MessageId,
}

impl Ids {
    fn lock(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HandingOff {
    /// The push of a message is on its way.
    pub(super) fn begin(&self, id: MessageId) -> OnItsWay {
        self.0.lock().insert(id);
        OnItsWay { of: self.clone(), id }
    }

    /// Waits until no push of the message is on its way; false if the deadline comes first.
    pub(super) async fn is_over(&self, id: MessageId, deadline: Instant) -> bool {
        loop {
            let mut ended = std::pin::pin!(self.0.ended.notified());
            ended.as_mut().enable();
            if !self.0.lock().contains(&id) {
                return true;
            }
            if timeout_at(deadline, ended).await.is_err() {
                return false;
            }
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.id);
        self.of.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;
    use peerd_core::id::{OrderKey, Partition};

    #[tokio::test(start_paused = true)]
    async fn only_the_push_of_the_message_is_waited_for() {
        let handing_off = HandingOff::default();
        let [one, other] = [1, 2].map(|key| MessageId::new(OrderKey(key), Partition(0)));
        let deadline = Instant::now() + Duration::from_secs(1);
        let on_its_way = handing_off.begin(one);
        assert_eq!(handing_off.is_over(other, deadline).now_or_never(), Some(true));
        let mut over = std::pin::pin!(handing_off.is_over(one, deadline));
        assert_eq!(over.as_mut().now_or_never(), None);
        drop(on_its_way);
        assert!(over.await);
        let _on_its_way = handing_off.begin(one);
        assert!(!handing_off.is_over(one, deadline).await, "not by the deadline");
    }
}
