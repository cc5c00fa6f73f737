//! Replies that show users: profiles and block lists.

use serde_json::{Value, json};

use super::{Check, list};
use crate::model::facts::{BlockList, Facts};
use crate::names::{NAMES, number, text, user_of};
use crate::rule::Rule;

const NO_SUCH_USER: u32 = 6_000_011;

impl<F: Facts> Check<'_, F> {
    /// Each user once, in the order of the IDs.
    pub(super) fn users_info(&mut self, others: &[usize], reply: &Value) {
        let mut others = others.to_vec();
        others.sort_unstable_by_key(|other| NAMES[*other]);
        others.dedup();
        let (mut users, mut unknown) = (Vec::new(), Vec::new());
        for other in others {
            match self.facts.info(other) {
                Some(info) => users.push(info),
                None => unknown.push(json!({ "userID": NAMES[other], "reason": NO_SUCH_USER })),
            }
        }
        self.is(reply, &json!({ "userList": users, "errorUserList": unknown }));
    }

    pub(super) fn self_info(&mut self, reply: &Value) {
        let info = &reply["selfUserInfo"];
        let expected = self.facts.info(self.user).unwrap_or_default();
        self.is(&info["userFullInfo"], &expected);
        self.is(&info["userRule"], &self.facts.rule(self.user));
        let wrong = self.facts.wrong_status(self.user, self.user, info.get("userStatus"));
        self.found.extend(wrong);
        self.has_fields(reply, &["selfUserInfo"]);
    }

    /// Each user once, in the order of the IDs, in one of the two lists.
    pub(super) fn users_status(&mut self, others: &[usize], reply: &Value) {
        self.has_fields(reply, &["userStatusList", "errorUserList"]);
        let mut others = others.to_vec();
        others.sort_unstable_by_key(|other| NAMES[*other]);
        others.dedup();
        let unknown = |other: &usize| json!({ "userID": NAMES[*other], "reason": NO_SUCH_USER });
        let errors = list(&reply["errorUserList"]);
        let (missing, there): (Vec<usize>, Vec<usize>) =
            others.into_iter().partition(|other| errors.contains(&unknown(other)));
        self.is(&reply["errorUserList"], &missing.iter().map(unknown).collect());
        for other in missing {
            let wrong = self.facts.wrong_status(self.user, other, None);
            self.found.extend(wrong);
        }
        let shown = list(&reply["userStatusList"]);
        let ids: Vec<Option<usize>> =
            shown.iter().map(|shown| user_of(text(shown, "userID"))).collect();
        if !ids.iter().copied().eq(there.iter().copied().map(Some)) {
            return self.wrong(Rule::Pages, format!("{reply}, expected {there:?}"));
        }
        for (other, shown) in there.into_iter().zip(shown) {
            let wrong = self.facts.wrong_status(self.user, other, Some(shown));
            self.found.extend(wrong);
        }
    }

    /// Each user who is followed, in the order of the IDs.
    pub(super) fn followed(&mut self, others: &[usize], reply: &Value) {
        self.has_fields(reply, &["userStatusSubscriptionList"]);
        let shown = list(&reply["userStatusSubscriptionList"]);
        let ids: Vec<&str> =
            shown.iter().map(|entry| text(&entry["userStatus"], "userID")).collect();
        if !ids.is_sorted_by(|a, b| a < b) {
            self.wrong(Rule::Pages, format!("followed are {ids:?}"));
        }
        for (other, name) in NAMES.iter().enumerate() {
            let is_wanted = others.is_empty() || others.contains(&other);
            let follows = self.facts.follows(self.user, other);
            let found = shown.iter().find(|entry| text(&entry["userStatus"], "userID") == *name);
            if found.is_some() && !(is_wanted && follows.be)
                || found.is_none() && is_wanted && follows.is_sure()
            {
                let why = format!("{} is followed: {}", name, found.is_some());
                self.wrong(Rule::ChangesStay, why);
            }
            if let Some(entry) = found {
                let wrong = self.facts.wrong_status(self.user, other, entry.get("userStatus"));
                self.found.extend(wrong);
                let until_ms = self.facts.followed_until(self.user, other);
                let seen = number(entry, "subscribeExpiredTime");
                self.is_within("subscribeExpiredTime", seen, &until_ms);
            }
        }
    }

    pub(super) fn is_blocked(&mut self, other: usize, reply: &Value) {
        self.has_fields(reply, &["isUserInBlacklist"]);
        let is_blocked = reply["isUserInBlacklist"] == true;
        if !self.facts.blocks(self.user, other).admits(is_blocked) {
            let why = format!("{} is blocked: {is_blocked}", NAMES[other]);
            self.wrong(Rule::ChangesStay, why);
        }
    }

    /// A page of the block list neither skips nor repeats users.
    pub(super) fn block_page(&mut self, count: usize, known: &BlockList, reply: &Value) {
        self.has_fields(reply, &["blacklist", "nextFlag"]);
        let (page, place) = (list(&reply["blacklist"]), number(reply, "nextFlag"));
        let mut places: Vec<usize> = Vec::new();
        for shown in page {
            let found = user_of(text(shown, "userID"));
            let at = known.users.iter().position(|(other, _)| Some(*other) == found);
            match (found, at.and_then(|at| known.users.get(at)).zip(at)) {
                (Some(other), Some(((_, blocked), at))) if blocked.be => {
                    self.is(shown, &self.facts.listed(other));
                    places.push(at);
                }
                _ => self.wrong(Rule::ChangesStay, format!("{shown} is not blocked here")),
            }
        }
        let mut once = places.clone();
        once.sort_unstable();
        once.dedup();
        let is_in_order = !known.is_in_order || places == once;
        if once.len() != places.len() || !is_in_order || page.len() > count || place >= 1 << 53 {
            self.wrong(Rule::Pages, format!("{reply} is a page of {count} of {known:?}"));
        }
        // The last page has all remaining users; any other has all users up to its end.
        let end =
            if place == 0 { known.users.len() } else { once.last().map_or(0, |last| last + 1) };
        let is_due = |at: usize| at < end && (known.is_in_order || place == 0);
        let missing = (known.users.iter().enumerate())
            .find(|(at, (_, blocked))| is_due(*at) && blocked.is_sure() && !places.contains(at));
        let is_cut = place != 0 && page.len() != count;
        let is_needless = place != 0
            && !(known.users.iter().enumerate())
                .any(|(at, (_, blocked))| blocked.be && !places.contains(&at));
        if missing.is_some() || is_cut || is_needless {
            let why = format!("{reply} is not all, {missing:?} is missing of {known:?}");
            self.wrong(Rule::Pages, why);
        }
    }
}
