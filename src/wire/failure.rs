//! Why a call failed, as its caller is told.

use std::fmt;

use serde::Serialize;

use crate::domain::rejection::Rejection;

/// What went wrong in the world, as opposed to what the caller did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many calls are under way.
    Overloaded {
        /// When a repeat may succeed.
        retry_after_ms: u64,
    },
    /// Nobody owns the user's partition at the moment. Nothing was done.
    NoOwner {
        /// When a repeat may succeed.
        retry_after_ms: u64,
    },
    /// Nobody can own the user's partition until a person, or peerd, has dealt with the bucket of
    /// owners. Nothing was done.
    NoOwners,
    /// A fault in peerd.
    Internal,
    /// The answer is larger than the server takes.
    TooLarge,
    /// The store did not answer, or refused. Nothing was stored.
    StoreUnavailable,
    /// The store did not answer a write: it may or may not have happened.
    OutcomeUnknown,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// An expected refusal.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// The world failed.
    #[error("{0}")]
    Failed(#[from] Failure),
}

impl Failure {
    const fn code(self) -> u32 {
        match self {
            Self::Overloaded { .. } | Self::NoOwner { .. } | Self::Internal | Self::TooLarge => {
                6_000_007
            }
            Self::NoOwners | Self::StoreUnavailable | Self::OutcomeUnknown => 6_000_008,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Overloaded { .. } | Self::NoOwner { .. } => "overloaded",
            Self::Internal | Self::TooLarge => "internal",
            Self::NoOwners | Self::StoreUnavailable => "store_unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }

    const fn retry_after_ms(self) -> Option<u64> {
        match self {
            Self::Overloaded { retry_after_ms } | Self::NoOwner { retry_after_ms } => {
                Some(retry_after_ms)
            }
            Self::NoOwners
            | Self::Internal
            | Self::TooLarge
            | Self::StoreUnavailable
            | Self::OutcomeUnknown => None,
        }
    }
}

/// The text for the caller.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded { .. } => "too many calls are under way, try again later",
            Self::NoOwner { .. } => {
                "no instance of peerd owns the user's partition at the moment, try again later"
            }
            Self::NoOwners => {
                "the bucket of owners (…_OWNERS) is not there or takes no writes, nothing was done; \
                 peerd's log and `peerd status` say more"
            }
            Self::Internal => "a fault in peerd; its log says more",
            Self::TooLarge => "the answer is larger than max_payload of the nats-server allows",
            Self::StoreUnavailable => "the store is not available, nothing was stored",
            Self::OutcomeUnknown => {
                "the store did not answer; repeat with the same localMessageID to find out"
            }
        })
    }
}

impl std::error::Error for Failure {}

impl CallError {
    /// The code for the body and the header.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Rejected(rejection) => rejection.code(),
            Self::Failed(failure) => failure.code(),
        }
    }

    /// The stable word that programs tell errors apart by.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::Failed(failure) => failure.reason(),
        }
    }
}

/// The body of the reply to a call that failed.
pub struct FailureBody<'a>(pub &'a CallError);

impl Serialize for FailureBody<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            code: u32,
            reason: &'a str,
            message: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after_ms: Option<u64>,
        }
        let retry_after_ms = match self.0 {
            CallError::Rejected(rejection) => rejection.retry_after_ms(),
            CallError::Failed(failure) => failure.retry_after_ms(),
        };
        let message = self.0.to_string();
        Body { code: self.0.code(), reason: self.0.reason(), message, retry_after_ms }
            .serialize(serializer)
    }
}
