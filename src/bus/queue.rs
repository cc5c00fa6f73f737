//! The bounded queue of messages on their way out.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::{Full, Outgoing};
use crate::link::gather;

/// What is in the queue.
#[derive(Debug)]
pub(super) enum Item {
    /// A message.
    Message(Outgoing),
    /// To be told once everything before it has left the queue.
    Mark(oneshot::Sender<()>),
}

/// The end that messages are given to.
#[derive(Debug)]
pub(super) struct Giver {
    queue: mpsc::Sender<Item>,
    /// Told each time messages have left the queue.
    left: Arc<Notify>,
}

/// The end that messages are taken from.
pub(super) struct Taker {
    queue: mpsc::Receiver<Item>,
    left: Arc<Notify>,
}

/// A queue with room for `capacity` messages.
pub(super) fn queue(capacity: usize) -> (Giver, Taker) {
    let (giver, taker) = mpsc::channel(capacity);
    let left = Arc::new(Notify::new());
    (Giver { queue: giver, left: left.clone() }, Taker { queue: taker, left })
}

impl Giver {
    /// Gives a message, if there is room.
    pub(super) fn give(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.queue.try_send(Item::Message(outgoing)).map_err(|_| Full)
    }

    /// Messages that wait in it.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// How many more there is room for.
    pub(super) fn room(&self) -> usize {
        self.queue.capacity()
    }

    /// Tells once everything that was given so far has left the queue.
    pub(super) async fn mark(&self) -> Option<oneshot::Receiver<()>> {
        let (told, tells) = oneshot::channel();
        self.queue.send(Item::Mark(told)).await.ok().map(|()| tells)
    }

    /// Waits until there is room for `count` messages. Not by reserving: a reservation that waits
    /// takes every place that becomes free, and the calls under way would find none.
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

impl Taker {
    /// Takes up to `most` messages, as [`gather`] does.
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
    use crate::wire::encoding::Encoding;

    fn message() -> Outgoing {
        let (subject, body) = (String::new(), bytes::Bytes::new());
        Outgoing { subject, encoding: Encoding::Json, kind: Kind::Plain, body, permit: None }
    }

    #[tokio::test]
    async fn who_waits_for_room_takes_no_room() {
        let (giver, mut taker) = queue(10);
        for _ in 0..6 {
            giver.give(message()).expect("room");
        }
        let mut waiting = std::pin::pin!(giver.room_for(6));
        assert_eq!(waiting.as_mut().now_or_never(), None, "there is room for four");
        for _ in 0..4 {
            giver.give(message()).expect("the room that there is");
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
