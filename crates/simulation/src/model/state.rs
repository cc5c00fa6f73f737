//! The state of the model: plain lists, from which every count is computed again each time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::flaw::Flaw;
use super::following::Following;
use crate::names::NAMES;
use crate::single::world::{IDLE_MS, OFFLINE_MS};

/// A stored message.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) key: u64,
    pub(crate) seq: u64,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) at_ms: u64,
    pub(crate) local: String,
    /// The type-specific fields, as in the call.
    pub(crate) content: Value,
    pub(crate) extended: String,
    pub(crate) receipt: bool,
    /// Whether the receiver has confirmed it as read.
    pub(crate) confirmed: bool,
    /// When it was confirmed by itself; 0 for never.
    pub(crate) read_ms: u64,
    pub(crate) counts: bool,
    /// Whether the receiver has read the message.
    pub(crate) read: bool,
    /// The users that deleted it.
    pub(crate) hidden_for: Vec<usize>,
    /// The fields that are shown in place of `content`, if it was edited or revoked.
    pub(crate) shown: Option<Value>,
    /// When it was last edited; 0 for never.
    pub(crate) edited_ms: u64,
    pub(crate) is_revoked: bool,
    pub(crate) reactions: Vec<Reaction>,
    /// Who pinned it, and when.
    pub(crate) pinned: Option<(usize, u64)>,
    /// The message that it replies to, as it is now.
    pub(crate) original: Option<Box<Message>>,
    /// The ID of the root of its tree, if it is a reply.
    pub(crate) root: Option<String>,
    /// How many replies its tree has.
    pub(crate) replied_count: u64,
}

/// The reactions to a message with one type: how often its sender and its receiver reacted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reaction {
    pub(crate) kind: String,
    pub(crate) by: [u64; 2],
}

impl Message {
    /// The content that is shown.
    pub(crate) fn content_now(&self) -> &Value {
        self.shown.as_ref().unwrap_or(&self.content)
    }
}

/// The settings of one user for the conversation with another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) muted: bool,
    /// When it was pinned; 0 if it is not.
    pub(crate) pinned_ms: u64,
    pub(crate) draft: String,
    pub(crate) marks: BTreeSet<i64>,
    pub(crate) marked_unread: bool,
    /// The key of the newest message when the conversation was deleted, if that ever happened.
    pub(crate) delisted: Option<u64>,
    /// The revision of the last change of the conversation.
    pub(crate) revision: u64,
    /// Whether the user changed a setting, so that the conversation exists without messages.
    pub(crate) kept: bool,
    pub(crate) read_seq: u64,
    /// The order key of the last change that was made while there were no messages.
    pub(crate) key: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) device: Option<usize>,
    /// Whether the login was encoded in `MessagePack`.
    pub(crate) packed: bool,
    pub(crate) since_ms: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) avatar: String,
    pub(crate) extended: String,
    /// Whether the user hides read receipts, typing and the online status.
    pub(crate) hidden: [bool; 3],
    /// The custom status, when it was set, and when it expires.
    pub(crate) custom: (String, u64, u64),
    pub(crate) following: Following,
    /// The times of changes of profile and privacy.
    pub(crate) profile_ms: Vec<u64>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) ever_logged_in: bool,
    pub(crate) last_seen_ms: Option<u64>,
    pub(crate) revision: u64,
    pub(crate) previous_revision: u64,
    /// The largest order key of the messages in events to the user.
    pub(crate) newest_published: u64,
    /// The times at which the user's stored messages and Commands were accepted.
    pub(crate) accepted_ms: Vec<u64>,
    pub(crate) commands_ms: Vec<u64>,
    pub(crate) settings: BTreeMap<usize, Settings>,
    /// When each other user was last shown that this one is typing, and whether that is certain.
    pub(crate) typing_ms: BTreeMap<usize, (u64, bool)>,
    /// The blocked users, the earliest first.
    pub(crate) blocked: Vec<usize>,
    /// The end of the last page of the block list: its `nextFlag`, and the users after it.
    pub(crate) block_page: Option<(u64, Vec<usize>)>,
}

/// The complete state, by the contract.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) users: Vec<User>,
    /// The messages in the order in which they were stored.
    pub(crate) messages: Vec<Message>,
    pub(crate) flaw: Flaw,
}

impl State {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self { users: vec![User::default(); NAMES.len()], messages: Vec::new(), flaw }
    }

    pub(crate) fn is_logged_in(&self, user: usize, now_ms: u64) -> bool {
        let User { sessions, last_seen_ms, .. } = &self.users[user];
        !sessions.is_empty() && last_seen_ms.is_some_and(|seen_ms| now_ms - seen_ms <= IDLE_MS)
    }

    /// Whether events for a user are encoded in `MessagePack`: only if all of its sessions are.
    /// With mixed sessions, or none, the configured encoding is used: JSON.
    pub(crate) fn is_packed(&self, user: usize, now_ms: u64) -> bool {
        let is_packed = self.users[user].sessions.iter().all(|session| session.packed);
        self.is_logged_in(user, now_ms) && is_packed && self.flaw != Flaw::EventsIgnoreSessions
    }

    pub(crate) fn is_online(&self, user: usize, now_ms: u64) -> bool {
        let last_seen_ms = self.users[user].last_seen_ms;
        self.is_logged_in(user, now_ms) && last_seen_ms.is_some_and(|at| now_ms - at <= OFFLINE_MS)
    }

    pub(crate) fn settings(&self, user: usize, other: usize) -> Settings {
        self.users[user].settings.get(&other).cloned().unwrap_or_default()
    }

    /// The messages of a conversation, in both directions and in order, including deleted ones.
    pub(crate) fn between(&self, user: usize, other: usize) -> Vec<&Message> {
        let is_here = |message: &&Message| {
            let way = (message.from, message.to);
            way == (user, other) || way == (other, user)
        };
        let mut messages: Vec<&Message> = self.messages.iter().filter(is_here).collect();
        messages.sort_by_key(|message| message.key);
        messages
    }

    /// The messages of a conversation that the user sees.
    pub(crate) fn visible(&self, user: usize, other: usize) -> Vec<&Message> {
        let mut messages = self.between(user, other);
        messages.retain(|message| !message.hidden_for.contains(&user));
        messages
    }

    /// Renews the originals that replies show, after messages changed.
    pub(crate) fn renew_originals(&mut self) {
        if self.flaw == Flaw::OriginalsStay {
            return;
        }
        for index in 0..self.messages.len() {
            let Some(known) = &self.messages[index].original else { continue };
            let original = self.messages.iter().find(|message| message.id == known.id).cloned();
            let original = original.map(|original| Message { original: None, ..original });
            self.messages[index].original = original.map(Box::new);
        }
    }

    /// Counts the replies of the tree to which a stored reply belongs.
    pub(crate) fn recount_replies(&mut self, root: &str) {
        let of_tree = |message: &&Message| message.root.as_deref() == Some(root);
        let count = self.messages.iter().filter(of_tree).count() as u64;
        if let Some(message) = self.messages.iter_mut().find(|message| message.id == root) {
            message.replied_count = count;
        }
    }

    /// The replies to messages that the user sees, as shown; at most the newest hundred.
    pub(crate) fn shown_replies(&self, user: usize, other: usize, ids: &[&str]) -> Vec<Value> {
        let mut replies = self.visible(user, other);
        replies.retain(|reply| {
            let original = reply.original.as_ref().filter(|_| !reply.is_revoked);
            original.is_some_and(|original| ids.contains(&original.id.as_str()))
        });
        let newest = replies.len().saturating_sub(100);
        replies[newest..].iter().map(|reply| show_message(user, reply)).collect()
    }

    pub(crate) fn unread(&self, user: usize, other: usize) -> u64 {
        let is_unread = |message: &&&Message| {
            let is_other = message.from == other || self.flaw == Flaw::OwnMessagesCount;
            let is_gone = message.hidden_for.contains(&user);
            let is_there = !is_gone || self.flaw == Flaw::DeletedStaysUnread;
            is_other && message.counts && !message.read && is_there
        };
        self.between(user, other).iter().filter(is_unread).count() as u64
    }

    /// Whether there are messages, since the user deleted the conversation if that ever happened.
    pub(crate) fn has_messages(&self, user: usize, other: usize) -> bool {
        let since = self.settings(user, other).delisted;
        let since = since.filter(|_| self.flaw != Flaw::DeletedIsListed);
        let newest = self.between(user, other).last().map(|message| message.key);
        newest.is_some_and(|newest| since.is_none_or(|since| newest > since))
    }

    /// Whether there were ever messages.
    pub(crate) fn has_begun(&self, user: usize, other: usize) -> bool {
        !self.between(user, other).is_empty()
    }

    /// Whether the user has a conversation with the other.
    pub(crate) fn exists(&self, user: usize, other: usize) -> bool {
        self.has_messages(user, other) || self.settings(user, other).kept
    }

    /// The user's conversations, the pinned ones first, then the most recent.
    pub(crate) fn list(&self, user: usize) -> Vec<usize> {
        let mut others: Vec<usize> =
            (0..NAMES.len()).filter(|other| self.exists(user, *other)).collect();
        let rank =
            |other: usize| (self.settings(user, other).pinned_ms > 0, self.order_key(user, other));
        others.sort_by_key(|other| std::cmp::Reverse(rank(*other)));
        others
    }

    pub(crate) fn order_key(&self, user: usize, other: usize) -> u64 {
        let newest = self.between(user, other).last().map(|message| message.key);
        newest.unwrap_or_else(|| self.settings(user, other).key)
    }

    /// The unread messages of the conversations that are not muted, and of all conversations.
    pub(crate) fn totals(&self, user: usize) -> (u64, u64) {
        let mut totals = (0, 0);
        for other in 0..NAMES.len() {
            let unread = self.unread(user, other);
            let is_muted = self.settings(user, other).muted && self.flaw != Flaw::MutedMovesTotal;
            totals.0 += if is_muted { 0 } else { unread };
            totals.1 += unread;
        }
        totals
    }

    /// The custom status at a time: the text, since when, and until when.
    pub(crate) fn custom_status(&self, user: usize, now_ms: u64) -> (String, u64, u64) {
        let (text, since_ms, until_ms) = self.users[user].custom.clone();
        let stays = text.is_empty() || now_ms < until_ms || self.flaw == Flaw::CustomStatusStays;
        if stays { (text, since_ms, until_ms) } else { (String::new(), until_ms, 0) }
    }

    /// The status of a user as shown to a user; `None` if the user never logged in.
    pub(crate) fn show_status(&self, viewer: usize, of: usize, now_ms: u64) -> Option<Value> {
        let account = &self.users[of];
        let (text, custom_ms, until_ms) = self.custom_status(of, now_ms);
        let is_shown = viewer == of || !account.hidden[2] || self.flaw == Flaw::HiddenIsShown;
        let seen_ms = account.last_seen_ms.unwrap_or_default();
        let (online, at_ms) = match account.sessions.last() {
            None => (2, seen_ms),
            // The call of a user who reads the own status shows that the user is there.
            Some(session) if viewer == of || self.is_online(of, now_ms) => (0, session.since_ms),
            Some(_) => (1, seen_ms),
        };
        let (online, at_ms) = if is_shown { (online, at_ms) } else { (1, 0) };
        let (custom_ms, until_ms) = if is_shown { (custom_ms, until_ms) } else { (0, 0) };
        let platforms: &[u8] = if online == 0 { &[32] } else { &[] };
        account.ever_logged_in.then(|| {
            json!({
                "userID": NAMES[of],
                "onlineStatus": online,
                "onlinePlatforms": platforms,
                "customStatus": text,
                "customStatusExpiredTime": until_ms,
                "lastUpdateTime": at_ms.max(custom_ms),
                "lastOnlineStatusUpdateTime": at_ms,
                "lastCustomStatusUpdateTime": custom_ms,
            })
        })
    }

    /// When a user's subscription of another's status expires, if there is one.
    pub(crate) fn followed_until(&self, user: usize, other: usize, now_ms: u64) -> Option<u64> {
        let until_ms = *self.users[user].following.until.get(&other)?;
        (now_ms < until_ms || self.flaw == Flaw::SubscriptionsStay).then_some(until_ms)
    }

    /// A conversation as shown to its user.
    pub(crate) fn show_conversation(&self, user: usize, other: usize) -> Value {
        let settings = self.settings(user, other);
        let name = &self.users[other].name;
        let mut shown = json!({
            "conversationID": NAMES[other],
            "conversationName": if name.is_empty() { NAMES[other] } else { name },
            "type": 0,
            "notificationStatus": if settings.muted { 2 } else { 1 },
            "unreadMessageCount": self.unread(user, other),
            "orderKey": self.order_key(user, other),
            "isPinned": settings.pinned_ms > 0,
            "pinnedTime": settings.pinned_ms,
            "draft": settings.draft,
            "mentionedInfoList": [],
            "marks": settings.marks,
            "readMessageSeq": settings.read_seq,
        });
        let avatar = &self.users[other].avatar;
        if !avatar.is_empty() {
            merge(&mut shown, json!({ "conversationAvatarUrl": avatar }));
        }
        if settings.marked_unread {
            merge(&mut shown, json!({ "isMarkedUnread": true }));
        }
        if let Some(message) = self.visible(user, other).last() {
            merge(&mut shown, json!({ "lastMessage": show_message(user, message) }));
        }
        shown
    }
}

/// A message as shown to one of its two users.
pub(crate) fn show_message(viewer: usize, message: &Message) -> Value {
    let other = if viewer == message.from { message.to } else { message.from };
    let mut shown = match &message.shown {
        Some(revoked) if message.is_revoked => revoked.clone(),
        _ => show_content(message.content_now()),
    };
    if message.edited_ms > 0 && !message.is_revoked {
        let edited = json!({
            "editedTime": message.edited_ms, "editorUserID": NAMES[message.from],
        });
        merge(&mut shown, edited);
    }
    if !message.reactions.is_empty() && !message.is_revoked {
        let reactions = message.reactions.iter();
        let reactions = reactions.map(|reaction| show_reaction(viewer, message, &reaction.kind));
        merge(&mut shown, json!({ "reactions": reactions.collect::<Value>() }));
    }
    if let Some((user, at_ms)) = message.pinned.filter(|_| !message.is_revoked) {
        merge(&mut shown, json!({ "pinnedUserID": NAMES[user], "pinnedTime": at_ms }));
    }
    if let Some(original) = message.original.as_ref().filter(|_| !message.is_revoked) {
        merge(&mut shown, json!({ "repliedInfo": show_original(viewer, original) }));
    }
    if message.replied_count > 0 && !message.is_revoked {
        merge(&mut shown, json!({ "rootRepliedCount": message.replied_count }));
    }
    let fields = json!({
        "messageID": message.id,
        "localMessageID": message.local,
        "messageSeq": message.seq,
        "senderUserID": NAMES[message.from],
        "conversationID": NAMES[other],
        "conversationType": 0,
        "direction": u8::from(viewer == message.to),
        "sentStatus": 1,
        "timestamp": message.at_ms,
        "orderKey": message.key,
        "receiptStatus": if message.confirmed { 2 } else { u8::from(message.receipt) },
        "extendedData": message.extended,
        "isServerMessage": false,
    });
    merge(&mut shown, fields);
    shown
}

/// An original as a reply shows it to one of the two users.
fn show_original(viewer: usize, original: &Message) -> Value {
    let content = original.content_now();
    let (state, info) = if original.hidden_for.contains(&viewer) || original.is_revoked {
        (1, json!({ "type": 31 }))
    } else if content["type"] == 100 {
        let text = |field: &str| content[field].as_str().unwrap_or_default();
        (0, json!({ "type": 100, "title": text("title"), "summary": text("summary") }))
    } else {
        (0, show_content(content))
    };
    json!({
        "state": state,
        "messageInfo": info,
        "senderUserID": NAMES[original.from],
        "sentTime": original.at_ms,
        "messageID": original.id,
        "messageSeq": original.seq,
    })
}

/// The reactions to a message with one type as shown to one of its two users.
pub(crate) fn show_reaction(viewer: usize, message: &Message, kind: &str) -> Value {
    let by = message.reactions.iter().find(|reaction| reaction.kind == kind);
    let by = by.map_or([0, 0], |reaction| reaction.by);
    let users = [message.from, message.to];
    let reacted: Vec<usize> = (0..2).filter(|index| by[*index] > 0).map(|it| users[it]).collect();
    let other = if viewer == message.from { message.to } else { message.from };
    json!({
        "reactionType": kind,
        "conversationID": NAMES[other],
        "conversationType": 0,
        "messageID": message.id,
        "totalCount": reacted.len(),
        "isSelfIncluded": reacted.contains(&viewer),
        "userList": reacted.iter().map(|user| json!({ "userID": NAMES[*user] })).collect::<Value>(),
        "sumCount": by[0] + by[1],
    })
}

/// Whether a message is between its viewer and another user.
pub(crate) const fn is_shown(viewer: usize, message: &Message) -> bool {
    viewer == message.from || viewer == message.to
}

/// A user in a list.
pub(crate) fn show_user(user: usize, name: &str, avatar: &str) -> Value {
    json!({
        "userID": NAMES[user],
        "userName": name,
        "userAvatarUrl": avatar,
        "userExtendedData": "",
    })
}

/// A user with everything that others may query.
pub(crate) fn show_info(user: usize, account: &User) -> Value {
    let mut base = show_user(user, &account.name, &account.avatar);
    base["userExtendedData"] = json!(account.extended);
    json!({
        "baseInfo": base,
        "userAvatarUrl": account.avatar,
        "extendedData": account.extended,
    })
}

/// A user's privacy settings, as bodies show them.
pub(crate) fn show_hidden([receipts, typing, online]: [bool; 3]) -> Value {
    json!({ "hideReadReceipts": receipts, "hideTyping": typing, "hideOnlineStatus": online })
}

/// The rules of a user.
pub(crate) fn show_rule(hidden: [bool; 3]) -> Value {
    let mut rule = show_hidden(hidden);
    rule["offlinePushRule"] =
        json!({ "onlinePlatforms": [], "notToReceiveOfflinePushPlatforms": [] });
    rule
}

/// Adds fields to an object.
pub(crate) fn merge(object: &mut Value, fields: Value) {
    let (Value::Object(object), Value::Object(fields)) = (object, fields) else {
        panic!("two objects")
    };
    object.extend(fields);
}

/// The content as bodies show it: optional fields that are missing, empty or 0 are omitted.
pub(crate) fn show_content(content: &Value) -> Value {
    const REQUIRED: [&str; 3] = ["type", "message", "fileDownloadUrl"];
    let Value::Object(fields) = content else { panic!("an object") };
    let is_shown = |(name, value): &(&String, &Value)| {
        REQUIRED.contains(&name.as_str()) || (*value != "" && *value != 0)
    };
    let field = |(name, value): (&String, &Value)| {
        let items = value.as_array().map(|items| items.iter().map(show_content).collect());
        let value = items.unwrap_or_else(|| value.clone());
        (name.clone(), value)
    };
    Value::Object(fields.iter().filter(is_shown).map(field).collect())
}
