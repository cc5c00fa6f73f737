//! Changes of the status of users, from the owner of the user to those who follow.
//!
//! Each owner has two tables in memory for a partition. [`Watched`] has its users whose status is
//! followed, and the watchers of each; [`Followers`] has its users who follow others, and the status
//! that each was shown last. Nothing of it is stored: a watcher is forgotten unless its owner renews
//! it, and each renewal is answered with the present status.
//!
//! A change is due until the watcher's owner has taken it, and only the present status is sent: of
//! several changes the last one always arrives. Times are microseconds of the steady clock.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::id::UserId;
use super::limits::WATCHERS_MAX;
use super::status::Presence;
use super::user_status::UserStatus;

/// How often a follower receives an event at most.
const EVENT_INTERVAL_US: u64 = 1_000_000;

/// Both tables of a partition.
#[derive(Debug, Default)]
pub struct Following {
    /// Its users whose status is followed.
    pub watched: Watched,
    /// Its users who follow others.
    pub followers: Followers,
}

impl Following {
    /// Whether nobody is followed and nobody follows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty() && self.followers.is_empty()
    }
}

/// The users of a partition whose status is followed.
#[derive(Debug, Default)]
pub struct Watched {
    users: BTreeMap<UserId, WatchedUser>,
    /// Where [`Self::due`] goes on.
    next: Option<UserId>,
}

#[derive(Debug)]
struct WatchedUser {
    /// What the status follows from, as last known: the user may leave memory.
    presence: Presence,
    status: UserStatus,
    /// Rises with each change of the status.
    version: u64,
    watchers: BTreeMap<UserId, Watcher>,
}

#[derive(Debug)]
struct Watcher {
    /// Until when it need not be renewed.
    until_us: u64,
    /// The version that its owner has taken.
    taken: u64,
}

/// A change that a watcher's owner has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The user who follows.
    pub watcher: UserId,
    /// The present status of the user who is followed.
    pub status: UserStatus,
    version: u64,
    until_us: u64,
}

impl Watched {
    /// Whether nobody is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Those who are followed.
    #[must_use]
    pub fn ids(&self) -> Vec<UserId> {
        self.users.keys().cloned().collect()
    }

    /// Notes a watcher who is answered with this status of a user. Returns `false` if the user has
    /// the most watchers already.
    pub fn watch(
        &mut self,
        watcher: &UserId,
        presence: Presence,
        status: &UserStatus,
        (now_us, until_us): (u64, u64),
    ) -> bool {
        let user = self.users.entry(status.id.clone()).or_insert_with(|| WatchedUser {
            presence: Presence::default(),
            status: status.clone(),
            version: 0,
            watchers: BTreeMap::new(),
        });
        user.take(presence, status);
        if !user.watchers.contains_key(watcher) && user.watchers.len() >= WATCHERS_MAX {
            user.watchers.retain(|_, watcher| watcher.until_us > now_us);
            if user.watchers.len() >= WATCHERS_MAX {
                return false;
            }
        }
        user.watchers.insert(watcher.clone(), Watcher { until_us, taken: user.version });
        true
    }

    /// Brings the status of all users up to date. `present` is what it follows from for a user in
    /// memory, `status` makes one of it.
    pub fn refresh(
        &mut self,
        now_us: u64,
        present: impl Fn(&UserId) -> Option<Presence>,
        status: impl Fn(&UserId, &Presence) -> UserStatus,
    ) {
        self.users.retain(|id, user| {
            user.watchers.retain(|_, watcher| watcher.until_us > now_us);
            if user.watchers.is_empty() {
                return false;
            }
            let presence = present(id).unwrap_or_else(|| user.presence.clone());
            let status = status(id, &presence);
            user.take(presence, &status);
            true
        });
    }

    /// The changes that watchers' owners have not taken, at most `most`. The next call goes on where
    /// this one ended, so that all users have their turn.
    #[must_use]
    pub fn due(&mut self, most: usize) -> Vec<Due> {
        let mut due = Vec::new();
        let mut next = None;
        for (id, user) in from(&self.users, self.next.take()) {
            for (watcher, known) in user.watchers.iter().filter(|(_, it)| it.taken < user.version) {
                if due.len() == most {
                    next = Some(id.clone());
                    break;
                }
                due.push(Due {
                    watcher: watcher.clone(),
                    status: user.status.clone(),
                    version: user.version,
                    until_us: known.until_us,
                });
            }
            if next.is_some() {
                break;
            }
        }
        self.next = next;
        due
    }

    /// Notes that a watcher's owner has taken a change; with `follows` false, that the watcher does
    /// not follow the user any more.
    pub fn taken(&mut self, due: &Due, follows: bool) {
        let Some(user) = self.users.get_mut(&due.status.id) else { return };
        if !follows {
            // Unless the watch was renewed meanwhile: the answer is older than that.
            if user.watchers.get(&due.watcher).is_some_and(|it| it.until_us == due.until_us) {
                user.watchers.remove(&due.watcher);
            }
        } else if let Some(watcher) = user.watchers.get_mut(&due.watcher) {
            watcher.taken = watcher.taken.max(due.version);
        }
    }
}

/// All entries of a table, those from `first` on before the others.
fn from<T>(
    users: &BTreeMap<UserId, T>,
    first: Option<UserId>,
) -> impl Iterator<Item = (&UserId, &T)> {
    let (later, earlier) = match first {
        Some(first) => (users.range(first.clone()..), Some(users.range(..first))),
        None => (users.range::<UserId, _>(..), None),
    };
    later.chain(earlier.into_iter().flatten())
}

impl WatchedUser {
    fn take(&mut self, presence: Presence, status: &UserStatus) {
        self.presence = presence;
        if self.status != *status {
            self.status = status.clone();
            self.version += 1;
        }
    }
}

/// The users of a partition who follow others.
#[derive(Debug, Default)]
pub struct Followers {
    users: BTreeMap<UserId, Follower>,
    /// Where [`Self::ids`] begins.
    next: Option<UserId>,
}

/// A user who follows others.
#[derive(Debug, Default)]
pub struct Follower {
    /// When the watches at the owners are renewed next.
    pub renew_us: u64,
    /// Users whose watches are renewed in the next round: what changed before the subscription was
    /// stored may have been refused.
    pub again: Vec<UserId>,
    /// The status of each user as it was shown last.
    shown: HashMap<UserId, UserStatus>,
    /// The status of users that is to be shown.
    due: BTreeMap<UserId, UserStatus>,
    /// Not before this time.
    next_event_us: u64,
}

impl Followers {
    /// Whether nobody follows others.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Notes a user who follows others.
    pub fn note(&mut self, user: &UserId) -> &mut Follower {
        self.users.entry(user.clone()).or_default()
    }

    /// A user who follows others, if it is noted.
    pub fn get(&mut self, user: &UserId) -> Option<&mut Follower> {
        self.users.get_mut(user)
    }

    /// Those who follow others, beginning where the last round ended.
    #[must_use]
    pub fn ids(&self) -> Vec<UserId> {
        from(&self.users, self.next.clone()).map(|(id, _)| id.clone()).collect()
    }

    /// The next round begins with this user.
    pub fn begin_with(&mut self, next: Option<UserId>) {
        self.next = next;
    }

    /// Forgets a user.
    pub fn forget(&mut self, user: &UserId) {
        self.users.remove(user);
    }
}

impl Follower {
    /// Forgets what was shown of users, who are followed anew.
    pub fn forget(&mut self, users: &[UserId]) {
        for user in users {
            self.shown.remove(user);
        }
    }

    /// Takes the present status of a user who is followed.
    pub fn learn(&mut self, status: UserStatus) {
        if self.shown.get(&status.id) == Some(&status) {
            self.due.remove(&status.id);
        } else {
            self.due.insert(status.id.clone(), status);
        }
    }

    /// Whether a status is to be shown.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The user is not there. What was to be shown will be out of date: the watches are renewed when
    /// the user is back.
    pub fn leave(&mut self) {
        self.due.clear();
        self.renew_us = 0;
    }

    /// Forgets users who are not followed any more.
    pub fn keep(&mut self, follows: impl Fn(&UserId) -> bool) {
        self.shown.retain(|user, _| follows(user));
        self.due.retain(|user, _| follows(user));
    }

    /// The statuses to publish in one event; empty if there are none, or an event was published
    /// less than a second ago.
    pub fn take_due(&mut self, now_us: u64) -> Vec<UserStatus> {
        if self.due.is_empty() || now_us < self.next_event_us {
            return Vec::new();
        }
        self.next_event_us = now_us + EVENT_INTERVAL_US;
        let due: Vec<UserStatus> = std::mem::take(&mut self.due).into_values().collect();
        for status in &due {
            self.shown.insert(status.id.clone(), status.clone());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user_status::{CustomStatus, OnlineStatus};

    const SECOND_US: u64 = 1_000_000;

    fn id(name: &str) -> UserId {
        UserId::new(name, "userID").expect("a valid ID")
    }

    fn status(name: &str, text: &str) -> UserStatus {
        UserStatus {
            id: id(name),
            online: OnlineStatus::Online,
            platforms: Vec::new(),
            online_since_ms: 5,
            custom: CustomStatus { text: text.to_owned(), since_ms: 0, until_ms: 0 },
        }
    }

    fn refresh(watched: &mut Watched, now_us: u64, text: &str) {
        watched.refresh(now_us, |_| None, |id, _| status(id.as_str(), text));
    }

    fn texts(due: &[Due]) -> Vec<(&str, &str)> {
        let mut texts: Vec<_> =
            due.iter().map(|due| (due.watcher.as_str(), &*due.status.custom.text)).collect();
        texts.sort_unstable();
        texts
    }

    fn watch(watched: &mut Watched, by: &str, text: &str, until_us: u64) -> bool {
        watched.watch(&id(by), Presence::default(), &status("bob", text), (0, until_us))
    }

    #[test]
    fn the_last_change_is_due_until_it_is_taken() {
        let mut watched = Watched::default();
        assert!(watch(&mut watched, "alice", "a", 100) && watch(&mut watched, "carol", "a", 100));
        assert!(watched.due(9).is_empty(), "both were answered with it");
        refresh(&mut watched, 1, "b");
        let late = watched.due(9);
        assert_eq!(texts(&late), [("alice", "b"), ("carol", "b")]);
        assert_eq!(watched.due(1).len(), 1);
        watched.next = None;
        refresh(&mut watched, 2, "c");
        // A late answer for the former one is no answer for the present one.
        for due in &late {
            watched.taken(due, due.watcher == id("alice"));
        }
        assert_eq!(texts(&watched.due(9)), [("alice", "c")], "carol does not follow any more");
        let due = watched.due(9);
        watched.taken(&due[0], true);
        assert!(watched.due(9).is_empty());
        refresh(&mut watched, 3, "c");
        assert!(watched.due(9).is_empty(), "nothing changed");
        refresh(&mut watched, 100, "d");
        assert!(watched.is_empty(), "nobody renewed");
    }

    #[test]
    fn a_late_refusal_ends_no_watch_that_was_renewed_meanwhile() {
        let mut watched = Watched::default();
        assert!(watch(&mut watched, "alice", "a", 100));
        refresh(&mut watched, 1, "b");
        let late = watched.due(9);
        assert!(watch(&mut watched, "alice", "b", 200));
        watched.taken(&late[0], false);
        refresh(&mut watched, 2, "c");
        assert_eq!(texts(&watched.due(9)), [("alice", "c")]);
    }

    #[test]
    fn all_users_have_their_turn() {
        let mut watched = Watched::default();
        let names = ["bob", "carol", "dave"];
        for name in names {
            let status = status(name, "a");
            assert!(watched.watch(&id("alice"), Presence::default(), &status, (0, 100)));
        }
        refresh(&mut watched, 1, "b");
        // None of the changes is ever taken.
        let seen = [(); 4].map(|()| watched.due(1)[0].status.id.as_str().to_owned());
        assert_eq!(seen, ["bob", "carol", "dave", "bob"]);
        let mut followers = Followers::default();
        for name in names {
            followers.note(&id(name));
        }
        followers.begin_with(Some(id("carol")));
        assert_eq!(followers.ids(), [id("carol"), id("dave"), id("bob")]);
        // One who has left is no hindrance.
        followers.forget(&id("carol"));
        assert_eq!(followers.ids(), [id("dave"), id("bob")]);
    }

    #[test]
    fn what_was_due_to_a_user_who_left_is_not_shown_later() {
        let mut follower = Follower { renew_us: 7, ..Follower::default() };
        follower.learn(status("bob", "a"));
        assert!(follower.is_due());
        follower.leave();
        assert_eq!((follower.is_due(), follower.renew_us), (false, 0));
        follower.learn(status("bob", "b"));
        assert_eq!(follower.take_due(0), [status("bob", "b")]);
    }

    #[test]
    fn a_renewal_is_answered_with_the_present_status() {
        let mut watched = Watched::default();
        assert!(watch(&mut watched, "alice", "a", 100) && watch(&mut watched, "carol", "b", 100));
        assert_eq!(texts(&watched.due(9)), [("alice", "b")]);
        assert!(watch(&mut watched, "alice", "b", 200));
        assert!(watched.due(9).is_empty());
        refresh(&mut watched, 150, "c");
        assert_eq!(texts(&watched.due(9)), [("alice", "c")]);
    }

    #[test]
    fn a_user_has_so_many_watchers() {
        let mut watched = Watched::default();
        for number in 0..WATCHERS_MAX {
            assert!(watch(&mut watched, &format!("u{number}"), "a", 100));
        }
        assert!(!watch(&mut watched, "alice", "a", 100));
        assert!(watch(&mut watched, "u0", "a", 100), "it is one of them");
        let late =
            watched.watch(&id("alice"), Presence::default(), &status("bob", "a"), (100, 200));
        assert!(late, "the others were not renewed");
    }

    #[test]
    fn a_follower_receives_one_event_a_second_with_the_last_states() {
        let mut follower = Follower::default();
        let texts = |follower: &mut Follower, now_us| -> Vec<String> {
            let due = follower.take_due(now_us).into_iter();
            due.map(|it| format!("{} {}", it.id.as_str(), it.custom.text)).collect()
        };
        follower.learn(status("bob", "a"));
        assert_eq!(texts(&mut follower, 0), ["bob a"]);
        follower.learn(status("bob", "b"));
        follower.learn(status("carol", "x"));
        follower.learn(status("bob", "c"));
        assert_eq!(texts(&mut follower, SECOND_US - 1), [""; 0]);
        assert_eq!(texts(&mut follower, SECOND_US), ["bob c", "carol x"]);
        follower.learn(status("bob", "d"));
        follower.learn(status("bob", "c"));
        assert_eq!(texts(&mut follower, 3 * SECOND_US), [""; 0], "it is as shown");
        follower.learn(status("bob", "e"));
        follower.keep(|user| *user == id("carol"));
        assert_eq!(texts(&mut follower, 3 * SECOND_US), [""; 0]);
    }
}
