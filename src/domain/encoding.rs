//! How bodies are written.

/// How a body is written. What a user's sessions logged in with decides how the user's events are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/msgpack`, with named fields.
    #[default]
    MessagePack,
}
