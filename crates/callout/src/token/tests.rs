use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use peerd_testkit::{Signer, key_set};
use proptest::prelude::*;
use serde_json::json;

const NOW_S: u64 = 1_800_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example".to_owned(),
        audience: "chat".to_owned(),
        user_claim: "sub".to_owned(),
        leeway_s: 5,
        user_id_bytes: 64,
    }
}

fn claims() -> Value {
    json!({ "iss": "https://id.example", "aud": "chat", "sub": "alice", "exp": NOW_S + 60 })
}

/// The claims with one of them changed, or left out.
fn with(claim: &str, value: impl Into<Option<Value>>) -> Value {
    let mut claims = claims();
    match value.into() {
        Some(value) => claims[claim] = value,
        None => _ = claims.as_object_mut().expect("an object").remove(claim),
    }
    claims
}

fn keys_of(signers: &[&Signer]) -> Keys {
    Keys::read(&key_set(signers).to_string()).expect("keys")
}

fn verified(token: &str, keys: &Keys) -> Result<Login, Refusal> {
    verify(token, keys, &Revocations::default(), &rules(), NOW_S)
}

fn alice() -> Login {
    let user = UserId::new("alice", "userID").expect("a valid ID");
    Login { user, ends_s: NOW_S + 65 }
}

#[test]
fn a_good_token_of_each_algorithm_is_accepted() {
    for signer in [Signer::ed25519("k"), Signer::p256("k"), Signer::rsa("k")] {
        assert_eq!(verified(&signer.sign(&claims()), &keys_of(&[&signer])), Ok(alice()));
    }
    let keys = Keys::from_secret(SECRET).expect("a key");
    assert_eq!(verified(&Signer::secret(SECRET).sign(&claims()), &keys), Ok(alice()));
    let signer = Signer::ed25519("k");
    let token = signer.sign_with(&json!({ "alg": "Ed25519" }), &claims());
    assert_eq!(verified(&token, &keys_of(&[&signer])), Ok(alice()), "the name in RFC 9864");
}

#[test]
fn each_claim_is_checked() {
    let signer = Signer::ed25519("k");
    let keys = keys_of(&[&signer]);
    let long = "a".repeat(65);
    let cases = [
        (with("iss", json!("https://evil.example")), Err(Refusal::Issuer)),
        (with("iss", json!(["https://id.example"])), Err(Refusal::Issuer)),
        (with("iss", None), Err(Refusal::Issuer)),
        (with("aud", json!("other")), Err(Refusal::Audience)),
        (with("aud", json!(["other"])), Err(Refusal::Audience)),
        (with("aud", json!([])), Err(Refusal::Audience)),
        (with("aud", None), Err(Refusal::Audience)),
        (with("aud", json!(["other", "chat"])), Ok(alice())),
        (with("exp", None), Err(Refusal::NoExpiry)),
        (with("exp", json!("2030-01-01")), Err(Refusal::Malformed)),
        (with("exp", json!(-1)), Err(Refusal::Malformed)),
        (with("exp", json!(1e300)), Err(Refusal::Malformed)),
        (with("exp", json!(NOW_S - 5)), Err(Refusal::Expired)),
        (with("nbf", json!(NOW_S + 6)), Err(Refusal::NotYetValid)),
        (with("nbf", json!(NOW_S + 5)), Ok(alice())),
        (with("nbf", json!(null)), Err(Refusal::Malformed)),
        (with("iat", json!(NOW_S + 6)), Err(Refusal::NotYetValid)),
        (with("iat", json!("now")), Err(Refusal::Malformed)),
        (with("iat", json!(1_799_999_999.5)), Ok(alice())),
        (with("sub", None), Err(Refusal::User)),
        (with("sub", json!(7)), Err(Refusal::User)),
        (with("sub", json!("")), Err(Refusal::User)),
        (with("sub", json!("a/b")), Err(Refusal::User)),
        (with("sub", json!("*")), Err(Refusal::User)),
        (with("sub", json!("älice")), Err(Refusal::User)),
        (with("sub", json!("a\nb")), Err(Refusal::User)),
        (with("sub", json!(long)), Err(Refusal::User)),
    ];
    for (claims, expected) in cases {
        assert_eq!(verified(&signer.sign(&claims), &keys), expected, "{claims}");
    }
    let claims = with("exp", json!(NOW_S - 4));
    assert_eq!(verified(&signer.sign(&claims), &keys).map(|it| it.ends_s), Ok(NOW_S + 1));
    let claims = with("exp", json!(u64::MAX));
    assert_eq!(verified(&signer.sign(&claims), &keys).map(|it| it.ends_s), Ok(u64::MAX));
}

#[test]
fn the_user_may_be_in_another_claim() {
    let signer = Signer::ed25519("k");
    let rules = Rules { user_claim: "preferred_username".to_owned(), ..rules() };
    let keys = keys_of(&[&signer]);
    let none = Revocations::default();
    let verified = |claims: &Value| verify(&signer.sign(claims), &keys, &none, &rules, NOW_S);
    let login = verified(&with("preferred_username", json!("a.b>%2E"))).expect("a login");
    assert_eq!(login.user.as_str(), "a.b>%2E");
    assert_eq!(verified(&claims()), Err(Refusal::User));
}

#[test]
fn no_header_chooses_how_a_token_is_verified() {
    let (signer, rsa) = (Signer::ed25519("k"), Signer::rsa("r"));
    let keys = keys_of(&[&signer, &rsa]);
    let header = |algorithm: &str| json!({ "alg": algorithm, "kid": "k" });
    // No signature at all, under each spelling.
    for algorithm in ["none", "None", "NONE", ""] {
        let token = signer.sign_with(&header(algorithm), &claims());
        assert_eq!(verified(&token, &keys), Err(Refusal::Algorithm));
        let (content, _) = token.rsplit_once('.').expect("a signature");
        assert_eq!(verified(&format!("{content}."), &keys), Err(Refusal::Algorithm));
        assert_eq!(verified(content, &keys), Err(Refusal::Malformed));
    }
    // The public key as a secret, in each form in which an issuer shows it.
    for (id, public) in [("k", &signer), ("r", &rsa)] {
        for secret in [public.public(), public.pem().into_bytes(), public.jwk().to_string().into()]
        {
            for header in [json!({ "alg": "HS256", "kid": id }), json!({ "alg": "HS256" })] {
                let token = Signer::secret(&secret).sign_with(&header, &claims());
                assert_eq!(verified(&token, &keys), Err(Refusal::Algorithm));
            }
        }
    }
    // The right key under another algorithm, and relatives that are not accepted.
    for algorithm in ["RS256", "ES256", "HS256", "RS512", "PS256", "ES384", "eddsa"] {
        let token = signer.sign_with(&header(algorithm), &claims());
        assert_eq!(verified(&token, &keys), Err(Refusal::Algorithm), "{algorithm}");
    }
    // A key that the token brings with it, or tells where to find.
    let thief = Signer::ed25519("k");
    for field in ["jwk", "jku", "x5u", "x5c"] {
        let mut header = header("EdDSA");
        header[field] = thief.jwk();
        let token = thief.sign_with(&header, &claims());
        assert_eq!(verified(&token, &keys), Err(Refusal::Signature), "{field}");
    }
    let critical = json!({ "alg": "EdDSA", "kid": "k", "crit": ["exp"] });
    assert_eq!(verified(&signer.sign_with(&critical, &claims()), &keys), Err(Refusal::Malformed));
    let twice = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","alg":"none"}"#);
    assert_eq!(verified(&format!("{twice}.e30."), &keys), Err(Refusal::Malformed));
}

#[test]
fn a_token_is_verified_with_the_key_that_it_names() {
    let (one, two, gone) = (Signer::ed25519("1"), Signer::ed25519("2"), Signer::ed25519("3"));
    let keys = keys_of(&[&one, &two]);
    assert_eq!(verified(&two.sign(&claims()), &keys), Ok(alice()));
    assert_eq!(verified(&gone.sign(&claims()), &keys), Err(Refusal::UnknownKey));
    let other_name = json!({ "alg": "EdDSA", "kid": "1" });
    assert_eq!(verified(&two.sign_with(&other_name, &claims()), &keys), Err(Refusal::Signature));
    let nameless = json!({ "alg": "EdDSA" });
    assert_eq!(verified(&two.sign_with(&nameless, &claims()), &keys), Ok(alice()));
    assert_eq!(verified(&gone.sign_with(&nameless, &claims()), &keys), Err(Refusal::Signature));
    // Keys of a PEM file have no names, and fit every one.
    let keys = Keys::read(&(one.pem() + &two.pem())).expect("keys");
    assert_eq!(verified(&two.sign(&claims()), &keys), Ok(alice()));
    assert_eq!(verified(&two.sign(&claims()), &Keys::default()), Err(Refusal::UnknownKey));
}

#[test]
fn a_revoked_token_is_refused() {
    let signer = Signer::ed25519("k");
    let (keys, rules) = (keys_of(&[&signer]), rules());
    let list = Revocations::parse("token stolen\nuser 2027-01-15T08:00:00Z alice").expect("a list");
    let verified = |claims: Value| verify(&signer.sign(&claims), &keys, &list, &rules, NOW_S);
    let mut claims = with("iat", json!(NOW_S));
    assert_eq!(verified(claims.clone()), Ok(alice()));
    claims["jti"] = json!("stolen");
    assert_eq!(verified(claims), Err(Refusal::Revoked));
    assert_eq!(verified(with("iat", json!(NOW_S - 1))), Err(Refusal::Revoked));
    assert_eq!(verified(with("iat", None)), Err(Refusal::Revoked));
}

#[test]
fn what_is_no_token_is_refused() {
    let signer = Signer::ed25519("k");
    let (keys, good) = (keys_of(&[&signer]), signer.sign(&claims()));
    let spoiled = [
        String::new(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("Bearer {good}"),
        format!("e30.{good}"),
        "x".repeat(TOKEN_BYTES_MAX + 1),
    ];
    for token in spoiled {
        assert_eq!(verified(&token, &keys), Err(Refusal::Malformed), "{token}");
    }
    let text = signer.sign(&json!("alice"));
    assert_eq!(verified(&text, &keys), Err(Refusal::Malformed));
}

proptest! {
    #[test]
    fn a_token_that_was_changed_anywhere_is_refused(at in 0_usize..1000, to in "[A-Za-z0-9_.-]") {
        let signer = Signer::p256("k");
        let (keys, good) = (keys_of(&[&signer]), signer.sign(&claims()));
        let at = at % good.len();
        let changed = format!("{}{to}{}", &good[..at], &good[at + 1..]);
        prop_assert_eq!(verified(&changed, &keys).is_ok(), changed == good);
    }

    #[test]
    fn no_text_is_taken_for_a_token(token in "[A-Za-z0-9_.-]{0,200}") {
        let keys = Keys::from_secret(SECRET).expect("a key");
        prop_assert!(verified(&token, &keys).is_err());
    }
}
