//! The compact form of signed JSON (RFC 7515): `<header>.<payload>.<signature>`, each in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The parts of a signed text. Nothing is verified yet.
pub(crate) struct Jws<'t> {
    pub(crate) header: Header,
    /// The bytes that are signed.
    pub(crate) signed: &'t [u8],
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The fields of a header that matter here.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    /// Extensions that a reader must understand. None are understood here.
    crit: Option<IgnoredAny>,
}

/// A text that is not of this form, or that needs an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'t> Jws<'t> {
    /// Splits and decodes a text.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Malformed> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed)?;
        // A further dot is no character of base64url.
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed);
        let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| Malformed)?;
        if header.crit.is_some() {
            return Err(Malformed);
        }
        let (payload, signature) = (bytes(payload)?, bytes(signature)?);
        Ok(Self { header, signed: signed.as_bytes(), payload, signature })
    }
}

/// Writes a signed text.
pub(crate) fn write(header: &str, payload: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut text);
    let signature = sign(text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    text
}
