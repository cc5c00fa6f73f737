//! Showing conversations: the list, one of them, and those that changed.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::Instant;

use super::cell::UserCell;
use super::history::{Page, Reader};
use super::load::LoadError;
use super::node::Node;
use crate::bus::Bus;
use crate::domain::conversation::{Conversation, ConversationView};
use crate::domain::id::{OrderKey, UserId};
use crate::domain::message::{Direction, Message};
use crate::domain::rejection::Rejection;
use crate::storage::reads::Found;
use crate::store::Store;
use crate::wire::failure::{CallError, Failure};
use crate::wire::reply::Reply;
use crate::wire::request::{HistoryQuery, ListQuery};

/// Conversations whose newest message is looked for page by page at the same time.
const CONCURRENT: usize = 16;

/// How often a page is read because of messages that cross while it is read.
const PAGE_TRIES: usize = 4;

/// What a conversation shows that its owner does not keep in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Face {
    /// The other user's name; empty where there is none.
    pub(super) name: String,
    /// The newest message that the user still sees.
    pub(super) last_message: Option<Arc<Message>>,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// A page of a conversation.
    pub(super) async fn history(
        self: &Arc<Self>,
        cell: &UserCell,
        query: HistoryQuery,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let HistoryQuery { other, anchor, count, backwards } = query;
        let anchor = anchor.map(super::super::domain::id::MessageId::key);
        // Up to where what crosses the user's own messages is known.
        let mut settled = OrderKey::ZERO;
        for tries in 1.. {
            let (conversation, is_sent_ahead) = {
                let user = cell.lock();
                // In the lock: what is not in flight any more is known.
                let is_sent_ahead = self.may_cross(&user.id, &other, OrderKey(u64::MAX));
                (user.conversation(&other).cloned().unwrap_or_default(), is_sent_ahead)
            };
            let seen = (&other, &conversation);
            let mut reader = Reader::with_sent_ahead(self, cell, seen, is_sent_ahead, deadline);
            let page = if backwards {
                reader.back(anchor, count).await.map_err(Failure::from)?
            } else {
                let messages = reader.forth(anchor, count).await.map_err(Failure::from)?;
                Page { messages, rest: None }
            };
            let Page { mut messages, rest } = page;
            let unsure = unsure(&messages, &other, &conversation, settled);
            if let Some(newest) = messages[unsure..].last().map(|newest| newest.key)
                && !self.is_in_order(cell, (&other, &conversation), newest, deadline).await
            {
                settled = newest;
                if tries < PAGE_TRIES {
                    continue;
                }
                // It ends where nothing can be missing, and is as long as was asked for.
                let cut = messages[unsure].key;
                messages.truncate(unsure);
                if backwards {
                    let before = reader.back(Some(cut), count).await.map_err(Failure::from)?;
                    messages = before.messages;
                }
            } else if let Some((place, rest)) = rest {
                // Most who see the newest page are content with it.
                let likely = if anchor.is_some() { count } else { 0 };
                self.keep_place(place, rest, likely);
            }
            return Ok(Reply::History { other, messages, backwards });
        }
        Err(Failure::Internal.into())
    }

    /// Whether nothing is missing in a page that sorts before `newest`, which is a message of the user's
    /// own whose acknowledgement is on its way. What crosses it is waited for; if there is such, the
    /// page is to be read again.
    async fn is_in_order(
        &self,
        cell: &UserCell,
        (other, seen): (&UserId, &Conversation),
        newest: OrderKey,
        deadline: Instant,
    ) -> bool {
        self.settle_received(cell, other, newest, deadline).await;
        let user = cell.lock();
        let received = user.conversations.get(other).and_then(|known| known.received);
        received.map(|head| head.mark) == seen.received.map(|head| head.mark)
    }

    /// A page of the conversation list.
    pub(super) async fn list(
        &self,
        cell: &UserCell,
        query: ListQuery,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let page: Vec<(UserId, Conversation)> = {
            let user = cell.lock();
            let ids = user.list(query.anchor.as_ref(), query.count, query.only_unread);
            let snapshot =
                |id: UserId| user.conversations.get(&id).cloned().map(|known| (id, known));
            ids.into_iter().filter_map(snapshot).collect()
        };
        Ok(Reply::List(self.views(cell, &page, deadline).await.map_err(Failure::from)?))
    }

    /// One conversation.
    pub(super) async fn conversation(
        &self,
        cell: &UserCell,
        other: UserId,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let known = cell.lock().conversation(&other).cloned();
        let page = [(other, known.ok_or(Rejection::ConversationNotFound)?)];
        let mut views = self.views(cell, &page, deadline).await.map_err(Failure::from)?;
        let view = views.pop().ok_or(Failure::Internal)?;
        Ok(Reply::Conversation(Box::new(view)))
    }

    async fn views(
        &self,
        cell: &UserCell,
        page: &[(UserId, Conversation)],
        deadline: Instant,
    ) -> Result<Vec<ConversationView>, LoadError> {
        let faces = self.faces(cell, page, deadline).await?;
        let view = |((other, known), face): (&(UserId, Conversation), Face)| {
            ConversationView::new(other, &face.name, known, face.last_message)
        };
        Ok(page.iter().zip(faces).map(view).collect())
    }

    /// What conversations show, in their order: one read for each partition that is touched, and a
    /// walk through the history only where the newest message was deleted or is not known yet.
    pub(super) async fn faces(
        &self,
        cell: &UserCell,
        page: &[(UserId, Conversation)],
        deadline: Instant,
    ) -> Result<Vec<Face>, LoadError> {
        let (names, newest) = futures::try_join!(
            self.names(page.iter().map(|(other, _)| other), deadline),
            self.newest_messages(cell, page, deadline),
        )?;
        let mut faces = Vec::with_capacity(page.len());
        let mut newest = newest.into_iter();
        for chunk in page.chunks(CONCURRENT) {
            let chunk = chunk.iter().zip(newest.by_ref());
            let last = chunk.map(|((other, known), newest)| {
                self.last_message(cell, other, known, newest, deadline)
            });
            faces.extend(try_join_all(last).await?);
        }
        for ((other, known), last) in page.iter().zip(&faces) {
            // Stored, and its acknowledgement is on its way here: what crosses it comes first.
            let sent = known.sent.map_or(0, |head| head.mark.seq);
            let own = last.as_ref().filter(|last| last.sender == cell.id);
            if let Some(last) = own.filter(|last| last.seq > sent) {
                self.settle_received(cell, other, last.key, deadline).await;
            }
        }
        let face = |((other, _), last_message): (&(UserId, Conversation), _)| {
            let name = names.get(other).cloned().unwrap_or_default();
            Face { name, last_message }
        };
        Ok(page.iter().zip(faces).map(face).collect())
    }

    async fn last_message(
        &self,
        cell: &UserCell,
        other: &UserId,
        known: &Conversation,
        newest: Newest,
        deadline: Instant,
    ) -> Result<Option<Arc<Message>>, LoadError> {
        match newest {
            Newest::Visible(message) => Ok(Some(message)),
            Newest::None => Ok(None),
            Newest::Hidden => Reader::new(self, cell, other, known, deadline).newest().await,
        }
    }

    /// The name that a user gave at login; empty where none was given.
    pub(super) async fn name(&self, user: &UserId, deadline: Instant) -> Result<String, LoadError> {
        let names = self.names(std::iter::once(user), deadline).await?;
        Ok(names.get(user).cloned().unwrap_or_default())
    }

    /// The names that users gave at login.
    pub(super) async fn names(
        &self,
        users: impl Iterator<Item = &UserId>,
        deadline: Instant,
    ) -> Result<HashMap<UserId, String>, LoadError> {
        let accounts = self.storage(deadline).accounts(users).await?;
        Ok(accounts.into_iter().map(|(user, account)| (user, account.name)).collect())
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
            let unsure = known.settings.deleted.has_spilled(direction);
            if known.hides(direction, seq) || unsure {
                newest[index] = Newest::Hidden;
                continue;
            }
            wanted.push((index, direction));
            pairs.push(match direction {
                Direction::Receive => self.pair(other, &cell.id),
                Direction::Send => self.pair(&cell.id, other),
            });
        }
        let found = self.storage(deadline).newest_of(&pairs).await?;
        for ((index, direction), found) in wanted.into_iter().zip(found) {
            let Some(found) = found else { continue };
            let head = page[index].1.head(direction);
            let is_shown =
                |found: &Found| head.is_some_and(|head| head.shows(direction, found.seq()));
            let found = found.message().filter(is_shown);
            newest[index] = found
                .map_or(Newest::Hidden, |found| Newest::Visible(Arc::new(found.stored.message)));
        }
        Ok(newest)
    }
}

/// Where in a page the messages begin before which others may be missing: the user's own that are
/// stored and not known yet, beyond all that the user is known to have received and beyond what is
/// settled. Nothing comes after them but their like.
fn unsure(page: &[Arc<Message>], other: &UserId, seen: &Conversation, settled: OrderKey) -> usize {
    let sent = seen.sent.map_or(0, |head| head.mark.seq);
    // Whatever sorts before what was received was stored before that was shown.
    let sure = settled.max(seen.received.map_or(OrderKey::ZERO, |head| head.key));
    let is_unsure = |message: &&Arc<Message>| {
        message.sender != *other && message.seq > sent && message.key > sure
    };
    page.len() - page.iter().rev().take_while(is_unsure).count()
}

/// What the heads of a conversation tell of its newest message.
#[derive(Clone)]
enum Newest {
    /// There is none.
    None,
    /// It was deleted, or is not known yet: an older one is to be looked for.
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
