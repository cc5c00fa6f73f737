//! The write buffer: frames, one after another, which the connection takes and writes together.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::error::{Disconnected, PublishError};

/// An outgoing message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publish<'p> {
    /// The subject.
    pub subject: &'p [u8],
    /// The reply subject.
    pub reply: Option<&'p [u8]>,
    /// The whole header block ([`crate::headers::block`] begins one); empty where there is none.
    pub headers: &'p [u8],
    /// The body.
    pub payload: &'p [u8],
}

/// The purpose of a PING.
#[derive(Debug)]
enum Ping {
    /// The connection's own check that the server is alive.
    Own,
    /// A round trip; notified once the server has handled everything before it.
    Other(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Whether there is a connection.
    is_open: bool,
    /// Whether no more frames are accepted, and the writer ends once the buffer is empty.
    is_ending: bool,
    is_closed: bool,
    /// The PINGs without a PONG, in order.
    pings: VecDeque<Ping>,
}

/// The write buffer, and the tasks that wait for it.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Notified when there are bytes to write, or the writer is to end.
    work: Notify,
    /// Notified when there may be room, when there is a new connection, and when there will be
    /// none.
    room: Notify,
    /// The most bytes in the buffer.
    bytes: usize,
    /// The longest line.
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

    /// Appends a message, if there is a connection and room.
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
        // A message that is larger than the limit is accepted when the buffer is empty.
        if !was_empty && state.buffer.len() + bytes > self.bytes {
            return Err(PublishError::Full);
        }
        append(&mut state.buffer, message, bytes + END.len());
        drop(state);
        if was_empty {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Checks that a server accepts the message. Returns its approximate size in the buffer.
    fn check(&self, message: &Publish<'_>, max_payload: usize) -> Result<usize, PublishError> {
        /// The length of a line without subjects and numbers: the word, the spaces and the line
        /// break.
        const BESIDE: usize = b"HPUB    \r\n".len();
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

    /// Appends a protocol frame, whether or not there is room; returns false without a connection.
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

    /// Appends `first` and a PING. The receiver completes when the server answers, and so has
    /// handled everything before it.
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

    /// Appends a PING of the connection itself. Returns how many earlier ones are unanswered.
    pub(crate) fn ping_own(&self) -> usize {
        let mut state = self.state();
        let open = state.pings.iter().filter(|ping| matches!(ping, Ping::Own)).count();
        state.buffer.extend_from_slice(b"PING\r\n");
        state.pings.push_back(Ping::Own);
        drop(state);
        self.work.notify_one();
        open
    }

    /// Handles a PONG.
    pub(crate) fn pong(&self) {
        let ping = self.state().pings.pop_front();
        if let Some(Ping::Other(answer)) = ping {
            // The waiting task may have given up.
            let _ = answer.send(());
        }
    }

    /// Opens the buffer for a new connection, on which `first` is written first.
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

    /// Accepts no more messages; [`Outbox::take`] returns false once everything was taken.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.is_open = false;
        state.is_ending = true;
        drop(state);
        self.work.notify_one();
    }

    /// Notes that the connection was lost. The buffer is discarded, and round trips fail.
    pub(crate) fn lost(&self) {
        let mut state = self.state();
        state.is_open = false;
        state.buffer.clear();
        state.pings.clear();
        drop(state);
        self.room.notify_waiters();
    }

    /// Closes the buffer: there will be no further connection.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.end();
        self.room.notify_waiters();
    }

    /// Takes everything in exchange for an empty buffer, waiting until there is something. Returns
    /// false when the buffer is empty and no more will be added.
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

    /// Waits until the buffer is at most half full.
    pub(crate) async fn drained(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if self.state().buffer.len() <= self.bytes / 2 {
                return;
            }
            room.await;
        }
    }

    /// Repeats `attempt` until it succeeds, or fails for another reason than a full buffer or a
    /// missing connection.
    pub(crate) async fn when_possible(
        &self,
        mut attempt: impl FnMut() -> Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Enabled before the attempt, so that no later notification is missed.
            room.as_mut().enable();
            match attempt() {
                Err(PublishError::Full | PublishError::NotConnected) => room.await,
                result => return result,
            }
        }
    }
}

/// The end of a message.
const END: &[u8] = b"\r\n";

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |exponent| exponent as usize + 1)
}

/// Whether bytes can stand in a line as a subject.
fn is_subject(subject: &[u8]) -> bool {
    // The smallest is found without a branch for each byte: nearly every one is above.
    let smallest = subject.iter().fold(u8::MAX, |smallest, byte| smallest.min(*byte));
    let is_above = smallest > b' ';
    !subject.is_empty() && (is_above || !subject.iter().any(|byte| b" \t\r\n".contains(byte)))
}

fn append(buffer: &mut Vec<u8>, message: &Publish<'_>, bytes: usize) {
    let Publish { subject, reply, headers, payload } = *message;
    buffer.reserve(bytes);
    buffer.extend_from_slice(if headers.is_empty() { b"PUB " } else { b"HPUB " });
    buffer.extend_from_slice(subject);
    buffer.push(b' ');
    if let Some(reply) = reply {
        buffer.extend_from_slice(reply);
        buffer.push(b' ');
    }
    let mut digits = itoa::Buffer::new();
    if !headers.is_empty() {
        buffer.extend_from_slice(digits.format(headers.len()).as_bytes());
        buffer.push(b' ');
    }
    buffer.extend_from_slice(digits.format(headers.len() + payload.len()).as_bytes());
    buffer.extend_from_slice(END);
    buffer.extend_from_slice(headers);
    buffer.extend_from_slice(payload);
    buffer.extend_from_slice(END);
}

#[cfg(test)]
mod tests;
