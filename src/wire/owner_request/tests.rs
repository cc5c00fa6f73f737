use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::wire::golden;
use peerd_core::audit::{Difference, Subject};
use peerd_core::content::Content;
use peerd_core::conversation::{Mark, PagePointers};
use peerd_core::id::OrderKey;
use peerd_core::message::{Draft, Message, ReceiptStatus};
use peerd_core::receive::{Delivered, Placed};
use peerd_core::reply::{Original, Reference, Reply};
use peerd_core::send::{Delivery, Push, Send, SendOptions};
use peerd_core::unreported::MessagePlace;
use peerd_core::user_info::Profile;
use peerd_core::user_status::{CustomStatus, OnlineStatus, UserStatus};

const PARTITION: Partition = Partition(3);
const REQUESTS: &str = include_str!("../../../tests/golden/requests-v1.txt");
const ANSWERS: &str = include_str!("../../../tests/golden/answers-v1.txt");

fn user(id: &str) -> UserId {
    UserId::new(id, "userID").expect("a valid ID")
}

fn delivery() -> Delivery {
    Delivery {
        from: user("alice"),
        from_profile: Profile { name: "Alice".to_owned(), avatar_url: None },
        send: Box::new(Send {
            to: user("bob"),
            to_field: "toUserID",
            draft: Draft {
                content: Content::Command { message: vec![0, 255] },
                local_id: Some(LocalMessageId::new("l1").expect("a valid ID")),
                extended_data: "x".to_owned(),
                reply: None,
            },
            options: SendOptions {
                push: Some(Push { title: "t".to_owned(), ..Push::default() }),
                has_receipt: true,
                is_retry: false,
                not_counted: true,
                seq_max: None,
            },
        }),
        timestamp_ms: 1_800_000_000_000,
        floor: OrderKey(77),
        sent_seq: 4,
    }
}

fn message() -> Message {
    Message {
        sender: user("alice"),
        receiver: user("bob"),
        partition: Partition(3),
        key: OrderKey(99),
        seq: 5,
        timestamp_ms: 1_800_000_000_000,
        local_id: None,
        receipt: ReceiptStatus::None,
        counts: true,
        extended_data: String::new(),
        content: Content::Text { message: "hello".to_owned() },
        annotations: None,
    }
}

fn deliver(sent_before_ms: Option<u64>) -> Deliver {
    Deliver { delivery: delivery(), sent_before_ms }
}

fn find_repeat() -> FindRepeat {
    FindRepeat { from: user("alice"), to: user("bob"), draft: delivery().send.draft }
}

fn was_begun() -> WasBegun {
    WasBegun { reply_to: "_INBOX.x.7".to_owned() }
}

fn peer_part() -> PeerPart {
    let part = Bytes::from_static(b"\x91\xc3");
    PeerPart { from: user("alice"), method: "send_typing".to_owned(), part }
}

fn status(id: &str) -> UserStatus {
    UserStatus {
        id: user(id),
        online: OnlineStatus::Online,
        platforms: vec![2, 32],
        online_since_ms: 1_800_000_000_000,
        custom: CustomStatus { text: "busy".to_owned(), since_ms: 5, until_ms: 9 },
    }
}

fn watch_status() -> WatchStatus {
    let watch =
        |user: &str, watcher: &str| Watch { user: self::user(user), watcher: self::user(watcher) };
    WatchStatus { watches: vec![watch("bob", "alice"), watch("b.o b", "carol")] }
}

fn note_delivered() -> NoteDelivered {
    let place = |key, seq| MessagePlace { key: OrderKey(key), seq };
    NoteDelivered {
        receiver: user("b.o b"),
        messages: vec![place(77, 4), place(99, 6)],
        state_seq: 12,
    }
}

fn show_status() -> ShowStatus {
    ShowStatus { shown: vec![(user("bob"), status("alice")), (user("b.o b"), status("carol"))] }
}

fn read_status() -> ReadStatus {
    ReadStatus { users: vec![user("bob"), user("b.o b")] }
}

/// One of each kind, to the owner of bob.
fn requests() -> Vec<(Request, Bytes)> {
    fn written<R: OwnerRequest>(of: fn(R) -> Request, request: R) -> (Request, Bytes) {
        let bytes = request.encode().expect("writable");
        (of(request), bytes)
    }
    vec![
        written(Request::Deliver, deliver(None)),
        written(Request::Deliver, deliver(Some(1_800_000_000_123))),
        written(Request::MaySend, MaySend { from: user("alice"), needed_bytes: 700 }),
        written(|it| Request::FindRepeat(Box::new(it)), find_repeat()),
        written(Request::FollowLog, follow_log(Some(1_800_000_000_000))),
        written(Request::Audit, Audit),
        written(Request::WasBegun, was_begun()),
        written(Request::Settle, Settle { sender: user("carol"), key: OrderKey(99) }),
        written(Request::PeerPart, peer_part()),
        written(Request::ReadStatus, read_status()),
        written(Request::WatchStatus, watch_status()),
        written(Request::ShowStatus, show_status()),
        written(Request::NoteDelivered, note_delivered()),
    ]
}

fn follow_log(in_doubt_since_ms: Option<u64>) -> FollowLog {
    FollowLog { receiver: user("carol"), in_doubt_since_ms }
}

#[test]
fn a_request_survives_the_wire() {
    for (request, bytes) in requests() {
        assert_eq!(Request::decode(&bytes, &user("bob")), Ok(request));
        assert_eq!(bytes[1], 1, "the version");
    }
}

/// With an avatar, and more so with an original, a delivery has so many fields that the header of its
/// array is longer.
fn full_delivery(has_avatar: bool, is_reply: bool) -> Deliver {
    let to = Reference {
        by_sender: true,
        key: OrderKey(70),
        partition: Partition(3),
        seq: 4,
        stream_seq: 9,
        timestamp_ms: 1_800_000_000_000,
    };
    let mut request = deliver(Some(1));
    request.delivery.from_profile.avatar_url = has_avatar.then(|| "https://x/a.png".into());
    if is_reply {
        let send = &mut request.delivery.send;
        send.draft.reply =
            Some(Box::new(Reply { to, root: Some(to), original: Original::NotFound }));
        send.options.seq_max = Some(37);
    }
    request
}

#[test]
fn a_delivery_with_every_field_survives_the_wire() {
    for (has_avatar, is_reply) in [(true, false), (false, true), (true, true)] {
        let request = full_delivery(has_avatar, is_reply);
        let find = FindRepeat { draft: request.delivery.send.draft.clone(), ..find_repeat() };
        let bytes = request.encode().expect("writable");
        assert_eq!(Request::decode(&bytes, &user("bob")), Ok(Request::Deliver(request)));
        let bytes = find.encode().expect("writable");
        let find = Request::FindRepeat(Box::new(find));
        assert_eq!(Request::decode(&bytes, &user("bob")), Ok(find));
    }
}

#[test]
fn each_kind_of_request_has_its_golden_bytes() {
    const NAMES: [&str; 13] = [
        "deliver",
        "deliver-again",
        "may-send",
        "find-repeat",
        "follow-log",
        "audit",
        "was-begun",
        "settle",
        "peer-part",
        "read-status",
        "watch-status",
        "show-status",
        "note-delivered",
    ];
    let requests = requests().into_iter().zip(NAMES);
    let mut written: Vec<_> = requests.map(|((_, bytes), name)| (name, bytes.to_vec())).collect();
    assert_eq!(written.len(), NAMES.len());
    let full = full_delivery(true, true);
    let find = FindRepeat { draft: full.delivery.send.draft.clone(), ..find_repeat() };
    written.push(("deliver-full", full.encode().expect("writable").to_vec()));
    written.push(("find-repeat-full", find.encode().expect("writable").to_vec()));
    golden::assert_same(&written, &golden::lines(REQUESTS));
}

/// The tags must never change, since two releases meet in a rolling update.
#[test]
fn each_kind_of_request_has_a_tag_of_its_own() {
    let tags: Vec<u8> = requests().iter().map(|(_, bytes)| bytes[2]).collect();
    assert_eq!(tags, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}

/// A first contact sends a check first. The content is sent once, with the message.
#[test]
fn a_first_contact_does_not_send_the_content_to_ask() {
    let ask = MaySend { from: user("alice"), needed_bytes: 1 << 20 };
    assert!(ask.encode().expect("writable").len() < 32);
}

/// The bytes of an answer, which survives the wire.
fn survives<R: OwnerRequest>(request: &R, answer: R::Answer) -> Vec<u8>
where
    R::Answer: Clone + PartialEq + Debug,
{
    let answer: Result<R::Answer, CallError> = Ok(answer);
    let bytes = encode_answer::<R>(&answer).expect("writable");
    assert!(is_answer::<R>(&bytes));
    assert_eq!(decode_answer(request, &bytes, PARTITION), Ok(answer));
    bytes.to_vec()
}

fn delivered(is_stored: bool, is_duplicate: bool) -> Delivered {
    let mark = Mark { seq: 5, counted: 4 };
    let page = PagePointers { first: 0, previous: 7 };
    let placed = Placed { message: Arc::new(message()), mark, page, expected_seq: 0 };
    let head = is_stored.then(|| placed.head(12));
    let avatar_url = head.map(|_| "https://example.com/b.png".into());
    let receiver_profile = Profile { name: "Bob".to_owned(), avatar_url };
    Delivered { message: placed.message, head, receiver_profile, is_duplicate }
}

#[test]
fn each_answer_survives_the_wire_and_has_its_golden_bytes() {
    let watching = |status, is_watched| Watching { status, is_watched };
    let watched = vec![watching(Some(status("bob")), true), watching(None, false)];
    let ask = MaySend { from: user("alice"), needed_bytes: 0 };
    let settle = Settle { sender: user("carol"), key: OrderKey(99) };
    let begun = Begun::No { known_for: Duration::from_millis(1_234) };
    let unreadable = vec!["peer.log.0.bob.alice 7".to_owned()];
    let audits = [
        Ok(audited()),
        Ok(Audited { corrected: 7, ..audited() }),
        Ok(Audited { unreadable, ..audited() }),
        Err("no".to_owned()),
    ];
    let [audit, corrected, unreadable, failed] = audits.map(|audit| survives(&Audit, audit));
    let written = [
        ("delivered", survives(&deliver(None), delivered(true, false))),
        ("delivered-repeat", survives(&deliver(None), delivered(false, true))),
        ("delivered-live", survives(&deliver(None), delivered(false, false))),
        ("may-send", survives(&ask, ())),
        ("no-repeat", survives(&find_repeat(), None)),
        ("repeat", survives(&find_repeat(), Some(Arc::new(message())))),
        ("followed", survives(&follow_log(Some(5)), ())),
        ("part", survives(&peer_part(), Bytes::from_static(b"answer"))),
        ("statuses", survives(&read_status(), vec![None, Some(status("b.o b"))])),
        ("watching", survives(&watch_status(), watched)),
        ("shown", survives(&show_status(), vec![true, false])),
        ("noted", survives(&note_delivered(), true)),
        ("settled", survives(&settle, ())),
        ("begun", survives(&was_begun(), Begun::Yes)),
        ("not-begun", survives(&was_begun(), begun)),
        ("audited", audit),
        ("audited-corrected", corrected),
        ("audited-unreadable", unreadable),
        ("audit-failed", failed),
    ];
    golden::assert_same(&[&written[..], &refused()].concat(), &golden::lines(ANSWERS));
}

fn audited() -> Audited {
    let all = Subject::ALL.into_iter().enumerate().map(|(number, subject)| Difference {
        other: (number > 1).then(|| user("bob")),
        subject,
        expected: number as u64,
        found: 1 << 40,
    });
    let differences = all.collect();
    Audited { conversations: 3, messages: 70_000, differences, ..Audited::default() }
}

fn refusals() -> [(&'static str, CallError); 13] {
    let too_large =
        Rejection::invalid("message", "does not fit the max_payload of the receiver's nats-server");
    [
        ("refused-target", Rejection::TargetNotFound.into()),
        ("refused-blocked", Rejection::BlockedByReceiver.into()),
        ("refused-reused", Rejection::LocalMessageIdReused.into()),
        ("refused-rate", Rejection::RateLimited { retry_after_ms: 7 }.into()),
        ("refused-not-logged-in", Rejection::NotLoggedIn.into()),
        ("refused-conversation", Rejection::ConversationNotFound.into()),
        ("refused-method", Rejection::UnsupportedMethod.into()),
        ("refused-overloaded", Failure::Overloaded { retry_after_ms: 9 }.into()),
        ("refused-no-owner", Failure::NoOwner { retry_after_ms: 8 }.into()),
        ("refused-internal", Failure::Internal.into()),
        ("refused-unavailable", Failure::StoreUnavailable.into()),
        ("refused-unknown", Failure::OutcomeUnknown.into()),
        ("refused-too-large", too_large.into()),
    ]
}

/// The bytes of each refusal.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |refusal: &CallError| encode_refusal(refusal).expect("writable").to_vec();
    refusals().iter().map(|(name, refusal)| (*name, bytes(refusal))).collect()
}

#[test]
fn a_refusal_answers_every_request() {
    for (_, refusal) in refusals() {
        let bytes = encode_refusal(&refusal).expect("writable");
        assert!(is_answer::<Deliver>(&bytes) && is_answer::<Audit>(&bytes));
        let read = decode_answer(&deliver(None), &bytes, PARTITION);
        assert_eq!(read, Ok(Err(refusal.clone())));
        assert_eq!(decode_answer(&Audit, &bytes, PARTITION), Ok(Err(refusal)));
    }
}

#[test]
fn a_refusal_of_a_part_names_the_field_and_the_problem() {
    let refusal: CallError = Rejection::invalid("messageList[1]", "is too old").into();
    let refused: Result<Bytes, CallError> = Err(refusal.clone());
    let bytes = encode_answer::<PeerPart>(&refused).expect("writable");
    assert!(is_answer::<PeerPart>(&bytes));
    assert_eq!(decode_answer(&peer_part(), &bytes, PARTITION), Ok(refused));
    let cut = &bytes[..bytes.len() - 1];
    assert!(!is_answer::<PeerPart>(cut));
    assert!(decode_answer(&peer_part(), cut, PARTITION).is_err());
}

/// Any subscriber of the subject can send a request back as its own answer.
#[test]
fn a_request_that_is_sent_back_is_no_answer() {
    for (_, request) in requests() {
        let taken = [
            is_answer::<Deliver>(&request),
            is_answer::<MaySend>(&request),
            is_answer::<FindRepeat>(&request),
            is_answer::<FollowLog>(&request),
            is_answer::<Audit>(&request),
            is_answer::<WasBegun>(&request),
            is_answer::<Settle>(&request),
        ];
        assert_eq!(taken, [false; 7], "{request:?}");
    }
}

#[test]
fn an_answer_differs_from_what_others_reply() {
    let answer = Settle::encode_answer(&()).expect("writable");
    assert!(is_answer::<Settle>(&answer) && !is_answer::<FollowLog>(&answer));
    let follow = follow_log(None);
    assert!(decode_answer(&follow, &answer, PARTITION).is_err(), "the answer to another request");
    let answer = WasBegun::encode_answer(&Begun::Yes).expect("writable");
    let cut = &answer[..answer.len() - 1];
    let long = [&answer[..], &b"\x01"[..]].concat();
    for other in [&b""[..], b"ok", b"{}", cut, &long] {
        assert!(!is_answer::<WasBegun>(other), "{other:?}");
        assert!(decode_answer(&was_begun(), other, PARTITION).is_err(), "{other:?}");
    }
}

#[test]
fn what_is_neither_is_refused() {
    let bob = user("bob");
    let whole = deliver(None).encode().expect("writable");
    let cut = &whole[..whole.len() - 1];
    let others = [&b""[..], b"\x93", b"\x93\x01", b"\x93\x02\x01\x00", b"\x93\x01\x09\x00", cut];
    for bad in others {
        assert!(Request::decode(bad, &bob).is_err(), "{}", bad.escape_ascii());
        assert!(decode_answer(&deliver(None), bad, PARTITION).is_err());
    }
}
