//! Keys that tokens are signed with. The algorithm belongs to the key: the header of a token only
//! says which of them to expect, so that no token can choose how it is verified.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use spki::der::Decode as _;
use spki::{Document, ObjectIdentifier, SubjectPublicKeyInfoRef};

/// The most keys of a set; issuers publish two to five.
pub const KEYS_MAX: usize = 64;
/// The most keys that one token is compared with, where it names none, or they have no names.
const CANDIDATES_MAX: usize = 4;
/// The shortest secret: that of RFC 7518 for HS256.
pub const SECRET_BYTES_MIN: usize = 32;
/// The shortest modulus. Ring refuses shorter ones, and those above 8192 bits.
const RSA_BITS_MIN: usize = 2048;

const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// An algorithm of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// HMAC with SHA-256.
    Hs256,
}

impl Algorithm {
    /// The algorithm of a name in a header or a key.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "HS256" => Some(Self::Hs256),
            _ => None,
        }
    }
}

/// Keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is neither a JSON Web Key Set nor a PEM file.
    #[error("is neither a JSON Web Key Set nor PEM: {0}")]
    Form(String),
    /// There is no key that can be used.
    #[error("has no key for EdDSA (Ed25519), ES256 (P-256) or RS256 (RSA of 2048 bits or more)")]
    None,
    /// There are too many keys.
    #[error("has more than {KEYS_MAX} keys")]
    TooMany,
    /// A key of a PEM file that cannot be used. In a key set it is left out: issuers publish keys
    /// for other purposes there.
    #[error("has a key that peerd cannot use: {0}")]
    Unusable(&'static str),
    /// The secret is too short.
    #[error("must have at least {SECRET_BYTES_MIN} bytes")]
    ShortSecret,
}

/// A key.
pub struct Key {
    id: Option<String>,
    material: Material,
}

enum Material {
    Ed25519(Vec<u8>),
    /// An uncompressed point.
    P256(Vec<u8>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// An `RSAPublicKey` of PKCS#1.
    RsaDer(Vec<u8>),
    Secret(hmac::Key),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.algorithm();
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// The algorithm of its signatures.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Ed25519(_) => Algorithm::EdDsa,
            Material::P256(_) => Algorithm::Es256,
            Material::Rsa(_) | Material::RsaDer(_) => Algorithm::Rs256,
            Material::Secret(_) => Algorithm::Hs256,
        }
    }

    /// Whether a signature of this key fits.
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let verified =
            match &self.material {
                Material::Ed25519(key) => {
                    UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
                }
                Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(signed, signature),
                Material::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
                Material::RsaDer(key) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
                    .verify(signed, signature),
                Material::Secret(key) => hmac::verify(key, signed, signature),
            };
        verified.is_ok()
    }
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

/// The keys to try for a token.
pub(crate) enum Candidates<'k> {
    These(Vec<&'k Key>),
    /// The named key is not known.
    Unknown,
    /// The named key, or every key, has another algorithm.
    OtherAlgorithm,
}

impl Keys {
    /// Reads a file with public keys: a JSON Web Key Set (RFC 7517), or PEM blocks `PUBLIC KEY`.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        if text.trim_start().starts_with('{') {
            Self::from_jwk_set(text.as_bytes())
        } else {
            Self::from_pem(text)
        }
    }

    /// Reads a JSON Web Key Set. Keys for other purposes or algorithms are left out, and so are
    /// secrets: a set is public.
    pub fn from_jwk_set(bytes: &[u8]) -> Result<Self, KeyError> {
        let form = |error: serde_json::Error| KeyError::Form(error.to_string());
        let set: JwkSet = serde_json::from_slice(bytes).map_err(form)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        let usable = set.keys.into_iter().filter_map(|key| {
            // A key of a form that is not known does not make the others unusable.
            serde_json::from_value::<Jwk>(key).ok()?.key()
        });
        Self::of(usable.collect())
    }

    /// Reads PEM blocks `PUBLIC KEY`. These keys have no names.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        const END: &str = "-----END PUBLIC KEY-----";
        let blocks = text.split_inclusive(END).map(str::trim).filter(|block| !block.is_empty());
        let blocks: Vec<&str> = blocks.take(KEYS_MAX + 1).collect();
        if blocks.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        Self::of(blocks.into_iter().map(pem_key).collect::<Result<_, _>>()?)
    }

    /// The one key of tokens that are signed with a shared secret.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret);
        }
        let material = Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self(vec![Key { id: None, material }]))
    }

    fn of(keys: Vec<Key>) -> Result<Self, KeyError> {
        if keys.is_empty() { Err(KeyError::None) } else { Ok(Self(keys)) }
    }

    /// The number of keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys to try for a token with this algorithm and this name of a key.
    pub(crate) fn candidates(&self, algorithm: Algorithm, id: Option<&str>) -> Candidates<'_> {
        let may_be_meant = |key: &&Key| match (&key.id, id) {
            (Some(own), Some(id)) => own == id,
            (None, _) | (_, None) => true,
        };
        let meant: Vec<&Key> = self.0.iter().filter(may_be_meant).collect();
        if meant.is_empty() {
            return Candidates::Unknown;
        }
        let fit = meant.into_iter().filter(|key| key.algorithm() == algorithm);
        let fit: Vec<&Key> = fit.take(CANDIDATES_MAX).collect();
        if fit.is_empty() { Candidates::OtherAlgorithm } else { Candidates::These(fit) }
    }
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// The key, if it can verify tokens.
    fn key(self) -> Option<Key> {
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |field: &Option<String>| URL_SAFE_NO_PAD.decode(field.as_ref()?).ok();
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => ed25519(&bytes(&self.x)?),
            ("EC", Some("P-256")) => p256(&[&[4][..], &bytes(&self.x)?, &bytes(&self.y)?].concat()),
            ("RSA", _) => rsa(&bytes(&self.n)?, &bytes(&self.e)?),
            _ => None,
        };
        let key = Key { id: self.kid, material: material? };
        let fits = |name: &String| Algorithm::named(name) == Some(key.algorithm());
        self.alg.as_ref().is_none_or(fits).then_some(key)
    }
}

fn ed25519(key: &[u8]) -> Option<Material> {
    (key.len() == 32).then(|| Material::Ed25519(key.to_vec()))
}

fn p256(point: &[u8]) -> Option<Material> {
    (point.len() == 65 && point[0] == 4).then(|| Material::P256(point.to_vec()))
}

fn rsa(n: &[u8], e: &[u8]) -> Option<Material> {
    let strip =
        |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|byte| *byte == 0).collect() };
    let (n, e) = (strip(n), strip(e));
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    (bits >= RSA_BITS_MIN && !e.is_empty())
        .then_some(Material::Rsa(RsaPublicKeyComponents { n, e }))
}

fn pem_key(block: &str) -> Result<Key, KeyError> {
    let (label, document) =
        Document::from_pem(block).map_err(|error| KeyError::Form(error.to_string()))?;
    if label != "PUBLIC KEY" {
        return Err(KeyError::Unusable("it is no block PUBLIC KEY"));
    }
    let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes())
        .map_err(|_| KeyError::Unusable("it is no public key"))?;
    let key = info.subject_public_key.as_bytes().unwrap_or_default();
    let material = match info.algorithm.oid {
        OID_ED25519 => ed25519(key),
        OID_EC if info.algorithm.parameters_oid() == Ok(OID_P256) => p256(key),
        OID_RSA if key.len() > RSA_BITS_MIN / 8 => Some(Material::RsaDer(key.to_vec())),
        _ => None,
    };
    let unusable = KeyError::Unusable("it is not of Ed25519, P-256 or RSA (2048 bits or more)");
    Ok(Key { id: None, material: material.ok_or(unusable)? })
}

#[cfg(test)]
mod tests;
