//! Decides changes of stored messages. The owner of the log decides, since it knows the message and
//! all earlier changes.

use super::amendment::{Amendment, Change, Receipt, Removed, Replacement, Stub};
use super::content::Content;
use super::conversation::{Mark, PagePointers};
use super::event::{Event, Messages};
use super::id::{Direction, UserId};
use super::later::LaterFields;
use super::limits::{EDIT_WINDOW_MS, Limits, REACTION_WINDOW_MS};
use super::message::{Message, ReceiptStatus, Revocation};
use super::reaction::{self, Reaction, ReactionChange};
use super::rejection::Rejection;
use super::reply::RepliesUpTo;

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
    /// Add a reaction of this type.
    React {
        /// The type.
        kind: String,
        /// How often; 0: once, unless the user reacted with this type before.
        increase: u64,
    },
    /// Delete the reactions of the user with this type.
    Unreact {
        /// The type.
        kind: String,
    },
    /// Delete all reactions of the user.
    UnreactAll,
    /// Confirm it as read.
    Read,
    /// Note that a reply of the user may be stored after the user's message with this `messageSeq`.
    NoteReply {
        /// The `messageSeq`.
        after: u64,
        /// Whether the message is the original, which must not be revoked.
        to_original: bool,
        /// If the message is the root of the tree: the replies of the user so far.
        counted: Option<RepliesUpTo>,
    },
}

/// The effect of an operation, of which both users are notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The messages were revoked.
    Revoked,
    /// The messages were edited.
    Edited,
    /// Reactions to the message changed.
    Reactions(ReactionChange),
    /// The messages were confirmed as read.
    Read,
    /// Replies to the message may follow, which is not shown.
    Replied,
}

impl Notice {
    /// The event that shows the messages as they are now. `None`: there is nothing to show, for
    /// example because they were revoked since.
    #[must_use]
    pub fn event(self, mut messages: Messages) -> Option<Event> {
        if self != Self::Revoked {
            messages.retain(|message| message.revoked().is_none());
        }
        let first = messages.first()?.clone();
        Some(match self {
            Self::Revoked => Event::MessagesRevoked(messages),
            Self::Edited => Event::MessagesEdited(messages),
            Self::Read => Event::ReceiptsChanged(messages),
            Self::Replied => return None,
            Self::Reactions(change) => Event::ReactionsChanged { message: first, change },
        })
    }
}

/// A stored message, with all earlier changes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'m> {
    /// The message.
    pub message: &'m Message,
    /// The sender's mark, this message included.
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
            Self::Edit { .. }
            | Self::React { .. }
            | Self::Unreact { .. }
            | Self::UnreactAll
            | Self::Read
            | Self::NoteReply { .. } => true,
        }
    }

    /// Whether only the sender of a message may apply it.
    #[must_use]
    pub const fn is_for_sender(&self) -> bool {
        match self {
            Self::Revoke { .. } | Self::Edit { .. } => true,
            Self::React { .. }
            | Self::Unreact { .. }
            | Self::UnreactAll
            | Self::Read
            | Self::NoteReply { .. } => false,
        }
    }

    /// Whether its event shows the message.
    #[must_use]
    pub const fn shows_message(&self) -> bool {
        match self {
            Self::Revoke { .. }
            | Self::Edit { .. }
            | Self::React { .. }
            | Self::Unreact { .. }
            | Self::UnreactAll => true,
            Self::Read | Self::NoteReply { .. } => false,
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
        let message = target.message;
        if self.is_for_sender() && *by != message.sender {
            return Err(Rejection::NotPermitted);
        }
        if message.revoked().is_some()
            && !matches!(self, Self::NoteReply { to_original: false, .. })
        {
            return Err(Rejection::Revoked);
        }
        let age_ms = now_ms.saturating_sub(message.timestamp_ms);
        let mut after = before.cloned().unwrap_or_else(|| Amendment {
            key: message.key,
            replied: message.replied().cloned().unwrap_or_default(),
            ..Amendment::default()
        });
        match self {
            Self::Revoke { extended_data } => {
                if age_ms > limits.revoke_window_ms {
                    return Err(Rejection::TooLateToRevoke);
                }
                // A later release may have kept some of the content there.
                after.later = LaterFields::default();
                after.reactions = Vec::new();
                after.change = Change::Removed(revoked(target, extended_data, now_ms));
            }
            Self::Edit { content, extended_data, expected_edited_ms } => {
                if age_ms > EDIT_WINDOW_MS {
                    return Err(Rejection::TooLateToEdit);
                }
                let wanted = (content, extended_data);
                let Some(edited) = edited(message, wanted, *expected_edited_ms, now_ms)? else {
                    return Ok(None);
                };
                after.change = Change::Replaced(edited);
            }
            Self::Read => {
                if *by == message.sender {
                    return Err(Rejection::NotPermitted);
                }
                if message.receipt != ReceiptStatus::Processing {
                    return Ok(None);
                }
                after.receipt = Receipt::Changed(ReceiptStatus::Done);
                after.read_ms = now_ms;
            }
            Self::NoteReply { after: newest, counted, .. } => {
                let by_sender = *by == message.sender;
                if !after.replied.insert(by_sender, *newest) {
                    return Ok(None);
                }
                if let Some(counted) = counted {
                    after.replied.count(by_sender, *counted);
                }
            }
            Self::React { .. } | Self::Unreact { .. } | Self::UnreactAll => {
                if age_ms > REACTION_WINDOW_MS {
                    return Err(Rejection::TooLateToReact);
                }
                let direction = message.direction(by);
                // The message has all earlier changes, so it shows the present reactions.
                after.reactions = message.reactions().to_vec();
                if !self.react(&mut after.reactions, direction)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(after))
    }

    /// The effect on a message if `by` applies the operation. `before` is the message before that.
    #[must_use]
    pub fn notice(&self, by: &UserId, before: &Message) -> Notice {
        let (kinds, is_added) = match self {
            Self::Revoke { .. } => return Notice::Revoked,
            Self::Edit { .. } => return Notice::Edited,
            Self::Read => return Notice::Read,
            Self::NoteReply { .. } => return Notice::Replied,
            Self::React { kind, .. } => (vec![kind.clone()], true),
            Self::Unreact { kind } => (vec![kind.clone()], false),
            Self::UnreactAll => {
                (reaction::kinds_of(before.reactions(), before.direction(by)), false)
            }
        };
        Notice::Reactions(ReactionChange { by: by.clone(), kinds, is_added })
    }

    /// Changes the reactions to a message, which has this direction for the user. Returns whether
    /// they change.
    fn react(
        &self,
        reactions: &mut Vec<Reaction>,
        direction: Direction,
    ) -> Result<bool, Rejection> {
        match self {
            Self::React { kind, increase } => {
                reaction::add(reactions, direction, kind, *increase).map(|()| true)
            }
            Self::Unreact { kind } => reaction::delete(reactions, direction, kind).map(|()| true),
            Self::UnreactAll => Ok(reaction::delete_all(reactions, direction)),
            Self::Revoke { .. } | Self::Edit { .. } | Self::Read | Self::NoteReply { .. } => {
                Ok(false)
            }
        }
    }
}

/// Whether messages with such content can be edited.
/// The removal of a message by its revocation.
fn revoked(target: Target<'_>, extended_data: &str, now_ms: u64) -> Removed {
    let Target { message, mark, page, stream_seq, stored_ms } = target;
    let revocation = Revocation {
        at_ms: now_ms,
        original_type: message.content.message_type(),
        original_text: String::new(),
        extended_data: extended_data.to_owned(),
    };
    let stub = Stub::of(message, mark, page);
    Removed { stream_seq, stored_ms, stub, revocation: Some(Box::new(revocation)) }
}

/// The new content of a message; `None` if it has it already.
fn edited(
    message: &Message,
    (content, extended_data): (&Content, &String),
    expected_edited_ms: Option<u64>,
    now_ms: u64,
) -> Result<Option<Replacement>, Rejection> {
    if !is_editable(&message.content) || content.message_type() != message.content.message_type() {
        return Err(Rejection::NotPermitted);
    }
    if (&message.content, &message.extended_data) == (content, extended_data) {
        return Ok(None);
    }
    let edited_ms = message.edited_ms();
    if expected_edited_ms.is_some_and(|expected_ms| expected_ms != edited_ms) {
        return Err(Rejection::EditedMeanwhile);
    }
    Ok(Some(Replacement {
        content: content.clone(),
        extended_data: extended_data.clone(),
        // Two edits of a message never have the same time, so that the time identifies an edit.
        edited_ms: now_ms.max(edited_ms + 1),
    }))
}

const fn is_editable(content: &Content) -> bool {
    matches!(content, Content::Text { .. } | Content::Custom { .. } | Content::Multiple { .. })
}
