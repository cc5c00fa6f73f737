//! `delete_messages`: deletes messages, for the caller only.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Call, Command, Kind, not_in_conversation};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::history::{History, Reader, Replied};
use crate::runtime::parts::Parts;
use crate::runtime::users::{LoadError, UserCell};
use crate::store::Store;
use peerd_core::conversation::Conversation;
use peerd_core::delete::delete_messages;
use peerd_core::deletions::PageId;
use peerd_core::event::{DeleteType, Event};
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::DELETE_BATCH_MAX;
use peerd_core::message::Message;
use peerd_core::reply::Original;
use peerd_protocol::api::Empty;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{List, MessageOfConversation, PeerType, User};

/// Deletes messages, for the caller only.
pub struct DeleteMessages;

/// The messages to delete.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// In the conversation with this user, unless the messages name it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The messages; duplicates count once.
    pub message_list: List<MessageOfConversation, DELETE_BATCH_MAX>,
}

impl Command for DeleteMessages {
    const NAME: &'static str = "delete_messages";
    const SUMMARY: &'static str = "Deletes messages, for the caller only.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"conversationID":"bob","messageList":[{"messageID":"2"},{"messageID":"1"},{"messageID":"2"}]}"#,
    ];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id, message_list: List(list), .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        let (other, ids) = MessageOfConversation::of_list(list, conversation_id)?;
        let wanted: Vec<_> = ids.iter().map(|id| (id.key(), id.partition())).collect();
        let decide = decide(parts, cell, (&other, &wanted), deadline);
        parts.entries.commit_reading(cell, deadline, decide).await?;
        Ok(Empty {})
    }
}

/// Decides the deletion of these messages, by their order keys and partitions.
async fn decide<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    cell: &UserCell,
    (other, wanted): (&UserId, &[(OrderKey, Partition)]),
    deadline: Instant,
) -> Result<(Option<Change>, ()), CallError> {
    let mut known = cell.lock().conversations.get(other).cloned().unwrap_or_default();
    let reader = Reader::new(&parts.history, cell, other, &known, deadline);
    let found = reader.find(wanted).await.map_err(Failure::from)?;
    if found.len() < wanted.len() {
        return Err(not_in_conversation("messageList").into());
    }
    let pages = found.iter().map(|(direction, message)| PageId::of(*direction, message.seq));
    let spilled = pages.filter(|page| {
        let deleted = &known.settings.deleted;
        deleted.has_spilled(page.direction) && !deleted.has_page(*page)
    });
    let spilled = spilled.collect();
    let added = parts.users.add_deletions(cell, other, &mut known, spilled, deadline).await;
    added.map_err(Failure::from)?;
    let key = parts.entries.next_key(cell);
    let messages: Vec<_> = found.iter().map(|(way, message)| (*way, &**message)).collect();
    let Some((mut settings, gone)) = delete_messages(&known, &messages, key) else {
        return Ok((None, ()));
    };
    let mut deleted: Vec<Arc<Message>> = gone.into_iter().map(|i| found[i].1.clone()).collect();
    deleted.sort_by_key(|message| message.key);
    let events = events(&parts.history, cell, (other, &known), deleted, deadline);
    let events = events.await.map_err(Failure::from)?;
    let pages = settings.deleted.spill();
    let writes = vec![
        Write::Deletions { other: other.clone(), pages },
        Write::settings(other, &known, settings),
    ];
    Ok((Some(Change { writes, events: Events::MessagesDeleted { key, events } }), ()))
}

/// The events about deleted messages: that they were deleted, and the replies to them.
async fn events<S: Store, B: Bus>(
    history: &History<S, B>,
    cell: &UserCell,
    (other, known): (&UserId, &Conversation),
    mut deleted: Vec<Arc<Message>>,
    deadline: Instant,
) -> Result<Vec<Event>, LoadError> {
    history.env().show_pins(cell, other, &mut deleted, deadline).await?;
    history.show_originals(cell, (other, known), &mut deleted, deadline).await?;
    let changed = deleted.iter().filter_map(|message| {
        let pages = message.replied()?;
        Some(Replied { message, pages, original: Original::Deleted })
    });
    let changed = changed.collect();
    let mut replies = history.replies_to(cell, (other, known), changed, deadline).await?;
    replies.retain(|reply| deleted.iter().all(|message| message.key != reply.key));
    let mut events = vec![Event::MessageDeleted {
        other: other.clone(),
        delete_type: DeleteType::Messages,
        messages: deleted.into(),
    }];
    if !replies.is_empty() {
        events.push(Event::RepliedInfoChanged(replies));
    }
    Ok(events)
}
