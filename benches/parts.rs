//! Measures the pure parts of a send and of a page: decisions, encodings, paging, metrics.
//!
//! Run by `make bench-parts`. A figure that rises much without a reason deserves a look; the
//! figures for users are in docs/performance.md.

#![expect(clippy::expect_used, reason = "what is measured is known to fit")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use peerd::metrics::Durations;
use peerd::runtime::commands::send_peer_message::Request;
use peerd::storage::message::{self, Recorded};
use peerd_core::clock::{KeyClock, Lane};
use peerd_core::content::Content;
use peerd_core::event::{Event, Publication};
use peerd_core::id::{LocalMessageId, OrderKey, Partition, UserId};
use peerd_core::limits::Limits;
use peerd_core::list::ListFilter;
use peerd_core::message::{Draft, Message};
use peerd_core::receive::{Arrived, Placed, Plan};
use peerd_core::send::{Delivery, Send, SendOptions};
use peerd_core::user::User;
use peerd_core::user_info::Profile;
use peerd_protocol::decode;
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::event::EventBody;
use peerd_protocol::reply::{History, Reply, Sent, Shown};

const NOW_MS: u64 = 1_800_000_000_000;
const PARTITION: Partition = Partition(3);
/// Messages of a page of history, and conversations of a page of the list.
const PAGE: u64 = 30;
/// Conversations of the user whose list is read.
const CONVERSATIONS: u64 = 1000;
const TEXT: &str = "Hello there, how are you today? See you at half past seven.";

fn user(name: &str) -> UserId {
    UserId::new(name, "userID").expect("a valid ID")
}

/// The `number`th message of `from` to bob.
fn delivery(from: &str, number: u64) -> Delivery {
    let local_id = LocalMessageId::new(&format!("local-{number}")).expect("a valid ID");
    let content = Content::Text { message: TEXT.to_owned() };
    let draft =
        Draft { content, local_id: Some(local_id), extended_data: String::new(), reply: None };
    let options = SendOptions::default();
    Delivery {
        from: user(from),
        from_profile: Profile { name: "Alice".to_owned(), avatar_url: None },
        send: Box::new(Send { to: user("bob"), to_field: "toUserID", draft, options }),
        timestamp_ms: NOW_MS,
        floor: OrderKey::ZERO,
        sent_seq: 0,
    }
}

fn plan(bob: &mut User, delivery: &Delivery, clock: &KeyClock) -> Placed {
    let draw_key = || clock.next(NOW_MS, delivery.floor, Lane::Even);
    match bob.plan(delivery, PARTITION, 0, draw_key) {
        Ok(Plan::Store(placed)) => placed,
        Ok(_) | Err(_) => unreachable!("each message is a new one"),
    }
}

/// Makes bob receive a message at a stream sequence.
fn receive(
    bob: &mut User,
    delivery: &Delivery,
    clock: &KeyClock,
    seq: u64,
) -> (Arc<Message>, Publication) {
    let placed = plan(bob, delivery, clock);
    let head = placed.head(seq);
    let message = placed.message;
    let fingerprint = delivery.send.draft.fingerprint();
    let sender_profile = &delivery.from_profile;
    let arrived = Arrived { message: &message, head, fingerprint, sender_profile };
    let received = bob.receive(&arrived, &Limits::default());
    (message, received.publication)
}

/// bob, with `conversations` of one message each.
fn bob(conversations: u64) -> (User, KeyClock) {
    let (mut bob, clock) = (User::new(user("bob")), KeyClock::default());
    for number in 1..=conversations {
        receive(&mut bob, &delivery(&format!("user{number}"), number), &clock, number);
    }
    (bob, clock)
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let (mut bob, clock) = bob(CONVERSATIONS);
    let next = delivery("user1", CONVERSATIONS + 1);
    group.bench_function("the place of a message", |bencher| {
        bencher.iter(|| plan(black_box(&mut bob), black_box(&next), &clock));
    });
    group.bench_function("a message received", |bencher| {
        let setup = || self::bob(1).0;
        bencher.iter_batched_ref(
            setup,
            |bob| receive(bob, black_box(&next), &clock, CONVERSATIONS + 1),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("a send within its limits", |bencher| {
        let (alice, limits) = (user("alice"), Limits::default());
        bencher.iter(|| black_box(&next).send.validate(&alice, &limits));
    });
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let (mut bob, clock) = bob(1);
    let next = delivery("user1", 2);
    let placed = plan(&mut bob, &next, &clock);
    let bytes = message::encode(&placed, None).expect("it fits");
    group.bench_function("record, written", |bencher| {
        bencher.iter(|| message::encode(black_box(&placed), None));
    });
    group.bench_function("record, read", |bencher| {
        let (from, to) = (user("user1"), user("bob"));
        bencher.iter(|| message::decode(black_box(&bytes), &from, &to, PARTITION));
    });
    let body = serde_json::json!({
        "toUserID": "bob",
        "message": { "type": 1, "message": TEXT, "localMessageID": "local-2" },
    });
    let (message, publication) = receive(&mut bob, &next, &clock, 2);
    for encoding in [Encoding::MessagePack, Encoding::Json] {
        let name = encoding.content_type();
        let body = encoding.encode(&body).expect("it fits");
        group.bench_function(format!("request, read, {name}"), |bencher| {
            bencher.iter(|| {
                let request = decode::request::<Request>(encoding, black_box(&body), 64);
                request.map(|request| Box::new(Send::from(request)))
            });
        });
        for event in &publication.events {
            let event_name = peerd_protocol::event::name(event);
            group.bench_function(format!("{event_name}, written, {name}"), |bencher| {
                bencher.iter(|| write_event(encoding, black_box(event), &publication, &bob));
            });
        }
        let reply = Sent { message: message.clone(), is_duplicate: false };
        group.bench_function(format!("reply, written, {name}"), |bencher| {
            let viewer = user("user1");
            bencher.iter(|| {
                let shown = Shown { viewer: &viewer, content_max: None };
                encoding.encode(&black_box(&reply).body(shown))
            });
        });
    }
    group.finish();
}

fn write_event(
    encoding: Encoding,
    event: &Event,
    publication: &Publication,
    viewer: &User,
) -> usize {
    let body =
        EventBody { event, revision: publication.revision, viewer: &viewer.id, content_max: None };
    encoding.encode(&body).map_or(0, |body| body.len())
}

fn paging(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("paging");
    let (bob, _) = bob(CONVERSATIONS);
    let count = usize::try_from(PAGE).expect("it fits");
    group.bench_function("first page of 1,000 conversations", |bencher| {
        bencher.iter(|| black_box(&bob).list(None, count, &ListFilter::default()));
    });
    let (mut carol, clock) = (User::new(user("bob")), KeyClock::default());
    let mut records = Vec::new();
    for number in 1..=PAGE {
        let next = delivery("user1", number);
        let placed = plan(&mut carol, &next, &clock);
        records.push(message::encode(&placed, None).expect("it fits"));
        receive(&mut carol, &next, &clock, number);
    }
    let (from, to) = (user("user1"), user("bob"));
    group.bench_function("page of 30 messages, from records to reply", |bencher| {
        bencher.iter(|| {
            let read = |bytes| message::decode(bytes, &from, &to, PARTITION);
            let messages = records.iter().filter_map(|bytes| match read(bytes).ok()? {
                Recorded::Message(stored) => Some(Arc::new(stored.message)),
                Recorded::Carrier(_) => None,
            });
            let messages = messages.collect();
            let reply = History { other: from.clone(), messages, backwards: true };
            Encoding::MessagePack.encode(&reply.body(Shown { viewer: &to, content_max: None }))
        });
    });
    group.finish();
}

/// What the metrics of a call cost.
fn metrics(criterion: &mut Criterion) {
    let (durations, count) = (Durations::default(), AtomicU64::new(0));
    criterion.bench_function("metrics/record", |bencher| {
        bencher.iter(|| {
            durations.record(black_box(Duration::from_millis(2)));
            count.fetch_add(1, Ordering::Relaxed)
        });
    });
    criterion.bench_function("metrics/clock", |bencher| bencher.iter(Instant::now));
}

criterion_group!(benches, decide, codec, paging, metrics);
criterion_main!(benches);
