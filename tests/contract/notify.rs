//! Notifications to the service manager: systemd's `Type=notify`.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Nats, Peerd, login};

const DEADLINE: Duration = Duration::from_secs(30);

/// The next datagram other than a keep-alive message.
fn next_state(socket: &UnixDatagram) -> String {
    loop {
        let state = next(socket);
        if state != "WATCHDOG=1" {
            return state;
        }
    }
}

fn next(socket: &UnixDatagram) -> String {
    let mut datagram = [0; 256];
    let length = socket.recv(&mut datagram).unwrap();
    String::from_utf8_lossy(&datagram[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_notified_when_calls_are_taken_and_at_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let port = crate::support::reserved_port();
    let url = format!("nats://127.0.0.1:{port}");
    let envs = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "400000"),
        ("PEERD__NATS__CONNECT_TIMEOUT_MS", "60000"),
    ];
    let envs = envs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut peerd = Peerd::spawn(&url, &envs);
    // It is alive but not ready: there is no nats-server yet.
    for _ in 0..4 {
        assert_eq!(next(&socket), "WATCHDOG=1");
    }
    let config = dir.path().join("nats.conf");
    std::fs::write(&config, "jetstream {}\n").unwrap();
    let nats = Nats::start_at(port, &config).await;
    assert_eq!(next_state(&socket), "READY=1");
    // The first call after that is answered.
    let client = Client::connect(&nats.url()).await;
    login(&client, "alice").await;
    client.call("alice", "heartbeat", json!({})).await.ok();
    peerd.signal("TERM");
    assert_eq!(next_state(&socket), "STOPPING=1");
    assert!(peerd.ended().await.success());
}

#[tokio::test]
async fn a_service_manager_that_cannot_be_reached_holds_nothing_up() {
    let nats = Nats::start().await;
    for address in ["/no/such/socket", "nonsense", "@peerd-nobody"] {
        let mut peerd = Peerd::start_with(&nats.url(), &[("NOTIFY_SOCKET", address)]).await;
        assert!(peerd.log().contains("service manager"), "{}", peerd.log());
        assert!(peerd.terminate().await.success());
    }
}
