//! The names of the users, and the fields of bodies.

use serde_json::Value;

/// All users. Two names must be encoded in subjects.
pub(crate) const NAMES: [&str; 5] = ["alice", "bob", "b.o b", "100%~", "dora"];

/// A user by name.
pub(crate) fn user_of(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}
