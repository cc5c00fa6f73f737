//! Checks the files that a connection needs: whether each exists and has the right content.

use std::fs;
use std::path::Path;

use async_nats::ConnectOptions;
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore};
use nkeys::KeyPair;

use super::NatsOptions;

const CREDENTIALS: &str = "nats.credentials_file";
const SEED: &str = "nats.nkey_seed_file";
const CA: &str = "nats.tls_ca_file";
const CERTIFICATE: &str = "nats.tls_certificate_file";
const KEY: &str = "nats.tls_key_file";

/// Everything that is wrong with the files, each with its option and its path.
pub(super) fn problems(options: &NatsOptions) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let mut note = |option, path: &Path, problem: Result<(), String>| {
        if let Err(problem) = problem {
            problems.push((option, format!("{}: {problem}", path.display())));
        }
    };
    if let Some(path) = &options.credentials_file {
        note(CREDENTIALS, path, credentials(path).map(drop));
    }
    if let Some(path) = &options.nkey_seed_file {
        note(SEED, path, nkey_seed(path).map(drop));
    }
    if let Some(path) = &options.tls_ca_file {
        note(CA, path, authorities(path));
    }
    if let Some((certificate, key)) = &options.tls_certificate {
        let certificates = certificates(certificate);
        let private = private_key(key);
        match (certificates, private) {
            (Ok(certificates), Ok(private)) => {
                note(CERTIFICATE, certificate, belong(certificates, private, key));
            }
            (certificates, private) => {
                note(CERTIFICATE, certificate, certificates.map(drop));
                note(KEY, key, private.map(drop));
            }
        }
    }
    problems
}

/// The text of a credentials file, if it is usable.
pub(super) fn credentials(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(read(path)?).map_err(|_| "is not text".to_owned())?;
    match ConnectOptions::new().credentials(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("is not a credentials file with a JWT and a seed: {error}")),
    }
}

/// The seed in a file, if it is usable.
pub(super) fn nkey_seed(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(read(path)?).map_err(|_| "is not text".to_owned())?;
    let seed = text.trim();
    match KeyPair::from_seed(seed) {
        Ok(_) => Ok(seed.to_owned()),
        Err(error) => Err(format!("is not the seed of an nkey: {error}")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot be read: {error}"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| format!("is not a PEM file: {error}"))?;
    if certificates.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(certificates) }
}

fn authorities(path: &Path) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = store.add(certificate);
        added.map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
    }
    Ok(())
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| format!("holds no private key: {error}"))
}

fn belong(
    certificates: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
    key: &Path,
) -> Result<(), String> {
    let builder = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    let used = builder.with_client_auth_cert(certificates, private);
    used.map(drop).map_err(|error| format!("cannot be used with {}: {error}", key.display()))
}
