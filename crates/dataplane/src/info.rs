//! What a server says of itself, and what it is told.

use serde::{Deserialize, Serialize};

/// The server's INFO, as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub struct ServerInfo {
    /// Its ID.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// Its version.
    pub version: String,
    /// The largest message, headers and body, in bytes.
    pub max_payload: usize,
    /// Whether it speaks of headers.
    pub headers: bool,
    /// Whether it takes TLS only.
    pub tls_required: bool,
    /// Whether it takes TLS.
    pub tls_available: bool,
    /// What is to be signed by whoever has an nkey.
    pub nonce: String,
    /// Servers of the same cluster.
    pub connect_urls: Vec<String>,
    /// Whether it is about to end.
    #[serde(rename = "ldm")]
    pub is_lame_duck: bool,
}

/// What the server is told of the connection.
#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub(crate) struct Connect<'c> {
    pub(crate) verbose: bool,
    pub(crate) pedantic: bool,
    pub(crate) tls_required: bool,
    pub(crate) name: &'c str,
    pub(crate) lang: &'static str,
    pub(crate) version: &'static str,
    /// 1: INFO may come at any time.
    pub(crate) protocol: u8,
    pub(crate) echo: bool,
    pub(crate) headers: bool,
    pub(crate) no_responders: bool,
    #[serde(flatten)]
    pub(crate) identity: Identity,
}

/// Who this is.
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

/// Shows nothing of it.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}
