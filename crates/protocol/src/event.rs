//! The bodies of events.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeSeq as _, SerializeStruct as _, Serializer};

pub use super::api::BUNDLE;
use super::api::UserRule;
use super::message::{ConversationBody, MessageBody};
use super::object::NAMED;
use super::object::{IS_CONTENT_OMITTED, PEER};
use super::reaction::{Changed, UserChanges};
use super::receipt::ReceiptBody;
use super::reply::{Messages, UserInfos};
use super::user_info::{FullUserInfoBody, UserStatusBody};
use peerd_core::conversation::{ConversationEvent, ConversationView};
use peerd_core::event::{DeleteType, Event, Revision};
use peerd_core::id::UserId;
use peerd_core::message::Message;
use peerd_core::pins::PinInfo;
use peerd_core::receipt::ReceiptInfo;

/// The `state` of a connection that ended.
const DISCONNECTED: u8 = 0;
/// The `event` of a session that was ended by a later login.
const KICKED_OUT: u8 = 4;
/// The `extendedData` of a connection event: JSON in a string, as in the SDK.
const NO_EXTENDED_DATA: &str = "{}";

/// The body of an event that is too large to publish. It carries only the revision, so that the
/// user's clients query the state.
pub struct Omitted {
    /// The revision that the event would have carried.
    pub revision: Revision,
}

impl Serialize for Omitted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Revision { current, previous } = self.revision;
        let mut map = serializer.serialize_struct(NAMED, 3)?;
        map.serialize_field(IS_CONTENT_OMITTED, &true)?;
        map.serialize_field("revision", &current)?;
        map.serialize_field("previousRevision", &previous)?;
        map.end()
    }
}

/// The name of an event in its subject: the SDK's name in `snake_case`.
#[must_use]
pub const fn name(event: &Event) -> &'static str {
    match event {
        Event::PeerMessageReceived { .. } => "peer_message_received",
        Event::ConversationChanged(_) => "conversation_changed",
        Event::TotalChanged(_) => "conversation_total_unread_message_count_updated",
        Event::MessageDeleted { .. } | Event::AllMessagesDeleted => "message_deleted",
        Event::MessagesRevoked(_) => "message_revoke_received",
        Event::MessagesEdited(_) => "message_edited",
        Event::PinsChanged(_) => "message_pin_status_changed",
        Event::ReactionsChanged { .. } => "message_reactions_changed",
        Event::RepliedInfoChanged(_) => "message_replied_info_changed",
        Event::ConversationsAllDeleted { .. } => "conversations_all_deleted",
        Event::ReceiptsChanged(_) | Event::MessagesDelivered(_) => "message_receipt_changed",
        Event::ConversationReceiptChanged(_) => "conversation_message_receipt_changed",
        Event::BlacklistChanged { .. } => "blacklist_changed",
        Event::UserInfoUpdated(_) => "user_info_updated",
        Event::UserRuleUpdated(_) => "user_rule_updated",
        Event::UserStatusUpdated(_) => "user_status_updated",
        Event::KickedOut { .. } => "connection_state_changed",
    }
}

/// An event that belongs to no change of the user's conversations, is never stored, and is small:
/// its fields are those of the body. A command that publishes one defines it in its own file.
pub trait LiveEvent: Serialize {
    /// The name in the subject: the SDK's in `snake_case`.
    const NAME: &'static str;
}

/// The body of a live event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveBody<'a, E> {
    #[serde(flatten)]
    event: &'a E,
    revision: u64,
    previous_revision: u64,
}

impl<'a, E: LiveEvent> LiveBody<'a, E> {
    /// The body at a revision of the user's conversations. It carries the same one as the previous
    /// one, because no change belongs to it.
    pub const fn at(event: &'a E, revision: u64) -> Self {
        Self { event, revision, previous_revision: revision }
    }
}

/// An event as shown to its user, `viewer`.
pub struct EventBody<'a> {
    /// The event.
    pub event: &'a Event,
    /// The revision of the user's conversations after the event.
    pub revision: Revision,
    /// The user to whom it is published.
    pub viewer: &'a UserId,
    /// The most bytes that the sender of a message may have set; beyond that, the message is shown
    /// without its content.
    pub content_max: Option<usize>,
}

/// All events of one change of one user in one body, in their order.
pub struct Bundle<'a> {
    /// The events.
    pub events: &'a [Event],
    /// The revision of the user's conversations after the change.
    pub revision: Revision,
    /// The user to whom they are published.
    pub viewer: &'a UserId,
    /// See [`EventBody::content_max`].
    pub content_max: Option<usize>,
}

impl Serialize for Bundle<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<L> {
            events: L,
            revision: u64,
            previous_revision: u64,
        }
        let Revision { current: revision, previous: previous_revision } = self.revision;
        Body { events: Bundled(self), revision, previous_revision }.serialize(serializer)
    }
}

/// The events of a bundle, whose revision is that of the bundle.
struct Bundled<'b>(&'b Bundle<'b>);

impl Serialize for Bundled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            event: &'static str,
            body: Shown<'a>,
        }
        let Bundle { events, viewer, content_max, .. } = *self.0;
        let mut seq = serializer.serialize_seq(Some(events.len()))?;
        for event in events {
            let body = Shown { event, revision: None, viewer, content_max };
            seq.serialize_element(&Entry { event: name(event), body })?;
        }
        seq.end()
    }
}

impl Serialize for EventBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { event, revision, viewer, content_max } = *self;
        Shown { event, revision: Some(revision), viewer, content_max }.serialize(serializer)
    }
}

/// An event with its revision, or without in a bundle.
struct Shown<'a> {
    event: &'a Event,
    revision: Option<Revision>,
    viewer: &'a UserId,
    content_max: Option<usize>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { viewer, content_max, .. } = *self;
        let revision = self.revision.map(|revision| revision.current);
        let previous_revision = self.revision.map(|revision| revision.previous);
        // A body of these fields and the revision.
        macro_rules! body {
            ($body:ident { $($field:ident $(: $value:expr)?),+ $(,)? }) => {
                $body { $($field $(: $value)?,)+ revision, previous_revision }.serialize(serializer)
            };
        }
        let shown = |list| Messages { list, viewer, content_max };
        match self.event {
            Event::PeerMessageReceived { messages, from, offline } => body!(Received {
                message_list: shown(messages),
                from_conversation_id: from.as_str(),
                info: Info { is_offline_message: *offline },
            }),
            Event::ConversationChanged(changes) => body!(ConversationsChanged {
                info_list: Changes { list: changes, viewer, content_max },
            }),
            Event::TotalChanged(totals) => body!(Total {
                total_unread_message_count: totals.unmuted,
                total_unread_message_count_including_muted: totals.all,
            }),
            Event::AllMessagesDeleted => body!(Deleted {
                conversation_id: "",
                conversation_type: PEER,
                message_delete_type: DeleteType::AllConversations as u8,
                is_delete_conversation_all_message: true,
                message_list: shown(&[]),
            }),
            Event::MessageDeleted { other, delete_type, messages } => body!(Deleted {
                conversation_id: other.as_str(),
                conversation_type: PEER,
                message_delete_type: *delete_type as u8,
                is_delete_conversation_all_message: *delete_type != DeleteType::Messages,
                message_list: shown(messages),
            }),
            Event::ConversationsAllDeleted { count } => body!(AllDeleted { count: *count }),
            Event::MessagesRevoked(messages)
            | Event::MessagesEdited(messages)
            | Event::RepliedInfoChanged(messages) => {
                body!(Amended { message_list: shown(messages) })
            }
            Event::ReceiptsChanged(messages) => {
                let receipts = receipts_of(messages, viewer);
                let infos: Vec<_> = receipts.iter().map(ReceiptBody::of).collect();
                body!(ReceiptsChanged { infos: &infos })
            }
            Event::MessagesDelivered(receipts) => {
                let infos: Vec<_> = receipts.iter().map(ReceiptBody::of).collect();
                body!(ReceiptsChanged { infos: &infos })
            }
            Event::ConversationReceiptChanged(receipt) => {
                body!(ReceiptsChanged { infos: &[ReceiptBody::of(receipt)] })
            }
            Event::ReactionsChanged { message, change } => body!(ReactionsChanged {
                reactions: Changed { message, change, viewer },
                change_info_list: [ChangedMessage {
                    message: MessageBody { message, viewer, content_max },
                    user_change_info_list: UserChanges { message, change },
                }],
            }),
            Event::PinsChanged(infos) => {
                body!(PinsChanged { infos: PinInfos { infos, viewer, content_max } })
            }
            Event::BlacklistChanged { action, users } => {
                body!(Blacklist { user_list: UserInfos(users), action: *action as u8 })
            }
            Event::UserInfoUpdated(user) => body!(InfoUpdated { info: FullUserInfoBody(user) }),
            Event::UserRuleUpdated(privacy) => {
                body!(RuleUpdated { user_rule: UserRule::of(*privacy) })
            }
            Event::UserStatusUpdated(statuses) => body!(StatusUpdated {
                user_status_list: statuses.iter().map(UserStatusBody::of).collect(),
            }),
            Event::KickedOut { session_id } => body!(Connection {
                state: DISCONNECTED,
                event: KICKED_OUT,
                extended_data: NO_EXTENDED_DATA,
                session_id,
            }),
        }
    }
}

/// The receipts of messages that their receiver has confirmed.
fn receipts_of(messages: &[Arc<Message>], viewer: &UserId) -> Vec<ReceiptInfo> {
    let receipts = messages.iter().map(|message| ReceiptInfo {
        is_self_operated: message.sender != *viewer,
        ..ReceiptInfo::of(message, viewer)
    });
    receipts.collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Received<'a> {
    message_list: Messages<'a>,
    #[serde(rename = "fromConversationID")]
    from_conversation_id: &'a str,
    info: Info,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    is_offline_message: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConversationsChanged<'a> {
    info_list: Changes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the SDK's names")]
struct Total {
    total_unread_message_count: u64,
    total_unread_message_count_including_muted: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted<'a> {
    #[serde(rename = "conversationID")]
    conversation_id: &'a str,
    conversation_type: u8,
    message_delete_type: u8,
    is_delete_conversation_all_message: bool,
    message_list: Messages<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllDeleted {
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Amended<'a> {
    message_list: Messages<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReactionsChanged<'a> {
    reactions: Changed<'a>,
    change_info_list: [ChangedMessage<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptsChanged<'a> {
    infos: &'a [ReceiptBody<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PinsChanged<'a> {
    infos: PinInfos<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

/// How the pins of messages changed.
struct PinInfos<'a> {
    infos: &'a [PinInfo],
    viewer: &'a UserId,
    content_max: Option<usize>,
}

impl Serialize for PinInfos<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            pin_status: u8,
            message: MessageBody<'a>,
        }
        let Self { infos, viewer, content_max } = *self;
        serializer.collect_seq(infos.iter().map(|PinInfo { status, message }| Body {
            pin_status: *status as u8,
            message: MessageBody { message, viewer, content_max },
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangedMessage<'a> {
    message: MessageBody<'a>,
    user_change_info_list: UserChanges<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blacklist<'a> {
    user_list: UserInfos<'a>,
    action: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InfoUpdated<'a> {
    info: FullUserInfoBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleUpdated {
    user_rule: UserRule,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusUpdated<'a> {
    user_status_list: Vec<UserStatusBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection<'a> {
    state: u8,
    event: u8,
    extended_data: &'a str,
    #[serde(rename = "sessionID")]
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<u64>,
}

/// The change of a conversation as a number of the SDK's 3.x: Added 0, Deleted 1, Updated 2.
const fn action(event: ConversationEvent) -> u8 {
    match event {
        ConversationEvent::Added => 0,
        ConversationEvent::Deleted => 1,
        ConversationEvent::Updated | ConversationEvent::Disabled => 2,
    }
}

struct Changes<'a> {
    list: &'a [(ConversationEvent, ConversationView)],
    viewer: &'a UserId,
    content_max: Option<usize>,
}

impl Serialize for Changes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Change<'a> {
            event: u8,
            action: u8,
            conversation: ConversationBody<'a>,
        }
        let Self { viewer, content_max, .. } = *self;
        let mut seq = serializer.serialize_seq(Some(self.list.len()))?;
        for (event, view) in self.list {
            let conversation = ConversationBody { view, viewer, content_max };
            let (event, action) = (*event as u8, action(*event));
            seq.serialize_element(&Change { event, action, conversation })?;
        }
        seq.end()
    }
}
