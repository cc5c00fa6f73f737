//! The marker of a message: its `localMessageID` names the run and the time at which it was due. So
//! nothing needs to be remembered of a message until its event arrives.

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use peerd_protocol::encoding::{Encode as _, EncodeError, Encoding};

/// Digits of the time and of the number, hexadecimal.
const TIME_DIGITS: usize = 16;
const NUMBER_DIGITS: usize = 8;

/// The prefix of the markers of one run.
#[derive(Clone, Debug)]
pub(super) struct Run(String);

impl Run {
    /// A new run with a unique prefix.
    pub(super) fn new() -> Self {
        let unique = nuid::next().to_string();
        // The end of a nuid is a counter, its beginning is random.
        Self(format!("bench{unique}-"))
    }

    fn marker_bytes(&self) -> usize {
        self.0.len() + TIME_DIGITS + NUMBER_DIGITS
    }

    /// When the message in a body was due, in microseconds since the run began; `None` for a
    /// message of another run or of none. `place` is the position of the last marker, since bodies
    /// of one kind are alike.
    pub(super) fn due_us(&self, body: &[u8], place: &mut usize) -> Option<u64> {
        let prefix = self.0.as_bytes();
        let is_here = |at: usize| body.get(at..).is_some_and(|rest| rest.starts_with(prefix));
        if !is_here(*place) {
            *place = body.windows(prefix.len()).position(|bytes| bytes == prefix)?;
        }
        let digits = body.get(*place + prefix.len()..)?.get(..TIME_DIGITS)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

/// The body of a send without its marker.
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// The position of the digits of the time.
    digits_at: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SendBody<'a> {
    #[serde(rename = "toUserID")]
    to_user_id: &'a str,
    message: MessageBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageBody<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(rename = "localMessageID")]
    local_message_id: &'a str,
    message: &'a str,
}

impl Template {
    /// The body of a Text message of `text` to `receiver`.
    pub(super) fn new(
        run: &Run,
        encoding: Encoding,
        receiver: &str,
        text: &str,
    ) -> Result<Self, EncodeError> {
        const TEXT: u8 = 1;
        let marker = format!("{}{:0width$x}", run.0, 0, width = run.marker_bytes() - run.0.len());
        let message = MessageBody { kind: TEXT, local_message_id: &marker, message: text };
        let bytes = encoding.encode(&SendBody { to_user_id: receiver, message })?;
        // The run's name is random, so the receiver's name and the text do not contain it.
        let place = bytes.windows(marker.len()).position(|bytes| bytes == marker.as_bytes());
        let digits_at = place.unwrap_or_default() + run.0.len();
        Ok(Self { bytes: bytes.into(), digits_at })
    }

    /// The body of message `number` of the run, which is due at that time.
    pub(super) fn body(&self, due_us: u64, number: u64) -> Bytes {
        let mut body = BytesMut::from(self.bytes.as_slice());
        let (time, rest) = body[self.digits_at..].split_at_mut(TIME_DIGITS);
        write_hex(time, due_us);
        write_hex(&mut rest[..NUMBER_DIGITS], number);
        body.freeze()
    }
}

/// Writes as many of the last digits of a number as there is room for.
fn write_hex(digits: &mut [u8], mut number: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for digit in digits.iter_mut().rev() {
        *digit = HEX[usize::from(number.to_le_bytes()[0] & 0xf)];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_core::message::Draft;
    use peerd_protocol::decode;
    use peerd_protocol::draft::MessageBody;
    use peerd_protocol::field::User;
    use serde::Deserialize;

    /// The request of `send_peer_message`.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        #[serde(rename = "toUserID")]
        to_user_id: User,
        message: MessageBody,
    }

    #[test]
    fn a_body_says_when_it_was_due_in_both_encodings() {
        let run = Run::new();
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let template = Template::new(&run, encoding, "bench-r0", "Hello!").expect("a body");
            for (due_us, number) in [(0, 0), (1, 2), (123_456_789_012, 0xffff_ffff)] {
                let body = template.body(due_us, number);
                let mut place = 0;
                assert_eq!(run.due_us(&body, &mut place), Some(due_us));
                assert_ne!(place, 0);
                assert_eq!(run.due_us(&body, &mut place), Some(due_us), "where it was before");
                assert_eq!(Run::new().due_us(&body, &mut 0), None, "another run's");
                let sent = decode::request::<Request>(encoding, &body, 64).expect("a request");
                assert_eq!(sent.to_user_id.0.as_str(), "bench-r0");
                let local_id = Draft::from(sent.message).local_id.expect("one");
                assert!(local_id.as_str().ends_with(&format!("{due_us:016x}{number:08x}")));
            }
        }
        assert_eq!(run.due_us(b"", &mut 7), None);
    }
}
