//! Fetches JSON by HTTPS: a set of keys, and the OpenID configuration that names its address.

use std::path::Path;
use std::sync::Arc;

use async_nats::rustls::crypto::ring;
use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::{ClientConfig, RootCertStore};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Empty, Limited};
use hyper::header::{ACCEPT, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use peerd_callout::key::Keys;
use serde::Deserialize;
use tokio::time::timeout;

use super::tuning::{FETCH_BYTES_MAX, FETCH_TIMEOUT};

/// Fetches keys.
pub(super) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

/// The part of an OpenID configuration that is needed.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// A fetcher that trusts the certificates of a file, or the system's.
    pub(super) fn new(tls_ca_file: Option<&Path>) -> Result<Self, String> {
        let roots = match trusted(tls_ca_file)? {
            Some(roots) => roots,
            None => system_roots(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // The configuration has checked that only addresses of this machine have no TLS.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)))
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
                .body(Empty::new())
                .map_err(|error| error.to_string())?;
            let response = self.0.request(request).await.map_err(|error| whole(&error))?;
            // A redirect is not followed: the address is the one that was configured.
            if response.status() != StatusCode::OK {
                return Err(format!("status {}", response.status()));
            }
            let body = Limited::new(response.into_body(), FETCH_BYTES_MAX).collect().await;
            body.map(Collected::to_bytes).map_err(|error| error.to_string())
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

/// An error with its causes; hyper's own text is the outermost alone.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The certificates of a file; `None` without one.
pub(super) fn trusted(file: Option<&Path>) -> Result<Option<RootCertStore>, String> {
    let Some(file) = file else { return Ok(None) };
    let problem = |text: String| format!("{}: {text}", file.display());
    let text = std::fs::read(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let added = certificate.map_err(|error| error.to_string());
        let added = added.and_then(|it| roots.add(it).map_err(|error| error.to_string()));
        added.map_err(|error| {
            problem(format!("holds a certificate that cannot be used: {error}"))
        })?;
    }
    if roots.is_empty() { Err(problem("holds no certificate".to_owned())) } else { Ok(Some(roots)) }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Where none are found, each fetch fails and says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
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
