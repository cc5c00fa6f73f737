//! Frames that a nats-server sends on the connection of the bus, and their header blocks, which any
//! client may have written. The first byte chooses the kind, the rest are the bytes.

use bytes::{Bytes, BytesMut};
use peerd_dataplane::{Event, Frame, Headers, Parser, ProtocolError, headers};

/// See [`super::Target::check`].
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % super::KINDS {
        0 => stream(bytes),
        1 => message(bytes),
        2 => block(bytes),
        3 => written(bytes),
        4 => _ = Event::of_server(&String::from_utf8_lossy(bytes)),
        _ => {}
    }
}

type Read = (Vec<Frame>, Option<ProtocolError>);

/// The frames of a stream in chunks of a given size, and the error that ends it.
fn read(bytes: &[u8], chunk: usize) -> Read {
    let (mut parser, mut buffer, mut frames) = (Parser::default(), BytesMut::new(), Vec::new());
    for chunk in bytes.chunks(chunk.max(1)) {
        buffer.extend_from_slice(chunk);
        loop {
            match parser.next(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Checks that the frames do not depend on how a stream is split.
fn stream(bytes: &[u8]) {
    let Some((chunk, bytes)) = bytes.split_first() else { return };
    let whole = read(bytes, bytes.len());
    assert_eq!(read(bytes, usize::from(*chunk)), whole);
    assert_eq!(read(bytes, 1), whole);
    for frame in whole.0 {
        if let Frame::Message(_, message) = frame {
            assert!(message.len() <= bytes.len());
            assert!(!message.subject.is_empty());
            message.headers.iter().for_each(looked_into);
        }
    }
}

/// Checks that a message with any header block and body is parsed as sent, and the next frame is
/// parsed.
fn message(bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let (block, payload) = bytes.split_at(usize::from(*length).min(bytes.len()));
    let line = format!("HMSG a.b 7 r.1 {} {}\r\n", block.len(), bytes.len());
    let frames = [line.as_bytes(), bytes, b"\r\nPING\r\n"].concat();
    let (frames, error) = read(&frames, 5);
    assert_eq!(error, None, "what a publisher wrote ends a connection");
    let [Frame::Message(7, message), Frame::Ping] = &frames[..] else { panic!("{frames:?}") };
    let headers = message.headers.as_ref().expect("headers");
    assert_eq!((&headers.block()[..], &message.payload[..]), (block, payload));
    looked_into(headers);
}

fn block(bytes: &[u8]) {
    looked_into(&Headers::new(Bytes::copy_from_slice(bytes), false));
}

fn looked_into(headers: &Headers) {
    let (well_formed, status) = (headers.check().is_ok(), headers.status());
    assert!(status.is_none_or(|status| (100..1000).contains(&status)));
    let value = headers.get("Content-Type");
    if well_formed {
        assert!(headers.block().starts_with(b"NATS/1.0"));
        let is_line = |value: &str| !value.contains(['\r', '\n', '\0']);
        assert!(value.is_none_or(|value| is_line(&value)), "a value beyond its line");
    }
}

/// Checks that a block with any text as a value is well-formed, and that the next header is
/// separate.
fn written(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut block = headers::block();
    headers::add(&mut block, "A", &text);
    headers::add(&mut block, "B", "2");
    headers::end(&mut block);
    let headers = Headers::new(block.into(), false);
    assert_eq!(headers.check(), Ok(()));
    assert_eq!(headers.get("B").as_deref(), Some("2"));
}

/// Inputs to begin from.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let blocks: [&[u8]; 9] = [
        b"NATS/1.0\r\nContent-Type: application/json\r\n\r\n",
        b"NATS/1.0\r\nContent-Type application/json\r\n\r\n",
        b"Content-Type: application/json\r\n\r\n",
        b"NATS/1.1\r\nA: 1\r\n\r\n",
        b"NATS/1.0 abc\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0\r\nContent-Type: \xff\xfe\r\n\r\n",
        b"NATS/1.0\r\nA: 1\r\n 2\r\n\r\n",
        b"NATS/1.0\rA: \0\n\n",
    ];
    let streams: [&[u8]; 5] = [
        b"INFO {\"max_payload\":1048576}\r\nPING\r\nPONG\r\n+OK\r\n",
        b"MSG a.b 1 5\r\nhello\r\nMSG a.b 12 r.1 0\r\n\r\n",
        b"HMSG a 3 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        b"HMSG a\xff\xc2\xa0 3 9 4\r\nNATS\r\n",
        b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n",
    ];
    let mut seeds = Vec::new();
    for block in blocks {
        seeds.push(of(2, block));
        seeds.push(of(3, block));
        seeds
            .push(of(1, &[&[u8::try_from(block.len()).unwrap_or(u8::MAX)], block, b"{}"].concat()));
    }
    for stream in streams {
        seeds.push(of(0, &[b"\x03", stream].concat()));
    }
    seeds.push(of(4, b"Permissions Violation for Subscription to \"a.>\" using queue \"q\""));
    seeds
}
