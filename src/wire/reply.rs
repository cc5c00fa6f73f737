//! The bodies of replies.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::Serializer;

use super::message::{ConversationBody, MessageBody, PEER};
use crate::domain::blocklist::{BlockNumber, BlockRefusal};
use crate::domain::conversation::ConversationView;
use crate::domain::event::Totals;
use crate::domain::id::UserId;
use crate::domain::message::Message;
use crate::domain::user::UserInfo;

/// What a call that succeeded is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `{}`.
    Empty,
    /// A session began.
    LoggedIn {
        /// Its ID.
        session_id: String,
        /// The wall clock, in milliseconds since 1970.
        server_time_ms: u64,
        /// How often the caller should call.
        heartbeat_interval_ms: u64,
        /// Unread messages.
        totals: Totals,
        /// Where the user's conversations stand.
        revision: u64,
    },
    /// peerd heard the user.
    Heard {
        /// The wall clock, in milliseconds since 1970.
        server_time_ms: u64,
    },
    /// A message was stored, or delivered where it is not stored.
    Sent {
        /// The message.
        message: Arc<Message>,
        /// Whether it had been before.
        is_duplicate: bool,
    },
    /// A page of a conversation.
    History {
        /// The other user.
        other: UserId,
        /// The page, oldest first.
        messages: Vec<Arc<Message>>,
        /// Whether the next page lies before this one.
        backwards: bool,
    },
    /// A page of the conversation list.
    List(Vec<ConversationView>),
    /// One conversation.
    Conversation(Box<ConversationView>),
    /// The conversation with this user was changed, or had not to be.
    Changed(UserId),
    /// Users were blocked or unblocked, but for these.
    BlacklistChanged {
        /// Each with the reason.
        refused: Vec<(UserId, BlockRefusal)>,
    },
    /// A page of the block list.
    Blacklist {
        /// The users, in the order in which they were blocked, each with the number of the block:
        /// the next page begins behind the last one's.
        users: Vec<(UserInfo, BlockNumber)>,
        /// Whether more follow.
        has_more: bool,
    },
    /// Whether a user is blocked.
    IsBlocked(bool),
    /// The total unread count.
    Totals {
        /// It.
        totals: Totals,
        /// Where the user's conversations stand.
        revision: u64,
    },
}

impl Reply {
    /// Whether the call changed nothing.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        match self {
            Self::Heard { .. }
            | Self::History { .. }
            | Self::List(_)
            | Self::Conversation(_)
            | Self::Blacklist { .. }
            | Self::IsBlocked(_)
            | Self::Totals { .. } => true,
            Self::Empty
            | Self::LoggedIn { .. }
            | Self::Sent { .. }
            | Self::Changed(_)
            | Self::BlacklistChanged { .. } => false,
        }
    }
}

/// A reply as its user, `viewer`, sees it.
pub struct ReplyBody<'a> {
    /// The reply.
    pub reply: &'a Reply,
    /// Who called.
    pub viewer: &'a UserId,
    /// A message whose sender set more bytes of it is shown without its content.
    pub content_max: Option<usize>,
}

impl Serialize for ReplyBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { viewer, content_max, .. } = *self;
        match self.reply {
            Reply::Empty => Empty {}.serialize(serializer),
            Reply::LoggedIn {
                session_id,
                server_time_ms,
                heartbeat_interval_ms,
                totals,
                revision,
            } => LoggedIn {
                session_id,
                server_time: *server_time_ms,
                heartbeat_interval_ms: *heartbeat_interval_ms,
                total_unread_message_count: totals.unmuted,
                revision: *revision,
            }
            .serialize(serializer),
            Reply::Heard { server_time_ms } => {
                Heard { server_time: *server_time_ms }.serialize(serializer)
            }
            Reply::Sent { message, is_duplicate: _ } => {
                Sent { message: MessageBody { message, viewer, content_max } }.serialize(serializer)
            }
            Reply::History { other, messages, backwards: _ } => History {
                conversation_id: other.as_str(),
                conversation_type: PEER,
                message_list: Messages { list: messages, viewer, content_max },
            }
            .serialize(serializer),
            Reply::List(views) => {
                List { conversation_list: Views { list: views, viewer, content_max } }
                    .serialize(serializer)
            }
            Reply::Conversation(view) => {
                One { conversation: ConversationBody { view, viewer, content_max } }
                    .serialize(serializer)
            }
            Reply::Changed(other) => {
                Changed { conversation_id: other.as_str(), conversation_type: PEER }
                    .serialize(serializer)
            }
            Reply::BlacklistChanged { refused } => {
                BlacklistChanged { error_user_list: ErrorInfos(refused) }.serialize(serializer)
            }
            Reply::Blacklist { users, has_more } => {
                let next = users.last().filter(|_| *has_more);
                let blacklist = users.iter().map(|(user, _)| UserInfoBody(user)).collect();
                Blacklist { blacklist, next_flag: next.map_or(0, |(_, number)| number.0) }
                    .serialize(serializer)
            }
            Reply::IsBlocked(is_blocked) => {
                InBlacklist { is_user_in_blacklist: *is_blocked }.serialize(serializer)
            }
            Reply::Totals { totals, revision } => TotalsBody {
                unread_message_count: totals.unmuted,
                unread_message_count_including_muted: totals.all,
                revision: *revision,
            }
            .serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedIn<'a> {
    #[serde(rename = "sessionID")]
    session_id: &'a str,
    server_time: u64,
    heartbeat_interval_ms: u64,
    total_unread_message_count: u64,
    revision: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Heard {
    server_time: u64,
}

#[derive(Serialize)]
struct Sent<'a> {
    message: MessageBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct History<'a> {
    #[serde(rename = "conversationID")]
    conversation_id: &'a str,
    conversation_type: u8,
    message_list: Messages<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    conversation_list: Views<'a>,
}

#[derive(Serialize)]
struct One<'a> {
    conversation: ConversationBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed<'a> {
    #[serde(rename = "conversationID")]
    conversation_id: &'a str,
    conversation_type: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TotalsBody {
    unread_message_count: u64,
    unread_message_count_including_muted: u64,
    revision: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlacklistChanged<'a> {
    error_user_list: ErrorInfos<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blacklist<'a> {
    blacklist: Vec<UserInfoBody<'a>>,
    next_flag: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InBlacklist {
    is_user_in_blacklist: bool,
}

/// A user as others are shown. Avatars and extended data are not there yet.
pub(super) struct UserInfoBody<'a>(&'a UserInfo);

impl Serialize for UserInfoBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Info<'a> {
            #[serde(rename = "userID")]
            id: &'a str,
            user_name: &'a str,
            user_avatar_url: &'a str,
            user_extended_data: &'a str,
        }
        let UserInfo { id, name } = self.0;
        Info { id: id.as_str(), user_name: name, user_avatar_url: "", user_extended_data: "" }
            .serialize(serializer)
    }
}

/// A list of users.
pub(super) struct UserInfos<'a>(pub(super) &'a [UserInfo]);

impl Serialize for UserInfos<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(UserInfoBody))
    }
}

/// A list of users with what was wrong with each.
struct ErrorInfos<'a>(&'a [(UserId, BlockRefusal)]);

impl Serialize for ErrorInfos<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct ErrorInfo<'a> {
            #[serde(rename = "userID")]
            id: &'a str,
            reason: u32,
        }
        serializer.collect_seq(
            self.0.iter().map(|(user, why)| ErrorInfo { id: user.as_str(), reason: *why as u32 }),
        )
    }
}

/// A list of messages as `viewer` sees them.
pub(super) struct Messages<'a> {
    pub(super) list: &'a [Arc<Message>],
    pub(super) viewer: &'a UserId,
    pub(super) content_max: Option<usize>,
}

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { list, viewer, content_max } = *self;
        serializer.collect_seq(list.iter().map(|message| MessageBody {
            message,
            viewer,
            content_max,
        }))
    }
}

struct Views<'a> {
    list: &'a [ConversationView],
    viewer: &'a UserId,
    content_max: Option<usize>,
}

impl Serialize for Views<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { list, viewer, content_max } = *self;
        serializer.collect_seq(list.iter().map(|view| ConversationBody {
            view,
            viewer,
            content_max,
        }))
    }
}
