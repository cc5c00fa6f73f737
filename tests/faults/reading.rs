//! Reads at the end of a run all that its users see, by the contract's own methods.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    account::Account,
    caller::{Caller, Failure},
    checker::{Line, Summary, View, Views},
};

const CONVERSATIONS_A_PAGE: usize = 3;
const MESSAGES_A_PAGE: usize = 100;
const USERS_AT_ONCE: usize = 8;

/// What every user of that account sees. Who has left comes back for it.
pub(crate) async fn read(caller: &Caller, account: &Account) -> Result<Views, Failure> {
    let mut others: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for sent in &account.sent {
        others.entry(&sent.from).or_default().insert(&sent.to);
        others.entry(&sent.to).or_default().insert(&sent.from);
    }
    stream::iter(others)
        .map(|(user, others)| read_user(caller, user, others))
        .buffer_unordered(USERS_AT_ONCE)
        .try_collect()
        .await
}

async fn read_user(
    caller: &Caller,
    user: &str,
    others: BTreeSet<&str>,
) -> Result<(String, View), Failure> {
    caller.until_done(user, "login", &json!({})).await?;
    let mut view = View { conversations: conversations(caller, user).await?, ..View::default() };
    let listed = view.conversations.keys().map(String::as_str);
    let others: BTreeSet<&str> = listed.chain(others).collect();
    for other in others {
        let lines = history(caller, user, other).await?;
        view.histories.insert(other.to_owned(), lines);
    }
    let method = "query_conversation_total_unread_message_count";
    let total = caller.until_done(user, method, &json!({})).await?;
    view.total = number(&total, "totalUnreadMessageCount")?;
    view.total_with_muted = number(&total, "totalUnreadMessageCountIncludingMuted")?;
    Ok((user.to_owned(), view))
}

async fn conversations(caller: &Caller, user: &str) -> Result<BTreeMap<String, Summary>, Failure> {
    let mut summaries = BTreeMap::new();
    let mut config = json!({ "count": CONVERSATIONS_A_PAGE });
    loop {
        let body = json!({ "config": config });
        let reply = caller.until_done(user, "query_conversation_list", &body).await?;
        let page = list(&reply, "conversationList")?;
        for conversation in page {
            let summary = Summary {
                unread: number(conversation, "unreadMessageCount")?,
                muted: number(conversation, "notificationStatus")? == 2,
                last_message_id: conversation["lastMessage"]["messageID"]
                    .as_str()
                    .map(str::to_owned),
            };
            let other = text(conversation, "conversationID")?;
            if summaries.insert(other.clone(), summary).is_some() {
                return Err(format!("{user}: {other} is in the list twice").into());
            }
        }
        match page.last() {
            Some(last) if page.len() == CONVERSATIONS_A_PAGE => {
                config["nextConversation"] = last.clone();
            }
            _ => return Ok(summaries),
        }
    }
}

async fn history(caller: &Caller, user: &str, other: &str) -> Result<Vec<Line>, Failure> {
    messages(caller, user, other).await?.iter().map(line).collect()
}

/// All messages of a conversation: read from the newest page to the oldest, in ascending order as
/// the pages give them.
pub(crate) async fn messages(
    caller: &Caller,
    user: &str,
    other: &str,
) -> Result<Vec<Value>, Failure> {
    let mut pages = Vec::new();
    let mut messages = 0;
    let mut config = json!({ "count": MESSAGES_A_PAGE, "reverse": true });
    loop {
        let body = json!({ "conversationID": other, "conversationType": 0, "config": config });
        let reply = caller.until_done(user, "query_history_message", &body).await?;
        let page = list(&reply, "messageList")?;
        pages.push(page.to_vec());
        messages += page.len();
        match page.first() {
            Some(first) if page.len() == MESSAGES_A_PAGE => {
                config["nextMessage"] = first.clone();
            }
            _ => return Ok(pages.into_iter().rev().flatten().collect()),
        }
        if messages > 1_000_000 {
            return Err(format!("the history of {user} with {other} does not end").into());
        }
    }
}

fn line(message: &Value) -> Result<Line, Failure> {
    Ok(Line {
        sender: text(message, "senderUserID")?,
        local_id: text(message, "localMessageID")?,
        text: text(message, "message")?,
        message_id: text(message, "messageID")?,
        seq: number(message, "messageSeq")?,
        order_key: number(message, "orderKey")?,
    })
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], Failure> {
    let list = value[field].as_array().map(Vec::as_slice);
    list.ok_or_else(|| format!("no {field} in {value}").into())
}

fn number(value: &Value, field: &str) -> Result<u64, Failure> {
    let number = value[field].as_u64();
    number.ok_or_else(|| format!("no {field} in {value}").into())
}

fn text(value: &Value, field: &str) -> Result<String, Failure> {
    let text = value[field].as_str().map(str::to_owned);
    text.ok_or_else(|| format!("no {field} in {value}").into())
}
