//! Header blocks and subjects that no client library sends, but that a nats-server passes on: they
//! affect their caller only.

use std::fmt::Write as _;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::world::{FAST, INVALID, World, text_to};
use crate::support::{Client, Events, Nats, Peerd, login};

const DEADLINE: Duration = Duration::from_secs(20);
const CONFIG: &str = r#"
authorization {
  users: [
    { user: all, password: secret }
    { user: mallory, password: secret, permissions: {
        publish: { allow: [ "peer.api.mallory.>" ] }, subscribe: { allow: [ "_INBOX_mallory.>" ] } } }
  ]
}
"#;

/// A raw connection that sends malformed requests, as a user with permissions for calls only.
struct Mallory {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Mallory {
    async fn connect(nats: &Nats) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", nats.port())).await.unwrap();
        let mut mallory = Self { stream, read: Vec::new() };
        let connect =
            r#"CONNECT {"user":"mallory","pass":"secret","headers":true,"no_responders":true}"#;
        mallory.send(format!("{connect}\r\nSUB _INBOX_mallory.> 1\r\nPING\r\n").as_bytes()).await;
        mallory.until("PONG").await;
        mallory
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn hpub(&mut self, method: &[u8], reply: &[u8], block: &[u8], body: &[u8]) {
        let mut sizes = String::new();
        write!(sizes, " {} {}\r\n", block.len(), block.len() + body.len()).unwrap();
        let frame = [b"HPUB peer.api.mallory.", method, b" ", reply, sizes.as_bytes(), block, body];
        self.send(&[&frame.concat()[..], b"\r\n"].concat()).await;
    }

    /// Waits for a text; takes everything up to its end.
    async fn until(&mut self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let found = self.read.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + text.len());
                let read = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&read).into_owned();
            }
            let left = DEADLINE.saturating_sub(began.elapsed());
            let read = timeout(left, self.stream.read_buf(&mut self.read)).await;
            let seen = String::from_utf8_lossy(&self.read).into_owned();
            let count = read.unwrap_or_else(|_| panic!("no {text:?} in {seen}")).unwrap();
            assert!(count > 0, "nats-server hung up; it had sent {seen}");
        }
    }
}

/// Malformed header blocks of every kind.
fn blocks() -> Vec<Vec<u8>> {
    let long =
        [b"NATS/1.0\r\nContent-Type ".to_vec(), b"x".repeat(20_000), b"\r\n\r\n".to_vec()].concat();
    let many = [b"NATS/1.0\r\n".to_vec(), b"A\r\n".repeat(2_000), b"\r\n".to_vec()].concat();
    let blocks: [&[u8]; 15] = [
        b"NATS/1.0\r\nContent-Type application/json\r\n\r\n",
        b"Content-Type: application/json\r\n\r\n",
        b"NATS/2.0\r\nContent-Type: application/json\r\n\r\n",
        b"nats/1.0\r\nContent-Type: application/json\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"NATS/1.0 abc\r\n\r\n",
        b"NATS/1.0 5030 no\r\n\r\n",
        b"NATS/1.0\r\nContent-Type: \xff\xfe\r\n\r\n",
        b"\xff\xfe\xfd",
        b"NATS/1.0\r\nA: \0\r\n\r\n",
        b"\0\0\0\0",
        b"\r\n\r\n",
        b"NATS/1.0",
        b"NATS/1.0\r\nA: 1",
        b"NATS/1.0\rA: 1\r\r",
    ];
    blocks.iter().map(|block| block.to_vec()).chain([long, many]).collect()
}

async fn client(nats: &Nats) -> Client {
    let options = async_nats::ConnectOptions::new();
    let options = options.user_and_password("all".to_owned(), "secret".to_owned());
    Client::new(options.connect(nats.url()).await.unwrap(), "peer")
}

struct Scene {
    instances: Vec<Peerd>,
    client: Client,
    nats: Nats,
    _dir: tempfile::TempDir,
}

async fn scene(instances: usize) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nats.conf");
    std::fs::write(&path, CONFIG).unwrap();
    let nats = Nats::start_with_config(&path, &[]).await;
    let envs = [("PEERD__NATS__USER", "all"), ("PEERD__NATS__PASSWORD", "secret"), FAST];
    let mut started = Vec::new();
    for _ in 0..instances {
        started.push(Peerd::start_probed_by(("all", "secret"), &nats.url(), &envs).await);
    }
    let client = client(&nats).await;
    Scene { instances: started, client, nats, _dir: dir }
}

impl Scene {
    /// Asserts that no instance lost a connection.
    fn assert_still_connected(&self) {
        for peerd in &self.instances {
            let log = peerd.log();
            assert_eq!(log.matches("connected to NATS").count(), 2, "{log}");
            assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
        }
    }
}

#[tokio::test]
async fn a_malformed_header_block_is_refused_and_nothing_else() {
    for instances in [1, 3] {
        let scene = scene(instances).await;
        let mut mallory = Mallory::connect(&scene.nats).await;
        for (number, block) in blocks().iter().enumerate() {
            for (body, encoding) in [(&b"{}"[..], "json"), (b"\x80", "msgpack"), (b"", "msgpack")] {
                for method in [&b"heartbeat"[..], b"login", b"no_such_method"] {
                    let reply = format!("_INBOX_mallory.{number}");
                    mallory.hpub(method, reply.as_bytes(), block, body).await;
                    // Once in a header and once in the body.
                    let mut answer = mallory.until("header block is malformed").await;
                    answer += &mallory.until("header block is malformed").await;
                    let shown = block.escape_ascii().to_string();
                    let shown = &shown[..shown.len().min(100)];
                    assert!(
                        answer.contains(&format!("application/{encoding}")),
                        "{shown}: {answer}"
                    );
                    assert!(answer.contains("header block is malformed"), "{shown}: {answer}");
                    let code = "Nats-Service-Error-Code: 6000001";
                    assert!(answer.contains(code), "{shown}: {answer}");
                    // Without a reply subject there is no answer.
                    let line = format!("HPUB peer.api.mallory.heartbeat {0} {0}\r\n", block.len());
                    mallory.send(&[line.as_bytes(), block, b"\r\n"].concat()).await;
                }
            }
        }
        mallory.send(b"PING\r\n").await;
        mallory.until("PONG").await;
        login(&scene.client, "alice").await;
        scene.assert_still_connected();
    }
}

#[tokio::test]
async fn a_message_with_a_status_is_no_call() {
    let scene = scene(1).await;
    let mut mallory = Mallory::connect(&scene.nats).await;
    mallory.send(b"PUB peer.api.mallory.login _INBOX_mallory.0 2\r\n{}\r\n").await;
    mallory.until("heartbeatInterval").await;
    for status in ["404 No Messages", "408", "100 Idle Heartbeat", "503"] {
        let block = format!("NATS/1.0 {status}\r\n\r\n");
        mallory.hpub(b"logout", b"_INBOX_mallory.1", block.as_bytes(), b"{}").await;
        let answer = mallory.until("\r\n\r\n").await;
        assert!(answer.contains("Nats-Service-Error-Code: 6000001"), "{status}: {answer}");
        mallory.until("has a status").await;
        let line = format!("HPUB peer.api.mallory.logout {0} {0}\r\n", block.len());
        mallory.send(&[line.as_bytes(), block.as_bytes(), b"\r\n"].concat()).await;
    }
    mallory.send(b"PING\r\n").await;
    mallory.until("PONG").await;
    // A client can make the server itself reply on this subject.
    let nats = scene.client.nats();
    let mut logouts = nats.subscribe("peer.api.mallory.logout").await.unwrap();
    let jetstream = async_nats::jetstream::new(nats.clone());
    let config = async_nats::jetstream::stream::Config {
        name: "OTHER".to_owned(),
        subjects: vec!["other".to_owned()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    let config = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("c".to_owned()),
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();
    let next = "$JS.API.CONSUMER.MSG.NEXT.OTHER.c";
    let pull = r#"{"batch":1,"no_wait":true}"#;
    nats.publish_with_reply(next, "peer.api.mallory.logout", pull.into()).await.unwrap();
    let logout = timeout(DEADLINE, logouts.next()).await.unwrap().unwrap();
    assert_eq!(logout.status.map(|status| status.as_u16()), Some(404));
    mallory.hpub(b"heartbeat", b"_INBOX_mallory.2", b"NATS/1.0\r\n\r\n", b"{}").await;
    mallory.until("serverTime").await;
}

#[tokio::test]
async fn subjects_and_header_values_that_no_library_sends_harm_nobody() {
    let scene = scene(3).await;
    let mut mallory = Mallory::connect(&scene.nats).await;
    mallory.send(b"PUB peer.api.mallory.login _INBOX_mallory.0 2\r\n{}\r\n").await;
    mallory.until("heartbeatInterval").await;
    let long = "m".repeat(3_000);
    let methods: [&[u8]; 9] = [
        b"\xff\xfe",
        "\u{a0}\u{2003}".as_bytes(),
        b"a\rb",
        b"a\x0b\x0cb",
        b"\x01\0",
        b"*",
        b">",
        b"=",
        long.as_bytes(),
    ];
    // Often enough that some must be forwarded.
    for _ in 0..6 {
        for method in methods {
            let frame =
                [b"PUB peer.api.mallory.", method, b" _INBOX_mallory.1 2\r\n{}\r\n"].concat();
            mallory.send(&frame).await;
            mallory.until("unknown_method").await;
        }
        // Reply subjects: as long as a line may be, and bytes that are not text.
        let reply = format!("_INBOX_mallory.{}", "r".repeat(3_900));
        mallory.hpub(b"heartbeat", reply.as_bytes(), b"NATS/1.0\r\n\r\n", b"{}").await;
        mallory.until("the reply subject").await;
        for reply in
            [&b"_INBOX_mallory.\xff"[..], b"_INBOX_mallory.a\rb", b"_INBOX_mallory.\xc2\xa0"]
        {
            mallory.hpub(b"heartbeat", reply, b"NATS/1.0\r\n\r\n", b"{}").await;
        }
        // A value that is too long to be forwarded with the largest body, or has control
        // characters.
        let huge = b"x".repeat(700_000);
        for value in [&huge[..], b"application/json\x01\x02\x1b", b";;;;", b""] {
            let block = [b"NATS/1.0\r\nContent-Type: ", value, b"\r\n\r\n"].concat();
            mallory.hpub(b"heartbeat", b"_INBOX_mallory.2", &block, b"{}").await;
            mallory.until("Content-Type must be").await;
        }
        let value = format!("application/json;{}", "x".repeat(100_000));
        let block = format!("NATS/1.0\r\nContent-Type: {value}\r\nPeer-Hops: x\r\n\r\n");
        mallory.hpub(b"heartbeat", b"_INBOX_mallory.3", block.as_bytes(), b"{}").await;
        mallory.until("serverTime").await;
        // As large as the server accepts: with one more header it could not be forwarded.
        let line = "PUB peer.api.mallory.heartbeat _INBOX_mallory.4 1048576\r\n";
        mallory.send(&[line.as_bytes(), &vec![b' '; 1_048_576], b"\r\n"].concat()).await;
        mallory.until("6000001").await;
    }
    login(&scene.client, "alice").await;
    scene.assert_still_connected();
}

/// The number of messages that these users could send within a time, each at a steady rate.
async fn accepted(client: &Client, users: &[String], time: Duration) -> usize {
    const EACH: Duration = Duration::from_millis(100);
    let ends = Instant::now() + time;
    let sends = users.iter().map(async |user| {
        let mut ticks = interval(EACH);
        let mut accepted = 0;
        while Instant::now() < ends {
            ticks.tick().await;
            let reply = client.call(user, "send_peer_message", text_to("bob", "x")).await;
            accepted += usize::from(reply.code.is_none());
        }
        accepted
    });
    join_all(sends).await.into_iter().sum()
}

async fn flood_harms_nobody(instances: usize, time: Duration) {
    let scene = scene(instances).await;
    let users: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    join_all(users.iter().map(|user| login(&scene.client, user))).await;
    let before = accepted(&scene.client, &users, time).await;
    let mut mallory = Mallory::connect(&scene.nats).await;
    let blocks = blocks();
    let ends = Instant::now() + time;
    let flood = async {
        let mut ticks = interval(Duration::from_millis(10));
        let mut sent = 0;
        while Instant::now() < ends {
            ticks.tick().await;
            let block = &blocks[sent % blocks.len()];
            mallory.hpub(b"heartbeat", b"_INBOX_mallory.1", block, b"{}").await;
            sent += 1;
        }
        sleep_until(ends).await;
        sent
    };
    let (during, sent) = tokio::join!(accepted(&scene.client, &users, time), flood);
    assert!(sent > 50, "{sent} malformed requests");
    assert!(during * 100 >= before * 95, "{before} were accepted before, {during} meanwhile");
    // Each is answered, with the error in a header and in the body.
    for _ in 0..2 * sent {
        mallory.until("the header block is malformed").await;
    }
    scene.assert_still_connected();
}

#[tokio::test]
async fn a_flood_of_malformed_requests_delays_nobody() {
    flood_harms_nobody(1, Duration::from_secs(8)).await;
}

#[tokio::test]
async fn a_flood_of_malformed_requests_delays_nobody_of_three_instances() {
    flood_harms_nobody(3, Duration::from_secs(4)).await;
}

#[tokio::test]
async fn malformed_requests_to_discovery_and_probes_harm_nobody() {
    let world = World::of(&["alice"]).await;
    let mut raw = TcpStream::connect(("127.0.0.1", world.nats.port())).await.unwrap();
    let id = world.peerd.instance_id().to_owned();
    let mut frames = b"CONNECT {\"headers\":true}\r\n".to_vec();
    let subjects = [
        "$SRV.PING".to_owned(),
        "$SRV.STATS.peerd".to_owned(),
        format!("$SRV.INFO.peerd.{id}"),
        format!("peer.part.=.{id}"),
        "peer.part.0.alice.heartbeat".to_owned(),
        "peer.part.0.alice".to_owned(),
        "_INBOX.x.1".to_owned(),
    ];
    for subject in &subjects {
        for block in blocks() {
            let line = format!("HPUB {subject} {0} {0}\r\n", block.len());
            frames.extend([line.as_bytes(), &block, b"\r\n"].concat());
            let line = format!("HPUB {subject} r.1 {0} {0}\r\n", block.len());
            frames.extend([line.as_bytes(), &block, b"\r\n"].concat());
        }
        // No client can make peerd publish to its own subjects.
        frames.extend(format!("PUB {subject} peer.event.alice.x 0\r\n\r\n").bytes());
    }
    let mut events: Events = world.events("alice").await;
    raw.write_all(&frames).await.unwrap();
    raw.write_all(b"PING\r\n").await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"PONG\r\n") {
        assert!(timeout(DEADLINE, raw.read_buf(&mut read)).await.unwrap().unwrap() > 0);
    }
    world.ok("alice", "heartbeat", json!({})).await;
    let stats = world.client.nats().request("$SRV.STATS.peerd", "".into()).await.unwrap();
    let stats: Value = serde_json::from_slice(&stats.payload).unwrap();
    let endpoint = &stats["endpoints"][0];
    assert!(endpoint["num_errors"].as_u64().unwrap() >= blocks().len() as u64, "{endpoint}");
    assert!(endpoint["last_error"].as_str().unwrap().starts_with(&INVALID.to_string()));
    events.none().await;
    assert_eq!(world.peerd.log().matches("connected to NATS").count(), 2);
}
