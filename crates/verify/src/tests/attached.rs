//! Receipts and reactions, held against the store, the replies and the events.

use serde_json::{Value, json};

use super::{MINUTE_US, ReceiptMarks, ReceiptStatus, Scene, Settings, call, scene};
use crate::fault::Kind;
use peerd_core::id::OrderKey;

/// When the change begins, after all sends.
const AT: u64 = 6 * MINUTE_US;

/// A call of `bob` about a message of `ann`, and its answer.
fn noted(scene: &mut Scene, method: &str, body: &Value) {
    scene.notes.extend([
        json!({ "at": AT, "call": 50, "user": "bob", "method": method, "body": body }),
        json!({ "at": AT + 1000, "answer": 50, "body": {} }),
    ]);
}

/// The second message of the page that `bob` reads, which is a2.
fn on_page(scene: &mut Scene) -> &mut Value {
    &mut scene.answer(100)["body"]["messageList"][1]
}

/// `bob` confirms the conversation with `ann`, who sent a2 with `hasReceipt`.
fn confirmed() -> Scene {
    let mut scene = scene();
    for list in [&mut scene.sent, &mut scene.stored] {
        list[1].receipt = ReceiptStatus::Processing;
    }
    let asks_for_it = call(2, &scene.sent[1]);
    let is_it = |note: &&mut Value| note["call"] == 2;
    *scene.notes.iter_mut().find(is_it).expect("the call") = asks_for_it[0].clone();
    let body = json!({ "conversationID": "ann" });
    noted(&mut scene, "send_conversation_message_receipt_read", &body);
    let key = OrderKey(scene.sent[1].key);
    let marks = |receipts| Settings { receipts, kept: true, ..Settings::default() };
    let read = ReceiptMarks { sent: key, begun: key, ..ReceiptMarks::default() };
    let seen = ReceiptMarks { received: key, ..ReceiptMarks::default() };
    scene.settings.extend([("bob", "ann", marks(read)), ("ann", "bob", marks(seen))]);
    on_page(&mut scene)["receiptStatus"] = json!(2);
    scene
}

/// `bob` reacts to a2.
fn reacted() -> Scene {
    let mut scene = scene();
    let message = json!({ "messageID": scene.sent[1].id(), "conversationID": "ann" });
    let body = json!({ "reactionType": "+1", "message": message });
    noted(&mut scene, "add_message_reaction", &body);
    let mut shown = scene.sent[1].shown("ann");
    let reaction = json!({ "reactionType": "+1", "userList": [{ "userID": "bob" }] });
    shown["reactions"] = json!([reaction]);
    scene.notes.push(json!({
        "at": AT + 1000, "event": "message_reactions_changed", "user": "ann",
        "body": {
            "changeInfoList": [{ "message": shown }], "revision": 6000, "previousRevision": 5000,
        },
    }));
    scene.stored[1].reaction = Some("+1");
    on_page(&mut scene)["reactions"] = json!([reaction]);
    scene
}

#[test]
fn a_receipt_is_there_in_the_end() {
    assert_eq!(confirmed().verdict().faults, []);
    assert_eq!(confirmed().verdict().changes, 1);
    // Neither user has it.
    let mut scene = confirmed();
    scene.settings.clear();
    scene.assert_found(Kind::HalfReceipt, "ann with bob: the receipt of ann:a2 is lost");
    // An answer that never came leaves both possible.
    scene.notes.retain(|note| note["answer"] != 50);
    on_page(&mut scene)["receiptStatus"] = json!(1);
    assert_eq!(scene.verdict().faults, []);
    let mut scene = confirmed();
    scene.notes.retain(|note| note["answer"] != 50);
    assert_eq!(scene.verdict().faults, []);
    // A receipt that no call sent.
    scene.notes.retain(|note| note["call"] != 50);
    scene.assert_found(Kind::WrongContent, "ann:a2 is confirmed, and its receiver did not");
    // A page that does not show it.
    let mut scene = confirmed();
    on_page(&mut scene)["receiptStatus"] = json!(1);
    scene.assert_found(Kind::WrongContent, "the store has Attached { is_confirmed: true");
}

#[test]
fn a_receipt_of_one_message_is_no_receipt_of_others() {
    let mut scene = confirmed();
    scene.settings.clear();
    scene.stored[1].receipt = ReceiptStatus::Done;
    let is_call = |note: &&mut Value| note["call"] == 50;
    let note = scene.notes.iter_mut().find(is_call).expect("the call");
    note["method"] = json!("send_message_receipts_read");
    note["body"]["messageList"] = json!([{ "messageID": scene.sent[1].id() }]);
    assert_eq!(scene.verdict().faults, []);
    let other = scene.sent[0].id();
    let note = scene.notes.iter_mut().find(is_call).expect("the call");
    note["body"]["messageList"] = json!([{ "messageID": other }]);
    scene.assert_found(Kind::WrongContent, "ann:a2 is confirmed, and its receiver did not");
}

#[test]
fn a_message_has_the_reactions_that_were_set_last() {
    assert_eq!(reacted().verdict().faults, []);
    assert_eq!(reacted().verdict().changes, 1);
    let mut scene = reacted();
    scene.stored[1].reaction = None;
    scene.assert_found(Kind::WrongContent, "bob reacted to ann:a2 with +1: false");
    let mut scene = reacted();
    scene.stored[1].reaction = Some("other");
    scene.assert_found(Kind::WrongContent, "bob reacted to ann:a2 with other: true");
    let mut scene = reacted();
    on_page(&mut scene)["reactions"] = json!([]);
    scene.assert_found(Kind::WrongContent, "is shown with Attached");
    // An event to a stranger.
    let mut scene = reacted();
    let event = scene.events("ann", "message_reactions_changed").next().expect("an event");
    event["user"] = json!("eve");
    scene.assert_found(Kind::WrongRecipient, "eve: ann:a2 changed, which is not theirs");
    // It was taken away again.
    let mut scene = reacted();
    let message = json!({ "messageID": scene.sent[1].id(), "conversationID": "ann" });
    let (method, at) = ("delete_message_all_reactions", AT + 5000);
    let body = json!({ "message": message });
    scene.notes.extend([
        json!({ "at": at, "call": 51, "user": "bob", "method": method, "body": body }),
        json!({ "at": at + 1, "answer": 51, "body": {} }),
    ]);
    scene.assert_found(Kind::WrongContent, "bob reacted to ann:a2 with +1: true");
}
