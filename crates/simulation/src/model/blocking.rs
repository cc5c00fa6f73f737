//! The expected results of the block list calls.

use serde_json::{Value, json};

use crate::names::{NAMES, number};

use crate::model::facts::Facts as _;
use crate::model::{Expected, Model, Wrong};
use crate::single::world::Observed;

const OWN_ID: u32 = 6_000_805;

impl Model {
    /// Blocks or unblocks users. The event lists those whose state changes, sorted by ID.
    pub(crate) fn block(
        &mut self,
        user: usize,
        others: &[usize],
        block: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let mut others = others.to_vec();
        others.sort_by_key(|other| NAMES[*other]);
        others.dedup();
        let is_refused = block && others.contains(&user);
        let blocked = &mut self.state.users[user].blocked;
        others.retain(|other| *other != user && blocked.contains(other) != block);
        if block {
            blocked.extend(&others);
        } else {
            blocked.retain(|other| !others.contains(other));
        }
        // Users that are blocked in between come after the page's marker; unblocked users
        // disappear.
        if let Some((_, behind)) = &mut self.state.users[user].block_page {
            behind.retain(|other| !others.contains(other));
            if block {
                behind.extend(&others);
            }
        }
        let refused = if is_refused {
            json!([{ "userID": NAMES[user], "reason": OWN_ID }])
        } else {
            json!([])
        };
        let mut events = Vec::new();
        if !others.is_empty() {
            let body = json!({ "userList": self.infos(&others), "action": u8::from(!block) });
            events.push(self.event_without_change(user, "blacklist_changed", body, observed)?);
        }
        Ok(Expected::good(json!({ "errorUserList": refused }), events))
    }

    /// The marker after which a page begins: 0 for the first page, or the end of the last page
    /// read.
    pub(crate) fn block_place(&self, user: usize, goes_on: bool) -> u64 {
        let page = self.state.users[user].block_page.as_ref().filter(|_| goes_on);
        page.map_or(0, |(place, _)| *place)
    }

    /// Notes where a page ends, and who comes after it.
    pub(crate) fn read_blacklist(&mut self, user: usize, goes_on: bool, reply: &Value) {
        let place = self.block_place(user, goes_on);
        let known = self.facts().block_list(user, place).users;
        let page = reply["blacklist"].as_array().into_iter().flatten();
        let shown: Vec<&str> = page.filter_map(|shown| shown["userID"].as_str()).collect();
        let left = known.into_iter().map(|(other, _)| other);
        let behind = left.filter(|other| !shown.contains(&NAMES[*other])).collect();
        self.state.users[user].block_page = Some((number(reply, "nextFlag"), behind));
    }

    fn infos(&self, users: &[usize]) -> Value {
        users.iter().map(|user| self.facts().listed(*user)).collect()
    }
}
