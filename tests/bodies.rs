//! Every body that peerd writes, as snapshots: a change of the contract is a visible diff.

#![expect(clippy::expect_used, reason = "a test that cannot go on is to fail")]

use std::sync::Arc;

use peerd::runtime::commands::Method;
use peerd::runtime::commands::add_users_to_blacklist::BlacklistChanged;
use peerd::runtime::commands::query_changes::Changes;
use peerd::runtime::commands::query_message_receipts_info::Receipts;
use peerd::runtime::commands::query_message_replied_list::RepliedList;
use peerd::runtime::commands::send_message_receipts_read::Confirmed;
use peerd::runtime::commands::set_conversation_mark::Marked;
use peerd_core::blocklist::{BlockNumber, BlockRefusal};
use peerd_core::content::{Content, Excerpt, Media, MessageType, Pixels};
use peerd_core::conversation::{ConversationEvent, ConversationView, NotificationStatus};
use peerd_core::event::{BlacklistAction, DeleteType, Event, Revision, Totals};
use peerd_core::id::{LocalMessageId, MessageId, OrderKey, Partition, UserId};
use peerd_core::marks::{ConversationMark, ConversationMarks};
use peerd_core::message::{Annotations, Message, Pinned, ReceiptStatus, Revocation};
use peerd_core::pins::{PinInfo, PinStatus};
use peerd_core::privacy::{Hidden, Privacy};
use peerd_core::reaction::{Reaction, ReactionChange};
use peerd_core::receipt::ReceiptInfo;
use peerd_core::rejection::Rejection;
use peerd_core::reply::{Original, Reference, Reply as ReplyTo};
use peerd_core::send::Push;
use peerd_core::user_info::{FullUserInfo, Profile, UserInfo};
use peerd_core::user_status::{CustomStatus, OnlineStatus, UserStatus};
use peerd_protocol::api::{Empty, IsBlocked, LastSeen, LoggedIn, OfflinePush, TotalUnread};
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::event::{self, Bundle, EventBody, LiveBody, LiveEvent as _, Omitted};
use peerd_protocol::failure::{CallError, Failure, FailureBody};
use peerd_protocol::fit;
use peerd_protocol::reply::{
    Blacklist, Changed, Conversations, History, OneConversation, Reply, Sent, Shown,
};
use peerd_protocol::reply_tree::{RepliedCountChanged, RootState};
use peerd_protocol::size::Room;
use peerd_testkit::typed;
use serde::Serialize;

const KEY: u64 = 52_323_942_400_000;
const AT_MS: u64 = 1_780_000_000_000;

fn user(id: &str) -> UserId {
    UserId::new(id, "userID").expect("a valid ID")
}

fn message(content: Content) -> Message {
    Message {
        sender: user("alice"),
        receiver: user("bob"),
        partition: Partition(3),
        key: OrderKey(KEY),
        seq: 7,
        timestamp_ms: AT_MS,
        local_id: LocalMessageId::new("l-1").ok(),
        receipt: ReceiptStatus::None,
        counts: true,
        extended_data: String::new(),
        content,
        annotations: None,
    }
}

fn text(message: &str) -> Content {
    Content::Text { message: message.into() }
}

/// A message without optional fields.
fn bare() -> Arc<Message> {
    Arc::new(Message { local_id: None, ..message(text("hello")) })
}

fn media() -> Media {
    Media { url: "https://x/1".into(), name: "n.bin".into(), size: 1 << 33, uid: "u-1".into() }
}

const fn pixels(width: u32) -> Pixels {
    Pixels { width, height: width + 1 }
}

fn excerpt(content: Content) -> Excerpt {
    Excerpt {
        message_id: "77".into(),
        sender_user_id: "carol".into(),
        timestamp_ms: AT_MS,
        extended_data: "e".into(),
        content,
    }
}

fn all_contents() -> Vec<Content> {
    let custom =
        Content::Custom { message: "{}".into(), sub_type: 200, searched_content: "find me".into() };
    vec![
        text("hello"),
        Content::Multiple { infos: vec![text("a"), Content::File { media: media() }] },
        Content::Image {
            media: media(),
            thumbnail_url: "t".into(),
            large_url: "l".into(),
            original: pixels(4000),
            large: pixels(300),
            thumbnail: pixels(20),
        },
        Content::File { media: media() },
        Content::Audio { media: media(), duration_seconds: 61 },
        Content::Video {
            media: media(),
            duration_seconds: 3601,
            first_frame_url: "f".into(),
            first_frame: pixels(640),
        },
        Content::Combine {
            title: "T".into(),
            summary: "S".into(),
            messages: vec![excerpt(text("one")), excerpt(custom.clone())],
        },
        custom,
    ]
}

fn receipt(status: ReceiptStatus) -> ReceiptInfo {
    ReceiptInfo {
        message: MessageId::new(OrderKey(KEY), Partition(3)),
        other: user("alice"),
        status,
        is_sender: true,
        is_self_operated: false,
        read_ms: 0,
    }
}

fn conversation(last_message: Option<Arc<Message>>) -> ConversationView {
    ConversationView {
        id: user("alice"),
        name: "Alice".into(),
        avatar_url: None,
        notification: NotificationStatus::DoNotDisturb,
        unread: 2,
        last_message,
        order_key: OrderKey(KEY),
        pinned_ms: 0,
        draft: None,
        marks: ConversationMarks::default(),
        read_seq: 5,
        is_marked_unread: false,
    }
}

/// A body as JSON for people. A sent body has no white space.
fn json(body: &impl Serialize) -> String {
    let sent = Encoding::Json.encode(body).expect("fits JSON");
    let sent: serde_json::Value = serde_json::from_slice(&sent).expect("is JSON");
    let shown = serde_json::to_string_pretty(body).expect("fits JSON");
    let read: serde_json::Value = serde_json::from_str(&shown).expect("is JSON");
    assert_eq!(sent, read);
    shown
}

fn hex(body: &impl Serialize) -> String {
    let sent = Encoding::MessagePack.encode(body).expect("fits MessagePack");
    let hex: Vec<String> = sent.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.concat()
}

/// The reply to a method, which clients can read in both encodings.
fn reply(method: &str, reply: &impl Reply) -> String {
    reply_to("bob", method, reply)
}

fn reply_to(viewer: &str, method: &str, reply: &impl Reply) -> String {
    let viewer = user(viewer);
    let body = reply.body(Shown { viewer: &viewer, content_max: None });
    each_encoding(&body, |encoding, body| typed::check_reply(method, encoding, body));
    json(&body)
}

/// An event of the contract, which clients can read in both encodings.
fn event(event: &Event) -> String {
    let revision = Revision { current: KEY, previous: KEY - 4096 };
    let body = EventBody { event, revision, viewer: &user("bob"), content_max: None };
    let name = event::name(event);
    each_encoding(&body, |encoding, body| typed::check_event(name, encoding, body));
    json(&body)
}

fn each_encoding(body: &impl Serialize, check: impl Fn(peerd_testkit::Encoding, &[u8])) {
    let encode = |encoding: Encoding| encoding.encode(body).expect("fits");
    check(peerd_testkit::Encoding::Json, &encode(Encoding::Json));
    check(peerd_testkit::Encoding::MessagePack, &encode(Encoding::MessagePack));
}

#[test]
fn replies_of_sessions() {
    let totals = TotalUnread {
        unread_message_count: 3,
        unread_message_count_including_muted: 5,
        revision: KEY,
    };
    let logged_in = LoggedIn {
        session_id: "S1".into(),
        server_time_ms: AT_MS,
        heartbeat_interval_ms: 10_000,
        total_unread_message_count: 3,
        revision: KEY,
    };
    insta::assert_snapshot!("reply_login", reply("login", &logged_in));
    insta::assert_snapshot!("reply_empty", reply("logout", &Empty {}));
    insta::assert_snapshot!(
        "reply_heartbeat",
        reply("heartbeat", &LastSeen { server_time_ms: AT_MS })
    );
    insta::assert_snapshot!(
        "reply_totals",
        reply("query_conversation_total_unread_message_count", &totals)
    );
}

#[test]
fn replies_with_messages() {
    let sent = |content| Sent { message: Arc::new(message(content)), is_duplicate: false };
    let as_sender = |reply: &Sent| reply_to("alice", "send_peer_message", reply);
    insta::assert_snapshot!("reply_sent_text", as_sender(&sent(text("hello"))));
    let command = sent(Content::Command { message: vec![0, 1, 254, 255] });
    insta::assert_snapshot!("reply_sent_command", as_sender(&command));
    let repeat = Sent { message: Arc::new(message(text("hello"))), is_duplicate: true };
    assert_eq!(as_sender(&repeat), as_sender(&sent(text("hello"))), "the header names a repeat");
    let with_receipt = Message { receipt: ReceiptStatus::Processing, ..message(text("hello")) };
    let with_receipt = Message { extended_data: "more".into(), ..with_receipt };
    let with_receipt = Sent { message: Arc::new(with_receipt), is_duplicate: false };
    insta::assert_snapshot!("reply_sent_with_receipt", as_sender(&with_receipt));
    let messages = all_contents().into_iter().map(|content| Arc::new(message(content))).collect();
    let history = History { other: user("alice"), messages, backwards: true };
    insta::assert_snapshot!("reply_history_of_all_types", reply("query_history_message", &history));
    let nothing = History { other: user("alice"), messages: vec![], backwards: false };
    insta::assert_snapshot!("reply_history_empty", reply("query_history_message", &nothing));
}

#[test]
fn replies_with_conversations() {
    let mark = |number| ConversationMark::new(number).expect("a mark");
    let pinned = ConversationView {
        pinned_ms: AT_MS,
        draft: Some("Dear Alice,".into()),
        marks: ConversationMarks::default().with(mark(20), true).with(mark(3), true),
        notification: NotificationStatus::Notify,
        avatar_url: Some("https://example.com/alice.png".into()),
        ..conversation(None)
    };
    let marked_unread = ConversationView { is_marked_unread: true, ..conversation(None) };
    let list = Conversations(vec![pinned, marked_unread, conversation(Some(bare()))]);
    insta::assert_snapshot!("reply_list", reply("query_conversation_list", &list));
    let one = OneConversation(conversation(Some(bare())));
    insta::assert_snapshot!("reply_conversation", reply("query_conversation", &one));
    let receipts = Receipts {
        infos: vec![receipt(ReceiptStatus::Processing), receipt(ReceiptStatus::Done)],
        error_ids: vec![MessageId::new(OrderKey(KEY + 1), Partition(3))],
    };
    insta::assert_snapshot!("reply_receipts", reply("query_message_receipts_info", &receipts));
    let confirmed = Confirmed { other: user("alice"), error_ids: receipts.error_ids };
    insta::assert_snapshot!("reply_confirmed", reply("send_message_receipts_read", &confirmed));
    insta::assert_snapshot!(
        "reply_changed",
        reply("set_conversation_draft", &Changed(user("alice")))
    );
    let changes = |is_reset, is_blacklist_changed| Changes {
        is_reset,
        conversations: Conversations(vec![conversation(None)]),
        is_blacklist_changed,
        revision: KEY,
    };
    insta::assert_snapshot!("reply_changes", reply("query_changes", &changes(false, true)));
    insta::assert_snapshot!("reply_changes_reset", reply("query_changes", &changes(true, false)));
    let marked = Marked { refused: vec![user("bob"), user("carol")] };
    insta::assert_snapshot!("reply_marked", reply("set_conversation_mark", &marked));
}

fn info(id: &str, name: &str) -> UserInfo {
    UserInfo { id: user(id), profile: Profile { name: name.into(), avatar_url: None } }
}

#[test]
fn replies_about_the_block_list() {
    let refused = vec![(user("bob"), BlockRefusal::OwnId), (user("carol"), BlockRefusal::Full)];
    let changed = BlacklistChanged { refused };
    insta::assert_snapshot!("reply_blacklist_changed", reply("add_users_to_blacklist", &changed));
    let users =
        vec![(info("alice", "Alice"), BlockNumber(9)), (info("carol", ""), BlockNumber(KEY))];
    let page = |has_more| Blacklist { users: users.clone(), has_more };
    insta::assert_snapshot!("reply_blacklist", reply("query_blacklist", &page(true)));
    insta::assert_snapshot!("reply_blacklist_last", reply("query_blacklist", &page(false)));
    insta::assert_snapshot!(
        "reply_is_blocked",
        reply("check_user_is_in_blacklist", &IsBlocked { is_user_in_blacklist: true })
    );
}

/// The schema of each method's request.
#[test]
fn requests() {
    for method in Method::ALL {
        let schema = serde_json::to_string_pretty(&method.request_schema()).expect("fits JSON");
        insta::assert_snapshot!(format!("request_{}", method.name()), schema);
    }
}

#[test]
fn events() {
    let received = |offline| Event::PeerMessageReceived {
        messages: vec![bare()].into(),
        from: user("alice"),
        offline,
    };
    insta::assert_snapshot!("event_peer_message_received", event(&received(false)));
    insta::assert_snapshot!("event_peer_message_received_offline", event(&received(true)));
    let views = vec![
        (ConversationEvent::Added, conversation(Some(bare()))),
        (ConversationEvent::Updated, conversation(None)),
        (ConversationEvent::Deleted, conversation(None)),
    ];
    let changed = Event::ConversationChanged(views.into());
    insta::assert_snapshot!("event_conversation_changed", event(&changed));
    let total = Event::TotalChanged(Totals { unmuted: 3, all: 5 });
    insta::assert_snapshot!("event_total", event(&total));
    let deleted = |delete_type, messages: Vec<Arc<Message>>| Event::MessageDeleted {
        other: user("alice"),
        delete_type,
        messages: messages.into(),
    };
    let messages = deleted(DeleteType::Messages, vec![bare()]);
    insta::assert_snapshot!("event_message_deleted", event(&messages));
    let all = deleted(DeleteType::Conversation, vec![]);
    insta::assert_snapshot!("event_message_deleted_all", event(&all));
    insta::assert_snapshot!("event_message_deleted_everywhere", event(&Event::AllMessagesDeleted));
    let edited = with(Annotations { edited_ms: 1_780_000_001_000, ..Annotations::default() });
    let edited = Event::MessagesEdited(vec![edited].into());
    insta::assert_snapshot!("event_message_edited", event(&edited));
    let revocation = Revocation {
        at_ms: 1_780_000_002_000,
        original_type: MessageType::Custom,
        original_text: String::new(),
        extended_data: "sorry".into(),
    };
    let revoked = with(Annotations { revoked: Some(revocation), ..Annotations::default() });
    let revoked = Event::MessagesRevoked(vec![revoked].into());
    insta::assert_snapshot!("event_message_revoke_received", event(&revoked));
    let reaction =
        |kind: &str, by_sender, by_receiver| Reaction { kind: kind.into(), by_sender, by_receiver };
    let reactions = vec![reaction("👍", 1, 3), reaction("a", 0, 1)];
    let with_reactions = with(Annotations { reactions, ..Annotations::default() });
    let kinds = vec!["👍".into(), "b".into()];
    let change = ReactionChange { by: user("bob"), kinds, is_added: false };
    let reacted = Event::ReactionsChanged { message: with_reactions, change };
    insta::assert_snapshot!("event_message_reactions_changed", event(&reacted));
    let pinned = Some(Pinned { by_sender: false, at_ms: AT_MS });
    let pinned = with(Annotations { pinned, ..Annotations::default() });
    let of = |status, message| PinInfo { status, message };
    let infos = vec![of(PinStatus::Pinned, pinned), of(PinStatus::NotPinned, bare())];
    let pinned = Event::PinsChanged(infos);
    insta::assert_snapshot!("event_message_pin_status_changed", event(&pinned));
    let read =
        ReceiptInfo { is_sender: false, is_self_operated: true, ..receipt(ReceiptStatus::Done) };
    let read = Event::ConversationReceiptChanged(read);
    insta::assert_snapshot!("event_conversation_receipt_changed", event(&read));
    let confirmed = Message {
        receipt: ReceiptStatus::Done,
        annotations: Some(Box::new(Annotations { read_ms: AT_MS, ..Annotations::default() })),
        ..message(text("hello"))
    };
    let confirmed = Event::ReceiptsChanged(vec![Arc::new(confirmed)].into());
    insta::assert_snapshot!("event_message_receipt_changed", event(&confirmed));
    let delivered = Event::MessagesDelivered(vec![receipt(ReceiptStatus::Delivered)]);
    insta::assert_snapshot!("event_message_receipt_changed_delivered", event(&delivered));
    let all = Event::ConversationsAllDeleted { count: 7 };
    insta::assert_snapshot!("event_conversations_all_deleted", event(&all));
    let kicked = Event::KickedOut { session_id: "S1".into() };
    insta::assert_snapshot!("event_connection_state_changed", event(&kicked));
}

/// A bundle has the same events, and a message that is too large has none.
#[test]
fn messages_with_several_events_and_with_none() {
    let received = Event::PeerMessageReceived {
        messages: vec![bare()].into(),
        from: user("alice"),
        offline: false,
    };
    let events = [received, Event::TotalChanged(Totals { unmuted: 3, all: 5 })];
    let revision = Revision { current: KEY, previous: KEY };
    let bundle = Bundle { events: &events, revision, viewer: &user("bob"), content_max: None };
    each_encoding(&bundle, |encoding, body| typed::check_event(event::BUNDLE, encoding, body));
    for name in ["conversation_changed", event::BUNDLE] {
        let omitted = Omitted { revision };
        each_encoding(&omitted, |encoding, body| typed::check_event(name, encoding, body));
    }
}

#[test]
fn events_about_users() {
    let blocked = |action| Event::BlacklistChanged { action, users: vec![info("alice", "Alice")] };
    insta::assert_snapshot!("event_blacklist_changed", event(&blocked(BlacklistAction::Added)));
    let unblocked = event(&blocked(BlacklistAction::Removed));
    insta::assert_snapshot!("event_blacklist_changed_removed", unblocked);
    let full = FullUserInfo {
        user: UserInfo {
            id: user("alice"),
            profile: Profile {
                name: "Alice".into(),
                avatar_url: Some("https://example.com/alice.png".into()),
            },
        },
        extended_data: Some("mood: good".into()),
    };
    insta::assert_snapshot!("event_user_info_updated", event(&Event::UserInfoUpdated(full)));
    let rule = Event::UserRuleUpdated(Privacy::default().with(Hidden::Typing, true));
    insta::assert_snapshot!("event_user_rule_updated", event(&rule));
    let status = UserStatus {
        id: user("bob"),
        online: OnlineStatus::Online,
        platforms: vec![2, 6],
        online_since_ms: AT_MS,
        custom: CustomStatus {
            text: "on a train".into(),
            since_ms: AT_MS + 1000,
            until_ms: AT_MS + 3_601_000,
        },
    };
    let status = Event::UserStatusUpdated(vec![status]);
    insta::assert_snapshot!("event_user_status_updated", event(&status));
}

#[test]
fn errors() {
    let rejections = [
        Rejection::invalid("message.type", "must be a number"),
        Method::unknown("frobnicate"),
        Method::unknown("sendPeerMessage"),
        Rejection::UnsupportedMethod,
        Rejection::LocalMessageIdReused,
        Rejection::RateLimited { retry_after_ms: 250 },
        Rejection::NotLoggedIn,
        Rejection::TargetNotFound,
        Rejection::BlockedByReceiver,
        Rejection::ConversationNotFound,
        Rejection::PinnedListFull,
        Rejection::MutedListFull,
        Rejection::EditedMeanwhile,
        Rejection::TooLateToRevoke,
        Rejection::Revoked,
        Rejection::NotPermitted,
        Rejection::TooLateToEdit,
        Rejection::TooLateToReact,
        Rejection::ReactionUnchanged,
        Rejection::TooManyReceipts,
        Rejection::NotPinned,
        Rejection::TooManyPinnedMessages,
    ];
    let failures = [
        Failure::Overloaded { retry_after_ms: 100 },
        Failure::Internal,
        Failure::TooLarge,
        Failure::StoreUnavailable,
        Failure::OutcomeUnknown,
    ];
    let rejections = rejections.into_iter().map(CallError::from);
    let errors = rejections.chain(failures.into_iter().map(CallError::from));
    let body = |error: &CallError, method| {
        let body = FailureBody { error, method };
        each_encoding(&body, typed::check_failure);
        json(&body)
    };
    let mut bodies: Vec<String> = errors.map(|error| body(&error, "login")).collect();
    bodies.push(body(&Failure::OutcomeUnknown.into(), "send_message"));
    insta::assert_snapshot!("errors", bodies.join("\n"));
}

#[test]
fn an_offline_push() {
    let push = Push {
        title: "T".into(),
        content: "C".into(),
        payload: "{}".into(),
        resources_id: "R".into(),
        thread_id: "H".into(),
    };
    insta::assert_snapshot!("push", json(&OfflinePush::new(&push, &bare(), 3)));
}

/// `MessagePack` with named fields, numbers in their shortest form, bytes as `bin`.
#[test]
fn message_pack() {
    let command = Arc::new(message(Content::Command { message: vec![0, 1, 254, 255] }));
    let sent = Sent { message: command, is_duplicate: false };
    let sent = hex(&sent.body(Shown { viewer: &user("alice"), content_max: None }));
    insta::assert_snapshot!("messagepack_reply_sent_command", sent);
    let changed = vec![(ConversationEvent::Added, conversation(Some(bare())))];
    let changed = Event::ConversationChanged(changed.into());
    let revision = Revision { current: KEY, previous: 0 };
    let changed =
        hex(&EventBody { event: &changed, revision, viewer: &user("bob"), content_max: None });
    insta::assert_snapshot!("messagepack_event_conversation_changed", changed);
}

/// A text with what it shows beside its content.
fn with(annotations: Annotations) -> Arc<Message> {
    let annotations = Some(Box::new(annotations));
    Arc::new(Message { annotations, ..message(text("hello")) })
}

#[test]
fn replies_to_messages() {
    let to = Reference {
        by_sender: false,
        key: OrderKey(52_323_982_421_000),
        partition: Partition(3),
        seq: 7,
        stream_seq: 70_000,
        timestamp_ms: AT_MS,
    };
    let combined =
        Content::Combine { title: "Notes".into(), summary: String::new(), messages: Vec::new() };
    let originals =
        [Original::Normal(combined), Original::Revoked, Original::Deleted, Original::NotFound];
    let shown = originals.map(|original| {
        with(Annotations {
            reply: Some(ReplyTo { to, root: None, original }),
            ..Annotations::default()
        })
    });
    let replied = Event::RepliedInfoChanged(shown.to_vec().into());
    insta::assert_snapshot!("event_message_replied_info_changed", event(&replied));
    let counted = with(Annotations { replied_count: 3, ..Annotations::default() });
    let (bob, id) = (user("bob"), counted.id());
    let list = RepliedList {
        messages: shown[..1].to_vec(),
        up_to: Some(OrderKey(KEY)),
        root: RootState::Normal(counted),
        sender: user("bob"),
        sent_ms: AT_MS,
        count: 3,
        each_max: None,
    };
    insta::assert_snapshot!("reply_replied_list", reply("query_message_replied_list", &list));
    let gone = RepliedList { root: RootState::Deleted, messages: vec![], up_to: None, ..list };
    insta::assert_snapshot!(
        "reply_replied_list_of_deleted",
        reply("query_message_replied_list", &gone)
    );
    let changed = RepliedCountChanged::new(id, &bob, 3);
    let changed = LiveBody::at(&changed, KEY);
    let name = RepliedCountChanged::NAME;
    each_encoding(&changed, |encoding, body| typed::check_event(name, encoding, body));
    let changed = json(&changed);
    insta::assert_snapshot!("event_message_replied_count_changed", changed);
}

/// A page of replies that does not fit is cut, and the next one begins after its last reply.
#[test]
fn a_page_of_replies_is_cut_where_it_does_not_fit() {
    let room = Room::of(64 * 1024);
    let long = |length: usize, key: u64| {
        Arc::new(Message { key: OrderKey(key), ..message(text(&"x".repeat(length))) })
    };
    for (length, most) in [(2000, 30), (58_000, 1)] {
        let list = RepliedList {
            messages: (1..=100).map(|number| long(length, KEY + number)).collect(),
            up_to: None,
            root: RootState::Normal(long(58_000, KEY)),
            sender: user("alice"),
            sent_ms: AT_MS,
            count: 100,
            each_max: None,
        };
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let body = fit::reply(list.clone(), encoding, &user("bob"), room).expect("fits");
            let body: serde_json::Value = match encoding {
                Encoding::Json => serde_json::from_slice(&body).expect("is JSON"),
                Encoding::MessagePack => rmp_serde::from_slice(&body).expect("is MessagePack"),
            };
            let shown = body["messageList"].as_array().expect("a list");
            assert!((1..=most).contains(&shown.len()), "{}", shown.len());
            assert_eq!(body["nextFlag"], KEY + shown.len() as u64);
            assert_eq!(body["rootRepliedInfo"]["message"]["isContentOmitted"], true);
        }
    }
}
