//! The expected results of reading up to a message, of deleting conversations, and of deleting all
//! messages.

use serde_json::json;

use super::flaw::Flaw;
use super::state::Message;
use crate::model::{Expected, INVALID_PARAMETER, Model, Wrong};
use crate::names::NAMES;
use crate::single::world::Observed;

impl Model {
    /// Reads a conversation up to a message, which must be in it.
    pub(crate) fn clear_up_to(
        &mut self,
        user: usize,
        other: usize,
        up_to: &str,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let between = self.state.between(user, other).into_iter();
        let Some(last) = between.filter(|message| message.id == up_to).map(|it| it.key).next()
        else {
            return Ok(Expected::refused(INVALID_PARAMETER));
        };
        let last = if self.state.flaw == Flaw::ReadsEverything { u64::MAX } else { last };
        let before = self.state.totals(user).0;
        let is_marked = self.state.settings(user, other).marked_unread;
        let is_read =
            |message: &Message| (message.from, message.to) == (other, user) && message.key <= last;
        let is_unread = |message: &Message| {
            message.counts && !message.read && !message.hidden_for.contains(&user)
        };
        let is_less = self.state.messages.iter().any(|it| is_read(it) && is_unread(it));
        let mut events = Vec::new();
        if is_less || is_marked {
            let mut read_seq = self.state.settings(user, other).read_seq;
            for message in self.state.messages.iter_mut().filter(|message| is_read(message)) {
                message.read = true;
                read_seq = read_seq.max(message.seq);
            }
            let settings = self.settings_mut(user, other);
            settings.read_seq = read_seq;
            settings.marked_unread = false;
            events = self.publish_change(user, &[other], before, Vec::new(), observed)?;
        }
        let reply = json!({ "conversationID": NAMES[other], "conversationType": 0 });
        Ok(Expected::good(reply, events))
    }

    pub(crate) fn delete_conversation(
        &mut self,
        user: usize,
        other: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let reply = json!({ "conversationID": NAMES[other], "conversationType": 0 });
        if !self.state.exists(user, other) {
            return Ok(Expected::good(reply, Vec::new()));
        }
        let before = self.state.totals(user).0;
        let newest = self.state.list(user).into_iter();
        let newest = newest.map(|other| self.state.order_key(user, other)).max();
        self.delist(user, other);
        self.take_key(user, other, newest, observed)?;
        let conversation = self.state.show_conversation(user, other);
        let info = json!({ "event": 3, "action": 1, "conversation": conversation });
        let mut events = vec![("conversation_changed", json!({ "infoList": [info] }))];
        if self.state.totals(user).0 != before {
            events.push(self.total_changed(user));
        }
        let events = self.events_of_change(user, events, observed)?;
        self.settings_mut(user, other).revision = self.state.users[user].revision;
        Ok(Expected::good(reply, events))
    }

    pub(crate) fn delete_conversations(
        &mut self,
        user: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let others = self.state.list(user);
        if others.is_empty() {
            return Ok(Expected::good(json!({}), Vec::new()));
        }
        let before = self.state.totals(user).0;
        for other in &others {
            self.delist(user, *other);
        }
        let mut events = vec![("conversations_all_deleted", json!({ "count": others.len() }))];
        if self.state.totals(user).0 != before {
            events.push(self.total_changed(user));
        }
        let events = self.events_of_change(user, events, observed)?;
        let revision = self.state.users[user].revision;
        for other in others {
            // A conversation without messages sorts by the change.
            if self.state.between(user, other).is_empty() {
                self.settings_mut(user, other).key = revision;
            }
            self.settings_mut(user, other).revision = revision;
        }
        Ok(Expected::good(json!({}), events))
    }

    fn delist(&mut self, user: usize, other: usize) {
        self.read_all(user, other);
        let newest = self.state.between(user, other).last().map_or(0, |message| message.key);
        let settings = self.settings_mut(user, other);
        settings.delisted = Some(newest);
        settings.kept = false;
        settings.draft.clear();
    }

    /// Deletes all messages of all conversations that show any.
    pub(crate) fn delete_all_messages(
        &mut self,
        user: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let all = 0..NAMES.len();
        let others: Vec<usize> =
            all.filter(|other| !self.state.visible(user, *other).is_empty()).collect();
        if others.is_empty() {
            return Ok(Expected::good(json!({}), Vec::new()));
        }
        let before = self.state.totals(user).0;
        let shown: Vec<usize> =
            others.iter().copied().filter(|other| self.state.exists(user, *other)).collect();
        for other in &others {
            let (read_seq, is_marked) = {
                let settings = self.state.settings(user, *other);
                (settings.read_seq, settings.marked_unread)
            };
            self.read_all(user, *other);
            let settings = self.settings_mut(user, *other);
            settings.marked_unread = is_marked && settings.read_seq == read_seq;
        }
        self.hide(user, |message| {
            let other = if message.from == user { message.to } else { message.from };
            (message.from == user || message.to == user) && others.contains(&other)
        });
        let deleted = json!({
            "conversationID": "",
            "conversationType": 0,
            "messageDeleteType": 2,
            "isDeleteConversationAllMessage": true,
            "messageList": [],
        });
        let deleted = vec![("message_deleted", deleted)];
        let events = self.publish_change(user, &shown, before, deleted, observed)?;
        Ok(Expected::good(json!({}), events))
    }
}
