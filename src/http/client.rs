//! A client for HTTP and HTTPS.

use std::path::Path;
use std::sync::Arc;

use async_nats::rustls::crypto::ring;
use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::{ClientConfig, RootCertStore};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client. It keeps no connection between requests: they are rare.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Client {
    /// A client that trusts the certificates of a file, or the system's.
    pub(crate) fn new(tls_ca_file: Option<&Path>) -> Result<Self, String> {
        let roots = match trusted(tls_ca_file)? {
            Some(roots) => roots,
            None => system_roots(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let executor = TokioExecutor::new();
        Ok(Self(legacy::Client::builder(executor).pool_max_idle_per_host(0).build(connector)))
    }

    /// The response to a request. Reads at most so many bytes of its body.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        bytes_max: usize,
    ) -> Result<Response<Bytes>, String> {
        let response =
            self.0.request(request.map(Full::new)).await.map_err(|error| whole(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, bytes_max).collect().await.map(Collected::to_bytes);
        Ok(Response::from_parts(head, body.map_err(|error| error.to_string())?))
    }
}

/// An error with its causes; hyper's own text is the outermost alone.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The certificates of a file; `None` without one.
pub(crate) fn trusted(file: Option<&Path>) -> Result<Option<RootCertStore>, String> {
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
