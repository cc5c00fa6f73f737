//! Shared by the changes of the user's own profile and privacy.

use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;
use tokio::time::Instant;

use super::{Call, Peer, WithPeer};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Keys, Write};
use crate::store::Store;
use peerd_core::conversation::{ConversationEvent, ConversationView};
use peerd_core::event::Event;
use peerd_core::id::UserId;
use peerd_core::limits::PROFILE_CONVERSATIONS_MAX;
use peerd_core::profile::ProfileChange;
use peerd_core::user::{Account, User};
use peerd_core::user_info::Profile;
use peerd_protocol::failure::{CallError, Failure};

/// How long the call waits until the other users have their events. A name that an owner does not
/// take in time is shown with the next message or read.
const SHOW_FOR: Duration = Duration::from_secs(1);
/// Users that are notified at the same time.
const CONCURRENT: usize = 16;
/// How often the preview of the conversation is read again because a message came in meanwhile.
/// Whatever comes in shows the new profile too.
const PREVIEW_TRIES: usize = 4;

/// The profile that the conversation of another user shows: name and avatar.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownProfile(String, Option<String>);

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
    decide: impl Fn(&User) -> Option<(Account, Event)>,
) -> Result<bool, CallError> {
    let Call { parts, cell, deadline, .. } = call;
    {
        let mut user = cell.lock();
        if decide(&user).is_none() {
            return Ok(false);
        }
        user.admit_profile_change(parts.env.clock.now().steady_us)?;
    }
    let mut is_changed = false;
    let decide = |user: &User, _: &Keys<'_>| {
        let Some((mut account, event)) = decide(user) else { return Ok(None) };
        is_changed = true;
        // While a replay is due, the stored time is that from which it begins.
        account.last_seen_ms = user.replay_due_ms.or(account.last_seen_ms);
        let writes = vec![Write::Profile { account, expected_seq: user.account_seq }];
        Ok(Some(Change { writes, events: Events::These(vec![event]) }))
    };
    parts.entries.commit(cell, *deadline, decide).await?;
    Ok(is_changed)
}

/// Publishes the caller's present name and avatar to the other users of the newest conversations,
/// as far as they are in their owners' memory. The number of conversations and the rate of changes
/// bound what a change costs others.
pub(super) async fn show<C: WithPeer<Part = ShownProfile, Answer = ()>, S: Store, B: Bus>(
    call: Call<'_, S, B>,
) {
    let deadline = call.deadline.min(Instant::now() + SHOW_FOR);
    let call = &Call { deadline, ..call };
    let peers = call.cell.lock().newest_peers(PROFILE_CONVERSATIONS_MAX);
    for peers in peers.chunks(CONCURRENT) {
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
    for _ in 0..PREVIEW_TRIES {
        let seen = {
            let user = cell.lock();
            let is_logged_in = user.is_logged_in(parts.env.clock.wall_ms(), parts.env.limits());
            let known = user.conversation(from).filter(|_| is_logged_in);
            // A flood of changes of a blocked user reaches nobody.
            known.filter(|_| !user.blocked.contains(from)).cloned()
        };
        let Some(seen) = seen else { return Ok(()) };
        let page = [(from.clone(), seen)];
        let previews = parts.conversations.previews(cell, &page, deadline).await;
        let preview = previews.map_err(Failure::from)?.pop().unwrap_or_default();
        parts.env.wait_for_room_beyond(1).await;
        let user = cell.lock();
        let Some(known) = user.conversation(from) else { return Ok(()) };
        let [(_, seen)] = &page;
        if known.received == seen.received && known.sent == seen.sent {
            let view = ConversationView::new(from, &profile, known, preview.last_message);
            let changed = Event::ConversationChanged(smallvec![(ConversationEvent::Updated, view)]);
            let publication = user.publication(vec![changed]);
            parts.publisher.publish(cell, &user, &publication);
            return Ok(());
        }
    }
    Ok(())
}
