//! The events that users received, checked against the store and for their order.
//!
//! Always: an event goes to a user it concerns, and its content is as stored. Without a
//! disturbance: revisions rise, none is missed, and acknowledged messages are published. While
//! instances of peerd are killed, restarted or paused, events may arrive twice and out of order,
//! but none may be missing in the end. While NATS is disturbed, events may be missing, too, since
//! NATS delivers them at most once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::account::{Account, Amendment, Held, Sent};
use super::checker::Line;
use super::fault::{Fault, Kind};
use super::notes::{Event, Notes, What};
use super::replies::line;
use super::stored::{Stored, StoredMessage};

/// How long after its reply an event may arrive, and how long before and after a disturbance its
/// effects may show, in microseconds.
const GRACE_US: u64 = 5_000_000;

/// The result of the check.
#[derive(Default)]
pub(super) struct Received {
    pub(super) delivered: usize,
    pub(super) redelivered: usize,
    pub(super) faults: Vec<Fault>,
}

/// The last event that a listener received for a user.
struct Last {
    revision: u64,
    at: u64,
}

pub(super) fn hold(notes: &Notes, stored: &Stored, account: &Account) -> Received {
    let by_id = stored.by_id();
    let sent: BySender<'_> =
        account.sent.iter().map(|sent| (sent.local_id.as_str(), sent)).collect();
    let mut amended: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut seen = Received::default();
    let mut last: BTreeMap<(usize, &str), Last> = BTreeMap::new();
    let mut keys: BTreeMap<(usize, &str, &str), (u64, u64)> = BTreeMap::new();
    let mut delivered: HashMap<(&str, &str), HashMap<usize, u32>> = HashMap::new();
    for event in &notes.events {
        let fault = |kind, text: String| Fault::new(kind, text).of(&event.user);
        if let Some(missed) = revisions(notes, event, &mut last) {
            seen.faults.push(missed);
        }
        match event.event.as_str() {
            "peer_message_received" => {
                for message in event.body["messageList"].as_array().into_iter().flatten() {
                    let id = message["messageID"].as_str().unwrap_or_default();
                    let times = delivered.entry((event.user.as_str(), id)).or_default();
                    *times.entry(event.client).or_default() += 1;
                    seen.faults.extend(received(event, message, &by_id, &sent));
                }
            }
            "message_edited" | "message_revoke_received" => {
                for message in event.body["messageList"].as_array().into_iter().flatten() {
                    let id = message["messageID"].as_str().unwrap_or_default();
                    let text = message["message"].as_str().unwrap_or_default();
                    amended.insert((event.user.as_str(), id, text));
                    seen.faults.extend(changed_message(event, message, &by_id, &sent));
                }
            }
            "message_reactions_changed" => {
                for change in event.body["changeInfoList"].as_array().into_iter().flatten() {
                    seen.faults.extend(changed_message(event, &change["message"], &by_id, &sent));
                }
            }
            "conversation_changed" => {
                for info in event.body["infoList"].as_array().into_iter().flatten() {
                    let conversation = &info["conversation"];
                    let other = conversation["conversationID"].as_str().unwrap_or_default();
                    let order = conversation["orderKey"].as_u64().unwrap_or_default();
                    let place = (event.client, event.user.as_str(), other);
                    let before = keys.insert(place, (order, event.at)).unwrap_or_default();
                    let is_calm = !disturbed(notes, None, before.1, event.at);
                    if order < before.0 && is_calm {
                        let text = format!("the conversation with {other} goes back to {order}");
                        seen.faults.push(fault(Kind::Reordered, text));
                    }
                    seen.faults.extend(changed(event, conversation, other, &by_id));
                }
            }
            _ => {}
        }
    }
    unpublished(notes, account, &delivered, &mut seen);
    seen.faults.extend(unpublished_amendments(notes, account, &amended));
    seen
}

/// Sent messages by their names.
type BySender<'a> = HashMap<&'a str, &'a Sent>;

fn disturbed(notes: &Notes, what: Option<What>, from: u64, to: u64) -> bool {
    notes.was_disturbed(what, from.saturating_sub(GRACE_US), to.saturating_add(GRACE_US))
}

/// Checks that revisions rise and that each is the next one.
fn revisions<'n>(
    notes: &'n Notes,
    event: &'n Event,
    last: &mut BTreeMap<(usize, &'n str), Last>,
) -> Option<Fault> {
    let revision = event.body["revision"].as_u64()?;
    let previous = event.body["previousRevision"].as_u64()?;
    let now = Last { revision, at: event.at };
    let before = last.insert((event.client, &event.user), now)?;
    if disturbed(notes, None, before.at, event.at)
        || !notes.was_seen(&event.user, before.at, event.at)
    {
        return None;
    }
    if revision < before.revision {
        let text = format!("revision {revision} came after {}", before.revision);
        return Some(Fault::new(Kind::Reordered, text).of(&event.user));
    }
    if revision > before.revision && previous != before.revision {
        let text =
            format!("between revisions {} and {previous} something is missing", before.revision);
        return Some(Fault::new(Kind::Unpublished, text).of(&event.user));
    }
    None
}

/// Checks that a message in an event was sent to the user of the event.
fn received(
    event: &Event,
    message: &serde_json::Value,
    by_id: &HashMap<&str, &StoredMessage>,
    sent: &BySender<'_>,
) -> Option<Fault> {
    const COMMAND: u64 = 2;
    if message["type"].as_u64() == Some(COMMAND) {
        return None;
    }
    let shown = line(message);
    let from = event.body["fromConversationID"].as_str().unwrap_or_default();
    let Some(stored) = by_id.get(shown.message_id.as_str()) else {
        let text = format!("received {}, which is not stored", shown.local_id);
        return Some(Fault::new(Kind::Unsent, text).of(&event.user));
    };
    if stored.receiver.as_str() != event.user || stored.sender.as_str() != from {
        let (to, id) = (&stored.receiver, &shown.local_id);
        let text = format!("received {id} as from {from}, which is to {to}");
        return Some(Fault::new(Kind::WrongRecipient, text).of(&event.user));
    }
    let text = || format!("received {} other than it is stored", shown.local_id);
    (!is_as_stored(stored, &shown, sent))
        .then(|| Fault::new(Kind::WrongContent, text()).of(&event.user))
}

/// Whether a message was shown as it is stored, or as it was once.
fn is_as_stored(stored: &StoredMessage, shown: &Line, sent: &BySender<'_>) -> bool {
    let is_there = stored.line == Line { text: stored.line.text.clone(), ..shown.clone() };
    let is_known = match sent.get(shown.local_id.as_str()) {
        Some(sent) => sent.texts(0, u64::MAX).contains(&shown.text.as_str()),
        None => stored.is_removed || stored.line.text == shown.text,
    };
    is_there && is_known
}

/// Checks that a message whose change an event tells of is between the user of the event and another.
fn changed_message(
    event: &Event,
    message: &serde_json::Value,
    by_id: &HashMap<&str, &StoredMessage>,
    sent: &BySender<'_>,
) -> Option<Fault> {
    let shown = line(message);
    let stored = by_id.get(shown.message_id.as_str())?;
    let fault = |kind, text: String| Some(Fault::new(kind, text).of(&event.user));
    if ![stored.sender.as_str(), stored.receiver.as_str()].contains(&event.user.as_str()) {
        return fault(
            Kind::WrongRecipient,
            format!("{} changed, which is not theirs", shown.local_id),
        );
    }
    let is_right = match event.event.as_str() {
        "message_revoke_received" => stored.is_removed && shown.text.is_empty(),
        _ => is_as_stored(stored, &shown, sent),
    };
    if is_right {
        None
    } else {
        fault(Kind::WrongContent, format!("{} changed otherwise", shown.local_id))
    }
}

/// Checks that the last message of a conversation in an event is between its two users.
fn changed(
    event: &Event,
    conversation: &serde_json::Value,
    other: &str,
    by_id: &HashMap<&str, &StoredMessage>,
) -> Option<Fault> {
    let last = &conversation["lastMessage"];
    if !last.is_object() {
        return None;
    }
    let shown = line(last);
    let stored = by_id.get(shown.message_id.as_str())?;
    let parties = [stored.sender.as_str(), stored.receiver.as_str()];
    let is_theirs = parties.contains(&event.user.as_str()) && parties.contains(&other);
    let text = || format!("received {} as between them and {other}", shown.local_id);
    (!is_theirs).then(|| Fault::new(Kind::WrongRecipient, text()).of(&event.user))
}

/// Checks that acknowledged messages were published if a client listened for their receivers.
fn unpublished(
    notes: &Notes,
    account: &Account,
    delivered: &HashMap<(&str, &str), HashMap<usize, u32>>,
    seen: &mut Received,
) {
    // A client that was disconnected for a moment may have missed events of that moment.
    let deaf: BTreeSet<u64> =
        notes.listening.iter().map(|it| it.until).filter(|until| *until < u64::MAX).collect();
    for sent in &account.sent {
        let Some(ack) = &sent.ack else { continue };
        let times = delivered.get(&(sent.to.as_str(), ack.message_id.as_str()));
        if let Some(times) = times {
            seen.delivered += 1;
            seen.redelivered += usize::from(times.values().any(|times| *times > 1));
            continue;
        }
        let ends = ack.at.saturating_add(GRACE_US);
        let was_deaf = deaf.range(sent.started.saturating_sub(GRACE_US)..=ends).next().is_some();
        // An instance that takes over does not publish messages that their receiver has deleted
        // meanwhile.
        let was_deleted = account.marks_of(&sent.to, &sent.from).deleted(sent) != Held::No
            && disturbed(notes, Some(What::Peerd), sent.started, ends);
        let is_due = notes.was_seen(&sent.to, sent.started, ends)
            && !was_deaf
            && !was_deleted
            && !disturbed(notes, Some(What::Nats), sent.started, ends);
        if is_due {
            let text = format!("did not receive {}", sent.local_id);
            seen.faults.push(Fault::new(Kind::Unpublished, text).of(&sent.to));
        }
    }
}

/// Checks that acknowledged edits and revocations were published to the receivers of the messages, if
/// a client listened and nothing was disturbed: such an event is not repeated.
fn unpublished_amendments(
    notes: &Notes,
    account: &Account,
    published: &BTreeSet<(&str, &str, &str)>,
) -> Vec<Fault> {
    let mut found = Vec::new();
    for sent in &account.sent {
        let Some(ack) = &sent.ack else { continue };
        for amended in &sent.amended {
            let Some(acked) = amended.acked else { continue };
            let (ends, to) = (acked.saturating_add(GRACE_US), sent.to.as_str());
            let text = match &amended.what {
                Amendment::Edited(text) => text.as_str(),
                Amendment::Revoked => "",
            };
            let is_due = notes.was_seen(to, amended.started, ends)
                && account.marks_of(to, &sent.from).deleted(sent) == Held::No
                && !disturbed(notes, None, amended.started, ends);
            if is_due && !published.contains(&(to, ack.message_id.as_str(), text)) {
                let text = format!("did not receive a change of {}", sent.local_id);
                found.push(Fault::new(Kind::Unpublished, text).of(to));
            }
        }
    }
    found
}
