//! The users whose status a user follows, in one entry. Key: `peer.state.<p>.<user>.subscriptions`.
//! A load takes the newer one. Expired subscriptions stay until the next change.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Kind;
use super::fields::{FieldsIn, FieldsOut};
use crate::wire::packed::{EncodeError, RecordError, check_numbers};
use peerd_core::id::{Partition, UserId};
use peerd_core::limits::SUBSCRIPTIONS_MAX;
use peerd_core::subscriptions::{Subscription, Subscriptions};
use peerd_protocol::subject::{Subjects, Token};

const KIND: &str = Kind::Subscriptions.name();

/// For each user, since when and until when (ms since 1970).
const OF: u8 = 1;

type SubscriptionsV1<'a> = BTreeMap<&'a str, (u64, u64)>;

/// A user's entry.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, user: &Token) -> String {
    format!("{}{user}.subscriptions", subjects.state_prefix(partition))
}

/// Writes the subscriptions of a user.
pub fn encode(Subscriptions { of, later }: &Subscriptions) -> Result<Bytes, EncodeError> {
    let all = of.iter().map(|(user, it)| (user.as_str(), (it.since_ms, it.until_ms)));
    let all: SubscriptionsV1<'_> = all.collect();
    let mut fields = FieldsOut::default();
    fields.put_always(OF, &all)?;
    fields.entry(1, later)
}

/// Reads the subscriptions of a user.
pub fn decode(bytes: &[u8]) -> Result<Subscriptions, RecordError> {
    let fields = FieldsIn::read(bytes, KIND, 1, OF)?;
    let all: SubscriptionsV1<'_> = fields.required(OF)?;
    if all.len() > SUBSCRIPTIONS_MAX {
        return Err(RecordError::new(KIND, "it has too many users"));
    }
    let mut of = BTreeMap::new();
    for (user, (since_ms, until_ms)) in all {
        check_numbers(KIND, &[since_ms, until_ms])?;
        let user = UserId::new(user, "userID").map_err(|_| RecordError::new(KIND, "its user"))?;
        of.insert(user, Subscription { since_ms, until_ms });
    }
    Ok(Subscriptions { of, later: fields.later() })
}
