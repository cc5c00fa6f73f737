//! The encodings of bodies.

/// The encoding of a body. The encoding that a user's sessions logged in with determines that of
/// the user's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/msgpack`, with named fields.
    #[default]
    MessagePack,
}
