//! Reads everything that the users see at the end of a run, by the methods of the contract. The
//! checker finds faults of the replies in the notes.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::{caller::Caller, failure::Failure, load::Pairs};

const CONVERSATIONS_A_PAGE: usize = 3;
const MESSAGES_A_PAGE: usize = 100;
const USERS_AT_ONCE: usize = 8;

/// Reads the views of all users; returns the number of messages. Users who have left log in again
/// for it.
pub async fn read(caller: &Caller, pairs: &Pairs) -> Result<usize, Failure> {
    stream::iter(pairs)
        .map(|(user, others)| read_user(caller, user, others))
        .buffer_unordered(USERS_AT_ONCE)
        .try_fold(0, |sum, lines| std::future::ready(Ok(sum + lines)))
        .await
}

async fn read_user(
    caller: &Caller,
    user: &str,
    others: &BTreeSet<String>,
) -> Result<usize, Failure> {
    caller.until_done(user, "login", &json!({})).await?;
    let listed = conversations(caller, user).await?;
    let others: BTreeSet<&String> = listed.iter().chain(others).collect();
    let mut lines = 0;
    for other in others {
        lines += messages(caller, user, other).await?.len();
    }
    let method = "query_conversation_total_unread_message_count";
    caller.until_done(user, method, &json!({})).await?;
    Ok(lines)
}

async fn conversations(caller: &Caller, user: &str) -> Result<BTreeSet<String>, Failure> {
    let mut others = BTreeSet::new();
    let mut config = json!({ "count": CONVERSATIONS_A_PAGE });
    loop {
        let body = json!({ "config": config });
        let reply = caller.until_done(user, "query_conversation_list", &body).await?;
        let page = list(&reply, "conversationList")?;
        for conversation in page {
            let other = conversation["conversationID"].as_str().unwrap_or_default().to_owned();
            if !others.insert(other) {
                return Err(format!("{user}: {conversation} is in the list twice").into());
            }
        }
        match page.last() {
            Some(last) if page.len() == CONVERSATIONS_A_PAGE => {
                config["nextConversation"] = last.clone();
            }
            _ => return Ok(others),
        }
    }
}

/// All messages of a conversation in ascending order, read from the newest page to the oldest.
pub async fn messages(caller: &Caller, user: &str, other: &str) -> Result<Vec<Value>, Failure> {
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

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], Failure> {
    let list = value[field].as_array().map(Vec::as_slice);
    list.ok_or_else(|| format!("no {field} in {value}").into())
}
