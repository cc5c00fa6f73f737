//! Muting a conversation.

use super::conversation::{Conversation, NotificationStatus, Settings};
use super::id::OrderKey;

/// The settings with another notification status; `None` if it is already set.
#[must_use]
pub fn set_notification(
    conversation: &Conversation,
    status: NotificationStatus,
    key: OrderKey,
) -> Option<Settings> {
    (conversation.settings.notification != status).then(|| {
        conversation.changed_settings(key, |settings| {
            settings.kept = true;
            settings.notification = status;
        })
    })
}
