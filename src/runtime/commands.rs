//! The methods of the API: one file each, with the request, the decision, the reply and the tests.
//! Each method implements [`Command`]; the list below names them all.
//!
//! Requests are decoded by their derives ([`peerd_protocol::decode`]); the types of their fields
//! carry the bounds ([`peerd_protocol::field`]). Changes of the user's own entries go through
//! `runtime::commit`.

use std::sync::Arc;

use bytes::Bytes;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::parts::Parts;
use super::replay::ReplayFrom;
use super::replies::Answer;
use super::users::UserCell;
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::id::UserId;
use peerd_core::rejection::Rejection;
use peerd_core::send;

use peerd_core::limits::NUMBER_MAX;
use peerd_protocol::decode;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::fit::{self, Unfit};
use peerd_protocol::plain;
use peerd_protocol::reply::Reply;
use peerd_protocol::size::Room;

pub mod add_message_reaction;
pub mod add_users_to_blacklist;
pub mod check_user_is_in_blacklist;
pub mod clear_conversation_total_unread_message_count;
pub mod clear_conversation_unread_message_count;
pub mod delete_all_conversation_messages;
pub mod delete_all_conversations;
pub mod delete_all_message;
pub mod delete_conversation;
pub mod delete_message_all_reactions;
pub mod delete_message_reaction;
pub mod delete_messages;
pub mod edit_message;
pub mod heartbeat;
pub mod login;
pub mod logout;
pub mod pin_message;
pub mod query_blacklist;
pub mod query_changes;
pub mod query_combine_message_detail;
pub mod query_conversation;
pub mod query_conversation_list;
pub mod query_conversation_pinned_list;
pub mod query_conversation_total_unread_message_count;
pub mod query_history_message;
pub mod query_message_reaction_user_list;
pub mod query_message_receipts_info;
pub mod query_message_replied_list;
pub mod query_messages;
pub mod query_pinned_message_list;
pub mod query_self_user_info;
pub mod query_subscribed_user_status_list;
pub mod query_users_info;
pub mod query_users_status;
pub mod remove_users_from_blacklist;
pub mod reply_message;
pub mod revoke_message;
pub mod send_conversation_message_receipt_read;
pub mod send_message;
pub mod send_message_receipts_read;
pub mod send_peer_message;
pub mod send_typing;
pub mod set_conversation_draft;
pub mod set_conversation_mark;
pub mod set_conversation_notification_status;
pub mod set_conversation_unread;
pub mod subscribe_users_status;
pub mod unsubscribe_users_status;
pub mod update_conversation_pinned_state;
pub mod update_user_avatar_url;
pub mod update_user_custom_status;
pub mod update_user_extended_data;
pub mod update_user_name;
pub mod update_user_privacy;

mod amending;
mod blacklist;
mod called;
pub(super) mod counters;
mod peer;
mod profile;
mod reacting;
mod unsupported;

pub use self::called::Called;
use self::peer::perform_at_peer;
pub(super) use self::peer::serve_peer_part;
pub use self::peer::{Peer, WithPeer};

/// The kind of a command. It says whether the caller needs a session, and how a call is answered
/// if the instance lost its lease while the command ran: the next owner may have decided otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing. After a lost lease the caller is asked to repeat the call.
    Read,
    /// Writes entries of the user's own. After a lost lease the outcome is unknown: the entries are
    /// stored, but the next owner may have read them before.
    Change,
    /// Stores or publishes something for another user, which no later owner takes back: the reply
    /// stands after a lost lease.
    Live,
    /// Begins a session, and is the only kind that needs none. Otherwise the same as a change.
    Session,
}

/// A method of the API.
pub trait Command {
    /// The name in the subject: the SDK's, in `snake_case`.
    const NAME: &'static str;
    /// One sentence for the help of the command line.
    const SUMMARY: &'static str;
    /// See [`Kind`].
    const KIND: Kind;
    /// Whether the command itself checks the caller's session and records the call: a send does so
    /// while it has the sender's state locked for its other decisions.
    const CHECKS_SESSION: bool = false;
    /// JSON bodies that together use every field: inputs for tests and seeds for the fuzzers.
    const EXAMPLES: &'static [&'static str];
    /// The body of a call.
    type Request: DeserializeOwned + JsonSchema + Send;
    /// The body of the reply to a call that succeeded.
    type Reply: Reply + Send;

    /// Performs a call.
    fn run<S: Store, B: Bus>(
        request: Self::Request,
        call: Call<'_, S, B>,
    ) -> impl Future<Output = Result<Self::Reply, CallError>> + Send;
}

/// The context in which a command runs.
pub struct Call<'c, S, B> {
    pub(super) parts: &'c Parts<S, B>,
    /// The caller, who has a session unless the command needs none.
    pub(super) cell: &'c Arc<UserCell>,
    /// The encoding of the request.
    pub(super) encoding: Encoding,
    pub(super) deadline: Instant,
    /// Set by a login: the position from which messages are replayed after the reply.
    pub(super) replay_from: &'c mut Option<ReplayFrom>,
}

async fn perform<C: Command, S: Store, B: Bus>(
    request: C::Request,
    call: Call<'_, S, B>,
) -> Result<Answer, CallError> {
    let (env, viewer, encoding) = (&call.parts.env, &call.cell.id, call.encoding);
    let reply = C::run(request, call).await?;
    encode_reply(reply, encoding, viewer, env.room())
}

/// Refuses a message, named in this field, that the caller does not see in the conversation.
pub(super) fn not_in_conversation(field: &'static str) -> Rejection {
    Rejection::invalid(field, "names a message that is not in the conversation")
}

/// Refuses a conversation of the caller with the caller.
fn not_own(other: &UserId, cell: &UserCell) -> Result<(), Rejection> {
    if *other == cell.id {
        return Err(Rejection::invalid("conversationID", "must not be the caller's own"));
    }
    Ok(())
}

/// Encodes a reply.
pub(super) fn encode_reply(
    reply: impl Reply,
    encoding: Encoding,
    viewer: &UserId,
    room: Room,
) -> Result<Answer, CallError> {
    let is_duplicate = reply.is_duplicate();
    match fit::reply(reply, encoding, viewer, room) {
        Ok(body) => Ok(Answer { body, is_duplicate }),
        Err(Unfit::TooLarge) => Err(Failure::TooLarge.into()),
        Err(Unfit::Encode(error)) => {
            tracing::error!(%error, "a reply could not be written");
            Err(Failure::Internal.into())
        }
    }
}

fn schema_of<C: Command>() -> Schema {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<C::Request>();
    schema.insert("title".to_owned(), C::NAME.into());
    RecursiveTransform(bounded).transform(&mut schema);
    schema
}

/// No number of the protocol is larger than what every JSON reader holds exactly.
pub(crate) fn bounded(schema: &mut Schema) {
    if schema.get("format").is_some_and(|format| format == "uint64") {
        schema.insert("maximum".to_owned(), NUMBER_MAX.into());
    }
}

/// Awaits the future of a command. It is boxed, because a call's state is as large as the largest
/// future inside it; a send stays unboxed.
macro_rules! performed {
    ([in_place] $performed:expr) => {
        $performed.await
    };
    ([$($other:ident)?] $performed:expr) => {
        Box::pin($performed).await
    };
}

/// The part of a command at the other user's owner. Only commands that are marked have one.
macro_rules! performed_at_peer {
    ([with_peer] $command:ty, $part:expr, $peer:expr) => {
        Box::pin(perform_at_peer::<$command, S, B>($part, $peer)).await
    };
    ([with_peer_in_memory] $command:ty, $part:expr, $peer:expr) => {
        Box::pin(perform_at_peer::<$command, S, B>($part, $peer)).await
    };
    ([$($other:ident)?] $command:ty, $part:expr, $peer:expr) => {{
        let (_, _) = ($part, $peer);
        Err(Failure::Internal.into())
    }};
}

/// Whether the part of a command is left out unless the other user is in memory.
macro_rules! only_in_memory {
    ([with_peer_in_memory]) => {
        true
    };
    ([$($other:ident)?]) => {
        false
    };
}

macro_rules! commands {
    ($($module:ident::$command:ident $($mark:ident)?,)+) => {
        /// A method of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $command,)+
        }

        impl Method {
            /// All methods.
            pub const ALL: &'static [Self] = &[$(Self::$command,)+];

            /// The method of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                $(if name == $module::$command::NAME {
                    return Some(Self::$command);
                })+
                None
            }

            /// The name in the subject: the SDK's, in `snake_case`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$command => $module::$command::NAME,)+ }
            }

            /// One sentence for the help of the command line.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$command => $module::$command::SUMMARY,)+ }
            }

            /// See [`Kind`].
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$command => $module::$command::KIND,)+ }
            }

            /// See [`Command::CHECKS_SESSION`].
            #[must_use]
            pub const fn checks_session(self) -> bool {
                match self { $(Self::$command => $module::$command::CHECKS_SESSION,)+ }
            }

            /// Whether the part of another user is left out unless that user is in memory.
            pub(super) const fn needs_peer_in_memory(self) -> bool {
                match self { $(Self::$command => only_in_memory!([$($mark)?]),)+ }
            }

            /// JSON bodies that together use every field.
            #[must_use]
            pub const fn examples(self) -> &'static [&'static str] {
                match self { $(Self::$command => $module::$command::EXAMPLES,)+ }
            }

            /// The JSON Schema of its requests.
            #[must_use]
            pub fn request_schema(self) -> Schema {
                match self { $(Self::$command => schema_of::<$module::$command>(),)+ }
            }

            /// Decodes a request and performs the call.
            pub(super) async fn perform<S: Store, B: Bus>(
                self,
                body: &[u8],
                call: Call<'_, S, B>,
            ) -> Result<Answer, CallError> {
                let user_id_bytes = call.parts.env.limits().user_id_bytes;
                match self {
                    $(Self::$command => {
                        let request = decode::request(call.encoding, body, user_id_bytes);
                        let request = match request {
                            Ok(request) => request,
                            Err(rejection) => return self.refuse(&call, rejection),
                        };
                        performed!([$($mark)?] perform::<$module::$command, S, B>(request, call))
                    })+
                }
            }
        }

        impl Method {
            /// Performs the part of a call that belongs to another user, at that user's owner.
            pub(super) async fn perform_at_peer<S: Store, B: Bus>(
                self,
                part: &[u8],
                peer: Peer<'_, S, B>,
            ) -> Result<Bytes, CallError> {
                match self {
                    $(Self::$command => {
                        performed_at_peer!([$($mark)?] $module::$command, part, peer)
                    })+
                }
            }
        }

        /// A decoded request of any method, for tests and fuzzers.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $(
                #[doc = concat!("Of [`", stringify!($module), "`].")]
                $command(Box<<$module::$command as Command>::Request>),
            )+
        }

        impl Request {
            /// Decodes the body of a call. User IDs in it have `user_id_bytes` at most.
            pub fn parse(
                method: Method,
                encoding: Encoding,
                body: &[u8],
                user_id_bytes: usize,
            ) -> Result<Self, Rejection> {
                match method {
                    $(Method::$command => {
                        decode::request(encoding, body, user_id_bytes).map(Self::$command)
                    })+
                }
            }
        }
    };
}

// New methods go to the end, because the fuzzers' corpus refers to methods by their index.
// `in_place` marks the path of a send, whose futures are not boxed; `with_peer` a command of which
// a part is performed by the owner of the other user; `with_peer_in_memory` one of which the part is left
// out unless that user is in memory.
commands! {
    login::Login,
    logout::Logout,
    heartbeat::Heartbeat,
    send_peer_message::SendPeerMessage in_place,
    send_message::SendMessage in_place,
    query_history_message::QueryHistoryMessage,
    delete_messages::DeleteMessages,
    delete_all_message::DeleteAllMessage,
    query_conversation_list::QueryConversationList,
    query_conversation::QueryConversation,
    clear_conversation_unread_message_count::ClearConversationUnreadMessageCount,
    clear_conversation_total_unread_message_count::ClearConversationTotalUnreadMessageCount,
    query_conversation_total_unread_message_count::QueryConversationTotalUnreadMessageCount,
    set_conversation_notification_status::SetConversationNotificationStatus,
    add_users_to_blacklist::AddUsersToBlacklist,
    remove_users_from_blacklist::RemoveUsersFromBlacklist,
    query_blacklist::QueryBlacklist,
    check_user_is_in_blacklist::CheckUserIsInBlacklist,
    send_typing::SendTyping with_peer,
    update_conversation_pinned_state::UpdateConversationPinnedState,
    query_conversation_pinned_list::QueryConversationPinnedList,
    set_conversation_draft::SetConversationDraft,
    set_conversation_mark::SetConversationMark,
    update_user_name::UpdateUserName with_peer_in_memory,
    update_user_avatar_url::UpdateUserAvatarUrl,
    update_user_extended_data::UpdateUserExtendedData,
    query_users_info::QueryUsersInfo,
    query_self_user_info::QuerySelfUserInfo,
    update_user_privacy::UpdateUserPrivacy,
    revoke_message::RevokeMessage with_peer,
    edit_message::EditMessage with_peer,
    set_conversation_unread::SetConversationUnread,
    delete_conversation::DeleteConversation,
    delete_all_conversations::DeleteAllConversations,
    delete_all_conversation_messages::DeleteAllConversationMessages,
    query_messages::QueryMessages,
    query_combine_message_detail::QueryCombineMessageDetail,
    query_changes::QueryChanges,
    send_conversation_message_receipt_read::SendConversationMessageReceiptRead with_peer,
    query_message_receipts_info::QueryMessageReceiptsInfo,
    add_message_reaction::AddMessageReaction with_peer,
    delete_message_reaction::DeleteMessageReaction with_peer,
    delete_message_all_reactions::DeleteMessageAllReactions with_peer,
    query_message_reaction_user_list::QueryMessageReactionUserList,
    send_message_receipts_read::SendMessageReceiptsRead with_peer,
    query_users_status::QueryUsersStatus,
    update_user_custom_status::UpdateUserCustomStatus,
    pin_message::PinMessage with_peer,
    query_pinned_message_list::QueryPinnedMessageList,
    reply_message::ReplyMessage with_peer,
    subscribe_users_status::SubscribeUsersStatus,
    unsubscribe_users_status::UnsubscribeUsersStatus,
    query_subscribed_user_status_list::QuerySubscribedUserStatusList,
    query_message_replied_list::QueryMessageRepliedList,
}

impl Method {
    /// Whether the caller must be logged in.
    #[must_use]
    pub const fn needs_session(self) -> bool {
        match self.kind() {
            Kind::Session => false,
            Kind::Read | Kind::Change | Kind::Live => true,
        }
    }

    /// The decoder of a send; `None` for every method that does not send a message.
    pub(super) fn send_decoder(self) -> Option<DecodeSend> {
        if self == Self::SendPeerMessage {
            return Some(|encoding, body, user_id_bytes| {
                let to_field = send_peer_message::TO;
                decode_send::<send_peer_message::Request>(to_field, encoding, body, user_id_bytes)
            });
        }
        if self == Self::SendMessage {
            return Some(|encoding, body, user_id_bytes| {
                let to_field = send_message::TO;
                decode_send::<send_message::Request>(to_field, encoding, body, user_id_bytes)
            });
        }
        None
    }

    /// Refuses a body that cannot be decoded. A caller without a session gets that refusal instead.
    fn refuse<S: Store, B: Bus>(
        self,
        call: &Call<'_, S, B>,
        rejection: Rejection,
    ) -> Result<Answer, CallError> {
        if self.checks_session() {
            call.parts.sessions.note_last_seen(call.cell)?;
        }
        Err(rejection.into())
    }
}

/// Decodes the request of a send. User IDs in it have the given number of bytes at most.
pub(super) type DecodeSend = fn(Encoding, &[u8], usize) -> Result<send::Send, Rejection>;

fn decode_send<R: DeserializeOwned + Into<send::Send>>(
    to_field: &'static str,
    encoding: Encoding,
    body: &[u8],
    user_id_bytes: usize,
) -> Result<send::Send, Rejection> {
    if encoding == Encoding::MessagePack
        && let Some(send) = plain::send(body, to_field, user_id_bytes)
    {
        return Ok(send);
    }
    decode::request::<R>(encoding, body, user_id_bytes).map(Into::into)
}

#[cfg(test)]
mod tests;
