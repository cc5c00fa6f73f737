//! The reading half of a connection: parses frames and passes messages to their subscriptions.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::yield_now;

use crate::dial::read_info;
use crate::event::Event;
use crate::info::ServerInfo;
use crate::parser::{Frame, Parser, ProtocolError};
use crate::request::ANSWERS_SID;
use crate::shared::Shared;
use crate::subscriptions::Taken;

/// The most bytes that are read at once, and the room in a new buffer.
const READ_BYTES: usize = 64 * 1024;
/// A buffer with less room than this is replaced.
const READ_BYTES_MIN: usize = 4 * 1024;

/// Reads and handles frames.
pub(crate) struct Reader<'r, F> {
    shared: &'r Shared,
    parser: Parser,
    buffer: BytesMut,
    /// Called with each INFO.
    on_info: F,
}

impl<'r, F: FnMut(&ServerInfo)> Reader<'r, F> {
    pub(crate) const fn new(
        shared: &'r Shared,
        parser: Parser,
        buffer: BytesMut,
        on_info: F,
    ) -> Self {
        Self { shared, parser, buffer, on_info }
    }

    /// Reads until the connection ends; returns the reason.
    pub(crate) async fn run(mut self, mut from: impl AsyncRead + Unpin) -> String {
        // Bytes read since the last yield: the same task also writes.
        let mut in_a_row = 0;
        loop {
            if let Err(error) = self.take_all() {
                return format!("cannot parse what the server sent: {error}");
            }
            let room = self.buffer.capacity() - self.buffer.len();
            let missing = self.parser.missing(&self.buffer);
            if room < missing.max(READ_BYTES_MIN) {
                self.buffer.reserve(missing.max(READ_BYTES));
            }
            if in_a_row >= READ_BYTES {
                in_a_row = 0;
                yield_now().await;
            }
            // The answers of handlers wait in the write buffer: no more is read than the server
            // accepts.
            self.shared.outbox.drained().await;
            match from.read_buf(&mut self.buffer).await {
                Ok(0) => return "the server closed the connection".to_owned(),
                Ok(count) => in_a_row += count,
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Handles all complete frames.
    fn take_all(&mut self) -> Result<(), ProtocolError> {
        while let Some(frame) = self.parser.next(&mut self.buffer)? {
            match frame {
                Frame::Message(ANSWERS_SID, message) => self.shared.requests.take(message),
                Frame::Message(sid, message) => {
                    let taken = self.shared.subscriptions().take(sid, message);
                    match taken {
                        Taken::Done => {}
                        Taken::Handle(handler, message) => handler(message),
                        Taken::Dropped(subject) => {
                            self.shared.event(&Event::SlowConsumer { subject: &subject });
                        }
                    }
                }
                Frame::Ping => _ = self.shared.outbox.control(b"PONG\r\n"),
                Frame::Pong => self.shared.outbox.pong(),
                Frame::Ok => {}
                Frame::Error(text) => self.shared.event(&Event::of_server(&text)),
                Frame::Info(json) => self.info(&json),
            }
        }
        Ok(())
    }

    fn info(&mut self, json: &[u8]) {
        // An INFO that cannot be parsed changes nothing.
        let Some(info) = read_info(json) else { return };
        (self.on_info)(&info);
        self.shared.set_info(info);
    }
}
