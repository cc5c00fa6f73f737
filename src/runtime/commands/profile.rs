//! Shared by the changes of the user's own profile and privacy.

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;
use tokio::time::Instant;

use super::{Call, Peer, WithPeer};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::conversations::Previewed;
use crate::runtime::tuning::{PROFILE_SHOW_TIMEOUT, PROFILE_SHOWN_CONCURRENT};
use crate::store::Store;
use peerd_core::conversation::{ConversationEvent, ConversationView};
use peerd_core::event::Event;
use peerd_core::id::UserId;
use peerd_core::limits::PROFILE_CONVERSATIONS_MAX;
use peerd_core::profile::ProfileChange;
use peerd_core::user::{Account, User};
use peerd_core::user_info::Profile;
use peerd_protocol::failure::{CallError, Failure};

/// The profile that the conversation of another user shows: name and avatar.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownProfile(pub(super) String, pub(super) Option<String>);

/// Stores a change of the caller's profile and publishes it to the caller's sessions. Returns
/// whether something changed.
pub(super) async fn change<S: Store, B: Bus>(
    change: &ProfileChange,
    call: &Call<'_, S, B>,
) -> Result<bool, CallError> {
    let decide = |user: &User| {
        let account = user.change_profile(change)?;
        let event = Event::UserInfoUpdated(account.info(&user.id));
        Some((account, event))
    };
    commit(call, decide).await
}

/// Stores a change of the caller's account and publishes the event to the caller's sessions; `None`
/// is no change. Returns whether something changed.
pub(super) async fn commit<S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    decide: impl FnOnce(&User) -> Option<(Account, Event)>,
) -> Result<bool, CallError> {
    let Call { parts, cell, deadline, .. } = call;
    let decide = async {
        let mut user = cell.lock();
        let Some((mut account, event)) = decide(&user) else { return Ok((None, false)) };
        user.admit_profile_change(parts.env.clock.now().steady_us)?;
        // While a replay is due, the stored time is that from which it begins.
        account.last_seen_ms = user.replay_due_ms.or(account.last_seen_ms);
        let writes = vec![Write::Profile { account, expected_seq: user.account_seq }];
        Ok((Some(Change { writes, events: Events::These(vec![event]) }), true))
    };
    parts.entries.commit_reading(cell, *deadline, decide).await
}

/// Publishes the caller's present name and avatar to the other users of the newest conversations,
/// as far as they are in their owners' memory. The number of conversations and the rate of changes
/// bound what a change costs others.
pub(super) async fn show<C: WithPeer<Part = ShownProfile, Answer = ()>, S: Store, B: Bus>(
    call: Call<'_, S, B>,
) {
    let deadline = call.deadline.min(Instant::now() + PROFILE_SHOW_TIMEOUT);
    let call = &Call { deadline, ..call };
    let peers = call.cell.lock().newest_peers(PROFILE_CONVERSATIONS_MAX);
    for peers in peers.chunks(PROFILE_SHOWN_CONCURRENT) {
        join_all(peers.iter().map(|peer| show_to::<C, S, B>(call, peer))).await;
    }
}

async fn show_to<C: WithPeer<Part = ShownProfile, Answer = ()>, S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    peer: &UserId,
) {
    // The present profile: of two changes at the same time, both publish the later one.
    let Profile { name, avatar_url } = call.cell.lock().account.profile.clone();
    let part = ShownProfile(name, avatar_url.map(|url| url.to_string()));
    if let Err(error) = call.at_peer::<C>(peer, &part).await {
        tracing::debug!(%error, "a conversation shows the new profile later");
    }
}

/// Publishes a conversation of the other user, with the profile that it shows now.
pub(super) async fn show_at_peer<S: Store, B: Bus>(
    ShownProfile(name, avatar_url): ShownProfile,
    Peer { parts, cell, from, deadline }: Peer<'_, S, B>,
) -> Result<(), CallError> {
    let profile = Profile { name, avatar_url: avatar_url.map(Into::into) };
    let page_of = |user: &User| {
        let is_logged_in = user.is_logged_in(parts.env.clock.wall_ms(), parts.env.limits());
        // A blocked user causes no events.
        let is_shown = is_logged_in && !user.blocked.contains(from);
        let known = user.conversation(from).filter(|_| is_shown);
        known.map(|known| (from.clone(), known.clone())).into_iter().collect()
    };
    let locked = parts.conversations.lock_with_previews(cell, page_of, 0, deadline).await;
    let Previewed { user, previews, is_current, .. } = locked;
    let preview = previews.map_err(Failure::from)?.pop();
    // A message that came in meanwhile shows the new profile too.
    if let (Some(preview), true) = (preview, is_current)
        && let Some(known) = user.conversation(from)
    {
        let view = ConversationView::new(from, &profile, known, preview.last_message);
        let changed = Event::ConversationChanged(smallvec![(ConversationEvent::Updated, view)]);
        let publication = user.publication(vec![changed]);
        parts.publisher.publish(cell, &user, &publication);
    }
    Ok(())
}
