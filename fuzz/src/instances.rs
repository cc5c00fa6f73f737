//! Messages between instances, answers of NATS to them, and output of the command line. The first
//! byte chooses the kind, the rest are the bytes.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use peerd::cli::readable::{event_lines, indented};
use peerd::storage::message::RecordError;
use peerd::storage::owners::{self, Member, MemberId, Owner, PublishedUpTo};
use peerd::store::batch::{self, Part};
use peerd::wire::owner_request::{
    Audit, Audited, Begun, DIFFERENCES_MAX, Deliver, FindRepeat, FollowLog, MaySend, NoteDelivered,
    OwnerRequest, PeerPart, ReadStatus, Request, STATUS_BATCH_MAX, Settle, ShowStatus, WasBegun,
    Watch, WatchStatus, Watching, decode_answer, encode_answer, encode_refusal, is_answer,
};
use peerd_core::audit::{Difference, Subject};
use peerd_core::content::Content;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::DELIVERED_BATCH_MAX;
use peerd_core::message::Draft;
use peerd_core::send::{Delivery, Push, Send, SendOptions};
use peerd_core::unreported::MessagePlace;
use peerd_core::user_info::Profile;
use peerd_core::user_status::{CustomStatus, OnlineStatus, UserStatus};
use peerd_protocol::discovery::StatsAnswer;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::time::{rfc3339, unix_ms};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stored::{NUMBER_END, survives};

const PARTITION: Partition = Partition(7);
/// Readers of JSON may refuse deeper nesting. Events of peerd do not reach it.
const DEPTH_OF_READERS: usize = 100;

/// See [`super::Target::check`].
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % super::KINDS {
        0 => request(bytes),
        1 => answer(bytes),
        2 => drop(entry::<Member>(bytes)),
        3 => {
            if let Some(owner) = entry::<Owner>(bytes) {
                assert!(owner.key.0 < NUMBER_END, "a key that no clock can follow");
                let named = [&owner.holder, &owner.next].into_iter().flatten();
                named.for_each(|id| assert!(!id.instance().is_empty()));
            }
        }
        4 => {
            if let Some(published) = entry::<PublishedUpTo>(bytes) {
                assert!(published.key.0 < NUMBER_END, "a key that no clock can follow");
            }
        }
        5 => statistics(bytes),
        6 => part(bytes),
        7 => event(bytes),
        8 => reply(bytes),
        _ => {}
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id, "userID").expect("a userID")
}

fn status() -> UserStatus {
    UserStatus {
        id: user("alice"),
        online: OnlineStatus::Online,
        platforms: vec![2, 32],
        online_since_ms: 1_800_000_000_000,
        custom: CustomStatus { text: "busy".to_owned(), since_ms: 7, until_ms: 9 },
    }
}

fn request(bytes: &[u8]) {
    let receiver = user("bob");
    let read = |bytes: &[u8]| Request::decode(bytes, &receiver);
    let request = survives(bytes, 1, read, |request| match request {
        Request::Deliver(request) => request.encode().expect("writable"),
        Request::MaySend(request) => request.encode().expect("writable"),
        Request::FindRepeat(request) => request.encode().expect("writable"),
        Request::FollowLog(request) => request.encode().expect("writable"),
        Request::Audit(request) => request.encode().expect("writable"),
        Request::WasBegun(request) => request.encode().expect("writable"),
        Request::Settle(request) => request.encode().expect("writable"),
        Request::PeerPart(request) => request.encode().expect("writable"),
        Request::WatchStatus(request) => {
            assert!(request.watches.len() <= STATUS_BATCH_MAX);
            request.encode().expect("writable")
        }
        Request::ShowStatus(request) => {
            assert!(request.shown.len() <= STATUS_BATCH_MAX);
            request.encode().expect("writable")
        }
        Request::NoteDelivered(request) => {
            assert!(request.messages.len() <= DELIVERED_BATCH_MAX);
            request.encode().expect("writable")
        }
        Request::ReadStatus(request) => {
            assert!(request.users.len() <= STATUS_BATCH_MAX);
            request.encode().expect("writable")
        }
    });
    let Some(Request::Deliver(Deliver { delivery, .. })) = request else { return };
    assert!(delivery.floor.0 < NUMBER_END, "a key that no clock can follow");
    assert!(delivery.sent_seq < NUMBER_END && delivery.timestamp_ms < NUMBER_END);
    assert!(delivery.send.draft.content.size_bytes() <= bytes.len());
}

/// Checks that the answers to different kinds of requests are not mistaken for each other.
fn answer(bytes: &[u8]) {
    let (from, to) = (user("alice"), user("bob"));
    let content = Content::Text { message: String::new() };
    let draft = Draft { content, local_id: None, extended_data: String::new(), reply: None };
    let delivery = delivery(draft.clone());
    let deliver = Deliver { delivery, sent_before_ms: None };
    if let Some(delivered) = answer_to(bytes, &deliver) {
        let id = delivered.message.id();
        assert_eq!((id.key(), id.partition()), (delivered.message.key, PARTITION));
    }
    answer_to(bytes, &MaySend { from: from.clone(), needed_bytes: 0 });
    answer_to(bytes, &FindRepeat { from: from.clone(), to, draft });
    answer_to(bytes, &FollowLog { receiver: from.clone(), in_doubt_since_ms: None });
    answer_to(bytes, &WasBegun { reply_to: "_INBOX.x.7".to_owned() });
    let (method, part) = (String::new(), Bytes::new());
    answer_to(bytes, &PeerPart { from: from.clone(), method, part });
    for count in 0..3 {
        let users = vec![from.clone(); count];
        let watch = || Watch { user: from.clone(), watcher: from.clone() };
        let watches = std::iter::repeat_with(watch).take(count).collect();
        answer_to(bytes, &WatchStatus { watches });
        let shown = vec![(from.clone(), status()); count];
        answer_to(bytes, &ShowStatus { shown });
        if let Some(statuses) = answer_to(bytes, &ReadStatus { users }) {
            assert_eq!(statuses.len(), count);
        }
    }
    answer_to(bytes, &Settle { sender: from, key: OrderKey(9) });
    if let Some(Ok(audited)) = answer_to(bytes, &Audit) {
        assert!(audited.differences.len() <= DIFFERENCES_MAX);
    }
}

fn answer_to<R: OwnerRequest>(bytes: &[u8], request: &R) -> Option<R::Answer>
where
    R::Answer: Debug + PartialEq,
{
    let read = |bytes: &[u8]| decode_answer(request, bytes, PARTITION);
    let write =
        |answer: &Result<R::Answer, CallError>| encode_answer::<R>(answer).expect("writable");
    let answer = survives(bytes, 1, read, write)?;
    assert!(is_answer::<R>(bytes));
    answer.ok()
}

fn delivery(draft: Draft) -> Delivery {
    let options = SendOptions { push: Some(Push::default()), ..SendOptions::default() };
    Delivery {
        from: user("alice"),
        from_profile: Profile { name: "Alice".to_owned(), avatar_url: None },
        send: Box::new(Send { to: user("bob"), to_field: "toUserID", draft, options }),
        timestamp_ms: 1_780_000_000_000,
        floor: OrderKey(5),
        sent_seq: 3,
    }
}

/// An entry of the owners' bucket, which is JSON.
fn entry<T: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) -> Option<T> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u8,
    }
    let read = owners::decode::<T>(bytes);
    let version = serde_json::from_slice::<Version>(bytes).ok().map(|entry| entry.version);
    let entry = match (read, version) {
        (Ok(entry), version) => {
            assert_eq!(version, Some(1), "read whatever its version");
            entry
        }
        (Err(RecordError { problem, .. }), version) => {
            assert!(problem.len() < 64, "{problem}");
            if let Some(version) = version.filter(|version| *version != 1) {
                assert_eq!(problem, format!("its version {version} is unknown"));
            }
            return None;
        }
    };
    let written = owners::encode(&entry).expect("writable");
    assert_eq!(owners::decode::<T>(&written).as_ref(), Ok(&entry));
    assert!(written.starts_with(br#"{"version":1,"#), "its version is not first");
    let later = [br#"{"version":2,"#, &written[13..]].concat();
    let problem = owners::decode::<T>(&later).err().map(|error| error.problem);
    assert_eq!(problem.as_deref(), Some("its version 2 is unknown"));
    assert!(owners::decode::<T>(&[&written, &b"1"[..]].concat()).is_err());
    Some(entry)
}

fn statistics(bytes: &[u8]) {
    if let Some(answer) = StatsAnswer::read(bytes, "peer") {
        assert_eq!(StatsAnswer::read(bytes, "other"), None, "another service's answer");
        let _ = answer.gauges();
    }
}

/// A message of a batched direct get: the status by the first byte, then one header per line.
fn part(bytes: &[u8]) {
    let Some((status, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let status = [200, 204, 404, 413, 503, 100, 408][usize::from(*status) % 7];
    let headers = || text.lines().filter_map(|line| line.split_once(": "));
    let header =
        |name: &'static str| headers().find(|(known, _)| *known == name).map(|(_, value)| value);
    match batch::read(status, header) {
        Ok(Part::Record { subject, stream_seq, stored_ms, .. }) => {
            assert_eq!(status, 200);
            assert_eq!(header("Nats-Subject"), Some(subject.as_str()));
            let sequence = header("Nats-Sequence").and_then(|text| text.parse().ok());
            assert_eq!(sequence, Some(stream_seq));
            assert_eq!(unix_ms(&rfc3339(stored_ms)), Some(stored_ms));
        }
        Ok(Part::End { .. }) => assert_eq!(status, 204),
        Ok(Part::Nothing) => assert_eq!(status, 404),
        Ok(Part::TooMany) => assert_eq!(status, 413),
        Ok(Part::NoResponders) => assert_eq!(status, 503),
        Ok(Part::Unexpected) => assert!(![200, 204, 404, 413, 503].contains(&status)),
        Err(_) => assert_eq!(status, 200, "only a record needs headers"),
    }
}

/// An event in a terminal: the encoding by the first byte, then the body.
fn event(bytes: &[u8]) {
    let Some((how, body)) = bytes.split_first() else { return };
    let content_type = [Some("application/json"), Some("application/msgpack"), None, Some("?")];
    let content_type = content_type[usize::from(*how) % 4];
    for line in event_lines("a\"b", "peer.event.a.bundle", content_type, body) {
        assert!(!line.contains(['\n', '\r']), "more than one line");
    }
    let lines = event_lines("a\"b", "peer.event.a.conversation_changed", content_type, body);
    let [line] = &lines[..] else { panic!("it is one event") };
    assert!(!line.contains(['\n', '\r']), "more than one line");
    let Ok(shown) = serde_json::from_str::<serde_json::Value>(line) else {
        let opened = line.bytes().filter(|byte| b"[{".contains(byte)).count();
        assert!(opened > DEPTH_OF_READERS, "not JSON: {line}");
        return;
    };
    assert_eq!(shown["user"], "a\"b");
    assert_eq!(shown["event"], "conversation_changed");
}

/// A reply in a terminal.
fn reply(body: &[u8]) {
    let shown = indented(body);
    let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
    match read(body) {
        // A number other than a whole one of 64 bits is shown approximately; peerd writes none.
        Some(value) if has_fraction(&value) => assert!(read(shown.as_bytes()).is_some()),
        Some(value) => assert_eq!(read(shown.as_bytes()), Some(value)),
        None => assert_eq!(shown, String::from_utf8_lossy(body)),
    }
}

fn has_fraction(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.is_f64(),
        serde_json::Value::Array(list) => list.iter().any(has_fraction),
        serde_json::Value::Object(fields) => fields.values().any(has_fraction),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {
            false
        }
    }
}

/// See [`super::Target::seeds`].
///
/// # Panics
///
/// If a seed is not as expected.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut add = |kind: u8, bytes: Bytes| seeds.push((kind, bytes.to_vec()));
    for content in [
        Content::Text { message: "hello".to_owned() },
        Content::Command { message: vec![0, 1, 254, 255] },
    ] {
        let draft = Draft { content, local_id: None, extended_data: "e".to_owned(), reply: None };
        let delivery = delivery(draft);
        for sent_before_ms in [None, Some(7)] {
            let request = Deliver { delivery: delivery.clone(), sent_before_ms };
            add(0, request.encode().expect("writable"));
        }
        let (from, to) = (user("alice"), user("bob"));
        let draft = delivery.send.draft;
        add(0, FindRepeat { from, to, draft }.encode().expect("writable"));
    }
    let (from, part) = (user("alice"), Bytes::from_static(b"\x91\xc3"));
    let part = PeerPart { from, method: "send_typing".to_owned(), part };
    add(0, part.encode().expect("writable"));
    let users = vec![user("bob"), user("carol")];
    add(0, ReadStatus { users }.encode().expect("writable"));
    let watches = vec![Watch { user: user("bob"), watcher: user("alice") }];
    add(0, WatchStatus { watches }.encode().expect("writable"));
    add(0, ShowStatus { shown: vec![(user("bob"), status())] }.encode().expect("writable"));
    let (receiver, messages) = (user("alice"), vec![MessagePlace { key: OrderKey(9), seq: 2 }]);
    add(0, NoteDelivered { receiver, messages, state_seq: 4 }.encode().expect("writable"));
    add(0, MaySend { from: user("alice"), needed_bytes: 70 }.encode().expect("writable"));
    for in_doubt_since_ms in [None, Some(1_800_000_000_000)] {
        let follow = FollowLog { receiver: user("bob"), in_doubt_since_ms };
        add(0, follow.encode().expect("writable"));
    }
    add(0, Audit.encode().expect("writable"));
    add(0, WasBegun { reply_to: "_INBOX.x.7".to_owned() }.encode().expect("writable"));
    add(0, Settle { sender: user("bob"), key: OrderKey(9) }.encode().expect("writable"));
    for error in [Failure::OutcomeUnknown, Failure::NoOwner { retry_after_ms: 500 }] {
        add(1, encode_refusal(&error.into()).expect("writable"));
    }
    add(1, MaySend::encode_answer(&()).expect("writable"));
    let watching = Watching { status: Some(status()), is_watched: true };
    add(1, WatchStatus::encode_answer(&vec![watching]).expect("writable"));
    add(1, ShowStatus::encode_answer(&vec![true, false]).expect("writable"));
    add(1, NoteDelivered::encode_answer(&true).expect("writable"));
    add(1, ReadStatus::encode_answer(&vec![None, Some(status())]).expect("writable"));
    add(1, FindRepeat::encode_answer(&None).expect("writable"));
    add(1, FollowLog::encode_answer(&()).expect("writable"));
    add(1, Settle::encode_answer(&()).expect("writable"));
    for known_for in [Duration::ZERO, Duration::from_millis(1_234)] {
        add(1, WasBegun::encode_answer(&Begun::No { known_for }).expect("writable"));
    }
    add(1, WasBegun::encode_answer(&Begun::Yes).expect("writable"));
    let difference =
        Difference { other: Some(user("bob")), subject: Subject::ALL[0], expected: 3, found: 4 };
    let (differences, unreadable) = (vec![difference], Vec::new());
    let audited = Audited { conversations: 1, messages: 3, differences, unreadable, corrected: 0 };
    add(1, Audit::encode_answer(&Ok(audited)).expect("writable"));
    add(1, Audit::encode_answer(&Err("no".to_owned())).expect("writable"));
    let id = MemberId::new("Fd6pKU2eCl6lgEk0JqW1mT-2");
    let owner = Owner { holder: id.clone(), next: id, epoch: 3, ..Owner::default() };
    add(2, owners::encode(&Member::default()).expect("writable"));
    add(3, owners::encode(&owner).expect("writable"));
    add(3, owners::encode(&Owner { unpublished_since_ms: Some(7), ..owner }).expect("writable"));
    add(4, owners::encode(&PublishedUpTo::default()).expect("writable"));
    add(5, Bytes::from_static(STATS));
    add(6, Bytes::from_static(b"\x00Nats-Subject: peer.log.3.bob.alice\nNats-Sequence: 7\nNats-Time-Stamp: 2026-01-01T00:00:00.123456789Z\nNats-Num-Pending: 2\n"));
    add(6, Bytes::from_static(b"\x01Nats-UpTo-Sequence: 9\n"));
    for snapshot in SNAPSHOTS {
        let body = snapshot.splitn(3, "---\n").last().unwrap_or_default().trim_end();
        add(7, [&[0], body.as_bytes()].concat().into());
        add(8, Bytes::copy_from_slice(body.as_bytes()));
    }
    let stored = super::stored::seeds();
    // A record is the content of an answer, and similar to a MessagePack event.
    seeds.extend(stored.into_iter().map(|seed| (7, [&[1], &seed[1..]].concat())));
    seeds.into_iter().map(|(kind, bytes)| [&[kind][..], &bytes].concat()).collect()
}

const STATS: &[u8] = br#"{"id":"a","metadata":{"subject_prefix":"peer","partitions":"8"},"endpoints":[{"data":{"callsUnderWay":3,"outgoing":4}}]}"#;

const SNAPSHOTS: &[&str] = &[
    include_str!("../../tests/snapshots/bodies__event_total.snap"),
    include_str!("../../tests/snapshots/bodies__event_peer_message_received.snap"),
    include_str!("../../tests/snapshots/bodies__event_conversation_changed.snap"),
    include_str!("../../tests/snapshots/bodies__reply_sent_text.snap"),
];
