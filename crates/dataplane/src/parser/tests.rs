use proptest::prelude::*;

use super::*;

fn all(bytes: &[u8], chunks: impl IntoIterator<Item = usize>) -> Result<Vec<Frame>, ProtocolError> {
    let (mut parser, mut buffer, mut frames) = (Parser::default(), BytesMut::new(), Vec::new());
    let mut rest = bytes;
    let mut chunks = chunks.into_iter();
    while !rest.is_empty() {
        let take = chunks.next().unwrap_or(rest.len()).clamp(1, rest.len());
        buffer.extend_from_slice(&rest[..take]);
        rest = &rest[take..];
        while let Some(frame) = parser.next(&mut buffer)? {
            frames.push(frame);
        }
    }
    assert!(parser.missing(&buffer) > 0 || parser.announced.is_none());
    Ok(frames)
}

fn message(subject: &[u8], reply: Option<&[u8]>, header: Option<&[u8]>, payload: &[u8]) -> Message {
    Message {
        subject: Bytes::copy_from_slice(subject),
        reply: reply.map(Bytes::copy_from_slice),
        headers: header.map(|block| Headers::new(Bytes::copy_from_slice(block), false)),
        payload: Bytes::copy_from_slice(payload),
    }
}

const STREAM: &[u8] = b"INFO {\"server_id\":\"x\"}\r\nPING\r\n+OK\r\nMSG a.b 1 5\r\nhel\r\n\r\n\
    MSG a.b 12 _INBOX.1 0\r\n\r\nPONG\r\n-ERR 'Permissions Violation for Publish to \"x\"'\r\n\
    HMSG a 3 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHMSG a.\xff 4 3 3\r\n\0\xff\n\r\n";

fn frames() -> Vec<Frame> {
    vec![
        Frame::Info(Bytes::from_static(b"{\"server_id\":\"x\"}")),
        Frame::Ping,
        Frame::Ok,
        Frame::Message(1, message(b"a.b", None, None, b"hel\r\n")),
        Frame::Message(12, message(b"a.b", Some(b"_INBOX.1"), None, b"")),
        Frame::Pong,
        Frame::Error("Permissions Violation for Publish to \"x\"".to_owned()),
        Frame::Message(3, message(b"a", Some(b"r"), Some(b"NATS/1.0\r\n\r\n"), b"hi")),
        Frame::Message(4, message(b"a.\xff", None, Some(b"\0\xff\n"), b"")),
    ]
}

#[test]
fn frames_are_parsed_wherever_the_stream_is_split() {
    assert_eq!(all(STREAM, []).as_deref(), Ok(&frames()[..]));
    assert_eq!(all(STREAM, std::iter::repeat(1)).as_deref(), Ok(&frames()[..]));
    for first in 1..STREAM.len() {
        for second in [1, 2, 7, STREAM.len()] {
            let read = all(STREAM, [first, second]);
            assert_eq!(read.as_deref(), Ok(&frames()[..]), "split at {first}, {second}");
        }
    }
}

#[test]
fn subjects_may_be_any_bytes_except_white_space() {
    // A CR inside a subject, Unicode white space, bytes that are not UTF-8.
    for subject in [&b"a.\rb"[..], "a.\u{a0}\u{85}b".as_bytes(), b"\xff\xfe", b"a.\x0b\x0c\0"] {
        let mut bytes = b"HMSG ".to_vec();
        bytes.extend_from_slice(subject);
        bytes.extend_from_slice(b" 1 ");
        bytes.extend_from_slice(subject);
        bytes.extend_from_slice(b" 0 1\r\nx\r\n");
        let expected = message(subject, Some(subject), Some(b""), b"x");
        assert_eq!(all(&bytes, []), Ok(vec![Frame::Message(1, expected)]));
    }
}

#[test]
fn a_header_longer_than_its_message_is_malformed() {
    let frames = all(b"HMSG a 1 9 4\r\nNATS\r\nPING\r\n", []).expect("frames");
    let [Frame::Message(1, message), Frame::Ping] = &frames[..] else { panic!("{frames:?}") };
    let headers = message.headers.as_ref().expect("headers");
    assert_eq!(headers.check(), Err(crate::headers::Malformed::Length));
    assert!(message.payload.is_empty());
}

#[test]
fn frames_that_no_server_sends_are_errors() {
    for (bytes, error) in [
        (&b"HELLO\r\n"[..], ProtocolError::UnknownFrame),
        (b"\r\n", ProtocolError::UnknownFrame),
        (b"MSG a 1\r\n", ProtocolError::Arguments),
        (b"MSG a 1 r x 5\r\n", ProtocolError::Arguments),
        (b"MSG a x 5\r\n", ProtocolError::Arguments),
        (b"MSG a 1 -5\r\n", ProtocolError::Arguments),
        (b"HMSG a 1 5\r\n", ProtocolError::Arguments),
        (b"HMSG a 1 r x 3 5\r\n", ProtocolError::Arguments),
        (b"MSG a 99999999999999999999999 5\r\n", ProtocolError::Arguments),
        (b"MSG a 1 99999999999\r\n", ProtocolError::MessageTooLarge),
        (b"MSG a 1 2\r\nabc\r\n", ProtocolError::NoEnd),
    ] {
        assert_eq!(all(bytes, []), Err(error), "{}", bytes.escape_ascii());
    }
    let endless = vec![b'x'; LINE_BYTES_MAX + 1];
    assert_eq!(all(&endless, []), Err(ProtocolError::LineTooLong));
}

proptest! {
    #[test]
    fn parsing_does_not_depend_on_how_the_stream_is_split(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        chunks in prop::collection::vec(1usize..20, 0..40),
    ) {
        let whole = all(&bytes, []);
        let split = all(&bytes, chunks);
        // The frames before an error are equal too, but only the final result is compared here.
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn messages_are_parsed_as_they_were_sent(
        parts in prop::collection::vec(
            (
                "[a-z.]{1,20}",
                prop::option::of("[a-z.]{1,20}"),
                prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
                prop::collection::vec(any::<u8>(), 0..60),
            ),
            1..8,
        ),
        chunks in prop::collection::vec(1usize..30, 0..60),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (sid, (subject, reply, header, payload)) in (0..).zip(parts) {
            let word = if header.is_some() { "HMSG" } else { "MSG" };
            let length = header.as_ref().map_or(0, Vec::len);
            let reply_to = reply.as_ref().map(|reply| format!(" {reply}")).unwrap_or_default();
            let header_bytes = header.as_ref().map(|_| format!(" {length}")).unwrap_or_default();
            let total = length + payload.len();
            let line = format!("{word} {subject} {sid}{reply_to}{header_bytes} {total}\r\n");
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(header.as_deref().unwrap_or_default());
            bytes.extend_from_slice(&payload);
            bytes.extend_from_slice(b"\r\n");
            let reply = reply.as_deref().map(str::as_bytes);
            let message = message(subject.as_bytes(), reply, header.as_deref(), &payload);
            expected.push(Frame::Message(sid, message));
        }
        prop_assert_eq!(all(&bytes, chunks), Ok(expected));
    }
}
