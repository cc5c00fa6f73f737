//! Events, and the messages in which peerd publishes them.

use std::fmt;

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Conversation, Message, Reaction, ReadError, ReceiptInfo, UserFullInfo, UserInfo};
use super::{UserRule, UserStatus, read};
use crate::encoding::{Encode as _, Encoding};

/// The name in the subject of a [`Bundle`].
pub const BUNDLE: &str = "bundle";

/// The body of a message with one event: the fields of the event, and the revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revised<E> {
    /// The event.
    #[serde(flatten)]
    pub event: E,
    /// The revision of the user's conversations after the event.
    pub revision: u64,
    /// The revision before it; the same if the event belongs to no change of conversations.
    pub previous_revision: u64,
}

/// All events of one change of one user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bundle {
    /// The events in their order.
    pub events: Vec<Event>,
}

/// The body of a message whose events would be larger than the server accepts. The client queries
/// again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OmittedEvent {
    /// True.
    #[schemars(extend("const" = true))]
    pub is_content_omitted: bool,
}

/// A message with events, as it was published.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The events in their order; `None` if they were too large to publish.
    pub events: Option<Vec<Event>>,
    /// The revision of the user's conversations after them.
    pub revision: u64,
    /// The revision before them.
    pub previous_revision: u64,
}

impl Published {
    /// Reads the message whose subject has this name of an event.
    pub fn read(name: &str, encoding: Encoding, body: &[u8]) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Mark {
            #[serde(default, rename = "isContentOmitted")]
            is_content_omitted: bool,
        }
        let Revised { event: Mark { is_content_omitted }, revision, previous_revision } =
            read(encoding, body)?;
        let events = if is_content_omitted {
            None
        } else if name == BUNDLE {
            Some(read::<Bundle>(encoding, body)?.events)
        } else {
            Some(vec![Event::read(name, encoding, body)?])
        };
        Ok(Self { events, revision, previous_revision })
    }

    /// Writes the message again: for tests, which compare it with what was read.
    pub fn write(self, name: &str, encoding: Encoding) -> Result<Bytes, ReadError> {
        let Self { events, revision, previous_revision } = self;
        let event = match events {
            None => Body::Omitted(OmittedEvent { is_content_omitted: true }),
            Some(events) if name == BUNDLE => Body::Bundle(Bundle { events }),
            Some(events) => Body::Single(Fields(events)),
        };
        Ok(encoding.encode(&Revised { event, revision, previous_revision })?)
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Omitted(OmittedEvent),
    Bundle(Bundle),
    Single(Fields),
}

/// The fields of the only event.
struct Fields(Vec<Event>);

macro_rules! events {
    ($($name:literal $event:ident,)+) => {
        /// An event.
        #[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
        #[serde(tag = "event", content = "body")]
        pub enum Event {
            $(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $event($event),
            )+
            /// An event of a later version of peerd, by its name.
            #[serde(skip)]
            Unknown(String),
        }

        impl Event {
            /// The names of all events.
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// The name in the subject.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$event(_) => $name,)+
                    Self::Unknown(name) => name,
                }
            }

            /// Reads the body of an event, with or without revisions.
            fn read(name: &str, encoding: Encoding, body: &[u8]) -> Result<Self, ReadError> {
                Ok(match name {
                    $($name => Self::$event(read(encoding, body)?),)+
                    _ => Self::Unknown(name.to_owned()),
                })
            }

            /// Reads the body of an event in a bundle.
            fn of_bundle<'de, A: MapAccess<'de>>(
                name: &str,
                map: &mut A,
            ) -> Result<Self, A::Error> {
                Ok(match name {
                    $($name => Self::$event(map.next_value()?),)+
                    _ => {
                        let _: IgnoredAny = map.next_value()?;
                        Self::Unknown(name.to_owned())
                    }
                })
            }
        }

        impl Serialize for Fields {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.0.as_slice() {
                    $([Event::$event(event)] => event.serialize(serializer),)+
                    _ => Err(serde::ser::Error::custom("not one known event")),
                }
            }
        }

        /// The schema of the message that has this event; `None` for an unknown name.
        pub fn event_schema(name: &str, generator: &mut SchemaGenerator) -> Option<Schema> {
            match name {
                $($name => Some(with_revisions::<$event>(generator)),)+
                BUNDLE => Some(with_revisions::<Bundle>(generator)),
                _ => None,
            }
        }
    };
}

events! {
    "peer_message_received" PeerMessageReceived,
    "conversation_changed" ConversationChanged,
    "conversation_total_unread_message_count_updated" TotalUnreadUpdated,
    "conversations_all_deleted" ConversationsAllDeleted,
    "message_deleted" MessageDeleted,
    "message_edited" MessageEdited,
    "message_pin_status_changed" PinStatusChanged,
    "message_reactions_changed" ReactionsChanged,
    "message_replied_count_changed" RepliedCountChanged,
    "message_replied_info_changed" RepliedInfoChanged,
    "message_revoke_received" MessageRevoked,
    "conversation_message_receipt_changed" ConversationReceiptChanged,
    "message_receipt_changed" ReceiptChanged,
    "blacklist_changed" BlacklistChanged,
    "user_info_updated" UserInfoUpdated,
    "user_rule_updated" UserRuleUpdated,
    "user_status_updated" UserStatusUpdated,
    "typing" Typing,
    "connection_state_changed" ConnectionStateChanged,
}

fn with_revisions<E: JsonSchema + DeserializeOwned>(generator: &mut SchemaGenerator) -> Schema {
    <Revised<E>>::json_schema(generator)
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = Event;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event with its name before its body")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
                let (mut name, mut event) = (None::<String>, None);
                while let Some(field) = map.next_key::<String>()? {
                    match (field.as_str(), &name) {
                        ("event", _) => name = Some(map.next_value()?),
                        ("body", Some(name)) => event = Some(Event::of_bundle(name, &mut map)?),
                        _ => {
                            let _: IgnoredAny = map.next_value()?;
                        }
                    }
                }
                event.ok_or_else(|| A::Error::custom("an event without a name or a body"))
            }
        }

        deserializer.deserialize_map(Entry)
    }
}

/// Messages of one sender: live, replayed at a login, or published again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerMessageReceived {
    /// The messages, ascending by order key.
    pub message_list: Vec<Message>,
    /// The sender.
    #[serde(rename = "fromConversationID")]
    pub from_conversation_id: String,
    /// How they came.
    pub info: ReceivedInfo,
}

/// How messages came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedInfo {
    /// Whether a login replayed them.
    pub is_offline_message: bool,
}

/// Conversations changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationChanged {
    /// The changes.
    pub info_list: Vec<ConversationChange>,
}

/// A change of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationChange {
    /// As in the SDK 2.x: Added 0, Updated 1, Disabled 2, Deleted 3.
    #[schemars(extend("enum" = [0, 1, 2, 3]))]
    pub event: u8,
    /// As in the SDK 3.x: Added 0, Deleted 1, Updated 2.
    #[schemars(extend("enum" = [0, 1, 2]))]
    pub action: u8,
    /// The conversation after the change.
    pub conversation: Conversation,
}

/// The total unread count after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotalUnreadUpdated {
    /// The total without muted conversations.
    pub total_unread_message_count: u64,
    /// The total of all conversations.
    pub total_unread_message_count_including_muted: u64,
}

/// The user deleted all conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationsAllDeleted {
    /// The number of deleted conversations.
    pub count: u64,
}

/// The user deleted messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDeleted {
    /// The conversation; empty if those of all conversations were deleted.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    pub conversation_type: u8,
    /// Messages of the list 0, all of the conversation 1, those of all conversations 2.
    #[schemars(extend("enum" = [0, 1, 2]))]
    pub message_delete_type: u8,
    /// Whether all messages of the conversation were deleted.
    pub is_delete_conversation_all_message: bool,
    /// The deleted messages, if the type is 0.
    pub message_list: Vec<Message>,
}

/// Messages were edited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdited {
    /// The messages after the change.
    pub message_list: Vec<Message>,
}

/// Messages were revoked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageRevoked {
    /// The messages, which are of type Revoke 31 now.
    pub message_list: Vec<Message>,
}

/// The originals of replies changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepliedInfoChanged {
    /// The replies after the change.
    pub message_list: Vec<Message>,
}

/// The numbers of replies to messages changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepliedCountChanged {
    /// A number for each message.
    pub infos: Vec<RepliedCount>,
}

/// The number of replies to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepliedCount {
    /// The message at the root of the tree.
    #[serde(rename = "messageID")]
    pub message_id: String,
    /// The other user of the conversation.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    pub conversation_type: u8,
    /// The number of replies.
    pub count: u64,
}

/// Messages were pinned or unpinned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PinStatusChanged {
    /// The changes.
    pub infos: Vec<PinInfo>,
}

/// A change of the pin of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinInfo {
    /// Not pinned 0, pinned 1, pinned again 2.
    #[schemars(extend("enum" = [0, 1, 2]))]
    pub pin_status: u8,
    /// The message after the change.
    pub message: Message,
}

/// The reactions to a message changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionsChanged {
    /// The reactions with the types that changed.
    pub reactions: Vec<Reaction>,
    /// The changes of each message.
    pub change_info_list: Vec<ReactionChanges>,
}

/// The changes of the reactions to a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionChanges {
    /// The message after the change.
    pub message: Message,
    /// The changes.
    pub user_change_info_list: Vec<ReactionChange>,
}

/// A change of a user's reactions with one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionChange {
    /// The user.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// The type.
    pub reaction_type: String,
    /// Added 0, Deleted 1.
    #[schemars(extend("enum" = [0, 1]))]
    pub action: u8,
    /// The number of reactions of this type after the change.
    pub sum_count: u64,
}

/// A conversation was confirmed as read up to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationReceiptChanged {
    /// The receipt of each conversation.
    pub infos: Vec<ReceiptInfo>,
}

/// Messages were delivered, or confirmed as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptChanged {
    /// The receipt of each message.
    pub infos: Vec<ReceiptInfo>,
}

/// The user blocked or unblocked others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlacklistChanged {
    /// The others.
    pub user_list: Vec<UserInfo>,
    /// Added 0, Removed 1.
    #[schemars(extend("enum" = [0, 1]))]
    pub action: u8,
}

/// The user's own profile changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserInfoUpdated {
    /// The profile after the change.
    pub info: UserFullInfo,
}

/// The user's own rules changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserRuleUpdated {
    /// The rules after the change.
    pub user_rule: UserRule,
}

/// The status of the user, or of those whom the user follows, changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStatusUpdated {
    /// The status of each.
    pub user_status_list: Vec<UserStatus>,
}

/// The other user of a conversation began to type, or stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Typing {
    /// The other user.
    #[serde(rename = "fromUserID")]
    pub from_user_id: String,
    /// Whether the user is typing.
    pub is_typing: bool,
}

/// A session ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStateChanged {
    /// Disconnected 0.
    #[schemars(extend("enum" = [0]))]
    pub state: u8,
    /// `KickedOut` 4: too many sessions were begun after it.
    #[schemars(extend("enum" = [4]))]
    pub event: u8,
    /// JSON in a text: an empty object.
    pub extended_data: String,
    /// The session.
    #[serde(rename = "sessionID")]
    pub session_id: String,
}
