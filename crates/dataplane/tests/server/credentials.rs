//! The credentials of a connection.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use peerd_dataplane::{Client, ConnectErrorKind, Credentials};

use crate::nats::Nats;
use crate::support::{Raw, file, options, server, soon};

/// Connects, and sends a message to itself.
async fn works(nats: &Nats, credentials: Credentials) {
    let (mut options, events) = options(&nats.url());
    options.credentials = credentials;
    let client = Client::connect(options).await.expect("a connection");
    soon(client.round_trip()).await.expect("a connection");
    assert_eq!(events.all().len(), 1, "{:?}", events.all());
}

async fn is_refused(url: &str, credentials: Credentials) {
    let (mut options, _) = options(url);
    options.credentials = credentials;
    let error = Client::connect(options).await.expect_err("no connection");
    assert_eq!(error.kind(), ConnectErrorKind::Authentication, "{error}");
}

#[tokio::test]
async fn user_and_password() {
    let (nats, _dir) =
        server("authorization { users: [ { user: a, password: \"p@:/\" } ] }\n").await;
    works(&nats, Credentials::UserAndPassword("a".into(), "p@:/".into())).await;
    let (options, _) = options(&nats.url().replace("//", "//a:p%40%3A%2F@"));
    Client::connect(options).await.expect("who it is may be in the address");
    is_refused(&nats.url(), Credentials::UserAndPassword("a".into(), "x".into())).await;
    is_refused(&nats.url(), Credentials::None).await;
}

#[tokio::test]
async fn token() {
    let (nats, _dir) = server("authorization { token: \"s3cret\" }\n").await;
    works(&nats, Credentials::Token("s3cret".into())).await;
    is_refused(&nats.url(), Credentials::Token("other".into())).await;
    is_refused(&nats.url().replace("//", "//other@"), Credentials::None).await;
    let (options, _) = options(&nats.url().replace("//", "//s3cret@"));
    Client::connect(options).await.expect("it may be in the address");
}

#[tokio::test]
async fn nkey() {
    let key = KeyPair::new_user();
    let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", key.public_key());
    let (nats, _dir) = server(&config).await;
    works(&nats, Credentials::Nkey(key.seed().unwrap())).await;
    let other = KeyPair::new_user().seed().unwrap();
    is_refused(&nats.url(), Credentials::Nkey(other)).await;
}

fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: &str) -> String {
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#.to_owned());
    let (iss, sub) = (issuer.public_key(), subject.public_key());
    let body = encode(format!(
        r#"{{"jti":"{name}","iat":1700000000,"iss":"{iss}","name":"{name}","sub":"{sub}","nats":{claims}}}"#
    ));
    let signature = issuer.sign(format!("{header}.{body}").as_bytes()).unwrap();
    format!("{header}.{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}

const OPERATOR: &str = r#"{"type":"operator","version":2}"#;
const ACCOUNT: &str = r#"{"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1},"type":"account","version":2}"#;
const USER: &str =
    r#"{"pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user","version":2}"#;

fn creds(jwt: &str, key: &KeyPair) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        key.seed().unwrap()
    )
}

#[tokio::test]
async fn a_jwt_in_operator_mode() {
    let (operator, account, system) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let config = format!(
        "operator: {}\nsystem_account: {sys}\nresolver: MEMORY\n\
         resolver_preload: {{ {acc}: {}, {sys}: {} }}\n",
        jwt(&operator, &operator, "operator", OPERATOR),
        jwt(&operator, &account, "account", ACCOUNT),
        jwt(&operator, &system, "system", ACCOUNT),
        acc = account.public_key(),
        sys = system.public_key(),
    );
    let (nats, dir) = server(&config).await;
    let user = KeyPair::new_user();
    let good = creds(&jwt(&account, &user, "user", USER), &user);
    works(&nats, Credentials::Text(good.clone())).await;
    works(&nats, Credentials::File(file(&dir, "user.creds", &good))).await;
    // Signed by another key than the account's.
    let other = KeyPair::new_account();
    let forged = creds(&jwt(&other, &user, "user", USER), &user);
    is_refused(&nats.url(), Credentials::Text(forged)).await;
    let (mut options, _) = options(&nats.url());
    options.credentials = Credentials::File(dir.path().join("missing.creds"));
    let error = Client::connect(options).await.expect_err("no file");
    assert_eq!(error.kind(), ConnectErrorKind::Settings);
    assert!(error.to_string().contains("missing.creds"), "{error}");
}

#[tokio::test]
async fn permissions_are_reported_with_their_subjects() {
    let (nats, _dir) = server(
        "authorization { users: [ { user: a, password: p, permissions: {\n\
         publish: { allow: [ \"ok\" ] }, subscribe: { allow: [ \"ok\", \"_INBOX.>\" ] } } } ] }\n",
    )
    .await;
    let (options, events) = options(&nats.url().replace("//", "//a:p@"));
    let client = Client::connect(options).await.expect("a connection");
    let _refused = client.subscribe("no.>", None);
    client.publish(&crate::support::to("no.1", b"")).await.expect("a connection");
    let operation = |operation: &str, subject: &str| {
        format!("PermissionViolation {{ operation: {operation}, subject: \"{subject}\"")
    };
    events.until(&operation("Subscribe", "no.>"), 1).await;
    events.until(&operation("Publish", "no.1"), 1).await;
    assert!(client.is_connected());
}

#[tokio::test]
async fn a_server_that_is_not_nats_is_reported() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = Client::connect(options(&url).0).await.expect_err("no nats-server");
    assert_eq!(error.kind(), ConnectErrorKind::Protocol, "{error}");
    let error = Client::connect(options("nats://no-such-host.invalid").0).await;
    assert_eq!(error.expect_err("no host").kind(), ConnectErrorKind::Dns);
    let error = Client::connect(options("nats://127.0.0.1:1").0).await;
    assert_eq!(error.expect_err("nobody listens").kind(), ConnectErrorKind::Io);
    let error = Client::connect(options("http://127.0.0.1").0).await;
    assert_eq!(error.expect_err("another scheme").kind(), ConnectErrorKind::Settings);
    // A server without authentication accepts the test's raw client.
    let nats = Nats::start().await;
    Raw::connect(nats.port()).await.synced().await;
}
