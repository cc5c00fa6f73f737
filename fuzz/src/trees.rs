//! Bodies of calls, as trees: what a generator makes of the bytes, nearly right for its method, is
//! written in both encodings, which must be read as the same request.

use arbitrary::{Result, Unstructured};
use peerd::wire::encoding::Encoding;
use peerd::wire::request::{Method, Request};
use peerd::wire::value::Value;

use super::bodies;
use super::node::Node;

/// Larger bodies are not tried. It is room for more values than a body may have.
const SIZE_MAX_BYTES: usize = 200_000;

/// See [`super::Target::check`].
///
/// # Panics
///
/// Where something does not hold.
pub fn check(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let Ok((method, node)) = call(&mut source) else { return };
    if node.size() > SIZE_MAX_BYTES {
        return;
    }
    let (packed, json) = (node.packed(), node.json());
    let in_packed = Value::decode(Encoding::MessagePack, &packed);
    let in_json = Value::decode(Encoding::Json, &json);
    assert_eq!(in_packed.is_ok(), in_json.is_ok(), "{in_packed:?}\nand as JSON\n{in_json:?}");
    if let (Ok(in_packed), Ok(in_json), false) = (&in_packed, &in_json, node.has_bytes()) {
        assert_eq!(in_packed, in_json);
    }
    if in_packed.is_err() {
        return;
    }
    let from_packed = Request::parse(method, Encoding::MessagePack, &packed, super::USER_ID_BYTES);
    let from_json = Request::parse(method, Encoding::Json, &json, super::USER_ID_BYTES);
    bodies::agree(&node, &from_packed, &from_json);
    bodies::judge(&from_packed);
    bodies::judge(&from_json);
}

type Fields = Vec<(String, Node)>;
type Make = fn(&mut Unstructured<'_>) -> Result<Node>;

fn call(source: &mut Unstructured<'_>) -> Result<(Method, Node)> {
    let method = *source.choose(Method::ALL)?;
    if source.ratio(1, 16)? {
        return Ok((method, anything(source, 6)?));
    }
    let mut fields: Fields = Vec::new();
    let mut add = |source: &mut Unstructured<'_>, name: &str, make: Make| -> Result<()> {
        field(source, &mut fields, name, make)
    };
    match method {
        Method::Login => {
            add(source, "userName", text)?;
            add(source, "platform", text)?;
            add(source, "deviceID", text)?;
            add(source, "replayAfter", number)?;
        }
        Method::Logout => add(source, "sessionID", text)?,
        Method::Heartbeat | Method::ClearConversationTotalUnreadMessageCount => {}
        Method::QueryConversationTotalUnreadMessageCount => add(source, "config", total)?,
        Method::SendPeerMessage => {
            add(source, "toUserID", user)?;
            add(source, "message", message)?;
            add(source, "config", options)?;
        }
        Method::SendMessage => {
            add(source, "toConversationID", user)?;
            add(source, "conversationType", small)?;
            add(source, "message", message)?;
            add(source, "config", options)?;
        }
        Method::QueryHistoryMessage => {
            add(source, "conversationID", user)?;
            add(source, "config", history)?;
        }
        Method::DeleteMessages => {
            add(source, "conversationID", user)?;
            add(source, "messageList", |source| list(source, 101, message_name))?;
        }
        Method::QueryConversationList => {
            add(source, "config", page)?;
            add(source, "option", |source| one(source, "isOnlyUnreadConversation", flag))?;
        }
        Method::DeleteAllMessage
        | Method::QueryConversation
        | Method::ClearConversationUnreadMessageCount => {
            add(source, "conversationID", user)?;
            add(source, "conversationType", small)?;
        }
        Method::SetConversationNotificationStatus => {
            add(source, "conversationID", user)?;
            add(source, "status", small)?;
        }
        Method::AddUsersToBlacklist | Method::RemoveUsersFromBlacklist => {
            add(source, "userIDs", |source| list(source, 21, user))?;
        }
        Method::QueryBlacklist => add(source, "config", blacklist)?,
        Method::CheckUserIsInBlacklist => add(source, "userID", user)?,
    }
    if source.ratio(1, 8)? {
        let (name, value) = (short(source)?, anything(source, 3)?);
        fields.push((name, value));
    }
    Ok((method, Node::Object(fields)))
}

/// Adds a field, mostly as it should be: sometimes it is left out, or of any type.
fn field(source: &mut Unstructured<'_>, fields: &mut Fields, name: &str, make: Make) -> Result<()> {
    let value = match source.int_in_range(0..=23)? {
        0 => return Ok(()),
        1 => anything(source, 2)?,
        _ => make(source)?,
    };
    fields.push((name.to_owned(), value));
    Ok(())
}

fn object(source: &mut Unstructured<'_>, parts: &[(&str, Make)]) -> Result<Node> {
    let mut fields = Vec::new();
    for (name, make) in parts {
        field(source, &mut fields, name, *make)?;
    }
    Ok(Node::Object(fields))
}

fn one(source: &mut Unstructured<'_>, name: &str, make: Make) -> Result<Node> {
    object(source, &[(name, make)])
}

fn list(source: &mut Unstructured<'_>, max: u16, make: Make) -> Result<Node> {
    if source.ratio(1, 16)? {
        let times = source.int_in_range(0..=max)?;
        return Ok(Node::Repeated(Box::new(make(source)?), times));
    }
    let length = source.int_in_range(0..=4)?;
    Ok(Node::List((0..length).map(|_| make(source)).collect::<Result<_>>()?))
}

fn user(source: &mut Unstructured<'_>) -> Result<Node> {
    let known = ["bob", "carol", "a.b c", "the sender", "x*y"];
    Ok(Node::Text(if source.ratio(7, 8)? {
        (*source.choose(&known)?).to_owned()
    } else {
        short(source)?
    }))
}

fn short(source: &mut Unstructured<'_>) -> Result<String> {
    let length = source.int_in_range(0..=40)?;
    Ok(String::from_utf8_lossy(source.bytes(length)?).into_owned())
}

/// Texts, now and then as long as a bound.
fn text(source: &mut Unstructured<'_>) -> Result<Node> {
    let lengths = [64, 65, 128, 256, 257, 1024, 2048, 2049, 4096, 4097, 33_000];
    Ok(Node::Text(if source.ratio(1, 8)? {
        "x".repeat(*source.choose(&lengths)?)
    } else {
        short(source)?
    }))
}

fn flag(source: &mut Unstructured<'_>) -> Result<Node> {
    source.arbitrary().map(Node::Flag)
}

fn small(source: &mut Unstructured<'_>) -> Result<Node> {
    source.int_in_range(0..=3).map(Node::Number)
}

fn number(source: &mut Unstructured<'_>) -> Result<Node> {
    let edges = [0, 1, 100, 200, 256, 1000, 1 << 32, (1 << 53) - 1, 1 << 53, u64::MAX];
    Ok(Node::Number(if source.arbitrary()? {
        *source.choose(&edges)?
    } else {
        source.arbitrary()?
    }))
}

fn message_id(source: &mut Unstructured<'_>) -> Result<Node> {
    Ok(Node::Text(source.arbitrary::<u64>()?.to_string()))
}

fn message_name(source: &mut Unstructured<'_>) -> Result<Node> {
    one(source, "messageID", message_id)
}

fn history(source: &mut Unstructured<'_>) -> Result<Node> {
    object(source, &[("nextMessage", message_name), ("count", number), ("reverse", flag)])
}

fn page(source: &mut Unstructured<'_>) -> Result<Node> {
    object(source, &[("nextConversation", anchor), ("count", number)])
}

fn anchor(source: &mut Unstructured<'_>) -> Result<Node> {
    object(source, &[("conversationID", user), ("orderKey", number), ("isPinned", flag)])
}

fn blacklist(source: &mut Unstructured<'_>) -> Result<Node> {
    object(source, &[("nextFlag", number), ("count", number)])
}

fn total(source: &mut Unstructured<'_>) -> Result<Node> {
    let numbers: Make = |source| list(source, 3, small);
    object(source, &[("conversationTypes", numbers), ("marks", numbers)])
}

fn options(source: &mut Unstructured<'_>) -> Result<Node> {
    let parts: [(&str, Make); 5] = [
        ("priority", small),
        ("hasReceipt", flag),
        ("isRetrySend", flag),
        ("disableUnreadMessageCount", flag),
        ("pushConfig", push),
    ];
    object(source, &parts)
}

fn push(source: &mut Unstructured<'_>) -> Result<Node> {
    let parts: [(&str, Make); 8] = [
        ("title", text),
        ("content", text),
        ("payload", text),
        ("resourcesID", text),
        ("threadID", text),
        ("enableBadge", flag),
        ("badgeIncrement", number),
        ("voIPConfig", |source| one(source, "x", small)),
    ];
    object(source, &parts)
}

fn message(source: &mut Unstructured<'_>) -> Result<Node> {
    let mut fields = content(source, 5)?;
    field(source, &mut fields, "localMessageID", text)?;
    field(source, &mut fields, "extendedData", text)?;
    Ok(Node::Object(fields))
}

/// The fields of a message's own type; `depth` is what is left of nesting.
fn content(source: &mut Unstructured<'_>, depth: usize) -> Result<Fields> {
    const MEDIA: [(&str, Make); 4] =
        [("fileDownloadUrl", text), ("fileName", text), ("fileSize", number), ("fileUID", text)];
    let types: &[u64] = if depth == 0 { &[1, 200] } else { &[1, 2, 10, 11, 12, 13, 14, 100, 200] };
    let number_of = *source.choose(types)?;
    let own: &[(&str, Make)] = match number_of {
        1 => &[("message", text)],
        2 => &[("message", bytes)],
        11 => &[
            ("thumbnailDownloadUrl", text),
            ("largeImageDownloadUrl", text),
            ("originalImageWidth", number),
            ("originalImageHeight", number),
            ("largeImageWidth", number),
            ("largeImageHeight", number),
            ("thumbnailWidth", number),
            ("thumbnailHeight", number),
        ],
        13 => &[("audioDuration", number)],
        14 => &[
            ("videoDuration", number),
            ("videoFirstFrameDownloadUrl", text),
            ("videoFirstFrameWidth", number),
            ("videoFirstFrameHeight", number),
        ],
        100 => &[("title", text), ("summary", text)],
        200 => &[("message", text), ("subType", number), ("searchedContent", text)],
        _ => &[],
    };
    let media: &[(&str, Make)] = if matches!(number_of, 11..=14) { &MEDIA } else { &[] };
    let mut fields = vec![("type".to_owned(), Node::Number(number_of))];
    for (name, make) in media.iter().chain(own) {
        field(source, &mut fields, name, *make)?;
    }
    let (parts, extras): (&str, &[(&str, Make)]) = match number_of {
        10 => ("messageInfoList", &[]),
        100 => ("messageList", &EXCERPT),
        _ => return Ok(fields),
    };
    fields.push((parts.to_owned(), inner(source, depth, extras)?));
    Ok(fields)
}

const EXCERPT: [(&str, Make); 4] = [
    ("messageID", message_id),
    ("senderUserID", user),
    ("timestamp", number),
    ("extendedData", text),
];

/// Parts of a Multiple or Combine message.
fn inner(source: &mut Unstructured<'_>, depth: usize, extras: &[(&str, Make)]) -> Result<Node> {
    let part = |source: &mut Unstructured<'_>| -> Result<Node> {
        let mut fields = content(source, depth - 1)?;
        for (name, make) in extras {
            field(source, &mut fields, name, *make)?;
        }
        Ok(Node::Object(fields))
    };
    if source.ratio(1, 8)? {
        let times = *source.choose(&[1, 20, 21, 300, 301])?;
        return Ok(Node::Repeated(Box::new(part(source)?), times));
    }
    let length = source.int_in_range(0..=3)?;
    Ok(Node::List((0..length).map(|_| part(source)).collect::<Result<_>>()?))
}

fn bytes(source: &mut Unstructured<'_>) -> Result<Node> {
    let length = source.int_in_range(0..=40)?;
    source.bytes(length).map(|bytes| Node::Bytes(bytes.to_vec()))
}

/// Any tree, so deep.
fn anything(source: &mut Unstructured<'_>, depth: usize) -> Result<Node> {
    let kinds = if depth == 0 { 6 } else { 10 };
    Ok(match source.int_in_range(0..=kinds)? {
        0 => Node::Null,
        1 => flag(source)?,
        2 => number(source)?,
        3 => Node::Negative(-source.int_in_range(1..=i64::MAX)?),
        4 => Node::Fraction,
        5 => text(source)?,
        6 => bytes(source)?,
        7 => {
            let length = source.int_in_range(0..=4)?;
            Node::List((0..length).map(|_| anything(source, depth - 1)).collect::<Result<_>>()?)
        }
        8 => {
            let length = source.int_in_range(0..=4)?;
            let one = |_| Ok((short(source)?, anything(source, depth - 1)?));
            Node::Object((0..length).map(one).collect::<Result<_>>()?)
        }
        9 => Node::Repeated(Box::new(anything(source, depth - 1)?), source.int_in_range(0..=150)?),
        _ => Node::Nested(source.int_in_range(0..=30)?, Box::new(anything(source, depth - 1)?)),
    })
}

/// See [`super::Target::seeds`].
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // The bytes have no meaning of their own: long ones make large trees.
    let rising = |step: u8| (0..=255_u8).map(|byte| byte.wrapping_mul(step)).collect();
    [1, 3, 7, 31, 85, 129].into_iter().map(rising).collect()
}
