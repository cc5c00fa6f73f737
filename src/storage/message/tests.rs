use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use peerd_core::content::{Content, Excerpt, Media, Pixels};
use peerd_core::conversation::{Mark, PagePointers};
use peerd_core::id::LocalMessageId;
use peerd_core::limits::{COMBINE_DEPTH_MAX, Limits};
use peerd_core::message::{Annotations, Message, ReceiptStatus};
use peerd_core::reply::{Original, Reference, Reply};

/// Records as version 1 writes them, with a name and hex digits per line. A line is never changed:
/// a stored record must stay readable for ever.
const GOLDEN: &str = include_str!("../../../tests/golden/records-v1.txt");

/// Replies as version 3 of the record writes them.
const REPLIES: &str = include_str!("../../../tests/golden/replies-v3.txt");

/// Carriers as version 2 of the record writes them.
const CARRIERS: &str = include_str!("../../../tests/golden/carriers-v2.txt");

fn user(id: &str) -> UserId {
    UserId::new(id, "userID").expect("a valid ID")
}

fn media() -> Media {
    Media { url: "https://x/1".into(), name: "n.bin".into(), size: 1 << 33, uid: "u1".into() }
}

fn pixels(width: u32) -> Pixels {
    Pixels { width, height: width + 1 }
}

fn text(message: &str) -> Content {
    Content::Text { message: message.into() }
}

fn excerpt(content: Content) -> Excerpt {
    Excerpt {
        message_id: "77".into(),
        sender_user_id: "carol".into(),
        timestamp_ms: 1_800_000_000_000,
        extended_data: "e".into(),
        content,
    }
}

fn contents() -> Vec<(&'static str, Content)> {
    let custom =
        Content::Custom { message: "{}".into(), sub_type: 200, searched_content: "find me".into() };
    vec![
        ("text", text("h\u{e9}llo")),
        ("command", Content::Command { message: vec![0, 1, 254, 255] }),
        (
            "multiple",
            Content::Multiple { infos: vec![text("a"), Content::File { media: media() }] },
        ),
        (
            "image",
            Content::Image {
                media: media(),
                thumbnail_url: "t".into(),
                large_url: "l".into(),
                original: pixels(4000),
                large: pixels(300),
                thumbnail: pixels(20),
            },
        ),
        ("file", Content::File { media: media() }),
        ("audio", Content::Audio { media: media(), duration_seconds: 61 }),
        (
            "video",
            Content::Video {
                media: media(),
                duration_seconds: 3601,
                first_frame_url: "f".into(),
                first_frame: pixels(640),
            },
        ),
        (
            "combine",
            Content::Combine {
                title: "T".into(),
                summary: "S".into(),
                messages: vec![
                    excerpt(text("one")),
                    excerpt(Content::Combine {
                        title: String::new(),
                        summary: String::new(),
                        messages: vec![excerpt(custom.clone())],
                    }),
                ],
            },
        ),
        ("custom", custom),
    ]
}

fn plain(content: Content) -> Placed {
    Placed {
        message: Arc::new(Message {
            sender: user("alice"),
            receiver: user("b.o b"),
            partition: Partition(3),
            key: OrderKey((1 << 52) + 5),
            seq: 33,
            timestamp_ms: 1_800_000_000_123,
            local_id: None,
            receipt: ReceiptStatus::None,
            counts: true,
            extended_data: String::new(),
            content,
            annotations: None,
        }),
        mark: Mark { seq: 33, counted: 30 },
        page: PagePointers { first: 0, previous: 70_000 },
        expected_seq: 0,
    }
}

/// Every kind of record: each content, and then each of the other fields.
fn records() -> Vec<(&'static str, Placed, Option<Push>)> {
    let mut records: Vec<_> =
        contents().into_iter().map(|(name, content)| (name, plain(content), None)).collect();
    let vary = |change: fn(&mut Placed)| {
        let mut placed = plain(text("x"));
        change(&mut placed);
        placed
    };
    records.extend([
        (
            "not-counted",
            vary(|placed| {
                Arc::make_mut(&mut placed.message).counts = false;
            }),
            None,
        ),
        (
            "receipt",
            vary(|placed| {
                Arc::make_mut(&mut placed.message).receipt = ReceiptStatus::Processing;
            }),
            None,
        ),
        (
            "local-id",
            vary(|placed| {
                Arc::make_mut(&mut placed.message).local_id = LocalMessageId::new("l-1").ok();
            }),
            None,
        ),
        (
            "extended-data",
            vary(|placed| {
                Arc::make_mut(&mut placed.message).extended_data = "more".into();
            }),
            None,
        ),
        ("page", vary(|placed| placed.page = PagePointers { first: 9, previous: 0 }), None),
        ("empty-push", plain(text("x")), Some(Push::default())),
    ]);
    let push = Push {
        title: "T".into(),
        content: "C".into(),
        payload: "{}".into(),
        resources_id: "R".into(),
        thread_id: "H".into(),
    };
    records.push(("push", plain(text("x")), Some(push)));
    records
}

fn read_any(bytes: &[u8]) -> Result<Recorded, RecordError> {
    decode(bytes, &user("alice"), &user("b.o b"), Partition(3))
}

fn read(bytes: &[u8]) -> Result<StoredMessage, RecordError> {
    read_any(bytes).map(|recorded| match recorded {
        Recorded::Message(stored) => stored,
        Recorded::Carrier(stub) => panic!("a carrier: {stub:?}"),
    })
}

fn golden() -> Vec<(&'static str, Vec<u8>)> {
    crate::wire::golden::lines(GOLDEN)
}

#[test]
fn every_record_has_its_golden_bytes() {
    let written: Vec<(&str, Vec<u8>)> = records()
        .iter()
        .map(|(name, placed, push)| (*name, encode(placed, push.as_ref()).expect("fits").to_vec()))
        .collect();
    crate::wire::golden::assert_same(&written, &golden());
}

#[test]
fn golden_bytes_are_read_back_as_what_was_written() {
    for ((name, placed, push), (_, bytes)) in records().into_iter().zip(golden()) {
        let Placed { message, mark, page, .. } = placed;
        let message = (*message).clone();
        assert_eq!(order_key(&bytes), Ok(message.key), "{name}");
        assert_eq!(read(&bytes), Ok(StoredMessage { message, mark, page, push }), "{name}");
    }
}

fn carriers() -> Vec<(&'static str, Stub)> {
    let least = Stub {
        key: OrderKey((1 << 52) + 5),
        mark: Mark { seq: 33, counted: 30 },
        page: PagePointers { first: 0, previous: 70_000 },
        timestamp_ms: 1_800_000_000_123,
        local_id: None,
        receipt: ReceiptStatus::None,
        counts: false,
        root: None,
    };
    let most = Stub {
        page: PagePointers { first: 70_100, previous: 70_000 },
        local_id: LocalMessageId::new("l-1").ok(),
        receipt: ReceiptStatus::Processing,
        counts: true,
        ..least.clone()
    };
    let reply = Stub { root: Some(OrderKey((1 << 52) + 3)), ..least.clone() };
    vec![("least", least), ("most", most), ("reply", reply)]
}

#[test]
fn every_carrier_has_its_golden_bytes() {
    let written: Vec<(&str, Vec<u8>)> = carriers()
        .iter()
        .map(|(name, stub)| (*name, encode_carrier(stub).expect("fits").to_vec()))
        .collect();
    let golden = crate::wire::golden::lines(CARRIERS);
    crate::wire::golden::assert_same(&written, &golden);
    for ((name, stub), (_, bytes)) in carriers().into_iter().zip(golden) {
        assert_eq!(order_key(&bytes), Ok(stub.key), "{name}");
        assert_eq!(read_any(&bytes), Ok(Recorded::Carrier(stub)), "{name}");
        for length in 0..bytes.len() {
            assert!(read_any(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

fn replies() -> Vec<(&'static str, Placed, Option<Push>)> {
    let reply = |by_sender, is_of_reply: bool| {
        let to = Reference {
            by_sender,
            key: OrderKey((1 << 52) + 3),
            partition: Partition(7),
            seq: 31,
            stream_seq: 69_000,
            timestamp_ms: 1_800_000_000_023,
        };
        let root = Reference { by_sender: !by_sender, seq: 5, stream_seq: 68_000, ..to };
        let root = is_of_reply.then_some(root);
        let reply = Some(Reply { to, root, original: Original::NotFound });
        let mut placed = plain(text("x"));
        let message = Arc::make_mut(&mut placed.message);
        message.annotations = Some(Box::new(Annotations { reply, ..Annotations::default() }));
        placed
    };
    let push = Push { title: "T".into(), ..Push::default() };
    vec![
        ("to-received", reply(false, false), None),
        ("to-own", reply(true, false), Some(push)),
        ("to-reply", reply(true, true), None),
    ]
}

#[test]
fn every_reply_has_its_golden_bytes() {
    let written: Vec<(&str, Vec<u8>)> = replies()
        .iter()
        .map(|(name, placed, push)| (*name, encode(placed, push.as_ref()).expect("fits").to_vec()))
        .collect();
    let golden = crate::wire::golden::lines(REPLIES);
    crate::wire::golden::assert_same(&written, &golden);
    for ((name, placed, push), (_, mut bytes)) in replies().into_iter().zip(golden) {
        let Placed { message, mark, page, .. } = placed;
        let message = (*message).clone();
        assert_eq!(order_key(&bytes), Ok(message.key), "{name}");
        assert_eq!(read(&bytes), Ok(StoredMessage { message, mark, page, push }), "{name}");
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
        // Version 1 has no reference, and a reply is not taken for another message.
        bytes[1] = 1;
        assert!(read(&bytes).is_err(), "{name}");
    }
}

/// The content of the original is nowhere in the record.
#[test]
fn a_reply_is_stored_without_its_original() {
    let (_, mut placed, _) = replies().swap_remove(0);
    let message = Arc::make_mut(&mut placed.message);
    let annotations = message.annotations.as_mut().expect("a reply");
    let reply = annotations.reply.as_mut().expect("a reply");
    reply.original = Original::Normal(text("secret"));
    let bytes = encode(&placed, None).expect("fits");
    assert!(!bytes.windows(6).any(|part| part == b"secret"));
}

#[test]
fn a_record_of_an_unknown_version_is_refused() {
    for (name, mut bytes) in golden() {
        bytes[1] = 4;
        let error = read(&bytes).expect_err(name);
        assert_eq!(error.to_string(), "a stored message cannot be read: its version 4 is unknown");
        assert!(order_key(&bytes).is_err());
    }
}

#[test]
fn a_record_that_is_cut_short_is_refused() {
    for (name, bytes) in golden() {
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn the_deepest_message_that_can_be_sent_is_read_back() {
    let mut content = Content::Multiple { infos: vec![text("leaf")] };
    for _ in 0..COMBINE_DEPTH_MAX {
        let (title, summary) = ("T".into(), "S".into());
        content = Content::Combine { title, summary, messages: vec![excerpt(content)] };
    }
    assert_eq!(content.validate(&Limits::default()), Ok(()));
    let bytes = encode(&plain(content.clone()), None).expect("fits");
    assert_eq!(read(&bytes).map(|stored| stored.message.content), Ok(content));
}

/// Deeper than any message that can be sent: an error, not a stack overflow.
#[test]
fn a_record_that_is_nested_without_end_is_refused() {
    let (_, text) = &golden()[0];
    let content = text.windows(3).position(|window| window == b"\x81\xa11").expect("content");
    let mut bytes = text[..content].to_vec();
    for _ in 0..100_000 {
        bytes.extend(b"\x81\xa210\x91");
    }
    assert!(read(&bytes).is_err());
}

proptest! {
    #[test]
    fn a_damaged_record_is_never_the_end_of_the_daemon(
        which in 0..16_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (_, mut bytes) = golden().swap_remove(which);
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        // Damage within a text may leave it readable.
        let _ = (read(&bytes), order_key(&bytes));
    }
}
