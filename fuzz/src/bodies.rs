//! Bodies of calls, as bytes: every method in both encodings. The first byte chooses the method,
//! the second how the encoding is named, the rest is the body.

use peerd::runtime::commands::{Method, Request, send_peer_message};
use peerd_core::id::UserId;
use peerd_core::limits::{
    AVATAR_URL_MAX_BYTES, BLOCK_BATCH_MAX, BLOCKED_PAGE_MAX, CHANGES_PAGE_MAX,
    CONVERSATION_PAGE_MAX, CUSTOM_STATUS_MAX_BYTES, CUSTOM_STATUS_SECONDS_MAX, DELETE_BATCH_MAX,
    DEVICE_MAX_BYTES, DRAFT_MAX_BYTES, HISTORY_PAGE_MAX, MARK_BATCH_MAX, MARK_MAX,
    MESSAGE_SEQS_MAX, REACTION_COUNT_MAX, REACTION_TYPE_MAX_BYTES, REACTION_USERS_MAX,
    RECEIPTS_QUERY_MAX, REPLIED_LIST_MAX, SUBSCRIPTION_MINUTES_MAX, USER_EXTENDED_DATA_MAX_BYTES,
    USER_NAME_MAX_BYTES, USERS_INFO_MAX, USERS_STATUS_MAX,
};
use peerd_core::rejection::Rejection;
use peerd_core::send::{Send, SendOptions};
use peerd_protocol::decode;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::field::{MessageOfConversation, User};
use peerd_protocol::plain;
use peerd_protocol::value::Value;

use super::messages;
use super::node::Node;

/// The bounds of a body in the contract, which `value.rs` of `peerd-protocol` must keep.
const DEPTH_MAX: usize = 24;
const VALUES_MAX: usize = 20_000;
/// An error names a field and a rule; it never grows with the body.
const ERROR_MAX_BYTES: usize = 300;

/// More methods than exist, so that an input keeps its method when one is added.
const METHODS_MAX: usize = 64;

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
/// If a property does not hold.
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
    if encoding == Encoding::MessagePack {
        plain_as_by_the_tree(body);
    }
}

/// A plain message that is read without the tree is read as with it.
fn plain_as_by_the_tree(body: &[u8]) {
    let most = super::USER_ID_BYTES;
    if let Some(send) = plain::send(body, "toUserID", most) {
        let by_tree =
            decode::request::<send_peer_message::Request>(Encoding::MessagePack, body, most);
        assert_eq!(by_tree.map(Send::from), Ok(send));
    }
}

/// Checks the properties of any decoded body.
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

/// Checks that the same tree is read as the same request in both encodings.
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

/// Checks that both requests are equal. Only bytes are encoded differently: as `bin`, and as text.
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
    // Bytes in place of a text become a text in JSON.
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
        Value::Null
        | Value::Flag(_)
        | Value::Number(_)
        | Value::Negative(_)
        | Value::OtherNumber => {}
    }
}

/// The bounds of the contract, independent of the types of the fields.
fn has_bounds(request: &Request) {
    if let Request::Login(login) = request {
        let length = |line: Option<usize>| line.unwrap_or_default();
        assert!(login.replay_after.is_none_or(|key| key < 1 << 53));
        let name = login.user_name.as_ref().map(|name| name.0.0.len());
        assert!(length(name) <= USER_NAME_MAX_BYTES);
        assert!(length(login.platform.as_ref().map(|line| line.0.len())) <= DEVICE_MAX_BYTES);
        assert!(length(login.device_id.as_ref().map(|line| line.0.len())) <= DEVICE_MAX_BYTES);
    }
    if let Request::SendPeerMessage(send) = request {
        messages::check(&Send::from((**send).clone()));
    }
    if let Request::SendMessage(send) = request {
        messages::check(&Send::from((**send).clone()));
    }
    if let Request::ReplyMessage(reply) = request {
        let (draft, options) = (reply.message.clone().into(), reply.config.clone());
        let options = options.map(SendOptions::from).unwrap_or_default();
        let to = UserId::new("the receiver", "userID").expect("a userID");
        let send = Send { to, to_field: "conversationID", draft, options };
        messages::check(&send);
        messages::check_reply(&send);
    }
    if let Request::QueryHistoryMessage(query) = request {
        assert!((1..=HISTORY_PAGE_MAX).contains(&query.config.count.0));
    }
    if let Request::QueryConversationList(query) = request {
        assert!((1..=CONVERSATION_PAGE_MAX).contains(&query.config.count.0));
    }
    if let Request::QueryBlacklist(query) = request {
        let page = query.config.unwrap_or_default();
        assert!(page.count.is_none_or(|count| (1..=BLOCKED_PAGE_MAX).contains(&count.0)));
        assert!(page.next_flag.is_none_or(|after| after < 1 << 53));
    }
    if let Request::QueryConversationPinnedList(query) = request {
        assert!((1..=CONVERSATION_PAGE_MAX).contains(&query.config.count.0));
    }
    if let Request::QueryChanges(query) = request {
        assert!(query.revision < 1 << 53);
        let count = query.config.as_ref().and_then(|page| page.count);
        assert!(count.is_none_or(|count| (1..=CHANGES_PAGE_MAX).contains(&count.0)));
    }
    if let Request::SetConversationDraft(set) = request {
        assert!(set.draft.0.len() <= DRAFT_MAX_BYTES);
    }
    if let Request::SetConversationMark(set) = request {
        assert!((1..=MARK_MAX).contains(&set.mark_type.0.number()));
        assert!((1..=MARK_BATCH_MAX).contains(&set.conversation_infos.0.len()));
    }
    if let Request::QueryMessages(query) = request {
        rising(&query.message_seqs.clone().each_once(), MESSAGE_SEQS_MAX);
    }
    if let Request::QueryMessageReceiptsInfo(query) = request {
        of_one(&query.message_list.0, query.conversation_id.as_ref(), RECEIPTS_QUERY_MAX);
    }
    if let Request::DeleteMessages(delete) = request {
        of_one(&delete.message_list.0, delete.conversation_id.as_ref(), DELETE_BATCH_MAX);
    }
    if let Request::AddUsersToBlacklist(of) | Request::RemoveUsersFromBlacklist(of) = request {
        rising(&of.user_ids.clone().each_once(), BLOCK_BATCH_MAX);
    }
    if let Request::AddMessageReaction(add) = request {
        assert!(add.reaction_type.0.len() <= REACTION_TYPE_MAX_BYTES);
        let count = add.config.and_then(|config| config.increase_count);
        assert!(count.is_none_or(|count| count.0 <= REACTION_COUNT_MAX));
    }
    if let Request::DeleteMessageReaction(delete) = request {
        assert!(delete.reaction_type.0.len() <= REACTION_TYPE_MAX_BYTES);
    }
    if let Request::QueryMessageReactionUserList(query) = request {
        assert!(query.config.reaction_type.0.len() <= REACTION_TYPE_MAX_BYTES);
        let most = u64::try_from(REACTION_USERS_MAX).expect("a small number");
        assert!(query.config.count.is_none_or(|count| count.0 <= most));
        assert!(query.config.next_flag.is_none_or(|from| from < 1 << 53));
    }
    if let Request::QueryMessageRepliedList(query) = request {
        assert!((1..=REPLIED_LIST_MAX).contains(&query.config.count.0));
        assert!(query.config.next_flag.is_none_or(|from| from < 1 << 53));
    }
    if let Request::PinMessage(pin) = request {
        let other = pin.message.conversation_id.as_ref().or(pin.conversation_id.as_ref());
        assert!(other.is_none_or(|other| other.0.as_str().len() <= super::USER_ID_BYTES));
    }
    has_user_bounds(request);
}

/// The bounds of the methods about users.
fn has_user_bounds(request: &Request) {
    if let Request::UpdateUserName(update) = request {
        assert!(update.user_name.0.0.len() <= USER_NAME_MAX_BYTES);
    }
    if let Request::UpdateUserAvatarUrl(update) = request {
        assert!(update.user_avatar_url.0.len() <= AVATAR_URL_MAX_BYTES);
    }
    if let Request::UpdateUserExtendedData(update) = request {
        assert!(update.extended_data.0.len() <= USER_EXTENDED_DATA_MAX_BYTES);
    }
    if let Request::UpdateUserCustomStatus(update) = request {
        assert!(update.custom_status.0.len() <= CUSTOM_STATUS_MAX_BYTES);
        let seconds = update.config.and_then(|config| config.duration);
        assert!(seconds.is_none_or(|seconds| seconds.0 <= CUSTOM_STATUS_SECONDS_MAX));
    }
    if let Request::SubscribeUsersStatus(subscribe) = request {
        rising(&subscribe.user_ids.clone().each_once(), USERS_STATUS_MAX);
        let minutes = subscribe.config.subscription_duration.0;
        assert!((1..=SUBSCRIPTION_MINUTES_MAX).contains(&minutes));
    }
    if let Request::UnsubscribeUsersStatus(unsubscribe) = request {
        rising(&unsubscribe.user_ids.clone().each_once(), USERS_STATUS_MAX);
    }
    if let Request::QuerySubscribedUserStatusList(query) = request {
        let users = query.config.as_ref().and_then(|config| config.user_ids.as_ref());
        assert!(users.is_none_or(|users| users.0.len() <= USERS_STATUS_MAX));
    }
    if let Request::QueryUsersStatus(query) = request {
        rising(&query.user_ids.clone().each_once(), USERS_STATUS_MAX);
    }
    if let Request::QueryUsersInfo(query) = request {
        rising(&query.user_ids.clone().each_once(), USERS_INFO_MAX);
    }
}

/// Messages of a list are of one conversation, or refused.
fn of_one(list: &[MessageOfConversation], beside: Option<&User>, most: usize) {
    assert!((1..=most).contains(&list.len()));
    if let Ok((other, ids)) = MessageOfConversation::of_list(list.to_vec(), beside.cloned()) {
        rising(&ids, most);
        let mut named = list.iter().filter_map(|message| message.conversation_id.as_ref());
        assert!(beside.map_or_else(|| named.all(|it| it.0 == other), |it| it.0 == other));
    }
}

/// Checks that there are 1 to `max` items, in order and without duplicates.
fn rising<T: Ord>(items: &[T], max: usize) {
    assert!((1..=max).contains(&items.len()));
    assert!(items.windows(2).all(|pair| pair[0] < pair[1]), "an item twice");
}

/// See [`super::Target::seeds`].
///
/// # Panics
///
/// If a seed is not as expected.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let examples =
        Method::ALL.iter().flat_map(|method| method.examples().iter().map(|json| (*method, *json)));
    for (method, json) in examples {
        let place = Method::ALL.iter().position(|known| *known == method);
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
