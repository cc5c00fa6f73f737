//! A twin of the bus for tests: keeps what went out.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use super::{AskError, Bus, Full, Outgoing};
use crate::domain::id::Partition;

/// Keeps what went out, until it is taken.
#[derive(Debug, Default)]
pub struct Memory {
    sent: Mutex<Vec<Outgoing>>,
}

impl Memory {
    /// Takes what went out since the last time, in order.
    pub fn take(&self) -> Vec<Outgoing> {
        std::mem::take(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bus for Memory {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(outgoing);
        Ok(())
    }

    async fn room_for(&self, _count: usize) {}

    fn waiting(&self) -> usize {
        0
    }

    async fn ask(
        &self,
        _subject: String,
        _body: Bytes,
        _deadline: Instant,
    ) -> Result<Bytes, AskError> {
        Err(AskError::Nobody)
    }

    async fn listen(&self, _partition: Partition) -> bool {
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
