//! Writes the notes of clients in the format of `docs/verify.md`, and runs `peerd verify` on them.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::failure::Failure;
use crate::events::unbundled;
use crate::{Encoding, decode, run_cli_within};

/// The subjects of all events.
const EVENTS: &str = "peer.event.*.*";
/// The time by which every published event has arrived.
const QUIET: Duration = Duration::from_secs(6);
/// The time limit of `peerd verify`.
const JUDGED: Duration = Duration::from_secs(600);

/// The notes of one run, in a folder that is deleted with this.
pub struct Notes {
    folder: TempDir,
    began: Instant,
    began_us: u64,
    files: Mutex<Vec<(PathBuf, Arc<Sheet>)>>,
    operations: AtomicU64,
}

/// The notes of one client.
pub struct Sheet {
    file: Mutex<BufWriter<File>>,
    began: Instant,
    began_us: u64,
    calls: AtomicU64,
}

/// The target of a disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbed {
    /// Instances of peerd.
    Peerd,
    /// nats-servers, or the network to them.
    Nats,
}

impl Notes {
    /// Empty notes.
    pub fn new() -> Result<Arc<Self>, Failure> {
        #[expect(clippy::disallowed_methods, reason = "what notes carry is the time of day")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(Arc::new(Self {
            folder: tempfile::Builder::new().prefix("peerd-notes-").tempdir()?,
            began: Instant::now(),
            began_us: u64::try_from(now.as_micros())?,
            files: Mutex::default(),
            operations: AtomicU64::new(0),
        }))
    }

    /// A file for one more client.
    pub fn sheet(&self) -> Result<Arc<Sheet>, Failure> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.path().join(format!("client-{}.jsonl", files.len()));
        let sheet = Arc::new(Sheet {
            file: Mutex::new(BufWriter::new(File::create(&path)?)),
            began: self.began,
            began_us: self.began_us,
            calls: AtomicU64::new(0),
        });
        files.push((path, Arc::clone(&sheet)));
        Ok(sheet)
    }

    /// A number for the attempts of one operation.
    pub fn operation(&self) -> u64 {
        self.operations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Receives the events of all users over a connection to these servers, until the set is
    /// dropped.
    pub async fn listen(&self, servers: &[String], tasks: &mut JoinSet<()>) -> Result<(), Failure> {
        let sheet = self.sheet()?;
        let (lost, was_deaf) = (Arc::clone(&sheet), AtomicBool::new(false));
        let servers: Vec<async_nats::ServerAddr> =
            servers.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        let client = async_nats::ConnectOptions::new()
            .retain_servers_order()
            .event_callback(move |event| {
                use async_nats::Event;
                if matches!(event, Event::Disconnected | Event::SlowConsumer(_)) {
                    was_deaf.store(true, Ordering::SeqCst);
                    lost.write(json!({ "deaf": true }));
                } else if event == Event::Connected && was_deaf.load(Ordering::SeqCst) {
                    lost.write(json!({ "listening": "*" }));
                }
                std::future::ready(())
            })
            .connect(servers)
            .await?;
        let mut events = client.subscribe(EVENTS).await?;
        client.flush().await?;
        // A round trip: the server has the subscription.
        let _ = client.request("peer.part.=", "".into()).await;
        sheet.write(json!({ "listening": "*" }));
        tasks.spawn(async move {
            while let Some(message) = events.next().await {
                sheet.note_event(&message);
            }
            drop(client);
        });
        Ok(())
    }

    /// Notes the beginning of a disturbance.
    pub fn disturbed(&self, what: Disturbed) -> Result<(), Failure> {
        let what = match what {
            Disturbed::Peerd => "peerd",
            Disturbed::Nats => "nats",
        };
        self.first()?.write(json!({ "disturbed": what }));
        Ok(())
    }

    /// Notes that the system has recovered.
    pub fn calm(&self) -> Result<(), Failure> {
        self.first()?.write(json!({ "calm": true }));
        Ok(())
    }

    fn first(&self) -> Result<Arc<Sheet>, Failure> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(&files.first().ok_or("nobody takes notes")?.1))
    }

    /// Runs `peerd verify` on the notes, once every published event has arrived.
    pub async fn verify(&self, servers: &str) -> Result<Value, Failure> {
        sleep(QUIET).await;
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut arguments: Vec<PathBuf> = vec!["verify".into(), "--json".into()];
        for (path, sheet) in files {
            sheet.flush()?;
            arguments.push(path);
        }
        run_cli_within(JUDGED, &arguments, [("PEERD__NATS__SERVERS", servers)]).await.json()
    }

    /// Copies the notes to a folder that is not deleted.
    pub fn keep(&self, folder: &Path) -> std::io::Result<()> {
        for (path, sheet) in &*self.files.lock().unwrap_or_else(PoisonError::into_inner) {
            sheet.flush()?;
            let name = path.file_name().unwrap_or_default();
            std::fs::copy(path, folder.join(name))?;
        }
        Ok(())
    }
}

/// The faults of a verdict, as sentences.
pub fn faults(verdict: &Value) -> Vec<String> {
    let faults = verdict["faults"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    faults.map(|it| format!("{}: {}", text(&it["kind"]), text(&it["text"]))).collect()
}

impl Sheet {
    /// Notes the beginning of a call; returns its number.
    pub fn called(&self, operation: u64, user: &str, method: &str, body: &Value) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.write(json!({
            "call": call, "operation": operation, "user": user, "method": method, "body": body,
        }));
        call
    }

    /// Notes the success of a call.
    pub fn answered(&self, call: u64, body: &Value) {
        self.write(json!({ "answer": call, "body": body }));
    }

    /// Notes the refusal of a call.
    pub fn refused(&self, call: u64, reason: &str) {
        self.write(json!({ "answer": call, "error": reason }));
    }

    fn note_event(&self, message: &async_nats::Message) {
        let mut tokens = message.subject.rsplit('.');
        let (event, user) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
        let headers = message.headers.as_ref();
        let content_type = headers.and_then(|headers| headers.get("Content-Type"));
        let is_json = content_type.is_some_and(|kind| kind.as_str() == "application/json");
        let encoding = if is_json { Encoding::Json } else { Encoding::MessagePack };
        let body = decode(encoding, &message.payload);
        let user = user_of(user);
        for (event, body) in unbundled(event, &body) {
            self.write(json!({ "event": event, "user": user, "body": body }));
        }
    }

    fn write(&self, mut note: Value) {
        let since = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        note["at"] = json!(self.began_us.saturating_add(since));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A missing note shows when the notes are read.
        let _ = writeln!(file, "{note}");
    }

    fn flush(&self) -> std::io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// The user of a token.
fn user_of(token: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        if byte == b'%'
            && let Some((high, low)) = digit(rest.next()).zip(digit(rest.next()))
        {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
