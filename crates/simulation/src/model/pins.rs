//! The expected results of the calls that pin messages.

use serde_json::{Value, json};

use crate::model::flaw::Flaw;
use crate::model::state::{Message, show_message};
use crate::model::{Expected, INVALID_PARAMETER, Model, Wrong};
use crate::names::NAMES;
use crate::single::world::Observed;

/// The most pinned messages of a conversation.
const PINNED_MAX: usize = 10;

impl Model {
    /// Pins a message, or removes its pin.
    pub(crate) fn pin_message(
        &mut self,
        user: usize,
        other: usize,
        pick: usize,
        (on, replaces): (bool, bool),
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let message = self.anchor(user, other, Some(pick));
        let message = message.filter(|message| !message.hidden_for.contains(&user));
        let Some(message) = message.cloned() else {
            return Ok(Expected::refused(INVALID_PARAMETER));
        };
        let not_pinned = Expected::refused((6_000_208, "not_pinned"));
        if message.is_revoked {
            let revoked = Expected::refused((6_000_279, "message_revoked"));
            return Ok(if on { revoked } else { not_pinned });
        }
        if self.state.users[other].blocked.contains(&user) {
            return Ok(Expected::refused((6_000_284, "blocked_by_receiver")));
        }
        if !on && message.pinned.is_none() {
            return Ok(not_pinned);
        }
        let mut changes = vec![(u8::from(on), message.id.clone())];
        let newest_ms = self.pins(user, other).first().map_or(0, |(at_ms, _)| *at_ms);
        if on {
            let is_again = message.pinned.is_some();
            changes[0].0 += u8::from(is_again);
            let mut others = self.pins(user, other);
            others.retain(|(_, id)| *id != message.id);
            if others.len() >= PINNED_MAX {
                // A revoked message has lost its pin before.
                others.retain(|(_, id)| !self.message_of(id).is_revoked || !self.unpin(id));
            }
            if others.len() >= PINNED_MAX && self.state.flaw != Flaw::PinsAreUnbounded {
                if !replaces {
                    return Ok(Expected::refused((6_000_287, "too_many_pinned_messages")));
                }
                let (_, oldest) = others.pop().expect("there are several");
                self.unpin(&oldest);
                changes.push((0, oldest));
            }
            let keeps = is_again && self.state.flaw == Flaw::PinsKeepTheirTime;
            let at_ms = message.pinned.filter(|_| keeps).map(|(_, at_ms)| at_ms);
            let at_ms = at_ms.unwrap_or_else(|| self.now_ms.max(newest_ms + 1));
            self.message_of(&message.id).pinned = Some((user, at_ms));
        } else {
            self.unpin(&message.id);
        }
        let is_own = self.state.flaw == Flaw::PinsAreOwn;
        let mut both = [user, other];
        both.sort_by_key(|user| NAMES[*user]);
        let mut events = Vec::new();
        for viewer in both.into_iter().filter(|viewer| !is_own || *viewer == user) {
            let peer = if viewer == user { other } else { user };
            events.extend(self.publish_pins(viewer, peer, &changes, observed)?);
        }
        Ok(Expected::good(json!({}), events))
    }

    /// The events about pins to one of the two users, unless the user deleted the messages.
    fn publish_pins(
        &mut self,
        viewer: usize,
        peer: usize,
        changes: &[(u8, String)],
        observed: &Observed,
    ) -> Result<Vec<crate::single::world::PublishedEvent>, Wrong> {
        let visible = self.state.visible(viewer, peer);
        let seen = |(status, id): &(u8, String)| {
            let message = visible.iter().find(|message| message.id == *id)?;
            Some((*status, *message))
        };
        let shown: Vec<(u8, &Message)> = changes.iter().filter_map(seen).collect();
        if shown.is_empty() {
            return Ok(Vec::new());
        }
        let last = visible.last().map(|message| &message.id);
        let is_last = shown.iter().any(|(_, message)| Some(&message.id) == last);
        let info = |(status, message): &(u8, &Message)| json!({ "pinStatus": status, "message": show_message(viewer, message) });
        let infos: Value = shown.iter().map(info).collect();
        let exists = self.state.exists(viewer, peer);
        self.settings_mut(viewer, peer).kept = exists;
        let mut events = vec![("message_pin_status_changed", json!({ "infos": infos }))];
        if exists && is_last {
            let conversation = self.state.show_conversation(viewer, peer);
            let info = json!({ "event": 1, "action": 2, "conversation": conversation });
            events.push(("conversation_changed", json!({ "infoList": [info] })));
        }
        let events = self.events_of_change(viewer, events, observed)?;
        let revision = self.state.users[viewer].revision;
        self.settings_mut(viewer, peer).revision = revision;
        Ok(events)
    }

    /// The times and IDs of the pinned messages, the last pinned first.
    fn pins(&self, user: usize, other: usize) -> Vec<(u64, String)> {
        let messages = self.state.between(user, other).into_iter();
        let pinned = messages.filter_map(|it| Some((it.pinned?.1, it.id.clone())));
        let mut pinned: Vec<(u64, String)> = pinned.collect();
        pinned.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
        pinned
    }

    fn message_of(&mut self, id: &str) -> &mut Message {
        let mut messages = self.state.messages.iter_mut();
        messages.find(|message| message.id == id).expect("it is pinned")
    }

    fn unpin(&mut self, id: &str) -> bool {
        self.message_of(id).pinned = None;
        true
    }
}
