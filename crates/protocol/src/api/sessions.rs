//! Sessions, failed calls and offline pushes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use peerd_core::message::Message;
use peerd_core::send::Push;

/// The reply to a call that failed.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error,
)]
#[error("{message} ({code} {reason})")]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The SDK's code.
    pub code: u32,
    /// The stable word by which programs distinguish errors.
    pub reason: String,
    /// The text for people.
    pub message: String,
    /// The time after which a repeat may succeed, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// A reply without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// The reply to a login: the new session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedIn {
    /// Its ID.
    #[serde(rename = "sessionID")]
    pub session_id: String,
    /// The wall clock, in milliseconds since 1970.
    #[serde(rename = "serverTime")]
    pub server_time_ms: u64,
    /// How often the client should send a heartbeat, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// The total unread count, without muted conversations.
    pub total_unread_message_count: u64,
    /// The revision of the user's conversations.
    pub revision: u64,
}

/// The reply to a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastSeen {
    /// The wall clock, in milliseconds since 1970.
    #[serde(rename = "serverTime")]
    pub server_time_ms: u64,
}

/// A push for an offline user, in a work-queue stream for a push gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfflinePush {
    /// As given by the sender.
    pub title: String,
    /// As given by the sender.
    pub content: String,
    /// As given by the sender.
    pub payload: String,
    /// As given by the sender.
    #[serde(rename = "resourcesID")]
    pub resources_id: String,
    /// As given by the sender.
    #[serde(rename = "threadID")]
    pub thread_id: String,
    /// The receiver's total unread count after the message, without muted conversations.
    pub badge: u64,
    /// The message.
    #[serde(rename = "messageID")]
    pub message_id: String,
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
}

impl OfflinePush {
    /// The push for a stored message. `badge` is the receiver's total unread count.
    #[must_use]
    pub fn new(push: &Push, message: &Message, badge: u64) -> Self {
        Self {
            title: push.title.clone(),
            content: push.content.clone(),
            payload: push.payload.clone(),
            resources_id: push.resources_id.clone(),
            thread_id: push.thread_id.clone(),
            badge,
            message_id: message.id().to_string(),
            from: message.sender.as_str().to_owned(),
            to: message.receiver.as_str().to_owned(),
        }
    }
}
