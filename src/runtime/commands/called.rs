//! The name of a method in the subject of a call: what it names, and the refusal if it names nothing.

use super::{Method, unsupported};
use peerd_core::rejection::Rejection;

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

impl Method {
    /// The refusal of a call of an unknown method.
    #[must_use]
    pub fn unknown(name: &str) -> Rejection {
        /// No method's name is longer.
        const SHOWN_MAX_BYTES: usize = 64;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_shown = name.len() <= SHOWN_MAX_BYTES && name.bytes().all(is_name);
        // Other spellings differ in capitals and in what joins the words.
        let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
        let meant = is_shown.then(|| plain(name)).and_then(|called| {
            let own = Self::ALL.iter().map(|method| method.name());
            let others = unsupported::names().iter().copied();
            own.chain(others).find(|name| plain(name) == called)
        });
        let name = if is_shown { name.to_owned() } else { String::new() };
        Rejection::UnknownMethod { name, meant }
    }
}
