//! Clearing unread counts.

use super::conversation::{Conversation, Settings};
use super::id::{OrderKey, UserId};
use super::user::User;

/// The settings after everything in the conversation was read; `None` if nothing is unread.
#[must_use]
pub fn clear_unread(conversation: &Conversation, key: OrderKey) -> Option<Settings> {
    (conversation.unread() > 0).then(|| {
        conversation.changed_settings(key, |settings| {
            settings.kept = true;
            settings.read = settings.received_mark;
            settings.deleted_unread = 0;
        })
    })
}

impl User {
    /// The IDs of the other users in conversations that have unread messages.
    #[must_use]
    pub fn unread_conversations(&self) -> Vec<UserId> {
        let conversations = self.conversations.iter();
        let unread = conversations.filter(|(_, conversation)| conversation.unread() > 0);
        let mut unread: Vec<UserId> = unread.map(|(other, _)| other.clone()).collect();
        unread.sort_unstable();
        unread
    }
}
