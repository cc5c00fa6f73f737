//! What conversations show: names, and newest messages.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::Instant;

use super::cell::UserCell;
use super::history::Reader;
use super::load::LoadError;
use super::node::Node;
use crate::bus::Bus;
use crate::domain::conversation::{Conversation, ConversationView};
use crate::domain::id::{Partition, UserId};
use crate::domain::message::{Direction, Message};
use crate::store::{Store, StreamId};
use crate::wire::entry;
use crate::wire::record;
use crate::wire::subject::Token;

/// Conversations whose newest message is looked for page by page at the same time.
const CONCURRENT: usize = 16;

/// What a conversation shows that its owner does not keep in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Face {
    /// The other user's name; empty where there is none.
    pub(super) name: String,
    /// The newest message that the user still sees.
    pub(super) last_message: Option<Arc<Message>>,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// The conversations of a page as bodies show them.
    pub(super) async fn views(
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
        let mut by_partition: BTreeMap<Partition, Vec<(UserId, String)>> = BTreeMap::new();
        for user in users {
            let token = Token::of(user);
            let partition = self.subjects.partition(&token);
            let subject = self.subjects.account(partition, &token);
            by_partition.entry(partition).or_default().push((user.clone(), subject));
        }
        let reads = by_partition.into_iter().map(|(partition, users)| async move {
            let mut subjects: Vec<String> = users.iter().map(|(_, name)| name.clone()).collect();
            subjects.push(self.subjects.state_sentinel(partition));
            let stream = StreamId::State(partition);
            let records = self.store.last(stream, subjects, deadline).await?;
            let mut names = Vec::new();
            for (user, subject) in users {
                if let Some(record) = records.iter().find(|record| record.subject == subject) {
                    match entry::decode_account(&record.payload) {
                        Ok(account) => names.push((user, account.name)),
                        Err(error) => self.leave_out(stream, record, &error),
                    }
                }
            }
            Ok::<_, LoadError>(names)
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    async fn newest_messages(
        &self,
        cell: &UserCell,
        page: &[(UserId, Conversation)],
        deadline: Instant,
    ) -> Result<Vec<Newest>, LoadError> {
        let mut newest = vec![Newest::None; page.len()];
        let mut by_partition: BTreeMap<Partition, Vec<(usize, Direction, String)>> =
            BTreeMap::new();
        for (index, (other, known)) in page.iter().enumerate() {
            let Some((direction, seq)) = newest_head(known) else { continue };
            let unsure = known.settings.deleted.has_spilled(direction);
            if known.hides(direction, seq) || unsure {
                newest[index] = Newest::Hidden;
                continue;
            }
            let other = Token::of(other);
            let (receiver, sender) = match direction {
                Direction::Receive => (&cell.token, &other),
                Direction::Send => (&other, &cell.token),
            };
            let partition = self.subjects.partition(receiver);
            let subject = self.subjects.log(partition, receiver, sender);
            by_partition.entry(partition).or_default().push((index, direction, subject));
        }
        let reads = by_partition.into_iter().map(|(partition, wanted)| async move {
            let mut subjects: Vec<String> =
                wanted.iter().map(|(.., subject)| subject.clone()).collect();
            subjects.push(self.subjects.log_sentinel(partition));
            let stream = StreamId::Log(partition);
            let records = self.store.last(stream, subjects, deadline).await?;
            let mut messages = Vec::new();
            for (index, direction, subject) in wanted {
                let found = records.iter().find(|record| record.subject == subject);
                let Some(found) = found else { continue };
                let (other, known) = &page[index];
                let (sender, receiver) = match direction {
                    Direction::Receive => (other, &cell.id),
                    Direction::Send => (&cell.id, other),
                };
                let stored = record::decode(&found.payload, sender, receiver, partition);
                let stored = match stored {
                    Ok(stored) => stored,
                    Err(error) => {
                        self.leave_out(stream, found, &error);
                        messages.push((index, Newest::Hidden));
                        continue;
                    }
                };
                let seq = stored.message.seq;
                let is_shown = known.head(direction).is_some_and(|head| head.shows(direction, seq));
                let message = if is_shown {
                    Newest::Visible(Arc::new(stored.message))
                } else {
                    Newest::Hidden
                };
                messages.push((index, message));
            }
            Ok::<_, LoadError>(messages)
        });
        for (index, message) in try_join_all(reads).await?.into_iter().flatten() {
            newest[index] = message;
        }
        Ok(newest)
    }
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
