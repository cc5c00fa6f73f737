//! The expected results of the calls that change stored messages.

use serde_json::{Value, json};

use crate::model::flaw::Flaw;
use crate::model::request::SORRY;
use crate::model::state::{Message, Reaction, show_message, show_reaction};
use crate::model::{Expected, INVALID_PARAMETER, Model, Wrong};
use crate::names::{NAMES, number};
use crate::single::calls::content;
use crate::single::world::{Observed, PublishedEvent, REVOKE_MS};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The types that can be edited: Text, Multiple, Custom.
const EDITABLE: [u64; 3] = [1, 10, 200];

impl Model {
    pub(crate) fn revoke(
        &mut self,
        user: usize,
        other: usize,
        pick: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let Some(message) = self.anchor(user, other, Some(pick)).cloned() else {
            return Ok(Expected::refused(INVALID_PARAMETER));
        };
        if let Some(refused) = refused(user, &message) {
            return Ok(refused);
        }
        if self.now_ms > message.at_ms + REVOKE_MS {
            return Ok(Expected::refused((6_000_278, "too_late_to_revoke")));
        }
        let revoked = json!({
            "type": 31,
            "revokeType": 0,
            "revokeStatus": 0,
            "revokeTimestamp": self.now_ms,
            "operatedUserID": NAMES[user],
            "originalMessageType": message.content["type"],
            "originalTextMessageContent": "",
            "revokeExtendedData": SORRY,
        });
        let before = self.state.totals(other).0;
        let unread = self.state.unread(other, user);
        let keeps_count = self.state.flaw == Flaw::RevokedStaysUnread;
        let message = self.message_mut(&message.id);
        let text = if message.content["type"] == 1 {
            message.content["message"].clone()
        } else {
            json!("")
        };
        message.shown = Some(revoked);
        message.is_revoked = true;
        message.extended.clear();
        message.reactions.clear();
        message.counts &= keeps_count;
        let message = message.clone();
        let mut shown = show_message(user, &message);
        shown["originalTextMessageContent"] = text;
        let change = |viewer| json!({ "messageList": [show_message(viewer, &message)] });
        let change = ("message_revoke_received", &change as &dyn Fn(usize) -> Value);
        let events = self.publish_amended(&message, (change, true), (before, unread), observed)?;
        Ok(Expected::good(json!({ "message": shown }), events))
    }

    pub(crate) fn edit(
        &mut self,
        user: usize,
        other: usize,
        (pick, kind, variant): (usize, usize, usize),
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let Some(message) = self.anchor(user, other, Some(pick)).cloned() else {
            return Ok(Expected::refused(INVALID_PARAMETER));
        };
        let (new, was) = (content(kind, variant), message.content_now().clone());
        // First the decisions of the caller's owner, then those of the receiver's owner.
        let refused = refused(user, &message).or_else(|| {
            if self.now_ms > message.at_ms + DAY_MS {
                return Some(Expected::refused((6_000_286, "too_late_to_edit")));
            }
            let is_editable = EDITABLE.contains(&number(&was, "type"));
            (!is_editable || new["type"] != was["type"])
                .then(|| Expected::refused((6_000_285, "not_permitted")))
        });
        if let Some(refused) = refused {
            return Ok(refused);
        }
        if self.state.users[other].blocked.contains(&user) {
            return Ok(Expected::refused((6_000_284, "blocked_by_receiver")));
        }
        if new == was && message.extended.is_empty() {
            return Ok(Expected::good(json!({ "message": show_message(user, &message) }), vec![]));
        }
        let (now_ms, before) = (self.now_ms, self.state.totals(other).0);
        let unread = self.state.unread(other, user);
        let is_forgotten = self.state.flaw == Flaw::EditsAreForgotten;
        let is_other = new != was;
        let message = self.message_mut(&message.id);
        let mut edited = message.clone();
        edited.edited_ms = now_ms.max(message.edited_ms + 1);
        edited.shown = Some(new);
        edited.extended.clear();
        if !is_forgotten {
            message.clone_from(&edited);
        }
        let shown = show_message(user, &edited);
        let change = |viewer| json!({ "messageList": [show_message(viewer, &edited)] });
        let change = ("message_edited", &change as &dyn Fn(usize) -> Value);
        let change = (change, is_other);
        let events = self.publish_amended(&edited, change, (before, unread), observed)?;
        Ok(Expected::good(json!({ "message": shown }), events))
    }

    /// Adds a reaction, or deletes those with a type, or all.
    pub(crate) fn react(
        &mut self,
        user: usize,
        other: usize,
        pick: usize,
        change: Reacting<'_>,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let Some(mut message) = self.anchor(user, other, Some(pick)).cloned() else {
            return Ok(Expected::refused(INVALID_PARAMETER));
        };
        if message.is_revoked {
            return Ok(Expected::refused((6_000_279, "message_revoked")));
        }
        if self.now_ms > message.at_ms + 7 * DAY_MS {
            return Ok(Expected::refused((6_000_285, "too_late_to_react")));
        }
        let side = usize::from(user != message.from);
        let may_repeat = self.state.flaw == Flaw::ReactsTwice;
        let takes_all = self.state.flaw == Flaw::DeletesOthersReactions;
        let Some(kinds) = change.apply(&mut message.reactions, side, may_repeat, takes_all) else {
            return Ok(Expected::refused((6_000_280, "reaction_unchanged")));
        };
        if self.state.users[other].blocked.contains(&user) {
            return Ok(Expected::refused((6_000_284, "blocked_by_receiver")));
        }
        let reply = change.kind().map_or_else(
            || json!({}),
            |kind| json!({ "reaction": show_reaction(user, &message, kind) }),
        );
        if kinds.is_empty() {
            return Ok(Expected::good(reply, vec![]));
        }
        let (receiver, sender) = (message.to, message.from);
        let before = (self.state.totals(receiver).0, self.state.unread(receiver, sender));
        self.message_mut(&message.id).clone_from(&message);
        let is_added = matches!(change, Reacting::Add(..));
        let shown = |viewer| {
            let reactions = kinds.iter().map(|kind| show_reaction(viewer, &message, kind));
            let changes = kinds.iter().map(|kind| {
                json!({
                    "userID": NAMES[user],
                    "reactionType": kind,
                    "action": u8::from(!is_added),
                    "sumCount": show_reaction(viewer, &message, kind)["sumCount"],
                })
            });
            let info = json!({
                "message": show_message(viewer, &message),
                "userChangeInfoList": changes.collect::<Value>(),
            });
            json!({ "reactions": reactions.collect::<Value>(), "changeInfoList": [info] })
        };
        let change = ("message_reactions_changed", &shown as &dyn Fn(usize) -> Value);
        let events = self.publish_amended(&message, (change, false), before, observed)?;
        Ok(Expected::good(reply, events))
    }

    /// The event about the replies to messages that changed, if there are any.
    pub(crate) fn replies_changed(
        &self,
        user: usize,
        other: usize,
        ids: &[&str],
    ) -> Option<(&'static str, Value)> {
        let shown = self.state.shown_replies(user, other, ids);
        let is_published = !shown.is_empty() && self.state.flaw != Flaw::RepliesGoUnnoticed;
        is_published.then(|| ("message_replied_info_changed", json!({ "messageList": shown })))
    }

    fn message_mut(&mut self, id: &str) -> &mut Message {
        let mut messages = self.state.messages.iter_mut();
        messages.find(|message| message.id == id).expect("it is picked from these")
    }

    /// The events of a change of a message: to its receiver, then to its sender, unless they
    /// deleted it. The change may be one that its replies show. `before` is the receiver's total,
    /// and the unread count of the conversation.
    fn publish_amended(
        &mut self,
        message: &Message,
        ((event, body), in_replies): ((&'static str, &dyn Fn(usize) -> Value), bool),
        before: (u64, u64),
        observed: &Observed,
    ) -> Result<Vec<PublishedEvent>, Wrong> {
        self.state.renew_originals();
        let mut events = Vec::new();
        for (user, other) in [(message.to, message.from), (message.from, message.to)] {
            if message.hidden_for.contains(&user) {
                continue;
            }
            let exists = self.state.exists(user, other);
            self.settings_mut(user, other).kept = exists;
            let last = self.state.visible(user, other).last().map(|last| last.id.clone());
            let mut is_last = last.as_ref() == Some(&message.id);
            let is_receiver = user == message.to;
            let has_read = is_receiver && self.state.unread(user, other) != before.1;
            let mut change: Vec<(&str, Value)> = vec![(event, body(user))];
            if in_replies {
                let replies = self.replies_changed(user, other, &[&message.id]);
                let shown = replies.iter().filter_map(|(_, body)| body["messageList"].as_array());
                let mut shown = shown.flatten().filter_map(|reply| reply["messageID"].as_str());
                is_last |= shown.any(|reply| last.as_deref() == Some(reply));
                change.extend(replies);
            }
            if exists && (is_last || has_read) {
                let conversation = self.state.show_conversation(user, other);
                let info = json!({ "event": 1, "action": 2, "conversation": conversation });
                change.push(("conversation_changed", json!({ "infoList": [info] })));
            }
            if is_receiver && self.state.totals(user).0 != before.0 {
                change.push(self.total_changed(user));
            }
            events.extend(self.events_of_change(user, change, observed)?);
            let revision = self.state.users[user].revision;
            self.settings_mut(user, other).revision = revision;
        }
        Ok(events)
    }
}

/// A change of a user's reactions to a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reacting<'k> {
    Add(&'k str, u64),
    Delete(&'k str),
    DeleteAll,
}

impl Reacting<'_> {
    const fn kind(&self) -> Option<&str> {
        match self {
            Self::Add(kind, _) | Self::Delete(kind) => Some(kind),
            Self::DeleteAll => None,
        }
    }

    /// Changes the reactions of one of the two users. Returns the types that changed; `None` if it
    /// is refused.
    fn apply(
        self,
        reactions: &mut Vec<Reaction>,
        side: usize,
        may_repeat: bool,
        takes_all: bool,
    ) -> Option<Vec<String>> {
        let of = |reactions: &[Reaction], kind: &str| {
            reactions.iter().position(|reaction| reaction.kind == kind)
        };
        let kinds = match self {
            Self::Add(kind, increase) => {
                let index = of(reactions, kind).unwrap_or_else(|| {
                    let kind = kind.to_owned();
                    reactions.push(Reaction { kind, ..Reaction::default() });
                    reactions.len() - 1
                });
                let count = &mut reactions[index].by[side];
                if *count > 0 && increase == 0 && !may_repeat {
                    return None;
                }
                *count += increase.max(1);
                vec![kind.to_owned()]
            }
            Self::Delete(kind) => {
                let index = of(reactions, kind).filter(|index| reactions[*index].by[side] > 0)?;
                reactions[index].by[side] = 0;
                vec![kind.to_owned()]
            }
            Self::DeleteAll => {
                let own = reactions.iter_mut().filter(|reaction| reaction.by[side] > 0);
                let kinds: Vec<String> = own
                    .map(|reaction| {
                        reaction.by[side] = 0;
                        if takes_all {
                            reaction.by = [0, 0];
                        }
                        reaction.kind.clone()
                    })
                    .collect();
                kinds
            }
        };
        reactions.retain(|reaction| reaction.by != [0, 0]);
        Some(kinds)
    }
}

/// The refusal of a change of a message that is not the caller's, or was revoked.
fn refused(user: usize, message: &Message) -> Option<Expected> {
    if message.from != user {
        return Some(Expected::refused((6_000_285, "not_permitted")));
    }
    message.is_revoked.then(|| Expected::refused((6_000_279, "message_revoked")))
}
