//! Previews of conversations, as lists show them: names and newest messages.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::Instant;

use super::crossing::InFlight;
use super::env::Env;
use super::history::{History, Reader};
use super::tuning::{PREVIEW_TRIES_MAX, PREVIEWS_CONCURRENT_MAX};
use super::users::{LoadError, LockedUser, UserCell};
use crate::bus::Bus;
use crate::storage::reads::Found;
use crate::store::Store;
use peerd_core::conversation::{Conversation, ConversationView};
use peerd_core::id::{Direction, UserId};
use peerd_core::message::Message;
use peerd_core::user::{Account, User};
use peerd_core::user_info::Profile;

/// The parts of a conversation's preview that its owner does not keep in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Preview {
    /// The other user's profile.
    pub(super) profile: Profile,
    /// The newest message that the user still sees.
    pub(super) last_message: Option<Arc<Message>>,
}

/// A user's state, locked after the previews of conversations were read for an event.
pub(super) struct Previewed<'c> {
    pub(super) user: LockedUser<'c>,
    /// The conversations as they were when their previews were read.
    pub(super) page: Vec<(UserId, Conversation)>,
    pub(super) previews: Result<Vec<Preview>, LoadError>,
    /// Whether no message was sent or received in them since.
    pub(super) is_current: bool,
}

/// Reads previews.
pub(super) struct Conversations<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) history: Arc<History<S, B>>,
    pub(super) in_flight: Arc<InFlight>,
}

impl<S: Store, B: Bus> Conversations<S, B> {
    /// The conversations of a page as bodies show them.
    pub(super) async fn views(
        &self,
        cell: &UserCell,
        page: &[(UserId, Conversation)],
        deadline: Instant,
    ) -> Result<Vec<ConversationView>, LoadError> {
        let previews = self.previews(cell, page, deadline).await?;
        let view = |((other, known), preview): (&(UserId, Conversation), Preview)| {
            ConversationView::new(other, &preview.profile, known, preview.last_message)
        };
        Ok(page.iter().zip(previews).map(view).collect())
    }

    /// Reads the previews of conversations, waits until there is room for an event about each and
    /// for `messages` more, and locks the user's state: no await may separate a change from its
    /// events. If messages arrived meanwhile, it reads again, at most [`PREVIEW_TRIES_MAX`] times.
    pub(super) async fn lock_with_previews<'c>(
        &self,
        cell: &'c UserCell,
        page_of: impl Fn(&User) -> Vec<(UserId, Conversation)>,
        messages: usize,
        deadline: Instant,
    ) -> Previewed<'c> {
        let mut tries = 0;
        loop {
            tries += 1;
            let page = page_of(&cell.lock());
            let previews = self.previews(cell, &page, deadline).await;
            self.env.wait_for_room_beyond(page.len() + messages).await;
            let user = cell.lock();
            let is_current = page.iter().all(|(other, seen)| {
                let known = user.conversations.get(other);
                known.is_none_or(|known| known.received == seen.received && known.sent == seen.sent)
            });
            if is_current || tries >= PREVIEW_TRIES_MAX {
                return Previewed { user, page, previews, is_current };
            }
        }
    }

    /// The previews of conversations, in their order: one read for each partition involved, and a
    /// walk through the history only if the newest message was deleted or is not known yet.
    pub(super) async fn previews(
        &self,
        cell: &UserCell,
        page: &[(UserId, Conversation)],
        deadline: Instant,
    ) -> Result<Vec<Preview>, LoadError> {
        let (profiles, newest) = futures::try_join!(
            self.profiles(page.iter().map(|(other, _)| other), deadline),
            self.newest_messages(cell, page, deadline),
        )?;
        let mut previews = Vec::with_capacity(page.len());
        let mut newest = newest.into_iter();
        for chunk in page.chunks(PREVIEWS_CONCURRENT_MAX) {
            let chunk = chunk.iter().zip(newest.by_ref());
            let last = chunk.map(|((other, known), newest)| {
                self.last_message(cell, other, known, newest, deadline)
            });
            previews.extend(try_join_all(last).await?);
        }
        for ((other, known), last) in page.iter().zip(&previews) {
            // The message is stored, but its acknowledgement has not arrived: messages that cross
            // it come first.
            let sent = known.sent.map_or(0, |head| head.mark.seq);
            let own = last.as_ref().filter(|last| last.sender == cell.id);
            if let Some(last) = own.filter(|last| last.seq > sent) {
                self.in_flight.settle_received(cell, other, last.key, deadline).await;
            }
        }
        let preview = |((other, _), last_message): (&(UserId, Conversation), _)| {
            let profile = profiles.get(other).cloned().unwrap_or_default();
            Preview { profile, last_message }
        };
        Ok(page.iter().zip(previews).map(preview).collect())
    }

    async fn last_message(
        &self,
        cell: &UserCell,
        other: &UserId,
        known: &Conversation,
        newest: Newest,
        deadline: Instant,
    ) -> Result<Option<Arc<Message>>, LoadError> {
        let newest = match newest {
            Newest::Visible(mut message) => {
                let list = std::slice::from_mut(&mut message);
                self.env.show_pins(cell, other, list, deadline).await?;
                Some(message)
            }
            Newest::None => None,
            Newest::Hidden => {
                Reader::new(&self.history, cell, other, known, deadline).newest().await?
            }
        };
        let Some(mut newest) = newest else { return Ok(None) };
        let list = std::slice::from_mut(&mut newest);
        self.history.show_originals(cell, (other, known), list, deadline).await?;
        Ok(Some(newest))
    }

    /// The profile of a user; empty if there is none.
    pub(super) async fn profile(
        &self,
        user: &UserId,
        deadline: Instant,
    ) -> Result<Profile, LoadError> {
        let mut profiles = self.profiles(std::iter::once(user), deadline).await?;
        Ok(profiles.remove(user).unwrap_or_default())
    }

    /// The profiles of users.
    pub(super) async fn profiles(
        &self,
        users: impl Iterator<Item = &UserId>,
        deadline: Instant,
    ) -> Result<HashMap<UserId, Profile>, LoadError> {
        let accounts = self.accounts(users, deadline).await?;
        Ok(accounts.into_iter().map(|(user, account)| (user, account.profile)).collect())
    }

    /// The accounts of users, as far as they have one. A replica may have an older one.
    pub(super) async fn accounts(
        &self,
        users: impl Iterator<Item = &UserId>,
        deadline: Instant,
    ) -> Result<HashMap<UserId, Account>, LoadError> {
        Ok(self.env.storage(deadline).accounts(users).await?)
    }

    async fn newest_messages(
        &self,
        cell: &UserCell,
        page: &[(UserId, Conversation)],
        deadline: Instant,
    ) -> Result<Vec<Newest>, LoadError> {
        let mut newest = vec![Newest::None; page.len()];
        let (mut wanted, mut pairs) = (Vec::new(), Vec::new());
        for (index, (other, known)) in page.iter().enumerate() {
            let Some((direction, seq)) = newest_head(known) else { continue };
            let in_doubt = known.settings.deleted.has_spilled(direction);
            if known.hides(direction, seq) || in_doubt {
                newest[index] = Newest::Hidden;
                continue;
            }
            wanted.push((index, direction));
            let pair = match direction {
                Direction::Receive => self.env.pair(other, &cell.id),
                Direction::Send => self.env.pair(&cell.id, other),
            };
            pairs.push((pair, known.settings.amended(direction).clone()));
        }
        let found = self.env.storage(deadline).newest_of(&pairs).await?;
        for (((index, direction), found), (pair, _)) in wanted.into_iter().zip(found).zip(&pairs) {
            let Some(found) = found else { continue };
            let head = page[index].1.head(direction);
            let is_shown =
                |found: &Found| head.is_some_and(|head| head.shows(direction, found.seq()));
            let found = found.slot().and_then(|slot| slot.shown(pair)).filter(is_shown);
            newest[index] = found
                .map_or(Newest::Hidden, |found| Newest::Visible(Arc::new(found.stored.message)));
        }
        Ok(newest)
    }
}

/// The newest message of a conversation, according to its heads.
#[derive(Clone)]
enum Newest {
    /// There is none.
    None,
    /// It was deleted or removed, or is not known yet: an older one must be searched.
    Hidden,
    /// This is it.
    Visible(Arc<Message>),
}

fn newest_head(known: &Conversation) -> Option<(Direction, u64)> {
    let head = |direction| {
        let head = known.head(direction).filter(|head| head.stream_seq > 0)?;
        Some((head.key, direction, head.mark.seq))
    };
    let newest = head(Direction::Receive).max(head(Direction::Send));
    newest.map(|(_, direction, seq)| (direction, seq))
}
