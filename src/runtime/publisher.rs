//! Publishing events to users.

use std::sync::Arc;

use super::env::Env;
use super::tuning::{CHANGE_BYTES_PER_EVENT, CHANGES_PER_EVENT};
use super::users::UserCell;
use crate::bus::{Bus, Kind, Outgoing, Permit};
use crate::store::Store;
use peerd_core::conversation::{ConversationEvent, ConversationView};
use peerd_core::event::{Changes, Publication, Revision};
use peerd_core::user::User;
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::event::{self, Bundle, EventBody, LiveBody, LiveEvent};
use peerd_protocol::fit;

/// Publishes events to users.
pub(super) struct Publisher<S, B> {
    env: Arc<Env<S, B>>,
}

impl<S: Store, B: Bus> Publisher<S, B> {
    pub(super) const fn new(env: Arc<Env<S, B>>) -> Self {
        Self { env }
    }

    /// The encoding of a user's events: that of the sessions if all logged in with the same one,
    /// otherwise the configured one.
    fn encoding_for(&self, user: &User) -> Encoding {
        let configured = self.env.options.event_encoding;
        let other = user.sessions_encoding().filter(|encoding| *encoding != configured);
        // Only now does it matter whether sessions have ended by idling.
        other
            .filter(|_| user.is_logged_in(self.env.clock.wall_ms(), self.env.limits()))
            .unwrap_or(configured)
    }

    /// Publishes events to a user. The user's state is locked meanwhile, so that events go out in
    /// the order of their revisions.
    pub(super) fn publish(&self, cell: &UserCell, user: &User, publication: &Publication) {
        if !cell.ownership.may_act() {
            return;
        }
        let encoding = self.encoding_for(user);
        let (room, revision) = (self.env.room(), publication.revision);
        let content_max = room.content_of(publication.entries());
        let emit = |name, body| {
            let subject = self.env.subjects.event(&cell.token, name);
            let permit: Option<Arc<dyn Permit>> = Some(cell.ownership.clone());
            let kind = Kind::Event { revision };
            self.env.emit(Outgoing { subject, encoding, kind, body, permit });
        };
        let is_one = 1..=CHANGES_PER_EVENT;
        if self.env.options.bundle_events && is_one.contains(&publication.events.len()) {
            let (events, viewer) = (&publication.events[..], &cell.id);
            let bundle = Bundle { events, revision, viewer, content_max };
            match fit::bundle(&bundle, encoding, room) {
                Ok(Some(body)) => return emit(event::BUNDLE, body),
                // It does not fit.
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "cannot encode a bundle of events"),
            }
        }
        for event in &publication.events {
            let body = EventBody { event, revision, viewer: &cell.id, content_max };
            let emit = |body| emit(event::name(event), body);
            if let Err(error) = fit::event(&body, encoding, room, emit) {
                tracing::error!(%error, "cannot encode an event");
            }
        }
    }

    /// Publishes a live event to a user, unless the user is offline. The user's state is locked
    /// meanwhile, as by [`Self::publish`].
    pub(super) fn publish_live<E: LiveEvent>(&self, cell: &UserCell, user: &User, event: &E) {
        let env = &self.env;
        if !cell.ownership.may_act() || !user.is_logged_in(env.clock.wall_ms(), env.limits()) {
            return;
        }
        let (encoding, current) = (self.encoding_for(user), user.revision.current);
        match encoding.encode(&LiveBody::at(event, current)) {
            Ok(body) => {
                let subject = env.subjects.event(&cell.token, E::NAME);
                let permit: Option<Arc<dyn Permit>> = Some(cell.ownership.clone());
                let kind = Kind::Event { revision: Revision { current, previous: current } };
                env.emit(Outgoing { subject, encoding, kind, body, permit });
            }
            Err(error) => tracing::error!(%error, "cannot encode an event"),
        }
    }
}

/// Splits changes into parts of one event each.
pub(super) fn chunks(
    mut changes: Vec<(ConversationEvent, ConversationView)>,
) -> impl Iterator<Item = Changes> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |(_, view): &&(ConversationEvent, ConversationView)| {
            let last = view.last_message.as_ref();
            bytes += last.map_or(0, |last| last.size_bytes());
            bytes <= CHANGE_BYTES_PER_EVENT
        };
        let length = changes.iter().take(CHANGES_PER_EVENT).take_while(fits).count();
        let rest = changes.split_off(length.max(1).min(changes.len()));
        let chunk = std::mem::replace(&mut changes, rest);
        (!chunk.is_empty()).then(|| chunk.into())
    })
}
