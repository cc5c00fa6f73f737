//! Signs tokens, as an issuer does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use ring::{hmac, pkcs8};
use serde_json::{Value, json};

/// A key that signs tokens.
pub struct Signer {
    /// The name of the key, for headers and key sets.
    pub id: String,
    key: Key,
}

enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Secret(Vec<u8>),
}

impl Signer {
    /// A new Ed25519 key.
    pub fn ed25519(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::new(id, Key::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()))
    }

    /// A new key on P-256.
    pub fn p256(id: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document: pkcs8::Document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self::new(id, Key::P256(pair))
    }

    /// The RSA key of these tests.
    pub fn rsa(id: &str) -> Self {
        let pem: String = include_str!("rsa.pem").lines().filter(|it| !it.contains('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(pem).unwrap();
        Self::new(id, Key::Rsa(RsaKeyPair::from_pkcs8(&der).unwrap()))
    }

    /// A secret that issuer and peerd share.
    pub fn secret(secret: &[u8]) -> Self {
        Self::new("", Key::Secret(secret.to_owned()))
    }

    fn new(id: &str, key: Key) -> Self {
        Self { id: id.to_owned(), key }
    }

    /// The name of the algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Ed25519(_) => "EdDSA",
            Key::P256(_) => "ES256",
            Key::Rsa(_) => "RS256",
            Key::Secret(_) => "HS256",
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm(), "typ": "JWT" });
        if !self.id.is_empty() {
            header["kid"] = json!(self.id);
        }
        self.sign_with(&header, claims)
    }

    /// A token with any header, which need not fit the key.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Ed25519(pair) => pair.sign(signed).as_ref().to_vec(),
            Key::P256(pair) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).unwrap();
                signature
            }
            Key::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, signed).as_ref().to_vec()
            }
        }
    }

    /// The public key, as a key set has it. A secret has none.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (id, public) = (&self.id, self.public());
        match &self.key {
            Key::Ed25519(_) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": text(&public) })
            }
            Key::P256(_) => {
                let (x, y) = (text(&public[1..33]), text(&public[33..]));
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": x, "y": y })
            }
            Key::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (text(&public.n), text(&public.e));
                json!({ "kty": "RSA", "kid": id, "alg": "RS256", "n": n, "e": e })
            }
            Key::Secret(_) => panic!("a secret has no public key"),
        }
    }

    /// The public key as PEM.
    pub fn pem(&self) -> String {
        /// What precedes the bytes of the key in its `SubjectPublicKeyInfo`.
        const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\
                              \x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
        let before = match self.key {
            Key::Ed25519(_) => ED25519,
            Key::P256(_) => P256,
            Key::Rsa(_) => return include_str!("rsa_public.pem").to_owned(),
            Key::Secret(_) => panic!("a secret has no public key"),
        };
        let der = [before, &self.public()].concat();
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The bytes of the public key, as algorithms take them.
    pub fn public(&self) -> Vec<u8> {
        match &self.key {
            Key::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Key::P256(pair) => pair.public_key().as_ref().to_vec(),
            Key::Rsa(pair) => pair.public().as_ref().to_vec(),
            Key::Secret(secret) => secret.clone(),
        }
    }
}

/// A key set with the public keys of these signers.
pub fn key_set(signers: &[&Signer]) -> Value {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() })
}
