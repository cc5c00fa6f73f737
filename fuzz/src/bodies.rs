//! Bodies of calls, as bytes: every method in both encodings. The first byte chooses the method,
//! the second how the encoding is told, the rest is the body.

use peerd::domain::limits::{
    BLOCK_BATCH_MAX, BLOCKED_PAGE_MAX, CONVERSATION_PAGE_MAX, DELETE_BATCH_MAX, DEVICE_MAX_BYTES,
    HISTORY_PAGE_MAX, USER_NAME_MAX_BYTES,
};
use peerd::domain::rejection::Rejection;
use peerd::wire::encoding::Encoding;
use peerd::wire::request::{Method, Request};
use peerd::wire::value::Value;

use super::messages;
use super::node::Node;

/// What a body may have: the bounds of `wire/value.rs`, as the contract means them.
const DEPTH_MAX: usize = 24;
const VALUES_MAX: usize = 20_000;
/// An error names a field and a rule; it never grows with the body.
const ERROR_MAX_BYTES: usize = 300;

/// More methods than there are: an input keeps its method when one is added.
const METHODS_MAX: usize = 32;

const CONTENT_TYPES: [Option<&str>; 4] = [
    Some("application/json"),
    Some("application/msgpack"),
    None,
    Some("Application/JSON; charset=utf-8"),
];

/// See [`super::Target::check`].
///
/// # Panics
///
/// Where something does not hold.
pub fn check(data: &[u8]) {
    let [method, how, body @ ..] = data else { return };
    let method = usize::from(*method) % METHODS_MAX;
    let Some(method) = Method::ALL.get(method).copied() else { return };
    let content_type = CONTENT_TYPES[usize::from(*how) % CONTENT_TYPES.len()];
    let encoding = Encoding::of_request(content_type, body).expect("a known Content-Type");
    let parsed = Request::parse(method, encoding, body, super::USER_ID_BYTES);
    match Value::decode(encoding, body) {
        Ok(value) => {
            is_bounded(&value, body);
            in_both_encodings(method, encoding, &value, &parsed);
        }
        Err(error) => assert_eq!(parsed, Err(error), "read although it is no body"),
    }
    judge(&parsed);
}

/// What holds for whatever a body was read as.
pub(super) fn judge(parsed: &Result<Request, Rejection>) {
    match parsed {
        Ok(request) => has_bounds(request),
        Err(Rejection::InvalidParameter { field, problem }) => {
            assert!(!field.is_empty() && !problem.is_empty());
            assert!(field.len() + problem.len() < ERROR_MAX_BYTES, "{field} {problem}");
        }
        Err(other) => panic!("a body cannot be the reason for {other:?}"),
    }
}

/// The same tree is read as the same request, whichever encoding it is written in.
fn in_both_encodings(
    method: Method,
    encoding: Encoding,
    value: &Value<'_>,
    parsed: &Result<Request, Rejection>,
) {
    let node = Node::of(value);
    let (packed, json) = (node.packed(), node.json());
    assert_eq!(Value::decode(Encoding::MessagePack, &packed).as_ref(), Ok(value));
    if !node.has_bytes() {
        assert_eq!(Value::decode(Encoding::Json, &json).as_ref(), Ok(value));
    }
    let from_packed = Request::parse(method, Encoding::MessagePack, &packed, super::USER_ID_BYTES);
    let from_json = Request::parse(method, Encoding::Json, &json, super::USER_ID_BYTES);
    let same = match encoding {
        Encoding::Json => &from_json,
        Encoding::MessagePack => &from_packed,
    };
    assert_eq!(same, parsed, "written again, it is read as something else");
    agree(&node, &from_packed, &from_json);
}

/// Bytes are the one thing that the encodings write in different ways: as `bin`, and as text.
pub(super) fn agree(
    node: &Node,
    packed: &Result<Request, Rejection>,
    json: &Result<Request, Rejection>,
) {
    if packed == json {
        return;
    }
    let wants_bytes = matches!(packed, Err(Rejection::InvalidParameter { problem, .. })
        if problem == "must be bytes (bin)");
    // Bytes in the place of a text are a text in JSON.
    let has_text = node.has_bytes() && packed.is_err();
    assert!(wants_bytes || has_text, "{packed:?}\nand as JSON\n{json:?}");
}

fn is_bounded(value: &Value<'_>, body: &[u8]) {
    let mut size = Size::default();
    measure(value, 1, &mut size);
    assert!(size.depth <= DEPTH_MAX + 1, "nested {} deep", size.depth);
    assert!(size.values <= VALUES_MAX, "{} values", size.values);
    assert!(size.bytes <= body.len(), "{} bytes of text in {}", size.bytes, body.len());
}

#[derive(Default)]
struct Size {
    depth: usize,
    values: usize,
    bytes: usize,
}

fn measure(value: &Value<'_>, depth: usize, size: &mut Size) {
    size.depth = size.depth.max(depth);
    size.values += 1;
    match value {
        Value::Text(text) => size.bytes += text.len(),
        Value::Bytes(bytes) => size.bytes += bytes.len(),
        Value::List(list) => list.iter().for_each(|value| measure(value, depth + 1, size)),
        Value::Object(fields) => {
            for (index, (name, value)) in fields.iter().enumerate() {
                let is_new = index > 100 || fields[..index].iter().all(|(known, _)| known != name);
                assert!(is_new, "a field twice");
                size.values += 1;
                size.bytes += name.len();
                measure(value, depth + 1, size);
            }
        }
        Value::Null | Value::Flag(_) | Value::Number(_) | Value::OtherNumber => {}
    }
}

fn has_bounds(request: &Request) {
    match request {
        Request::Login { name, platform, device_id, replay_after } => {
            assert!(replay_after.is_none_or(|key| key.0 < 1 << 53));
            assert!(name.len() <= USER_NAME_MAX_BYTES);
            assert!(platform.len() <= DEVICE_MAX_BYTES && device_id.len() <= DEVICE_MAX_BYTES);
        }
        Request::Send(send) => messages::check(send),
        Request::History(query) => assert!((1..=as_usize(HISTORY_PAGE_MAX)).contains(&query.count)),
        Request::List(query) => {
            assert!((1..=as_usize(CONVERSATION_PAGE_MAX)).contains(&query.count));
        }
        Request::Blacklist(query) => {
            assert!((1..=BLOCKED_PAGE_MAX).contains(&query.count) && query.after < 1 << 53);
        }
        Request::DeleteMessages { messages, .. } => rising(messages, DELETE_BATCH_MAX),
        Request::Block(users) | Request::Unblock(users) => rising(users, BLOCK_BATCH_MAX),
        Request::Logout { .. }
        | Request::Heartbeat
        | Request::DeleteAll(_)
        | Request::Conversation(_)
        | Request::ClearUnread(_)
        | Request::ClearAllUnread
        | Request::TotalUnread { .. }
        | Request::SetNotification { .. }
        | Request::IsBlocked(_) => {}
    }
}

/// One to so many, each once.
fn rising<T: Ord>(items: &[T], max: usize) {
    assert!((1..=max).contains(&items.len()));
    assert!(items.windows(2).all(|pair| pair[0] < pair[1]), "an item twice");
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).expect("a small number")
}

/// A body of each method, and of each type of message.
pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "login",
        r#"{"userName":"Alice","platform":"linux","deviceID":"d-1","replayAfter":9007199254740991}"#,
    ),
    ("logout", r#"{"sessionID":"s-1"}"#),
    ("heartbeat", "{}"),
    (
        "send_peer_message",
        r#"{"toUserID":"bob","message":{"type":1,"message":"Hello, Bob!","localMessageID":"l-1","extendedData":"e"},"config":{"priority":3,"hasReceipt":true,"isRetrySend":true,"disableUnreadMessageCount":true,"pushConfig":{"title":"T","content":"C","payload":"P","resourcesID":"R","threadID":"H","enableBadge":true,"badgeIncrement":1,"voIPConfig":{}}}}"#,
    ),
    ("send_peer_message", r#"{"toUserID":"bob","message":{"type":2,"message":"AAH+/w=="}}"#),
    (
        "send_message",
        r#"{"toConversationID":"bob","conversationType":0,"message":{"type":10,"messageInfoList":[{"type":1,"message":"a"},{"type":12,"fileDownloadUrl":"https://x/1","fileName":"n.bin","fileSize":8589934592,"fileUID":"u-1"}]}}"#,
    ),
    (
        "send_peer_message",
        r#"{"toUserID":"bob","message":{"type":11,"fileDownloadUrl":"u","thumbnailDownloadUrl":"t","largeImageDownloadUrl":"l","originalImageWidth":4000,"originalImageHeight":3000,"largeImageWidth":2,"largeImageHeight":3,"thumbnailWidth":4,"thumbnailHeight":5}}"#,
    ),
    (
        "send_peer_message",
        r#"{"toUserID":"bob","message":{"type":13,"fileDownloadUrl":"u","audioDuration":61}}"#,
    ),
    (
        "send_peer_message",
        r#"{"toUserID":"bob","message":{"type":14,"fileDownloadUrl":"u","videoDuration":3601,"videoFirstFrameDownloadUrl":"f","videoFirstFrameWidth":640,"videoFirstFrameHeight":480}}"#,
    ),
    (
        "send_peer_message",
        r#"{"toUserID":"bob","message":{"type":100,"title":"T","summary":"S","messageList":[{"type":1,"message":"one","messageID":"77","senderUserID":"carol","timestamp":1780000000000,"extendedData":"e"},{"type":100,"title":"","summary":"","messageList":[{"type":200,"message":"{}"}]}]}}"#,
    ),
    (
        "send_peer_message",
        r#"{"toUserID":"bob","message":{"type":200,"message":"{}","subType":200,"searchedContent":"find me"}}"#,
    ),
    (
        "query_history_message",
        r#"{"conversationID":"bob","conversationType":0,"config":{"nextMessage":{"messageID":"118106327250633732"},"count":100,"reverse":true}}"#,
    ),
    (
        "delete_messages",
        r#"{"conversationID":"bob","messageList":[{"messageID":"2"},{"messageID":"1"},{"messageID":"2"}]}"#,
    ),
    ("delete_all_message", r#"{"conversationID":"bob","conversationType":0,"config":{}}"#),
    (
        "query_conversation_list",
        r#"{"config":{"nextConversation":{"conversationID":"bob","orderKey":9007199254740991,"isPinned":false},"count":1000},"option":{"isOnlyUnreadConversation":true}}"#,
    ),
    ("query_conversation", r#"{"conversationID":"bob"}"#),
    ("clear_conversation_unread_message_count", r#"{"conversationID":"bob"}"#),
    ("clear_conversation_total_unread_message_count", "{}"),
    ("query_conversation_total_unread_message_count", ""),
    (
        "query_conversation_total_unread_message_count",
        r#"{"config":{"conversationTypes":[0,2],"marks":[1,20]}}"#,
    ),
    ("set_conversation_notification_status", r#"{"conversationID":"bob","status":2}"#),
    ("add_users_to_blacklist", r#"{"userIDs":["carol","bob","carol"]}"#),
    ("remove_users_from_blacklist", r#"{"userIDs":["bob"]}"#),
    ("query_blacklist", r#"{"config":{"nextFlag":52323942400000,"count":20}}"#),
    ("check_user_is_in_blacklist", r#"{"userID":"bob"}"#),
];

/// See [`super::Target::seeds`].
///
/// # Panics
///
/// Where a seed is not what it should be.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (name, json) in EXAMPLES {
        let place = Method::ALL.iter().position(|method| method.name() == *name);
        let method = u8::try_from(place.expect("a method")).expect("few methods");
        let value = Value::decode(Encoding::Json, json.as_bytes()).expect("a body");
        let packed = Node::of(&value).packed();
        seeds.push([&[method, 0][..], json.as_bytes()].concat());
        seeds.push([&[method, 2][..], json.as_bytes()].concat());
        seeds.push([&[method, 1][..], &packed].concat());
        seeds.push([&[method, 2][..], &packed].concat());
    }
    seeds
}
