//! Builds the account of the clients' calls and answers from their notes.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::account::{Account, Ack, Amended, Amendment, Change, Mark, Reacted, Sent};
use super::fault::{Fault, Kind};
use super::notes::{Answer, Call, Notes};
use super::stored::{Stored, key};
use peerd_core::id::MessageId;

/// How long after its last attempt a call without an answer may still have an effect.
const SETTLES_US: u64 = 60_000_000;
/// A local message ID that is used again after this long is another message.
const REPEAT_WINDOW_US: u64 = 600_000_000;
const COMMAND: u64 = 2;
const DO_NOT_DISTURB: u64 = 2;

#[derive(Default)]
pub(super) struct Gathered {
    pub(super) account: Account,
    pub(super) faults: Vec<Fault>,
    /// By the message's name, until all sends are known.
    amended: Vec<(String, Amended)>,
    /// The same for reactions.
    reacted: Vec<(String, Reacted)>,
}

/// The outcome of one operation, over all its attempts.
struct Outcome<'n> {
    call: &'n Call,
    started: u64,
    /// The first success.
    reply: Option<(u64, &'n Value)>,
    /// Other successes.
    repeated: Vec<&'n Value>,
    /// Whether it may have had an effect without an answered success.
    is_unknown: bool,
    last: u64,
}

/// Whether an error leaves the outcome unknown.
fn is_open(reason: &str) -> bool {
    matches!(reason, "outcome_unknown" | "internal")
}

pub(super) fn gather(notes: &Notes, stored: &Stored, slack_us: u64) -> Gathered {
    let mut operations: BTreeMap<(usize, u64), Outcome<'_>> = BTreeMap::new();
    for call in &notes.calls {
        let outcome = operations.entry((call.client, call.operation)).or_insert(Outcome {
            call,
            started: call.at.saturating_sub(slack_us),
            reply: None,
            repeated: Vec::new(),
            is_unknown: false,
            last: call.at,
        });
        outcome.last = outcome.last.max(call.at);
        match &call.answer {
            None => outcome.is_unknown = true,
            Some((_, Answer::Error(reason))) => outcome.is_unknown |= is_open(reason),
            Some((at, Answer::Reply(reply))) if outcome.reply.is_none() => {
                outcome.reply = Some((at + slack_us, reply));
            }
            Some((_, Answer::Reply(reply))) => outcome.repeated.push(reply),
        }
    }
    let mut gathered = Gathered::default();
    let ids: HashMap<&str, &str> = (stored.messages.iter())
        .map(|it| (it.line.message_id.as_str(), it.line.local_id.as_str()))
        .collect();
    let mut operations: Vec<Outcome<'_>> = operations.into_values().collect();
    operations.sort_by_key(|outcome| outcome.started);
    for outcome in operations {
        if outcome.reply.is_none() && !outcome.is_unknown {
            // Refused, and nothing was done.
            continue;
        }
        match outcome.call.method.as_str() {
            "send_peer_message" | "send_message" => gathered.add_sent(&outcome),
            "edit_message" => {
                let text = outcome.call.body["message"]["message"].as_str().unwrap_or_default();
                gathered.add_amended(&outcome, &ids, Amendment::Edited(text.to_owned()));
            }
            "revoke_message" => gathered.add_amended(&outcome, &ids, Amendment::Revoked),
            "add_message_reaction" | "delete_message_reaction" | "delete_message_all_reactions" => {
                gathered.add_reacted(&outcome, &ids);
            }
            _ => gathered.add_marks(&outcome, &ids),
        }
    }
    gathered.merge_repeats();
    gathered.attach_amended();
    gathered
}

impl Gathered {
    fn add_sent(&mut self, outcome: &Outcome<'_>) {
        let Call { user, body, .. } = outcome.call;
        let message = &body["message"];
        if message["type"].as_u64() == Some(COMMAND) {
            return;
        }
        let to = body["toUserID"].as_str().or_else(|| body["toConversationID"].as_str());
        let local_id = message["localMessageID"].as_str().unwrap_or_default();
        let ack = outcome.reply.and_then(|(at, reply)| ack(&reply["message"], at));
        if outcome.reply.is_some() && ack.is_none() {
            let text = format!("{user}: the reply to {local_id} is no sent message");
            self.faults.push(Fault::new(Kind::WrongContent, text));
        }
        let message_id = ack.as_ref().map_or("", |ack| ack.message_id.as_str());
        if local_id.is_empty() && ack.is_none() {
            // Other messages do not show whether it was stored.
            return;
        }
        for again in &outcome.repeated {
            let again = again["message"]["messageID"].as_str().unwrap_or_default();
            if again != message_id {
                let text = format!("{user}: {local_id} was answered as {message_id} and {again}");
                self.faults.push(Fault::new(Kind::Doubled, text));
            }
        }
        self.account.sent.push(Sent {
            from: user.clone(),
            to: to.unwrap_or_default().to_owned(),
            local_id: key(user, local_id, message_id),
            text: message["message"].as_str().unwrap_or_default().to_owned(),
            counts: body["config"]["disableUnreadMessageCount"] != true,
            started: outcome.started,
            ack,
            has_receipt: body["config"]["hasReceipt"] == true,
            amended: Vec::new(),
            reacted: Vec::new(),
        });
    }

    fn add_amended(&mut self, outcome: &Outcome<'_>, ids: &HashMap<&str, &str>, what: Amendment) {
        let id = outcome.call.body["message"]["messageID"].as_str().unwrap_or_default();
        // A message that is not stored is reported as lost.
        let Some(name) = ids.get(id) else { return };
        let acked = outcome.reply.map(|(at, _)| at);
        let amended = Amended { what, started: outcome.started, acked };
        self.amended.push(((*name).to_owned(), amended));
    }

    fn add_reacted(&mut self, outcome: &Outcome<'_>, ids: &HashMap<&str, &str>) {
        let Call { user, method, body, .. } = outcome.call;
        let id = body["message"]["messageID"].as_str().unwrap_or_default();
        let Some(name) = ids.get(id) else { return };
        let reacted = Reacted {
            by: user.clone(),
            kind: body["reactionType"].as_str().map(str::to_owned),
            is_set: method == "add_message_reaction",
            started: outcome.started,
            acked: outcome.reply.map(|(at, _)| at),
        };
        self.reacted.push(((*name).to_owned(), reacted));
    }

    /// Attaches changes of messages to the sends, once these are complete.
    fn attach_amended(&mut self) {
        let sent = self.account.sent.iter_mut();
        let mut sent: HashMap<String, &mut Sent> =
            sent.map(|sent| (sent.local_id.clone(), sent)).collect();
        for (name, amended) in self.amended.drain(..) {
            if let Some(sent) = sent.get_mut(&name) {
                sent.amended.push(amended);
            }
        }
        for (name, reacted) in self.reacted.drain(..) {
            if let Some(sent) = sent.get_mut(&name) {
                sent.reacted.push(reacted);
            }
        }
    }

    fn add_marks(&mut self, outcome: &Outcome<'_>, ids: &HashMap<&str, &str>) {
        let Call { user, method, body, .. } = outcome.call;
        let other = body["conversationID"].as_str().unwrap_or_default().to_owned();
        let changes = match method.as_str() {
            "clear_conversation_unread_message_count" => {
                let up_to = body["upToMessage"]["messageID"].as_str();
                let up_to = up_to.and_then(|id| MessageId::parse(id, "").ok());
                vec![match up_to {
                    Some(message) => Change::ClearUpTo(other, message.key().0),
                    None => Change::Clear(other),
                }]
            }
            "clear_conversation_total_unread_message_count" => vec![Change::ClearTotal],
            "set_conversation_notification_status" => {
                vec![Change::Mute(other, body["status"].as_u64() == Some(DO_NOT_DISTURB))]
            }
            "delete_all_message" => vec![Change::DeleteAll(other)],
            "delete_all_conversation_messages" => vec![Change::DeleteEverything],
            "delete_conversation" => vec![Change::Delist(other)],
            "delete_all_conversations" => vec![Change::DelistAll],
            "update_conversation_pinned_state" => {
                vec![Change::Pin(other, body["isPinned"] == true)]
            }
            "set_conversation_draft" => {
                let text = body["draft"].as_str().unwrap_or_default();
                vec![Change::Draft(other, text.to_owned())]
            }
            "set_conversation_mark" => marks(body, outcome.reply.map(|(_, reply)| reply)),
            "delete_messages" => named(body, ids)
                .map(|(_, name)| Change::Delete(other.clone(), name.to_owned()))
                .collect(),
            "send_conversation_message_receipt_read" => vec![Change::Confirm(other)],
            "send_message_receipts_read" => {
                let failed = outcome.reply.map(|(_, reply)| &reply["errorMessageIDs"]);
                let failed = failed.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                named(body, ids)
                    .filter(|(id, _)| !failed.contains(&Value::from(*id)))
                    .map(|(_, name)| Change::ConfirmOne(other.clone(), name.to_owned()))
                    .collect()
            }
            _ => Vec::new(),
        };
        for what in changes {
            let acked = outcome.reply.map(|(at, _)| at);
            let (user, started) = (user.clone(), outcome.started);
            self.account.marks.push(Mark { user, what, started, acked });
        }
    }

    /// Merges operations that name the same message: the sender repeated it.
    fn merge_repeats(&mut self) {
        let mut known: HashMap<(String, String, String), usize> = HashMap::new();
        let mut merged: Vec<Sent> = Vec::new();
        for sent in std::mem::take(&mut self.account.sent) {
            let name = (sent.from.clone(), sent.to.clone(), sent.local_id.clone());
            let first = known.get(&name).and_then(|index| merged.get_mut(*index));
            let Some(first) = first else {
                known.insert(name, merged.len());
                merged.push(sent);
                continue;
            };
            match (&first.ack, sent.ack) {
                (Some(one), Some(other)) if one.message_id != other.message_id => {
                    if sent.started < first.started + REPEAT_WINDOW_US {
                        let (local_id, ids) =
                            (&sent.local_id, (&one.message_id, &other.message_id));
                        let text = format!("{local_id} was answered as {} and {}", ids.0, ids.1);
                        self.faults.push(Fault::new(Kind::Doubled, text));
                    }
                }
                (None, ack) => first.ack = ack,
                (Some(_), _) => {}
            }
        }
        self.account.sent = merged;
    }
}

/// The stored messages that a call lists: their IDs and names.
fn named<'a>(
    body: &'a Value,
    ids: &'a HashMap<&str, &str>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let list = body["messageList"].as_array().into_iter().flatten();
    list.filter_map(|it| {
        let id = it["messageID"].as_str()?;
        Some((id, *ids.get(id)?))
    })
}

/// The marks that a call set or took away, but for conversations that the reply says it did not mark.
fn marks(body: &Value, reply: Option<&Value>) -> Vec<Change> {
    let ids = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|it| it["conversationID"].as_str().map(str::to_owned)).collect()
    };
    let failed = reply.map_or_else(Vec::new, |reply| ids(&reply["failedConversationInfos"]));
    let number = body["markType"].as_u64().and_then(|number| u8::try_from(number).ok());
    let mut others = ids(&body["conversationInfos"]);
    others.retain(|other| !failed.contains(other));
    let set = |other| Change::SetMark(other, number.unwrap_or_default(), body["enable"] == true);
    others.into_iter().map(set).collect()
}

fn ack(message: &Value, at: u64) -> Option<Ack> {
    Some(Ack {
        at,
        message_id: message["messageID"].as_str()?.to_owned(),
        seq: message["messageSeq"].as_u64()?,
        order_key: message["orderKey"].as_u64()?,
    })
}

/// For each user, the time until which calls of the account may have changed what the user sees.
pub(super) fn changing_until(account: &Account) -> BTreeMap<&str, u64> {
    let mut until: BTreeMap<&str, u64> = BTreeMap::new();
    let mut note = |user, at: u64| {
        let known = until.entry(user).or_default();
        *known = at.max(*known);
    };
    for sent in &account.sent {
        let stored = sent.ack.as_ref().map_or(sent.started + SETTLES_US, |ack| ack.at);
        let settled = |started: u64, acked: Option<u64>| acked.unwrap_or(started + SETTLES_US);
        let amended = sent.amended.iter().map(|it| settled(it.started, it.acked));
        let reacted = sent.reacted.iter().map(|it| settled(it.started, it.acked));
        let at = amended.chain(reacted).fold(stored, u64::max);
        note(sent.from.as_str(), at);
        note(sent.to.as_str(), at);
    }
    for mark in &account.marks {
        let at = mark.acked.unwrap_or(mark.started + SETTLES_US);
        note(mark.user.as_str(), at);
        if let Change::Confirm(other) | Change::ConfirmOne(other, _) = &mark.what {
            note(other.as_str(), at);
        }
    }
    until
}
