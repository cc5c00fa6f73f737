//! What waits to be written: frames, one after another in one buffer, which the connection takes
//! and writes at once.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::error::{Disconnected, PublishError};

/// A message on its way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publish<'p> {
    /// Its subject.
    pub subject: &'p [u8],
    /// Where the answer goes.
    pub reply: Option<&'p [u8]>,
    /// The header block, whole ([`crate::headers::block`] begins one); empty: none.
    pub headers: &'p [u8],
    /// The body.
    pub payload: &'p [u8],
}

/// Who waits for a PONG.
#[derive(Debug)]
enum Ping {
    /// The connection itself, to see whether the server is there.
    Own,
    /// Somebody who waits until the server has everything.
    Other(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Whether there is a connection that takes it.
    is_open: bool,
    /// Nothing more is taken, and the writer ends when all is written.
    is_ending: bool,
    is_closed: bool,
    /// Who waits for PONGs, in the order of the PINGs.
    pings: VecDeque<Ping>,
}

/// What waits to be written.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Told when there is something to write, or nothing more to wait for.
    work: Notify,
    /// Told when there may be room, or a connection, or none any more.
    room: Notify,
    /// Most bytes that wait.
    bytes: usize,
    /// Longest line.
    line_bytes: usize,
}

impl Outbox {
    pub(crate) fn new(bytes: usize, line_bytes: usize) -> Self {
        let (state, work, room) = (Mutex::default(), Notify::new(), Notify::new());
        Self { state, work, room, bytes, line_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a connection.
    pub(crate) fn is_open(&self) -> bool {
        self.state().is_open
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Takes a message, if there is a connection and room.
    pub(crate) fn publish(
        &self,
        message: &Publish<'_>,
        max_payload: usize,
    ) -> Result<(), PublishError> {
        let bytes = self.check(message, max_payload)?;
        let mut state = self.state();
        if state.is_closed {
            return Err(PublishError::Closed);
        }
        if !state.is_open {
            return Err(PublishError::NotConnected);
        }
        let was_empty = state.buffer.is_empty();
        // One that is larger than the whole buffer goes alone.
        if !was_empty && state.buffer.len() + bytes > self.bytes {
            return Err(PublishError::Full);
        }
        append(&mut state.buffer, message);
        drop(state);
        if was_empty {
            self.work.notify_one();
        }
        Ok(())
    }

    /// What it takes in the buffer, about, if a server takes it.
    fn check(&self, message: &Publish<'_>, max_payload: usize) -> Result<usize, PublishError> {
        /// Of a line, beside subjects and numbers: the word and what is between.
        const BESIDE: usize = b"HPUB    \r\n".len();
        let is_subject = |subject: &[u8]| {
            !subject.is_empty() && !subject.iter().any(|byte| b" \t\r\n".contains(byte))
        };
        let Publish { subject, reply, headers, payload } = *message;
        if !is_subject(subject) || reply.is_some_and(|reply| !is_subject(reply)) {
            return Err(PublishError::Subject);
        }
        let content = headers.len() + payload.len();
        let numbers = digits(headers.len()) + digits(content);
        let line = BESIDE + numbers + subject.len() + reply.map_or(0, <[u8]>::len);
        if line > self.line_bytes {
            return Err(PublishError::SubjectTooLong);
        }
        if content > max_payload {
            return Err(PublishError::TooLarge);
        }
        Ok(line + content)
    }

    /// Takes a frame of the protocol itself, whatever room there is; false without a connection.
    pub(crate) fn control(&self, frame: &[u8]) -> bool {
        let mut state = self.state();
        let is_open = state.is_open;
        if is_open {
            state.buffer.extend_from_slice(frame);
        }
        drop(state);
        self.work.notify_one();
        is_open
    }

    /// Asks the server to answer, after everything that was given before.
    pub(crate) fn ping(&self, first: &[u8]) -> Result<oneshot::Receiver<()>, Disconnected> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        if !state.is_open {
            return Err(Disconnected);
        }
        state.buffer.extend_from_slice(first);
        state.buffer.extend_from_slice(b"PING\r\n");
        state.pings.push_back(Ping::Other(answer));
        drop(state);
        self.work.notify_one();
        Ok(answered)
    }

    /// As [`Outbox::ping`], for the connection itself; answers how many such questions had no
    /// answer.
    pub(crate) fn ping_own(&self) -> usize {
        let mut state = self.state();
        let open = state.pings.iter().filter(|ping| matches!(ping, Ping::Own)).count();
        state.buffer.extend_from_slice(b"PING\r\n");
        state.pings.push_back(Ping::Own);
        drop(state);
        self.work.notify_one();
        open
    }

    /// The server has answered.
    pub(crate) fn pong(&self) {
        let ping = self.state().pings.pop_front();
        if let Some(Ping::Other(answer)) = ping {
            // Whoever waited may have given up.
            let _ = answer.send(());
        }
    }

    /// There is a new connection, on which `first` is written first.
    pub(crate) fn open(&self, first: &[u8]) {
        let mut state = self.state();
        state.buffer.clear();
        state.buffer.extend_from_slice(first);
        state.is_open = true;
        state.is_ending = false;
        drop(state);
        self.work.notify_one();
        self.room.notify_waiters();
    }

    /// Takes nothing more; [`Outbox::take`] ends when all is taken.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.is_open = false;
        state.is_ending = true;
        drop(state);
        self.work.notify_one();
    }

    /// There is no connection. What waits is lost, and who waits for the server learns it.
    pub(crate) fn lost(&self) {
        let mut state = self.state();
        state.is_open = false;
        state.buffer.clear();
        state.pings.clear();
        drop(state);
        self.room.notify_waiters();
    }

    /// There will be no connection any more.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.end();
        self.room.notify_waiters();
    }

    /// Takes all that waits, in exchange for an empty buffer; waits for the first. False when there
    /// is nothing and nothing will come.
    pub(crate) async fn take(&self, batch: &mut Vec<u8>) -> bool {
        loop {
            let work = self.work.notified();
            {
                let mut state = self.state();
                if !state.buffer.is_empty() {
                    std::mem::swap(&mut state.buffer, batch);
                    break;
                }
                if state.is_ending {
                    return false;
                }
            }
            work.await;
        }
        self.room.notify_waiters();
        true
    }

    /// Waits until `attempt` succeeds, or fails for another reason than that there is no room or no
    /// connection.
    pub(crate) async fn when_possible(
        &self,
        mut attempt: impl FnMut() -> Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Before the attempt: what changes after it is not missed.
            room.as_mut().enable();
            match attempt() {
                Err(PublishError::Full | PublishError::NotConnected) => room.await,
                result => return result,
            }
        }
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |exponent| exponent as usize + 1)
}

fn append(buffer: &mut Vec<u8>, message: &Publish<'_>) {
    let Publish { subject, reply, headers, payload } = *message;
    buffer.extend_from_slice(if headers.is_empty() { b"PUB " } else { b"HPUB " });
    buffer.extend_from_slice(subject);
    buffer.push(b' ');
    if let Some(reply) = reply {
        buffer.extend_from_slice(reply);
        buffer.push(b' ');
    }
    // Writing to a Vec cannot fail.
    let _ = if headers.is_empty() {
        write!(buffer, "{}\r\n", payload.len())
    } else {
        write!(buffer, "{} {}\r\n", headers.len(), headers.len() + payload.len())
    };
    buffer.extend_from_slice(headers);
    buffer.extend_from_slice(payload);
    buffer.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
