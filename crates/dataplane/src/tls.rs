//! TLS: the trusted certificates, and the client's own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::address::Address;
use crate::error::ConnectError;
use crate::options::Tls;

/// Makes the TLS handshake on a connection.
pub(crate) async fn connect(
    tls: &Tls,
    address: &Address,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let config = config(tls).await?;
    let error = |error| ConnectError::Tls { server: address.to_string(), error };
    let name = address.tls_name.as_ref().unwrap_or(&address.host);
    let name = ServerName::try_from(name.clone());
    let name = name.map_err(|invalid| error(io::Error::other(invalid)))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(error)
}

/// Whether an error comes from TLS and not from the connection below it.
pub(crate) fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some())
}

/// Read again for each connection: certificates may be renewed while peerd runs.
async fn config(tls: &Tls) -> Result<ClientConfig, ConnectError> {
    let roots = roots(tls).await?;
    let problem = |error: rustls::Error| ConnectError::Credentials(format!("TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(problem)?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &tls.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate).await?;
    let der = PrivateKeyDer::from_pem_slice(&read(key).await?);
    let der = der.map_err(|error| in_file(key, not_pem(&error, "a private key")))?;
    let config = builder.with_client_auth_cert(chain, der);
    config.map_err(|error| in_file(certificate, io::Error::other(error)))
}

async fn roots(tls: &Tls) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    for file in &tls.ca_files {
        for certificate in certificates(file).await? {
            roots.add(certificate).map_err(|error| in_file(file, io::Error::other(error)))?;
        }
    }
    if !tls.ca_files.is_empty() {
        return Ok(roots);
    }
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let read = read.map_err(|error| ConnectError::SystemCertificates(error.to_string()))?;
    roots.add_parsable_certificates(read.certs);
    if roots.is_empty() {
        let errors: Vec<String> = read.errors.iter().map(ToString::to_string).collect();
        return Err(ConnectError::SystemCertificates(errors.join("; ")));
    }
    Ok(roots)
}

async fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let text = read(file).await?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| in_file(file, not_pem(&error, "certificates")))?;
    if all.is_empty() {
        return Err(in_file(file, not_pem(&pem::Error::NoItemsFound, "certificates")));
    }
    Ok(all)
}

async fn read(file: &Path) -> Result<Vec<u8>, ConnectError> {
    tokio::fs::read(file).await.map_err(|error| in_file(file, error))
}

fn in_file(file: &Path, error: io::Error) -> ConnectError {
    ConnectError::File { path: PathBuf::from(file), error }
}

fn not_pem(error: &pem::Error, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it has no {what}: {error}"))
}
