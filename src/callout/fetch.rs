//! Fetches JSON by HTTPS: a set of keys, and the OpenID configuration that names its address.

use std::path::Path;

use bytes::Bytes;
use hyper::header::{ACCEPT, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use peerd_callout::key::Keys;
use serde::Deserialize;
use tokio::time::timeout;

use super::tuning::{FETCH_BYTES_MAX, FETCH_TIMEOUT};
use crate::http::client::Client;

/// Fetches keys. The configuration has checked that only addresses of this machine have no TLS.
pub(super) struct Fetcher(Client);

/// The part of an OpenID configuration that is needed.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// A fetcher that trusts the certificates of a file, or the system's.
    pub(super) fn new(tls_ca_file: Option<&Path>) -> Result<Self, String> {
        Client::new(tls_ca_file).map(Self)
    }

    /// Fetches a set of keys.
    pub(super) async fn keys(&self, address: &Uri) -> Result<Keys, String> {
        let body = self.get(address).await?;
        Keys::from_jwk_set(&body).map_err(|error| format!("{address}: {error}"))
    }

    /// Fetches the set of keys that the OpenID configuration of an issuer names.
    pub(super) async fn discovered_keys(&self, issuer: &Uri) -> Result<Keys, String> {
        let issuer = issuer.to_string();
        let issuer = issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let problem = |text: &str| format!("{address}: {text}");
        let parsed = address.parse().map_err(|_| problem("is no address"))?;
        let found: Discovered = serde_json::from_slice(&self.get(&parsed).await?)
            .map_err(|error| problem(&format!("is no OpenID configuration: {error}")))?;
        // Otherwise one issuer could speak for another.
        if found.issuer.trim_end_matches('/') != issuer {
            return Err(problem(&format!("is that of another issuer, {}", found.issuer)));
        }
        let keys = found.jwks_uri.parse().ok().filter(is_private);
        let keys: Uri = keys.ok_or_else(|| problem("its jwks_uri is no https address"))?;
        self.keys(&keys).await
    }

    async fn get(&self, address: &Uri) -> Result<Bytes, String> {
        let getting = async {
            let request = Request::get(address)
                .header(ACCEPT, "application/json")
                .header(USER_AGENT, concat!("peerd/", env!("CARGO_PKG_VERSION")))
                .body(Bytes::new())
                .map_err(|error| error.to_string())?;
            let response = self.0.send(request, FETCH_BYTES_MAX).await?;
            // A redirect is not followed: the address is the one that was configured.
            if response.status() != StatusCode::OK {
                return Err(format!("status {}", response.status()));
            }
            Ok(response.into_body())
        };
        let problem = match timeout(FETCH_TIMEOUT, getting).await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(problem)) => problem,
            Err(_) => format!("no answer within {} s", FETCH_TIMEOUT.as_secs()),
        };
        Err(format!("{address}: {problem}"))
    }
}

/// Whether nobody on the way can change what an address answers: it has TLS, or is on this machine.
pub(crate) fn is_private(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default();
    match address.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_need_no_tls() {
        for (address, expected) in [
            ("https://id.example/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://localhost/keys", true),
            ("http://[::1]:1/keys", true),
            ("http://id.example/keys", false),
            ("http://127.0.0.1.example/keys", false),
            ("ftp://localhost/keys", false),
            ("/keys", false),
        ] {
            assert_eq!(is_private(&address.parse().expect("a URI")), expected, "{address}");
        }
    }
}
