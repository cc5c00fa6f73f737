//! The claims with which peerd answers: the user's, and the response around them.

use serde::Serialize;

use crate::grant::{Allowed, Grant};

/// The header of a text that an nkey signs.
pub(crate) const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
/// The version of the claims.
const VERSION: u8 = 2;
/// No limit.
const UNLIMITED: i8 = -1;

/// Claims with their standard fields.
#[derive(Serialize)]
pub(crate) struct Claims<'c, N> {
    pub(crate) iss: &'c str,
    pub(crate) sub: &'c str,
    /// The ID of the server; for a user: the account.
    pub(crate) aud: &'c str,
    pub(crate) iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'c str>,
    pub(crate) nats: N,
}

/// What a response says: a user, or an error.
#[derive(Serialize)]
pub(crate) struct Response<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'c str>,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

impl<'c> Response<'c> {
    pub(crate) const fn user(jwt: &'c str) -> Self {
        Self { jwt: Some(jwt), error: None, kind: "authorization_response", version: VERSION }
    }

    pub(crate) const fn error(text: &'c str) -> Self {
        Self { jwt: None, error: Some(text), kind: "authorization_response", version: VERSION }
    }
}

/// What a user may do.
#[derive(Serialize)]
pub(crate) struct User {
    #[serde(rename = "pub")]
    publish: Allowed,
    #[serde(rename = "sub")]
    subscribe: Allowed,
    subs: i8,
    data: i8,
    payload: i8,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

impl From<Grant> for User {
    fn from(grant: Grant) -> Self {
        Self {
            publish: grant.publish,
            subscribe: grant.subscribe,
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            kind: "user",
            version: VERSION,
        }
    }
}
