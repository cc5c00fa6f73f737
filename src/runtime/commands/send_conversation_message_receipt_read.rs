//! `send_conversation_message_receipt_read`: confirms that the caller has read all messages of a
//! conversation.
//!
//! It concerns two users, whose owners may end at any moment
//! ([0040](../../../docs/decisions/0040-read-receipts-are-marks-in-both-entries.md)):
//!
//! 1. The reader's owner stores that a receipt begins.
//! 2. The author's owner stores the receipt, which is the commit point, and publishes it.
//! 3. The reader's owner stores it too, and publishes it. If that did not happen, the next call of
//!    the reader after a load repeats steps 2 and 3 in the background.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Call, Command, Kind, Peer, WithPeer, not_own};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::commit::{Change, Events, Keys, Write};
use crate::runtime::history::Reader;
use crate::runtime::injected;
use crate::runtime::parts::Parts;
use crate::runtime::users::UserCell;
use crate::store::Store;
use peerd_core::conversation::{Conversation, Settings};
use peerd_core::event::Event;
use peerd_core::id::{MessageId, OrderKey, Partition, UserId};
use peerd_core::message::ReceiptStatus;
use peerd_core::privacy::Hidden;
use peerd_core::receipt::ReceiptInfo;
use peerd_core::user::User as UserState;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{PeerType, User};
use peerd_protocol::reply::Changed;

/// Confirms that the caller has read all messages of a conversation.
pub struct SendConversationMessageReceiptRead;

/// The conversation that was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The conversation with this user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
}

impl Command for SendConversationMessageReceiptRead {
    const NAME: &'static str = "send_conversation_message_receipt_read";
    const SUMMARY: &'static str =
        "Confirms that the caller has read all messages of a conversation.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[r#"{"conversationID":"bob","conversationType":0}"#];
    type Request = Request;
    type Reply = Changed;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Changed, CallError> {
        not_own(&other, call.cell)?;
        let known = {
            let user = call.cell.lock();
            if hides(&user) {
                return Ok(Changed(other));
            }
            user.conversations.get(&other).cloned().unwrap_or_default()
        };
        let mut reader = Reader::new(&call.parts.history, call.cell, &other, &known, call.deadline);
        let newest = reader.newest_unconfirmed().await.map_err(Failure::from)?;
        if let Some(newest) = newest {
            let now_us = call.parts.env.clock.now().steady_us;
            call.cell.lock().admit_receipt(now_us)?;
            confirm(&call, &other, newest.key).await?;
        }
        Ok(Changed(other))
    }
}

impl WithPeer for SendConversationMessageReceiptRead {
    /// The order key up to which the messages are confirmed.
    type Part = u64;
    /// Whether it is stored. Otherwise the author is not sent receipts.
    type Answer = bool;

    async fn at_peer<S: Store, B: Bus>(
        up_to: u64,
        Peer { parts, cell, from, deadline }: Peer<'_, S, B>,
    ) -> Result<bool, CallError> {
        let up_to = OrderKey(up_to);
        let partition = parts.env.subjects.partition_of_user(from);
        let mut is_stored = true;
        let decide = |user: &UserState, keys: &Keys<'_>| {
            let key = keys.change(user);
            let unknown = Conversation::default();
            let known = user.conversations.get(from).unwrap_or(&unknown);
            // One that is stored already stays, whatever the author has set since.
            let Some(settings) = known.receive_receipt(up_to, key) else { return Ok(None) };
            injected::unless_blocked(Fault::ReceiptOfBlocked, user.refuse_blocked(from))?;
            if hides(user) {
                is_stored = false;
                return Ok(None);
            }
            let receipt = receipt((from, true), up_to, partition);
            let event = Event::ConversationReceiptChanged(receipt);
            let writes = vec![Write::settings(from, known, settings)];
            Ok(Some(Change { writes, events: Events::Receipt { key, event } }))
        };
        parts.entries.commit(cell, deadline, decide).await?;
        Ok(is_stored)
    }
}

/// Whether a user neither sends nor is sent read receipts.
pub(super) fn hides(user: &UserState) -> bool {
    user.account.privacy.hides(Hidden::ReadReceipts) && !failpoint::is(Fault::ReceiptDespitePrivacy)
}

/// The receipt of all messages up to one, in the event to a user.
fn receipt(
    (other, is_sender): (&UserId, bool),
    up_to: OrderKey,
    partition: Partition,
) -> ReceiptInfo {
    ReceiptInfo {
        message: MessageId::new(up_to, partition),
        other: other.clone(),
        status: ReceiptStatus::Done,
        is_sender,
        is_self_operated: !is_sender,
        read_ms: 0,
    }
}

/// Confirms the messages of `other` to the caller up to a key.
async fn confirm<S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    other: &UserId,
    up_to: OrderKey,
) -> Result<(), CallError> {
    let begun = store(call, other, |known, _| known.begin_receipt(up_to), None);
    begun.await?;
    let answer = call.at_peer::<SendConversationMessageReceiptRead>(other, &up_to.0).await;
    let ended = match answer {
        Ok(true) if failpoint::is(Fault::HalfReceipt) => Ok(()),
        Ok(true) => {
            let receipt = receipt((other, false), up_to, call.cell.partition);
            let event = Event::ConversationReceiptChanged(receipt);
            store(call, other, |known, key| known.end_receipt(up_to, key), Some(event)).await
        }
        Ok(false) => store(call, other, |known, _| known.drop_receipt(up_to), None).await,
        Err(CallError::Rejected(rejection)) => {
            let dropped = store(call, other, |known, _| known.drop_receipt(up_to), None).await;
            dropped.and(Err(rejection.into()))
        }
        Err(failed @ CallError::Failed(_)) => Err(failed),
    };
    if let Err(CallError::Failed(_)) = &ended {
        // It may be stored at the author's owner.
        call.cell.set_receipts_due(true);
    }
    ended
}

/// Stores a step of a receipt in the reader's entry, if there is something to store.
async fn store<S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    other: &UserId,
    decide: impl FnOnce(&Conversation, OrderKey) -> Option<Settings>,
    event: Option<Event>,
) -> Result<(), CallError> {
    let decide = |user: &UserState, keys: &Keys<'_>| {
        let key = keys.change(user);
        let unknown = Conversation::default();
        let known = user.conversations.get(other).unwrap_or(&unknown);
        let events = event.map_or(Events::None, |event| Events::Receipt { key, event });
        let settings = decide(known, key);
        Ok(settings.map(|settings| Change {
            writes: vec![Write::settings(other, known, settings)],
            events,
        }))
    };
    call.parts.entries.commit(call.cell, call.deadline, decide).await
}

/// Completes receipts of the user that a previous owner or a failed call has begun, in the
/// background: the authors may be shown them already.
pub(in crate::runtime) fn resume<S: Store, B: Bus>(parts: &Arc<Parts<S, B>>, cell: &Arc<UserCell>) {
    if !cell.take_receipts_due() {
        return;
    }
    let (parts, cell, under_way) = (parts.clone(), cell.clone(), cell.ownership.go_on());
    let tasks = parts.env.tasks.clone();
    tasks.spawn(async move {
        let _under_way = under_way;
        let deadline = parts.env.deadline();
        if let Err(error) = complete(&parts, &cell, deadline).await {
            // The next call of the user tries again.
            tracing::debug!(%error, "a read receipt is not complete yet");
        }
    });
}

async fn complete<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    reader: &Arc<UserCell>,
    deadline: Instant,
) -> Result<(), CallError> {
    let mut unfinished: Vec<(UserId, OrderKey)> = {
        let user = reader.lock();
        let begun = user.conversations.iter().filter_map(|(other, known)| {
            Some((other.clone(), known.settings.receipts.unfinished()?))
        });
        begun.collect()
    };
    unfinished.sort_unstable();
    let mut replay_from = None;
    let encoding = Encoding::default();
    let replay_from = &mut replay_from;
    let call = Call { parts, cell: reader, encoding, deadline, replay_from };
    for (other, up_to) in unfinished {
        match confirm(&call, &other, up_to).await {
            // A refusal ends it, too.
            Ok(()) | Err(CallError::Rejected(_)) => {}
            Err(failed @ CallError::Failed(_)) => return Err(failed),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
