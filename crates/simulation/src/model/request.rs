//! The calls of the contract as clients write them: the method and the body of each.

use serde_json::{Value, json};

use crate::names::NAMES;

/// The fields of the privacy settings.
pub(crate) const HIDDEN: [&str; 3] = ["hideReadReceipts", "hideTyping", "hideOnlineStatus"];
/// The text that accompanies revocations.
pub(crate) const SORRY: &str = "sorry";

/// A call. Users are indexes of [`NAMES`].
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Login {
        name: Option<String>,
        device: Option<String>,
        /// The order key of the newest message on the device.
        after: Option<u64>,
    },
    Logout {
        session: Option<String>,
    },
    Heartbeat,
    Send {
        to: usize,
        /// The content, the local ID and the extended data.
        message: Value,
        config: Value,
        into_conversation: bool,
    },
    History {
        other: usize,
        reverse: bool,
        count: usize,
        /// The ID of the message from which on the page goes.
        anchor: Option<String>,
    },
    Delete {
        other: usize,
        ids: Vec<String>,
    },
    DeleteAll {
        other: usize,
    },
    List {
        count: usize,
        /// The last conversation of the page before, and the order key that it had there.
        after: Option<(usize, Option<u64>)>,
        option: ListOption,
    },
    PinnedList {
        count: usize,
    },
    Conversation {
        other: usize,
    },
    Clear {
        other: usize,
        /// The ID of the message up to which it is read; without one, the whole conversation.
        up_to: Option<String>,
    },
    ClearAll,
    Totals,
    Mute {
        other: usize,
        on: bool,
    },
    Block {
        others: Vec<usize>,
        on: bool,
    },
    Blacklist {
        count: usize,
        /// The `nextFlag` of the page before; 0 for the first page.
        place: u64,
    },
    IsBlocked {
        other: usize,
    },
    Typing {
        other: usize,
        on: bool,
    },
    Pin {
        other: usize,
        on: bool,
    },
    Draft {
        other: usize,
        text: String,
    },
    SetMark {
        mark: i64,
        on: bool,
        others: Vec<usize>,
    },
    /// Name, avatar or extended data.
    Profile {
        part: usize,
        text: String,
    },
    UsersInfo {
        others: Vec<usize>,
    },
    SelfInfo,
    /// Turns one of the privacy settings on or off.
    Privacy {
        what: usize,
        on: bool,
    },
    /// Sets the custom status, for so many seconds.
    CustomStatus {
        text: String,
        seconds: Option<u64>,
    },
    UsersStatus {
        others: Vec<usize>,
    },
    /// Subscribes the status of users.
    Follow {
        others: Vec<usize>,
        minutes: u64,
    },
    Unfollow {
        others: Vec<usize>,
    },
    /// Reads the status of the users who are followed: of all, or of these.
    Followed {
        others: Vec<usize>,
    },
    MarkUnread {
        other: usize,
        on: bool,
    },
    DeleteConversation {
        other: usize,
    },
    DeleteConversations,
    DeleteAllMessages,
    Numbered {
        other: usize,
        seqs: Vec<u64>,
        sender: Option<usize>,
    },
    Combine {
        other: usize,
        id: String,
    },
    Changes {
        revision: u64,
    },
    Revoke {
        other: usize,
        id: String,
    },
    Edit {
        other: usize,
        id: String,
        /// The content of the message after the edit.
        content: Value,
    },
    /// Reacts to a message.
    React {
        other: usize,
        id: String,
        kind: String,
        increase: u64,
    },
    /// Deletes the user's reactions with one type, or all.
    Unreact {
        other: usize,
        id: String,
        kind: Option<String>,
    },
    /// Pins a message, or removes its pin.
    PinMessage {
        other: usize,
        id: String,
        on: bool,
        /// Whether the oldest pin makes room for one too many.
        replaces: bool,
    },
    PinnedMessages {
        other: usize,
    },
    /// Reads the replies of a tree after an order key.
    RepliedList {
        other: usize,
        id: String,
        after: u64,
        count: usize,
    },
    /// Reads who reacted to a message with a type.
    Reactors {
        other: usize,
        id: String,
        kind: String,
    },
    /// Confirms a conversation as read.
    ReceiptRead {
        other: usize,
    },
    Receipts {
        other: usize,
        ids: Vec<String>,
    },
    /// Confirms messages as read.
    ReceiptsRead {
        other: usize,
        ids: Vec<String>,
    },
    /// Sends a message that replies to another.
    Reply {
        other: usize,
        id: String,
        message: Value,
        config: Value,
    },
}

/// The filter of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOption {
    pub(crate) only_unread: bool,
    /// 0: all, 1: only pinned ones, 2: only others.
    pub(crate) pinned: u8,
    pub(crate) marks: Vec<i64>,
}

impl Request {
    /// The method's name.
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Login { .. } => "login",
            Self::Logout { .. } => "logout",
            Self::Heartbeat => "heartbeat",
            Self::Send { into_conversation: false, .. } => "send_peer_message",
            Self::Send { into_conversation: true, .. } => "send_message",
            Self::History { .. } => "query_history_message",
            Self::Delete { .. } => "delete_messages",
            Self::DeleteAll { .. } => "delete_all_message",
            Self::List { .. } => "query_conversation_list",
            Self::Conversation { .. } => "query_conversation",
            Self::Clear { .. } => "clear_conversation_unread_message_count",
            Self::ClearAll => "clear_conversation_total_unread_message_count",
            Self::Totals => "query_conversation_total_unread_message_count",
            Self::Mute { .. } => "set_conversation_notification_status",
            Self::Block { on: true, .. } => "add_users_to_blacklist",
            Self::Block { on: false, .. } => "remove_users_from_blacklist",
            Self::Blacklist { .. } => "query_blacklist",
            Self::IsBlocked { .. } => "check_user_is_in_blacklist",
            Self::Typing { .. } => "send_typing",
            Self::PinnedList { .. } => "query_conversation_pinned_list",
            Self::Pin { .. } => "update_conversation_pinned_state",
            Self::Draft { .. } => "set_conversation_draft",
            Self::SetMark { .. } => "set_conversation_mark",
            Self::Profile { part: 0, .. } => "update_user_name",
            Self::Profile { part: 1, .. } => "update_user_avatar_url",
            Self::Profile { .. } => "update_user_extended_data",
            Self::UsersInfo { .. } => "query_users_info",
            Self::SelfInfo => "query_self_user_info",
            Self::Privacy { .. } => "update_user_privacy",
            Self::CustomStatus { .. } => "update_user_custom_status",
            Self::UsersStatus { .. } => "query_users_status",
            Self::Follow { .. } => "subscribe_users_status",
            Self::Unfollow { .. } => "unsubscribe_users_status",
            Self::Followed { .. } => "query_subscribed_user_status_list",
            Self::MarkUnread { .. } => "set_conversation_unread",
            Self::DeleteConversation { .. } => "delete_conversation",
            Self::DeleteConversations => "delete_all_conversations",
            Self::DeleteAllMessages => "delete_all_conversation_messages",
            Self::Numbered { .. } => "query_messages",
            Self::Combine { .. } => "query_combine_message_detail",
            Self::Changes { .. } => "query_changes",
            Self::Revoke { .. } => "revoke_message",
            Self::Edit { .. } => "edit_message",
            Self::React { .. } => "add_message_reaction",
            Self::Unreact { kind: Some(_), .. } => "delete_message_reaction",
            Self::Unreact { kind: None, .. } => "delete_message_all_reactions",
            Self::Reactors { .. } => "query_message_reaction_user_list",
            Self::PinMessage { .. } => "pin_message",
            Self::PinnedMessages { .. } => "query_pinned_message_list",
            Self::ReceiptRead { .. } => "send_conversation_message_receipt_read",
            Self::ReceiptsRead { .. } => "send_message_receipts_read",
            Self::Receipts { .. } => "query_message_receipts_info",
            Self::Reply { .. } => "reply_message",
            Self::RepliedList { .. } => "query_message_replied_list",
        }
    }

    /// The body.
    #[expect(clippy::too_many_lines, reason = "an arm for each method")]
    pub(crate) fn body(&self) -> Value {
        let with = |other: usize| json!({ "conversationID": NAMES[other], "conversationType": 0 });
        match self {
            Self::Login { name, device, after } => json!({
                "userName": name, "platform": "model", "deviceID": device, "replayAfter": after,
            }),
            Self::Logout { session } => json!({ "sessionID": session }),
            Self::Heartbeat
            | Self::ClearAll
            | Self::Totals
            | Self::DeleteConversations
            | Self::DeleteAllMessages
            | Self::SelfInfo => json!({}),
            Self::Send { to, message, config, into_conversation } => {
                let field = if *into_conversation { "toConversationID" } else { "toUserID" };
                json!({ field: NAMES[*to], "message": message, "config": config })
            }
            Self::History { other, reverse, count, anchor } => {
                let anchor = anchor.as_ref().map(|id| json!({ "messageID": id }));
                let config = json!({ "reverse": reverse, "count": count, "nextMessage": anchor });
                json!({ "conversationID": NAMES[*other], "config": config })
            }
            Self::Delete { other, ids }
            | Self::Receipts { other, ids }
            | Self::ReceiptsRead { other, ids } => {
                let list: Vec<Value> = ids.iter().map(|id| json!({ "messageID": id })).collect();
                json!({ "conversationID": NAMES[*other], "messageList": list })
            }
            Self::List { count, after, option } => {
                let after = after
                    .map(|(other, key)| json!({ "conversationID": NAMES[other], "orderKey": key }));
                json!({
                    "config": { "count": count, "nextConversation": after },
                    "option": {
                        "isOnlyUnreadConversation": option.only_unread,
                        "pinnedFilter": option.pinned,
                        "marks": option.marks,
                    },
                })
            }
            Self::PinnedList { count } => json!({ "config": { "count": count } }),
            Self::DeleteAll { other }
            | Self::ReceiptRead { other }
            | Self::PinnedMessages { other }
            | Self::Conversation { other }
            | Self::DeleteConversation { other } => with(*other),
            Self::Clear { other, up_to } => {
                let mut body = with(*other);
                body["upToMessage"] = json!(up_to.as_ref().map(|id| json!({ "messageID": id })));
                body
            }
            Self::MarkUnread { other, on } => {
                let mut body = with(*other);
                body["isMarkedUnread"] = json!(on);
                body
            }
            Self::Numbered { other, seqs, sender } => {
                let mut body = with(*other);
                body["messageSeqs"] = json!(seqs);
                body["senderUserID"] = json!(sender.map(|sender| NAMES[sender]));
                body
            }
            Self::Combine { other, id } => {
                json!({ "message": { "messageID": id, "conversationID": NAMES[*other] } })
            }
            Self::Changes { revision } => json!({ "revision": revision }),
            Self::Mute { other, on } => {
                let status = if *on { 2 } else { 1 };
                let mut body = with(*other);
                body["status"] = json!(status);
                body
            }
            Self::Block { others, .. } => {
                let others: Vec<&str> = others.iter().map(|other| NAMES[*other]).collect();
                json!({ "userIDs": others })
            }
            Self::Blacklist { count, place } => {
                let place = (*place > 0).then_some(place);
                json!({ "config": { "count": count, "nextFlag": place } })
            }
            Self::IsBlocked { other } => json!({ "userID": NAMES[*other] }),
            Self::Typing { other, on } => {
                let mut body = with(*other);
                body["isTyping"] = json!(on);
                body
            }
            Self::Pin { other, on } => {
                let mut body = with(*other);
                body["isPinned"] = json!(on);
                body
            }
            Self::Draft { other, text } => {
                let mut body = with(*other);
                body["draft"] = json!(text);
                body
            }
            Self::SetMark { mark, on, others } => {
                let infos: Vec<Value> = others.iter().map(|other| with(*other)).collect();
                json!({ "markType": mark, "enable": on, "conversationInfos": infos })
            }
            Self::Profile { part, text } => {
                let field = ["userName", "userAvatarUrl", "extendedData"][*part];
                json!({ field: text })
            }
            Self::UsersInfo { others } => {
                let others: Vec<&str> = others.iter().map(|other| NAMES[*other]).collect();
                json!({ "userIDs": others, "config": { "isQueryFromServer": true } })
            }
            Self::CustomStatus { text, seconds } => {
                json!({ "customStatus": text, "config": { "duration": seconds } })
            }
            Self::Follow { others, minutes } => {
                let others: Vec<&str> = others.iter().map(|other| NAMES[*other]).collect();
                json!({ "userIDs": others, "config": { "subscriptionDuration": minutes } })
            }
            Self::Followed { others } => {
                let others: Vec<&str> = others.iter().map(|other| NAMES[*other]).collect();
                json!({ "config": { "userIDs": others } })
            }
            Self::UsersStatus { others } | Self::Unfollow { others } => {
                let others: Vec<&str> = others.iter().map(|other| NAMES[*other]).collect();
                json!({ "userIDs": others })
            }
            Self::Privacy { what, on } => json!({ HIDDEN[*what]: on }),
            Self::Revoke { other, id } => {
                let mut message = with(*other);
                message["messageID"] = json!(id);
                json!({ "message": message, "config": { "revokeExtendedData": SORRY } })
            }
            Self::Edit { other, id, content } => {
                let mut body = with(*other);
                body["message"] = content.clone();
                body["message"]["messageID"] = json!(id);
                body
            }
            Self::React { other, id, kind, increase } => {
                let mut body = with(*other);
                body["message"] = json!({ "messageID": id });
                body["reactionType"] = json!(kind);
                body["config"] = json!({ "increaseCount": increase });
                body
            }
            Self::Reply { other, id, message, config } => {
                let mut original = with(*other);
                original["messageID"] = json!(id);
                json!({ "message": message, "toOriginalMessage": original, "config": config })
            }
            Self::RepliedList { other, id, after, count } => {
                let mut message = with(*other);
                message["messageID"] = json!(id);
                json!({ "message": message, "config": { "nextFlag": after, "count": count } })
            }
            Self::Unreact { other, id, kind } => {
                let mut body = with(*other);
                body["message"] = json!({ "messageID": id });
                body["reactionType"] = json!(kind);
                body
            }
            Self::PinMessage { other, id, on, replaces } => {
                let mut body = with(*other);
                body["message"] = json!({ "messageID": id });
                body["isPinned"] = json!(on);
                body["config"] = json!({ "disableAutoReplace": !replaces });
                body
            }
            Self::Reactors { other, id, kind } => {
                let mut message = with(*other);
                message["messageID"] = json!(id);
                json!({ "message": message, "config": { "reactionType": kind, "nextFlag": 0, "count": 0 } })
            }
        }
    }
}

/// The methods of the daemon that the model does not know; none.
#[must_use]
pub fn unknown_methods() -> Vec<&'static str> {
    let empty = || json!({});
    let send = |into_conversation| Request::Send {
        to: 0,
        message: empty(),
        config: empty(),
        into_conversation,
    };
    let block = |on| Request::Block { others: Vec::new(), on };
    let profile = |part| Request::Profile { part, text: String::new() };
    let all = [
        Request::Login { name: None, device: None, after: None },
        Request::Logout { session: None },
        Request::Heartbeat,
        send(false),
        send(true),
        Request::History { other: 0, reverse: false, count: 1, anchor: None },
        Request::Delete { other: 0, ids: Vec::new() },
        Request::DeleteAll { other: 0 },
        Request::List { count: 1, after: None, option: ListOption::default() },
        Request::PinnedList { count: 1 },
        Request::Conversation { other: 0 },
        Request::Clear { other: 0, up_to: None },
        Request::ClearAll,
        Request::Totals,
        Request::Mute { other: 0, on: false },
        block(true),
        block(false),
        Request::Blacklist { count: 1, place: 0 },
        Request::IsBlocked { other: 0 },
        Request::Typing { other: 0, on: false },
        Request::Pin { other: 0, on: false },
        Request::Draft { other: 0, text: String::new() },
        Request::SetMark { mark: 1, on: false, others: Vec::new() },
        profile(0),
        profile(1),
        profile(2),
        Request::UsersInfo { others: Vec::new() },
        Request::SelfInfo,
        Request::Privacy { what: 0, on: false },
        Request::CustomStatus { text: String::new(), seconds: None },
        Request::UsersStatus { others: Vec::new() },
        Request::Follow { others: Vec::new(), minutes: 1 },
        Request::Unfollow { others: Vec::new() },
        Request::Followed { others: Vec::new() },
        Request::MarkUnread { other: 0, on: false },
        Request::DeleteConversation { other: 0 },
        Request::DeleteConversations,
        Request::DeleteAllMessages,
        Request::Numbered { other: 0, seqs: Vec::new(), sender: None },
        Request::Combine { other: 0, id: String::new() },
        Request::Changes { revision: 0 },
        Request::Revoke { other: 0, id: String::new() },
        Request::Edit { other: 0, id: String::new(), content: json!({}) },
        Request::React { other: 0, id: String::new(), kind: String::new(), increase: 0 },
        Request::Unreact { other: 0, id: String::new(), kind: Some(String::new()) },
        Request::Unreact { other: 0, id: String::new(), kind: None },
        Request::Reactors { other: 0, id: String::new(), kind: String::new() },
        Request::PinMessage { other: 0, id: String::new(), on: true, replaces: true },
        Request::PinnedMessages { other: 0 },
        Request::ReceiptRead { other: 0 },
        Request::Receipts { other: 0, ids: Vec::new() },
        Request::ReceiptsRead { other: 0, ids: Vec::new() },
        Request::Reply { other: 0, id: String::new(), message: empty(), config: empty() },
        Request::RepliedList { other: 0, id: String::new(), after: 0, count: 1 },
    ];
    let methods = peerd::runtime::commands::Method::ALL.iter().map(|method| method.name());
    methods.filter(|name| !all.iter().any(|request| request.method() == *name)).collect()
}
