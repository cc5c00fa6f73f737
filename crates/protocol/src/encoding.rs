//! The two encodings of bodies.

use bytes::Bytes;
use serde::Serialize;

use super::block::{self, Buffer};
use super::msgpack;
pub use peerd_core::encoding::{CONTENT_TYPE, Encoding};

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
    MessagePack(#[from] msgpack::Error),
}

/// Writing bodies.
pub trait Encode {
    /// Writes a body.
    fn encode(self, body: &impl Serialize) -> Result<Bytes, EncodeError>;

    /// The size of a body in bytes.
    fn measure(self, body: &impl Serialize) -> Result<usize, EncodeError>;
}

impl Encode for Encoding {
    fn encode(self, body: &impl Serialize) -> Result<Bytes, EncodeError> {
        block::written(|out| append(self, out, body))
    }

    fn measure(self, body: &impl Serialize) -> Result<usize, EncodeError> {
        block::measured(|out| append(self, out, body))
    }
}

fn append(encoding: Encoding, out: &mut Buffer, body: &impl Serialize) -> Result<(), EncodeError> {
    match encoding {
        Encoding::Json => Ok(serde_json::to_writer(out, body)?),
        Encoding::MessagePack => Ok(msgpack::append_named(out, body)?),
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
    fn the_header_gives_the_number_of_hops() {
        let cases =
            [("0", 0), ("31", 31), ("255", 255), ("256", 255), ("", 0), ("-1", 0), ("+1", 0)];
        for (header, passed_on) in cases {
            assert_eq!(hops(Some(header)), passed_on, "{header}");
        }
        assert_eq!(hops(None), 0);
    }
}
