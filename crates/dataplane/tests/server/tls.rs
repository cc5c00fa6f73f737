//! TLS: trusted and refused certificates.

use std::path::PathBuf;

use peerd_dataplane::{Client, ConnectError, ConnectErrorKind, Options, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::nats::Nats;
use crate::support::{file, options, server_in, shown, soon};

/// The test's own certificate authority, and the certificates that it issued.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = file(&dir, "ca.pem", &params.self_signed(&key).unwrap().pem());
        Self { issuer: Issuer::new(params, key), dir, ca }
    }

    /// A certificate and its key for the given names.
    fn certificate(&self, name: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let certificate = file(&self.dir, &format!("{name}.pem"), &certificate.pem());
        (certificate, file(&self.dir, &format!("{name}.key"), &key.serialize_pem()))
    }

    /// A server with a certificate for the given names.
    async fn server(&self, hosts: &[&str], more: &str) -> Nats {
        let (certificate, key) = self.certificate("server", hosts);
        let (certificate, key, ca) = (shown(&certificate), shown(&key), shown(&self.ca));
        let config = format!(
            "tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{ca}\"\n{more}\n}}\n"
        );
        server_in(&self.dir, &config).await
    }

    fn trusted(&self) -> Tls {
        Tls { ca_files: vec![self.ca.clone()], ..Tls::default() }
    }
}

async fn connect(nats: &Nats, tls: Tls) -> Result<Client, ConnectError> {
    Client::connect(Options { tls, ..options(&nats.url()).0 }).await
}

async fn works(nats: &Nats, tls: Tls) {
    let client = connect(nats, tls).await.expect("a connection");
    soon(client.round_trip()).await.expect("a connection");
}

async fn is_refused(nats: &Nats, tls: Tls, why: &str) {
    let error = connect(nats, tls).await.expect_err("no connection");
    assert_eq!(error.kind(), ConnectErrorKind::Tls, "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

#[tokio::test]
async fn a_server_that_asks_for_it_gets_it() {
    let authority = Authority::new();
    let nats = authority.server(&LOCAL, "").await;
    works(&nats, authority.trusted()).await;
    works(&nats, Tls { required: true, ..authority.trusted() }).await;
    let by_name = nats.url().replace("nats://127.0.0.1", "tls://localhost");
    let client = Client::connect(Options { tls: authority.trusted(), ..options(&by_name).0 });
    client.await.expect("a connection by name");
    // It is not signed by an authority that the system trusts, nor by another.
    is_refused(&nats, Tls::default(), "UnknownIssuer").await;
    is_refused(&nats, Authority::new().trusted(), "").await;
}

#[tokio::test]
async fn it_may_come_before_everything_else() {
    let authority = Authority::new();
    let nats = authority.server(&LOCAL, "handshake_first: true").await;
    works(&nats, Tls { first: true, ..authority.trusted() }).await;
    // A server that accepts both.
    let nats = authority.server(&LOCAL, "handshake_first: auto").await;
    works(&nats, Tls { first: true, ..authority.trusted() }).await;
    works(&nats, authority.trusted()).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let nats = authority.server(&["nats.example.com"], "").await;
    is_refused(&nats, authority.trusted(), "not valid for").await;
}

#[tokio::test]
async fn a_server_may_ask_for_a_certificate() {
    let authority = Authority::new();
    let nats = authority.server(&LOCAL, "verify: true").await;
    let certificate = Some(authority.certificate("client", &["peerd"]));
    works(&nats, Tls { certificate, ..authority.trusted() }).await;
    is_refused(&nats, authority.trusted(), "").await;
    let foreign = Some(Authority::new().certificate("client", &["peerd"]));
    // Its folder was deleted with its authority.
    let error = connect(&nats, Tls { certificate: foreign, ..authority.trusted() }).await;
    let error = error.expect_err("no file");
    assert_eq!(error.kind(), ConnectErrorKind::Settings);
    assert!(error.to_string().contains("client.pem"), "{error}");
    let other = Authority::new();
    let foreign = Some(other.certificate("client", &["peerd"]));
    is_refused(&nats, Tls { certificate: foreign, ..authority.trusted() }, "").await;
}

#[tokio::test]
async fn a_server_without_it_is_refused_where_it_is_required() {
    let nats = Nats::start().await;
    let tls = Tls { required: true, ..Tls::default() };
    let error = connect(&nats, tls).await.expect_err("no connection");
    assert_eq!(error.kind(), ConnectErrorKind::Tls);
    assert!(error.to_string().contains("TLS is required"), "{error}");
}

#[tokio::test]
async fn files_that_are_missing_or_hold_something_else_are_named() {
    let authority = Authority::new();
    let nats = authority.server(&LOCAL, "").await;
    let garbage = file(&authority.dir, "garbage.pem", "no certificate\n");
    for path in [authority.dir.path().join("missing.pem"), garbage] {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let ca = Tls { ca_files: vec![path.clone()], ..Tls::default() };
        let own = Tls { certificate: Some((path.clone(), path)), ..authority.trusted() };
        for tls in [ca, own] {
            let error = connect(&nats, tls).await.expect_err("no file");
            assert_eq!(error.kind(), ConnectErrorKind::Settings, "{error}");
            assert!(error.to_string().contains(&name), "{error}");
        }
    }
}
