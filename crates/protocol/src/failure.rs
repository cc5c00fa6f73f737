//! The reasons why a call fails, as reported to its caller.

use std::fmt;

use serde::Serialize;

use super::api::Failed;
use peerd_core::rejection::Rejection;

/// A failure that the caller did not cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many calls are in progress.
    Overloaded {
        /// The time after which a retry may succeed.
        retry_after_ms: u64,
    },
    /// No instance owns the user's partition at the moment. Nothing was done.
    NoOwner {
        /// The time after which a retry may succeed.
        retry_after_ms: u64,
    },
    /// No instance can own the user's partition until an operator or peerd has repaired the bucket
    /// of owners. Nothing was done.
    NoOwners,
    /// A fault in peerd.
    Internal,
    /// The reply is larger than the server accepts.
    TooLarge,
    /// The store did not answer or rejected the operation. Nothing was stored.
    StoreUnavailable,
    /// The store did not answer a write, which may or may not have happened.
    OutcomeUnknown,
}

/// The reason why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// An expected refusal.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// A failure that the caller did not cause.
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
                "the store did not answer; the call may have taken effect and may be repeated"
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

    /// The stable word by which programs distinguish errors.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::Failed(failure) => failure.reason(),
        }
    }
}

/// The methods whose repeat is recognized by its `localMessageID`.
pub const SENDS: [&str; 2] = ["send_peer_message", "send_message"];
/// The text of an unknown outcome for the caller of one of them.
const UNKNOWN_SEND: &str =
    "the store did not answer; repeat with the same localMessageID to find out";

/// The body of the reply to a call that failed.
#[derive(Clone, Copy)]
pub struct FailureBody<'a> {
    /// The reason.
    pub error: &'a CallError,
    /// The method that was called; empty if there is none.
    pub method: &'a str,
}

impl FailureBody<'_> {
    /// The text for people.
    #[must_use]
    pub fn text(self) -> String {
        if SENDS.contains(&self.method) && *self.error == CallError::Failed(Failure::OutcomeUnknown)
        {
            return UNKNOWN_SEND.to_owned();
        }
        self.error.to_string()
    }
}

impl Serialize for FailureBody<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let retry_after_ms = match self.error {
            CallError::Rejected(rejection) => rejection.retry_after_ms(),
            CallError::Failed(failure) => failure.retry_after_ms(),
        };
        let (code, reason) = (self.error.code(), self.error.reason().to_owned());
        Failed { code, reason, message: self.text(), retry_after_ms }.serialize(serializer)
    }
}
