//! Parses frames from the server's byte stream.
//!
//! A frame that no nats-server sends is an error of the connection. What a *client* may put into a
//! message never is: subjects and reply subjects are bytes, and a header block is kept unchanged
//! ([`Headers`] tells whether it is malformed).

use bytes::{Buf as _, Bytes, BytesMut};

use crate::headers::Headers;

/// The longest line of a frame: 250 times the server's default for lines from clients, and enough
/// for an INFO that names thousands of servers.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// The largest message: the highest possible `max_payload` of a nats-server, plus room for headers
/// that the server adds.
const MESSAGE_BYTES_MAX: usize = 65 * 1024 * 1024;

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject. A publisher may use any bytes except white space.
    pub subject: Bytes,
    /// The reply subject; any bytes except white space.
    pub reply: Option<Bytes>,
    /// The header block, if there is one.
    pub headers: Option<Headers>,
    /// The body.
    pub payload: Bytes,
}

impl Message {
    /// The approximate size in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        let headers = self.headers.as_ref().map_or(0, |headers| headers.block().len());
        let reply = self.reply.as_ref().map_or(0, Bytes::len);
        self.subject.len() + reply + headers + self.payload.len()
    }

    /// Whether it has no bytes at all. This is never true: a message has a subject.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is the server's "no responders" status.
    #[must_use]
    pub fn is_no_responders(&self) -> bool {
        let status = || self.headers.as_ref().and_then(Headers::status);
        self.payload.is_empty() && status() == Some(503)
    }
}

/// A frame from a nats-server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `INFO`, with the server's JSON.
    Info(Bytes),
    /// `MSG` or `HMSG`, with the number (SID) of its subscription.
    Message(u64, Message),
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR`, without the quotes.
    Error(String),
}

/// The byte stream does not come from a nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line that is too long.
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// A line that is not a known frame.
    #[error("an unknown frame")]
    UnknownFrame,
    /// MSG or HMSG with too few, too many or invalid arguments.
    #[error("a message frame with invalid arguments")]
    Arguments,
    /// A message that is larger than any server allows.
    #[error("a message of more than {MESSAGE_BYTES_MAX} bytes")]
    MessageTooLarge,
    /// A body without a line break at the announced length.
    #[error("a message that does not end with a line break")]
    NoEnd,
}

/// The arguments of a message frame.
#[derive(Debug)]
struct Announced {
    subject: Bytes,
    sid: u64,
    reply: Option<Bytes>,
    /// `None` for MSG.
    header_bytes: Option<usize>,
    total_bytes: usize,
}

/// Parses frames from a byte stream that is split arbitrarily.
#[derive(Debug, Default)]
pub struct Parser {
    /// The number of bytes at the front of the buffer that contain no line break.
    scanned: usize,
    /// A message whose body is incomplete.
    announced: Option<Announced>,
}

impl Parser {
    /// Takes the next frame from the front of the buffer; `None` where it is incomplete.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, ProtocolError> {
        if self.announced.is_none() {
            let Some(line) = self.line(buffer)? else { return Ok(None) };
            match frame(&line)? {
                Line::Frame(frame) => return Ok(Some(frame)),
                Line::Message(announced) => self.announced = Some(announced),
            }
        }
        Ok(self.message(buffer)?.map(|(sid, message)| Frame::Message(sid, message)))
    }

    /// The number of bytes missing from the current message; the buffer should have room for them.
    #[must_use]
    pub fn missing(&self, buffer: &BytesMut) -> usize {
        let whole = self.announced.as_ref().map_or(0, |announced| announced.total_bytes + 2);
        whole.saturating_sub(buffer.len())
    }

    /// The next line, without its line break.
    fn line(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
        let Some(found) = memchr::memchr(b'\n', &buffer[self.scanned..]) else {
            self.scanned = buffer.len();
            return if self.scanned > LINE_BYTES_MAX {
                Err(ProtocolError::LineTooLong)
            } else {
                Ok(None)
            };
        };
        let end = self.scanned + found;
        self.scanned = 0;
        let mut line = buffer.split_to(end + 1);
        // A subject may itself contain a CR: only the last one belongs to the line break.
        line.truncate(end - usize::from(line[..end].ends_with(b"\r")));
        Ok(Some(line.freeze()))
    }

    fn message(&mut self, buffer: &mut BytesMut) -> Result<Option<(u64, Message)>, ProtocolError> {
        let is_complete = |announced: &mut Announced| buffer.len() >= announced.total_bytes + 2;
        let Some(announced) = self.announced.take_if(is_complete) else { return Ok(None) };
        let Announced { subject, sid, reply, header_bytes, total_bytes } = announced;
        let mut payload = buffer.split_to(total_bytes).freeze();
        if !buffer.starts_with(b"\r\n") {
            return Err(ProtocolError::NoEnd);
        }
        buffer.advance(2);
        let headers = header_bytes.map(|length| {
            // A server refuses a header that is longer than its message. If one arrives anyway, the
            // whole message is header.
            Headers::new(payload.split_to(length.min(total_bytes)), length > total_bytes)
        });
        Ok(Some((sid, Message { subject, reply, headers, payload })))
    }
}

enum Line {
    Frame(Frame),
    Message(Announced),
}

fn frame(line: &Bytes) -> Result<Line, ProtocolError> {
    if let Some(arguments) = line.strip_prefix(b"MSG ") {
        return announced(line, arguments, false).map(Line::Message);
    }
    if let Some(arguments) = line.strip_prefix(b"HMSG ") {
        return announced(line, arguments, true).map(Line::Message);
    }
    let frame = match &line[..] {
        b"PING" => Frame::Ping,
        b"PONG" => Frame::Pong,
        line if line.starts_with(b"+OK") => Frame::Ok,
        rest if rest.starts_with(b"INFO ") => Frame::Info(line.slice(b"INFO ".len()..)),
        rest if rest.starts_with(b"-ERR") => {
            let text = String::from_utf8_lossy(&rest[b"-ERR".len()..]);
            Frame::Error(text.trim().trim_matches('\'').to_owned())
        }
        _ => return Err(ProtocolError::UnknownFrame),
    };
    Ok(Line::Frame(frame))
}

/// Parses `<subject> <sid> [reply] [header bytes] <total bytes>`.
fn announced(
    line: &Bytes,
    arguments: &[u8],
    has_headers: bool,
) -> Result<Announced, ProtocolError> {
    let (words, count) = words(arguments)?;
    let [subject, sid, third, fourth, fifth] = words;
    let (reply, header_bytes, total_bytes) = match (has_headers, count) {
        (false, 3) => (None, None, third),
        (false, 4) => (Some(third), None, fourth),
        (true, 4) => (None, Some(third), fourth),
        (true, 5) => (Some(third), Some(fourth), fifth),
        _ => return Err(ProtocolError::Arguments),
    };
    let total_bytes = number(total_bytes)?;
    if total_bytes > MESSAGE_BYTES_MAX {
        return Err(ProtocolError::MessageTooLarge);
    }
    Ok(Announced {
        subject: line.slice_ref(subject),
        sid: u64::try_from(number(sid)?).map_err(|_| ProtocolError::Arguments)?,
        reply: reply.map(|reply| line.slice_ref(reply)),
        header_bytes: header_bytes.map(number).transpose()?,
        total_bytes,
    })
}

/// The words of a line, and how many there are: five at most.
fn words(line: &[u8]) -> Result<([&[u8]; 5], usize), ProtocolError> {
    let (mut words, mut count, mut rest) = ([&line[..0]; 5], 0, line);
    loop {
        // The server separates arguments by space and tab, which no subject can contain.
        while let Some((b' ' | b'\t', after)) = rest.split_first() {
            rest = after;
        }
        if rest.is_empty() {
            return Ok((words, count));
        }
        let end = memchr::memchr2(b' ', b'\t', rest).unwrap_or(rest.len());
        *words.get_mut(count).ok_or(ProtocolError::Arguments)? = &rest[..end];
        count += 1;
        rest = &rest[end..];
    }
}

fn number(digits: &[u8]) -> Result<usize, ProtocolError> {
    let add = |sum: usize, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, add).ok_or(ProtocolError::Arguments)
}

#[cfg(test)]
mod tests;
