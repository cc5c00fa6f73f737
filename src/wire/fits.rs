//! Every accepted message fits in every form; a body that does not fit is cut, split or shortened.

use proptest::prelude::*;
use serde_json::Value;

use std::sync::Arc;

use crate::wire::owner_request::{Deliver, OwnerRequest as _};
use bytes::Bytes;
use peerd_core::blocklist::BlockNumber;
use peerd_core::content::{Content, Excerpt, Media, Pixels};
use peerd_core::conversation::ConversationView;
use peerd_core::conversation::{ConversationEvent, Mark, NotificationStatus, PagePointers};
use peerd_core::event::Event;
use peerd_core::event::{DeleteType, Revision};
use peerd_core::id::UserId;
use peerd_core::id::{LocalMessageId, OrderKey, Partition};
use peerd_core::limits::{DRAFT_MAX_BYTES, REACTION_COUNT_MAX, REACTION_TYPES_MAX};
use peerd_core::marks::ConversationMarks;
use peerd_core::message::Message;
use peerd_core::message::{Annotations, Draft, Pinned, ReceiptStatus};
use peerd_core::reaction::{Reaction, ReactionChange};
use peerd_core::receive::Placed;
use peerd_core::reply::{Original, Reference, Reply};
use peerd_core::send::{Delivery, Push, Send, SendOptions};
use peerd_core::user_info::{Profile, UserInfo};
use peerd_protocol::api::OfflinePush;
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::event::EventBody;
use peerd_protocol::fit;
use peerd_protocol::reply::{Blacklist, Conversations, History, OneConversation, Sent};
use peerd_protocol::reply::{Reply as _, Shown};
use peerd_protocol::size::Room;

const LARGEST: u64 = (1 << 53) - 1;
const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::MessagePack];
/// The most bytes that IDs of 128 bytes add to the bodies of these tests.
const LONGER_IDS: usize = 6 * (128 - 32);

fn user(id: char) -> UserId {
    UserId::new(&id.to_string().repeat(32), "userID").expect("a valid ID")
}

/// What makes a message a reply, with the longest numbers.
fn reply(original: Original) -> Reply {
    let to = Reference {
        by_sender: true,
        key: OrderKey(LARGEST),
        partition: Partition(1023),
        seq: LARGEST,
        stream_seq: LARGEST,
        timestamp_ms: LARGEST,
    };
    Reply { to, root: Some(to), original }
}

fn replying(original: Original) -> Box<Annotations> {
    Box::new(Annotations {
        reply: Some(reply(original)),
        replied_count: LARGEST,
        ..Annotations::default()
    })
}

fn message(draft: Draft) -> Arc<Message> {
    let Draft { content, local_id, extended_data, .. } = draft;
    Arc::new(Message {
        sender: user('a'),
        receiver: user('b'),
        partition: Partition(1023),
        key: OrderKey(LARGEST),
        seq: LARGEST,
        timestamp_ms: LARGEST,
        local_id,
        receipt: ReceiptStatus::Processing,
        counts: true,
        extended_data,
        content,
        annotations: Some(replying(Original::NotFound)),
    })
}

fn text(message: String) -> Content {
    Content::Text { message }
}

fn draft(content: Content) -> Draft {
    Draft { content, local_id: None, extended_data: String::new(), reply: None }
}

/// A conversation in which everything but the message has its maximum.
fn view(message: &Arc<Message>) -> ConversationView {
    ConversationView {
        id: user('a'),
        name: "\u{1}".repeat(256).into(),
        avatar_url: Some("\"".repeat(500).into()),
        notification: NotificationStatus::DoNotDisturb,
        unread: LARGEST,
        last_message: Some(message.clone()),
        order_key: OrderKey(LARGEST),
        pinned_ms: LARGEST,
        draft: None,
        marks: ConversationMarks::from_bits(u32::MAX),
        read_seq: LARGEST,
        is_marked_unread: true,
    }
}

fn send(draft: Draft, push: Option<Push>) -> Send {
    let options = SendOptions { push, ..SendOptions::default() };
    Send { to: user('b'), to_field: "toUserID", draft, options }
}

const REVISION: Revision = Revision { current: LARGEST, previous: LARGEST };

fn received(messages: Vec<Arc<Message>>) -> Event {
    Event::PeerMessageReceived { messages: messages.into(), from: user('a'), offline: true }
}

fn deleted(messages: Vec<Arc<Message>>) -> Event {
    let (delete_type, messages) = (DeleteType::Messages, messages.into());
    Event::MessageDeleted { other: user('a'), delete_type, messages }
}

fn changed(messages: &[Arc<Message>]) -> Event {
    let change = |message: &Arc<Message>| (ConversationEvent::Updated, view(message));
    Event::ConversationChanged(messages.iter().map(change).collect())
}

/// The bodies of an event; asserts that each fits the room.
fn events(event: &Event, encoding: Encoding, room: Room, content_max: Option<usize>) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    let viewer = user('b');
    let body = EventBody { event, revision: REVISION, viewer: &viewer, content_max };
    fit::event(&body, encoding, room, |body| bodies.push(body)).expect("written");
    assert!(bodies.iter().all(|body| body.len() <= room.body), "each fits");
    bodies
}

fn decoded(encoding: Encoding, body: &[u8]) -> Value {
    match encoding {
        Encoding::Json => serde_json::from_slice(body).expect("JSON"),
        Encoding::MessagePack => rmp_serde::from_slice(body).expect("MessagePack"),
    }
}

fn list<'v>(body: &'v Value, name: &str) -> &'v Vec<Value> {
    body[name].as_array().expect("a list")
}

/// Texts of characters with different encoded sizes: plain, escaped, and of several bytes.
fn texts(most: usize) -> impl Strategy<Value = String> + Clone {
    let c = prop::sample::select(vec!["a", "\u{1}", "\"", "\\", "\n", "é", "\u{7f}", "😀"]);
    (c, 0..most).prop_map(|(c, count)| c.repeat(count))
}

fn contents() -> impl Strategy<Value = Content> + Clone {
    let media = (texts(3000), texts(500), any::<u32>()).prop_map(|(url, name, size)| Media {
        url,
        name,
        size: size.into(),
        uid: String::new(),
    });
    let leaf = prop_oneof![
        texts(9000).prop_map(text),
        prop::collection::vec(any::<u8>(), 0..9000)
            .prop_map(|message| Content::Command { message }),
        media.clone().prop_map(|media| Content::File { media }),
        (media, any::<u32>())
            .prop_map(|(media, duration_seconds)| Content::Audio { media, duration_seconds }),
        (texts(2000), any::<u8>(), texts(30)).prop_map(|(message, sub_type, searched_content)| {
            Content::Custom { message, sub_type, searched_content }
        }),
        Just(Content::Image {
            media: Media { url: "u".into(), ..Media::default() },
            thumbnail_url: String::new(),
            large_url: String::new(),
            original: Pixels::default(),
            large: Pixels::default(),
            thumbnail: Pixels::default(),
        }),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let excerpt = (inner.clone(), texts(40), 1_usize..60);
        prop_oneof![
            (texts(60), prop::collection::vec(excerpt, 1..6)).prop_map(|(title, excerpts)| {
                let excerpt = |(content, id, count): (Content, String, usize)| {
                    let excerpt = Excerpt {
                        message_id: id.clone(),
                        sender_user_id: id,
                        timestamp_ms: LARGEST,
                        extended_data: String::new(),
                        content,
                    };
                    vec![excerpt; count]
                };
                let messages = excerpts.into_iter().flat_map(excerpt).collect();
                Content::Combine { title, summary: String::new(), messages }
            }),
            prop::collection::vec(inner, 1..6).prop_map(|infos| Content::Multiple { infos }),
        ]
    })
}

fn drafts() -> impl Strategy<Value = Draft> {
    (contents(), texts(1024), any::<bool>()).prop_map(|(content, extended_data, has_id)| Draft {
        content,
        local_id: has_id.then(|| LocalMessageId::new(&"\"".repeat(64)).expect("printable")),
        extended_data,
        reply: None,
    })
}

fn pushes() -> impl Strategy<Value = Option<Push>> {
    let push = (texts(4096), texts(4096)).prop_map(|(content, payload)| Push {
        title: content.clone(),
        thread_id: payload.clone(),
        resources_id: String::new(),
        content,
        payload,
    });
    prop::option::of(push)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_accepted_message_fits_in_every_form(
        draft in drafts(),
        push in pushes(),
        max_payload in 8_000_usize..300_000,
    ) {
        let room = Room::of(max_payload);
        let send = send(draft, push);
        if room.check(&send).is_err() {
            return Ok(());
        }
        // A pin is no part of what its sender sets.
        let mut message = message(send.draft.clone());
        let pinned = Some(Pinned { by_sender: true, at_ms: LARGEST });
        let annotations = Annotations { pinned, ..Annotations::default() };
        Arc::make_mut(&mut message).annotations = Some(Box::new(annotations));
        let most = room.body - LONGER_IDS;
        let viewer = user('b');
        for encoding in BOTH {
            let mut bodies = vec![];
            let shown = Shown { viewer: &viewer, content_max: None };
            let messages = vec![message.clone()];
            let sent = Sent { message: message.clone(), is_duplicate: true };
            let history = History { other: user('a'), messages, backwards: true };
            bodies.push(encoding.encode(&sent.body(shown)).expect("written"));
            bodies.push(encoding.encode(&history.body(shown)).expect("written"));
            let one = OneConversation(view(&message));
            bodies.push(encoding.encode(&one.body(shown)).expect("written"));
            let list = Conversations(vec![view(&message)]);
            bodies.push(encoding.encode(&list.body(shown)).expect("written"));
            let one = vec![message.clone()];
            for event in [received(one.clone()), deleted(one.clone()), changed(&one)] {
                let (revision, viewer, content_max) = (REVISION, &viewer, None);
                let body = EventBody { event: &event, revision, viewer, content_max };
                bodies.push(encoding.encode(&body).expect("written"));
            }
            if let Some(push) = &send.options.push {
                bodies.push(encoding.encode(&OfflinePush::new(push, &message, LARGEST)).expect("fits"));
            }
            for body in bodies {
                prop_assert!(body.len() <= most, "{} of {most}", body.len());
            }
        }
        let mark = Mark { seq: LARGEST, counted: LARGEST };
        let page = PagePointers { first: LARGEST, previous: LARGEST };
        let placed = Placed { message: message.clone(), mark, page, expected_seq: 0 };
        let record = crate::storage::message::encode(&placed, send.options.push.as_ref()).expect("written");
        prop_assert!(record.len() <= most, "a record of {}", record.len());
        let mut send = send;
        send.draft.reply = Some(Box::new(reply(Original::NotFound)));
        send.options.seq_max = Some(LARGEST);
        let delivery = Delivery {
            from: user('a'),
            from_profile: Profile {
                name: "\u{1}".repeat(256),
                avatar_url: Some("\"".repeat(500).into()),
            },
            send: Box::new(send),
            timestamp_ms: LARGEST,
            floor: OrderKey(LARGEST),
            sent_seq: LARGEST,
        };
        let deliver = Deliver { delivery, sent_before_ms: Some(LARGEST) };
        let asked = deliver.encode().expect("written");
        prop_assert!(asked.len() <= most, "a delivery of {}", asked.len());
    }
}

#[test]
fn a_message_that_does_not_fit_is_rejected_with_its_size() {
    let room = Room::of(64 * 1024);
    let answer = |draft, push| match room.check(&send(draft, push)) {
        Err(rejection) => rejection.to_string(),
        Ok(()) => "accepted".to_owned(),
    };
    assert_eq!(answer(draft(text("\u{1}".repeat(2048))), None), "accepted");
    let large = answer(draft(text("\u{1}".repeat(20_000))), None);
    assert!(large.starts_with("message is 1200"), "{large}");
    assert!(large.contains("as JSON, 60416 fit the max_payload"), "{large}");
    let push = Push { content: "\u{1}".repeat(4096), ..Push::default() };
    let push = Push { payload: push.content.clone(), ..push };
    assert_eq!(answer(draft(text("x".into())), Some(push.clone())), "accepted");
    let push = Push { thread_id: push.content.clone(), ..push };
    let large = answer(draft(text("x".into())), Some(push));
    assert!(large.starts_with("config.pushConfig is 73"), "{large}");
    let push = Push { content: "p".repeat(4096), payload: "p".repeat(4096), ..Push::default() };
    let large = answer(draft(text("x".repeat(58_000))), Some(push));
    assert!(large.starts_with("message is 662"), "{large}");
}

#[test]
fn an_event_is_split_where_its_list_does_not_fit() {
    let room = Room::of(64 * 1024);
    let messages: Vec<_> =
        (0..100).map(|number| message(draft(text(format!("{number:05}").repeat(1000))))).collect();
    for encoding in BOTH {
        for (event, name) in [
            (received(messages.clone()), "messageList"),
            (deleted(messages.clone()), "messageList"),
            (changed(&messages), "infoList"),
        ] {
            let bodies = events(&event, encoding, room, None);
            assert!((9..=15).contains(&bodies.len()), "{} events", bodies.len());
            let mut shown = Vec::new();
            for body in &bodies {
                let body = decoded(encoding, body);
                assert_eq!(body["revision"], LARGEST);
                assert_eq!(body["previousRevision"], LARGEST);
                for entry in list(&body, name) {
                    let message = entry["conversation"].get("lastMessage").unwrap_or(entry);
                    shown.push(message["message"].as_str().expect("whole").to_owned());
                }
            }
            let expected: Vec<_> =
                (0..100).map(|number| format!("{number:05}").repeat(1000)).collect();
            assert_eq!(shown, expected);
        }
    }
}

#[test]
fn a_message_that_fits_nowhere_is_shown_without_its_content() {
    let room = Room::of(16 * 1024);
    let large = message(Draft {
        content: text("x".repeat(20_000)),
        local_id: LocalMessageId::new("l").ok(),
        extended_data: "e".into(),
        reply: None,
    });
    let small = message(draft(text("small".into())));
    let messages = vec![small.clone(), large.clone(), small.clone()];
    for encoding in BOTH {
        let bodies = events(&received(messages.clone()), encoding, room, None);
        let [body] = &bodies[..] else { panic!("one event") };
        let body = decoded(encoding, body);
        let [first, shortened, last] = &list(&body, "messageList")[..] else { panic!("three") };
        assert_eq!((&first["message"], &last["message"]), (&"small".into(), &"small".into()));
        assert!(first.get(peerd_protocol::object::IS_CONTENT_OMITTED).is_none());
        let shortened = shortened.as_object().expect("an object");
        assert_eq!(shortened["isContentOmitted"], true);
        assert!(!shortened.contains_key("message"));
        assert_eq!(shortened["extendedData"], "");
        assert_eq!(shortened["localMessageID"], "l");
        assert_eq!((&shortened["type"], &shortened["messageSeq"]), (&1.into(), &LARGEST.into()));
        let history = History { other: user('a'), messages: messages.clone(), backwards: true };
        let sent = Sent { message: large.clone(), is_duplicate: false };
        let viewer = user('b');
        for body in [
            fit::reply(sent, encoding, &viewer, room),
            fit::reply(OneConversation(view(&large)), encoding, &viewer, room),
            fit::reply(Conversations(vec![view(&large), view(&small)]), encoding, &viewer, room),
            fit::reply(history, encoding, &viewer, room),
        ] {
            let body = body.expect("an answer");
            assert!(body.len() <= room.body);
            assert_eq!(body.windows(16).filter(|at| at == b"isContentOmitted").count(), 1);
        }
    }
}

/// Of a reply and its original, the content of the original gives way.
#[test]
fn a_reply_whose_original_does_not_fit_is_shown_with_its_own_content() {
    let draft = draft(text("x".repeat(30_000)));
    let original = Original::Normal(text("y".repeat(40_000)));
    let annotations = Some(replying(original));
    let message = Message { annotations, ..Message::clone(&message(draft)) };
    let viewer = user('b');
    for encoding in BOTH {
        for (room, is_omitted) in [(64, true), (256, false)] {
            let message = Arc::new(message.clone());
            let sent = Sent { message: message.clone(), is_duplicate: false };
            let body = fit::reply(sent, encoding, &viewer, Room::of(room * 1024));
            let shown = decoded(encoding, &body.expect("an answer"))["message"].clone();
            assert_eq!(shown["message"].as_str().map(str::len), Some(30_000));
            let info = &shown["repliedInfo"]["messageInfo"];
            assert_eq!(info.get("isContentOmitted").is_some(), is_omitted);
            assert_eq!(info.get("message").is_none(), is_omitted);
            let event = Event::RepliedInfoChanged(vec![message.clone(), message].into());
            let bodies = events(&event, encoding, Room::of(room * 1024), None);
            assert_eq!(bodies.len(), 1);
        }
    }
}

/// A message with the maximum number of reactions, whose types and users are as long as possible.
fn with_all_reactions() -> Arc<Message> {
    let kind = |number: usize| format!("{}{number:02}", "\"".repeat(30));
    let reactions = (0..REACTION_TYPES_MAX).map(|number| Reaction {
        kind: kind(number),
        by_sender: REACTION_COUNT_MAX,
        by_receiver: REACTION_COUNT_MAX,
    });
    let annotations = Annotations { reactions: reactions.collect(), ..Annotations::default() };
    let longest = |id: char| UserId::new(&id.to_string().repeat(128), "userID").expect("valid");
    let (sender, receiver) = (longest('a'), longest('b'));
    let message = Message::clone(&message(draft(text("hello".to_owned()))));
    Arc::new(Message { sender, receiver, annotations: Some(Box::new(annotations)), ..message })
}

#[test]
fn a_message_with_reactions_that_do_not_fit_is_shown_without_them() {
    let message = with_all_reactions();
    let viewer = message.receiver.clone();
    let history = |encoding, room| {
        let history =
            History { other: user('a'), messages: vec![message.clone()], backwards: true };
        let body = fit::reply(history, encoding, &viewer, room).expect("an answer");
        assert!(body.len() <= room.body);
        (body.len(), list(&decoded(encoding, &body), "messageList")[0].clone())
    };
    let kinds: Vec<String> =
        message.reactions().iter().map(|reaction| reaction.kind.clone()).collect();
    let change = ReactionChange { by: viewer.clone(), kinds, is_added: false };
    let reacted = Event::ReactionsChanged { message: message.clone(), change };
    for encoding in BOTH {
        let (bytes, shown) = history(encoding, Room::of(1024 * 1024));
        assert_eq!(list(&shown, "reactions").len(), REACTION_TYPES_MAX);
        assert!(bytes < 6 * message.size_bytes(), "{bytes} of {}", message.size_bytes());
        let (_, shown) = history(encoding, Room::of(32 * 1024));
        assert_eq!((&shown["isContentOmitted"], shown.get("reactions")), (&true.into(), None));
        for event in [&reacted, &changed(std::slice::from_ref(&message))] {
            for room in [Room::of(32 * 1024), Room::of(1024 * 1024)] {
                assert_eq!(events(event, encoding, room, None).len(), 1);
            }
        }
    }
}

#[test]
fn a_draft_is_shown_whole_and_takes_the_place_of_a_message_that_does_not_fit_beside_it() {
    let room = Room::of(64 * 1024);
    let draft = "\u{1}".repeat(DRAFT_MAX_BYTES);
    room.check_text("draft", &draft).expect("it fits");
    let large = message(self::draft(text("x".repeat(59_000))));
    let small = message(self::draft(text("small".into())));
    let with_draft = |last| ConversationView { draft: Some(draft.as_str().into()), ..view(last) };
    let viewer = user('b');
    for (last, is_shown) in [(&small, true), (&large, false)] {
        let listed = Conversations(vec![with_draft(last), with_draft(last), with_draft(last)]);
        let body = fit::reply(listed, Encoding::Json, &viewer, room).expect("a page");
        assert!(body.len() <= room.body);
        let body = decoded(Encoding::Json, &body);
        let page = list(&body, "conversationList");
        assert_eq!(page.len(), 2, "the page is cut");
        for conversation in page {
            assert_eq!(conversation["draft"], draft.as_str());
            let last = &conversation["lastMessage"];
            assert_eq!(last.get("message").is_some(), is_shown);
            assert_eq!(last.get("isContentOmitted").is_none(), is_shown);
        }
        let change = (ConversationEvent::Updated, with_draft(last));
        let event = Event::ConversationChanged(vec![change; 5].into());
        assert_eq!(events(&event, Encoding::Json, room, None).len(), 3);
    }
    let room = Room::of(16 * 1024);
    let refused = room.check_text("draft", &draft).expect_err("it does not fit");
    let text = "draft is 24578 bytes long as JSON, 11264 fit the max_payload of the nats-server";
    assert_eq!(refused.to_string(), text);
}

#[test]
fn a_page_is_cut_at_its_far_end() {
    let room = Room::of(64 * 1024);
    let messages: Vec<_> =
        (0..100).map(|number| message(draft(text(format!("{number:04}").repeat(1000))))).collect();
    let viewer = user('b');
    for backwards in [true, false] {
        let reply = History { other: user('a'), messages: messages.clone(), backwards };
        let body = fit::reply(reply, Encoding::Json, &viewer, room).expect("a page");
        assert!(body.len() <= room.body);
        let page = decoded(Encoding::Json, &body);
        let page = list(&page, "messageList");
        assert!((12..=15).contains(&page.len()), "{}", page.len());
        let near = if backwards { page.last() } else { page.first() }.expect("not empty");
        let number = if backwards { "0099" } else { "0000" };
        assert!(near["message"].as_str().is_some_and(|text| text.starts_with(number)));
    }
    let user = |number: u64| {
        let id = UserId::new(&format!("{number:032}"), "userID").expect("valid");
        (
            UserInfo { id, profile: Profile { name: "\u{1}".repeat(10), avatar_url: None } },
            BlockNumber(number + 1),
        )
    };
    let users: Vec<_> = (0..100).map(user).collect();
    let reply = Blacklist { users, has_more: false };
    let body = fit::reply(reply, Encoding::Json, &viewer, Room::of(5000)).expect("a page");
    let page = decoded(Encoding::Json, &body);
    let last = list(&page, "blacklist").last().expect("not empty").clone();
    let number: u64 = last["userID"].as_str().and_then(|id| id.parse().ok()).expect("a number");
    assert_eq!(page["nextFlag"], number + 1, "there is more");
}

#[test]
fn a_change_of_very_many_conversations_publishes_few_events() {
    let room = Room::of(64 * 1024);
    let large = message(draft(text("x".repeat(50_000))));
    let messages = vec![large; 10_000];
    let content_max = room.content_of(messages.len());
    assert!(content_max.is_some_and(|most| most < 50_000));
    let count: usize = messages
        .chunks(64)
        .map(|messages| events(&changed(messages), Encoding::MessagePack, room, content_max).len())
        .sum();
    assert!(count <= 2048, "{count} events");
    assert_eq!(room.content_of(1024), None);
}

#[test]
fn an_event_that_does_not_fit_is_published_without_content() {
    let bodies = {
        let mut bodies = Vec::new();
        let event = Event::KickedOut { session_id: "x".repeat(500) };
        let viewer = user('b');
        let body = EventBody {
            event: &event,
            revision: Revision { current: 7, previous: 6 },
            viewer: &viewer,
            content_max: None,
        };
        let room = Room { body: 100, content: 0 };
        fit::event(&body, Encoding::Json, room, |body| bodies.push(body)).expect("written");
        bodies
    };
    let [body] = &bodies[..] else { panic!("one event") };
    assert_eq!(
        body, r#"{"isContentOmitted":true,"revision":7,"previousRevision":6}"#,
        "only the revision"
    );
}
