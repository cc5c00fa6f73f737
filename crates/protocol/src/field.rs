//! Types for the fields of requests. Each checks its bounds when it is deserialized and states them
//! in the JSON Schema. Its errors follow the path of the field ([`crate::decode`]).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{
    Deserialize, Deserializer, Error, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

use super::decode::USER_ID;
use super::object::PEER;
use peerd_core::id::{LocalMessageId, MessageId, UserId};
use peerd_core::limits::{LOCAL_MESSAGE_ID_MAX_BYTES, USER_ID_MAX_BYTES};
use peerd_core::rejection::Rejection;
use peerd_core::text::{NOT_A_LINE, is_line};

/// The error of a domain type, without its field: the deserializer adds the path.
fn refused<E: Error>(rejection: Rejection) -> E {
    if let Rejection::InvalidParameter { problem, .. } = rejection {
        return E::custom(problem);
    }
    E::custom(rejection)
}

/// A schema that is inlined where it is used.
macro_rules! inline_schema {
    ($name:literal, $schema:tt) => {
        fn schema_name() -> Cow<'static, str> {
            Cow::Borrowed($name)
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!($schema)
        }

        fn inline_schema() -> bool {
            true
        }
    };
}

/// A user's ID. The maximum length is configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User(pub UserId);

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;

        impl<'de> Visitor<'de> for Id {
            type Value = User;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a userID")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<User, D::Error> {
                deserializer.deserialize_str(self)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<User, E> {
                UserId::new(text, "").map(User).map_err(refused)
            }
        }

        deserializer.deserialize_newtype_struct(USER_ID, Id)
    }
}

impl JsonSchema for User {
    inline_schema!("UserID", {
        "type": "string", "format": "userID", "minLength": 1, "maxLength": USER_ID_MAX_BYTES
    });
}

/// A text of at most `MAX_BYTES` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortText<const MAX_BYTES: usize>(pub String);

impl<'de, const MAX_BYTES: usize> Deserialize<'de> for ShortText<MAX_BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX_BYTES {
            return Err(D::Error::custom(format_args!("must be {MAX_BYTES} bytes or shorter")));
        }
        Ok(Self(text))
    }
}

impl<const MAX_BYTES: usize> JsonSchema for ShortText<MAX_BYTES> {
    inline_schema!("ShortText", { "type": "string", "maxLength": MAX_BYTES });
}

/// A [`ShortText`] on a single line: a name, a title, an ID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<const MAX_BYTES: usize>(pub String);

impl<'de, const MAX_BYTES: usize> Deserialize<'de> for Line<MAX_BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ShortText(text) = ShortText::<MAX_BYTES>::deserialize(deserializer)?;
        if is_line(&text) { Ok(Self(text)) } else { Err(D::Error::custom(NOT_A_LINE)) }
    }
}

impl<const MAX_BYTES: usize> JsonSchema for Line<MAX_BYTES> {
    inline_schema!("Line", { "type": "string", "maxLength": MAX_BYTES });
}

/// A [`Line`], or a whole number in its place: its digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineOrNumber<const MAX_BYTES: usize>(pub String);

impl<'de, const MAX_BYTES: usize> Deserialize<'de> for LineOrNumber<MAX_BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<const MAX_BYTES: usize>;

        impl<const MAX_BYTES: usize> Visitor<'_> for Either<MAX_BYTES> {
            type Value = LineOrNumber<MAX_BYTES>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(LineOrNumber(number.to_string()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let text = text.into_deserializer();
                Line::deserialize(text).map(|Line::<MAX_BYTES>(text)| LineOrNumber(text))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<const MAX_BYTES: usize> JsonSchema for LineOrNumber<MAX_BYTES> {
    inline_schema!("LineOrNumber", {
        "type": ["string", "integer"], "maxLength": MAX_BYTES, "minimum": 0,
    });
}

/// The number of entries of a page, 1 to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<const MAX: usize>(pub usize);

impl<'de, const MAX: usize> Deserialize<'de> for Count<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = usize::try_from(u64::deserialize(deserializer)?).unwrap_or(usize::MAX);
        if (1..=MAX).contains(&count) {
            Ok(Self(count))
        } else {
            Err(D::Error::custom(format_args!("must be 1 to {MAX}")))
        }
    }
}

impl<const MAX: usize> JsonSchema for Count<MAX> {
    inline_schema!("Count", { "type": "integer", "minimum": 1, "maximum": MAX });
}

/// A number from 0 to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpTo<const MAX: u64>(pub u64);

impl<'de, const MAX: u64> Deserialize<'de> for UpTo<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number <= MAX {
            Ok(Self(number))
        } else {
            Err(D::Error::custom(format_args!("must be 0 to {MAX}")))
        }
    }
}

impl<const MAX: u64> JsonSchema for UpTo<MAX> {
    inline_schema!("UpTo", { "type": "integer", "minimum": 0, "maximum": MAX });
}

/// A list of 1 to `MAX` entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T, const MAX: usize>(pub Vec<T>);

impl<T: Ord, const MAX: usize> List<T, MAX> {
    /// The entries in ascending order, without duplicates.
    #[must_use]
    pub fn each_once(self) -> Vec<T> {
        let Self(mut list) = self;
        list.sort_unstable();
        list.dedup();
        list
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Entries<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let length = seq.size_hint().unwrap_or_default();
                if length == 0 || length > MAX {
                    return Err(A::Error::custom(format_args!("must have 1 to {MAX} entries")));
                }
                let mut list = Vec::with_capacity(length);
                while let Some(entry) = seq.next_element()? {
                    list.push(entry);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for List<T, MAX> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("ListOf{}", T::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items, "minItems": 1, "maxItems": MAX })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// `conversationType`. The only one is 0, a conversation with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerType;

impl<'de> Deserialize<'de> for PeerType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if u64::deserialize(deserializer)? == u64::from(PEER) {
            Ok(Self)
        } else {
            Err(D::Error::custom("must be 0 (Peer)"))
        }
    }
}

impl JsonSchema for PeerType {
    inline_schema!("ConversationType", { "const": PEER });
}

/// Names a conversation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfConversation {
    /// The ID of the other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
}

/// The ID of a stored message: a number, written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageIdText(pub MessageId);

impl<'de> Deserialize<'de> for MessageIdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        MessageId::parse(&text, "").map(Self).map_err(refused)
    }
}

impl JsonSchema for MessageIdText {
    inline_schema!("MessageID", {
        "type": "string", "format": "messageID", "pattern": "^[0-9]{1,20}$"
    });
}

/// A message, named by its ID. All other fields of the SDK's message object are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, JsonSchema)]
pub struct NamedMessage {
    /// The ID of the message.
    #[serde(rename = "messageID")]
    pub message_id: MessageIdText,
}

/// A message, named by its ID, and perhaps its conversation. All other fields of the SDK's message
/// object are ignored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageOfConversation {
    /// The ID of the message.
    #[serde(rename = "messageID")]
    pub message_id: MessageIdText,
    /// The ID of the other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
}

impl MessageOfConversation {
    /// The other user of the conversation and the ID of the message. The conversation may be named
    /// beside the message; if it is named twice, then alike.
    pub fn of(self, beside: Option<User>) -> Result<(UserId, MessageId), Rejection> {
        self.of_field("message", beside)
    }

    /// As [`Self::of`], for the original of a reply.
    pub fn of_original(self, beside: Option<User>) -> Result<(UserId, MessageId), Rejection> {
        self.of_field("toOriginalMessage", beside)
    }

    fn of_field(self, field: &str, beside: Option<User>) -> Result<(UserId, MessageId), Rejection> {
        let MessageIdText(id) = self.message_id;
        match (self.conversation_id, beside) {
            (Some(within), Some(beside)) if within != beside => {
                let problem = format!("names another conversation than {field}.conversationID");
                Err(Rejection::invalid("conversationID", problem))
            }
            (Some(User(other)), _) | (None, Some(User(other))) => Ok((other, id)),
            (None, None) => {
                Err(Rejection::invalid(format!("{field}.conversationID"), "is missing"))
            }
        }
    }

    /// The other user of the conversation of a list of messages, and the IDs of the messages in
    /// ascending order, without duplicates. The conversation is the one that is named beside them,
    /// or else in each of them. If it is named beside, the messages may be as the other user has
    /// them, whose name for the conversation is another one.
    pub fn of_list(
        list: Vec<Self>,
        beside: Option<User>,
    ) -> Result<(UserId, Vec<MessageId>), Rejection> {
        let mut ids: Vec<MessageId> = list.iter().map(|message| message.message_id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut other = beside;
        let is_beside = other.is_some();
        for (index, message) in list.into_iter().enumerate().filter(|_| !is_beside) {
            let (user, _) = message.of_field(&format!("messageList[{index}]"), other)?;
            other = Some(User(user));
        }
        let missing = || Rejection::invalid("conversationID", "is missing");
        other.map(|User(other)| (other, ids)).ok_or_else(missing)
    }
}

/// The caller's own ID of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalId(pub LocalMessageId);

impl<'de> Deserialize<'de> for LocalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        LocalMessageId::new(&text).map(Self).map_err(refused)
    }
}

impl JsonSchema for LocalId {
    inline_schema!("LocalMessageID", {
        "type": "string", "minLength": 1, "maxLength": LOCAL_MESSAGE_ID_MAX_BYTES
    });
}

/// Bytes: `bin`, or base64 text in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec()))
    }
}

impl JsonSchema for Bytes {
    inline_schema!("Bytes", { "type": "string", "contentEncoding": "base64" });
}

/// An object whose fields are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unread;

        impl<'de> Visitor<'de> for Unread {
            type Value = AnyObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<AnyObject, A::Error> {
                Ok(AnyObject)
            }
        }

        deserializer.deserialize_map(Unread)
    }
}

impl JsonSchema for AnyObject {
    inline_schema!("AnyObject", { "type": "object" });
}

/// One object that has the fields of both.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Both<A, B>(pub A, pub B);

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Both<A, B> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("{}With{}", A::schema_name(), B::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let both = [generator.subschema_for::<A>(), generator.subschema_for::<B>()];
        json_schema!({ "allOf": both })
    }
}
