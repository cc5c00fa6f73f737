//! Checks the settings that must be the same on all instances of a deployment and that the streams
//! do not show.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::tuning::MEMBERS_LIST_TIMEOUT;
use crate::link::{Cause, Connection};
use crate::storage::owners::{self, Key, Member, MemberId, decode};
use crate::store::ReadError;
use crate::store::jetstream::StreamNames;

/// Why this instance cannot join the others.
#[derive(Debug, thiserror::Error)]
pub enum Disagreement {
    /// The members could not be read.
    #[error("cannot read the members: {0}")]
    Unread(#[from] ReadError),
    /// A member has another TTL, or had one until a moment ago.
    #[error(
        "cluster.member_ttl_ms is {own_ms} here and {other_ms} with member {member} ({host}): all \
         instances need the same; to change it, stop all of them first"
    )]
    MemberTtl {
        /// The TTL that this instance is configured with.
        own_ms: u64,
        /// The member's TTL.
        other_ms: u64,
        /// The member.
        member: MemberId,
        /// The member's machine.
        host: String,
        /// Whether the member was seen to be alive.
        is_alive: bool,
    },
}

impl Disagreement {
    /// The kind of remedy that the error calls for.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            // The entry of a member that died a moment ago still exists and soon expires.
            Self::Unread(_) | Self::MemberTtl { is_alive: false, .. } => Cause::Transient,
            Self::MemberTtl { is_alive: true, .. } => Cause::Configuration,
        }
    }
}

/// Compares this instance with the members, over several looks.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// The renewal count of each member with another TTL, as first seen.
    beats: HashMap<MemberId, u64>,
}

impl Agreement {
    /// Reads the members and compares their TTLs.
    pub(super) async fn look(
        &mut self,
        store: &Connection,
        names: &StreamNames,
        ttl: Duration,
    ) -> Result<(), Disagreement> {
        let entries =
            owners::entries(&store.client, names, Instant::now() + MEMBERS_LIST_TIMEOUT).await?;
        let members = entries.into_iter().filter_map(|(key, record)| match key {
            Key::Member(id) => Some((id, decode::<Member>(&record.payload).ok()?)),
            Key::Owner(_) | Key::Published(_) => None,
        });
        let own_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.compare(own_ms, members)
    }

    fn compare(
        &mut self,
        own_ms: u64,
        members: impl Iterator<Item = (MemberId, Member)>,
    ) -> Result<(), Disagreement> {
        let mut differs = None;
        for (id, member) in members {
            // Older releases do not state their TTL.
            let Some(other_ms) = member.ttl_ms.filter(|ttl_ms| *ttl_ms != own_ms) else { continue };
            let first = *self.beats.entry(id.clone()).or_insert(member.beat);
            let is_alive = member.beat != first;
            let host = member.process.host;
            let found = Disagreement::MemberTtl { own_ms, other_ms, member: id, host, is_alive };
            if is_alive {
                return Err(found);
            }
            differs = Some(found);
        }
        differs.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(agreement: &mut Agreement, ttl_ms: Option<u64>, beat: u64) -> Option<Cause> {
        let id = MemberId::new("one").expect("an ID");
        let member = Member { beat, ttl_ms, ..Member::default() };
        let compared = agreement.compare(5000, std::iter::once((id, member)));
        compared.err().map(|error| error.cause())
    }

    #[test]
    fn only_a_live_member_makes_the_configuration_wrong() {
        let mut agreement = Agreement::default();
        assert_eq!(compared(&mut agreement, Some(5000), 1), None);
        assert_eq!(compared(&mut agreement, None, 2), None);
        assert_eq!(compared(&mut agreement, Some(3000), 3), Some(Cause::Transient));
        assert_eq!(compared(&mut agreement, Some(3000), 3), Some(Cause::Transient));
        assert_eq!(compared(&mut agreement, Some(3000), 4), Some(Cause::Configuration));
    }
}
