//! The encodings of bodies.

use crate::rejection::Rejection;

/// The header that names a body's encoding.
pub const CONTENT_TYPE: &str = "Content-Type";

/// The encoding of a body. The encoding that a user's sessions logged in with determines that of
/// the user's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/msgpack`, with named fields.
    #[default]
    MessagePack,
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
        if let Some(known) =
            [Self::MessagePack, Self::Json].into_iter().find(|it| it.content_type() == content_type)
        {
            return Ok(known);
        }
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
}
