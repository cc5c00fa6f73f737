//! What can be wrong.

use std::fmt;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What was acknowledged is not there.
    Lost,
    /// What was sent once is there twice.
    Doubled,
    /// Messages or events do not come in their order.
    Reordered,
    /// The numbering jumps.
    Gap,
    /// A count is not what a recount gives.
    WrongCount,
    /// A user was shown a message, or got an event, that is between others.
    WrongRecipient,
    /// There is something that nobody sent.
    Unsent,
    /// Something is not as it was sent, answered or set.
    WrongContent,
    /// What was deleted is there.
    Undeleted,
    /// A stored message was not published.
    Unpublished,
    /// The store holds what cannot be read.
    Unreadable,
    /// A user's conversation entry does not name a page of amendments: readers do not look for it.
    Unnamed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
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
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
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

    /// It, with whom it concerns.
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
