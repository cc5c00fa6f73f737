//! The state of one user that the owner holds.

use std::sync::Arc;

use super::blocklist::Blocklist;
use super::by_user::ByUser;
use super::conversation::{Conversation, Gone, Settings};
use super::encoding::Encoding;
use super::event::{Events, Publication, Revision, Totals};
use super::id::{Direction, OrderKey, UserId};
use super::later::LaterFields;
use super::limits::Limits;
use super::privacy::Privacy;
use super::rate::{Signals, Window};
use super::rejection::Rejection;
use super::subscriptions::Subscriptions;
use super::unreported::Unreported;
use super::user_info::Profile;
use super::user_status::CustomStatus;

/// A session: one login of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its ID.
    pub id: String,
    /// The time when it began, in milliseconds since 1970.
    pub since_ms: u64,
    /// The platform, as given by the caller.
    pub platform: String,
    /// The device ID, as given by the caller.
    pub device_id: String,
    /// The encoding of the login; `None` if an older release stored the session.
    pub encoding: Option<Encoding>,
}

/// The stored state of a user, apart from conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The name and avatar that conversations with the user show.
    pub profile: Profile,
    /// Data of the application about the user; `None` where none was given.
    pub extended_data: Option<Arc<str>>,
    /// The privacy settings.
    pub privacy: Privacy,
    /// The custom status; `None` if none was ever set.
    pub custom_status: Option<Arc<CustomStatus>>,
    /// The sessions, the earliest first.
    pub sessions: Vec<Session>,
    /// When the user was last seen, in milliseconds since 1970; `None` for never.
    pub last_seen_ms: Option<u64>,
    /// The newest published revision that no order key reflects; 0 if there is none.
    pub revision: u64,
    /// The authors of all messages up to here were informed of what was delivered; zero if that is
    /// not known, or if delivered receipts are turned off.
    pub reported_up_to: OrderKey,
    /// Fields of a later release.
    pub later: LaterFields,
}

/// The state of one user that the owner holds.
#[derive(Clone, Debug)]
pub struct User {
    /// The user's ID.
    pub id: UserId,
    /// Name and sessions. Only [`User::set_account`] changes the sessions.
    pub account: Account,
    /// The encoding that all sessions logged in with, if it is the same; kept up to date.
    sessions_encoding: Option<Encoding>,
    /// The account's sequence in the store; 0 if it is not stored.
    pub account_seq: u64,
    /// The conversations, by the other user.
    pub conversations: ByUser<Conversation>,
    /// The users that this user blocked.
    pub blocked: Blocklist,
    /// The users whose status this user follows; `None` if there never were any.
    pub subscriptions: Option<Arc<Subscriptions>>,
    /// The sequence of their entry in the store; 0 if it is not stored.
    pub subscriptions_seq: u64,
    /// The sum of the conversations' unread messages, kept up to date.
    pub totals: Totals,
    /// The time since which messages are still to be replayed, in milliseconds since 1970: a replay
    /// is in progress, or failed.
    pub replay_due_ms: Option<u64>,
    /// The revision of the user's conversations.
    pub revision: Revision,
    /// The newest Command that the user sent or received. Commands change no conversation.
    pub newest_command: OrderKey,
    /// Whether `account.revision` is newer than the stored one.
    pub is_revision_unstored: bool,
    /// Received messages that are to be reported as delivered; `None` if delivered receipts are
    /// turned off.
    pub unreported: Option<Box<Unreported>>,
    /// Stored messages sent in the last second.
    pub messages_sent: Window,
    /// Commands sent in the last second.
    pub commands_sent: Window,
    /// Changes of stored messages in the last second.
    pub amendments_made: Window,
    /// Read receipts sent in the last second.
    pub receipts_sent: Window,
    /// The users to whom this user was shown as typing in the last second.
    pub typing_sent: Signals,
    /// Changes of the user's profile and privacy in the last second.
    pub profile_changes: Window,
    /// Queries of the status of others in the last second.
    pub status_queries: Window,
    /// No unread message was stored before this time, in milliseconds since 1970.
    pub oldest_unread_ms: u64,
}

impl User {
    /// A user that is not loaded yet.
    #[must_use]
    pub fn new(id: UserId) -> Self {
        Self {
            id,
            account: Account::default(),
            sessions_encoding: None,
            account_seq: 0,
            conversations: ByUser::default(),
            blocked: Blocklist::default(),
            subscriptions: None,
            subscriptions_seq: 0,
            totals: Totals::default(),
            replay_due_ms: None,
            revision: Revision::default(),
            is_revision_unstored: false,
            newest_command: OrderKey::ZERO,
            unreported: None,
            messages_sent: Window::default(),
            commands_sent: Window::default(),
            amendments_made: Window::default(),
            receipts_sent: Window::default(),
            typing_sent: Signals::default(),
            profile_changes: Window::default(),
            status_queries: Window::default(),
            oldest_unread_ms: u64::MAX,
        }
    }

    /// Whether the user has ever logged in.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.account_seq > 0
    }

    /// Whether the user has a session that has not ended by idling.
    #[must_use]
    pub fn is_logged_in(&self, now_ms: u64, limits: &Limits) -> bool {
        !self.account.sessions.is_empty() && self.seen_within(now_ms, limits.idle_limit_ms)
    }

    /// Whether the user has a session and was seen recently.
    #[must_use]
    pub fn is_online(&self, now_ms: u64, limits: &Limits) -> bool {
        self.is_logged_in(now_ms, limits) && self.seen_within(now_ms, limits.offline_after_ms)
    }

    fn seen_within(&self, now_ms: u64, span_ms: u64) -> bool {
        // A login is a call too. After a crash right after it, only the time of the login is known.
        let since_ms = self.account.sessions.last().map(|session| session.since_ms);
        let last_seen_ms = self.account.last_seen_ms.max(since_ms);
        last_seen_ms.is_some_and(|seen_ms| now_ms.saturating_sub(seen_ms) <= span_ms)
    }

    /// Takes an account that the store has at sequence `seq`.
    pub fn set_account(&mut self, account: Account, seq: u64) {
        self.account = account;
        self.account_seq = seq;
        let mut encodings = self.account.sessions.iter().map(|session| session.encoding);
        let first = encodings.next().flatten();
        self.sessions_encoding = first.filter(|_| encodings.all(|encoding| encoding == first));
    }

    /// The encoding that all sessions of the user logged in with; `None` if they differ or one
    /// is unknown. Sessions that ended by idling are included.
    #[must_use]
    pub const fn sessions_encoding(&self) -> Option<Encoding> {
        self.sessions_encoding
    }

    /// Notes a call: any call of a logged-in user counts as a heartbeat.
    pub fn note_last_seen(&mut self, now_ms: u64, limits: &Limits) -> Result<(), Rejection> {
        if !self.is_logged_in(now_ms, limits) {
            return Err(Rejection::NotLoggedIn);
        }
        self.account.last_seen_ms = self.account.last_seen_ms.max(Some(now_ms));
        Ok(())
    }

    /// Changes one conversation and updates the totals.
    pub fn update<R>(&mut self, other: &UserId, change: impl FnOnce(&mut Conversation) -> R) -> R {
        let conversation = self.conversations.entry_ref(other).or_default();
        let share = |conversation: &Conversation| {
            let unread = conversation.unread();
            Totals { unmuted: if conversation.is_muted() { 0 } else { unread }, all: unread }
        };
        let before = share(conversation);
        let result = change(conversation);
        let after = share(conversation);
        if after.all > 0 {
            self.oldest_unread_ms = self.oldest_unread_ms.min(conversation.gone.oldest_ms);
        }
        self.totals.unmuted = self.totals.unmuted - before.unmuted + after.unmuted;
        self.totals.all = self.totals.all - before.all + after.all;
        result
    }

    /// Copies of the conversations whose oldest unread message may have been stored before a time
    /// (milliseconds since 1970).
    #[must_use]
    pub fn unread_before(&mut self, ms: u64) -> Vec<(UserId, Conversation)> {
        let unread = self.conversations.iter().filter(|(_, known)| known.unread() > 0);
        let (mut due, mut oldest_ms) = (Vec::new(), u64::MAX);
        for (other, known) in unread {
            if known.gone.oldest_ms <= ms {
                due.push((other.clone(), known.clone()));
            } else {
                oldest_ms = oldest_ms.min(known.gone.oldest_ms);
            }
        }
        // Only if none is due: a due conversation counts again when it is updated.
        if due.is_empty() {
            self.oldest_unread_ms = oldest_ms;
        }
        due.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        due
    }

    /// Notes which messages from `other` the store no longer has, as determined for the
    /// conversation `seen`. Returns whether the unread count changed.
    pub fn take_gone(&mut self, other: &UserId, seen: &Conversation, gone: Option<Gone>) -> bool {
        self.update(other, |known| {
            if known.received != seen.received || known.settings.read != seen.settings.read {
                return false;
            }
            let before = known.unread();
            match gone {
                Some(gone) => known.gone = gone,
                None => _ = known.move_end_back(Direction::Receive, None),
            }
            known.unread() != before
        })
    }

    /// Notes a change at `key`: the revision rises, at least to the key.
    pub fn advance(&mut self, key: OrderKey) -> Revision {
        let previous = self.revision.current;
        self.revision = Revision { current: key.0.max(previous + 1), previous };
        if key.0 <= previous {
            // The changes were acknowledged in another order than that of their keys. No key
            // reflects this revision, so it must be stored separately.
            self.account.revision = self.revision.current;
            self.is_revision_unstored = true;
        }
        self.revision
    }

    /// Forgets everything that was loaded from entries, before they are loaded again. Must be
    /// called while no entry is being written.
    pub fn forget_entries(&mut self) {
        let nothing = Account { sessions: Vec::new(), ..std::mem::take(&mut self.account) };
        self.set_account(nothing, 0);
        self.blocked = Blocklist::default();
        (self.subscriptions, self.subscriptions_seq) = (None, 0);
        let others: Vec<UserId> = self.conversations.keys().cloned().collect();
        for other in others {
            self.update(&other, |known| {
                known.settings = Settings::default();
                known.settings_seq = 0;
            });
        }
    }

    /// Sets the revision after a load, from the newest stored change.
    pub fn settle_revision(&mut self) {
        let keys = self.conversations.values().flat_map(change_keys);
        let newest = keys.max().unwrap_or_default().0.max(self.account.revision);
        if newest > self.revision.current {
            self.revision = Revision { current: newest, previous: newest };
        }
    }

    /// The newest key that may have been published to the user.
    #[must_use]
    pub fn newest_published(&self) -> OrderKey {
        OrderKey(self.revision.current).max(self.newest_command)
    }

    /// Notes a Command that the user sent or received: the user's next message sorts after it.
    pub fn note_command(&mut self, key: OrderKey) {
        self.newest_command = self.newest_command.max(key);
    }

    /// Events that belong to no change. They carry the current revision, so that a client that
    /// missed the last change notices.
    #[must_use]
    pub fn publication(&self, events: impl Into<Events>) -> Publication {
        let current = self.revision.current;
        Publication { revision: Revision { current, previous: current }, events: events.into() }
    }

    /// The conversation with `other`, if it exists.
    #[must_use]
    pub fn conversation(&self, other: &UserId) -> Option<&Conversation> {
        self.conversations.get(other).filter(|conversation| conversation.exists())
    }

    /// The users to whom this user sent stored messages at or after a time (milliseconds since
    /// 1970).
    #[must_use]
    pub fn receivers_since(&self, since_ms: u64) -> Vec<UserId> {
        let is_since = |known: &Conversation| {
            known.head(Direction::Send).is_some_and(|head| head.timestamp_ms >= since_ms)
        };
        let conversations = self.conversations.iter();
        let since = conversations.filter(|(_, known)| is_since(known));
        let mut since: Vec<UserId> = since.map(|(id, _)| id.clone()).collect();
        since.sort_unstable();
        since
    }

    /// Whether there may be messages that a device whose newest one has `key` did not receive:
    /// those that sort after it, or were stored up to `slack_ms` after they were accepted.
    #[must_use]
    pub fn has_news_after(&self, key: OrderKey, slack_ms: u64) -> bool {
        let since_ms = key.unix_ms().saturating_sub(slack_ms);
        let mut heads = self.conversations.values().filter_map(|known| known.received);
        heads.any(|head| head.key > key || (head.key < key && head.timestamp_ms >= since_ms))
    }

    /// Whether the user received a stored message at or after a time (milliseconds since 1970).
    #[must_use]
    pub fn has_news_since(&self, since_ms: u64) -> bool {
        let mut heads = self.conversations.values().filter_map(|known| known.received);
        heads.any(|head| head.timestamp_ms >= since_ms)
    }
}

/// The keys of a conversation's newest changes that were published to its user.
pub(crate) fn change_keys(conversation: &Conversation) -> [OrderKey; 3] {
    let head = |direction| conversation.head(direction).map_or(OrderKey::ZERO, |head| head.key);
    let settings = &conversation.settings;
    // A first contact publishes no event.
    let is_published = settings.kept || settings.delisted.is_some();
    let changed = if is_published { settings.changed } else { OrderKey::ZERO };
    [head(Direction::Send), head(Direction::Receive), changed]
}
