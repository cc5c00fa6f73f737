//! Verifies a token: who signed it, for whom, until when, and which user it is for.

use peerd_core::id::UserId;
use serde_json::{Map, Value};

use crate::jws::Jws;
use crate::key::{Algorithm, Candidates, Keys};
use crate::refusal::Refusal;
use crate::revocation::Revocations;

/// The longest token. nats-server reads at most 4 KiB of a client's `CONNECT`, unless
/// `max_control_line` is raised.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The `iss`.
    pub issuer: String,
    /// The `aud`, or one of several.
    pub audience: String,
    /// The claim with the user ID.
    pub user_claim: String,
    /// By how many seconds the clocks of issuer and peerd may differ.
    pub leeway_s: u64,
    /// The longest user ID.
    pub user_id_bytes: usize,
}

/// A user that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: UserId,
    /// The end of the connection, in seconds since 1970: the token's `exp` and the leeway.
    pub ends_s: u64,
}

/// Verifies a token at a time in seconds since 1970.
pub fn verify(
    token: &str,
    keys: &Keys,
    revocations: &Revocations,
    rules: &Rules,
    now_s: u64,
) -> Result<Login, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    let jws = Jws::parse(token).map_err(|_| Refusal::Malformed)?;
    let algorithm = Algorithm::named(&jws.header.alg).ok_or(Refusal::Algorithm)?;
    let candidates = match keys.candidates(algorithm, jws.header.kid.as_deref()) {
        Candidates::These(candidates) => candidates,
        Candidates::Unknown => return Err(Refusal::UnknownKey),
        Candidates::OtherAlgorithm => return Err(Refusal::Algorithm),
    };
    if !candidates.iter().any(|key| key.verifies(jws.signed, &jws.signature)) {
        return Err(Refusal::Signature);
    }
    // From here on, the claims are the issuer's.
    let claims = serde_json::from_slice(&jws.payload).map_err(|_| Refusal::Malformed)?;
    Claims(claims).accepted(revocations, rules, now_s)
}

struct Claims(Map<String, Value>);

impl Claims {
    fn accepted(
        &self,
        revocations: &Revocations,
        rules: &Rules,
        now_s: u64,
    ) -> Result<Login, Refusal> {
        if self.text("iss") != Some(&rules.issuer) {
            return Err(Refusal::Issuer);
        }
        let is_meant = |audience: &Value| audience.as_str() == Some(&rules.audience);
        let is_for_us = match self.0.get("aud") {
            Some(Value::Array(several)) => several.iter().any(is_meant),
            Some(one) => is_meant(one),
            None => false,
        };
        if !is_for_us {
            return Err(Refusal::Audience);
        }
        let ends_s = self.time("exp")?.ok_or(Refusal::NoExpiry)?.saturating_add(rules.leeway_s);
        if now_s >= ends_s {
            return Err(Refusal::Expired);
        }
        let issued_s = self.time("iat")?;
        let starts_s = self.time("nbf")?.max(issued_s).unwrap_or_default();
        if now_s.saturating_add(rules.leeway_s) < starts_s {
            return Err(Refusal::NotYetValid);
        }
        let user = self.text(&rules.user_claim).ok_or(Refusal::User)?;
        let user = UserId::within(user, "userID", rules.user_id_bytes);
        let user = user.map_err(|_| Refusal::User)?;
        if revocations.revoke(self.text("jti"), &user, issued_s) {
            return Err(Refusal::Revoked);
        }
        Ok(Login { user, ends_s })
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.0.get(claim)?.as_str()
    }

    /// A time in seconds since 1970; a fraction is dropped.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only of numbers that are in range"
    )]
    fn time(&self, claim: &str) -> Result<Option<u64>, Refusal> {
        /// From here on, a float has no exact seconds.
        const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        let of_float = |float: f64| (0.0..FLOAT_MAX).contains(&float).then_some(float as u64);
        let seconds = value.as_u64().or_else(|| value.as_f64().and_then(of_float));
        seconds.map(Some).ok_or(Refusal::Malformed)
    }
}

#[cfg(test)]
mod tests;
