//! Faults that are injected at the edge: messages of an instance are falsified before they reach
//! the simulated bus, as if the instance had counted, numbered or addressed wrongly.

use peerd::bus::{Kind, Outgoing};
use peerd::failpoint::{self, Fault};
use serde_json::{Value, json};

const REACTED: &str = ".message_reactions_changed";
const PINNED: &str = ".message_pin_status_changed";
const RECEIVED: &str = ".peer_message_received";

/// Applies the injected fault to a message that leaves an instance.
pub(crate) fn falsified(mut outgoing: Outgoing) -> Outgoing {
    if failpoint::is(Fault::RepeatUnmarked) && outgoing.kind == Kind::Duplicate {
        outgoing.kind = Kind::Plain;
    }
    let faults = [
        Fault::OwnMessagesCount,
        Fault::MutedCounts,
        Fault::RevisionGoesBack,
        Fault::WrongReceiver,
        Fault::WrongReactor,
        Fault::WrongPinner,
        Fault::WrongOriginal,
    ];
    if !faults.into_iter().any(failpoint::is) {
        return outgoing;
    }
    // Requests between instances are no JSON.
    let Ok(mut body) = serde_json::from_slice::<Value>(&outgoing.body) else { return outgoing };
    if failpoint::is(Fault::OwnMessagesCount) {
        count_own(&mut body);
    }
    if failpoint::is(Fault::MutedCounts) {
        count_muted(&mut body);
    }
    if failpoint::is(Fault::WrongReactor) && outgoing.subject.ends_with(REACTED) {
        let info = &mut body["changeInfoList"][0];
        let users = [&info["message"]["senderUserID"], &info["message"]["conversationID"]];
        let user = &info["userChangeInfoList"][0]["userID"];
        let other = users.into_iter().find(|other| *other != user).cloned();
        info["userChangeInfoList"][0]["userID"] = other.unwrap_or_default();
    }
    if failpoint::is(Fault::WrongPinner) && outgoing.subject.ends_with(PINNED) {
        let message = &mut body["infos"][0]["message"];
        let users = [&message["senderUserID"], &message["conversationID"]];
        let other = users.into_iter().find(|other| **other != message["pinnedUserID"]).cloned();
        if message["pinnedUserID"].is_string() {
            message["pinnedUserID"] = other.unwrap_or_default();
        }
    }
    if outgoing.subject.ends_with(RECEIVED) {
        let first = &body["messageList"][0];
        if failpoint::is(Fault::WrongReceiver) {
            let sender = peerd_testkit::token(first["senderUserID"].as_str().unwrap_or_default());
            outgoing.subject = format!("peer.event.{sender}{RECEIVED}").into();
        }
        if failpoint::is(Fault::WrongOriginal) && first["repliedInfo"].is_object() {
            let users = [&first["senderUserID"], &first["repliedInfo"]["senderUserID"]];
            let user = if users[0] == users[1] { json!("nobody") } else { users[0].clone() };
            body["messageList"][0]["repliedInfo"]["senderUserID"] = user;
        }
        let first = &body["messageList"][0];
        if failpoint::is(Fault::RevisionGoesBack) {
            // The order key in place of a number that only rises.
            body["revision"] = first["orderKey"].clone();
        }
    }
    outgoing.body = body.to_string().into();
    outgoing
}

/// A conversation whose newest message is the user's own has one more that is unread.
fn count_own(body: &mut Value) {
    let is_own = body["lastMessage"]["senderUserID"].is_string()
        && body["lastMessage"]["senderUserID"] != body["conversationID"];
    if let (true, Some(unread)) = (is_own, body["unreadMessageCount"].as_u64()) {
        body["unreadMessageCount"] = json!(unread + 1);
    }
    each(body, count_own);
}

/// The count without muted conversations is the one with them.
fn count_muted(body: &mut Value) {
    for name in ["unreadMessageCount", "totalUnreadMessageCount"] {
        let all = body[format!("{name}IncludingMuted").as_str()].clone();
        if all.is_number() {
            body[name] = all;
        }
    }
    each(body, count_muted);
}

fn each(body: &mut Value, falsify: fn(&mut Value)) {
    match body {
        Value::Array(items) => items.iter_mut().for_each(falsify),
        Value::Object(fields) => fields.values_mut().for_each(falsify),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
