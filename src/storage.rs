//! Typed storage: one file for each kind of stored record, with its key, its encoding and its use
//! in a load. No other code decodes stored bytes. The bytes of a message's record are written and
//! read by `wire::packed`, since instances send the same bytes to each other.
//!
//! The set of kinds is closed ([`Kind`], [`Entry`]): after a new one is added, code that reads
//! entries does not compile until it handles it.

pub mod account;
pub mod amendments;
pub mod block;
pub mod conversation;
pub mod deletions;
pub mod message;
pub mod owners;
pub mod push;
pub mod reads;
pub mod removal;
pub mod subscriptions;
pub mod unreadable;

mod fields;
#[cfg(test)]
mod tests;
pub mod tuning;

use serde::Deserialize;

use crate::wire::packed::{RecordError, from_slice};
use peerd_core::amendment::AmendmentPage;
use peerd_core::blocklist::BlockNumber;
use peerd_core::conversation::Settings;
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::NUMBER_MAX;
use peerd_core::pages::AmendedPages;
use peerd_core::subscriptions::Subscriptions;
use peerd_core::user::Account;
use peerd_protocol::subject::{Subjects, Token, is_sentinel};

/// A kind of stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`message`]
    Message,
    /// [`account`]
    Account,
    /// [`conversation`]
    Conversation,
    /// [`block`]
    Block,
    /// [`deletions`]
    Deletions,
    /// [`amendments`]
    Amendments,
    /// [`owners`]
    Owners,
    /// [`push`]
    Push,
    /// [`subscriptions`]
    Subscriptions,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Message,
        Self::Account,
        Self::Conversation,
        Self::Block,
        Self::Deletions,
        Self::Amendments,
        Self::Owners,
        Self::Push,
        Self::Subscriptions,
    ];

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Account => "account",
            Self::Conversation => "conversation entry",
            Self::Block => "block",
            Self::Deletions => "page of deletions",
            Self::Amendments => "page of amendments",
            Self::Owners => "owner's entry",
            Self::Push => "offline push",
            Self::Subscriptions => "list of subscriptions",
        }
    }

    /// The subjects of a user's entries that a load reads; `None`: it reads none of this kind.
    #[must_use]
    pub fn at_load(
        self,
        subjects: &Subjects,
        partition: Partition,
        user: &Token,
    ) -> Option<String> {
        match self {
            Self::Account => Some(account::key(subjects, partition, user)),
            Self::Conversation => Some(conversation::all(subjects, partition, user)),
            Self::Block => Some(block::all(subjects, partition, user)),
            Self::Subscriptions => Some(subscriptions::key(subjects, partition, user)),
            // Read together with their messages, or in other streams.
            Self::Deletions | Self::Amendments | Self::Message | Self::Owners | Self::Push => None,
        }
    }
}

/// The subject of an entry in a state stream, without its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The user's account.
    Account,
    /// The conversation entry about this other user.
    Conversation(UserId),
    /// The block of this other user.
    Block(UserId),
    /// A page of deletions in the conversation with this other user.
    Deletions(UserId, PageId),
    /// The amendments of a page of this sender's messages to the user.
    Amendments(UserId, u64),
    /// The users whose status the user follows.
    Subscriptions,
}

/// An entry of a state stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// See [`account`].
    Account(Account),
    /// See [`conversation`].
    Conversation(UserId, Box<Settings>),
    /// See [`block`]. `None`: it was lifted.
    Block(UserId, Option<BlockNumber>),
    /// See [`deletions`].
    Deletions(UserId, PageId, Bitmap),
    /// See [`amendments`].
    Amendments(UserId, u64, AmendmentPage),
    /// See [`subscriptions`].
    Subscriptions(Subscriptions),
}

impl Key {
    /// The user and the key of a subject in a partition's state. `None`: a sentinel, or a kind of a
    /// later release.
    pub fn parse(
        subjects: &Subjects,
        partition: Partition,
        subject: &str,
    ) -> Result<Option<(UserId, Self)>, RecordError> {
        if is_sentinel(subject) {
            return Ok(None);
        }
        let rest = subject.strip_prefix(&subjects.state_prefix(partition));
        let rest = rest.ok_or_else(|| RecordError::new(SUBJECT, "it is another partition's"))?;
        // From the front, since a user ID may equal the name of a kind.
        let mut tokens = rest.split('.');
        let mut parts = [""; 6];
        for part in &mut parts {
            *part = tokens.next().unwrap_or_default();
        }
        let (user, key) = match parts {
            [user, "account", "", ..] => (user, Self::Account),
            [user, "subscriptions", "", ..] => (user, Self::Subscriptions),
            [user, "conversation", other, "", ..] => (user, Self::Conversation(user_of(other)?)),
            [user, "blocked", other, "", ..] => (user, Self::Block(user_of(other)?)),
            [user, "deleted", other, direction, number, ""] => {
                let page = deletions::page_of(direction, number);
                let page = page.ok_or_else(|| RecordError::new(SUBJECT, "it names no page"))?;
                (user, Self::Deletions(user_of(other)?, page))
            }
            [user, "amendments", sender, number, "", ..] => {
                let page = amendments::page_of(number);
                let page = page.ok_or_else(|| RecordError::new(SUBJECT, "it names no page"))?;
                (user, Self::Amendments(user_of(sender)?, page))
            }
            _ => return Ok(None),
        };
        Ok(Some((user_of(user)?, key)))
    }
}

impl Entry {
    /// Reads an entry.
    pub fn decode(key: Key, bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(match key {
            Key::Account => Self::Account(account::decode(bytes)?),
            Key::Conversation(other) => {
                Self::Conversation(other, Box::new(conversation::decode(bytes)?))
            }
            Key::Block(other) => Self::Block(other, block::decode(bytes)?),
            Key::Deletions(other, page) => Self::Deletions(other, page, deletions::decode(bytes)?),
            Key::Amendments(sender, page) => {
                Self::Amendments(sender, page, amendments::decode(bytes)?)
            }
            Key::Subscriptions => Self::Subscriptions(subscriptions::decode(bytes)?),
        })
    }

    /// The substitute for an entry that cannot be read, until the next change replaces it. It is on
    /// the safe side: no session, nothing read or deleted, every user that may be blocked is
    /// blocked, and every page of messages may have amendments, so that removed messages stay
    /// removed. Every message may be pinned, as far as the other user's entry says so.
    #[must_use]
    pub fn instead(key: Key) -> Self {
        match key {
            Key::Account => Self::Account(Account::default()),
            Key::Conversation(other) => {
                let (amended_received, amended_sent) = (AmendedPages::all(), AmendedPages::all());
                let pinned_up_to = OrderKey(NUMBER_MAX);
                let unknown = Settings {
                    amended_received,
                    amended_sent,
                    pinned_up_to,
                    ..Settings::default()
                };
                Self::Conversation(other, Box::new(unknown))
            }
            Key::Block(other) => Self::Block(other, Some(BlockNumber::UNKNOWN)),
            Key::Deletions(other, page) => Self::Deletions(other, page, Bitmap::default()),
            Key::Amendments(sender, page) => {
                Self::Amendments(sender, page, AmendmentPage::default())
            }
            Key::Subscriptions => Self::Subscriptions(Subscriptions::default()),
        }
    }
}

const SUBJECT: &str = "subject";

/// The user of a token of a subject.
pub fn user_of(token: &str) -> Result<UserId, RecordError> {
    Token::parse(token).map_err(|_| RecordError::new(SUBJECT, "its token is not a user's"))
}

/// Reads an entry of a version.
fn read<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    kind: &'static str,
    version: u8,
) -> Result<T, RecordError> {
    let problem = || RecordError::new(kind, format!("it is not a version {version} entry"));
    from_slice(bytes).map_err(|_| problem())
}
