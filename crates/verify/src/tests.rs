//! The verdict on sound notes and stores, and on falsified ones: one for each kind of fault, to
//! show that each check can fail.

use serde_json::{Value, json};

use super::fault::Kind;
use super::notes::Notes;
use super::stored::Stored;
use super::{Verdict, verdict};
use peerd_core::amendment::{Removed, Stub};
use peerd_core::content::{Content, MessageType};
use peerd_core::conversation::{Head, Mark, PagePointers, Settings};
use peerd_core::id::{LocalMessageId, OrderKey, Partition, UserId};
use peerd_core::message::{Annotations, Message, ReceiptStatus, Revocation};
use peerd_core::reaction::Reaction;
use peerd_core::receipt::ReceiptMarks;

mod amended;
mod attached;
mod events;
mod settings;

const PARTITION: Partition = Partition(0);
const MINUTE_US: u64 = 60_000_000;

/// A message of the test.
#[derive(Clone)]
struct Sent {
    from: &'static str,
    to: &'static str,
    local_id: &'static str,
    seq: u64,
    counted: u64,
    key: u64,
    at: u64,
    /// The text after an edit.
    edited: Option<&'static str>,
    receipt: ReceiptStatus,
    /// The reaction of its receiver.
    reaction: Option<&'static str>,
}

impl Sent {
    fn id(&self) -> String {
        peerd_core::id::MessageId::new(OrderKey(self.key), PARTITION).to_string()
    }

    fn text(&self) -> String {
        self.edited.map_or_else(|| format!("text of {}", self.local_id), str::to_owned)
    }

    /// Its body as shown to `viewer`.
    fn shown(&self, viewer: &str) -> Value {
        let other = if viewer == self.from { self.to } else { self.from };
        json!({
            "type": 1, "messageID": self.id(), "localMessageID": self.local_id,
            "messageSeq": self.seq, "senderUserID": self.from, "conversationID": other,
            "orderKey": self.key, "message": self.text(),
        })
    }

    fn message(&self) -> Message {
        Message {
            sender: user(self.from),
            receiver: user(self.to),
            partition: PARTITION,
            key: OrderKey(self.key),
            seq: self.seq,
            timestamp_ms: 0,
            local_id: Some(LocalMessageId::new(self.local_id).expect("a local ID")),
            receipt: self.receipt,
            counts: true,
            extended_data: String::new(),
            content: Content::Text { message: self.text() },
            annotations: self.reaction.map(|kind| {
                let kind = kind.to_owned();
                let reactions = vec![Reaction { kind, by_sender: 0, by_receiver: 1 }];
                Box::new(Annotations { reactions, ..Annotations::default() })
            }),
        }
    }

    /// The head that it made at a sequence of the log.
    fn head(&self, stream_seq: u64) -> Head {
        Head {
            stream_seq,
            key: OrderKey(self.key),
            timestamp_ms: 0,
            mark: Mark { seq: self.seq, counted: self.counted },
            page: PagePointers::default(),
        }
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id, "user").expect("a userID")
}

/// The notes of clients and the content of the store; tests change both.
struct Scene {
    sent: Vec<Sent>,
    stored: Vec<Sent>,
    settings: Vec<(&'static str, &'static str, Settings)>,
    /// The stubs of messages from `ann` to `bob`.
    removed: Vec<Stub>,
    /// Whether they were revoked, and not erased.
    are_revoked: bool,
    /// Pages of messages from `ann` to `bob` that have amendments.
    amended: Vec<u64>,
    notes: Vec<Value>,
}

/// `ann` sends a1, a2, a3 to `bob`, who answers b1 after a2; `eve` writes e1 to `ann`. Both sides
/// receive the events, and in the end `bob` reads what there is.
fn scene() -> Scene {
    let message =
        |(from, to, local_id): (&'static str, &'static str, &'static str), seq, minute| {
            let at = minute * MINUTE_US;
            let (edited, receipt, reaction) = (None, ReceiptStatus::None, None);
            let key = minute * 1000;
            Sent { from, to, local_id, seq, counted: seq, key, at, edited, receipt, reaction }
        };
    let sent = vec![
        message(("ann", "bob", "a1"), 1, 1),
        message(("ann", "bob", "a2"), 2, 2),
        message(("bob", "ann", "b1"), 1, 3),
        message(("ann", "bob", "a3"), 3, 4),
        message(("eve", "ann", "e1"), 1, 5),
    ];
    let mut notes = vec![json!({ "at": 0, "listening": "*" })];
    let mut revisions = std::collections::HashMap::new();
    for (number, sent) in sent.iter().enumerate() {
        notes.extend(call(number + 1, sent));
        for user in [sent.to, sent.from] {
            let previous = revisions.insert(user, sent.key).unwrap_or_default();
            notes.extend(events_of(user, sent, previous));
        }
    }
    let mut scene = Scene {
        stored: sent.clone(),
        sent,
        settings: Vec::new(),
        removed: Vec::new(),
        are_revoked: false,
        amended: Vec::new(),
        notes,
    };
    let history: Vec<Value> = scene.sent[..4].iter().map(|sent| sent.shown("bob")).collect();
    let body = json!({ "conversationID": "ann", "config": { "count": 20, "reverse": true } });
    scene.read(100, "query_history_message", &body, &json!({ "messageList": history }));
    let total = json!({
        "unreadMessageCount": 3, "unreadMessageCountIncludingMuted": 3,
    });
    scene.read(101, "query_conversation_total_unread_message_count", &json!({}), &total);
    let conversation = json!({
        "conversationID": "ann", "unreadMessageCount": 3, "notificationStatus": 1,
        "lastMessage": scene.sent[3].shown("bob"),
    });
    let body = json!({ "config": { "count": 20 } });
    let list = json!({ "conversationList": [conversation] });
    scene.read(102, "query_conversation_list", &body, &list);
    scene
}

fn call(number: usize, sent: &Sent) -> [Value; 2] {
    let body = json!({
        "toUserID": sent.to,
        "message": { "type": 1, "message": sent.text(), "localMessageID": sent.local_id },
        "config": { "hasReceipt": sent.receipt != ReceiptStatus::None },
    });
    [
        json!({
            "at": sent.at, "call": number, "user": sent.from, "method": "send_peer_message",
            "body": body,
        }),
        json!({
            "at": sent.at + 1000, "answer": number, "body": { "message": sent.shown(sent.from) },
        }),
    ]
}

/// The events of a message to one side.
fn events_of(user: &str, sent: &Sent, previous: u64) -> Vec<Value> {
    let revision = json!({ "revision": sent.key, "previousRevision": previous });
    let with = |mut body: Value| {
        body["revision"] = revision["revision"].clone();
        body["previousRevision"] = revision["previousRevision"].clone();
        body
    };
    let other = if user == sent.from { sent.to } else { sent.from };
    let conversation =
        json!({ "conversationID": other, "orderKey": sent.key, "lastMessage": sent.shown(user) });
    let changed = with(json!({ "infoList": [{ "event": 1, "conversation": conversation }] }));
    let at = sent.at + 2000;
    let mut events_of =
        vec![json!({ "at": at, "event": "conversation_changed", "user": user, "body": changed })];
    if user == sent.to {
        let received = with(json!({
            "messageList": [sent.shown(user)], "fromConversationID": sent.from,
        }));
        let event = "peer_message_received";
        events_of.insert(0, json!({ "at": at, "event": event, "user": user, "body": received }));
    }
    events_of
}

impl Scene {
    fn read(&mut self, number: u64, method: &str, body: &Value, reply: &Value) {
        let at = (number + 10) * MINUTE_US;
        self.notes.push(json!({
            "at": at, "call": number, "user": "bob", "method": method, "body": body,
        }));
        self.notes.push(json!({ "at": at + 1, "answer": number, "body": reply }));
    }

    fn verdict(&self) -> Verdict {
        let mut notes = Notes::default();
        let lines: Vec<String> = self.notes.iter().map(ToString::to_string).collect();
        notes.read(lines.join("\n").as_bytes()).expect("notes");
        let mut stored = Stored::new(false);
        // In the order of the log.
        let mut removed = self.removed.iter().peekable();
        for (place, sent) in (1..).zip(&self.stored) {
            while let Some(stub) = removed.next_if(|stub| stub.key.0 < sent.key) {
                let pair = (user("bob"), user("ann"));
                let revocation = self.are_revoked.then(|| Box::new(revocation()));
                let stub = stub.clone();
                let removed = Removed { stream_seq: place, stored_ms: 0, stub, revocation };
                stored.take_removed(pair, PARTITION, &removed, removed.head());
            }
            stored.take_message(&sent.message(), sent.head(place));
        }
        for (me, other, settings) in &self.settings {
            stored.take_settings(user(me), user(other), settings.clone());
        }
        for page in &self.amended {
            stored.take_amended(user("bob"), user("ann"), *page);
        }
        verdict(&notes, &stored, std::time::Duration::ZERO)
    }

    /// The kinds of the faults.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.verdict().faults.iter().map(|fault| fault.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    #[track_caller]
    fn assert_found(&self, kind: Kind, part: &str) {
        let faults = self.verdict().faults;
        let is_it = |fault: &&super::Fault| fault.kind == kind && fault.text.contains(part);
        assert!(faults.iter().any(|fault| is_it(&fault)), "no {kind:?} {part:?} in {faults:#?}");
    }

    /// Makes the unread count of `bob` two instead of three, as after a removal.
    fn count_one_less(&mut self) {
        let settings = Settings { deleted_unread: 1, kept: true, ..Settings::default() };
        self.settings.push(("bob", "ann", settings));
        for (answer, fields) in [
            (101, &["/unreadMessageCount", "/unreadMessageCountIncludingMuted"][..]),
            (102, &["/conversationList/0/unreadMessageCount"]),
        ] {
            for field in fields {
                let body = &mut self.answer(answer)["body"];
                *body.pointer_mut(field).expect("a count") = json!(2);
            }
        }
    }

    /// The answer to a call, to be changed.
    fn answer(&mut self, number: u64) -> &mut Value {
        self.notes.iter_mut().find(|note| note["answer"] == number).expect("an answer")
    }

    /// The events of a user, to be changed.
    fn events(&mut self, user: &str, event: &str) -> impl Iterator<Item = &mut Value> {
        let is_one = move |note: &&mut Value| note["event"] == event && note["user"] == user;
        self.notes.iter_mut().filter(is_one)
    }
}

#[test]
fn sound_notes_and_stores_have_no_fault() {
    let verdict = scene().verdict();
    assert_eq!(verdict.faults, []);
    assert_eq!((verdict.calls, verdict.acknowledged, verdict.stored), (8, 5, 5));
    assert_eq!(
        (verdict.events, verdict.delivered, verdict.redelivered, verdict.users),
        (15, 5, 0, 3)
    );
}

#[test]
fn lost() {
    let mut scene = scene();
    scene.stored.pop();
    scene.assert_found(Kind::Lost, "ann with eve: eve:e1 is lost");
    // A page that ends before the store does.
    let mut scene = self::scene();
    let page = scene.notes.iter_mut().find(|note| note["answer"] == 100).expect("the page");
    page["body"]["messageList"].as_array_mut().expect("a page").pop();
    scene.assert_found(Kind::Lost, "query_history_message: a page with ann");
    let mut scene = self::scene();
    let list = scene.notes.iter_mut().find(|note| note["answer"] == 102).expect("the list");
    list["body"]["conversationList"] = json!([]);
    scene.assert_found(Kind::Lost, "1 conversations are not in the list");
}

#[test]
fn doubled() {
    let mut scene = scene();
    let again = Sent { seq: 4, counted: 4, key: 9000, ..scene.stored[3].clone() };
    scene.stored.push(again);
    scene.assert_found(Kind::Doubled, "ann:a3 is there twice");
    // A repeat that was answered as another message.
    let mut scene = self::scene();
    let other = Sent { key: 9000, ..scene.sent[0].clone() };
    scene.notes.extend(call(50, &other));
    scene.assert_found(Kind::Doubled, "ann:a1 was answered as");
    let mut scene = self::scene();
    scene.stored[4].key = scene.stored[0].key;
    scene.assert_found(Kind::Doubled, "messageID");
}

#[test]
fn reordered() {
    let mut scene = scene();
    scene.stored[1].key = 500;
    scene.assert_found(Kind::Reordered, "bob with ann: orderKey is 500");
    // Revisions that go back.
    let mut scene = self::scene();
    let first = scene.events("bob", "conversation_changed").next().expect("an event");
    first["body"]["revision"] = json!(2500);
    scene.assert_found(Kind::Reordered, "bob: revision 2000 came after 2500");
    let mut scene = self::scene();
    let last = scene.events("bob", "conversation_changed").last().expect("an event");
    last["body"]["infoList"][0]["conversation"]["orderKey"] = json!(1);
    scene.assert_found(Kind::Reordered, "bob: the conversation with ann goes back to 1");
    let mut scene = self::scene();
    let page = scene.notes.iter_mut().find(|note| note["answer"] == 100).expect("the page");
    page["body"]["messageList"].as_array_mut().expect("a page").swap(0, 1);
    scene.assert_found(Kind::Reordered, "ann:a1 is not in ascending order");
}

#[test]
fn gap() {
    let mut scene = scene();
    scene.stored[3].seq = 4;
    scene.assert_found(Kind::Gap, "bob with ann: messageSeq is 4, the recount 3");
    scene.assert_found(Kind::Gap, "ann's messageSeq jumps from 2 to 4");
}

fn revocation() -> Revocation {
    Revocation {
        at_ms: 0,
        original_type: MessageType::Text,
        original_text: String::new(),
        extended_data: String::new(),
    }
}

/// The stub of the message a2 in its page of amendments.
fn removed(sent: &Sent) -> Stub {
    Stub {
        key: OrderKey(sent.key),
        mark: Mark { seq: sent.seq, counted: sent.counted },
        page: PagePointers::default(),
        timestamp_ms: 0,
        local_id: LocalMessageId::new(sent.local_id).ok(),
        receipt: ReceiptStatus::None,
        counts: true,
        root: None,
    }
}

#[test]
fn a_message_that_was_removed_is_no_gap_and_not_lost() {
    let mut scene = scene();
    let a2 = scene.stored.remove(1);
    let page = scene.notes.iter_mut().find(|note| note["answer"] == 100).expect("the page");
    page["body"]["messageList"].as_array_mut().expect("a page").remove(1);
    scene.assert_found(Kind::Gap, "bob with ann: messageSeq is 3, the recount 2");
    scene.assert_found(Kind::Gap, "ann's messageSeq jumps from 1 to 3");
    scene.assert_found(Kind::Lost, "bob with ann: ann:a2 is lost");
    scene.removed.push(removed(&a2));
    // It is not unread any more.
    scene.assert_found(Kind::WrongCount, "bob with ann: deletedUnread is 0, the recount 1");
    scene.count_one_less();
    assert_eq!(scene.verdict().faults, []);
    // The number belongs to another message.
    let other = removed(&Sent { key: a2.key + 1, ..a2 });
    scene.removed[0] = other;
    scene.assert_found(Kind::WrongContent, "ann:a2 is Line");
}

#[test]
fn wrong_count() {
    let mut scene = scene();
    scene.stored[3].counted = 7;
    scene.assert_found(Kind::WrongCount, "bob with ann: counted is 7, the recount 3");
    scene.assert_found(Kind::WrongCount, "bob with ann: unread is 7, the recount 3 to 3");
    // A mark without a call.
    let mut scene = self::scene();
    let read = Mark { seq: 2, counted: 2 };
    scene.settings.push(("bob", "ann", Settings { read, kept: true, ..Settings::default() }));
    scene.assert_found(Kind::WrongCount, "bob with ann: unread is 1, the recount 3 to 3");
    // Answers that contradict the store.
    for (answer, field) in
        [(101, "/unreadMessageCount"), (102, "/conversationList/0/unreadMessageCount")]
    {
        let mut scene = self::scene();
        let reply = scene.notes.iter_mut().find(|note| note["answer"] == answer).expect("a reply");
        *reply["body"].pointer_mut(field).expect("a count") = json!(4);
        scene.assert_found(Kind::WrongCount, "the store says 3");
    }
}

#[test]
fn wrong_recipient() {
    // Another user receives it.
    let mut scene = scene();
    scene.events("bob", "peer_message_received").next().expect("an event")["user"] = json!("eve");
    scene.assert_found(Kind::WrongRecipient, "eve: received ann:a1");
    let mut scene = self::scene();
    let shown = scene.sent[4].shown("ann");
    let event = scene.events("bob", "conversation_changed").last().expect("an event");
    event["body"]["infoList"][0]["conversation"]["lastMessage"] = shown.clone();
    scene.assert_found(Kind::WrongRecipient, "bob: received eve:e1");
    // Another user is shown it.
    let mut scene = self::scene();
    let page = scene.notes.iter_mut().find(|note| note["answer"] == 100).expect("the page");
    page["body"]["messageList"].as_array_mut().expect("a page").push(shown);
    scene.assert_found(Kind::WrongRecipient, "bob, query_history_message: eve:e1");
}

#[test]
fn undeleted() {
    let mut scene = scene();
    let body = json!({
        "conversationID": "ann", "messageList": [{ "messageID": scene.sent[0].id() }],
    });
    scene.notes.push(json!({
        "at": 6 * MINUTE_US, "call": 60, "user": "bob", "method": "delete_messages", "body": body,
    }));
    scene.notes.push(json!({ "at": 6 * MINUTE_US + 1, "answer": 60, "body": {} }));
    scene.assert_found(Kind::Undeleted, "bob with ann: ann:a1 was deleted");
}

#[test]
fn unreadable() {
    let mut notes = Notes::default();
    assert!(notes.read(&b"{\"at\":1,\"nonsense\":true}"[..]).is_err());
    assert!(notes.read(&b"{\"at\":1,\"answer\":3,\"body\":{}}"[..]).is_err());
    let mut stored = Stored::new(false);
    stored.take_unreadable("peer.log.0.bob.ann at 1: cannot be read".to_owned());
    let faults = verdict(&Notes::default(), &stored, std::time::Duration::ZERO).faults;
    assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [Kind::Unreadable]);
}

#[test]
fn half_receipt() {
    let marks = |sent, begun, received| {
        let key = OrderKey;
        let [sent, begun, received] = [sent, begun, received].map(key);
        let receipts = ReceiptMarks { sent, begun, received, ..ReceiptMarks::default() };
        Settings { receipts, ..Settings::default() }
    };
    let with = |of_bob: Settings, of_ann: Settings| {
        let mut scene = scene();
        scene.settings.push(("bob", "ann", of_bob));
        scene.settings.push(("ann", "bob", of_ann));
        scene
    };
    let scene = with(marks(7, 7, 0), marks(0, 0, 5));
    scene.assert_found(Kind::HalfReceipt, "bob with ann: ann does not see what was confirmed");
    let scene = with(marks(5, 5, 0), marks(0, 0, 7));
    scene.assert_found(Kind::HalfReceipt, "ann with bob: bob has not confirmed what is seen");
    for received in [5, 7] {
        // It has begun, and may have reached its author.
        assert_eq!(with(marks(5, 7, 0), marks(0, 0, received)).kinds(), []);
    }
}

#[test]
fn a_call_without_an_answer_may_be_stored_or_not() {
    for is_stored in [true, false] {
        let mut scene = scene();
        scene.notes.retain(|note| note["answer"] != 5);
        if !is_stored {
            scene.stored.pop();
            scene.notes.retain(|note| {
                note["at"].as_u64().is_some_and(|at| !(5 * MINUTE_US..=6 * MINUTE_US).contains(&at))
            });
        }
        assert_eq!(scene.kinds(), [], "{is_stored}");
    }
}
