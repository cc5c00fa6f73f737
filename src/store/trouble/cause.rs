//! The possible problems of the store, and their remedies.

use super::Resource;
use crate::store::StreamId;

/// The subject of a problem: at most one problem of each subject is ongoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    One(Resource),
    /// The account's limits of JetStream.
    Account,
    /// The storage that the nats-server may use.
    Server,
    /// The disk of the nats-server.
    Disk,
    /// JetStream as a whole.
    JetStream,
}

/// The cause of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The stream does not exist.
    Gone,
    /// The stream does not exist and could not be created again.
    NotMadeAnew(String),
    /// The stream has reached a limit of its own; the server's words.
    Full(String),
    /// The stream takes no writes for another reason; the server's words.
    Refused(String),
    /// The stream is not as configured; what differs.
    Differs(Vec<String>),
    /// The account has reached a limit.
    Account(String),
    /// The server has reached a limit.
    Server(String),
    /// The server's disk is full.
    Disk(String),
    /// Publishes are neither acknowledged nor refused, as with a full disk.
    Unacked,
    /// JetStream does not answer, or is off.
    NoJetStream(String),
}

/// One code for several limits, which the description tells apart.
const STORE_FAILED: u32 = 10077;
/// Limits of the account.
const ACCOUNT: [u32; 3] = [10002, 10027, 10028];
/// Limits of the server.
const SERVER: [u32; 2] = [10023, 10047];
/// JetStream is off, or not for this account.
const NO_JETSTREAM: [u32; 3] = [10035, 10039, 10076];

impl Cause {
    /// The cause, if a publish was refused with this code.
    #[must_use]
    pub fn of_refusal(code: u32, description: &str) -> Self {
        let words = format!("{description} ({code})");
        let says = |what| description.to_ascii_lowercase().contains(what);
        if says("no space left") || says("disk quota") || says("out of space") {
            Self::Disk(words)
        } else if ACCOUNT.contains(&code) {
            Self::Account(words)
        } else if SERVER.contains(&code) {
            Self::Server(words)
        } else if NO_JETSTREAM.contains(&code) {
            Self::NoJetStream(words)
        } else if code == STORE_FAILED && says("maximum") {
            Self::Full(words)
        } else {
            Self::Refused(words)
        }
    }

    pub(super) const fn place(&self, resource: Resource) -> Place {
        match self {
            Self::Gone
            | Self::NotMadeAnew(_)
            | Self::Full(_)
            | Self::Refused(_)
            | Self::Differs(_) => Place::One(resource),
            Self::Account(_) => Place::Account,
            Self::Server(_) => Place::Server,
            Self::Disk(_) | Self::Unacked => Place::Disk,
            Self::NoJetStream(_) => Place::JetStream,
        }
    }

    /// All kinds.
    pub const KINDS: [&'static str; 10] = [
        "gone",
        "not_made_anew",
        "full",
        "refused",
        "differs",
        "account",
        "server",
        "disk",
        "unacked",
        "no_jetstream",
    ];

    /// The kind, for programs: one of [`Self::KINDS`].
    pub(super) const fn kind(&self) -> &'static str {
        let [gone, not_made_anew, full, refused, differs, account, server, disk, unacked, off] =
            Self::KINDS;
        match self {
            Self::Gone => gone,
            Self::NotMadeAnew(_) => not_made_anew,
            Self::Full(_) => full,
            Self::Refused(_) => refused,
            Self::Differs(_) => differs,
            Self::Account(_) => account,
            Self::Server(_) => server,
            Self::Disk(_) => disk,
            Self::Unacked => unacked,
            Self::NoJetStream(_) => off,
        }
    }

    /// The problem and its remedy as sentences.
    pub(super) fn sentences(&self, resource: Resource, name: &str) -> (String, String) {
        let (problem, remedy) = match self {
            Self::Gone => {
                (format!("stream {name} is gone, with {}", held(resource)), lost(resource))
            }
            Self::NotMadeAnew(why) => (
                format!("stream {name} is gone and cannot be made anew: {why}"),
                format!("remove what keeps peerd from making {name}; peerd tries again"),
            ),
            Self::Full(words) => (
                format!("stream {name} is full and takes no writes: {words}"),
                room(resource, name),
            ),
            Self::Refused(words) => (
                format!("stream {name} refuses writes: {words}"),
                format!("see `nats stream info {name}` and undo what was changed"),
            ),
            Self::Differs(lines) => (
                format!("stream {name} is not as configured: {}", differing(lines)),
                format!("set it back with `nats stream edit {name}`, or configure peerd alike"),
            ),
            Self::Account(words) => (
                format!("the account has reached a JetStream limit, met on stream {name}: {words}"),
                "raise the account's JetStream limits, or free storage in its streams".to_owned(),
            ),
            Self::Server(words) => (
                format!("the nats-server has no JetStream storage left for stream {name}: {words}"),
                "raise max_file_store or max_memory_store of the nats-server, or free storage"
                    .to_owned(),
            ),
            Self::Disk(words) => (
                format!("the disk of the nats-server is full, met on stream {name}: {words}"),
                "free space on the disk with the nats-server's store_dir; where it has turned \
                 JetStream off, restart it then"
                    .to_owned(),
            ),
            Self::Unacked => (
                format!("the nats-server acknowledges no writes, met on stream {name}"),
                "see its log: its disk may be full, or the stream may have lost its quorum; free space \
                 on the disk with its store_dir, and restart it should that not be enough"
                    .to_owned(),
            ),
            Self::NoJetStream(words) => (
                format!("JetStream does not serve stream {name}: {words}"),
                "see the nats-server's log: JetStream is off there or for this account, has no \
                 quorum, or was turned off when the disk was full"
                    .to_owned(),
            ),
        };
        (problem, remedy)
    }
}

/// The former content of a lost stream.
const fn held(resource: Resource) -> &'static str {
    match resource {
        Resource::Stream(StreamId::Log(_)) => "all messages in it",
        Resource::Stream(StreamId::State(_)) => {
            "the sessions, settings and blocklists of its users"
        }
        Resource::Owners => "who owns which partition (bucket of members and owners)",
        Resource::Push => "the offline pushes that waited in it",
    }
}

fn lost(resource: Resource) -> String {
    match resource {
        Resource::Stream(_) => {
            "peerd makes it anew, empty; what it held is lost: to have that back, stop peerd, delete \
             the new one and restore a backup"
        }
        Resource::Owners => "peerd makes it anew and shares the partitions out again; find out who deleted it",
        Resource::Push => "peerd makes it anew; the pushes are lost: find out who deleted it",
    }
    .to_owned()
}

fn room(resource: Resource, name: &str) -> String {
    let option = match resource {
        Resource::Stream(StreamId::Log(_)) => "raise stream.max_bytes for peerd and",
        Resource::Push => "raise push.max_messages for peerd and",
        Resource::Stream(StreamId::State(_)) | Resource::Owners => "raise its limits with",
    };
    format!("{option} `nats stream edit {name}`, or delete what is old: `nats stream purge {name}`")
}

/// The differences, in one line.
fn differing(lines: &[String]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_distinguished() {
        let of = Cause::of_refusal;
        assert!(matches!(of(10077, "maximum bytes exceeded"), Cause::Full(_)));
        assert!(matches!(of(10077, "write x: no space left on device"), Cause::Disk(_)));
        assert!(matches!(of(10077, "something else"), Cause::Refused(_)));
        assert!(matches!(of(10002, "resource limits exceeded for account"), Cause::Account(_)));
        assert!(matches!(of(10023, "insufficient resources"), Cause::Server(_)));
        assert!(matches!(of(10039, "not enabled"), Cause::NoJetStream(_)));
        assert!(matches!(of(10109, "invalid operation on sealed stream"), Cause::Refused(_)));
    }
}
