//! Tests of all commands.

use std::fmt::Debug;

use proptest::prelude::*;
use serde::Serialize;

use super::profile::ShownProfile;
use super::send_conversation_message_receipt_read::SendConversationMessageReceiptRead as Receipt;
use super::send_typing::SendTyping;
use super::update_user_name::UpdateUserName;
use super::*;
use crate::wire::golden;

const PARTS: &str = include_str!("../../../tests/golden/command-parts-v1.txt");

fn error(method: Method, body: &str) -> String {
    match Request::parse(method, Encoding::Json, body.as_bytes(), 64) {
        Err(rejection) => rejection.to_string(),
        Ok(request) => panic!("{request:?} was read"),
    }
}

#[test]
fn every_method_has_one_name() {
    for method in Method::ALL {
        assert_eq!(Method::from_name(method.name()), Some(*method));
        assert!(!unsupported::has(method.name()), "{} is offered", method.name());
        assert!(method.summary().ends_with('.'), "{}", method.summary());
    }
    assert_eq!(Method::from_name("sendPeerMessage"), None);
}

#[test]
fn every_example_is_read_the_same_in_both_encodings() {
    for method in Method::ALL {
        assert!(!method.examples().is_empty(), "{method:?}");
        for json in method.examples() {
            let from_json = Request::parse(*method, Encoding::Json, json.as_bytes(), 64);
            assert!(from_json.is_ok(), "{json}: {from_json:?}");
            if json.contains(r#""type":2"#) || json.is_empty() {
                // Bytes differ between the encodings, and an empty body is not JSON.
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
            let packed = rmp_serde::to_vec_named(&value).expect("packs");
            let from_packed = Request::parse(*method, Encoding::MessagePack, &packed, 64);
            assert_eq!(from_json, from_packed, "{json}");
        }
    }
}

#[test]
fn the_methods_that_send_are_those_whose_repeats_are_recognized() {
    let sends = Method::ALL.iter().filter(|method| method.send_decoder().is_some());
    let sends: Vec<&str> = sends.map(|method| method.name()).collect();
    assert_eq!(sends, peerd_protocol::failure::SENDS);
}

#[test]
fn the_error_of_an_unknown_method_names_it_and_the_right_spelling() {
    for (called, text) in [
        ("sendPeerMessage", " as sendPeerMessage; it is written send_peer_message"),
        ("SEND_PEER_MESSAGE", " as SEND_PEER_MESSAGE; it is written send_peer_message"),
        ("send-peer-message", " as send-peer-message; it is written send_peer_message"),
        ("queryGroupList", " as queryGroupList; it is written query_group_list"),
        ("frobnicateIt", " as frobnicateIt; methods are written in snake_case"),
        ("frobnicate", " as frobnicate"),
        ("a\u{1}b", ""),
        ("ä", ""),
        (&"x".repeat(65), ""),
    ] {
        let answer = Method::unknown(called).to_string();
        assert_eq!(answer, format!("there is no such method{text}"));
    }
}

/// Callers read these texts.
#[test]
fn errors_name_the_field_by_its_path() {
    use Method::{
        AddMessageReaction, AddUsersToBlacklist, DeleteMessageAllReactions, DeleteMessageReaction,
        DeleteMessages, Login, QueryBlacklist, QueryConversation,
        QueryConversationTotalUnreadMessageCount, QueryHistoryMessage,
        QueryMessageReactionUserList, QueryMessageRepliedList, QueryUsersInfo,
        RemoveUsersFromBlacklist, SendMessage, SetConversationNotificationStatus,
        UpdateUserAvatarUrl, UpdateUserExtendedData, UpdateUserName, UpdateUserPrivacy,
    };
    for (method, body, expected) in [
        (Login, r#"{"userName":" "}"#, "userName must not be blank"),
        (
            Login,
            r#"{"userName":"a\nb"}"#,
            "userName must not have control characters, line breaks or bidirectional overrides",
        ),
        (SendMessage, r#"{"conversationType":2}"#, "conversationType must be 0 (Peer)"),
        (QueryConversation, r#"{"conversationID":""}"#, "conversationID must be 1 to 64 bytes"),
        (
            QueryConversation,
            r#"{"conversationID":"bob","conversationType":-1}"#,
            "conversationType must be a whole number from 0 to 9007199254740991",
        ),
        (
            QueryHistoryMessage,
            r#"{"conversationID":"bob","config":{"count":-1}}"#,
            "config.count must be a whole number from 0 to 9007199254740991",
        ),
        (
            QueryHistoryMessage,
            r#"{"conversationID":"bob","config":{"count":101}}"#,
            "config.count must be 1 to 100",
        ),
        (
            QueryHistoryMessage,
            r#"{"conversationID":"bob","config":{"count":1,"nextMessage":{"messageID":"x"}}}"#,
            "config.nextMessage.messageID is not a messageID",
        ),
        (
            DeleteMessages,
            r#"{"conversationID":"bob","messageList":[{"messageID":"1"},{"messageID":2}]}"#,
            "messageList[1].messageID must be a text",
        ),
        (
            SetConversationNotificationStatus,
            r#"{"conversationID":"bob","status":3}"#,
            "status must be 1 (Notify) or 2 (DoNotDisturb)",
        ),
        (
            QueryConversationTotalUnreadMessageCount,
            r#"{"config":{"marks":[1,21]}}"#,
            "config.marks[1] must be a whole number from 1 to 20",
        ),
        (
            AddUsersToBlacklist,
            r#"{"userIDs":["bob","a/b"]}"#,
            "userIDs[1] has a character that a userID may not have",
        ),
        (AddUsersToBlacklist, r#"{"userIDs":[{"userID":"bob"}]}"#, "userIDs[0] must be a text"),
        (AddUsersToBlacklist, r#"{"userIDs":[]}"#, "userIDs must have 1 to 20 entries"),
        (RemoveUsersFromBlacklist, r#"{"userIDs":"bob"}"#, "userIDs must be a list"),
        (UpdateUserName, r#"{"userName":" "}"#, "userName must not be blank"),
        (
            UpdateUserAvatarUrl,
            r#"{"userAvatarUrl":"a\nb"}"#,
            "userAvatarUrl must not have control characters, line breaks or bidirectional overrides",
        ),
        (UpdateUserExtendedData, r#"{"extendedData":7}"#, "extendedData must be a text"),
        (QueryUsersInfo, r#"{"userIDs":[]}"#, "userIDs must have 1 to 10 entries"),
        (UpdateUserPrivacy, r#"{"hideTyping":1}"#, "hideTyping must be true or false"),
        (
            AddMessageReaction,
            r#"{"reactionType":7,"message":{"messageID":"1"}}"#,
            "reactionType must be a text",
        ),
        (
            AddMessageReaction,
            r#"{"reactionType":"a","message":{"messageID":"1"},"config":{"increaseCount":1000001}}"#,
            "config.increaseCount must be 0 to 1000000",
        ),
        (
            DeleteMessageReaction,
            r#"{"reactionType":"a\u2028b","message":{"messageID":"1"}}"#,
            "reactionType must not have control characters, line breaks or bidirectional overrides",
        ),
        (DeleteMessageAllReactions, r#"{"message":{}}"#, "message.messageID is missing"),
        (
            QueryMessageReactionUserList,
            r#"{"message":{"messageID":"1"},"config":{"reactionType":"a","count":101}}"#,
            "config.count must be 0 to 100",
        ),
        (
            QueryMessageRepliedList,
            r#"{"message":{"messageID":"1"},"config":{"count":101}}"#,
            "config.count must be 1 to 100",
        ),
        (QueryBlacklist, r#"{"config":{"count":101}}"#, "config.count must be 1 to 100"),
        (QueryBlacklist, r#"{"config":{"nextFlag":"1"}}"#, "config.nextFlag must be a number"),
    ] {
        assert_eq!(error(method, body), expected, "{body}");
    }
}

#[test]
fn errors_name_the_field_of_a_message_by_its_path() {
    for (body, expected) in [
        (r"{}", "toUserID is missing"),
        (r#"{"toUserID":7}"#, "toUserID must be a text"),
        (r#"{"toUserID":"bob"}"#, "message is missing"),
        (r#"{"toUserID":"bob","message":{}}"#, "message.type is missing"),
        (r#"{"toUserID":"bob","message":{"type":"1"}}"#, "message.type must be a number"),
        (
            r#"{"toUserID":"bob","message":{"type":20}}"#,
            "message.type is not a type that may be sent to a peer",
        ),
        (r#"{"toUserID":"bob","message":{"type":1}}"#, "message.message is missing"),
        (
            r#"{"toUserID":"bob","message":{"type":10,"messageInfoList":[{"type":1,"message":"a"},{"type":1,"message":5}]}}"#,
            "message.messageInfoList[1].message must be a text",
        ),
        (
            r#"{"toUserID":"bob","message":{"type":10,"messageInfoList":[]}}"#,
            "message.messageInfoList must have 1 to 20 entries",
        ),
        (
            r#"{"toUserID":"bob","message":{"type":100,"messageList":[{"type":1,"message":"a","timestamp":"1"}]}}"#,
            "message.messageList[0].timestamp must be a number",
        ),
        (
            r#"{"toUserID":"bob","message":{"type":1,"message":"a","localMessageID":""}}"#,
            "message.localMessageID must be 1 to 64 bytes",
        ),
        (
            r#"{"toUserID":"bob","message":{"type":13,"fileDownloadUrl":"u","audioDuration":4294967296}}"#,
            "message.audioDuration must be a whole number from 0 to 4294967295",
        ),
        (
            r#"{"toUserID":"bob","message":{"type":200,"message":"x","subType":300}}"#,
            "message.subType must be 0 to 200",
        ),
        (
            r#"{"toUserID":"bob","message":{"type":1,"message":"x"},"config":{"priority":4}}"#,
            "config.priority must be 1, 2 or 3",
        ),
        (
            r#"{"toUserID":"bob","message":{"type":1,"message":"x"},"config":{"pushConfig":{"voIPConfig":1}}}"#,
            "config.pushConfig.voIPConfig must be an object",
        ),
    ] {
        assert_eq!(error(Method::SendPeerMessage, body), expected, "{body}");
    }
}

/// Fields of a plain text message and others, some with values of a wrong type.
fn nearly_plain() -> impl Strategy<Value = rmpv::Value> {
    let text = || {
        prop_oneof![
            "[a-z]{0,40}".prop_map(rmpv::Value::from),
            "\\PC{0,6}".prop_map(rmpv::Value::from),
            (0..70_usize).prop_map(|length| "x".repeat(length).into()),
            Just(rmpv::Value::from("line\nbreak")),
        ]
    };
    let other = || {
        prop_oneof![
            Just(rmpv::Value::Nil),
            any::<bool>().prop_map(rmpv::Value::from),
            (0..300_u64).prop_map(rmpv::Value::from),
            any::<f64>().prop_map(rmpv::Value::from),
            proptest::collection::vec(any::<u8>(), 0..4).prop_map(rmpv::Value::Binary),
            Just(rmpv::Value::Array(vec![1.into()])),
            Just(rmpv::Value::Map(vec![("type".into(), 1.into())])),
        ]
    };
    let value = move || prop_oneof![12 => text(), 1 => other()];
    let kind =
        prop_oneof![12 => Just(1_u64.into()), 1 => (0..300_u64).prop_map(Into::into), 1 => other()];
    let field = |name: &'static str, often: f64, value: BoxedStrategy<rmpv::Value>| {
        proptest::option::weighted(often, value.prop_map(move |value| (name.into(), value)))
    };
    let message = (
        field("type", 0.95, kind.boxed()),
        field("message", 0.95, value().boxed()),
        field("localMessageID", 0.7, value().boxed()),
        field("extendedData", 0.5, value().boxed()),
        field("subType", 0.05, value().boxed()),
        field("message", 0.05, value().boxed()),
    );
    let message = message.prop_map(|(a, b, c, d, e, f)| {
        rmpv::Value::Map([a, b, c, d, e, f].into_iter().flatten().collect())
    });
    let message = prop_oneof![12 => message, 1 => other()].boxed();
    let fields = (
        field("toUserID", 0.8, value().boxed()),
        field("toConversationID", 0.3, value().boxed()),
        field("message", 0.95, message.clone()),
        field("config", 0.1, other().boxed()),
        field("unknown", 0.05, other().boxed()),
        field("message", 0.05, message),
    );
    fields
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(rmpv::Value::Map)
}

proptest! {
    #[test]
    fn a_plain_message_is_read_as_by_the_tree(
        body in nearly_plain(),
        after in proptest::collection::vec(any::<u8>(), 0..2),
        cut in 0..400_usize,
    ) {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &body).expect("writable");
        bytes.extend(after);
        for bytes in [&bytes[..], &bytes[..cut.min(bytes.len())]] {
            let encoding = Encoding::MessagePack;
            let read = |method: Method| {
                method.send_decoder().map(|decode| decode(encoding, bytes, 64))
            };
            let by_tree = decode::request::<send_peer_message::Request>(encoding, bytes, 64);
            prop_assert_eq!(read(Method::SendPeerMessage), Some(by_tree.map(send::Send::from)));
            let by_tree = decode::request::<send_message::Request>(encoding, bytes, 64);
            prop_assert_eq!(read(Method::SendMessage), Some(by_tree.map(send::Send::from)));
        }
    }
}

#[test]
fn a_plain_message_needs_no_tree() {
    let message = serde_json::json!({
        "type": 1, "message": "Hello", "localMessageID": "l-1", "extendedData": "e",
    });
    for (field, message) in [
        ("toUserID", message.clone()),
        ("toConversationID", message),
        ("toUserID", serde_json::json!({ "type": 1, "message": "x".repeat(300) })),
    ] {
        let body = serde_json::json!({ field: "bob", "message": message });
        let packed = rmp_serde::to_vec_named(&body).expect("packs");
        assert!(plain::send(&packed, field, 64).is_some(), "{body}");
    }
}

/// A name, and the bytes of a part or of an answer.
type Pinned = (&'static str, Vec<u8>);

fn pinned<C: Command, T>(name: &'static str, value: &T) -> Pinned
where
    T: Serialize + DeserializeOwned + Debug,
{
    let bytes = peer::encode_part::<C>(value).expect("writable");
    let read: T = peer::decode_part::<C, _>(&bytes).expect("readable");
    assert_eq!(format!("{read:?}"), format!("{value:?}"), "{name}");
    (name, bytes.to_vec())
}

fn part<C: WithPeer<Part: Debug>>(name: &'static str, part: C::Part) -> Pinned {
    pinned::<C, _>(name, &part)
}

fn answer<C: WithPeer<Answer: Debug>>(name: &'static str, answer: C::Answer) -> Pinned {
    pinned::<C, _>(name, &answer)
}

/// The parts that `wire` does not define: two releases meet in a rolling update.
#[test]
fn the_parts_of_single_commands_have_their_golden_bytes() {
    let avatar_url = Some("https://example.com/a.png".to_owned());
    let written = [
        part::<Receipt>("receipt", 0x0010_0000_0000_0005),
        answer::<Receipt>("receipt-stored", true),
        answer::<Receipt>("receipt-not-wanted", false),
        part::<SendTyping>("typing", true),
        part::<SendTyping>("typing-ended", false),
        answer::<SendTyping>("typing-shown", ()),
        part::<UpdateUserName>("profile", ShownProfile("Anna".to_owned(), avatar_url)),
        part::<UpdateUserName>("profile-name", ShownProfile("Anna".to_owned(), None)),
        answer::<UpdateUserName>("profile-shown", ()),
    ];
    golden::assert_same(&written, &golden::lines(PARTS));
}
