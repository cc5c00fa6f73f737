//! The sizes of entries in lists, by which pages are cut and events are split.

use serde::Serialize;

use super::encoding::Encoding;
use super::message::{ConversationBody, MessageBody};
use super::size::{AROUND_BYTES, counted};
use peerd_core::conversation::ConversationView;
use peerd_core::id::UserId;
use peerd_core::message::Message;
use peerd_core::receipt::ReceiptInfo;
use peerd_core::user_info::{Profile, UserInfo};
use peerd_core::user_status::UserStatus;

/// The bytes of a listed user around its ID and its profile.
const AROUND_USER_BYTES: usize = 96;
/// The bytes of a status around its ID and its text.
const AROUND_STATUS_BYTES: usize = 384;
/// The bytes of a receipt around the other user's ID.
const AROUND_RECEIPT_BYTES: usize = 288;
/// The most bytes that JSON turns one byte into.
const JSON_ESCAPED: usize = 6;

/// How many entries of these sizes fit: at least one, unless the list is empty.
pub fn how_many(sizes: impl Iterator<Item = usize>, most: usize) -> usize {
    let mut bytes = 0;
    let fit = sizes.enumerate().take_while(|(index, size)| {
        // Includes the comma.
        bytes += size + 1;
        *index == 0 || bytes <= most
    });
    fit.count()
}

/// Measures the entries of lists.
#[derive(Clone, Copy)]
pub struct Sizes<'a> {
    pub(super) encoding: Encoding,
    pub(super) viewer: &'a UserId,
    pub(super) content_max: usize,
}

impl Sizes<'_> {
    fn of(self, body: &impl Serialize) -> usize {
        counted(body, self.encoding)
    }

    /// A message.
    #[must_use]
    pub fn message(self, message: &Message) -> usize {
        let (viewer, content_max) = (self.viewer, Some(self.content_max));
        self.of(&MessageBody { message, viewer, content_max })
    }

    /// The most bytes that the sender of each of `count` messages may have set, so that all of them
    /// fit into `most`.
    #[must_use]
    pub fn content_of_each(self, count: usize, most: usize) -> usize {
        most.checked_div(count).unwrap_or(most).saturating_sub(AROUND_BYTES)
    }

    /// A conversation.
    #[must_use]
    pub fn view(self, view: &ConversationView) -> usize {
        let (viewer, content_max) = (self.viewer, Some(self.content_max));
        self.of(&ConversationBody { view, viewer, content_max })
    }

    /// A user, at most.
    #[must_use]
    pub fn user(user: &UserInfo) -> usize {
        let Profile { name, avatar_url } = &user.profile;
        let texts = name.len() + avatar_url.as_ref().map_or(0, |url| url.len());
        user.id.as_str().len() + texts * JSON_ESCAPED + AROUND_USER_BYTES
    }

    /// A status, at most.
    #[must_use]
    pub fn status(status: &UserStatus) -> usize {
        let text = status.custom.text.len();
        status.id.as_str().len() + text * JSON_ESCAPED + AROUND_STATUS_BYTES
    }

    /// A receipt, at most.
    #[must_use]
    pub fn receipt(receipt: &ReceiptInfo) -> usize {
        receipt.other.as_str().len() + AROUND_RECEIPT_BYTES
    }
}
