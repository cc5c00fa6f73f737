//! Memory for outgoing bodies: many bodies share one block, one after another.

use std::cell::RefCell;
use std::io;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

/// The size of a block. A block is freed with the last body in it.
const BLOCK: usize = 64 * 1024;
/// The size of a buffer that is new.
const FIRST: usize = 4 * 1024;
/// A larger body has memory of its own. Most bodies are smaller.
const ROOM: usize = 2 * 1024;

thread_local! {
    static FREE: RefCell<BytesMut> = RefCell::default();
    static SCRATCH: RefCell<Buffer> = RefCell::default();
}

/// Returns the bytes that `write` writes. A body keeps its whole block alive, so it must not be
/// kept for long.
pub fn written<E>(write: impl FnOnce(&mut Buffer) -> Result<(), E>) -> Result<Bytes, E> {
    with_scratch(write, kept)
}

/// Returns how many bytes `write` writes.
pub fn measured<E>(write: impl FnOnce(&mut Buffer) -> Result<(), E>) -> Result<usize, E> {
    with_scratch(write, <[u8]>::len)
}

/// Memory that is written to from its beginning. It keeps its size when it is emptied, so that
/// appending is a comparison and a copy.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The memory. The part that was not written yet has arbitrary values.
    bytes: Vec<u8>,
    /// How much of it is written.
    length: usize,
}

impl Buffer {
    /// Appends bytes.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends a byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.append(&[byte]);
    }

    /// Appends so many bytes, which the caller sets.
    #[inline]
    pub fn room(&mut self, count: usize) -> &mut [u8] {
        let (start, end) = (self.length, self.length + count);
        if end > self.bytes.len() {
            self.grow(end);
        }
        self.length = end;
        &mut self.bytes[start..end]
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, length: usize) {
        self.bytes.resize(length.next_power_of_two().max(FIRST), 0);
    }

    /// The bytes that were written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Drops the bytes after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes into memory that is used again.
fn with_scratch<E, R>(
    write: impl FnOnce(&mut Buffer) -> Result<(), E>,
    then: impl FnOnce(&[u8]) -> R,
) -> Result<R, E> {
    // Taken out meanwhile, because `write` may come here again.
    let mut scratch = SCRATCH.take();
    let result = write(&mut scratch).map(|()| then(scratch.as_slice()));
    if scratch.bytes.len() <= BLOCK {
        scratch.truncate(0);
        SCRATCH.set(scratch);
    }
    result
}

/// The bytes, in a block.
fn kept(bytes: &[u8]) -> Bytes {
    if bytes.len() > ROOM {
        return Bytes::copy_from_slice(bytes);
    }
    FREE.with_borrow_mut(|block| {
        if block.capacity() < bytes.len() {
            *block = BytesMut::with_capacity(BLOCK);
        }
        block.extend_from_slice(bytes);
        block.split().freeze()
    })
}

/// The concatenation of texts.
#[must_use]
pub fn text<const N: usize>(parts: [&str; N]) -> ByteString {
    let written = written(|out| {
        for part in parts {
            out.append(part.as_bytes());
        }
        Ok::<_, std::convert::Infallible>(())
    });
    // It cannot fail: these are texts.
    let text = written.ok().and_then(|bytes| ByteString::try_from(bytes).ok());
    text.unwrap_or_else(|| ByteString::from(parts.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(byte: u8, length: usize) -> Bytes {
        let write = |out: &mut Buffer| {
            out.append(&vec![byte; length]);
            Ok::<_, ()>(())
        };
        assert_eq!(measured(write), Ok(length));
        written(write).expect("written")
    }

    #[test]
    fn bodies_of_any_size_keep_their_bytes() {
        let lengths = [0, 1, ROOM, BLOCK - 1, BLOCK, 3 * BLOCK, 700, 700];
        let numbers = 0..40_u8;
        let bodies: Vec<_> = numbers
            .flat_map(|number| lengths.map(|length| (number, length, body(number, length))))
            .collect();
        for (number, length, body) in bodies {
            assert_eq!(body, vec![number; length]);
        }
    }

    #[test]
    fn a_failed_body_leaves_no_bytes_behind() {
        let failed = written(|out| {
            out.append(b"half of it");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(body(b'a', 3), "aaa");
    }

    #[test]
    fn a_body_may_be_written_while_another_is_being_written() {
        let mut inner = Bytes::new();
        let outer = written(|out| {
            out.append(b"be");
            inner = body(b'i', 3);
            out.append(b"gun");
            Ok::<_, ()>(())
        });
        assert_eq!((outer, inner), (Ok("begun".into()), "iii".into()));
    }
}
