//! The offline push that a push gateway takes from the work queue.

use serde::Serialize;

use peerd_core::message::Message;
use peerd_core::send::Push;

/// A push for an offline user.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushBody<'a> {
    title: &'a str,
    content: &'a str,
    payload: &'a str,
    #[serde(rename = "resourcesID")]
    resources_id: &'a str,
    #[serde(rename = "threadID")]
    thread_id: &'a str,
    badge: u64,
    #[serde(rename = "messageID")]
    message_id: String,
    from: &'a str,
    to: &'a str,
}

impl<'a> PushBody<'a> {
    /// The push for a stored message. `badge` is the receiver's total unread count.
    #[must_use]
    pub fn new(push: &'a Push, message: &'a Message, badge: u64) -> Self {
        Self {
            title: &push.title,
            content: &push.content,
            payload: &push.payload,
            resources_id: &push.resources_id,
            thread_id: &push.thread_id,
            badge,
            message_id: message.id().to_string(),
            from: message.sender.as_str(),
            to: message.receiver.as_str(),
        }
    }
}
