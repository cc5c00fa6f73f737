//! An authorization request: what nats-server asks about a client that wants to connect.

use std::fmt;

use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;

use crate::jws::Jws;

/// The `aud` of a request.
const AUDIENCE: &str = "nats-authorization-request";
/// The largest request, in bytes. Certificates of the client make up most of a large one.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// For how many seconds after its end a request is still answered: the clocks of servers and peerd
/// may differ by as much.
const LATE_S: u64 = 60;

/// A request, whose signature was verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The server's public key, which is its ID.
    pub server: String,
    /// The server's public key for encryption.
    pub server_xkey: Option<String>,
    /// The key that stands for the client: the subject of the answer.
    pub user_nkey: String,
    /// The client's address.
    pub host: String,
    /// The user name that the client gave, if any.
    pub user: Option<String>,
    /// The token: the client's auth token, or its password.
    pub token: Option<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Why a message is not answered: nothing in it can be trusted, or no server would take the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no authorization request.
    #[error("it is no authorization request")]
    Malformed,
    /// It was not signed by the server that it names.
    #[error("its signature is not the server's")]
    Signature,
    /// It is encrypted, and peerd has no key.
    #[error(
        "it is encrypted: set callout.xkey_seed_file to the seed of the server's auth_callout.xkey"
    )]
    Encrypted,
    /// It is not encrypted although peerd has a key.
    #[error(
        "it is not encrypted: set auth_callout.xkey of the server to {0}, or leave \
         callout.xkey_seed_file out"
    )]
    NotEncrypted(String),
    /// It cannot be decrypted.
    #[error("it is encrypted for another key: auth_callout.xkey of the server must be {0}")]
    OtherXkey(String),
    /// The server expects answers that are signed with another key.
    #[error(
        "the server expects answers of {expected}: auth_callout.issuer of the server must be {own}, \
         the public key of callout.issuer_seed_file"
    )]
    OtherIssuer {
        /// The server's.
        expected: String,
        /// The public key of peerd's seed.
        own: String,
    },
    /// The server does not wait for an answer any more.
    #[error("it is too old: the clocks of the server and peerd differ, or peerd is overloaded")]
    Late,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: u64,
    iss: String,
    sub: String,
    nats: Nats,
}

#[derive(Deserialize)]
struct Nats {
    server_id: ServerId,
    user_nkey: String,
    #[serde(default)]
    client_info: ClientInfo,
    #[serde(default)]
    connect_opts: ConnectOpts,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct ServerId {
    id: String,
    xkey: Option<String>,
}

#[derive(Default, Deserialize)]
struct ClientInfo {
    #[serde(default)]
    host: String,
}

#[derive(Default, Deserialize)]
struct ConnectOpts {
    auth_token: Option<String>,
    user: Option<String>,
    pass: Option<String>,
}

impl Request {
    /// Reads a request for the account with this public key, at a time in seconds since 1970.
    pub fn read(text: &[u8], account: &str, now_s: u64) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(text).map_err(|_| Unreadable::Malformed)?;
        let jws = Jws::parse(text).map_err(|_| Unreadable::Malformed)?;
        // The first version of these claims signed the payload alone.
        if jws.header.alg != "ed25519-nkey" || jws.header.typ.as_deref() != Some("JWT") {
            return Err(Unreadable::Malformed);
        }
        let claims: Claims =
            serde_json::from_slice(&jws.payload).map_err(|_| Unreadable::Malformed)?;
        let server = public_key(&claims.iss, &KeyPairType::Server).ok_or(Unreadable::Malformed)?;
        server.verify(jws.signed, &jws.signature).map_err(|_| Unreadable::Signature)?;
        let nats = claims.nats;
        if nats.server_id.id != claims.iss {
            return Err(Unreadable::Signature);
        }
        let is_request = claims.aud == AUDIENCE && nats.kind == "authorization_request";
        if !is_request || public_key(&nats.user_nkey, &KeyPairType::User).is_none() {
            return Err(Unreadable::Malformed);
        }
        if claims.sub != account {
            return Err(Unreadable::OtherIssuer { expected: claims.sub, own: account.to_owned() });
        }
        if claims.exp.saturating_add(LATE_S) < now_s {
            return Err(Unreadable::Late);
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let ConnectOpts { auth_token, user, pass } = nats.connect_opts;
        Ok(Self {
            server: claims.iss,
            server_xkey: given(nats.server_id.xkey),
            user_nkey: nats.user_nkey,
            host: nats.client_info.host,
            user: given(user),
            token: given(auth_token).or(given(pass)),
        })
    }
}

/// A public key of one type.
fn public_key(text: &str, of: &KeyPairType) -> Option<KeyPair> {
    KeyPair::from_public_key(text).ok().filter(|key| key.key_pair_type() == *of)
}
