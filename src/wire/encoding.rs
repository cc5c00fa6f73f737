//! The two encodings of bodies.

use bytes::Bytes;
use serde::Serialize;

use super::block;
pub use crate::domain::encoding::Encoding;
use crate::domain::rejection::Rejection;

/// The header that names a body's encoding.
pub const CONTENT_TYPE: &str = "Content-Type";
/// The header with the text of an error, as in NATS's service convention (ADR-32).
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
/// The header with the code of an error (ADR-32).
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";
/// The header that marks the reply to a repeat: nothing was stored or counted again.
pub const PEER_DUPLICATE: &str = "Peer-Duplicate";

/// The header of a forwarded call: the number of times that instances forwarded it.
pub const PEER_HOPS: &str = "Peer-Hops";

/// The number of times that a call was forwarded, from its header. A value that peerd cannot have
/// written counts as 0, a number that is too large as the maximum.
#[must_use]
pub fn hops(header: Option<&str>) -> u8 {
    let number = header.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let parsed = number.filter(|text| !text.is_empty()).map(|text| text.parse().unwrap_or(u8::MAX));
    parsed.unwrap_or_default()
}

/// A body could not be encoded. This is a fault in peerd, never the caller's.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Encoding as JSON failed.
    #[error("a body cannot be encoded as JSON")]
    Json(#[from] serde_json::Error),
    /// Encoding as `MessagePack` failed.
    #[error("a body cannot be encoded as MessagePack")]
    MessagePack(#[from] rmp_serde::encode::Error),
}

impl Encoding {
    /// Guesses the encoding of a body from its first byte: JSON begins with `{` or white space.
    #[must_use]
    pub const fn sniff(body: &[u8]) -> Self {
        match body.first() {
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => Self::Json,
            _ => Self::MessagePack,
        }
    }

    /// The encoding of a request, from its `Content-Type` header, or from its first byte without
    /// one.
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

    /// Encodes a body.
    pub fn encode(self, body: &impl Serialize) -> Result<Bytes, EncodeError> {
        block::written(|out| match self {
            Self::Json => Ok(serde_json::to_writer(out, body)?),
            Self::MessagePack => Ok(rmp_serde::encode::write_named(out, body)?),
        })
    }
}

/// The bytes of a message: `bin` in `MessagePack`, base64 text in JSON.
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
    fn the_header_names_the_encoding_or_the_first_byte_shows_it() {
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
    fn the_header_gives_the_number_of_hops() {
        let cases =
            [("0", 0), ("31", 31), ("255", 255), ("256", 255), ("", 0), ("-1", 0), ("+1", 0)];
        for (header, passed_on) in cases {
            assert_eq!(hops(Some(header)), passed_on, "{header}");
        }
        assert_eq!(hops(None), 0);
    }
}
