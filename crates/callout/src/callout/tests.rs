use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use peerd_core::id::UserId;
use peerd_protocol::subject::Subjects;
use serde_json::{Value, json};

const NOW_S: u64 = 1_800_000_000;

fn seed(pair: &KeyPair) -> String {
    pair.seed().expect("a seed")
}

fn callout(xkey: Option<XKey>) -> Callout {
    Callout {
        issuer: Issuer::of_seed(&seed(&KeyPair::new_account())).expect("an account"),
        xkey,
        account: "APP".to_owned(),
        grants: Grants { subjects: Subjects::new("peer", 8), with_mapping: false },
    }
}

/// A request as nats-server makes it.
struct Server {
    key: KeyPair,
    claims: Value,
}

impl Server {
    fn new(callout: &Callout) -> Self {
        let key = KeyPair::new_server();
        let claims = json!({
            "aud": "nats-authorization-request", "exp": NOW_S + 2, "iat": NOW_S,
            "iss": key.public_key(), "jti": "X", "sub": callout.issuer.public(),
            "nats": {
                "server_id": { "name": "n", "host": "0.0.0.0", "id": key.public_key() },
                "user_nkey": KeyPair::new_user().public_key(),
                "client_info": { "host": "127.0.0.1", "id": 6, "kind": "Client", "type": "nats" },
                "connect_opts": { "auth_token": "the-token", "lang": "rust", "protocol": 1 },
                "type": "authorization_request", "version": 2,
            },
        });
        Self { key, claims }
    }

    fn request(&self) -> String {
        let sign = |signed: &[u8]| self.key.sign(signed).expect("a signature");
        jws::write(HEADER, self.claims.to_string().as_bytes(), sign)
    }
}

/// The claims of a text that a key signed.
fn opened(text: &str, key: &str) -> Value {
    let (signed, signature) = text.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let key = KeyPair::from_public_key(key).expect("a key");
    key.verify(signed.as_bytes(), &signature).expect("the signature fits");
    let (header, payload) = signed.split_once('.').expect("a payload");
    assert_eq!(URL_SAFE_NO_PAD.decode(header).expect("base64"), HEADER.as_bytes());
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

fn login(user: &str) -> Login {
    Login { user: UserId::new(user, "userID").expect("a valid ID"), ends_s: NOW_S + 60 }
}

#[test]
fn a_request_is_read_and_answered() {
    let callout = callout(None);
    let server = Server::new(&callout);
    let request = callout.read(server.request().as_bytes(), None, NOW_S).expect("a request");
    assert_eq!(request.token.as_deref(), Some("the-token"));
    assert_eq!((request.user.as_deref(), request.host.as_str()), (None, "127.0.0.1"));
    assert!(!format!("{request:?}").contains("the-token"), "{request:?}");

    let own = callout.issuer.public();
    let answer = String::from_utf8(callout.accept(&request, &login("a.b"), NOW_S)).expect("text");
    let answer = opened(&answer, own);
    assert_eq!(answer["aud"], server.key.public_key());
    assert_eq!(answer["sub"], server.claims["nats"]["user_nkey"]);
    assert_eq!(answer["nats"]["type"], "authorization_response");
    let user = opened(answer["nats"]["jwt"].as_str().expect("a user"), own);
    let expected = json!({
        "iss": own, "sub": request.user_nkey, "aud": "APP", "iat": NOW_S, "exp": NOW_S + 60,
        "name": "a.b",
        "nats": {
            "pub": { "allow": ["peer.api.a%2Eb.>"] },
            "sub": { "allow": ["peer.event.a%2Eb.>", "_INBOX_a%2Eb.>"] },
            "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2,
        },
    });
    assert_eq!(user, expected);

    let refused = callout.refuse(&request, Refusal::Expired, NOW_S);
    let refused = opened(&String::from_utf8(refused).expect("text"), own);
    assert_eq!(refused["nats"]["error"], "the token has expired (exp)");
    assert_eq!(refused["nats"].get("jwt"), None);
}

#[test]
fn a_password_counts_as_a_token_and_a_user_name_is_kept() {
    let callout = callout(None);
    let mut server = Server::new(&callout);
    let read = |server: &Server| {
        let request = callout.read(server.request().as_bytes(), None, NOW_S).expect("a request");
        (request.user.unwrap_or_default(), request.token.unwrap_or_default())
    };
    server.claims["nats"]["connect_opts"] = json!({ "user": "alice", "pass": "p" });
    assert_eq!(read(&server), ("alice".to_owned(), "p".to_owned()));
    server.claims["nats"]["connect_opts"] = json!({});
    assert_eq!(read(&server), (String::new(), String::new()));
}

#[test]
fn a_request_that_no_server_made_is_not_answered() {
    let callout = callout(None);
    let good = Server::new(&callout);
    let changed = |change: fn(&mut Value)| {
        let mut server = Server::new(&callout);
        change(&mut server.claims);
        callout.read(server.request().as_bytes(), None, NOW_S).err()
    };
    assert_eq!(changed(|_| ()), None);
    assert_eq!(changed(|it| it["aud"] = "other".into()), Some(Unreadable::Malformed));
    assert_eq!(changed(|it| it["nats"]["type"] = "user".into()), Some(Unreadable::Malformed));
    assert_eq!(changed(|it| it["nats"]["user_nkey"] = "U".into()), Some(Unreadable::Malformed));
    assert_eq!(changed(|it| it["exp"] = (NOW_S - 61).into()), Some(Unreadable::Late));
    let other = |it: &mut Value| it["iss"] = KeyPair::new_server().public_key().into();
    assert_eq!(changed(other), Some(Unreadable::Signature));
    let other = |it: &mut Value| it["nats"]["server_id"]["id"] = "NX".into();
    assert_eq!(changed(other), Some(Unreadable::Signature));
    let issuer = changed(|it| it["sub"] = KeyPair::new_account().public_key().into());
    assert!(matches!(issuer, Some(Unreadable::OtherIssuer { .. })), "{issuer:?}");

    // Signed by a key that is no server's.
    let mut user = Server { key: KeyPair::new_user(), claims: good.claims.clone() };
    user.claims["iss"] = user.key.public_key().into();
    user.claims["nats"]["server_id"]["id"] = user.key.public_key().into();
    let read = callout.read(user.request().as_bytes(), None, NOW_S);
    assert_eq!(read.err(), Some(Unreadable::Malformed));
    for bytes in [&b""[..], b"a.b.c", b"\xff", &vec![b'a'; REQUEST_BYTES_MAX + 1]] {
        assert_eq!(callout.read(bytes, None, NOW_S).err(), Some(Unreadable::Malformed));
    }
}

#[test]
fn with_an_xkey_both_ways_are_encrypted() {
    let (own, server_xkey) = (XKey::new(), XKey::new());
    let (own_public, server_public) = (own.public_key(), server_xkey.public_key());
    let own_public_key = XKey::from_public_key(&own_public).expect("a key");
    let callout = callout(Some(own));
    let mut server = Server::new(&callout);
    server.claims["nats"]["server_id"]["xkey"] = server_public.as_str().into();
    let plain = server.request();
    let seal = |to: &XKey| server_xkey.seal(plain.as_bytes(), to).expect("sealed");
    let sealed = seal(&own_public_key);
    let request = callout.read(&sealed, Some(&server_public), NOW_S).expect("a request");
    let answer = callout.accept(&request, &login("alice"), NOW_S);
    assert!(!answer.starts_with(b"eyJ"), "it is encrypted");
    let answer = server_xkey.open(&answer, &own_public_key).expect("for the server");
    opened(&String::from_utf8(answer).expect("text"), callout.issuer.public());

    let read = |payload: &[u8], header: Option<&str>| callout.read(payload, header, NOW_S).err();
    let not_encrypted = Some(Unreadable::NotEncrypted(own_public.clone()));
    assert_eq!(read(plain.as_bytes(), None), not_encrypted);
    let other = Some(Unreadable::OtherXkey(own_public));
    assert_eq!(read(plain.as_bytes(), Some(&server_public)), other);
    assert_eq!(read(&seal(&XKey::new()), Some(&server_public)), other);
    assert_eq!(read(&sealed, Some(&XKey::new().public_key())), other);
    assert_eq!(read(&sealed, Some("X")), Some(Unreadable::Malformed));
    let without = super::tests::callout(None);
    let read = without.read(&sealed, Some(&server_public), NOW_S);
    assert_eq!(read.err(), Some(Unreadable::Encrypted));

    // Sealed by one key, and asking for an answer to another one.
    server.claims["nats"]["server_id"]["xkey"] = XKey::new().public_key().into();
    let sealed = server_xkey.seal(server.request().as_bytes(), &own_public_key).expect("sealed");
    let read = callout.read(&sealed, Some(&server_public), NOW_S);
    assert_eq!(read.err(), Some(Unreadable::Signature));
}

#[test]
fn seeds_of_another_kind_are_refused_and_none_is_shown() {
    let account = seed(&KeyPair::new_account());
    let issuer = Issuer::of_seed(&format!("{account}\n")).expect("an account");
    assert!(!format!("{issuer:?}").contains(&account));
    for other in [seed(&KeyPair::new_user()), XKey::new().seed().expect("a seed"), String::new()] {
        assert_eq!(Issuer::of_seed(&other).err(), Some(SeedError::Account));
    }
    assert!(xkey_of_seed(&XKey::new().seed().expect("a seed")).is_ok());
    assert_eq!(xkey_of_seed(&account).err(), Some(SeedError::Xkey));
}
