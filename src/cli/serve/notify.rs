//! Reports the state of the daemon to the service manager, by the datagrams of `sd_notify(3)`: for
//! systemd's `Type=notify`, and for any other manager that sets `$NOTIFY_SOCKET`. Without it
//! nothing is sent.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// The daemon accepts calls.
const READY: &str = "READY=1";
/// The shutdown has begun.
const STOPPING: &str = "STOPPING=1";
/// The daemon still makes progress.
const WATCHDOG: &str = "WATCHDOG=1";

/// The service manager, if there is one to notify.
#[derive(Debug, Default)]
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    /// How long it waits for the next keep-alive message before it acts.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that the environment names.
    pub(super) fn of_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name);
        let Some(address) = variable("NOTIFY_SOCKET") else { return Self::default() };
        let socket = match connect(&address) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, ?address, "the service manager cannot be notified");
                return Self::default();
            }
        };
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        let watchdog = watchdog(text("WATCHDOG_USEC").as_deref(), text("WATCHDOG_PID").as_deref());
        Self { socket: Some(socket), watchdog }
    }

    pub(super) fn ready(&self) {
        self.notify(READY);
    }

    pub(super) fn stopping(&self) {
        self.notify(STOPPING);
    }

    /// Sends keep-alive messages forever, if the manager expects them. They are sent by an ordinary
    /// task: if tasks no longer make progress, the messages stop. An outage of NATS does not stop
    /// them, since a restart would not help.
    pub(super) async fn give_signs_of_life(&self) {
        let Some(watchdog) = self.watchdog else { return std::future::pending().await };
        // Twice per period, as sd_watchdog_enabled(3) recommends.
        let mut ticks = interval(watchdog / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.notify(WATCHDOG);
        }
    }

    fn notify(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::warn!(%error, state, "the service manager was not notified");
        }
    }
}

/// Connects to a socket in the file system, or to one of Linux's abstract sockets, whose names
/// begin with `@`.
fn connect(address: &OsStr) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes() {
        [b'/', ..] => socket.connect(address)?,
        [b'@', name @ ..] => socket.connect_addr(&abstract_address(name)?)?,
        _ => return Err(std::io::Error::other("is neither a path nor an abstract socket")),
    }
    // A notification must never block the daemon.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> std::io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> std::io::Result<SocketAddr> {
    Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
}

/// The watchdog's period; `None` if the watchdog is off, or meant for another process.
fn watchdog(usec: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let usec = usec?.parse().ok().filter(|usec| is_ours && *usec > 1);
    usec.map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_for_this_process_or_for_any() {
        let ours = std::process::id().to_string();
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), None), second);
        assert_eq!(watchdog(Some("1000000"), Some(&ours)), second);
        for (usec, pid) in [
            (Some("1000000"), Some("1")),
            (Some("1000000"), Some("")),
            (Some("0"), None),
            (Some("soon"), None),
            (None, None),
        ] {
            assert_eq!(watchdog(usec, pid), None, "{usec:?} {pid:?}");
        }
    }

    #[test]
    fn invalid_addresses_are_refused() {
        for address in ["", "relative", "/no/such/socket", "@"] {
            assert!(connect(OsStr::new(address)).is_err(), "{address}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn both_kinds_of_sockets_get_notifications() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("notify");
        let name = format!("peerd-notify-{}", std::process::id());
        let bound = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path)),
            (
                format!("@{name}").into(),
                abstract_address(name.as_bytes()).and_then(|name| UnixDatagram::bind_addr(&name)),
            ),
        ];
        for (address, receiver) in bound {
            let receiver = receiver.expect("bound");
            let socket = connect(&address).expect("connected");
            Manager { socket: Some(socket), watchdog: None }.ready();
            let mut datagram = [0; 32];
            let length = receiver.recv(&mut datagram).expect("a datagram");
            assert_eq!(&datagram[..length], READY.as_bytes(), "{address:?}");
        }
    }
}
