//! Tokens that are refused although they have not expired.

use std::collections::{HashMap, HashSet};

use peerd_core::id::UserId;
use peerd_protocol::time::unix_ms;

/// The most entries of a list.
pub const ENTRIES_MAX: usize = 100_000;

/// A list of revoked tokens.
///
/// Its text has a line for each entry: `token <jti>`, or `user <time> <userID>` for the tokens of a
/// user that were issued before an RFC 3339 time. Empty lines and lines with `#` are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    tokens: HashSet<String>,
    /// For each user, the time before which its tokens are revoked, in seconds since 1970.
    users: HashMap<UserId, u64>,
}

/// A line that is no entry, by its number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The line has neither form.
    #[error("line {0} is neither `token <jti>` nor `user <RFC 3339 time> <userID>`")]
    Line(usize),
    /// There are too many entries.
    #[error("has more than {ENTRIES_MAX} entries")]
    TooLong,
}

impl Revocations {
    /// Reads a list.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            list.add(line).ok_or(ListError::Line(index + 1))?;
            if list.len() > ENTRIES_MAX {
                return Err(ListError::TooLong);
            }
        }
        Ok(list)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "token" if !rest.trim().is_empty() => {
                self.tokens.insert(rest.trim().to_owned());
            }
            "user" => {
                let (time, user) = rest.trim().split_once(' ')?;
                let user = UserId::new(user.trim(), "userID").ok()?;
                // Rounded up: a token has whole seconds.
                let before_s = unix_ms(time)?.div_ceil(1000);
                let entry = self.users.entry(user).or_default();
                *entry = before_s.max(*entry);
            }
            _ => return None,
        }
        Some(())
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len() + self.users.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a token is revoked. One without a time of issue counts as issued before any time.
    pub(crate) fn revoke(&self, id: Option<&str>, user: &UserId, issued_s: Option<u64>) -> bool {
        let is_named = id.is_some_and(|id| self.tokens.contains(id));
        is_named
            || self.users.get(user).is_some_and(|before_s| issued_s.is_none_or(|s| s < *before_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::new(id, "userID").expect("a valid ID")
    }

    #[test]
    fn tokens_are_revoked_by_their_id_or_their_user_and_time() {
        let text = "# why\n\ntoken abc\nuser 2026-01-01T00:00:00Z alice smith\n\
                    user 2025-01-01T00:00:00Z alice smith\n";
        let list = Revocations::parse(text).expect("a list");
        let (alice, bob) = (user("alice smith"), user("bob"));
        let start_s = 1_767_225_600;
        assert_eq!(list.len(), 2);
        assert!(list.revoke(Some("abc"), &bob, Some(start_s)));
        assert!(!list.revoke(Some("abd"), &bob, None));
        assert!(list.revoke(None, &alice, Some(start_s - 1)));
        assert!(!list.revoke(None, &alice, Some(start_s)));
        assert!(list.revoke(None, &alice, None), "no time of issue");
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error() {
        for (text, line) in [
            ("token", 1),
            ("token  ", 1),
            ("\nabc", 2),
            ("user alice", 1),
            ("user yesterday alice", 1),
            ("user 2026-01-01T00:00:00Z a/b", 1),
            ("#\n#\nTOKEN x", 3),
        ] {
            assert_eq!(Revocations::parse(text), Err(ListError::Line(line)), "{text}");
        }
    }
}
