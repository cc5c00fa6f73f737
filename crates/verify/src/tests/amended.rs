//! Edits and revocations, held against the store, the replies and the events.

use serde_json::{Value, json};

use super::{MINUTE_US, Scene, removed, scene};
use crate::fault::Kind;

const EDITED: &str = "edited text";
/// When the change begins, after all sends.
const AT: u64 = 6 * MINUTE_US;

/// The call of `ann` that changes a2, its answer, and the event that `bob` receives.
fn change(scene: &mut Scene, method: &str, event: &str, text: Option<&str>) {
    let id = scene.sent[1].id();
    let message = json!({ "messageID": id, "conversationID": "bob", "type": 1, "message": text });
    let body = json!({ "message": message });
    let mut shown = scene.sent[1].shown("bob");
    shown["message"] = json!(text);
    scene.notes.extend([
        json!({ "at": AT, "call": 50, "user": "ann", "method": method, "body": body }),
        json!({ "at": AT + 1000, "answer": 50, "body": {} }),
        json!({
            "at": AT + 1000, "event": event, "user": "bob",
            "body": { "messageList": [shown], "revision": 6000, "previousRevision": 4000 },
        }),
    ]);
}

/// The second message of the page that `bob` reads.
fn on_page(scene: &mut Scene) -> &mut Value {
    &mut scene.answer(100)["body"]["messageList"][1]
}

/// `ann` edits a2 after all sends.
fn edited() -> Scene {
    let mut scene = scene();
    change(&mut scene, "edit_message", "message_edited", Some(EDITED));
    scene.stored[1].edited = Some(EDITED);
    on_page(&mut scene)["message"] = json!(EDITED);
    scene
}

/// `ann` revokes a2 after all sends.
fn revoked() -> Scene {
    let mut scene = scene();
    change(&mut scene, "revoke_message", "message_revoke_received", None);
    let a2 = scene.stored.remove(1);
    scene.removed.push(removed(&a2));
    scene.are_revoked = true;
    scene.count_one_less();
    let shown = on_page(&mut scene).as_object_mut().expect("a message");
    shown.remove("message");
    scene
}

#[test]
fn an_edited_message_has_its_last_text() {
    assert_eq!(edited().verdict().faults, []);
    assert_eq!(edited().verdict().changes, 1);
    let mut scene = edited();
    scene.stored[1].edited = None;
    scene.assert_found(Kind::WrongContent, "ann:a2 has other content");
    // Without a call.
    let mut scene = super::scene();
    scene.stored[1].edited = Some(EDITED);
    scene.assert_found(Kind::WrongContent, "ann:a2 has other content");
    // An edit without an answer may have been stored.
    for is_stored in [true, false] {
        let mut scene = edited();
        scene.notes.retain(|note| note["answer"] != 50);
        if !is_stored {
            scene.stored[1].edited = None;
            scene.notes.retain(|note| note["event"] != "message_edited");
            on_page(&mut scene)["message"] = json!("text of a2");
        }
        assert_eq!(scene.verdict().faults, [], "stored: {is_stored}");
    }
}

#[test]
fn a_reply_shows_the_last_text_that_was_set_before_it() {
    let mut scene = edited();
    on_page(&mut scene)["message"] = json!("text of a2");
    scene.assert_found(Kind::WrongContent, "ann:a2 is shown otherwise");
    // A page that was read meanwhile may have either, and one before it only the first.
    for (at, text, is_right) in [
        (AT - MINUTE_US, "text of a2", true),
        (AT - MINUTE_US, EDITED, false),
        (AT, "text of a2", true),
        (AT, EDITED, true),
    ] {
        let mut scene = edited();
        let mut shown = scene.sent[1].shown("bob");
        shown["message"] = json!(text);
        let body = json!({ "conversationID": "ann", "config": { "count": 1 } });
        let method = "query_history_message";
        scene.notes.extend([
            json!({ "at": at, "call": 60, "user": "bob", "method": method, "body": body }),
            json!({ "at": at + 500, "answer": 60, "body": { "messageList": [shown] } }),
        ]);
        assert_eq!(scene.verdict().faults.is_empty(), is_right, "{text} at {at}");
    }
}

#[test]
fn a_revoked_message_is_shown_as_such() {
    assert_eq!(revoked().verdict().faults, []);
    let mut scene = revoked();
    on_page(&mut scene)["message"] = json!("text of a2");
    scene.assert_found(Kind::WrongContent, "ann:a2 is shown otherwise");
    let mut scene = super::scene();
    change(&mut scene, "revoke_message", "message_revoke_received", None);
    scene.assert_found(Kind::Undeleted, "ann:a2 was revoked");
    let mut scene = revoked();
    scene.notes.retain(|note| note["call"] != 50 && note["answer"] != 50);
    scene.assert_found(Kind::Lost, "its sender did not revoke it");
}

#[test]
fn a_change_is_published_to_the_receiver() {
    for (mut scene, event) in [(edited(), "message_edited"), (revoked(), "message_revoke_received")]
    {
        let shown = scene.events("bob", event).next().expect("an event");
        shown["body"]["messageList"][0]["message"] = json!("something else");
        scene.assert_found(Kind::WrongContent, "bob: ann:a2 changed otherwise");
        scene.notes.retain(|note| note["event"] != event);
        scene.assert_found(Kind::Unpublished, "bob: did not receive a change of ann:a2");
        // An event that a fault prevented is not repeated.
        scene.notes.insert(1, json!({ "at": AT, "disturbed": "peerd" }));
        scene.notes.insert(2, json!({ "at": AT + 1, "calm": true }));
        assert_eq!(scene.verdict().faults, []);
    }
    let mut scene = edited();
    scene.events("bob", "message_edited").next().expect("an event")["user"] = json!("eve");
    scene.assert_found(Kind::WrongRecipient, "eve: ann:a2 changed, which is not theirs");
}
