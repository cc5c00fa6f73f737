//! The servers that a connection may be made to, their order, and the delays between attempts.

use std::net::IpAddr;
use std::time::Duration;

use crate::address::Address;
use crate::error::ConnectError;

/// The most discovered servers that are kept: a limit on data from outside.
const DISCOVERED_MAX: usize = 1000;

/// A server.
#[derive(Clone, Debug)]
struct Server {
    address: Address,
    /// Failed attempts since the last successful one.
    failures: u32,
    is_discovered: bool,
}

/// All servers.
#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<Server>,
}

impl Servers {
    pub(crate) fn new(addresses: &[String]) -> Result<Self, ConnectError> {
        let server = |text: &String| {
            let address = Address::parse(text.trim())?;
            Ok(Server { address, failures: 0, is_discovered: false })
        };
        let servers: Vec<Server> = addresses.iter().map(server).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            let problem = "no server is given".to_owned();
            return Err(ConnectError::Address { address: String::new(), problem });
        }
        Ok(Self { servers })
    }

    /// The order in which the servers are tried: those with the fewest failures first, otherwise at
    /// random, so that the clients of a stopped server spread over the others.
    pub(crate) fn in_order(&self) -> Vec<Address> {
        let mut servers = self.servers.clone();
        fastrand::shuffle(&mut servers);
        servers.sort_by_key(|server| server.failures);
        servers.into_iter().map(|server| server.address).collect()
    }

    /// All servers except one.
    pub(crate) fn others(&self, than: &Address) -> Vec<Address> {
        self.in_order().into_iter().filter(|address| !address.is_same_server(than)).collect()
    }

    pub(crate) fn worked(&mut self, address: &Address) {
        self.of(address, |server| server.failures = 0);
    }

    pub(crate) fn failed(&mut self, address: &Address) {
        self.of(address, |server| server.failures = server.failures.saturating_add(1));
    }

    fn of(&mut self, address: &Address, change: impl FnOnce(&mut Server)) {
        let is_it = |server: &&mut Server| server.address.is_same_server(address);
        if let Some(server) = self.servers.iter_mut().find(is_it) {
            change(server);
        }
    }

    /// Records the servers that one server names. A server that it named before and omits now has
    /// left the cluster.
    pub(crate) fn discovered(&mut self, urls: &[String], by: &Address) {
        if urls.is_empty() {
            return;
        }
        let mut named = Vec::new();
        for url in urls.iter().take(DISCOVERED_MAX) {
            // An address that cannot be parsed is of no use.
            let Ok(mut address) = Address::parse(url) else { continue };
            address.is_tls |= by.is_tls;
            address.user.clone_from(&by.user);
            address.password.clone_from(&by.password);
            if address.host.parse::<IpAddr>().is_ok() {
                let name = by.tls_name.as_ref().unwrap_or(&by.host);
                address.tls_name = Some(name.clone());
            }
            named.push(address);
        }
        self.servers.retain(|server| {
            let is = |address: &Address| address.is_same_server(&server.address);
            !server.is_discovered || named.iter().any(is) || server.address.is_same_server(by)
        });
        for address in named {
            if !self.servers.iter().any(|server| server.address.is_same_server(&address)) {
                self.servers.push(Server { address, failures: 0, is_discovered: true });
            }
        }
    }
}

/// The delay before the `round`th round of attempts, counted from 0. The first one is short and
/// random, so that the clients of a stopped server do not all connect at the same moment; each
/// further one is twice as long.
pub(crate) fn delay(round: u32, max: Duration) -> Duration {
    const FIRST: Duration = Duration::from_millis(50);
    let longest = FIRST.saturating_mul(2_u32.saturating_pow(round)).min(max);
    if round == 0 {
        return longest.mul_f64(fastrand::f64());
    }
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(servers: &Servers) -> Vec<String> {
        let mut all: Vec<String> = servers.in_order().iter().map(ToString::to_string).collect();
        all.sort();
        all
    }

    #[test]
    fn servers_that_failed_come_last() {
        let mut servers = Servers::new(&["a".into(), "b".into(), "c".into()]).expect("servers");
        let (a, b) = (Address::parse("a").expect("a"), Address::parse("b").expect("b"));
        servers.failed(&a);
        servers.failed(&a);
        servers.failed(&b);
        for _ in 0..20 {
            let order: Vec<String> = servers.in_order().iter().map(|s| s.host.clone()).collect();
            assert_eq!(order, ["c", "b", "a"]);
        }
        servers.worked(&a);
        assert_eq!(servers.in_order()[2].host, "b");
        assert!(Servers::new(&[]).is_err());
    }

    #[test]
    fn discovered_servers_are_added_and_removed() {
        let mut servers = Servers::new(&["tls://u:p@a.example".into()]).expect("servers");
        let a = servers.in_order().remove(0);
        servers.discovered(&["10.0.0.1:4222".into(), "b.example:4333".into()], &a);
        assert_eq!(
            shown(&servers),
            ["tls://10.0.0.1:4222", "tls://a.example:4222", "tls://b.example:4333"]
        );
        let others = servers.others(&a);
        let ip = others.iter().find(|other| other.host == "10.0.0.1").expect("the IP");
        assert_eq!(ip.tls_name.as_deref(), Some("a.example"));
        assert_eq!(ip.user.as_deref(), Some("u"));
        servers.discovered(&["10.0.0.1:4222".into(), "  ".into()], &a);
        assert_eq!(shown(&servers), ["tls://10.0.0.1:4222", "tls://a.example:4222"]);
        // A server without a cluster names no servers, which changes nothing.
        servers.discovered(&[], &a);
        assert_eq!(shown(&servers).len(), 2);
    }

    #[test]
    fn delays_grow_to_their_maximum() {
        let max = Duration::from_secs(4);
        for round in 0..100 {
            let delay = delay(round, max);
            assert!(delay <= max, "{round}: {delay:?}");
            assert!(round < 8 || delay >= max / 2, "{round}: {delay:?}");
        }
    }
}
