//! Addresses of servers.

use std::fmt;

use url::{Host, Url};

use crate::error::ConnectError;

const DEFAULT_PORT: u16 = 4222;

/// The address of a server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether it asks for TLS.
    pub(crate) is_tls: bool,
    /// The name by which the server's certificate is checked, where that is not the host: a server
    /// that another has named by its IP address is one of the same cluster.
    pub(crate) tls_name: Option<String>,
    /// Who it says that this is.
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
            scheme => return Err(error(format!("peerd does not speak {scheme}://"))),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(Host::Domain(_)) | None => return Err(error("it has no host".to_owned())),
        };
        // A URL has these percent-encoded.
        let decoded = |text: &str| {
            let bytes = percent_decoded(text.as_bytes());
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

    /// Whether it is the same server: whatever else its address says.
    pub(crate) fn is_same_server(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

/// Without user and password.
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

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |index: usize| char::from(*after.get(index)?).to_digit(16);
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            (byte, ..) => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_nats_clients_do() {
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
    fn who_it_is_may_be_in_the_address() {
        let address = Address::parse("nats://a%40b:p%2Fw@host").expect("an address");
        assert_eq!(address.user.as_deref(), Some("a@b"));
        assert_eq!(address.password.as_deref(), Some("p/w"));
        let address = Address::parse("nats://token@host").expect("an address");
        assert_eq!((address.user.as_deref(), address.password), (Some("token"), None));
    }
}
