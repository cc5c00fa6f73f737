//! The frames of a nats-server that the limit reads.

/// The longest frame: more than any message of a load.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest line of a server, which is that of its INFO.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A frame of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Message(Message<'a>),
    Ping,
    Pong,
    /// Its text.
    Error(&'a str),
    /// `INFO` or `+OK`.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) subject: &'a str,
    pub(super) subscription: &'a str,
    pub(super) reply_to: Option<&'a str>,
    /// Without headers.
    pub(super) payload: &'a [u8],
}

/// The first frame of the bytes read, and its length; `None` while it is incomplete.
pub(super) fn parse(read: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let Some(end) = read.iter().position(|byte| *byte == b'\n') else {
        let is_too_long = read.len() > LINE_BYTES_MAX;
        return if is_too_long {
            Err("a line of the server has no end".to_owned())
        } else {
            Ok(None)
        };
    };
    let (line, rest) = (&read[..end], &read[end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| "a line of the server is no text")?.trim_end();
    let frame = match line.split_once(' ').unwrap_or((line, "")) {
        ("MSG", fields) => return message(rest, end + 1, fields, false),
        ("HMSG", fields) => return message(rest, end + 1, fields, true),
        ("PING", _) => Frame::Ping,
        ("PONG", _) => Frame::Pong,
        ("-ERR", text) => Frame::Error(text),
        ("INFO" | "+OK", _) => Frame::Other,
        (other, _) => return Err(format!("the server sent {other:?}")),
    };
    Ok(Some((frame, end + 1)))
}

/// `<subject> <sid> [reply-to] [#header bytes] <#total bytes>`, then that many bytes and a line
/// end.
fn message<'a>(
    rest: &'a [u8],
    line_bytes: usize,
    fields: &'a str,
    has_headers: bool,
) -> Result<Option<(Frame<'a>, usize)>, String> {
    let problem = || format!("a message of the server cannot be read: {fields:?}");
    let number = |field: Option<&str>| field?.parse::<usize>().ok();
    let mut fields_back = fields.rsplit(' ');
    let total = number(fields_back.next()).filter(|total| *total <= FRAME_BYTES_MAX);
    let total = total.ok_or_else(problem)?;
    let headers = if has_headers { number(fields_back.next()).ok_or_else(problem)? } else { 0 };
    let mut fields_back = fields_back.rev();
    let (subject, subscription) = fields_back.next().zip(fields_back.next()).ok_or_else(problem)?;
    if rest.len() < total + 2 {
        return Ok(None);
    }
    let payload = rest.get(headers..total).ok_or_else(problem)?;
    let message = Message { subject, subscription, reply_to: fields_back.next(), payload };
    Ok(Some((Frame::Message(message), line_bytes + total + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_parsed_once_it_is_complete() {
        let message = |reply_to, payload| {
            Frame::Message(Message { subject: "a.b", subscription: "1", reply_to, payload })
        };
        let frames: [(&[u8], Frame<'_>); 9] = [
            (b"MSG a.b 1 2\r\nhi\r\n", message(None, b"hi")),
            (b"MSG a.b 1 r.s 4\r\n\r\n\r\n\r\n", message(Some("r.s"), b"\r\n\r\n")),
            (b"MSG a.b 1 0\r\n\r\n", message(None, b"")),
            (b"HMSG a.b 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", message(None, b"hi")),
            (b"HMSG a.b 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n", message(Some("r"), b"")),
            (b"PING\r\n", Frame::Ping),
            (b"PONG\r\n", Frame::Pong),
            (b"-ERR 'Authorization Violation'\r\n", Frame::Error("'Authorization Violation'")),
            (b"INFO {\"a\": 1}\r\n", Frame::Other),
        ];
        for (bytes, frame) in frames {
            let shown = String::from_utf8_lossy(bytes);
            let longer = [bytes, b"MSG"].concat();
            assert_eq!(parse(&longer), Ok(Some((frame, bytes.len()))), "{shown}");
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(None), "{end} of {shown}");
            }
        }
    }

    #[test]
    fn bytes_that_no_server_sends_are_an_error_and_take_no_memory() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let bad: [&[u8]; 8] = [
            b"GET / HTTP/1.1\r\n",
            b"MSG a.b 1\r\n",
            b"MSG a.b 1 -1\r\n",
            b"MSG a.b 1 99999999999\r\n",
            b"HMSG a.b 1 2\r\n",
            b"HMSG a.b 1 9 2\r\nab\r\n",
            b"\xff\r\n",
            &long,
        ];
        for bytes in bad {
            assert!(parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
