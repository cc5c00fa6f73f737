//! Connections that break at any byte, and servers that stop and start.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use peerd_dataplane::{Client, Publish};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};

use crate::nats::{Nats, reserved_port};
use crate::support::{connect, file, options, soon, to, until};

/// A proxy that cuts its first connection after a number of bytes from or to the server.
struct Cutter {
    url: String,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    from_server: usize,
    to_server: usize,
}

const NEVER: Cut = Cut { from_server: usize::MAX, to_server: usize::MAX };

impl Cutter {
    async fn start(target: u16, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let connections: Arc<AtomicUsize> = Arc::default();
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cut = if counted.fetch_add(1, Ordering::Relaxed) == 0 { cut } else { NEVER };
                tokio::spawn(async move {
                    let far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    tokio::select! {
                        () = pass(near_in, far_out, cut.to_server) => {}
                        () = pass(far_in, near_out, cut.from_server) => {}
                    }
                });
            }
        });
        Self { url, connections, task }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards a number of bytes, then ends.
async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut bytes: usize) {
    let mut buffer = [0; 4096];
    while bytes > 0 {
        let most = bytes.min(buffer.len());
        let Ok(count @ 1..) = from.read(&mut buffer[..most]).await else { return };
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        bytes -= count;
    }
}

/// Connects, subscribes, and exchanges messages and a request, despite failures.
async fn exchange(url: &str) {
    let client = loop {
        if let Ok(client) = Client::connect(options(url).0).await {
            break client;
        }
    };
    let subject = nuid::next().to_string();
    let mut subscription = client.subscribe(&subject, None);
    for round in 0..3_u8 {
        // Messages that were lost with a connection are sent again.
        loop {
            client.publish(&to(&subject, &[round])).await.expect("not closed");
            if client.round_trip().await.is_ok() {
                break;
            }
        }
        loop {
            let message = subscription.next().await.expect("it is still there");
            assert!(message.payload[0] <= round);
            if message.payload[..] == [round] {
                break;
            }
        }
    }
    loop {
        until("connected", || client.is_connected()).await;
        let reply = client.new_reply_subject();
        let request = Publish { reply: Some(reply.as_bytes()), ..to(&subject, b"?") };
        let answering = async {
            loop {
                let request = subscription.next().await.expect("it is still there");
                if let Some(reply) = request.reply {
                    let answer = Publish { subject: &reply, payload: b"!", ..Publish::default() };
                    client.publish(&answer).await.expect("not closed");
                }
            }
        };
        let asking = client.request(&request, |_| true);
        let answer = tokio::select! {
            answer = asking => answer,
            () = answering => unreachable!("it never ends"),
        };
        if answer.is_ok_and(|answer| answer.payload == "!") {
            return;
        }
    }
}

#[tokio::test]
async fn cut_at_any_byte_the_connection_is_made_again() {
    /// More than the bytes of the exchange in either direction.
    const BYTES: usize = 1200;
    /// The number of concurrent exchanges.
    const AT_ONCE: usize = 60;
    let nats = Nats::start().await;
    let port = nats.port();
    let cuts = (0..BYTES)
        .flat_map(|bytes| [Cut { from_server: bytes, ..NEVER }, Cut { to_server: bytes, ..NEVER }]);
    let cuts: Vec<Cut> = cuts.collect();
    let mut was_cut = 0;
    for some in cuts.chunks(AT_ONCE) {
        let tasks = some.iter().map(|cut| {
            let cut = *cut;
            tokio::spawn(async move {
                let cutter = Cutter::start(port, cut).await;
                let exchanged =
                    tokio::time::timeout(crate::support::DEADLINE, exchange(&cutter.url));
                exchanged.await.unwrap_or_else(|_| panic!("not in time: {cut:?}"));
                cutter.connections.load(Ordering::Relaxed)
            })
        });
        for connections in tasks.collect::<Vec<_>>() {
            was_cut += usize::from(connections.await.unwrap() > 1);
        }
    }
    assert!(was_cut > BYTES / 2, "only {was_cut} exchanges were cut");
}

#[tokio::test]
async fn subscriptions_are_made_again_after_a_restart() {
    let mut nats = Nats::start().await;
    let (client, events) = connect(&nats.url()).await;
    let mut kept = client.subscribe("a.*", Some("group"));
    let dropped = client.subscribe("b", None);
    let drained = client.subscribe("c", None);
    soon(client.round_trip()).await.expect("a connection");
    nats.kill9();
    events.until("Disconnected", 1).await;
    assert!(!client.is_connected());
    drop(dropped);
    soon(drained.drain()).await;
    let mut late = client.subscribe("d", None);
    // A message that waits for a connection is sent when there is one.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.publish(&to("d", b"late")).await }
    });
    nats.restart().await;
    events.until("Connected { server", 2).await;
    waiting.await.unwrap().expect("a connection");
    assert_eq!(&soon(late.next()).await.expect("a message").payload[..], b"late");
    client.publish(&to("a.1", b"")).await.expect("a connection");
    soon(kept.next()).await.expect("a message");
    // Ended subscriptions are not restored.
    for subject in ["b", "c"] {
        let reply = client.new_reply_subject();
        let request = Publish { reply: Some(reply.as_bytes()), ..to(subject, b"") };
        let answer = soon(client.request(&request, |_| true)).await;
        assert_eq!(answer, Err(peerd_dataplane::RequestError::NoResponders), "{subject}");
    }
}

/// Three nodes of one cluster.
async fn cluster(dir: &tempfile::TempDir, more: &str) -> Vec<Nats> {
    let routes: Vec<u16> = (0..3).map(|_| reserved_port()).collect();
    let urls: Vec<String> =
        routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    let nodes = routes.iter().enumerate().map(|(number, route)| {
        let config = format!(
            "server_name: n{number}\n{more}\n\
             cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [ {} ] }}\n",
            urls.join(", ")
        );
        let path = file(dir, &format!("{number}.conf"), &config);
        Nats::start_at(reserved_port(), path)
    });
    let mut started = Vec::new();
    for node in nodes {
        started.push(node.await);
    }
    started
}

#[tokio::test]
async fn servers_that_the_cluster_names_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = cluster(&dir, "").await;
    let (client, events) = connect(&nodes[0].url()).await;
    until("all are named", || client.server_info().connect_urls.len() >= 2).await;
    let mut subscription = client.subscribe("a", None);
    nodes[0].kill9();
    events.until("Connected { server", 2).await;
    client.publish(&to("a", b"")).await.expect("a connection");
    soon(subscription.next()).await.expect("a message");
    assert_eq!(events.count(&nodes[0].url()), 1, "{:?}", events.all());
}

#[tokio::test]
async fn a_server_that_is_about_to_end_is_left_in_good_time() {
    let dir = tempfile::tempdir().unwrap();
    // The shortest values that a server allows.
    let more = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"20s\"";
    let mut nodes = cluster(&dir, more).await;
    let (client, events) = connect(&nodes[0].url()).await;
    until("all are named", || client.server_info().connect_urls.len() >= 2).await;
    let mut subscription = client.subscribe("a", None);
    client.round_trip().await.expect("a connection");
    let status = Command::new("kill").args(["-USR2", &nodes[0].pid().to_string()]).status();
    assert!(status.unwrap().success());
    events.until("LameDuck", 1).await;
    events.until("Connected { server", 2).await;
    // It was not closed by the server, which would take twenty seconds.
    let all = events.all();
    assert!(all[2].contains("the server is shutting down"), "{all:?}");
    let moved = all.iter().rfind(|event| event.starts_with("Connected")).unwrap();
    assert!(!moved.contains(&nodes[0].url()), "{all:?}");
    client.publish(&to("a", b"")).await.expect("a connection");
    soon(subscription.next()).await.expect("a message");
    nodes[0].kill9();
    soon(client.round_trip()).await.expect("the connection is to another server");
    assert_eq!(events.all().len(), all.len(), "{:?}", events.all());
}
