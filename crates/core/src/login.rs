//! Login and logout.

use super::limits::Limits;
use super::user::{Account, Session, User};

/// The account after a login, and the sessions that the login ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account to store.
    pub account: Account,
    /// The kicked sessions, the earliest first.
    pub kicked: Vec<Session>,
}

impl User {
    /// The account after `session` began, replacing an earlier session of the same device. An empty
    /// `name` keeps the previous name.
    #[must_use]
    pub fn login(&self, session: Session, name: &str, now_ms: u64, limits: &Limits) -> Login {
        let mut account = self.account.clone();
        if !name.is_empty() {
            name.clone_into(&mut account.profile.name);
        }
        if !self.is_logged_in(now_ms, limits) {
            // They ended by idling: no session is left to receive an event.
            account.sessions.clear();
        }
        if !session.device_id.is_empty() {
            // A device has one session: the previous one ended, with or without a logout.
            account.sessions.retain(|known| known.device_id != session.device_id);
        }
        // No spare capacity: most users have one session, and there are many users.
        account.sessions.reserve_exact(1);
        account.sessions.push(session);
        let surplus = account.sessions.len().saturating_sub(limits.max_sessions);
        let kicked = account.sessions.drain(..surplus).collect();
        Login { account, kicked }
    }

    /// The account after a logout of one session, or of all; `None` if there is no such session.
    #[must_use]
    pub fn logout(&self, session_id: Option<&str>) -> Option<Account> {
        let mut account = self.account.clone();
        let stays = |session: &Session| session_id.is_some_and(|id| session.id != id);
        account.sessions.retain(stays);
        (account.sessions.len() < self.account.sessions.len()).then_some(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;

    fn session(id: &str) -> Session {
        Session {
            id: id.into(),
            since_ms: 0,
            platform: String::new(),
            device_id: String::new(),
            encoding: None,
        }
    }

    fn user(sessions: &[&str], last_seen_ms: u64) -> User {
        let mut user = User::new(UserId::new("alice", "userID").expect("a valid ID"));
        user.account.sessions = sessions.iter().map(|id| session(id)).collect();
        user.account.last_seen_ms = Some(last_seen_ms);
        user
    }

    fn ids(sessions: &[Session]) -> Vec<&str> {
        sessions.iter().map(|session| session.id.as_str()).collect()
    }

    #[test]
    fn the_earliest_session_is_kicked() {
        let limits = Limits { max_sessions: 2, ..Limits::default() };
        let login = user(&["a", "b"], 1000).login(session("c"), "", 1001, &limits);
        assert_eq!(ids(&login.account.sessions), ["b", "c"]);
        assert_eq!(ids(&login.kicked), ["a"]);
    }

    #[test]
    fn sessions_that_idled_out_are_dropped_without_a_kick() {
        let limits = Limits { max_sessions: 1, idle_limit_ms: 10, ..Limits::default() };
        let login = user(&["a"], 1000).login(session("b"), "", 1011, &limits);
        assert_eq!(ids(&login.account.sessions), ["b"]);
        assert_eq!(ids(&login.kicked), [""; 0]);
    }

    #[test]
    fn a_device_has_one_session_unless_its_id_is_empty() {
        let limits = Limits { max_sessions: 2, ..Limits::default() };
        let mut user = user(&["a", "b"], 1000);
        user.account.sessions[0].device_id = "d".into();
        let login = |device: &str| {
            let session = Session { device_id: device.into(), ..session("c") };
            let login = user.login(session, "", 1001, &limits);
            let ids = |sessions: &[Session]| ids(sessions).concat();
            (ids(&login.account.sessions), ids(&login.kicked))
        };
        assert_eq!(login("d"), ("bc".into(), String::new()));
        assert_eq!(login("D"), ("bc".into(), "a".into()));
        assert_eq!(login(""), ("bc".into(), "a".into()));
    }

    #[test]
    fn a_logout_ends_one_session_or_all() {
        let user = user(&["a", "b"], 0);
        assert_eq!(user.logout(Some("x")), None);
        let account = user.logout(Some("a")).expect("a change");
        assert_eq!(ids(&account.sessions), ["b"]);
        let account = user.logout(None).expect("a change");
        assert!(account.sessions.is_empty());
    }
}
