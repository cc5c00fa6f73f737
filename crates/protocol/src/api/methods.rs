//! The methods, and the type of each one's reply.

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Blacklist, Changes, ConfirmedMessages, ConversationId, Conversations, Empty, ErrorUsers,
    FailedConversations, IsBlocked, LastSeen, LoggedIn, MessagesOfConversation, OneConversation,
    OneMessage, OneReaction, PinnedMessages, Privacy, ReactionUsers, ReadError, Receipts, Replies,
    SelfUser, StatusSubscriptions, TotalUnread, UpdatedAvatarUrl, UpdatedCustomStatus,
    UpdatedExtendedData, UpdatedName, UserStatuses, Users, rewrite,
};
use crate::encoding::Encoding;

/// A method.
pub trait Method {
    /// The name in the subject: the SDK's, in `snake_case`.
    const NAME: &'static str;
    /// The body of the reply to a call that succeeded.
    type Reply: Serialize + DeserializeOwned + JsonSchema;
}

macro_rules! methods {
    ($($name:literal $method:ident -> $reply:ident,)+) => {
        /// A type for each method.
        pub mod method {
            use super::{Method};

            $(
                #[doc = concat!("`", $name, "`")]
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                pub enum $method {}

                impl Method for $method {
                    const NAME: &'static str = $name;
                    type Reply = super::$reply;
                }
            )+
        }

        /// The names of all methods.
        pub const METHODS: &[&str] = &[$($name,)+];

        /// The schema of the reply to this method; `None` for an unknown name.
        pub fn reply_schema(name: &str, generator: &mut SchemaGenerator) -> Option<Schema> {
            match name {
                $($name => Some(generator.subschema_for::<$reply>()),)+
                _ => None,
            }
        }

        /// Reads the reply to this method and writes it again: for tests, which compare both.
        /// `None` for an unknown name.
        pub fn rewrite_reply(
            name: &str,
            encoding: Encoding,
            body: &[u8],
        ) -> Option<Result<Bytes, ReadError>> {
            match name {
                $($name => Some(rewrite::<$reply>(encoding, body)),)+
                _ => None,
            }
        }
    };
}

methods! {
    "login" Login -> LoggedIn,
    "logout" Logout -> Empty,
    "heartbeat" Heartbeat -> LastSeen,
    "send_peer_message" SendPeerMessage -> OneMessage,
    "send_message" SendMessage -> OneMessage,
    "query_history_message" QueryHistoryMessage -> MessagesOfConversation,
    "delete_messages" DeleteMessages -> Empty,
    "delete_all_message" DeleteAllMessage -> Empty,
    "query_conversation_list" QueryConversationList -> Conversations,
    "query_conversation" QueryConversation -> OneConversation,
    "clear_conversation_unread_message_count" ClearConversationUnreadMessageCount
        -> ConversationId,
    "clear_conversation_total_unread_message_count" ClearConversationTotalUnreadMessageCount
        -> Empty,
    "query_conversation_total_unread_message_count" QueryConversationTotalUnreadMessageCount
        -> TotalUnread,
    "set_conversation_notification_status" SetConversationNotificationStatus -> ConversationId,
    "add_users_to_blacklist" AddUsersToBlacklist -> ErrorUsers,
    "remove_users_from_blacklist" RemoveUsersFromBlacklist -> ErrorUsers,
    "query_blacklist" QueryBlacklist -> Blacklist,
    "check_user_is_in_blacklist" CheckUserIsInBlacklist -> IsBlocked,
    "send_typing" SendTyping -> Empty,
    "update_conversation_pinned_state" UpdateConversationPinnedState -> ConversationId,
    "query_conversation_pinned_list" QueryConversationPinnedList -> Conversations,
    "set_conversation_draft" SetConversationDraft -> ConversationId,
    "set_conversation_mark" SetConversationMark -> FailedConversations,
    "update_user_name" UpdateUserName -> UpdatedName,
    "update_user_avatar_url" UpdateUserAvatarUrl -> UpdatedAvatarUrl,
    "update_user_extended_data" UpdateUserExtendedData -> UpdatedExtendedData,
    "query_users_info" QueryUsersInfo -> Users,
    "query_self_user_info" QuerySelfUserInfo -> SelfUser,
    "update_user_privacy" UpdateUserPrivacy -> Privacy,
    "revoke_message" RevokeMessage -> OneMessage,
    "edit_message" EditMessage -> OneMessage,
    "set_conversation_unread" SetConversationUnread -> ConversationId,
    "delete_conversation" DeleteConversation -> ConversationId,
    "delete_all_conversations" DeleteAllConversations -> Empty,
    "delete_all_conversation_messages" DeleteAllConversationMessages -> Empty,
    "query_messages" QueryMessages -> MessagesOfConversation,
    "query_combine_message_detail" QueryCombineMessageDetail -> OneMessage,
    "query_changes" QueryChanges -> Changes,
    "send_conversation_message_receipt_read" SendConversationMessageReceiptRead
        -> ConversationId,
    "query_message_receipts_info" QueryMessageReceiptsInfo -> Receipts,
    "add_message_reaction" AddMessageReaction -> OneReaction,
    "delete_message_reaction" DeleteMessageReaction -> OneReaction,
    "delete_message_all_reactions" DeleteMessageAllReactions -> Empty,
    "query_message_reaction_user_list" QueryMessageReactionUserList -> ReactionUsers,
    "send_message_receipts_read" SendMessageReceiptsRead -> ConfirmedMessages,
    "query_users_status" QueryUsersStatus -> UserStatuses,
    "update_user_custom_status" UpdateUserCustomStatus -> UpdatedCustomStatus,
    "pin_message" PinMessage -> Empty,
    "query_pinned_message_list" QueryPinnedMessageList -> PinnedMessages,
    "reply_message" ReplyMessage -> OneMessage,
    "subscribe_users_status" SubscribeUsersStatus -> ErrorUsers,
    "unsubscribe_users_status" UnsubscribeUsersStatus -> ErrorUsers,
    "query_subscribed_user_status_list" QuerySubscribedUserStatusList -> StatusSubscriptions,
    "query_message_replied_list" QueryMessageRepliedList -> Replies,
}
