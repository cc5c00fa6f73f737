//! `set_conversation_notification_status`: mutes a conversation or unmutes it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{Call, Command, Kind, not_own};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::conversation::NotificationStatus;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{PeerType, User};
use peerd_protocol::reply::Changed;

/// Mutes a conversation or unmutes it.
pub struct SetConversationNotificationStatus;

/// The status to set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The conversation with this user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// 1: notify, 2: do not disturb.
    pub status: Status,
}

/// A notification status, by the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub NotificationStatus);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self(NotificationStatus::Notify)),
            2 => Ok(Self(NotificationStatus::DoNotDisturb)),
            _ => Err(de::Error::custom("must be 1 (Notify) or 2 (DoNotDisturb)")),
        }
    }
}

impl JsonSchema for Status {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NotificationStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [1, 2] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl Command for SetConversationNotificationStatus {
    const NAME: &'static str = "set_conversation_notification_status";
    const SUMMARY: &'static str = "Mutes a conversation or unmutes it.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"conversationID":"bob","status":2}"#];
    type Request = Request;
    type Reply = Changed;

    async fn run<S: Store, B: Bus>(
        request: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Changed, CallError> {
        let Request { conversation_id: User(other), status: Status(status), .. } = request;
        not_own(&other, cell)?;
        let entries = &parts.entries;
        entries
            .commit_settings(cell, &other, None, deadline, |user, known, key| {
                user.set_notification(known, status, key)
            })
            .await?;
        Ok(Changed(other))
    }
}
