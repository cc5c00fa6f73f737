//! Server addresses.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::error::ConnectError;

const DEFAULT_PORT: u16 = 4222;

/// A server's address.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether it requires TLS.
    pub(crate) is_tls: bool,
    /// The name that the server's certificate is checked against, where it is not the host: a
    /// server that was discovered by its IP address belongs to the cluster of the server that named
    /// it.
    pub(crate) tls_name: Option<String>,
    /// The user in the address; a token if there is no password.
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, ConnectError> {
        let has_scheme = text.contains("://");
        let url = if has_scheme { text.to_owned() } else { format!("nats://{text}") };
        let shown = text.rsplit('@').next().unwrap_or_default();
        let error = |problem: String| ConnectError::Address { address: shown.to_owned(), problem };
        let url = Url::parse(&url).map_err(|parse| error(parse.to_string()))?;
        let is_tls = match url.scheme() {
            "nats" => false,
            "tls" => true,
            scheme => return Err(error(format!("the scheme {scheme}:// is not supported"))),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(Host::Domain(_)) | None => return Err(error("it has no host".to_owned())),
        };
        // User and password are percent-encoded in a URL.
        let decoded = |text: &str| {
            let bytes: Vec<u8> = percent_decode_str(text).collect();
            (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(DEFAULT_PORT),
            is_tls,
            tls_name: None,
            user: decoded(url.username()),
            password: url.password().and_then(decoded),
        })
    }

    /// Whether both have the same host and port; the rest may differ.
    pub(crate) fn is_same_server(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

/// Shows neither user nor password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "tls" } else { "nats" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_as_nats_clients_do() {
        for (text, shown) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("nats-1", "nats://nats-1:4222"),
            ("nats-1:4333", "nats://nats-1:4333"),
            ("tls://nats.example.com", "tls://nats.example.com:4222"),
            ("[::1]:4333", "nats://[::1]:4333"),
            ("nats://u:p@host:1", "nats://host:1"),
        ] {
            assert_eq!(Address::parse(text).expect(text).to_string(), shown);
        }
        for text in ["", "http://host", "ws://host", "nats://", "nats://host:port", "a b"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let error = Address::parse("ws://me:secret@host").expect_err("another scheme");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn the_address_may_hold_user_and_password_or_a_token() {
        let address = Address::parse("nats://a%40b:p%2Fw@host").expect("an address");
        assert_eq!(address.user.as_deref(), Some("a@b"));
        assert_eq!(address.password.as_deref(), Some("p/w"));
        let address = Address::parse("nats://token@host").expect("an address");
        assert_eq!((address.user.as_deref(), address.password), (Some("token"), None));
    }
}
