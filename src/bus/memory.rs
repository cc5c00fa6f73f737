//! A twin of the bus for tests: keeps what went out.

use std::sync::{Mutex, PoisonError};

use super::{Bus, Full, Outgoing};

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

    fn max_message_bytes(&self) -> usize {
        1024 * 1024
    }
}
