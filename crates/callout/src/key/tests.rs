use super::*;
use crate::jws::Jws;
use peerd_testkit::{Signer, key_set};

/// The examples of RFC 7515 (A.1 to A.3) and RFC 8037 (A.4), which other implementations made.
const EXAMPLES: [(&str, &str); 4] = [
    (
        r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
    (
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
];

fn of(jwk: &str) -> Keys {
    if let Some((_, secret)) = jwk.split_once(r#""k":""#) {
        let secret = secret.trim_end_matches("\"}");
        return Keys::from_secret(&URL_SAFE_NO_PAD.decode(secret).expect("base64")).expect("a key");
    }
    Keys::from_jwk_set(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).expect("a set")
}

#[test]
fn examples_of_the_standards_verify_and_changed_ones_do_not() {
    for (jwk, token) in EXAMPLES {
        let (keys, jws) = (of(jwk), Jws::parse(token).expect("a token"));
        let algorithm = Algorithm::named(&jws.header.alg).expect("known");
        assert_eq!(keys.0[0].algorithm(), algorithm);
        assert!(keys.0[0].verifies(jws.signed, &jws.signature), "{algorithm:?}");
        let mut signed = jws.signed.to_vec();
        signed[30] ^= 1;
        assert!(!keys.0[0].verifies(&signed, &jws.signature), "{algorithm:?}");
        for signature in [&[][..], &jws.signature[1..], &[0; 64], &[0; 256]] {
            assert!(!keys.0[0].verifies(jws.signed, signature), "{algorithm:?}");
        }
    }
}

#[test]
fn keys_are_read_from_pem_and_from_sets() {
    for signer in [Signer::ed25519("a"), Signer::p256("b"), Signer::rsa("c")] {
        let token = signer.sign(&serde_json::json!({}));
        let jws = Jws::parse(&token).expect("a token");
        for text in [signer.pem(), key_set(&[&signer]).to_string()] {
            let keys = Keys::read(&text).expect("a key");
            assert_eq!(keys.len(), 1, "{text}");
            assert!(keys.0[0].verifies(jws.signed, &jws.signature), "{text}");
        }
    }
    let (one, two) = (Signer::ed25519("a"), Signer::rsa("b"));
    assert_eq!(Keys::read(&(one.pem() + &two.pem())).expect("two keys").len(), 2);
}

#[test]
fn a_set_leaves_out_what_cannot_verify_tokens() {
    let good = Signer::p256("good").jwk().to_string();
    for other in [
        r#"{"kty":"oct","kid":"x","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}"#,
        r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKx"}"#,
        r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#,
        r#"{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}"#,
        r#"{"kty":"RSA","n":"AAAA","e":"AQAB"}"#,
        r#"{"kty":5}"#,
        "7",
    ] {
        let set = format!(r#"{{"keys":[{other},{good}]}}"#);
        let keys = Keys::from_jwk_set(set.as_bytes()).expect("one good key");
        assert_eq!(keys.len(), 1, "{other}");
        let alone = Keys::from_jwk_set(format!(r#"{{"keys":[{other}]}}"#).as_bytes());
        assert_eq!(alone.err(), Some(KeyError::None), "{other}");
    }
    let mut other_algorithm = Signer::rsa("a").jwk();
    other_algorithm["alg"] = "RS512".into();
    let set = serde_json::json!({ "keys": [other_algorithm] }).to_string();
    assert_eq!(Keys::read(&set).err(), Some(KeyError::None));
}

#[test]
fn unusable_files_are_errors() {
    assert!(matches!(Keys::read(""), Err(KeyError::None)));
    assert!(matches!(Keys::read("secret"), Err(KeyError::Form(_))));
    assert!(matches!(Keys::read("{}"), Err(KeyError::Form(_))));
    let private = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    assert!(Keys::read(private).is_err());
    let one = Signer::ed25519("a").jwk().to_string();
    let many = vec![one.as_str(); KEYS_MAX + 1].join(",");
    let set = Keys::read(&format!(r#"{{"keys":[{many}]}}"#));
    assert_eq!(set.err(), Some(KeyError::TooMany));
    assert_eq!(Keys::from_secret(&[7; 31]).err(), Some(KeyError::ShortSecret));
}

#[test]
fn debug_shows_no_secret() {
    let keys = Keys::from_secret(b"secretsecretsecretsecretsecretsecret").expect("a key");
    assert!(!format!("{keys:?}").contains("secret"), "{keys:?}");
}
