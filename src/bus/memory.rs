//! An in-memory fake of the bus for tests: it records what was sent.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Answer, AskError, Bus, Full, IsAnswer, Outgoing, Take};
use peerd_core::id::Partition;

/// Records sent messages until they are taken.
#[derive(Debug)]
pub struct Memory {
    sent: Mutex<Vec<Outgoing>>,
    room: watch::Sender<usize>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { sent: Mutex::default(), room: watch::Sender::new(usize::MAX) }
    }
}

impl Memory {
    /// Sets how many more messages the queue seems to have room for, however many are sent.
    pub fn set_room(&self, room: usize) {
        self.room.send_replace(room);
    }

    /// Takes the messages sent since the last call, in order.
    pub fn take(&self) -> Vec<Outgoing> {
        std::mem::take(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bus for Memory {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        if outgoing.permit.as_ref().is_some_and(|permit| !permit.holds()) {
            return Ok(());
        }
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(outgoing);
        Ok(())
    }

    fn room(&self) -> usize {
        *self.room.borrow()
    }

    async fn room_for(&self, count: usize) {
        // This cannot fail: `self` holds the sender.
        let _ = self.room.subscribe().wait_for(|room| *room >= count).await;
    }

    fn waiting(&self) -> usize {
        0
    }

    fn inbox(&self) -> String {
        "_INBOX.memory".to_owned()
    }

    async fn ask(
        &self,
        _request: Outgoing,
        _is_answer: IsAnswer,
        _deadline: Instant,
    ) -> Result<Answer, AskError> {
        Err(AskError::Nobody)
    }

    async fn listen(&self, _partition: Partition, _take: Take) -> bool {
        true
    }

    async fn unlisten(&self, _partition: Partition) {}

    async fn is_reached(&self, _deadline: Instant) -> bool {
        true
    }

    async fn reach(&self, _deadline: Instant) -> bool {
        true
    }

    fn max_message_bytes(&self) -> usize {
        1024 * 1024
    }
}
