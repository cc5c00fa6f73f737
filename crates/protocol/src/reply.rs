//! The bodies of replies: the trait, and the replies that show messages, conversations or users.
//! Other replies are in the files of their commands.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::Serializer;

use super::api::{
    ConfirmedMessages, ConversationId, Empty, ErrorUsers, FailedConversations, IsBlocked, LastSeen,
    LoggedIn, Privacy, TotalUnread, UpdatedAvatarUrl, UpdatedCustomStatus, UpdatedExtendedData,
    UpdatedName,
};
use super::entry_size::{Sizes, how_many};
use super::message::{ConversationBody, MessageBody};
use super::object::PEER;
use super::user_info::UserInfoBody;
use peerd_core::blocklist::BlockNumber;
use peerd_core::conversation::ConversationView;
use peerd_core::id::UserId;
use peerd_core::message::Message;
use peerd_core::user_info::UserInfo;

/// The viewer of a body, and how much content it shows.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The caller.
    pub viewer: &'a UserId,
    /// A message whose sender set more bytes of it is shown without its content.
    pub content_max: Option<usize>,
}

/// The reply to a call that succeeded.
pub trait Reply {
    /// The body.
    fn body<'a>(&'a self, shown: Shown<'a>) -> impl Serialize + 'a;

    /// Shortens a page whose body does not fit to `most` bytes of entries. It is cut at its far
    /// end, so that the caller can continue from its last entry.
    fn cut(&mut self, _sizes: Sizes<'_>, _most: usize) {}

    /// Whether the call was a repeat, for which nothing was done again.
    fn is_duplicate(&self) -> bool {
        false
    }
}

/// Replies that are their own bodies.
macro_rules! plain {
    ($($reply:ident,)+) => {
        $(impl Reply for $reply {
            fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
                self
            }
        })+
    };
}

plain! {
    ConfirmedMessages,
    Empty,
    ErrorUsers,
    FailedConversations,
    IsBlocked,
    LastSeen,
    LoggedIn,
    Privacy,
    TotalUnread,
    UpdatedAvatarUrl,
    UpdatedCustomStatus,
    UpdatedExtendedData,
    UpdatedName,
}

/// The conversation with this user was changed, or already was as requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed(pub UserId);

impl Reply for Changed {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        ConversationId::of(&self.0)
    }
}

/// A message: one that was stored, delivered, changed or read by the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The message.
    pub message: Arc<Message>,
    /// Whether it was stored by an earlier call.
    pub is_duplicate: bool,
}

impl Reply for Sent {
    fn body<'a>(&'a self, Shown { viewer, content_max }: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Body<'a> {
            message: MessageBody<'a>,
        }
        Body { message: MessageBody { message: &self.message, viewer, content_max } }
    }

    fn is_duplicate(&self) -> bool {
        self.is_duplicate
    }
}

/// A page of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The other user.
    pub other: UserId,
    /// The page, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// Whether the next page lies before this one.
    pub backwards: bool,
}

impl Reply for History {
    fn body<'a>(&'a self, Shown { viewer, content_max }: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            #[serde(rename = "conversationID")]
            conversation_id: &'a str,
            conversation_type: u8,
            message_list: Messages<'a>,
        }
        Body {
            conversation_id: self.other.as_str(),
            conversation_type: PEER,
            message_list: Messages { list: &self.messages, viewer, content_max },
        }
    }

    fn cut(&mut self, sizes: Sizes<'_>, most: usize) {
        let each = self.messages.iter().map(|message| sizes.message(message));
        if self.backwards {
            let kept = how_many(each.rev(), most);
            self.messages.drain(..self.messages.len() - kept);
        } else {
            let kept = how_many(each, most);
            self.messages.truncate(kept);
        }
    }
}

/// A page of the conversation list.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversations(pub Vec<ConversationView>);

impl Conversations {
    /// The list, as bodies show it.
    #[must_use]
    pub fn list<'a>(&'a self, shown: Shown<'a>) -> impl Serialize + 'a {
        Views { list: &self.0, shown }
    }
}

impl Reply for Conversations {
    fn body<'a>(&'a self, shown: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            conversation_list: Views<'a>,
        }
        Body { conversation_list: Views { list: &self.0, shown } }
    }

    fn cut(&mut self, sizes: Sizes<'_>, most: usize) {
        let kept = how_many(self.0.iter().map(|view| sizes.view(view)), most);
        self.0.truncate(kept);
    }
}

/// One conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct OneConversation(pub ConversationView);

impl Reply for OneConversation {
    fn body<'a>(&'a self, Shown { viewer, content_max }: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Body<'a> {
            conversation: ConversationBody<'a>,
        }
        Body { conversation: ConversationBody { view: &self.0, viewer, content_max } }
    }
}

/// A page of the block list.
#[derive(Clone, Debug, PartialEq)]
pub struct Blacklist {
    /// The users in the order in which they were blocked, each with the number of the block. The
    /// next page begins after the last number.
    pub users: Vec<(UserInfo, BlockNumber)>,
    /// Whether more follow.
    pub has_more: bool,
}

impl Reply for Blacklist {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            blacklist: Vec<UserInfoBody<'a>>,
            next_flag: u64,
        }
        let next = self.users.last().filter(|_| self.has_more);
        Body {
            blacklist: self.users.iter().map(|(user, _)| UserInfoBody::of(user)).collect(),
            next_flag: next.map_or(0, |(_, number)| number.0),
        }
    }

    fn cut(&mut self, _: Sizes<'_>, most: usize) {
        let kept = how_many(self.users.iter().map(|(user, _)| Sizes::user(user)), most);
        self.has_more |= kept < self.users.len();
        self.users.truncate(kept);
    }
}

/// A list of users.
pub(super) struct UserInfos<'a>(pub(super) &'a [UserInfo]);

impl Serialize for UserInfos<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(UserInfoBody::of))
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
    shown: Shown<'a>,
}

impl Serialize for Views<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { list, shown: Shown { viewer, content_max } } = *self;
        serializer.collect_seq(list.iter().map(|view| ConversationBody {
            view,
            viewer,
            content_max,
        }))
    }
}
