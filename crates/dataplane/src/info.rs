//! The server's INFO, and the client's CONNECT.

use serde::{Deserialize, Serialize};

/// The server's INFO, as far as it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub struct ServerInfo {
    /// The server's ID.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The server's version.
    pub version: String,
    /// The largest message, headers and body, in bytes.
    pub max_payload: usize,
    /// Whether it supports headers.
    pub headers: bool,
    /// Whether it requires TLS.
    pub tls_required: bool,
    /// Whether it offers TLS.
    pub tls_available: bool,
    /// The nonce to sign with an nkey.
    pub nonce: String,
    /// The addresses of servers in the same cluster.
    pub connect_urls: Vec<String>,
    /// Whether it is in lame duck mode.
    #[serde(rename = "ldm")]
    pub is_lame_duck: bool,
}

/// The body of CONNECT.
#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub(crate) struct Connect<'c> {
    pub(crate) verbose: bool,
    pub(crate) pedantic: bool,
    pub(crate) tls_required: bool,
    pub(crate) name: &'c str,
    pub(crate) lang: &'static str,
    pub(crate) version: &'static str,
    /// With protocol 1, the server may send INFO at any time.
    pub(crate) protocol: u8,
    pub(crate) echo: bool,
    pub(crate) headers: bool,
    pub(crate) no_responders: bool,
    #[serde(flatten)]
    pub(crate) identity: Identity,
}

/// The credentials in CONNECT.
#[derive(Default, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sig: Option<String>,
}

/// Shows no credentials.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}
