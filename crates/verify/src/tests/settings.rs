//! The entries of conversations, held against the calls that changed them and against each other.

use serde_json::{Value, json};

use super::scene;
use crate::fault::Kind;
use peerd_core::conversation::{Delisted, Mark, Settings};
use peerd_core::id::OrderKey;
use peerd_core::marks::{ConversationMark, ConversationMarks};
use peerd_core::pages::AmendedPages;
use peerd_core::pins::{Pin, PinnedId, Pins};

#[test]
fn what_a_user_sets_for_a_conversation_is_there_in_the_end() {
    let mark = |number| ConversationMark::new(number).expect("a mark");
    let set = Settings {
        kept: true,
        pinned_ms: 7,
        draft: Some("Dear".into()),
        marks: ConversationMarks::default().with(mark(3), true),
        ..Settings::default()
    };
    let noted = || {
        let mut scene = scene();
        let of = |mut body: Value| {
            body["conversationID"] = json!("eve");
            body
        };
        let calls = [
            ("update_conversation_pinned_state", of(json!({ "isPinned": true }))),
            ("set_conversation_draft", of(json!({ "draft": "Dear" }))),
            (
                "set_conversation_mark",
                json!({ "markType": 3, "enable": true, "conversationInfos": [of(json!({})), of(json!({}))] }),
            ),
        ];
        for (number, (method, body)) in (200..).zip(calls) {
            scene.read(number, method, &body, &json!({ "failedConversationInfos": [] }));
        }
        scene
    };
    let mut scene = noted();
    scene.settings.push(("bob", "eve", set.clone()));
    assert_eq!(scene.verdict().faults, []);
    for (settings, why) in [
        (Settings { pinned_ms: 0, ..set.clone() }, "bob with eve: pinned is false"),
        (Settings { draft: None, ..set.clone() }, "bob with eve: the draft is not what was set"),
        (
            Settings { marks: ConversationMarks::default(), ..set.clone() },
            "bob with eve: mark 3 is set: false",
        ),
        (
            Settings { marks: set.marks.with(mark(4), true), ..set.clone() },
            "bob with eve: mark 4 is set: true",
        ),
    ] {
        let mut scene = noted();
        scene.settings.push(("bob", "eve", settings));
        scene.assert_found(Kind::WrongContent, why);
    }
}

#[test]
fn a_deleted_conversation_is_not_in_the_list_and_nothing_is_unread() {
    let all = Mark { seq: 3, counted: 3 };
    let noted = |read| {
        let mut scene = scene();
        scene.notes.truncate(scene.notes.len() - 6);
        scene.read(200, "delete_conversation", &json!({ "conversationID": "ann" }), &json!({}));
        let delisted = Some(Delisted { received: 3, sent: 1 });
        scene.settings.push(("bob", "ann", Settings { read, delisted, ..Settings::default() }));
        scene
    };
    assert_eq!(noted(all).verdict().faults, []);
    let mut kept = noted(all);
    kept.settings[0].2.kept = true;
    kept.assert_found(Kind::Undeleted, "bob with ann: the conversation was deleted");
    // A deletion without a call.
    let mut unasked = noted(all);
    unasked.notes.truncate(unasked.notes.len() - 2);
    unasked.assert_found(Kind::Lost, "bob with ann: not in the list");
}

#[test]
fn what_is_read_up_to_a_message_is_read_and_nothing_else() {
    let noted = |read| {
        let mut scene = scene();
        scene.notes.truncate(scene.notes.len() - 6);
        let up_to = json!({ "messageID": scene.sent[1].id() });
        let body = json!({ "conversationID": "ann", "upToMessage": up_to });
        scene.read(200, "clear_conversation_unread_message_count", &body, &json!({}));
        scene.settings.push(("bob", "ann", Settings { read, kept: true, ..Settings::default() }));
        scene
    };
    assert_eq!(noted(Mark { seq: 2, counted: 2 }).verdict().faults, []);
    let all = noted(Mark { seq: 3, counted: 3 });
    all.assert_found(Kind::WrongCount, "bob with ann: unread is 0, the recount 1 to 1");
}

#[test]
fn unnamed() {
    let mut scene = scene();
    scene.amended.push(2);
    let text = "bob with ann: the entry does not name page 2 of what was received";
    scene.assert_found(Kind::Unnamed, text);
    let text = "ann with bob: the entry does not name page 2 of what was sent";
    scene.assert_found(Kind::Unnamed, text);
    let pages = || AmendedPages::new([(1, 3)]);
    let received = Settings { amended_received: pages(), ..Settings::default() };
    let sent = Settings { amended_sent: pages(), ..Settings::default() };
    scene.settings.push(("bob", "ann", received.clone()));
    assert_eq!(scene.kinds(), [Kind::Unnamed]);
    scene.settings.push(("ann", "bob", received));
    assert_eq!(scene.kinds(), [Kind::Unnamed], "the other direction is named");
    scene.settings[1].2 = sent;
    assert_eq!(scene.verdict().faults, []);
}

#[test]
fn unnamed_pin() {
    let message = PinnedId { key: OrderKey(7), from_keeper: true };
    let pins = Pins::new(vec![Pin { message, by_keeper: false, at_ms: 1 }]);
    let mut scene = scene();
    scene.settings.push(("ann", "bob", Settings { pins, ..Settings::default() }));
    let text = "ann with bob: bob does not see that the message 7 is pinned";
    scene.assert_found(Kind::Unnamed, text);
    let up_to = |key| Settings { pinned_up_to: OrderKey(key), ..Settings::default() };
    scene.settings.push(("bob", "ann", up_to(6)));
    assert_eq!(scene.kinds(), [Kind::Unnamed]);
    scene.settings[1].2 = up_to(7);
    assert_eq!(scene.verdict().faults, []);
}
