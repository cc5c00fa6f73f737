//! The expected results of the calls that read or change conversations.

use serde_json::{Value, json};

use crate::model::state::{Message, Settings, show_message};
use crate::model::{Expected, INVALID_PARAMETER, Model, Wrong};
use crate::names::{NAMES, number};
use crate::single::world::{Observed, PublishedEvent};

/// An ID that no message has.
pub(crate) const NO_MESSAGE: &str = "12345";

fn changed_reply(other: usize) -> Value {
    json!({ "conversationID": NAMES[other], "conversationType": 0 })
}

impl Model {
    /// The message that an anchor selects, if there is one. It may have been deleted meanwhile.
    pub(crate) fn anchor(
        &self,
        user: usize,
        other: usize,
        anchor: Option<usize>,
    ) -> Option<&Message> {
        let messages = self.state.between(user, other);
        anchor.filter(|_| !messages.is_empty()).map(|anchor| messages[anchor % messages.len()])
    }

    /// The IDs of the messages that a delete call names.
    pub(crate) fn picked(
        &self,
        user: usize,
        other: usize,
        picks: &[usize],
        foreign: bool,
    ) -> Vec<String> {
        let messages = self.state.between(user, other);
        let pick = |pick: &usize| {
            let found = messages.get(pick % messages.len().max(1));
            found.map_or_else(|| NO_MESSAGE.to_owned(), |message| message.id.clone())
        };
        let mut picked: Vec<String> = picks.iter().map(pick).collect();
        if foreign {
            let is_elsewhere =
                |message: &&Message| !messages.iter().any(|here| here.id == message.id);
            let elsewhere = self.state.messages.iter().find(is_elsewhere);
            picked.push(elsewhere.map_or_else(|| NO_MESSAGE.to_owned(), |found| found.id.clone()));
        }
        picked
    }

    /// The conversation after which a page of the list begins, and the order key that it had
    /// earlier.
    pub(crate) fn list_anchor(&self, user: usize, anchor: Option<usize>) -> Option<(usize, u64)> {
        let list = self.state.list(user);
        let other = anchor.filter(|_| !list.is_empty()).map(|anchor| list[anchor % list.len()])?;
        let oldest = self.state.between(user, other).first().map(|message| message.key);
        Some((other, oldest.unwrap_or_else(|| self.state.order_key(user, other))))
    }

    pub(crate) fn total_changed(&self, user: usize) -> (&'static str, Value) {
        let (unmuted, all) = self.state.totals(user);
        let body = json!({
            "totalUnreadMessageCount": unmuted,
            "totalUnreadMessageCountIncludingMuted": all,
        });
        ("conversation_total_unread_message_count_updated", body)
    }

    pub(crate) fn clear(
        &mut self,
        user: usize,
        other: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let mut events = Vec::new();
        if self.is_unread(user, other) {
            let before = self.state.totals(user).0;
            self.read_all(user, other);
            events = self.publish_change(user, &[other], before, Vec::new(), observed)?;
        }
        Ok(Expected::good(changed_reply(other), events))
    }

    pub(crate) fn clear_all(
        &mut self,
        user: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let before = self.state.totals(user).0;
        let unread: Vec<usize> =
            (0..NAMES.len()).filter(|other| self.is_unread(user, *other)).collect();
        for other in &unread {
            self.read_all(user, *other);
        }
        let mut events = Vec::new();
        if !unread.is_empty() {
            events = self.publish_change(user, &unread, before, Vec::new(), observed)?;
        }
        Ok(Expected::good(json!({}), events))
    }

    pub(crate) fn mute(
        &mut self,
        user: usize,
        other: usize,
        mute: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        if other == user {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        let mut events = Vec::new();
        if self.state.settings(user, other).muted != mute {
            let before = self.state.totals(user).0;
            self.settings_mut(user, other).muted = mute;
            events = self.publish_change(user, &[other], before, Vec::new(), observed)?;
        }
        Ok(Expected::good(changed_reply(other), events))
    }

    /// Every message must be in the conversation. Messages that were deleted earlier are skipped.
    pub(crate) fn delete(
        &mut self,
        user: usize,
        other: usize,
        picks: &[usize],
        foreign: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let picked = self.picked(user, other, picks, foreign);
        let here: Vec<Message> = self.state.between(user, other).into_iter().cloned().collect();
        if picked.iter().any(|id| here.iter().all(|message| message.id != *id)) {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        let mut gone = here;
        gone.retain(|message| picked.contains(&message.id) && !message.hidden_for.contains(&user));
        let mut events = Vec::new();
        if !gone.is_empty() {
            let before = self.state.totals(user).0;
            let shown_in = self.if_exists(user, other);
            self.hide(user, |message| gone.iter().any(|gone| gone.id == message.id));
            let shown = gone.iter().map(|message| show_message(user, message));
            let deleted = json!({
                "conversationID": NAMES[other],
                "conversationType": 0,
                "messageDeleteType": 0,
                "isDeleteConversationAllMessage": false,
                "messageList": shown.collect::<Value>(),
            });
            // What was revoked has no content that replies could lose.
            let gone = gone.iter().filter(|gone| !gone.is_revoked);
            let gone: Vec<&str> = gone.map(|gone| gone.id.as_str()).collect();
            let deleted = std::iter::once(("message_deleted", deleted));
            let deleted = deleted.chain(self.replies_changed(user, other, &gone)).collect();
            events = self.publish_change(user, &shown_in, before, deleted, observed)?;
        }
        Ok(Expected::good(json!({}), events))
    }

    /// The conversation, unless it is deleted.
    fn if_exists(&self, user: usize, other: usize) -> Vec<usize> {
        if self.state.exists(user, other) { vec![other] } else { Vec::new() }
    }

    fn is_unread(&self, user: usize, other: usize) -> bool {
        self.state.unread(user, other) > 0 || self.state.settings(user, other).marked_unread
    }

    /// The call changes something if a message was sent or received since the last deletion of all.
    pub(crate) fn delete_all(
        &mut self,
        user: usize,
        other: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let mut events = Vec::new();
        // If all messages were already deleted one by one, nothing changes.
        if !self.state.visible(user, other).is_empty() {
            let before = self.state.totals(user).0;
            let shown_in = self.if_exists(user, other);
            let marked_unread = self.state.settings(user, other).marked_unread;
            let read_seq = self.state.settings(user, other).read_seq;
            self.read_all(user, other);
            // It goes away where the read mark moves.
            let is_read = self.state.settings(user, other).read_seq != read_seq;
            self.settings_mut(user, other).marked_unread = marked_unread && !is_read;
            self.hide(user, |message| {
                let way = (message.from, message.to);
                way == (user, other) || way == (other, user)
            });
            let deleted = json!({
                "conversationID": NAMES[other],
                "conversationType": 0,
                "messageDeleteType": 1,
                "isDeleteConversationAllMessage": true,
                "messageList": [],
            });
            let deleted = vec![("message_deleted", deleted)];
            events = self.publish_change(user, &shown_in, before, deleted, observed)?;
        }
        Ok(Expected::good(json!({}), events))
    }

    pub(crate) fn hide(&mut self, user: usize, is_gone: impl Fn(&Message) -> bool) {
        for message in self.state.messages.iter_mut().filter(|message| is_gone(message)) {
            message.hidden_for.push(user);
        }
        self.state.renew_originals();
    }

    pub(crate) fn read_all(&mut self, user: usize, other: usize) {
        let is_from = |message: &&mut Message| (message.from, message.to) == (other, user);
        let mut read_seq = 0;
        for message in self.state.messages.iter_mut().filter(is_from) {
            message.read = true;
            read_seq += 1;
        }
        let settings = self.settings_mut(user, other);
        settings.read_seq = read_seq;
        settings.marked_unread = false;
    }

    pub(crate) fn settings_mut(&mut self, user: usize, other: usize) -> &mut Settings {
        self.state.users[user].settings.entry(other).or_default()
    }

    /// Publishes a change to the user's own subjects: the deleted messages, the conversations, and
    /// the total if it changed.
    pub(crate) fn publish_change(
        &mut self,
        user: usize,
        others: &[usize],
        total_before: u64,
        mut events: Vec<(&'static str, Value)>,
        observed: &Observed,
    ) -> Result<Vec<PublishedEvent>, Wrong> {
        // Those that change together have the same key.
        let newest = self.state.list(user).into_iter();
        let newest = newest.map(|other| self.state.order_key(user, other)).max();
        let mut are_back = Vec::new();
        for other in others {
            // A setting brings a deleted conversation back.
            let existed = self.state.exists(user, *other);
            are_back.push(!existed && self.state.has_begun(user, *other));
            self.settings_mut(user, *other).kept = true;
            self.take_key(user, *other, newest, observed)?;
        }
        let infos = others.iter().zip(are_back).map(|(other, is_back)| {
            let conversation = self.state.show_conversation(user, *other);
            let (event, action) = if is_back { (0, 0) } else { (1, 2) };
            json!({ "event": event, "action": action, "conversation": conversation })
        });
        let infos: Vec<Value> = infos.collect();
        if !infos.is_empty() {
            events.push(("conversation_changed", json!({ "infoList": infos })));
        }
        if self.state.totals(user).0 != total_before {
            events.push(self.total_changed(user));
        }
        let events = self.events_of_change(user, events, observed)?;
        let revision = self.state.users[user].revision;
        for other in others {
            self.settings_mut(user, *other).revision = revision;
        }
        Ok(events)
    }

    /// The order key of a conversation without messages is that of its last change. The daemon
    /// chooses it, but it must be above all earlier ones.
    pub(crate) fn take_key(
        &mut self,
        user: usize,
        other: usize,
        newest: Option<u64>,
        observed: &Observed,
    ) -> Result<(), Wrong> {
        if !self.state.between(user, other).is_empty() {
            return Ok(());
        }
        let key = changed_key(observed, NAMES[other]);
        if newest.is_some_and(|newest| key <= newest) {
            return Err(format!("the changed conversation's order key {key} is not the newest"));
        }
        self.settings_mut(user, other).key = key;
        Ok(())
    }
}

fn changed_key(observed: &Observed, conversation: &str) -> u64 {
    let changed = observed.events.iter().filter(|event| event.name == "conversation_changed");
    let infos = changed.filter_map(|event| event.body["infoList"].as_array()).flatten();
    let mut infos = infos.map(|info| &info["conversation"]);
    let found = infos.find(|shown| shown["conversationID"] == conversation);
    found.map_or(0, |shown| number(shown, "orderKey"))
}
