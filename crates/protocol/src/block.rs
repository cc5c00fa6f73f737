//! Memory for outgoing bodies: many bodies share one block, one after another.

use std::cell::RefCell;
use std::io::Write as _;

use bytes::buf::Writer;
use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;

/// The size of a block. A block is freed with the last body in it.
const BLOCK: usize = 64 * 1024;
/// A block with fewer free bytes is not used for another body. Most bodies are smaller.
const ROOM: usize = 2 * 1024;

thread_local! {
    static FREE: RefCell<BytesMut> = RefCell::default();
}

/// Returns the bytes that `write` writes. A body keeps its whole block alive, so it must not be
/// kept for long.
pub fn written<E>(write: impl FnOnce(&mut Writer<BytesMut>) -> Result<(), E>) -> Result<Bytes, E> {
    // The block is taken out meanwhile, because `write` may call this function again.
    let mut block = FREE.take();
    if block.capacity() < ROOM {
        block = BytesMut::with_capacity(BLOCK);
    }
    let mut writer = block.writer();
    let written = write(&mut writer);
    let mut block = writer.into_inner();
    let body = block.split().freeze();
    FREE.set(block);
    written.map(|()| body)
}

/// The concatenation of texts.
#[must_use]
pub fn text<const N: usize>(parts: [&str; N]) -> ByteString {
    let written = written(|out| parts.iter().try_for_each(|part| out.write_all(part.as_bytes())));
    // It cannot fail: writing to a block does not, and these are texts.
    let text = written.ok().and_then(|bytes| ByteString::try_from(bytes).ok());
    text.unwrap_or_else(|| ByteString::from(parts.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(byte: u8, length: usize) -> Bytes {
        written(|out| out.write_all(&vec![byte; length])).expect("written")
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
            out.write_all(b"half of it").expect("written");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(body(b'a', 3), "aaa");
    }

    #[test]
    fn a_body_may_be_written_while_another_is_being_written() {
        let mut inner = Bytes::new();
        let outer = written(|out| {
            out.write_all(b"be")?;
            inner = body(b'i', 3);
            out.write_all(b"gun")
        });
        assert_eq!((outer.expect("written"), inner), ("begun".into(), "iii".into()));
    }
}
