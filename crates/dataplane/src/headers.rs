//! Header blocks: received ones, kept as bytes and read leniently, and outgoing ones.

use std::borrow::Cow;

use bytes::Bytes;

/// The beginning of every header block.
const VERSION: &[u8] = b"NATS/1.0";

/// The problem of a malformed header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Its length does not fit its message.
    #[error("its length is impossible")]
    Length,
    /// It does not begin with the version.
    #[error("it does not begin with NATS/1.0")]
    Version,
    /// The text after the version is not a status.
    #[error("its status is not a number of three digits")]
    Status,
    /// A line without a colon.
    #[error("a line has no colon")]
    Colon,
    /// A name that is empty or has invalid characters.
    #[error("a name is empty or has characters that are not allowed")]
    Name,
    /// A value with a character that would end or split a line.
    #[error("a value has control characters")]
    Control,
    /// A value that is not UTF-8.
    #[error("a value is not UTF-8")]
    Text,
    /// It does not end with an empty line, or continues after it.
    #[error("it does not end with its one empty line")]
    End,
}

/// The header block of a message, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    block: Bytes,
    is_cut: bool,
}

impl Headers {
    /// A header block. `is_cut` says that the frame announced more header bytes than the message
    /// has.
    #[must_use]
    pub const fn new(block: Bytes, is_cut: bool) -> Self {
        Self { block, is_cut }
    }

    /// The bytes.
    #[must_use]
    pub const fn block(&self) -> &Bytes {
        &self.block
    }

    /// Whether the block is this one, and whole.
    #[must_use]
    pub fn is(&self, block: &[u8]) -> bool {
        !self.is_cut && self.block == block
    }

    /// Checks the whole block.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.is_cut {
            return Err(Malformed::Length);
        }
        let rest = self.block.strip_prefix(VERSION).ok_or(Malformed::Version)?;
        let mut lines = Lines { rest };
        let first = lines.next().ok_or(Malformed::End)?;
        let status = first.trim_ascii();
        if !status.is_empty() && status_code(status).is_none() {
            return Err(Malformed::Status);
        }
        check_value(first)?;
        let mut is_after_header = false;
        for line in &mut lines {
            if line.is_empty() {
                return if lines.rest.is_empty() { Ok(()) } else { Err(Malformed::End) };
            }
            if is_folded(line) && is_after_header {
                check_value(line)?;
                continue;
            }
            let colon = memchr::memchr(b':', line).ok_or(Malformed::Colon)?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return Err(Malformed::Name);
            }
            check_value(value)?;
            is_after_header = true;
        }
        Err(Malformed::End)
    }

    /// Whether the block is malformed.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.check().is_err()
    }

    /// The first value with that name, even in a malformed block. Names are case-sensitive. `None`
    /// where there is none, or it is not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut lines = Lines { rest: &self.block };
        let value = lines.find_map(|line| {
            line.strip_prefix(name.as_bytes())?.strip_prefix(b":").map(<[u8]>::trim_ascii)
        })?;
        let value = std::str::from_utf8(value).ok()?;
        let mut more = lines.clone().take_while(|line| is_folded(line)).peekable();
        if more.peek().is_none() {
            return Some(Cow::Borrowed(value));
        }
        let mut whole = value.to_owned();
        for line in more {
            whole.push_str(std::str::from_utf8(line).ok()?.trim_end());
        }
        Some(Cow::Owned(whole.trim().to_owned()))
    }

    /// All names and values that are UTF-8, in order. Only the first line of a folded value is
    /// returned.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = Lines { rest: &self.block }.skip(1);
        lines.filter(|line| !is_folded(line)).filter_map(|line| {
            let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
            Some((name, value.trim_ascii()))
        })
    }

    /// The status in the first line, which only the server sends: 503 means no responders.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let rest = self.block.strip_prefix(VERSION)?;
        status_code(Lines { rest }.next()?.trim_ascii())
    }
}

/// The lines of a block, without their line breaks. An unterminated rest is not a line.
#[derive(Clone)]
struct Lines<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Whether a line continues the previous one.
fn is_folded(line: &[u8]) -> bool {
    line.starts_with(b" ") || line.starts_with(b"\t")
}

fn status_code(text: &[u8]) -> Option<u16> {
    let digits = text.split(u8::is_ascii_whitespace).next()?;
    let is_code = digits.len() == 3 && digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0';
    is_code.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn check_value(value: &[u8]) -> Result<(), Malformed> {
    if memchr::memchr2(b'\r', 0, value).is_some() {
        return Err(Malformed::Control);
    }
    std::str::from_utf8(value).map(drop).map_err(|_| Malformed::Text)
}

/// Begins an outgoing header block.
#[must_use]
pub fn block() -> Vec<u8> {
    [VERSION, b"\r\n"].concat()
}

/// Adds a header. Control characters in the value become `?`: it may be a caller's text, and must
/// not end its line.
pub fn add(block: &mut Vec<u8>, name: &str, value: &str) {
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
    block.extend(value.bytes().map(|byte| if byte.is_ascii_control() { b'?' } else { byte }));
    block.extend_from_slice(b"\r\n");
}

/// Ends a header block.
pub fn end(block: &mut Vec<u8>) {
    block.extend_from_slice(b"\r\n");
}

/// An ended block, or none, with one more header.
#[must_use]
pub fn extended(ended: &[u8], name: &str, value: &str) -> Vec<u8> {
    let mut more = match ended.strip_suffix(b"\r\n") {
        Some(headers) => headers.to_vec(),
        None => block(),
    };
    add(&mut more, name, value);
    end(&mut more);
    more
}

#[cfg(test)]
mod tests;
