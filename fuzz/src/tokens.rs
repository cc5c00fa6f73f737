//! Logins by token: tokens, authorization requests, key sets, lists of revoked tokens. The first
//! byte chooses the kind, the rest are the bytes. Some kinds sign what they are given, so that the
//! fuzzer gets past the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use peerd_callout::callout::{Callout, Issuer};
use peerd_callout::grant::Grants;
use peerd_callout::key::{KEYS_MAX, Keys};
use peerd_callout::refusal::Refusal;
use peerd_callout::revocation::{ENTRIES_MAX, Revocations};
use peerd_callout::token::{Login, Rules, verify};
use peerd_protocol::subject::{Subjects, Token};
use ring::hmac;

const NOW_S: u64 = 1_800_000_000;
const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdeF";
const HEADER: &[u8] = br#"{"typ":"JWT","alg":"HS256"}"#;
const NATS_HEADER: &[u8] = br#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// See [`super::Target::check`].
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % super::KINDS {
        0 => token(&String::from_utf8_lossy(bytes)),
        1 => {
            let mut parts = bytes.splitn(2, |byte| *byte == 0);
            signed(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        }
        2 => signed(HEADER, bytes),
        3 => drop(callout().read(bytes, None, NOW_S)),
        4 => request(bytes),
        5 => {
            if let Ok(keys) = Keys::read(&String::from_utf8_lossy(bytes)) {
                assert!((1..=KEYS_MAX).contains(&keys.len()));
            }
        }
        6 => {
            if let Ok(list) = Revocations::parse(&String::from_utf8_lossy(bytes)) {
                assert!(list.len() <= ENTRIES_MAX);
            }
        }
        _ => {}
    }
}

fn rules() -> Rules {
    Rules {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        user_claim: "sub".to_owned(),
        leeway_s: 5,
        user_id_bytes: super::USER_ID_BYTES,
    }
}

fn verified(token: &str, secret: &[u8], now_s: u64) -> Result<Login, Refusal> {
    let keys = Keys::from_secret(secret).expect("a key");
    verify(token, &keys, &Revocations::default(), &rules(), now_s)
}

/// Checks that nothing is accepted that was not signed.
fn token(text: &str) {
    assert!(verified(text, OTHER_SECRET, NOW_S).is_err(), "a login without a signature");
}

/// Checks a token that the issuer signed, whatever it says.
fn signed(header: &[u8], claims: &[u8]) {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), text.as_bytes());
    let text = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
    token(&text);
    let Ok(login) = verified(&text, SECRET, NOW_S) else { return };
    assert!(login.ends_s > NOW_S, "the connection would have ended");
    assert!((1..=super::USER_ID_BYTES).contains(&login.user.as_str().len()));
    assert_eq!(verified(&text, SECRET, login.ends_s), Err(Refusal::Expired));
    let token = Token::of(&login.user);
    let grant = callout().grants.of(&login.user);
    for subject in grant.publish.allow.iter().chain(&grant.subscribe.allow) {
        assert!(subject.ends_with(&format!("{token}.>")) && !subject.contains(' '), "{subject}");
    }
}

fn callout() -> Callout {
    let issuer = KeyPair::new_from_raw(nkeys::KeyPairType::Account, [9; 32]).expect("a key");
    let seed = issuer.seed().expect("a seed");
    Callout {
        issuer: Issuer::of_seed(&seed).expect("the seed of an account"),
        xkey: None,
        account: "$G".to_owned(),
        grants: Grants { subjects: Subjects::new("peer", 8), with_mapping: true },
    }
}

/// The server's key, which is the same in each run.
fn server() -> KeyPair {
    KeyPair::new_from_raw(nkeys::KeyPairType::Server, [7; 32]).expect("a key")
}

/// Checks a request that a server signed, whatever it says.
fn request(claims: &[u8]) {
    let (callout, server) = (callout(), server());
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(NATS_HEADER), URL_SAFE_NO_PAD.encode(claims));
    let signature = server.sign(signed.as_bytes()).expect("a signature");
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let Ok(request) = callout.read(text.as_bytes(), None, NOW_S) else { return };
    assert_eq!(request.server, server.public_key());
    assert!(KeyPair::from_public_key(&request.user_nkey).is_ok());
    assert_ne!(request.token.as_deref(), Some(""));
    assert!(callout.refuse(&request, Refusal::NoToken, NOW_S).starts_with(b"eyJ"));
}

/// See [`super::Target::seeds`].
///
/// # Panics
///
/// If a key cannot be made.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let claims = [
        r#"{"iss":"i","aud":"a","sub":"alice","exp":1800000060}"#,
        r#"{"iss":"i","aud":["b","a"],"sub":"a.b>%","exp":1.8000001e9,"nbf":1,"iat":1,"jti":"x"}"#,
        r#"{"iss":"i","aud":"a","sub":"*","exp":18446744073709551615}"#,
        r#"{"iss":7,"aud":{},"sub":[],"exp":"x"}"#,
    ];
    let mut seeds = vec![
        of(0, b"eyJhbGciOiJIUzI1NiJ9.e30.AAAA"),
        of(0, b".."),
        of(1, b"{\"alg\":\"HS256\",\"kid\":\"k\",\"crit\":[]}\0{}"),
        of(1, &[HEADER, b"\0", claims[0].as_bytes()].concat()),
        of(3, b"eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.AAAA"),
        of(5, br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#),
        of(5, b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"),
        of(6, b"# why\ntoken abc\nuser 2026-01-01T00:00:00Z alice smith\n"),
    ];
    seeds.extend(claims.iter().map(|claims| of(2, claims.as_bytes())));
    let (server, issuer) = (server().public_key(), callout().issuer.public().to_owned());
    let user = KeyPair::new_from_raw(nkeys::KeyPairType::User, [8; 32]).expect("a key");
    let user = user.public_key();
    let request = format!(
        r#"{{"aud":"nats-authorization-request","exp":1800000002,"iss":"{server}","sub":"{issuer}","nats":{{"server_id":{{"id":"{server}"}},"user_nkey":"{user}","client_info":{{"host":"h"}},"connect_opts":{{"auth_token":"t","user":"u","pass":"p"}},"type":"authorization_request"}}}}"#
    );
    seeds.push(of(4, request.as_bytes()));
    seeds
}
