//! The expected results of subscriptions of the status of users, and what is published between
//! calls.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::flaw::Flaw;
use crate::model::{Expected, Model, Wrong};
use crate::names::{NAMES, text, user_of};
use crate::single::world::{Observed, PublishedEvent};

const OWN_ID: u32 = 6_000_001;
const NO_SUCH_USER: u32 = 6_000_011;
const UPDATED: &str = "user_status_updated";
const EVENT_INTERVAL_MS: u64 = 1000;

/// Whom a user follows, and what the user was shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Following {
    /// When each subscription expires.
    pub(crate) until: BTreeMap<usize, u64>,
    /// The status of each as it was shown last.
    shown: BTreeMap<usize, Value>,
    /// What is to be shown, by ID.
    due: BTreeMap<&'static str, Value>,
    next_event_ms: u64,
    /// Whether the daemon has certainly loaded the user since its start.
    pub(crate) is_loaded: bool,
}

impl Following {
    /// A restart loses all but the subscriptions.
    pub(crate) fn forget(&mut self) {
        *self = Self { until: std::mem::take(&mut self.until), ..Self::default() };
    }

    fn learn(&mut self, of: usize, status: Value) {
        if self.shown.get(&of) == Some(&status) {
            self.due.remove(NAMES[of]);
        } else {
            self.due.insert(NAMES[of], status);
        }
    }
}

impl Model {
    /// The sessions are shown the present status of whom the user did not follow yet.
    pub(crate) fn follow(
        &mut self,
        user: usize,
        others: &[usize],
        minutes: u64,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let now_ms = self.now_ms;
        let mut others = others.to_vec();
        others.sort_unstable_by_key(|other| NAMES[*other]);
        others.dedup();
        let (mut errors, mut followed) = (Vec::new(), Vec::new());
        for other in others {
            let reason = if other == user {
                OWN_ID
            } else if self.state.users[other].ever_logged_in {
                followed.push(other);
                continue;
            } else {
                NO_SUCH_USER
            };
            errors.push(json!({ "userID": NAMES[other], "reason": reason }));
        }
        let reply = json!({ "errorUserList": errors });
        for other in &followed {
            let is_new = self.state.followed_until(user, *other, now_ms).is_none();
            let status = self.state.show_status(user, *other, now_ms).unwrap_or_default();
            let following = &mut self.state.users[user].following;
            if is_new {
                following.shown.remove(other);
            }
            following.until.insert(*other, now_ms + minutes * 60_000);
            following.learn(*other, status);
        }
        let events = if followed.is_empty() { Vec::new() } else { self.shown_to(user, observed)? };
        Ok(Expected::good(reply, events))
    }

    pub(crate) fn unfollow(&mut self, user: usize, others: &[usize]) -> Expected {
        for other in others {
            self.state.users[user].following.until.remove(other);
        }
        Expected::good(json!({ "errorUserList": [] }), Vec::new())
    }

    /// The event about all that is due, unless one was published less than a second ago.
    fn shown_to(&mut self, user: usize, observed: &Observed) -> Result<Vec<PublishedEvent>, Wrong> {
        let now_ms = self.now_ms;
        let active = |name: &str| {
            let of = user_of(name)?;
            self.state.followed_until(user, of, now_ms).map(|_| of)
        };
        let mut due = self.state.users[user].following.due.clone();
        due.retain(|name, _| active(name).is_some());
        let following = &mut self.state.users[user].following;
        following.due.clone_from(&due);
        if due.is_empty() || now_ms < following.next_event_ms {
            return Ok(Vec::new());
        }
        following.next_event_ms = now_ms + EVENT_INTERVAL_MS;
        following.due.clear();
        for (name, status) in &due {
            following.shown.extend(user_of(name).map(|of| (of, status.clone())));
        }
        if self.state.flaw == Flaw::NewIsNotShown {
            return Ok(Vec::new());
        }
        let body = json!({ "userStatusList": due.into_values().collect::<Vec<_>>() });
        Ok(vec![self.event_without_change(user, UPDATED, body, observed)?])
    }

    /// Checks what is published between calls: only the present status of users who are followed, if
    /// it was not shown, and at most once a second.
    pub(crate) fn check_following(
        &mut self,
        now_ms: u64,
        observed: &Observed,
    ) -> Result<(), Wrong> {
        self.now_ms = now_ms;
        for event in &observed.events {
            let user = event.user;
            let list = event.body["userStatusList"].as_array().cloned().unwrap_or_default();
            let expected = json!({ "userStatusList": list });
            let expected = self.event_without_change(user, UPDATED, expected, observed)?;
            let ids: Vec<&str> = list.iter().map(|status| text(status, "userID")).collect();
            let is_logged_in = self.state.is_logged_in(user, now_ms);
            if *event != expected || list.is_empty() || !ids.is_sorted() || !is_logged_in {
                return Err(format!("{event:?}, expected {expected:?}"));
            }
            if now_ms < self.state.users[user].following.next_event_ms {
                return Err(format!("{} receives events within a second", NAMES[user]));
            }
            self.state.users[user].following.next_event_ms = now_ms + EVENT_INTERVAL_MS;
            for status in list {
                let of = user_of(text(&status, "userID"));
                let of = of.filter(|of| self.state.followed_until(user, *of, now_ms).is_some());
                let of = of.ok_or_else(|| format!("{} does not follow: {status}", NAMES[user]))?;
                let present = self.state.show_status(user, of, now_ms);
                let following = &mut self.state.users[user].following;
                let before = following.shown.insert(of, status.clone());
                following.due.remove(NAMES[of]);
                if before.as_ref() == Some(&status) || Some(&status) != present.as_ref() {
                    return Err(format!("{} is shown {status}: {before:?}", NAMES[user]));
                }
            }
        }
        Ok(())
    }

    /// The status of each user as each other one sees it.
    pub(crate) fn statuses(&self, now_ms: u64) -> Vec<Vec<Option<Value>>> {
        let all = 0..NAMES.len();
        let seen =
            |by: usize| all.clone().map(|of| self.state.show_status(by, of, now_ms)).collect();
        all.clone().map(seen).collect()
    }

    /// Checks that users who are online have been shown the status of those whom they follow, unless
    /// it changed since `before`.
    pub(crate) fn all_shown(
        &self,
        now_ms: u64,
        before: &[Vec<Option<Value>>],
    ) -> Result<(), Wrong> {
        for (user, account) in self.state.users.iter().enumerate() {
            if !account.following.is_loaded || !self.state.is_online(user, now_ms) {
                continue;
            }
            for of in account.following.until.keys() {
                let present = self.state.show_status(user, *of, now_ms);
                let is_old = before[user][*of] == present;
                let is_followed = self.state.followed_until(user, *of, now_ms).is_some();
                let shown = account.following.shown.get(of);
                if is_old && is_followed && shown != present.as_ref() {
                    let (user, of) = (NAMES[user], NAMES[*of]);
                    return Err(format!("{user} was shown {shown:?} of {of}, not {present:?}"));
                }
            }
        }
        Ok(())
    }
}
