//! The faults that the checker finds.

use std::fmt;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An acknowledged message is missing.
    Lost,
    /// A message that was sent once exists twice.
    Doubled,
    /// Messages or events are out of order.
    Reordered,
    /// The numbering has a gap or a repeat.
    Gap,
    /// A count differs from a recount.
    WrongCount,
    /// A user was shown a message, or received an event, of other users.
    WrongRecipient,
    /// A message exists that no client sent.
    Unsent,
    /// A message or a setting differs from what was sent, answered or set.
    WrongContent,
    /// A deleted message is still shown.
    Undeleted,
    /// A stored message was not published.
    Unpublished,
    /// A stored record cannot be read.
    Unreadable,
    /// A user's conversation entry does not name a page of amendments, or messages that are pinned, so
    /// readers do not read these.
    Unnamed,
    /// The conversation entries of two users disagree about a read receipt.
    HalfReceipt,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Lost,
        Self::Doubled,
        Self::Reordered,
        Self::Gap,
        Self::WrongCount,
        Self::WrongRecipient,
        Self::Unsent,
        Self::WrongContent,
        Self::Undeleted,
        Self::Unpublished,
        Self::Unreadable,
        Self::Unnamed,
        Self::HalfReceipt,
    ];

    /// Its name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
            Self::Gap => "gap",
            Self::WrongCount => "wrongCount",
            Self::WrongRecipient => "wrongRecipient",
            Self::Unsent => "unsent",
            Self::WrongContent => "wrongContent",
            Self::Undeleted => "undeleted",
            Self::Unpublished => "unpublished",
            Self::Unreadable => "unreadable",
            Self::Unnamed => "unnamed",
            Self::HalfReceipt => "halfReceipt",
        }
    }
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind.
    pub kind: Kind,
    /// A sentence about it. It names users and messages, and quotes no content.
    pub text: String,
}

impl Fault {
    /// A fault.
    #[must_use]
    pub const fn new(kind: Kind, text: String) -> Self {
        Self { kind, text }
    }

    /// The same, with the users that it concerns.
    #[must_use]
    pub fn of(self, whom: &str) -> Self {
        Self { text: format!("{whom}: {}", self.text), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.text)
    }
}
