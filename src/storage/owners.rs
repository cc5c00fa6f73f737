//! The entries of the owners' bucket: the members, the owners, and the published-up-to time of each
//! member. JSON, so that `nats kv get PEER_OWNERS owner.3` shows them to people. As with records, a
//! new version is added beside the old.
//!
//! | key | content | kept |
//! | --- | --- | --- |
//! | `member.<id>` | an instance exists | `member_ttl_ms` (in whole seconds, rounded up) after the last heartbeat |
//! | `owner.<p>` | the owner of partition `p` | for ever |
//! | `published.<id>` | the published-up-to time of the member | an hour after the last heartbeat, for the next owner |
//!
//! ```json
//! {"version":1,"host":"web-1","pid":4711,"realm":"<boot ID> pid:[4026531836] 1000","began":8213377,"release":"0.1.0","startedMs":1795384342726,"leaving":false,"beat":17,"namesItself":true}
//! {"version":1,"holder":"Fd6pKU2eCl6lgEk0JqW1mT","next":null,"epoch":3,"key":115338210205697,"sinceMs":1795384343001}
//! {"version":1,"publishedMs":1795384360126,"key":115338281472001}
//! ```
//!
//! An entry of a later version is left alone: no instance claims a partition whose entry it cannot
//! read. Fields of an owner's entry that this release does not know are kept by each claim
//! ([`LaterFields`]); the other entries are written only by the member that they are about.

use async_nats::Client;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::Kind;
use super::tuning::{LATER_BYTES_MAX, LATER_FIELDS_MAX};
use crate::store::jetstream::StreamNames;
use crate::store::{ReadError, Record, survey};
use crate::wire::packed::RecordError;
use peerd_core::id::{OrderKey, Partition};
use peerd_core::limits::PARTITIONS_MAX;

const VERSION: u8 = 1;
/// The longest ID of a member.
const MEMBER_ID_MAX_BYTES: usize = 64;

/// A member: an instance from its start to its end, or until its entry expires. After that it joins
/// again as another member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberId(String);

impl MemberId {
    /// Parses a member's ID: letters and digits, since it becomes part of a key and of the
    /// instance's probe subject.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= MEMBER_ID_MAX_BYTES;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (fits && is_plain && !text.starts_with('-')).then(|| Self(text.to_owned()))
    }

    /// The instance ID of this member in service discovery: an instance that lost its entry joins
    /// again as `<instance>-2`.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.0.split_once('-').map_or(&self.0, |(instance, _)| instance)
    }

    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MemberId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("a member's ID is 1 to 64 letters, digits and -")
    }
}

impl From<MemberId> for String {
    fn from(id: MemberId) -> Self {
        id.0
    }
}

impl std::fmt::Display for MemberId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a process, so that another on the same machine can tell that it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// The machine's name, for people.
    pub host: String,
    /// The process ID.
    pub pid: u32,
    /// The boot of the machine, the process-ID namespace, and the user; empty: unknown.
    pub realm: String,
    /// The start time of the process, in the machine's ticks.
    pub began: u64,
}

/// A member's entry. It expires unless it is renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// [`Process`].
    #[serde(flatten)]
    pub process: Process,
    /// peerd's version.
    pub release: String,
    /// When it joined, in milliseconds since 1970.
    pub started_ms: u64,
    /// Whether it is leaving: it takes no partitions and hands over those it has.
    pub leaving: bool,
    /// The heartbeats so far.
    pub beat: u64,
    /// How long it counts as alive without a renewal, in milliseconds; missing in the first
    /// releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Whether its answers to probes name it. Those of the first release did not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub names_itself: bool,
}

/// A partition's entry. It does not expire: its holder is alive as long as the member's entry
/// exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The owner; `None`: the partition was given up in order.
    pub holder: Option<MemberId>,
    /// The next owner, if it was given up for one.
    pub next: Option<MemberId>,
    /// Rises with each claim.
    pub epoch: u64,
    /// The newest order key that the last holder assigned, as of this entry.
    #[serde(with = "order_key")]
    pub key: OrderKey,
    /// When it was claimed or given up, in milliseconds since 1970.
    pub since_ms: u64,
    /// The time since which events of a previous owner may be unpublished, by the server's clock,
    /// in milliseconds since 1970.
    #[serde(rename = "unpublishedSinceMs", default, skip_serializing_if = "Option::is_none")]
    pub unpublished_since_ms: Option<u64>,
    /// Fields of a later release.
    #[serde(flatten)]
    pub later: LaterFields,
}

/// Fields of an entry that this release does not know. They are written back whenever the entry is,
/// so that a field can be added without a new version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct LaterFields(Map<String, Value>);

impl TryFrom<Map<String, Value>> for LaterFields {
    type Error = &'static str;

    fn try_from(fields: Map<String, Value>) -> Result<Self, Self::Error> {
        let is_small = || serde_json::to_vec(&fields).is_ok_and(|it| it.len() <= LATER_BYTES_MAX);
        if fields.len() <= LATER_FIELDS_MAX && (fields.is_empty() || is_small()) {
            Ok(Self(fields))
        } else {
            Err("it has too much that is unknown")
        }
    }
}

/// The published-up-to time of a member. It outlives the member's own entry, for the instance that
/// takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedUpTo {
    /// The events of all messages stored before this time were published. By the server's clock, in
    /// milliseconds since 1970.
    #[serde(rename = "publishedMs")]
    pub published_ms: u64,
    /// The newest order key that was assigned.
    #[serde(with = "order_key")]
    pub key: OrderKey,
    /// The revision of the bucket up to which each owner entry of the member is taken into account;
    /// 0: none, or the member's release does not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub claimed_seq: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(seq: &u64) -> bool {
    *seq == 0
}

mod order_key {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Serialize as _};

    use peerd_core::id::OrderKey;
    use peerd_core::limits::NUMBER_MAX;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: serde::Serializer>(
        key: &OrderKey,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        key.0.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OrderKey, D::Error> {
        let key = u64::deserialize(deserializer)?;
        if key > NUMBER_MAX {
            return Err(D::Error::custom("an order key that no clock can follow"));
        }
        Ok(OrderKey(key))
    }
}

/// A key of the bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `member.<id>`: a [`Member`].
    Member(MemberId),
    /// `owner.<p>`: an [`Owner`].
    Owner(Partition),
    /// `published.<id>`: a [`PublishedUpTo`].
    Published(MemberId),
}

impl Key {
    /// Reads a key; `None` for one that a newer version added.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('.')? {
            ("member", id) => MemberId::new(id).map(Self::Member),
            ("published", id) => MemberId::new(id).map(Self::Published),
            ("owner", number) => {
                let partition =
                    number.parse().ok().filter(|p| *p < PARTITIONS_MAX).map(Partition)?;
                (partition.to_string() == number).then_some(Self::Owner(partition))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Member(id) => write!(f, "member.{id}"),
            Self::Owner(partition) => write!(f, "owner.{partition}"),
            Self::Published(id) => write!(f, "published.{id}"),
        }
    }
}

/// An entry with its version beside it.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u8,
    #[serde(flatten)]
    entry: T,
}

/// Writes an entry.
pub fn encode<T: Serialize>(entry: &T) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(&Versioned { version: VERSION, entry }).map(Bytes::from)
}

/// Reads an entry.
pub fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Version {
        version: u8,
    }
    const KIND: &str = Kind::Owners.name();
    let Version { version } =
        serde_json::from_slice(bytes).map_err(|_| RecordError::new(KIND, "it has no version"))?;
    if version != VERSION {
        return Err(RecordError::new(KIND, format!("its version {version} is unknown")));
    }
    let Versioned { entry, .. } = serde_json::from_slice(bytes)
        .map_err(|_| RecordError::new(KIND, "it is not a version 1 entry"))?;
    Ok(entry)
}

/// The entries of members and owners, from any replica.
pub async fn entries(
    client: &Client,
    names: &StreamNames,
    deadline: Instant,
) -> Result<Vec<(Key, Record)>, ReadError> {
    let entries = survey::entries(client, names, deadline).await?;
    let known = |(key, record): (String, Record)| Some((Key::parse(&key)?, record));
    Ok(entries.into_iter().filter_map(known).collect())
}

/// Whether an unreadable entry is of a later version, as opposed to damaged.
#[must_use]
pub fn is_later(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    serde_json::from_slice::<Version>(bytes).is_ok_and(|it| it.version > u64::from(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MemberId {
        MemberId::new(text).expect("a valid ID")
    }

    #[test]
    fn a_member_knows_its_instance() {
        for text in ["a", "a-2", "a-2-b"] {
            assert_eq!(id(text).instance(), "a");
        }
    }

    #[test]
    fn keys_survive_their_text_and_nothing_else_is_a_key() {
        for key in [Key::Member(id("A1b-2")), Key::Owner(Partition(63)), Key::Published(id("x"))] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        for text in [
            "",
            "member",
            "member.",
            "member.a.b",
            "owner.x",
            "owner.01",
            "owner.1024",
            "owner.70000",
            "member.-2",
            "published.-",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn version_1_entries_stay_readable() {
        let owner = Owner {
            holder: Some(id("a")),
            next: None,
            epoch: 3,
            key: OrderKey(7),
            since_ms: 1_800_000_000_000,
            unpublished_since_ms: None,
            later: LaterFields::default(),
        };
        let text =
            br#"{"version":1,"holder":"a","next":null,"epoch":3,"key":7,"sinceMs":1800000000000}"#;
        assert_eq!(&encode(&owner).expect("writable")[..], text);
        assert_eq!(decode::<Owner>(text), Ok(owner));
        let member = Member { release: "0.1.0".into(), beat: 9, ..Member::default() };
        let text = br#"{"version":1,"host":"","pid":0,"realm":"","began":0,"release":"0.1.0","startedMs":0,"leaving":false,"beat":9}"#;
        assert_eq!(&encode(&member).expect("writable")[..], text);
        assert_eq!(decode::<Member>(text), Ok(member.clone()));
        let named = Member { names_itself: true, ..member };
        assert_eq!(decode(&encode(&named).expect("writable")), Ok(named));
        let published_up_to = PublishedUpTo { published_ms: 5, key: OrderKey(6), claimed_seq: 0 };
        assert_eq!(
            decode::<PublishedUpTo>(br#"{"version":1,"publishedMs":5,"key":6}"#),
            Ok(published_up_to)
        );
        let covering = PublishedUpTo { claimed_seq: 7, ..published_up_to };
        assert_eq!(decode(&encode(&covering).expect("writable")), Ok(covering));
    }

    #[test]
    fn unknown_fields_of_an_owner_are_kept() {
        let text = br#"{"version":1,"holder":"a","next":null,"epoch":3,"key":7,"sinceMs":5,"zone":{"name":"z","ranks":[1,-2,0.5,null]}}"#;
        let owner = decode::<Owner>(text).expect("readable");
        assert_eq!(&encode(&owner).expect("writable")[..], text);
        let next = Owner { holder: None, epoch: 4, ..owner.clone() };
        let next = decode::<Owner>(&encode(&next).expect("writable")).expect("readable");
        assert_eq!((next.later, next.epoch), (owner.later, 4));
    }

    #[test]
    fn unknown_fields_of_an_owner_are_bounded() {
        let read = |fields: &[(String, String)]| {
            let mut entry: Value =
                serde_json::from_slice(&encode(&Owner::default()).expect("writable"))
                    .expect("JSON");
            for (name, value) in fields {
                entry[name] = value.as_str().into();
            }
            decode::<Owner>(entry.to_string().as_bytes())
        };
        // `{"x":"…"}`
        let most = "x".repeat(LATER_BYTES_MAX - 8);
        assert!(read(&[("x".into(), most.clone())]).is_ok());
        assert!(read(&[("x".into(), most + "x")]).is_err());
        let many =
            |count| -> Vec<_> { (0..count).map(|at| (format!("x{at}"), String::new())).collect() };
        assert!(read(&many(LATER_FIELDS_MAX)).is_ok());
        assert!(read(&many(LATER_FIELDS_MAX + 1)).is_err());
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for bad in [&b""[..], b"{}", b"[1]", br#"{"version":2}"#, br#"{"version":1,"holder":""}"#] {
            assert!(decode::<Owner>(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(
            decode::<PublishedUpTo>(br#"{"version":1,"publishedMs":5,"key":9007199254740991}"#)
                .is_ok()
        );
        assert!(
            decode::<PublishedUpTo>(br#"{"version":1,"publishedMs":5,"key":9007199254740992}"#)
                .is_err()
        );
    }
}
