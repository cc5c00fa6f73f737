//! The expected results of the block list calls.

use serde_json::{Value, json};

use crate::model::state::Flaw;
use crate::model::{Expected, Model, Wrong, number};
use crate::single::calls::NAMES;
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
            events.push(self.told_aside(user, "blacklist_changed", body, observed)?);
        }
        Ok(Expected::good(json!({ "errorUserList": refused }), events))
    }

    /// The marker after which a page begins: 0 for the first page, or the end of the last page
    /// read.
    pub(crate) fn block_place(&self, user: usize, goes_on: bool) -> u64 {
        let page = self.state.users[user].block_page.as_ref().filter(|_| goes_on);
        page.map_or(0, |(place, _)| *place)
    }

    /// A page neither skips nor repeats users when others are blocked or unblocked in between.
    pub(crate) fn blacklist(
        &mut self,
        user: usize,
        count: usize,
        goes_on: bool,
        observed: &Observed,
    ) -> Result<Expected, Wrong> {
        let account = &self.state.users[user];
        let page = account.block_page.as_ref().filter(|(place, _)| goes_on && *place > 0);
        let mut shown = page.map_or_else(|| account.blocked.clone(), |(_, behind)| behind.clone());
        if self.state.flaw == Flaw::BlocksGoByName {
            shown.sort_by_key(|other| NAMES[*other]);
        }
        let behind = shown.split_off(count.min(shown.len()));
        let place = number(&observed.reply, "nextFlag");
        if (place == 0) != behind.is_empty() || place >= 1 << 53 {
            return Err(format!("nextFlag is {place}, although {behind:?} remain"));
        }
        let reply = json!({ "blacklist": self.infos(&shown), "nextFlag": place });
        self.state.users[user].block_page = Some((place, behind));
        Ok(Expected::good(reply, Vec::new()))
    }

    pub(crate) fn is_blocked(&self, user: usize, other: usize) -> Expected {
        let is_blocked = self.state.users[user].blocked.contains(&other);
        Expected::good(json!({ "isUserInBlacklist": is_blocked }), Vec::new())
    }

    fn infos(&self, users: &[usize]) -> Value {
        let info = |user: &usize| {
            json!({
                "userID": NAMES[*user],
                "userName": self.state.users[*user].name,
                "userAvatarUrl": "",
                "userExtendedData": "",
            })
        };
        users.iter().map(info).collect()
    }
}
