//! The expected results of the calls that confirm messages as read.

use serde_json::json;

use crate::model::flaw::Flaw;
use crate::model::state::Message;
use crate::model::{Expected, INVALID_PARAMETER, Model, Wrong};
use crate::names::NAMES;
use crate::single::world::{Observed, PublishedEvent};

impl Model {
    /// Confirms the messages of a conversation up to the newest one that waits for it.
    pub(crate) fn receipt_read(
        &mut self,
        user: usize,
        other: usize,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        if other == user {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        let reply = json!({ "conversationID": NAMES[other], "conversationType": 0 });
        let is_ignored = self.state.flaw == Flaw::ReceiptsIgnorePrivacy;
        let hides = |user: usize| self.state.users[user].hidden[0] && !is_ignored;
        let waits = |message: &&&Message| {
            message.from == other && message.receipt && !message.confirmed && !message.is_revoked
        };
        let newest = self.state.visible(user, other).iter().rfind(waits).map(|found| found.key);
        let Some(newest) = newest.filter(|_| !hides(user)) else {
            return Ok(Expected::good(reply, Vec::new()));
        };
        if self.state.users[other].blocked.contains(&user) {
            return Ok(Expected::refused((6_000_284, "blocked_by_receiver")));
        }
        if hides(other) {
            return Ok(Expected::good(reply, Vec::new()));
        }
        let is_forgotten = self.state.flaw == Flaw::ReceiptsAreForgotten;
        for message in &mut self.state.messages {
            let is_meant = (message.from, message.to) == (other, user) && message.key <= newest;
            message.confirmed |= is_meant && message.receipt && !is_forgotten;
        }
        let mut events = self.publish_receipt((other, user), true, newest, observed)?;
        events.extend(self.publish_receipt((user, other), false, newest, observed)?);
        Ok(Expected::good(reply, events))
    }

    /// Confirms messages that the user received and sees.
    pub(crate) fn receipts_read(
        &mut self,
        user: usize,
        other: usize,
        picks: &[usize],
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        if other == user {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        let mut ids = self.picked(user, other, picks, false);
        ids.sort_by_key(|id| id.parse().unwrap_or(0_u64));
        ids.dedup();
        let visible = self.state.visible(user, other);
        let meant = |id: &&String| {
            visible.iter().any(|message| {
                message.id == **id
                    && message.from == other
                    && message.receipt
                    && !message.is_revoked
            })
        };
        let (meant, errors): (Vec<&String>, Vec<&String>) = ids.iter().partition(meant);
        let reply = json!({
            "conversationID": NAMES[other], "conversationType": 0, "errorMessageIDs": errors,
        });
        let is_ignored = self.state.flaw == Flaw::ReceiptsIgnorePrivacy;
        let hides = |user: usize| self.state.users[user].hidden[0] && !is_ignored;
        let waits = |id: &&&String| {
            self.state.messages.iter().any(|message| message.id == ***id && !message.confirmed)
        };
        let read: Vec<String> = meant.iter().filter(waits).map(|id| (*id).clone()).collect();
        if read.is_empty() || hides(user) {
            return Ok(Expected::good(reply, Vec::new()));
        }
        if self.state.users[other].blocked.contains(&user) {
            return Ok(Expected::refused((6_000_284, "blocked_by_receiver")));
        }
        if hides(other) {
            return Ok(Expected::good(reply, Vec::new()));
        }
        let is_forgotten = self.state.flaw == Flaw::ReceiptsAreForgotten;
        let now_ms = self.now_ms;
        for message in &mut self.state.messages {
            if read.contains(&message.id) && !is_forgotten {
                message.confirmed = true;
                message.read_ms = now_ms;
            }
        }
        let mut events = Vec::new();
        for (to, from) in [(user, other), (other, user)] {
            let is_author = to == other;
            let visible = self.state.visible(to, from);
            let shown = visible.iter().filter(|message| read.contains(&message.id));
            let infos: Vec<_> = shown
                .map(|message| {
                    json!({
                        "status": 2,
                        "messageID": message.id,
                        "conversationID": NAMES[from],
                        "conversationType": 0,
                        "readMemberCount": u8::from(is_author),
                        "unreadMemberCount": 0,
                        "deliveredMemberCount": 0,
                        "isSelfOperated": !is_author,
                        "readTime": now_ms,
                    })
                })
                .collect();
            if infos.is_empty() {
                continue;
            }
            let exists = self.state.exists(to, from);
            self.settings_mut(to, from).kept = exists;
            let event = ("message_receipt_changed", json!({ "infos": infos }));
            events.extend(self.events_of_change(to, vec![event], observed)?);
            let revision = self.state.users[to].revision;
            self.settings_mut(to, from).revision = revision;
        }
        Ok(Expected::good(reply, events))
    }

    fn publish_receipt(
        &mut self,
        (user, other): (usize, usize),
        is_author: bool,
        newest: u64,
        observed: &Observed,
    ) -> Result<Vec<PublishedEvent>, Wrong> {
        let exists = self.state.exists(user, other);
        self.settings_mut(user, other).kept = exists;
        let message = self.state.messages.iter().find(|message| message.key == newest);
        let info = json!({
            "status": 2,
            "messageID": message.map(|message| message.id.clone()),
            "conversationID": NAMES[other],
            "conversationType": 0,
            "readMemberCount": u8::from(is_author),
            "unreadMemberCount": 0,
            "deliveredMemberCount": 0,
            "isSelfOperated": !is_author,
            "readTime": 0,
        });
        let event = ("conversation_message_receipt_changed", json!({ "infos": [info] }));
        let events = self.events_of_change(user, vec![event], observed)?;
        let revision = self.state.users[user].revision;
        self.settings_mut(user, other).revision = revision;
        Ok(events)
    }
}
