//! The two encodings of bodies.

use bytes::Bytes;
use serde::Serialize;

use super::block;
pub use crate::domain::encoding::Encoding;
use crate::domain::rejection::Rejection;

/// Header that names a body's encoding.
pub const CONTENT_TYPE: &str = "Content-Type";
/// Header with the text of an error, as in NATS's service convention (ADR-32).
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
/// Header with the code of an error (ADR-32).
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";
/// Header of a reply to a repeat: nothing was stored or counted again.
pub const PEER_DUPLICATE: &str = "Peer-Duplicate";

/// Header of a call that one instance passed on to another: how often that was done.
pub const PEER_HOPS: &str = "Peer-Hops";

/// How often a call was passed on, by its header. One that peerd did not write counts as none, and
/// one that is too large for its type as the most there can be.
#[must_use]
pub fn hops(header: Option<&str>) -> u8 {
    let number = header.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let parsed = number.filter(|text| !text.is_empty()).map(|text| text.parse().unwrap_or(u8::MAX));
    parsed.unwrap_or_default()
}

/// A body that could not be written: a fault in peerd, never the caller's.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// As JSON.
    #[error("a body does not fit JSON")]
    Json(#[from] serde_json::Error),
    /// As `MessagePack`.
    #[error("a body does not fit MessagePack")]
    MessagePack(#[from] rmp_serde::encode::Error),
}

impl Encoding {
    /// The encoding that a body looks like: JSON begins with `{` or white space.
    #[must_use]
    pub const fn sniff(body: &[u8]) -> Self {
        match body.first() {
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => Self::Json,
            _ => Self::MessagePack,
        }
    }

    /// The encoding of a request, by its header or else by its first byte.
    pub fn of_request(content_type: Option<&str>, body: &[u8]) -> Result<Self, Rejection> {
        let Some(content_type) = content_type else { return Ok(Self::sniff(body)) };
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(Self::Json.content_type()) {
            Ok(Self::Json)
        } else if essence.eq_ignore_ascii_case(Self::MessagePack.content_type()) {
            Ok(Self::MessagePack)
        } else {
            let problem = "must be application/msgpack or application/json";
            Err(Rejection::invalid(CONTENT_TYPE, problem))
        }
    }

    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }

    /// Writes a body.
    pub fn encode(self, body: &impl Serialize) -> Result<Bytes, EncodeError> {
        block::written(|out| match self {
            Self::Json => Ok(serde_json::to_writer(out, body)?),
            Self::MessagePack => Ok(rmp_serde::encode::write_named(out, body)?),
        })
    }
}

/// Bytes of a message: `bin` in `MessagePack`, base64 text in JSON.
pub(super) struct Binary<'a>(pub(super) &'a [u8]);

impl Serialize for Binary<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        if serializer.is_human_readable() {
            serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(self.0))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_encoding_and_else_the_first_byte_does() {
        for (content_type, body, encoding) in [
            (None, "{}", Encoding::Json),
            (None, "\n{}", Encoding::Json),
            (None, "", Encoding::MessagePack),
            (None, "\u{80}", Encoding::MessagePack),
            (Some("application/msgpack"), "{}", Encoding::MessagePack),
            (Some("Application/JSON; charset=utf-8"), "", Encoding::Json),
        ] {
            assert_eq!(Encoding::of_request(content_type, body.as_bytes()), Ok(encoding));
        }
        assert!(Encoding::of_request(Some("text/plain"), b"{}").is_err());
    }

    #[test]
    fn a_call_was_passed_on_as_often_as_its_header_says() {
        let cases =
            [("0", 0), ("31", 31), ("255", 255), ("256", 255), ("", 0), ("-1", 0), ("+1", 0)];
        for (header, passed_on) in cases {
            assert_eq!(hops(Some(header)), passed_on, "{header}");
        }
        assert_eq!(hops(None), 0);
    }
}
