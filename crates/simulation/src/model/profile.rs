//! The expected results of calls that change profile and privacy.

use peerd::bus::Kind;
use serde_json::{Value, json};

use super::request::HIDDEN;
use super::state::{show_hidden, show_info, show_rule};
use crate::model::{Expected, Model, Reply, Wrong};
use crate::names::{NAMES, number, text};
use crate::single::world::{Observed, PublishedEvent};

/// The changes in a second.
const CHANGES_PER_SECOND: usize = 5;
const RATE_LIMITED: u32 = 6_000_005;

impl Model {
    /// The user's sessions get the event, and so do peers whose conversations show the new value.
    pub(crate) fn set_profile(
        &mut self,
        user: usize,
        part: usize,
        value: &str,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let reply = json!({ ["userName", "userAvatarUrl", "extendedData"][part]: value });
        let account = &mut self.state.users[user];
        let present = [&mut account.name, &mut account.avatar, &mut account.extended];
        if *present[part] == value {
            return Ok(Expected::good(reply, Vec::new()));
        }
        if let Some(refused) = self.over_profile_rate(user, observed) {
            return Ok(refused);
        }
        let account = &mut self.state.users[user];
        let present = [&mut account.name, &mut account.avatar, &mut account.extended];
        value.clone_into(present.into_iter().nth(part).expect("a part"));
        let body = json!({ "info": show_info(user, &self.state.users[user]) });
        let mut events =
            vec![self.event_without_change(user, "user_info_updated", body, observed)?];
        if part < 2 {
            events.extend(self.shown_to_peers(user, observed)?);
        }
        Ok(Expected::good(reply, events))
    }

    pub(crate) fn set_privacy(
        &mut self,
        user: usize,
        what: usize,
        on: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let mut hidden = self.state.users[user].hidden;
        if hidden[what] == on {
            return Ok(Expected::good(show_hidden(hidden), Vec::new()));
        }
        if let Some(refused) = self.over_profile_rate(user, observed) {
            return Ok(refused);
        }
        hidden[what] = on;
        self.state.users[user].hidden = hidden;
        let body = json!({ "userRule": show_rule(hidden) });
        let event = self.event_without_change(user, "user_rule_updated", body, observed)?;
        debug_assert!(observed.reply.get(HIDDEN[what]).is_some());
        Ok(Expected::good(show_hidden(hidden), vec![event]))
    }

    /// A change is published to the user's sessions. A repeat that would hardly extend the status changes
    /// nothing.
    pub(crate) fn set_custom_status(
        &mut self,
        user: usize,
        text: &str,
        seconds: Option<u64>,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let reply = json!({ "customStatus": text });
        let now_ms = self.now_ms;
        let span_ms = seconds.unwrap_or(24 * 60 * 60) * 1000;
        let (_, since_ms, until_ms) = self.state.users[user].custom;
        let present = self.state.custom_status(user, now_ms).0;
        let moved_ms = until_ms.abs_diff(now_ms + span_ms);
        if present == text && (text.is_empty() || moved_ms < (span_ms / 10).min(60_000)) {
            return Ok(Expected::good(reply, Vec::new()));
        }
        if now_ms < since_ms + 1000 {
            let retry_after_ms = Some(since_ms + 1000 - now_ms);
            let (code, reason) = (RATE_LIMITED, "rate_limited");
            let reply = Reply::Refused { code, reason, retry_after_ms };
            return Ok(Expected { reply, ..Expected::good(Value::Null, Vec::new()) });
        }
        let until_ms = if text.is_empty() { 0 } else { now_ms + span_ms };
        self.state.users[user].custom = (text.to_owned(), now_ms, until_ms);
        let status = self.state.show_status(user, user, now_ms);
        let body = json!({ "userStatusList": [status] });
        let event = self.event_without_change(user, "user_status_updated", body, observed)?;
        Ok(Expected::good(reply, vec![event]))
    }

    /// Counts a change; the refusal if it is over the rate. A user who left memory, or a restart,
    /// may begin a new second.
    fn over_profile_rate(&mut self, user: usize, observed: &Observed) -> Option<Expected> {
        let now_ms = self.now_ms;
        let changes = &mut self.state.users[user].profile_ms;
        changes.retain(|then_ms| now_ms < then_ms + 1000);
        let oldest_ms = changes.first().copied();
        let is_over = changes.len() >= CHANGES_PER_SECOND;
        let may_forget = self.is_forgetful() || self.restarted_ms >= oldest_ms;
        let is_refused = matches!(observed.kind, Kind::Error { code: RATE_LIMITED, .. });
        if is_over && (is_refused || !may_forget) {
            let retry_after_ms = Some(number(&observed.reply, "retryAfterMs"));
            let (code, reason) = (RATE_LIMITED, "rate_limited");
            let reply = Reply::Refused { code, reason, retry_after_ms };
            return Some(Expected { reply, ..Expected::good(Value::Null, Vec::new()) });
        }
        self.state.users[user].profile_ms.push(now_ms);
        None
    }

    /// The events to peers that are logged in and do not block the user. An event is due if the
    /// daemon has the peer in memory, and otherwise possible.
    fn shown_to_peers(
        &self,
        user: usize,
        observed: &Observed,
    ) -> Result<Vec<PublishedEvent>, Wrong> {
        let is_its = |event: &PublishedEvent, other| {
            let shown = &event.body["infoList"][0]["conversation"];
            event.user == other && text(shown, "conversationID") == NAMES[user]
        };
        let changed = observed.events.iter().filter(|event| event.name == "conversation_changed");
        let changed: Vec<&PublishedEvent> = changed.collect();
        let place = |other: usize| changed.iter().position(|event| is_its(event, other));
        let is_certain = !self.is_forgetful() && self.restarted_ms.is_none();
        let mut peers: Vec<usize> = (0..NAMES.len())
            .filter(|other| *other != user && self.state.has_begun(user, *other))
            .filter(|other| self.state.is_logged_in(*other, self.now_ms))
            .filter(|other| self.state.exists(*other, user))
            .filter(|other| !self.state.users[*other].blocked.contains(&user))
            .filter(|other| is_certain || place(*other).is_some())
            .collect();
        // They are published at the same time.
        peers.sort_by_key(|other| place(*other));
        let event = |other: usize| {
            let conversation = self.state.show_conversation(other, user);
            let info = json!({ "event": 1, "action": 2, "conversation": conversation });
            let body = json!({ "infoList": [info] });
            self.event_without_change(other, "conversation_changed", body, observed)
        };
        peers.into_iter().map(event).collect()
    }
}
