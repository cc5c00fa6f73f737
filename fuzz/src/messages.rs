//! The properties of an accepted message on its whole way: to the other owner and back, into the
//! log and out of it, into the reply.

use peerd::runtime::commands::send_peer_message::Request;
use peerd::storage::message::{self, Recorded};
use peerd::wire::owner_request::{
    Deliver, FindRepeat, OwnerRequest, Request as Requested, decode_answer, encode_answer,
};
use peerd_core::clock::{KeyClock, Lane};
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::Limits;
use peerd_core::receive::{Delivered, Placed, Plan};
use peerd_core::reply::{Original, Reference, Reply};
use peerd_core::send::{Delivery, Send};
use peerd_core::user::User;
use peerd_core::user_info::Profile;
use peerd_protocol::decode;
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::reply::{Reply as _, Sent, Shown};
use peerd_protocol::value::Value;

const PARTITION: Partition = Partition(3);
const AT_MS: u64 = 1_780_000_000_000;
const STREAM_SEQ: u64 = 70_000;

/// Follows a send that passes the sender's checks.
pub(super) fn check(send: &Send) {
    let sender = UserId::new("the sender", "userID").expect("a userID");
    if send.validate(&sender, &Limits::default()).is_err() {
        return;
    }
    let delivery = delivery(sender, send);
    to_the_owner(&delivery);
    let placed = place(&delivery);
    into_the_log(&delivery, &placed);
    back_to_the_sender(&delivery, &placed);
    into_the_reply(&delivery, placed);
}

/// Follows a send as a reply to another message, up to the reply to the call.
pub(super) fn check_reply(send: &Send) {
    let sender = UserId::new("the sender", "userID").expect("a userID");
    let to = Reference {
        by_sender: false,
        key: OrderKey(7),
        partition: PARTITION,
        seq: 3,
        stream_seq: STREAM_SEQ,
        timestamp_ms: AT_MS,
    };
    let mut send = send.clone();
    send.draft.reply = Some(Box::new(Reply { to, root: Some(to), original: Original::NotFound }));
    send.options.seq_max = Some(32);
    if send.validate(&sender, &Limits::default()).is_err() {
        return;
    }
    let delivery = delivery(sender, &send);
    to_the_owner(&delivery);
    let placed = place(&delivery);
    into_the_log(&delivery, &placed);
    back_to_the_sender(&delivery, &placed);
}

fn delivery(sender: UserId, send: &Send) -> Delivery {
    Delivery {
        from: sender,
        from_profile: Profile { name: "The Sender".to_owned(), avatar_url: None },
        send: Box::new(Send { to_field: "toUserID", ..send.clone() }),
        timestamp_ms: AT_MS,
        floor: OrderKey(5),
        sent_seq: 31,
    }
}

fn to_the_owner(delivery: &Delivery) {
    let to = &delivery.send.to;
    for sent_before_ms in [None, Some(1)] {
        let request = Deliver { delivery: delivery.clone(), sent_before_ms };
        let bytes = request.encode().expect("writable");
        assert_eq!(Requested::decode(&bytes, to), Ok(Requested::Deliver(request)));
    }
    let (from, draft) = (delivery.from.clone(), delivery.send.draft.clone());
    let request = FindRepeat { from, to: to.clone(), draft };
    let bytes = request.encode().expect("writable");
    assert_eq!(Requested::decode(&bytes, to), Ok(Requested::FindRepeat(Box::new(request))));
}

fn place(delivery: &Delivery) -> Placed {
    let receiver_id = delivery.send.to.clone();
    let mut receiver = User::new(receiver_id.clone());
    let clock = KeyClock::default();
    let draw_key = || clock.next(AT_MS, delivery.floor, Lane::of(&delivery.from, &receiver_id));
    match receiver.plan(delivery, PARTITION, 0, draw_key) {
        Ok(Plan::Store(placed)) => placed,
        other => panic!("a first message is stored, not {other:?}"),
    }
}

fn into_the_log(delivery: &Delivery, placed: &Placed) {
    let push = delivery.send.options.push.as_ref();
    let bytes = message::encode(placed, push).expect("writable");
    let (sender, receiver) = (&delivery.from, &delivery.send.to);
    let stored = message::decode(&bytes, sender, receiver, PARTITION).expect("readable");
    let Recorded::Message(stored) = stored else { panic!("a message is read as a carrier") };
    assert_eq!(stored.message, *placed.message);
    assert_eq!((stored.mark, stored.page), (placed.mark, placed.page));
    assert_eq!(stored.push.as_ref(), push);
    assert_eq!(stored.head(STREAM_SEQ), placed.head(STREAM_SEQ));
    assert_eq!(message::order_key(&bytes), Ok(placed.message.key));
}

fn back_to_the_sender(delivery: &Delivery, placed: &Placed) {
    let heads = [(Some(placed.head(STREAM_SEQ)), false), (None, false), (None, true)];
    for (head, is_duplicate) in heads {
        let answer = Ok(Delivered {
            message: placed.message.clone(),
            head,
            receiver_profile: Profile { name: "The Receiver".to_owned(), avatar_url: None },
            is_duplicate,
        });
        let request = Deliver { delivery: delivery.clone(), sent_before_ms: None };
        let bytes = encode_answer::<Deliver>(&answer).expect("writable");
        assert_eq!(decode_answer(&request, &bytes, PARTITION), Ok(answer));
    }
}

/// Checks that the reply is the same in both encodings, and that its message could be sent again.
fn into_the_reply(delivery: &Delivery, placed: Placed) {
    let reply = Sent { message: placed.message, is_duplicate: false };
    let body = reply.body(Shown { viewer: &delivery.from, content_max: None });
    let json = Encoding::Json.encode(&body).expect("writable");
    let packed = Encoding::MessagePack.encode(&body).expect("writable");
    let (from_json, from_packed) =
        (Value::decode(Encoding::Json, &json), Value::decode(Encoding::MessagePack, &packed));
    // A reply has more fields for each message than the request, and may exceed a body's bounds.
    let (Ok(from_json), Ok(from_packed)) = (from_json, from_packed) else {
        assert!(json.len() > SMALL_BYTES, "a reply that is no body");
        return;
    };
    let is_stored = delivery.send.draft.content.is_stored();
    // Only a Command's bytes differ.
    assert_eq!(from_json == from_packed, is_stored, "the encodings say different things");

    let mut again: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let message = again["message"].as_object_mut().expect("a message");
    if message["localMessageID"] == "" {
        message.remove("localMessageID");
    }
    again["toUserID"] = delivery.send.to.as_str().into();
    let again = again.to_string();
    match decode::request::<Request>(Encoding::Json, again.as_bytes(), super::USER_ID_BYTES) {
        Ok(again) => assert_eq!(Send::from(again).draft, delivery.send.draft),
        Err(refused) => panic!("a message that cannot be sent again: {refused}"),
    }
}

/// A body below this size cannot exceed the bounds of a body.
const SMALL_BYTES: usize = 40_000;
