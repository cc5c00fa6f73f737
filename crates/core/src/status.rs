//! The status of a user as others see it: online or not, the platforms, and a custom status.
//!
//! Nothing of it is stored except the custom status: the rest follows from the sessions and from
//! the time at which the user was last seen.

use std::sync::Arc;

use super::id::UserId;
use super::limits::{
    CUSTOM_STATUS_INTERVAL_MS, CUSTOM_STATUS_REPEAT_MS, CUSTOM_STATUS_REPEAT_SHARE, Limits,
    STATUS_QUERIES_PER_SECOND,
};
use super::privacy::Hidden;
use super::rejection::Rejection;
use super::user::{Account, Session, User};
use super::user_status::{CustomStatus, OnlineStatus, UserStatus};

/// For whom a status is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// The user, who sees what the user hides.
    Own,
    /// Another user.
    Other,
}

/// What the status of a user follows from: a copy of some parts of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The platforms of the sessions, as the SDK's numbers, ascending.
    platforms: Vec<u8>,
    /// When the newest session began; `None` without a session.
    since_ms: Option<u64>,
    last_seen_ms: Option<u64>,
    is_hidden: bool,
    custom: Option<Arc<CustomStatus>>,
}

impl Presence {
    /// The status at a time.
    #[must_use]
    pub fn status(&self, id: &UserId, viewer: Viewer, now_ms: u64, limits: &Limits) -> UserStatus {
        let custom = self.custom.as_ref().map_or_else(CustomStatus::default, |it| it.at(now_ms));
        if self.is_hidden && viewer == Viewer::Other {
            // Its times would tell when the user was online.
            let custom = CustomStatus { since_ms: 0, until_ms: 0, ..custom };
            let (id, online) = (id.clone(), OnlineStatus::Offline);
            return UserStatus { id, online, platforms: Vec::new(), online_since_ms: 0, custom };
        }
        let seen_ms = self.last_seen_ms.max(self.since_ms);
        let is_recent = seen_ms
            .is_some_and(|seen_ms| now_ms.saturating_sub(seen_ms) <= limits.offline_after_ms);
        let online = match self.since_ms {
            None => OnlineStatus::Logout,
            Some(_) if is_recent => OnlineStatus::Online,
            Some(_) => OnlineStatus::Offline,
        };
        let is_online = online == OnlineStatus::Online;
        let since_ms = if is_online { self.since_ms } else { seen_ms };
        UserStatus {
            id: id.clone(),
            online,
            platforms: if is_online { self.platforms.clone() } else { Vec::new() },
            online_since_ms: since_ms.unwrap_or_default(),
            custom,
        }
    }
}

impl Account {
    /// What the status follows from.
    #[must_use]
    pub fn presence(&self) -> Presence {
        let mut platforms: Vec<u8> = self.sessions.iter().map(platform).collect();
        platforms.sort_unstable();
        platforms.dedup();
        Presence {
            platforms,
            since_ms: self.sessions.last().map(|session| session.since_ms),
            last_seen_ms: self.last_seen_ms,
            is_hidden: self.privacy.hides(Hidden::OnlineStatus),
            custom: self.custom_status.clone(),
        }
    }
}

impl User {
    /// Admits a query of the status of others, by the rate.
    pub fn admit_status_query(&mut self, now_us: u64) -> Result<(), Rejection> {
        let taken = self.status_queries.take(now_us, STATUS_QUERIES_PER_SECOND);
        let refused = |retry_after_ms| Rejection::RateLimited { retry_after_ms };
        taken.map(drop).map_err(refused)
    }

    /// The account with another custom status for `span_ms`; `None` if nothing changes. An empty
    /// text takes the status away.
    ///
    /// A repeat extends the time for which the status is valid, unless it would hardly do so: then
    /// it changes nothing.
    pub fn change_custom_status(
        &self,
        text: &str,
        span_ms: u64,
        now_ms: u64,
    ) -> Result<Option<Account>, Rejection> {
        let present = self.account.custom_status.as_deref().cloned().unwrap_or_default();
        let until_ms = if text.is_empty() { 0 } else { now_ms + span_ms };
        let hardly_ms = CUSTOM_STATUS_REPEAT_MS.min(span_ms / CUSTOM_STATUS_REPEAT_SHARE);
        let moved_ms = until_ms.abs_diff(present.until_ms);
        let is_same = present.at(now_ms).text == text;
        if is_same && (text.is_empty() || moved_ms < hardly_ms) {
            return Ok(None);
        }
        // A clock that was set back must not lock the status.
        let age_ms = now_ms.checked_sub(present.since_ms);
        if let Some(age_ms) = age_ms.filter(|age_ms| *age_ms < CUSTOM_STATUS_INTERVAL_MS) {
            let retry_after_ms = CUSTOM_STATUS_INTERVAL_MS - age_ms;
            return Err(Rejection::RateLimited { retry_after_ms });
        }
        let custom = CustomStatus { text: text.to_owned(), since_ms: now_ms, until_ms };
        Ok(Some(Account { custom_status: Some(Arc::new(custom)), ..self.account.clone() }))
    }
}

/// The SDK's number of a session's platform: by its name or its number.
fn platform(Session { platform, .. }: &Session) -> u8 {
    match platform.to_ascii_lowercase().as_str() {
        "win" | "windows" | "1" => 1,
        "iphoneos" | "ios" | "2" => 2,
        "android" | "3" => 3,
        "macos" | "4" => 4,
        "linux" | "5" => 5,
        "web" | "6" => 6,
        "miniprogram" | "7" => 7,
        "ipados" | "9" => 9,
        "ohos" | "10" => 10,
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::Privacy;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn session(platform: &str, since_ms: u64) -> Session {
        Session {
            id: String::new(),
            since_ms,
            platform: platform.to_owned(),
            device_id: String::new(),
            encoding: None,
        }
    }

    fn alice() -> UserId {
        UserId::new("alice", "userID").expect("a valid ID")
    }

    fn shown(account: &Account, viewer: Viewer, now_ms: u64) -> UserStatus {
        account.presence().status(&alice(), viewer, now_ms, &Limits::default())
    }

    #[test]
    fn platforms_have_the_numbers_of_the_sdk() {
        let number = |name: &str| platform(&session(name, 0));
        assert_eq!(["iOS", "Web", "10", "macOS"].map(number), [2, 6, 10, 4]);
        assert_eq!(["", "8", "toaster"].map(number), [32; 3]);
    }

    #[test]
    fn a_user_is_online_then_offline_or_logged_out() {
        let offline_after_ms = Limits::default().offline_after_ms;
        let sessions = vec![session("web", 500), session("ios", 1000), session("web", 2000)];
        let mut account = Account { sessions, last_seen_ms: Some(9000), ..Account::default() };
        let online = shown(&account, Viewer::Other, 9000 + offline_after_ms);
        assert_eq!((online.online, online.online_since_ms), (OnlineStatus::Online, 2000));
        assert_eq!(online.platforms, [2, 6]);
        let offline = shown(&account, Viewer::Other, 9001 + offline_after_ms);
        assert_eq!((offline.online, offline.online_since_ms), (OnlineStatus::Offline, 9000));
        assert!(offline.platforms.is_empty());
        account.sessions.clear();
        let out = shown(&account, Viewer::Other, 9000);
        assert_eq!((out.online, out.online_since_ms), (OnlineStatus::Logout, 9000));
        // After a crash right after the login, only its own time is known.
        let account = Account { sessions: vec![session("", 5)], ..Account::default() };
        assert_eq!(shown(&account, Viewer::Other, 6).online, OnlineStatus::Online);
    }

    #[test]
    fn a_hidden_user_looks_the_same_at_all_times_to_others() {
        let mut user = User::new(alice());
        let account = user.change_custom_status("busy", DAY_MS, 7000);
        user.account = account.expect("accepted").expect("a change");
        user.account.privacy = Privacy::default().with(Hidden::OnlineStatus, true);
        let hidden = shown(&user.account, Viewer::Other, 8000);
        user.account.sessions.push(session("web", 9000));
        assert_eq!(shown(&user.account, Viewer::Other, 9000), hidden);
        assert_eq!((hidden.online, hidden.online_since_ms), (OnlineStatus::Offline, 0));
        let busy = CustomStatus { text: "busy".to_owned(), since_ms: 0, until_ms: 0 };
        assert_eq!(hidden.custom, busy);
        let own = shown(&user.account, Viewer::Own, 9000);
        assert_eq!((own.online, own.custom.since_ms), (OnlineStatus::Online, 7000));
    }

    #[test]
    fn a_custom_status_expires() {
        let mut user = User::new(alice());
        let account = user.change_custom_status("busy", 5000, 10_000);
        user.account = account.expect("accepted").expect("a change");
        let custom = |now_ms| shown(&user.account, Viewer::Other, now_ms).custom;
        let busy = CustomStatus { text: "busy".to_owned(), since_ms: 10_000, until_ms: 15_000 };
        assert_eq!(custom(14_999), busy);
        let none = CustomStatus { text: String::new(), since_ms: 15_000, until_ms: 0 };
        assert_eq!(custom(15_000), none);
        assert_eq!(user.change_custom_status("", DAY_MS, 15_000), Ok(None), "there is none");
        let again = user.change_custom_status("busy", 5000, 15_000);
        assert!(again.expect("accepted").is_some());
    }

    #[test]
    fn a_custom_status_changes_once_a_second_and_a_repeat_changes_nothing() {
        let mut user = User::new(alice());
        assert_eq!(user.change_custom_status("", DAY_MS, 9000), Ok(None));
        let account = user.change_custom_status("busy", DAY_MS, 9000);
        user.account = account.expect("accepted").expect("a change");
        assert_eq!(user.change_custom_status("busy", DAY_MS, 9999), Ok(None));
        let refused = Rejection::RateLimited { retry_after_ms: 1 };
        assert_eq!(user.change_custom_status("away", DAY_MS, 9999), Err(refused));
        assert!(user.change_custom_status("away", DAY_MS, 10_000).expect("accepted").is_some());
        assert!(user.change_custom_status("away", DAY_MS, 8000).expect("accepted").is_some());
        // It is extended where that makes a difference.
        assert_eq!(user.change_custom_status("busy", DAY_MS, 68_999), Ok(None));
        let later = user.change_custom_status("busy", DAY_MS, 69_000).expect("accepted");
        let later = later.expect("a change").custom_status.expect("a status");
        assert_eq!(later.until_ms, 69_000 + DAY_MS);
        assert!(user.change_custom_status("busy", 5000, 70_000).expect("accepted").is_some());
    }
}
