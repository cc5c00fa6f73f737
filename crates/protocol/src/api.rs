//! Replies, events and pushes as clients read them: plain types with serde and JSON Schema.
//!
//! peerd itself writes most bodies without these types, from its own state ([`crate::reply`],
//! [`crate::event`]). Tests read what it wrote as these types, write it again and compare, so that
//! both stay the same. Unknown fields are ignored, because a later peerd may have more. A field
//! that may be left out is an `Option`.
//!
//! Times are milliseconds since 1970, numbers are below 2^53, and enumerations are the SDK's
//! numbers: a later version may have further ones.

mod conversations;
mod events;
mod messages;
mod methods;
mod sessions;
mod users;

pub use conversations::*;
pub use events::*;
pub use messages::*;
pub use methods::*;
pub use sessions::*;
pub use users::*;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encoding::{Encode as _, EncodeError, Encoding};

/// A body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON of this type.
    #[error("a JSON body cannot be read")]
    Json(#[from] serde_json::Error),
    /// It is not `MessagePack` of this type.
    #[error("a MessagePack body cannot be read")]
    MessagePack(#[from] rmp_serde::decode::Error),
    /// It was read, and cannot be written again.
    #[error("a body cannot be written again")]
    Write(#[from] EncodeError),
}

/// Reads a body.
pub fn read<T: DeserializeOwned>(encoding: Encoding, body: &[u8]) -> Result<T, ReadError> {
    Ok(match encoding {
        Encoding::Json => serde_json::from_slice(body)?,
        Encoding::MessagePack => rmp_serde::from_slice(body)?,
    })
}

/// Reads a body and writes it again. A test that compares both bodies sees each field that the type
/// does not have.
pub fn rewrite<T: DeserializeOwned + Serialize>(
    encoding: Encoding,
    body: &[u8],
) -> Result<Bytes, ReadError> {
    Ok(encoding.encode(&read::<T>(encoding, body)?)?)
}
