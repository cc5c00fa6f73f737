//! The bounded queue of outgoing messages.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::{Full, Outgoing};
use crate::link::gather;

/// An entry of the queue.
#[derive(Debug)]
pub(super) enum Item {
    /// A message.
    Message(Outgoing),
    /// Notified once everything queued before it has left the queue.
    Mark(oneshot::Sender<()>),
}

/// The sending end of the queue.
#[derive(Debug)]
pub(super) struct QueueSender {
    queue: mpsc::Sender<Item>,
    /// Notified each time messages leave the queue.
    left: Arc<Notify>,
}

/// The receiving end of the queue.
pub(super) struct QueueReceiver {
    queue: mpsc::Receiver<Item>,
    left: Arc<Notify>,
}

/// A queue with room for `capacity` messages.
pub(super) fn queue(capacity: usize) -> (QueueSender, QueueReceiver) {
    let (giver, taker) = mpsc::channel(capacity);
    let left = Arc::new(Notify::new());
    (QueueSender { queue: giver, left: left.clone() }, QueueReceiver { queue: taker, left })
}

impl QueueSender {
    /// Queues a message if there is room.
    pub(super) fn give(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.queue.try_send(Item::Message(outgoing)).map_err(|_| Full)
    }

    /// Messages in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// How many more messages there is room for.
    pub(super) fn room(&self) -> usize {
        self.queue.capacity()
    }

    /// Queues a mark. The receiver completes once everything queued before has left the queue;
    /// `None` where the writer task has ended.
    pub(super) async fn mark(&self) -> Option<oneshot::Receiver<()>> {
        let (passed, has_passed) = oneshot::channel();
        self.queue.send(Item::Mark(passed)).await.ok().map(|()| has_passed)
    }

    /// Waits until there is room for `count` messages. It does not reserve room: a waiting
    /// reservation would take every slot that becomes free and leave none for the calls in
    /// progress.
    pub(super) async fn room_for(&self, count: usize) {
        loop {
            let left = self.left.notified();
            if self.room() >= count {
                return;
            }
            left.await;
        }
    }
}

impl QueueReceiver {
    /// Takes up to `most` entries, like [`gather`].
    pub(super) async fn take(&mut self, batch: &mut Vec<Item>, most: usize) {
        gather(&mut self.queue, batch, most).await;
        self.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::bus::Kind;
    use peerd_protocol::encoding::Encoding;

    fn message() -> Outgoing {
        let (subject, body) = (String::new(), bytes::Bytes::new());
        Outgoing { subject, encoding: Encoding::Json, kind: Kind::Plain, body, permit: None }
    }

    #[tokio::test]
    async fn waiting_for_room_takes_no_room() {
        let (giver, mut taker) = queue(10);
        for _ in 0..6 {
            giver.give(message()).expect("room");
        }
        let mut waiting = std::pin::pin!(giver.room_for(6));
        assert_eq!(waiting.as_mut().now_or_never(), None, "there is room for four");
        for _ in 0..4 {
            giver.give(message()).expect("room for four");
        }
        assert_eq!(giver.give(message()), Err(Full));
        let mut batch = Vec::new();
        taker.take(&mut batch, 5).await;
        assert_eq!(batch.drain(..).count(), 5);
        assert_eq!(waiting.as_mut().now_or_never(), None, "there is room for five");
        taker.take(&mut batch, 1).await;
        assert_eq!(batch.len(), 1);
        assert_eq!(waiting.now_or_never(), Some(()));
    }
}
