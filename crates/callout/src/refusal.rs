//! Why a client may not connect.

/// Why a client may not connect. The text goes to the logs of peerd and nats-server; the client
/// learns no reason. Neither contains anything of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client sent no token.
    #[error("no token was given")]
    NoToken,
    /// The token is no signed JSON within the bounds.
    #[error("the token is malformed")]
    Malformed,
    /// The algorithm is none that peerd accepts, or not that of the key.
    #[error("the token's algorithm is not that of a key")]
    Algorithm,
    /// The token names a key that is not known.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// The token is of another issuer.
    #[error("the token has another issuer (iss)")]
    Issuer,
    /// The token is for another audience.
    #[error("the token is for another audience (aud)")]
    Audience,
    /// The token has no time of expiry.
    #[error("the token has no expiry (exp)")]
    NoExpiry,
    /// The token has expired.
    #[error("the token has expired (exp)")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet (nbf or iat)")]
    NotYetValid,
    /// The token, or all of its user's tokens from its time, were revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The token names no user, or one with an ID that no user of peerd can have.
    #[error("the token has no valid userID")]
    User,
    /// The client gave a user name, and the token is for another user.
    #[error("the token is for another user than the client named")]
    OtherUser,
    /// No keys are known, or they are too old.
    #[error("no keys for tokens are known at present")]
    NoKeys,
    /// There are too many requests in progress.
    #[error("too many logins are in progress")]
    Overloaded,
}

impl Refusal {
    /// All refusals.
    pub const ALL: [Self; 15] = [
        Self::NoToken,
        Self::Malformed,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Issuer,
        Self::Audience,
        Self::NoExpiry,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::User,
        Self::OtherUser,
        Self::NoKeys,
        Self::Overloaded,
    ];

    /// The name, as metrics and logs have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::User => "user",
            Self::OtherUser => "other_user",
            Self::NoKeys => "no_keys",
            Self::Overloaded => "overloaded",
        }
    }
}
