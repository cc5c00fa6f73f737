//! The bodies of calls: each method's fields, checked and turned into what it asks for.

use super::content::{self, NUMBER_MAX};
use super::encoding::Encoding;
use super::fields::Object;
use super::message::PEER;
use super::unsupported;
use super::value::Value;
use crate::domain::conversation::NotificationStatus;
use crate::domain::id::{LocalMessageId, MessageId, OrderKey, UserId};
use crate::domain::limits::{
    BLOCK_BATCH_MAX, BLOCKED_PAGE_MAX, CONVERSATION_PAGE_MAX, DELETE_BATCH_MAX, DEVICE_MAX_BYTES,
    HISTORY_PAGE_MAX, MARK_MAX, PUSH_TEXT_MAX_BYTES, USER_NAME_MAX_BYTES,
};
use crate::domain::list::Anchor;
use crate::domain::message::Draft;
use crate::domain::rejection::Rejection;
use crate::domain::send::{Push, Send, SendOptions};
use crate::domain::text::is_blank;

/// A page of a conversation's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The other user.
    pub other: UserId,
    /// The page lies before (backwards) or after (forwards) this message.
    pub anchor: Option<MessageId>,
    /// How many messages, 1 to 100.
    pub count: usize,
    /// From the newest towards older, or from the oldest towards newer.
    pub backwards: bool,
}

/// A page of the conversation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The page begins after this conversation.
    pub anchor: Option<Anchor>,
    /// How many conversations, 1 to 1,000.
    pub count: usize,
    /// Only those with unread messages.
    pub only_unread: bool,
}

/// A page of the block list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlacklistQuery {
    /// The page begins behind the block with this number.
    pub after: u64,
    /// How many users, 1 to 100.
    pub count: usize,
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What can be called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method { $($(#[doc = $doc])+ $variant,)+ }

        impl Method {
            /// All methods.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The method of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            /// The refusal of a call of a method that there is not.
            #[must_use]
            pub fn unknown(name: &str) -> Rejection {
                /// Longer than any method's: more of it would help nobody.
                const SHOWN_MAX_BYTES: usize = 64;
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
                let is_shown = name.len() <= SHOWN_MAX_BYTES && name.bytes().all(is_name);
                // Other spellings differ in capitals and in what joins the words.
                let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
                let meant = is_shown.then(|| plain(name)).and_then(|called| {
                    let own = Self::ALL.iter().map(|method| method.name());
                    let others = unsupported::names().iter().copied();
                    own.chain(others).find(|name| plain(name) == called)
                });
                let name = if is_shown { name.to_owned() } else { String::new() };
                Rejection::UnknownMethod { name, meant }
            }

            /// The name in the subject: the SDK's, in `snake_case`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim(),)+ }
            }
        }
    };
}

methods! {
    /// Begins a session.
    Login = "login",
    /// Ends one session or all.
    Logout = "logout",
    /// Says that the user is there.
    Heartbeat = "heartbeat",
    /// Sends a message to a user.
    SendPeerMessage = "send_peer_message",
    /// Sends a message into a conversation.
    SendMessage = "send_message",
    /// Reads a page of a conversation.
    QueryHistoryMessage = "query_history_message",
    /// Deletes messages, for the caller only.
    DeleteMessages = "delete_messages",
    /// Deletes all messages of a conversation, for the caller only.
    DeleteAllMessage = "delete_all_message",
    /// Reads a page of the conversation list.
    QueryConversationList = "query_conversation_list",
    /// Reads one conversation.
    QueryConversation = "query_conversation",
    /// Marks a conversation as read.
    ClearConversationUnreadMessageCount = "clear_conversation_unread_message_count",
    /// Marks all conversations as read.
    ClearConversationTotalUnreadMessageCount = "clear_conversation_total_unread_message_count",
    /// Reads the total unread count.
    QueryConversationTotalUnreadMessageCount = "query_conversation_total_unread_message_count",
    /// Mutes a conversation or unmutes it.
    SetConversationNotificationStatus = "set_conversation_notification_status",
    /// Blocks users.
    AddUsersToBlacklist = "add_users_to_blacklist",
    /// Unblocks users.
    RemoveUsersFromBlacklist = "remove_users_from_blacklist",
    /// Reads a page of the block list.
    QueryBlacklist = "query_blacklist",
    /// Reads whether a user is blocked.
    CheckUserIsInBlacklist = "check_user_is_in_blacklist",
}

/// A method as a call names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// One that peerd offers.
    Method(Method),
    /// One that the SDK has and peerd does not offer.
    Unsupported,
    /// None that there is.
    Unknown,
}

impl Called {
    /// What a name in a subject stands for.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match Method::from_name(name) {
            Some(method) => Self::Method(method),
            None if unsupported::has(name) => Self::Unsupported,
            None => Self::Unknown,
        }
    }
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begins a session.
    Login {
        /// The name to show; empty keeps the one there is.
        name: String,
        /// What the caller runs on.
        platform: String,
        /// The caller's device; its earlier session ends.
        device_id: String,
        /// The newest message that the device has, 0 for none: the replay begins behind it.
        replay_after: Option<OrderKey>,
    },
    /// Ends one session or all.
    Logout {
        /// The one session.
        session_id: Option<String>,
    },
    /// Says that the user is there.
    Heartbeat,
    /// Sends a message.
    Send(Box<Send>),
    /// Reads a page of a conversation.
    History(HistoryQuery),
    /// Deletes messages.
    DeleteMessages {
        /// In the conversation with this user.
        other: UserId,
        /// These; each once.
        messages: Vec<MessageId>,
    },
    /// Deletes all messages with a user.
    DeleteAll(UserId),
    /// Reads a page of the conversation list.
    List(ListQuery),
    /// Reads the conversation with a user.
    Conversation(UserId),
    /// Marks the conversation with a user as read.
    ClearUnread(UserId),
    /// Marks all conversations as read.
    ClearAllUnread,
    /// Reads the total unread count.
    TotalUnread {
        /// Whether there is any conversation that it is asked for.
        is_any: bool,
    },
    /// Mutes the conversation with a user or unmutes it.
    SetNotification {
        /// The other user.
        other: UserId,
        /// Muted or not.
        status: NotificationStatus,
    },
    /// Blocks users; each once.
    Block(Vec<UserId>),
    /// Unblocks users; each once.
    Unblock(Vec<UserId>),
    /// Reads a page of the block list.
    Blacklist(BlacklistQuery),
    /// Reads whether a user is blocked.
    IsBlocked(UserId),
}

impl Request {
    /// Reads the body of a call. User IDs in it have `user_id_bytes` at most.
    pub fn parse(
        method: Method,
        encoding: Encoding,
        body: &[u8],
        user_id_bytes: usize,
    ) -> Result<Self, Rejection> {
        let value = Value::decode(encoding, body)?;
        let object = Object::root(&value, user_id_bytes)?;
        match method {
            Method::Login => Ok(Self::Login {
                name: user_name(object)?,
                platform: object.line("platform", DEVICE_MAX_BYTES)?,
                device_id: object.line("deviceID", DEVICE_MAX_BYTES)?,
                replay_after: object.number("replayAfter", NUMBER_MAX)?.map(OrderKey),
            }),
            Method::Logout => {
                Ok(Self::Logout { session_id: object.text("sessionID")?.map(str::to_owned) })
            }
            Method::Heartbeat => Ok(Self::Heartbeat),
            Method::SendPeerMessage => parse_send(object, "toUserID", encoding),
            Method::SendMessage => {
                require_peer(object)?;
                parse_send(object, "toConversationID", encoding)
            }
            Method::QueryHistoryMessage => parse_history(object),
            Method::DeleteMessages => parse_delete(object),
            Method::DeleteAllMessage => conversation(object).map(Self::DeleteAll),
            Method::QueryConversationList => parse_list(object),
            Method::QueryConversation => conversation(object).map(Self::Conversation),
            Method::ClearConversationUnreadMessageCount => {
                conversation(object).map(Self::ClearUnread)
            }
            Method::ClearConversationTotalUnreadMessageCount => Ok(Self::ClearAllUnread),
            Method::QueryConversationTotalUnreadMessageCount => parse_total(object),
            Method::SetConversationNotificationStatus => parse_notification(object),
            Method::AddUsersToBlacklist => user_ids(object).map(Self::Block),
            Method::RemoveUsersFromBlacklist => user_ids(object).map(Self::Unblock),
            Method::QueryBlacklist => parse_blacklist(object),
            Method::CheckUserIsInBlacklist => object.required_user("userID").map(Self::IsBlocked),
        }
    }
}

/// The name that others are shown; empty where none is given.
fn user_name(object: Object<'_>) -> Result<String, Rejection> {
    let name = object.line("userName", USER_NAME_MAX_BYTES)?;
    if !name.is_empty() && is_blank(&name) {
        return Err(object.invalid("userName", "must not be blank"));
    }
    Ok(name)
}

/// The conversation that a call is about.
fn conversation(object: Object<'_>) -> Result<UserId, Rejection> {
    let other = object.required_user("conversationID")?;
    require_peer(object)?;
    Ok(other)
}

fn require_peer(object: Object<'_>) -> Result<(), Rejection> {
    match object.number("conversationType", NUMBER_MAX)? {
        None | Some(0) => Ok(()),
        Some(_) => Err(object.invalid("conversationType", "must be 0 (Peer)")),
    }
}

fn parse_send(
    object: Object<'_>,
    to: &'static str,
    encoding: Encoding,
) -> Result<Request, Rejection> {
    let receiver = object.required_user(to)?;
    let draft = object.required_object("message", |message| {
        Ok(Draft {
            content: content::parse(message, encoding == Encoding::Json)?,
            local_id: message.text("localMessageID")?.map(LocalMessageId::new).transpose()?,
            extended_data: message.text("extendedData")?.unwrap_or_default().to_owned(),
        })
    })?;
    let options = object.object("config", parse_options)?.unwrap_or_default();
    Ok(Request::Send(Box::new(Send { to: receiver, to_field: to, draft, options })))
}

fn parse_options(config: Object<'_>) -> Result<SendOptions, Rejection> {
    if !matches!(config.number("priority", NUMBER_MAX)?, None | Some(1..=3)) {
        return Err(config.invalid("priority", "must be 1, 2 or 3"));
    }
    Ok(SendOptions {
        push: config.object("pushConfig", parse_push)?,
        has_receipt: config.flag("hasReceipt")?.unwrap_or_default(),
        is_retry: config.flag("isRetrySend")?.unwrap_or_default(),
        not_counted: config.flag("disableUnreadMessageCount")?.unwrap_or_default(),
    })
}

fn parse_push(push: Object<'_>) -> Result<Push, Rejection> {
    // Read for their types only: the badge of a push is always the absolute total.
    push.flag("enableBadge")?;
    push.number("badgeIncrement", NUMBER_MAX)?;
    push.object("voIPConfig", |_| Ok(()))?;
    Ok(Push {
        title: push.line("title", PUSH_TEXT_MAX_BYTES)?,
        content: push.short_text("content", PUSH_TEXT_MAX_BYTES)?,
        payload: push.short_text("payload", PUSH_TEXT_MAX_BYTES)?,
        resources_id: push.line("resourcesID", PUSH_TEXT_MAX_BYTES)?,
        thread_id: push.line("threadID", PUSH_TEXT_MAX_BYTES)?,
    })
}

fn message_id(object: Object<'_>) -> Result<MessageId, Rejection> {
    MessageId::parse(object.required_text("messageID")?, &object.path_of("messageID"))
}

fn parse_history(object: Object<'_>) -> Result<Request, Rejection> {
    let other = conversation(object)?;
    object.required_object("config", |config| {
        Ok(Request::History(HistoryQuery {
            other,
            anchor: config.object("nextMessage", message_id)?,
            count: page_count(config, HISTORY_PAGE_MAX)?,
            backwards: config.flag("reverse")?.unwrap_or_default(),
        }))
    })
}

fn page_count(config: Object<'_>, max: u64) -> Result<usize, Rejection> {
    checked_count(config, config.required_number("count", NUMBER_MAX)?, max)
}

fn checked_count(config: Object<'_>, count: u64, max: u64) -> Result<usize, Rejection> {
    match count {
        count if (1..=max).contains(&count) => Ok(usize::try_from(count).unwrap_or(1)),
        _ => Err(config.invalid("count", &format!("must be 1 to {max}"))),
    }
}

fn parse_delete(object: Object<'_>) -> Result<Request, Rejection> {
    let other = conversation(object)?;
    let mut messages = object.required_list("messageList", DELETE_BATCH_MAX, message_id)?;
    messages.sort_unstable();
    messages.dedup();
    Ok(Request::DeleteMessages { other, messages })
}

fn parse_list(object: Object<'_>) -> Result<Request, Rejection> {
    let only_unread =
        object.object("option", |option| option.flag("isOnlyUnreadConversation"))?.flatten();
    object.required_object("config", |config| {
        Ok(Request::List(ListQuery {
            anchor: config.object("nextConversation", parse_anchor)?,
            count: page_count(config, CONVERSATION_PAGE_MAX)?,
            only_unread: only_unread.unwrap_or_default(),
        }))
    })
}

fn parse_anchor(next: Object<'_>) -> Result<Anchor, Rejection> {
    Ok(Anchor {
        id: next.required_user("conversationID")?,
        order_key: next.number("orderKey", NUMBER_MAX)?.map(OrderKey),
        is_pinned: next.flag("isPinned")?,
    })
}

/// Of which conversations the total is asked for. There are those with peers only, and none is
/// marked yet.
fn parse_total(object: Object<'_>) -> Result<Request, Rejection> {
    let is_any = object.object("config", |config| {
        let types = config.numbers("conversationTypes", 0, NUMBER_MAX)?;
        let marks = config.numbers("marks", 1, MARK_MAX)?;
        let is_peer = types.is_empty() || types.contains(&u64::from(PEER));
        Ok(is_peer && marks.is_empty())
    })?;
    Ok(Request::TotalUnread { is_any: is_any.unwrap_or(true) })
}

fn parse_notification(object: Object<'_>) -> Result<Request, Rejection> {
    let other = conversation(object)?;
    let status = match object.required_number("status", NUMBER_MAX)? {
        1 => NotificationStatus::Notify,
        2 => NotificationStatus::DoNotDisturb,
        _ => return Err(object.invalid("status", "must be 1 (Notify) or 2 (DoNotDisturb)")),
    };
    Ok(Request::SetNotification { other, status })
}

/// The users that a call is about, each once.
fn user_ids(object: Object<'_>) -> Result<Vec<UserId>, Rejection> {
    let mut users = object.required_users("userIDs", BLOCK_BATCH_MAX)?;
    users.sort_unstable();
    users.dedup();
    Ok(users)
}

fn parse_blacklist(object: Object<'_>) -> Result<Request, Rejection> {
    let query = object.object("config", |config| {
        let after = config.number("nextFlag", NUMBER_MAX)?.unwrap_or_default();
        let count = match config.number("count", NUMBER_MAX)? {
            None => BLOCKED_PAGE_MAX,
            Some(count) => checked_count(config, count, BLOCKED_PAGE_MAX as u64)?,
        };
        Ok(BlacklistQuery { after, count })
    })?;
    let first = BlacklistQuery { after: 0, count: BLOCKED_PAGE_MAX };
    Ok(Request::Blacklist(query.unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(method: Method, body: &str) -> String {
        match Request::parse(method, Encoding::Json, body.as_bytes(), 64) {
            Err(Rejection::InvalidParameter { field, .. }) => field,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_method_has_one_name() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name()), Some(*method));
        }
        assert_eq!(Method::from_name("sendPeerMessage"), None);
    }

    #[test]
    fn an_unknown_method_is_named_and_told_the_right_spelling() {
        for (called, text) in [
            ("sendPeerMessage", " as sendPeerMessage; it is written send_peer_message"),
            ("SEND_PEER_MESSAGE", " as SEND_PEER_MESSAGE; it is written send_peer_message"),
            ("send-peer-message", " as send-peer-message; it is written send_peer_message"),
            ("queryGroupList", " as queryGroupList; it is written query_group_list"),
            ("frobnicateIt", " as frobnicateIt; methods are written in snake_case"),
            ("frobnicate", " as frobnicate"),
            ("a\u{1}b", ""),
            ("ä", ""),
            (&"x".repeat(65), ""),
        ] {
            let told = Method::unknown(called).to_string();
            assert_eq!(told, format!("there is no such method{text}"));
        }
    }

    #[test]
    fn errors_name_the_field_by_its_path() {
        use Method::{
            AddUsersToBlacklist, DeleteMessages, QueryBlacklist, QueryHistoryMessage,
            RemoveUsersFromBlacklist, SendPeerMessage,
        };
        for (method, body, path) in [
            (SendPeerMessage, r"{}", "toUserID"),
            (SendPeerMessage, r#"{"toUserID":7}"#, "toUserID"),
            (SendPeerMessage, r#"{"toUserID":"bob","message":{"type":"1"}}"#, "message.type"),
            (
                SendPeerMessage,
                r#"{"toUserID":"bob","message":{"type":10,"messageInfoList":[{"type":1,"message":5}]}}"#,
                "message.messageInfoList[0].message",
            ),
            (
                SendPeerMessage,
                r#"{"toUserID":"bob","message":{"type":1,"message":"x"},"config":{"priority":4}}"#,
                "config.priority",
            ),
            (
                QueryHistoryMessage,
                r#"{"conversationID":"bob","config":{"count":-1}}"#,
                "config.count",
            ),
            (
                QueryHistoryMessage,
                r#"{"conversationID":"bob","config":{"count":1,"nextMessage":{"messageID":"x"}}}"#,
                "config.nextMessage.messageID",
            ),
            (
                DeleteMessages,
                r#"{"conversationID":"bob","messageList":[{"messageID":"1"},{"messageID":2}]}"#,
                "messageList[1].messageID",
            ),
            (AddUsersToBlacklist, r#"{"userIDs":["bob","a/b"]}"#, "userIDs[1]"),
            (AddUsersToBlacklist, r#"{"userIDs":[{"userID":"bob"}]}"#, "userIDs[0]"),
            (AddUsersToBlacklist, r#"{"userIDs":[]}"#, "userIDs"),
            (RemoveUsersFromBlacklist, r#"{"userIDs":"bob"}"#, "userIDs"),
            (QueryBlacklist, r#"{"config":{"count":101}}"#, "config.count"),
            (QueryBlacklist, r#"{"config":{"nextFlag":"1"}}"#, "config.nextFlag"),
        ] {
            assert_eq!(field(method, body), path);
        }
    }

    #[test]
    fn users_to_block_are_up_to_twenty_each_once() {
        let parse = |ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|id| format!("{id:?}")).collect();
            let body = format!(r#"{{"userIDs":[{}]}}"#, ids.join(","));
            Request::parse(Method::AddUsersToBlacklist, Encoding::Json, body.as_bytes(), 64)
        };
        let id = |text: &str| UserId::new(text, "userID").expect("a valid ID");
        assert_eq!(parse(&["b", "a", "b"]), Ok(Request::Block(vec![id("a"), id("b")])));
        assert!(parse(&["x"; 20]).is_ok());
        assert!(parse(&["x"; 21]).is_err());
    }

    #[test]
    fn the_first_page_of_the_block_list_needs_no_fields() {
        for body in ["{}", r#"{"config":{}}"#, r#"{"config":{"nextFlag":0}}"#] {
            let query = Request::parse(Method::QueryBlacklist, Encoding::Json, body.as_bytes(), 64);
            let first = BlacklistQuery { after: 0, count: 100 };
            assert_eq!(query, Ok(Request::Blacklist(first)), "{body}");
        }
    }

    #[test]
    fn bytes_of_a_command_are_base64_in_json_and_bin_in_messagepack() {
        let json = r#"{"toUserID":"bob","message":{"type":2,"message":"AQI="}}"#;
        let Ok(Request::Send(from_json)) =
            Request::parse(Method::SendPeerMessage, Encoding::Json, json.as_bytes(), 64)
        else {
            panic!("the JSON is a send");
        };
        let packed =
            b"\x82\xa8toUserID\xa3bob\xa7message\x82\xa4type\x02\xa7message\xc4\x02\x01\x02";
        let from_packed =
            Request::parse(Method::SendPeerMessage, Encoding::MessagePack, packed, 64);
        assert_eq!(from_packed, Ok(Request::Send(from_json)));
    }
}
