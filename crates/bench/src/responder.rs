//! The responders that peerd is compared with, as separate processes, so that their CPU time and
//! memory are not counted for the load generator. Their work is in [`baseline`] and [`limit`].
//!
//! A responder ends when its standard input does, also after the load generator was killed, and
//! then removes its streams.
//!
//! [`baseline`]: super::baseline
//! [`limit`]: super::limit

use std::ffi::OsString;
use std::process::Stdio;

use async_nats::Client;
use async_nats::jetstream::{self, Context, stream};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::report::Who;
use super::sizes::{EventSize, Sizes};
use peerd_core::id::Partition;
use peerd_protocol::subject::Subjects;

/// Printed when the responder takes requests.
const READY: &str = "ready";
/// The answer to a request beyond the limit, like peerd's: the code, and a body.
pub(super) const OVERLOADED_CODE: &str = "6000007";
pub(super) const OVERLOADED: &str = r#"{"reason":"overloaded"}"#;

/// `peerd bench-baseline` and `peerd bench-limit`, which `peerd bench` starts.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// First token of every subject.
    #[arg(long)]
    pub prefix: String,
    /// Bytes of a record.
    #[arg(long)]
    pub(super) record: usize,
    /// Bytes of a reply.
    #[arg(long)]
    pub(super) reply: usize,
    /// `receiver` or `sender`, the event's name, and its bytes, with colons between.
    #[arg(long = "event", value_parser = parse_event)]
    pub(super) events: Vec<EventSize>,
    /// The prefix of peerd's subjects, after which its streams are named.
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

/// A running responder.
#[derive(Debug)]
pub(super) struct Responder {
    pub(super) who: Who,
    child: Child,
    _input: ChildStdin,
    pub(super) subjects: Subjects,
}

impl Responder {
    /// Starts it, with the partitions of `subjects`. `source` has the arguments with which it finds
    /// the same NATS.
    pub(super) async fn start(
        who: Who,
        source: &[OsString],
        subjects: &Subjects,
        sizes: &Sizes,
    ) -> Result<Self, String> {
        let name = who.name();
        let failed = |error: &dyn std::fmt::Display| format!("the {name} did not start: {error}");
        let prefix = format!("bench-{name}-{}", nuid::next());
        let mut command = Command::new(std::env::current_exe().map_err(|error| failed(&error))?);
        command.arg(format!("bench-{name}"));
        command.args(["--prefix", &prefix, "--like", subjects.prefix()]);
        command.args(["--record", &sizes.record.to_string(), "--reply", &sizes.reply.to_string()]);
        for event in &sizes.events {
            command.args(["--event", &event_argument(event)]);
        }
        command.args(source);
        // Ctrl-C is meant for the load generator; the responder ends with its input.
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
        Ok(Self { who, child, _input: input, subjects })
    }

    /// Its process ID.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it; it removes its streams first.
    pub(super) async fn end(self) -> Result<(), String> {
        let Self { who, mut child, _input: input, .. } = self;
        drop(input);
        let ended = child.wait().await.map_err(|error| error.to_string())?;
        if ended.success() { Ok(()) } else { Err(format!("the {} ended with {ended}", who.name())) }
    }
}

/// The log streams of a responder: copies of peerd's, without their content.
#[derive(Debug)]
pub struct Streams {
    context: Context,
    /// By partition: the copied stream of peerd, and the name of the copy.
    names: Vec<(String, String)>,
}

impl Streams {
    /// `names`: by partition, the copied log stream of peerd, and the name of the copy.
    #[must_use]
    pub fn new(client: Client, names: Vec<(String, String)>) -> Self {
        Self { context: jetstream::new(client), names }
    }

    /// The subjects of a responder with this prefix.
    pub(super) fn subjects(&self, prefix: &str) -> Result<Subjects, String> {
        let partitions = u16::try_from(self.names.len()).map_err(|error| error.to_string())?;
        Ok(Subjects::new(prefix, partitions))
    }

    /// Creates the streams, does `work`, and removes them.
    pub(super) async fn around(
        &self,
        subjects: &Subjects,
        work: impl Future<Output = Result<(), String>>,
    ) -> Result<(), String> {
        let done = match self.make_all(subjects).await {
            Ok(()) => work.await,
            Err(problem) => Err(problem),
        };
        for (_, ours) in &self.names {
            // A stream that was not created cannot be removed.
            let _ = self.context.delete_stream(ours).await;
        }
        done
    }

    async fn make_all(&self, subjects: &Subjects) -> Result<(), String> {
        for (number, (theirs, ours)) in (0..).zip(&self.names) {
            let found = self.context.get_stream(theirs).await;
            let found = found.map_err(|error| format!("{theirs}: {error}"))?;
            let config = stream::Config {
                name: ours.clone(),
                subjects: vec![subjects.all_log(Partition(number))],
                metadata: std::collections::HashMap::new(),
                ..found.cached_info().config.clone()
            };
            let made = self.context.create_stream(config).await;
            made.map_err(|error| format!("{ours}: {error}"))?;
        }
        Ok(())
    }
}

/// Waits until the standard input ends.
pub(super) async fn input_ended() {
    let mut input = tokio::io::stdin();
    let mut nothing = [0];
    while input.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
}

/// Notifies the load generator that requests are taken.
pub(super) fn say_ready() -> Result<(), String> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{READY}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// Whether an acknowledgement of JetStream says that the record is stored.
pub(super) fn is_stored(ack: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Ack {
        seq: Option<u64>,
        error: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Ack>(ack).is_ok_and(|ack| ack.seq.is_some() && ack.error.is_none())
}

/// Sender and receiver of a request, whose subject is `<prefix>.api.<sender>.<receiver>`.
pub(super) fn users(subject: &str) -> Option<(&str, &str)> {
    let (rest, receiver) = subject.rsplit_once('.')?;
    let (_, sender) = rest.rsplit_once('.')?;
    Some((sender, receiver))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_back_from_its_argument() {
        for is_senders in [false, true] {
            let event = EventSize { is_senders, name: "typing".to_owned(), bytes: 17 };
            assert_eq!(parse_event(&event_argument(&event)), Ok(event));
        }
        for bad in ["", "sender:typing", "both:typing:1", "sender:typing:-1", "sender:a:b:1"] {
            assert!(parse_event(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_an_acknowledgement_without_an_error_says_that_a_record_is_stored() {
        assert!(is_stored(br#"{"stream":"PEER_LOG_0","seq":7}"#));
        for other in [&br#"{"error":{"code":503},"seq":0}"#[..], b"{\"stream\":\"S\"}", b"", b"+OK"]
        {
            assert!(!is_stored(other), "{other:?}");
        }
    }

    #[test]
    fn a_subject_names_sender_and_receiver() {
        assert_eq!(users("bench-limit-x.api.alice.bob"), Some(("alice", "bob")));
        assert_eq!(users("alice.bob"), None);
    }
}
