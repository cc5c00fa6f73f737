//! The floor: a service that knows nothing. It checks nothing, keeps nothing and orders nothing; for
//! each request it stores a record, and on the acknowledgement it tells as many events of the same
//! sizes as peerd would, and replies. What peerd costs beside that is the price of what it knows.
//!
//! It is a process of its own, so that what it uses can be told from what the load uses. It ends when
//! its standard input does, and then removes its streams: also when the load was killed.

use std::process::Stdio;
use std::sync::Arc;

use async_nats::client::Request;
use async_nats::jetstream::{self, stream};
use async_nats::{Client, HeaderMap, Message};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Semaphore;

use super::load::RECEIVED;
use super::sizes::{EventSize, Sizes};
use peerd_core::id::Partition;
use peerd_protocol::discovery::QUEUE_GROUP;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::subject::Subjects;

/// What it prints when it takes requests.
const READY: &str = "ready";

/// `peerd bench-floor`, which `peerd bench` starts.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// First token of every subject.
    #[arg(long)]
    pub prefix: String,
    /// Bytes to store.
    #[arg(long)]
    record: usize,
    /// Bytes to reply.
    #[arg(long)]
    reply: usize,
    /// `receiver` or `sender`, the event's name, and its bytes, with colons between.
    #[arg(long = "event", value_parser = parse_event)]
    events: Vec<EventSize>,
    /// What peerd's streams are named after.
    #[arg(long)]
    pub like: String,
}

fn parse_event(text: &str) -> Result<EventSize, String> {
    let problem = || format!("{text:?} is not receiver|sender:name:bytes");
    let [side, name, bytes] =
        text.split(':').collect::<Vec<_>>().try_into().map_err(|_| problem())?;
    let is_senders = match side {
        "sender" => true,
        "receiver" => false,
        _ => return Err(problem()),
    };
    let bytes = bytes.parse().map_err(|_| problem())?;
    Ok(EventSize { is_senders, name: name.to_owned(), bytes })
}

fn event_argument(event: &EventSize) -> String {
    let side = if event.is_senders { "sender" } else { "receiver" };
    format!("{side}:{}:{}", event.name, event.bytes)
}

/// The running process.
#[derive(Debug)]
pub(super) struct Baseline {
    child: Child,
    _input: ChildStdin,
    pub(super) subjects: Subjects,
}

impl Baseline {
    /// Starts it, with streams as `subjects` has them.
    pub(super) async fn start(
        source: &[std::ffi::OsString],
        subjects: &Subjects,
        sizes: &Sizes,
    ) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("the floor did not start: {error}");
        let prefix = format!("bench-floor-{}", nuid::next());
        let mut command = Command::new(std::env::current_exe().map_err(|error| failed(&error))?);
        command.args(["bench-floor", "--prefix", &prefix, "--like", subjects.prefix()]);
        command.args(["--record", &sizes.record.to_string(), "--reply", &sizes.reply.to_string()]);
        for event in &sizes.events {
            command.args(["--event", &event_argument(event)]);
        }
        command.args(source);
        // Ctrl-C is the load's; the floor ends with its input.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"no pipes"));
        };
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line).await;
        read.map_err(|error| failed(&error))?;
        if line.trim() != READY {
            return Err(failed(&"see above"));
        }
        let subjects = Subjects::new(&prefix, subjects.partitions());
        Ok(Self { child, _input: input, subjects })
    }

    /// Its process.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it; its streams are gone then.
    pub(super) async fn end(self) -> Result<(), String> {
        let Self { mut child, _input: input, .. } = self;
        drop(input);
        let ended = child.wait().await.map_err(|error| error.to_string())?;
        if ended.success() { Ok(()) } else { Err(format!("the floor ended with {ended}")) }
    }
}

/// What the floor serves with.
#[derive(Debug)]
pub struct Service {
    /// Two connections, as peerd has them and for the same reason: one for the store,
    pub store: Client,
    /// and one for calls, replies and events.
    pub bus: Client,
    /// By partition: the log stream of peerd that is copied, and the name of the copy.
    pub log_streams: Vec<(String, String)>,
    /// Requests under way at the same time, as peerd has it configured.
    pub calls_under_way: usize,
    /// How peerd writes events.
    pub event_encoding: Encoding,
}

struct Responder {
    store: Client,
    bus: Client,
    subjects: Subjects,
    record_bytes: usize,
    headers: HeaderMap,
    reply: Bytes,
    events: Vec<(EventSize, Bytes)>,
}

#[derive(Deserialize)]
struct Ack {
    seq: Option<u64>,
    error: Option<serde::de::IgnoredAny>,
}

/// Serves until the standard input ends; then its streams are gone.
pub async fn serve(service: Service, arguments: Arguments) -> Result<(), String> {
    let partitions = u16::try_from(service.log_streams.len()).map_err(|error| error.to_string())?;
    let subjects = Subjects::new(&arguments.prefix, partitions);
    let context = jetstream::new(service.store.clone());
    let log_streams = service.log_streams.clone();
    let made = make_all(&context, &subjects, &log_streams).await;
    let done = match made {
        Ok(()) => {
            let most_under_way = service.calls_under_way;
            let responder = Responder::new(service, subjects, arguments);
            respond(Arc::new(responder), most_under_way).await
        }
        Err(problem) => Err(problem),
    };
    for (_, ours) in log_streams {
        // One that was not made is not there to be removed.
        let _ = context.delete_stream(ours).await;
    }
    done
}

async fn make_all(
    context: &jetstream::Context,
    subjects: &Subjects,
    log_streams: &[(String, String)],
) -> Result<(), String> {
    for (number, (theirs, ours)) in (0..).zip(log_streams) {
        let subject = subjects.all_log(Partition(number));
        make(context, theirs, ours, subject).await?;
    }
    Ok(())
}

/// Makes a stream like one of peerd's.
async fn make(
    context: &jetstream::Context,
    like: &str,
    name: &str,
    subject: String,
) -> Result<(), String> {
    let found = context.get_stream(like).await.map_err(|error| format!("{like}: {error}"))?;
    let config = stream::Config {
        name: name.to_owned(),
        subjects: vec![subject],
        metadata: std::collections::HashMap::new(),
        ..found.cached_info().config.clone()
    };
    context.create_stream(config).await.map(drop).map_err(|error| error.to_string())
}

/// Answers until the standard input ends.
async fn respond(responder: Arc<Responder>, most_under_way: usize) -> Result<(), String> {
    let all = responder.subjects.all_calls();
    let requests = responder.bus.queue_subscribe(all, QUEUE_GROUP.to_owned()).await;
    let mut requests = requests.map_err(|error| error.to_string())?;
    responder.bus.flush().await.map_err(|error| error.to_string())?;
    say_ready().map_err(|error| error.to_string())?;
    let under_way = Arc::new(Semaphore::new(most_under_way));
    let mut input = tokio::io::stdin();
    let ended = tokio::spawn(async move {
        let mut nothing = [0];
        while input.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
    });
    tokio::pin!(ended);
    loop {
        let request = tokio::select! {
            request = requests.next() => request,
            _ = &mut ended => return Ok(()),
        };
        let Some(request) = request else { return Err("the connection was closed".to_owned()) };
        let Ok(permit) = under_way.clone().acquire_owned().await else { return Ok(()) };
        let responder = responder.clone();
        tokio::spawn(async move {
            responder.answer(request).await;
            drop(permit);
        });
    }
}

fn say_ready() -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{READY}").and_then(|()| out.flush())
}

impl Responder {
    fn new(service: Service, subjects: Subjects, arguments: Arguments) -> Self {
        let Service { store, bus, event_encoding, .. } = service;
        let Arguments { record, reply, events, .. } = arguments;
        let filled = |bytes: usize| Bytes::from(vec![b'.'; bytes]);
        Self {
            store,
            bus,
            subjects,
            record_bytes: record,
            headers: super::users::headers(event_encoding),
            reply: filled(reply),
            events: events
                .into_iter()
                .map(|event| {
                    let body = filled(event.bytes);
                    (event, body)
                })
                .collect(),
        }
    }

    /// The subject names both sides: `<prefix>.api.<sender>.<receiver>`. A request that is not
    /// stored has no answer.
    async fn answer(&self, request: Message) {
        let Message { subject, reply: Some(reply_to), payload, .. } = request else { return };
        let mut tokens = subject.rsplit('.');
        let (Some(receiver), Some(sender)) = (tokens.next(), tokens.next()) else { return };
        let (prefix, partition) = (self.subjects.prefix(), self.subjects.partition_of(receiver));
        let log = format!("{prefix}.log.{partition}.{receiver}.{sender}");
        let record = Request::new().payload(resized(&payload, self.record_bytes)).timeout(None);
        let Ok(ack) = self.store.send_request(log, record).await else { return };
        let is_stored = serde_json::from_slice::<Ack>(&ack.payload)
            .is_ok_and(|ack| ack.seq.is_some() && ack.error.is_none());
        if !is_stored {
            return;
        }
        for (event, filled) in &self.events {
            let user = if event.is_senders { sender } else { receiver };
            let subject = format!("{prefix}.event.{user}.{}", event.name);
            // The one by which the load sees when a message came holds what the load looks for.
            let body = if event.name == RECEIVED {
                resized(&payload, event.bytes)
            } else {
                filled.clone()
            };
            let _ = self.bus.publish_with_headers(subject, self.headers.clone(), body).await;
        }
        let (headers, body) = (self.headers.clone(), self.reply.clone());
        let _ = self.bus.publish_with_headers(reply_to, headers, body).await;
    }
}

/// So many bytes that begin as these do.
fn resized(bytes: &Bytes, length: usize) -> Bytes {
    if length <= bytes.len() {
        return bytes.slice(..length);
    }
    let mut longer = BytesMut::with_capacity(length);
    longer.extend_from_slice(bytes);
    longer.resize(length, b'.');
    longer.freeze()
}
