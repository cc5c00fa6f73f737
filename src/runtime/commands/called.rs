//! The name of a method in the subject of a call.

use super::{Method, unsupported};

/// A method as a call names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// A method that peerd offers.
    Method(Method),
    /// A method of the SDK that peerd does not offer.
    Unsupported,
    /// Neither.
    Unknown,
}

impl Called {
    /// Looks up the name in a subject.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match Method::from_name(name) {
            Some(method) => Self::Method(method),
            None if unsupported::has(name) => Self::Unsupported,
            None => Self::Unknown,
        }
    }
}
