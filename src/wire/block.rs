//! Memory for bodies on their way out: many in one block, one after the other.

use std::cell::RefCell;

use bytes::buf::Writer;
use bytes::{BufMut as _, Bytes, BytesMut};

/// How large a block is. It is given back when the last body in it is gone.
const BLOCK: usize = 64 * 1024;
/// What must be free in a block for a body to be begun in it: most bodies are smaller.
const ROOM: usize = 2 * 1024;

thread_local! {
    static FREE: RefCell<BytesMut> = RefCell::default();
}

/// The bytes that `write` writes. What is written is handed on soon: who keeps it keeps its block.
pub(crate) fn written<E>(
    write: impl FnOnce(&mut Writer<BytesMut>) -> Result<(), E>,
) -> Result<Bytes, E> {
    // Not held while it is written: nothing keeps `write` from coming back here.
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn body(byte: u8, length: usize) -> Bytes {
        written(|out| out.write_all(&vec![byte; length])).expect("written")
    }

    #[test]
    fn bodies_of_any_size_are_as_they_were_written() {
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
    fn what_could_not_be_written_leaves_nothing_behind() {
        let failed = written(|out| {
            out.write_all(b"half of it").expect("written");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(body(b'a', 3), "aaa");
    }

    #[test]
    fn one_body_may_be_written_while_another_is() {
        let mut inner = Bytes::new();
        let outer = written(|out| {
            out.write_all(b"be")?;
            inner = body(b'i', 3);
            out.write_all(b"gun")
        });
        assert_eq!((outer.expect("written"), inner), ("begun".into(), "iii".into()));
    }
}
