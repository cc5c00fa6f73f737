//! The facts of the state of a single instance.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::facts::{BlockList, Conversation, Difference, Facts, May};
use super::flaw::Flaw;
use super::state::{Message, State, show_info, show_rule, show_user};
use crate::names::NAMES;
use crate::rule::Rule;

/// The state as it is when a call is answered: everything is certain.
pub(crate) struct Certain<'s> {
    pub(crate) state: &'s State,
    pub(crate) now_ms: u64,
}

impl Facts for Certain<'_> {
    fn is_logged_in(&self, user: usize) -> May {
        May::sure(self.state.is_logged_in(user, self.now_ms))
    }

    fn now_ms(&self) -> RangeInclusive<u64> {
        self.now_ms..=self.now_ms
    }

    fn revision(&self, user: usize) -> RangeInclusive<u64> {
        let revision = self.state.users[user].revision;
        revision..=revision
    }

    fn history(&self, user: usize, other: usize) -> Vec<(&Message, May)> {
        let shows_all = self.state.flaw == Flaw::HistoryShowsDeleted;
        let is_seen = |message: &Message| shows_all || !message.hidden_for.contains(&user);
        let messages = self.state.between(user, other).into_iter();
        messages.map(|message| (message, May::sure(is_seen(message)))).collect()
    }

    fn delivered(&self, _: &Message) -> May {
        May::sure(false)
    }

    fn confirmed(&self, message: &Message) -> May {
        May::sure(message.confirmed)
    }

    fn pinned(&self, message: &Message) -> May {
        May::sure(message.pinned.is_some() && !message.is_revoked)
    }

    fn replied_count(&self, message: &Message) -> RangeInclusive<u64> {
        message.replied_count..=message.replied_count
    }

    fn message(&self, id: &str) -> Option<&Message> {
        self.state.messages.iter().find(|message| message.id == id)
    }

    fn conversation(&self, user: usize, other: usize) -> Conversation {
        let settings = self.state.settings(user, other);
        let (key, name) = (self.state.order_key(user, other), &self.state.users[other].name);
        let name = if name.is_empty() { NAMES[other] } else { name };
        Conversation {
            exists: May::sure(self.state.exists(user, other)),
            order_key: key..=key,
            read_seq: settings.read_seq..=settings.read_seq,
            muted: May::sure(settings.muted),
            pinned: May::sure(settings.pinned_ms > 0),
            pinned_ms: settings.pinned_ms..=settings.pinned_ms,
            drafts: vec![settings.draft],
            marked_unread: May::sure(settings.marked_unread),
            marks: settings.marks.iter().map(|mark| (*mark, May::sure(true))).collect(),
            name: name.to_owned(),
            avatar: self.state.users[other].avatar.clone(),
        }
    }

    fn totals(&self, user: usize) -> [RangeInclusive<u64>; 2] {
        let (loud, all) = self.state.totals(user);
        [loud..=loud, all..=all]
    }

    fn changed_since(&self, user: usize, revision: u64) -> (May, Vec<(usize, May)>) {
        let current = self.state.users[user].revision;
        let of = |other: usize| self.state.settings(user, other).revision;
        let is_changed = |other: &usize| revision < of(*other);
        let is_gone = |other: &usize| is_changed(other) && !self.state.exists(user, *other);
        let is_reset = revision != current
            && (revision == 0
                || revision > current
                || (0..NAMES.len()).any(|other| is_gone(&other)));
        let others = (0..NAMES.len()).filter(|other| self.state.exists(user, *other));
        let changed = others.filter(|other| is_reset || is_changed(other));
        (May::sure(is_reset), changed.map(|other| (other, May::sure(true))).collect())
    }

    fn blocks(&self, user: usize, other: usize) -> May {
        May::sure(self.state.users[user].blocked.contains(&other))
    }

    fn block_list(&self, user: usize, place: u64) -> BlockList {
        let account = &self.state.users[user];
        let page = account.block_page.as_ref().filter(|(end, _)| place > 0 && *end == place);
        let mut users = page.map_or_else(|| account.blocked.clone(), |(_, behind)| behind.clone());
        if self.state.flaw == Flaw::BlocksGoByName {
            users.sort_by_key(|other| NAMES[*other]);
        }
        let users = users.into_iter().map(|other| (other, May::sure(true))).collect();
        BlockList { users, is_in_order: true }
    }

    fn listed(&self, user: usize) -> Value {
        let account = &self.state.users[user];
        show_user(user, &account.name, &account.avatar)
    }

    fn info(&self, user: usize) -> Option<Value> {
        let account = &self.state.users[user];
        account.ever_logged_in.then(|| show_info(user, account))
    }

    fn wrong_status(&self, viewer: usize, of: usize, shown: Option<&Value>) -> Option<Difference> {
        let expected = self.state.show_status(viewer, of, self.now_ms);
        let is_it = expected.as_ref() == shown;
        (!is_it).then(|| {
            (Rule::PublishedCorrectly, format!("{}: {shown:?}, expected {expected:?}", NAMES[of]))
        })
    }

    fn follows(&self, user: usize, other: usize) -> May {
        May::sure(self.state.followed_until(user, other, self.now_ms).is_some())
    }

    fn followed_until(&self, user: usize, other: usize) -> RangeInclusive<u64> {
        let until_ms = self.state.followed_until(user, other, self.now_ms).unwrap_or_default();
        until_ms..=until_ms
    }

    fn rule(&self, user: usize) -> Value {
        show_rule(self.state.users[user].hidden)
    }

    fn recount(&self, user: usize, other: usize, _read_seq: u64) -> RangeInclusive<u64> {
        let unread = self.state.unread(user, other);
        unread..=unread
    }
}
