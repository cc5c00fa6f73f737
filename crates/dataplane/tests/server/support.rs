//! The shared code of these tests.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peerd_dataplane::{Client, Event, Options, Publish};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::nats::Nats;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The events of a connection, as text.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|event| event.contains(what)).count()
    }

    /// Waits until `count` events contain the text.
    pub(crate) async fn until(&self, what: &str, count: usize) {
        until(what, || self.count(what) >= count).await;
    }
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn options(url: &str) -> (Options, Events) {
    let events = Events::default();
    let log = events.clone();
    let on_event = Arc::new(move |event: &Event<'_>| {
        log.0.lock().unwrap().push(format!("{event:?}"));
    });
    let options = Options {
        servers: vec![url.to_owned()],
        name: "test".to_owned(),
        on_event,
        ..Options::default()
    };
    (options, events)
}

pub(crate) async fn connect(url: &str) -> (Client, Events) {
    let (options, events) = options(url);
    (Client::connect(options).await.expect("a connection"), events)
}

/// A message without headers.
pub(crate) fn to<'p>(subject: &'p str, payload: &'p [u8]) -> Publish<'p> {
    Publish { subject: subject.as_bytes(), payload, ..Publish::default() }
}

/// Asserts that a future completes in time.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("an end in time")
}

/// A server with a configuration, and the folder of the files that it names.
pub(crate) async fn server(config: &str) -> (Nats, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let nats = server_in(&dir, config).await;
    (nats, dir)
}

pub(crate) async fn server_in(dir: &TempDir, config: &str) -> Nats {
    let path = file(dir, "nats.conf", config);
    Nats::start_with_config(path, &[]).await
}

pub(crate) fn file(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

pub(crate) fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A raw connection, for frames that no library sends.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(port: u16) -> Self {
        let mut raw = Self(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let connect = r#"CONNECT {"verbose":false,"headers":true,"no_responders":true}"#;
        raw.send(format!("{connect}\r\n").as_bytes()).await;
        raw.synced().await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Waits until the server has received everything.
    pub(crate) async fn synced(&mut self) {
        self.send(b"PING\r\n").await;
        let mut read = Vec::new();
        while !read.ends_with(b"PONG\r\n") {
            let count = soon(self.0.read_buf(&mut read)).await.unwrap();
            assert!(count > 0, "the server hung up: {}", read.escape_ascii());
        }
    }

    /// `HPUB` of a whole header block.
    pub(crate) async fn hpub(&mut self, subject: &[u8], header: &[u8], payload: &[u8]) {
        let (header_bytes, total) = (header.len(), header.len() + payload.len());
        let line = format!(" {header_bytes} {total}\r\n");
        let frame = [b"HPUB ", subject, line.as_bytes(), header, payload, b"\r\n"].concat();
        self.send(&frame).await;
    }
}
