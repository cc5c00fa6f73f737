//! Expected refusals: calls that peerd declines.

use std::fmt;

use super::limits::{MUTED_MAX, PINNED_MAX, PINNED_MESSAGES_MAX, RECEIPTS_BATCH_MAX};

/// A refusal that the caller can expect and understand. Each has one of ZIM's codes. Failures of
/// the environment, like a store that does not answer, are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A bad body, user ID, type or size. Gives the field and the problem, never the field's
    /// content.
    InvalidParameter {
        /// The field's path from the root of the body, like `message.type`.
        field: String,
        /// The problem, phrased to follow the field's name.
        problem: String,
    },
    /// The method does not exist.
    UnknownMethod {
        /// The method as called; empty if it cannot be shown.
        name: String,
        /// The method that the caller may have meant.
        meant: Option<&'static str>,
    },
    /// The method belongs to the SDK, but peerd does not offer it.
    UnsupportedMethod,
    /// The local message ID was used for other content.
    LocalMessageIdReused,
    /// The sender exceeds the rate limit.
    RateLimited {
        /// The time until the next message would be accepted.
        retry_after_ms: u64,
    },
    /// The caller has no session.
    NotLoggedIn,
    /// The receiver is unknown, and the configuration requires known receivers.
    TargetNotFound,
    /// The receiver blocked the sender.
    BlockedByReceiver,
    /// The conversation does not exist.
    ConversationNotFound,
    /// The caller has pinned the maximum number of conversations.
    PinnedListFull,
    /// The caller has muted the maximum number of conversations.
    MutedListFull,
    /// The message was not edited: another edit came first.
    EditedMeanwhile,
    /// The message is too old to be revoked.
    TooLateToRevoke,
    /// The message was revoked.
    Revoked,
    /// The message is not the caller's to change, or its type cannot be changed.
    NotPermitted,
    /// The message is not pinned.
    NotPinned,
    /// The message is too old to be edited.
    TooLateToEdit,
    /// The conversation has the maximum number of pinned messages.
    TooManyPinnedMessages,
    /// The call confirms more messages than one call may.
    TooManyReceipts,
    /// The message is too old to be reacted to.
    TooLateToReact,
    /// The caller has reacted with this type already, or has no reaction with it to delete.
    ReactionUnchanged,
}

impl Rejection {
    /// A bad parameter: the field, and the problem with it.
    #[must_use]
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidParameter { field: field.into(), problem: problem.into() }
    }

    /// ZIM's code for the reply.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::InvalidParameter { .. }
            | Self::UnknownMethod { .. }
            | Self::LocalMessageIdReused => 6_000_001,
            Self::RateLimited { .. } => 6_000_005,
            Self::UnsupportedMethod => 6_000_013,
            Self::NotLoggedIn => 6_000_121,
            Self::TargetNotFound => 6_000_204,
            Self::EditedMeanwhile => 6_000_205,
            Self::NotPinned => 6_000_208,
            Self::TooLateToRevoke => 6_000_278,
            Self::Revoked => 6_000_279,
            Self::TooManyReceipts => 6_000_282,
            Self::BlockedByReceiver => 6_000_284,
            Self::NotPermitted | Self::TooLateToReact => 6_000_285,
            Self::TooLateToEdit => 6_000_286,
            Self::TooManyPinnedMessages => 6_000_287,
            Self::ReactionUnchanged => 6_000_280,
            Self::ConversationNotFound => 6_000_603,
            Self::PinnedListFull => 6_000_604,
            Self::MutedListFull => 6_000_601,
        }
    }

    /// A stable word by which programs distinguish rejections.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InvalidParameter { .. } => "invalid_parameter",
            Self::UnknownMethod { .. } => "unknown_method",
            Self::UnsupportedMethod => "unsupported_method",
            Self::LocalMessageIdReused => "local_message_id_reused",
            Self::RateLimited { .. } => "rate_limited",
            Self::NotLoggedIn => "not_logged_in",
            Self::TargetNotFound => "target_not_found",
            Self::BlockedByReceiver => "blocked_by_receiver",
            Self::ConversationNotFound => "conversation_not_found",
            Self::PinnedListFull => "pinned_list_full",
            Self::MutedListFull => "muted_list_full",
            Self::EditedMeanwhile => "edited_meanwhile",
            Self::TooLateToRevoke => "too_late_to_revoke",
            Self::Revoked => "message_revoked",
            Self::NotPermitted => "not_permitted",
            Self::NotPinned => "not_pinned",
            Self::TooLateToEdit => "too_late_to_edit",
            Self::TooManyPinnedMessages => "too_many_pinned_messages",
            Self::TooManyReceipts => "too_many_receipts",
            Self::TooLateToReact => "too_late_to_react",
            Self::ReactionUnchanged => "reaction_unchanged",
        }
    }

    /// The time after which a retry may succeed, if it is known.
    #[must_use]
    pub const fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_ms } => Some(*retry_after_ms),
            Self::InvalidParameter { .. }
            | Self::UnknownMethod { .. }
            | Self::UnsupportedMethod
            | Self::LocalMessageIdReused
            | Self::NotLoggedIn
            | Self::TargetNotFound
            | Self::BlockedByReceiver
            | Self::ConversationNotFound
            | Self::PinnedListFull
            | Self::MutedListFull
            | Self::EditedMeanwhile
            | Self::TooLateToRevoke
            | Self::Revoked
            | Self::NotPermitted
            | Self::NotPinned
            | Self::TooLateToEdit
            | Self::TooLateToReact
            | Self::TooManyPinnedMessages
            | Self::TooManyReceipts
            | Self::ReactionUnchanged => None,
        }
    }
}

/// The text for the caller.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidParameter { field, problem } => write!(f, "{field} {problem}"),
            Self::UnsupportedMethod => {
                f.write_str("the SDK has this method, peerd does not offer it")
            }
            Self::UnknownMethod { name, meant } => {
                f.write_str("there is no such method")?;
                if !name.is_empty() {
                    write!(f, " as {name}")?;
                }
                match meant {
                    Some(meant) => write!(f, "; it is written {meant}"),
                    None if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                        f.write_str("; methods are written in snake_case")
                    }
                    None => Ok(()),
                }
            }
            Self::LocalMessageIdReused => {
                f.write_str("message.localMessageID was used for another content")
            }
            Self::RateLimited { retry_after_ms } => {
                write!(f, "too many messages in a second, try again in {retry_after_ms} ms")
            }
            Self::NotLoggedIn => f.write_str("the user is not logged in"),
            Self::TargetNotFound => f.write_str("the receiver does not exist"),
            Self::BlockedByReceiver => f.write_str("the receiver has blocked the sender"),
            Self::ConversationNotFound => f.write_str("the conversation does not exist"),
            Self::PinnedListFull => {
                write!(f, "{PINNED_MAX} conversations are pinned, which is the maximum")
            }
            Self::MutedListFull => {
                write!(f, "{MUTED_MAX} conversations are muted, which is the maximum")
            }
            Self::EditedMeanwhile => {
                f.write_str("the message was edited at another time than expected")
            }
            Self::TooLateToRevoke => f.write_str("the message is too old to be revoked"),
            Self::Revoked => f.write_str("the message was revoked"),
            Self::NotPermitted => {
                f.write_str("the message is not the caller's, or its type cannot be changed")
            }
            Self::NotPinned => f.write_str("the message is not pinned"),
            Self::TooLateToEdit => f.write_str("the message is too old to be edited"),
            Self::TooManyPinnedMessages => {
                write!(f, "{PINNED_MESSAGES_MAX} messages are pinned, which is the maximum")
            }
            Self::TooManyReceipts => {
                write!(f, "a call confirms at most {RECEIPTS_BATCH_MAX} messages as read")
            }
            Self::TooLateToReact => f.write_str("the message is too old to be reacted to"),
            Self::ReactionUnchanged => {
                f.write_str("the user has reacted with this type already, or has not")
            }
        }
    }
}

impl std::error::Error for Rejection {}
