//! Decides changes of stored messages. The owner of the log decides, since it knows the message and
//! all earlier changes.

use super::amendment::{Amendment, Change, Removed, Replacement, Stub};
use super::content::Content;
use super::conversation::{Mark, PagePointers};
use super::id::UserId;
use super::later::LaterFields;
use super::limits::{EDIT_WINDOW_MS, Limits};
use super::message::{Message, Revocation};
use super::rejection::Rejection;

/// A change that a user wants to make to a stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Remove its content, for both users.
    Revoke {
        /// Text that accompanies the revocation.
        extended_data: String,
    },
    /// Replace its content.
    Edit {
        /// The new content, of the same type.
        content: Content,
        /// The new text that accompanies the message.
        extended_data: String,
        /// The time of the last edit that the caller knows, in milliseconds since 1970; 0 for none.
        expected_edited_ms: Option<u64>,
    },
}

/// A stored message, with all earlier changes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'m> {
    /// The message.
    pub message: &'m Message,
    /// The sender's mark with this message.
    pub mark: Mark,
    /// Its page.
    pub page: PagePointers,
    /// Its stream sequence.
    pub stream_seq: u64,
    /// When it was stored, by the server's clock, in milliseconds since 1970.
    pub stored_ms: u64,
}

impl Operation {
    /// Whether a blocked user is refused.
    #[must_use]
    pub const fn is_refused_to_blocked(&self) -> bool {
        match self {
            Self::Revoke { .. } => false,
            Self::Edit { .. } => true,
        }
    }

    /// The amendment of a message if `by` applies the operation at `now_ms` (milliseconds since
    /// 1970). `None`: nothing changes. `before` is its earlier amendment.
    pub fn decide(
        &self,
        by: &UserId,
        target: Target<'_>,
        before: Option<&Amendment>,
        now_ms: u64,
        limits: &Limits,
    ) -> Result<Option<Amendment>, Rejection> {
        let Target { message, mark, page, stream_seq, stored_ms } = target;
        if *by != message.sender {
            return Err(Rejection::NotPermitted);
        }
        if message.revoked().is_some() {
            return Err(Rejection::Revoked);
        }
        let age_ms = now_ms.saturating_sub(message.timestamp_ms);
        let before = before.cloned();
        let mut after = before.unwrap_or(Amendment { key: message.key, ..Amendment::default() });
        match self {
            Self::Revoke { extended_data } => {
                if age_ms > limits.revoke_window_ms {
                    return Err(Rejection::TooLateToRevoke);
                }
                let revocation = Revocation {
                    at_ms: now_ms,
                    original_type: message.content.message_type(),
                    original_text: String::new(),
                    extended_data: extended_data.clone(),
                };
                // A later release may have kept some of the content there.
                after.later = LaterFields::default();
                after.change = Change::Removed(Removed {
                    stream_seq,
                    stored_ms,
                    stub: Stub::of(message, mark, page),
                    revocation: Some(Box::new(revocation)),
                });
            }
            Self::Edit { content, extended_data, expected_edited_ms } => {
                if age_ms > EDIT_WINDOW_MS {
                    return Err(Rejection::TooLateToEdit);
                }
                if !is_editable(&message.content)
                    || content.message_type() != message.content.message_type()
                {
                    return Err(Rejection::NotPermitted);
                }
                let edited_ms = message.edited_ms();
                if (&message.content, &message.extended_data) == (content, extended_data) {
                    return Ok(None);
                }
                if expected_edited_ms.is_some_and(|expected_ms| expected_ms != edited_ms) {
                    return Err(Rejection::EditedMeanwhile);
                }
                after.change = Change::Replaced(Replacement {
                    content: content.clone(),
                    extended_data: extended_data.clone(),
                    // Two edits of a message never have the same time, so that the time identifies
                    // an edit.
                    edited_ms: now_ms.max(edited_ms + 1),
                });
            }
        }
        Ok(Some(after))
    }
}

/// Whether messages with such content can be edited.
const fn is_editable(content: &Content) -> bool {
    matches!(content, Content::Text { .. } | Content::Custom { .. } | Content::Multiple { .. })
}
