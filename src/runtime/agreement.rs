//! What all instances of a deployment must have alike, and cannot read off the streams.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::link::{Cause, Connection};
use crate::storage::owners::{self, Key, Member, MemberId, decode};
use crate::store::ReadError;
use crate::store::jetstream::StreamNames;

/// How long the store has to say who is there.
const LOOK: Duration = Duration::from_secs(5);

/// Why this instance cannot be one of the others.
#[derive(Debug, thiserror::Error)]
pub enum Disagreement {
    /// Who is there could not be read.
    #[error("the members cannot be read: {0}")]
    Unread(#[from] ReadError),
    /// A member has another TTL, or had until a moment ago.
    #[error(
        "cluster.member_ttl_ms is {own_ms} here and {other_ms} with member {member} ({host}): all \
         instances need the same; to change it, stop all of them first"
    )]
    MemberTtl {
        /// What this instance was configured with.
        own_ms: u64,
        /// What the member was.
        other_ms: u64,
        /// The member.
        member: MemberId,
        /// Its machine.
        host: String,
        /// Whether the member was seen to be alive.
        is_alive: bool,
    },
}

impl Disagreement {
    /// What it asks for.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            // A member that died a moment ago is still there, and soon is not.
            Self::Unread(_) | Self::MemberTtl { is_alive: false, .. } => Cause::Transient,
            Self::MemberTtl { is_alive: true, .. } => Cause::Configuration,
        }
    }
}

/// Compares this instance with the members, over several looks.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// The renewals of each member that has another TTL, when it was first seen.
    beats: HashMap<MemberId, u64>,
}

impl Agreement {
    /// Looks at the members.
    pub(super) async fn look(
        &mut self,
        store: &Connection,
        names: &StreamNames,
        ttl: Duration,
    ) -> Result<(), Disagreement> {
        let entries = owners::entries(&store.client, names, Instant::now() + LOOK).await?;
        let members = entries.into_iter().filter_map(|(key, record)| match key {
            Key::Member(id) => Some((id, decode::<Member>(&record.payload).ok()?)),
            Key::Owner(_) | Key::Told(_) => None,
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
            // Releases before this one do not say.
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
    fn only_a_member_that_is_alive_makes_the_configuration_wrong() {
        let mut agreement = Agreement::default();
        assert_eq!(compared(&mut agreement, Some(5000), 1), None);
        assert_eq!(compared(&mut agreement, None, 2), None);
        assert_eq!(compared(&mut agreement, Some(3000), 3), Some(Cause::Transient));
        assert_eq!(compared(&mut agreement, Some(3000), 3), Some(Cause::Transient));
        assert_eq!(compared(&mut agreement, Some(3000), 4), Some(Cause::Configuration));
    }
}
