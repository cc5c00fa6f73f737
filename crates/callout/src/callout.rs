//! Reads requests, and writes signed responses, sealed where the server asks for it.

use std::fmt;

use nkeys::{KeyPair, KeyPairType, XKey};
use serde::Serialize;

use crate::grant::Grants;
use crate::jws;
use crate::refusal::Refusal;
use crate::request::{REQUEST_BYTES_MAX, Request, Unreadable};
use crate::response::{Claims, HEADER, Response, User};
use crate::token::Login;

/// The header of a message with an encrypted request: the server's public key.
pub const XKEY_HEADER: &str = "Nats-Server-Xkey";

/// A seed that cannot be used. The text does not contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// It is not the seed of an account.
    #[error("is not the seed of an account, which begins with SA")]
    Account,
    /// It is not the seed of an xkey.
    #[error("is not the seed of an xkey, which begins with SX")]
    Xkey,
}

/// The key that signs answers: that of an account, whose public key is the server's
/// `auth_callout.issuer`.
pub struct Issuer {
    pair: KeyPair,
    public: String,
}

impl Issuer {
    /// The key of a seed.
    pub fn of_seed(seed: &str) -> Result<Self, SeedError> {
        let pair = KeyPair::from_seed(seed.trim()).map_err(|_| SeedError::Account)?;
        if pair.key_pair_type() != KeyPairType::Account {
            return Err(SeedError::Account);
        }
        let public = pair.public_key();
        Ok(Self { pair, public })
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    fn sign(&self, claims: &impl Serialize) -> String {
        // Of plain structs, and with a key that has its seed: neither can fail.
        let payload = serde_json::to_vec(claims).unwrap_or_default();
        jws::write(HEADER, &payload, |signed| self.pair.sign(signed).unwrap_or_default())
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.public).finish()
    }
}

/// A new account key: its seed and its public key.
#[must_use]
pub fn new_account() -> (String, String) {
    let pair = KeyPair::new_account();
    // A new key has its seed.
    (pair.seed().unwrap_or_default(), pair.public_key())
}

/// A new xkey: its seed and its public key.
#[must_use]
pub fn new_xkey() -> (String, String) {
    let pair = XKey::new();
    (pair.seed().unwrap_or_default(), pair.public_key())
}

/// The key of encrypted requests and answers.
pub fn xkey_of_seed(seed: &str) -> Result<XKey, SeedError> {
    XKey::from_seed(seed.trim()).map_err(|_| SeedError::Xkey)
}

/// Answers requests.
#[derive(Debug)]
pub struct Callout {
    /// The key that signs answers.
    pub issuer: Issuer,
    /// The key of encrypted requests; with it, a request that is not encrypted is not answered.
    pub xkey: Option<XKey>,
    /// The account that users are placed in.
    pub account: String,
    /// The permissions.
    pub grants: Grants,
}

impl Callout {
    /// Reads a message with a request; `server_xkey` is its header [`XKEY_HEADER`].
    pub fn read(
        &self,
        payload: &[u8],
        server_xkey: Option<&str>,
        now_s: u64,
    ) -> Result<Request, Unreadable> {
        if payload.len() > REQUEST_BYTES_MAX {
            return Err(Unreadable::Malformed);
        }
        let opened = match (&self.xkey, server_xkey) {
            (None, None) => None,
            (None, Some(_)) => return Err(Unreadable::Encrypted),
            (Some(own), None) => return Err(Unreadable::NotEncrypted(own.public_key())),
            (Some(own), Some(server)) => {
                let server = XKey::from_public_key(server).map_err(|_| Unreadable::Malformed)?;
                let opened = own.open(payload, &server);
                Some(opened.map_err(|_| Unreadable::OtherXkey(own.public_key()))?)
            }
        };
        let text = opened.as_deref().unwrap_or(payload);
        let request = Request::read(text, self.issuer.public(), now_s)?;
        // The header is not signed; the key in the request is.
        if server_xkey.is_some() && request.server_xkey.as_deref() != server_xkey {
            return Err(Unreadable::Signature);
        }
        Ok(request)
    }

    /// The response that lets the client in.
    #[must_use]
    pub fn accept(&self, request: &Request, login: &Login, now_s: u64) -> Vec<u8> {
        let user = self.issuer.sign(&Claims {
            iss: self.issuer.public(),
            sub: &request.user_nkey,
            aud: &self.account,
            iat: now_s,
            exp: Some(login.ends_s),
            name: Some(login.user.as_str()),
            nats: User::from(self.grants.of(&login.user)),
        });
        self.respond(request, Response::user(&user), now_s)
    }

    /// The response that turns the client away.
    #[must_use]
    pub fn refuse(&self, request: &Request, refusal: Refusal, now_s: u64) -> Vec<u8> {
        self.respond(request, Response::error(&refusal.to_string()), now_s)
    }

    fn respond(&self, request: &Request, response: Response<'_>, now_s: u64) -> Vec<u8> {
        let text = self.issuer.sign(&Claims {
            iss: self.issuer.public(),
            sub: &request.user_nkey,
            aud: &request.server,
            iat: now_s,
            exp: None,
            name: None,
            nats: response,
        });
        let Some((own, server)) = self.xkey.as_ref().zip(request.server_xkey.as_ref()) else {
            return text.into_bytes();
        };
        let sealed = XKey::from_public_key(server).and_then(|server| {
            // The server finds out by the first bytes whether an answer is encrypted.
            own.seal(text.as_bytes(), &server)
        });
        // An empty answer is a refusal. The key was used to read the request, so this is no case.
        sealed.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
