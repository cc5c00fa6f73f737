//! The expected results of the calls that set something for conversations.

use serde_json::{Value, json};

use super::state::Settings;
use crate::model::{Expected, INVALID_PARAMETER, Model, Wrong};
use crate::names::NAMES;
use crate::single::world::Observed;

impl Model {
    pub(crate) fn pin(
        &mut self,
        user: usize,
        other: usize,
        on: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let now_ms = self.now_ms;
        self.set(user, other, observed, |settings| {
            if on != (settings.pinned_ms > 0) {
                settings.pinned_ms = if on { now_ms } else { 0 };
            }
        })
    }

    pub(crate) fn draft(
        &mut self,
        user: usize,
        other: usize,
        text: &str,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        self.set(user, other, observed, |settings| text.clone_into(&mut settings.draft))
    }

    /// The conversations that the mark changes are published; the caller's own is refused.
    pub(crate) fn set_mark(
        &mut self,
        user: usize,
        (mark, on): (i64, bool),
        others: &[usize],
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let own = json!({ "conversationID": NAMES[user], "conversationType": 0 });
        let refused: Vec<Value> = if others.contains(&user) { vec![own] } else { Vec::new() };
        let mut changed: Vec<usize> = others.to_vec();
        changed.sort_unstable();
        changed.dedup();
        changed.retain(|other| {
            let is_set = self.state.settings(user, *other).marks.contains(&mark);
            *other != user && is_set != on
        });
        let before = self.state.totals(user).0;
        for other in &changed {
            let marks = &mut self.settings_mut(user, *other).marks;
            _ = if on { marks.insert(mark) } else { marks.remove(&mark) };
        }
        let mut events = Vec::new();
        if !changed.is_empty() {
            events = self.publish_change(user, &changed, before, Vec::new(), observed)?;
        }
        Ok(Expected::good(json!({ "failedConversationInfos": refused }), events))
    }

    pub(crate) fn mark_unread(
        &mut self,
        user: usize,
        other: usize,
        on: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        self.set(user, other, observed, |settings| settings.marked_unread = on)
    }

    /// Sets something for a conversation. A value that is set already is no change.
    fn set(
        &mut self,
        user: usize,
        other: usize,
        observed: &Observed,
        set: impl FnOnce(&mut Settings),
    ) -> Result<Expected, Wrong> {
        if other == user {
            return Ok(Expected::refused(INVALID_PARAMETER));
        }
        let before = self.state.settings(user, other);
        let total_before = self.state.totals(user).0;
        set(self.settings_mut(user, other));
        let mut events = Vec::new();
        if self.state.settings(user, other) != before {
            events = self.publish_change(user, &[other], total_before, Vec::new(), observed)?;
        }
        let reply = json!({ "conversationID": NAMES[other], "conversationType": 0 });
        Ok(Expected::good(reply, events))
    }
}
