//! Events held against the store and against the calls.

use serde_json::{Value, json};

use super::{MINUTE_US, Scene, Sent, events_of, scene};
use crate::fault::Kind;

#[test]
fn unsent() {
    let mut scene = scene();
    let stray = Sent { local_id: "a9", seq: 4, counted: 4, key: 9000, ..scene.sent[3].clone() };
    scene.stored.push(stray.clone());
    scene.assert_found(Kind::Unsent, "bob with ann: ann:a9 of ann was never sent");
    let mut scene = super::scene();
    scene.notes.extend(events_of("bob", &stray, 4000));
    scene.assert_found(Kind::Unsent, "bob: received ann:a9, which is not stored");
    // A refused message must not exist.
    let mut scene = super::scene();
    let refused = scene.notes.iter_mut().find(|note| note["answer"] == 5).expect("an answer");
    *refused = json!({ "at": refused["at"], "answer": 5, "error": "rate_limited" });
    scene.assert_found(Kind::Unsent, "eve:e1 of eve was never sent");
}

#[test]
fn wrong_content() {
    let mut scene = scene();
    let reply = scene.notes.iter_mut().find(|note| note["answer"] == 1).expect("a reply");
    reply["body"]["message"]["messageSeq"] = json!(9);
    scene.assert_found(Kind::WrongContent, "ann:a1 is Line");
    let mut scene = super::scene();
    let event = scene.events("bob", "peer_message_received").next().expect("an event");
    event["body"]["messageList"][0]["message"] = json!("something else");
    scene.assert_found(Kind::WrongContent, "bob: received ann:a1 other than");
    let mut scene = super::scene();
    let call = scene.notes.iter_mut().find(|note| note["call"] == 1).expect("a call");
    call["body"]["message"]["message"] = json!("something else");
    scene.assert_found(Kind::WrongContent, "ann:a1 has other content");
}

#[test]
fn unpublished() {
    let without = |scene: &mut Scene, user: &str| {
        let is_one =
            |note: &Value| note["event"] == "peer_message_received" && note["user"] == user;
        let place = scene.notes.iter().position(is_one).expect("an event");
        scene.notes.remove(place);
    };
    let mut scene = scene();
    without(&mut scene, "bob");
    scene.assert_found(Kind::Unpublished, "bob: did not receive ann:a1");
    // A change between two that were published.
    let mut missing = super::scene();
    let last = missing.events("bob", "conversation_changed").last().expect("an event");
    last["body"]["revision"] = json!(9000);
    last["body"]["previousRevision"] = json!(8000);
    missing.assert_found(Kind::Unpublished, "bob: between revisions 4000 and 8000");
    // While instances die, it is published in the end; while NATS is disturbed, perhaps not.
    let disturb = |scene: &mut Scene, what: &str| {
        scene.notes.insert(1, json!({ "at": 1, "disturbed": what }));
        scene.notes.insert(2, json!({ "at": 2 * MINUTE_US, "calm": true }));
    };
    disturb(&mut scene, "peerd");
    assert_eq!(scene.kinds(), [Kind::Unpublished]);
    // It is not published any more once its receiver has deleted it.
    let before = scene.notes.len();
    let body = json!({
        "conversationID": "ann", "messageList": [{ "messageID": scene.sent[0].id() }],
    });
    scene.notes.push(json!({
        "at": 6 * MINUTE_US, "call": 60, "user": "bob", "method": "delete_messages", "body": body,
    }));
    scene.notes.push(json!({ "at": 6 * MINUTE_US + 1, "answer": 60, "body": {} }));
    assert!(!scene.kinds().contains(&Kind::Unpublished));
    scene.notes.truncate(before);
    scene.notes.drain(1..3);
    disturb(&mut scene, "nats");
    assert_eq!(scene.kinds(), []);
    // A client that did not listen need not receive events.
    let mut deaf = super::scene();
    without(&mut deaf, "bob");
    deaf.notes[0]["listening"] = json!("eve");
    assert_eq!(deaf.kinds(), []);
}
