//! `pin_message`: pins a message for both users of a conversation, or removes its pin.
//!
//! One of the two users keeps the list ([0043](../../../docs/decisions/0043-one-user-keeps-the-pinned-messages.md)):
//!
//! 1. The other user's owner notes in the other user's entry up to which message any may be pinned.
//! 2. The keeper's owner decides and writes the keeper's entry, which is the commit point, and
//!    publishes to the keeper.
//! 3. The other user's owner publishes to the other user.
//!
//! No owner holds a lock during a request to the other.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::amending::Amending;
use super::{Call, Command, Kind, Peer, WithPeer, not_in_conversation};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::history::Reader;
use crate::runtime::injected;
use crate::runtime::parts::Parts;
use crate::runtime::users::UserCell;
use crate::store::{Store, StreamId};
use crate::wire::pin::{PinPart, PinsChanged, StorePart};
use peerd_core::conversation::Conversation;
use peerd_core::event::Event;
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::message::Message;
use peerd_core::pins::{PinChange, PinInfo, PinStatus, PinnedId, Pins};
use peerd_core::rejection::Rejection;
use peerd_core::user::User as UserState;
use peerd_protocol::api::Empty;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{MessageOfConversation, PeerType, User};

/// Pins a message for both users of a conversation, or removes its pin.
pub struct PinMessage;

/// The message to pin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The other user; required unless the message has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The message.
    pub message: MessageOfConversation,
    /// Whether to pin it; otherwise its pin is removed.
    pub is_pinned: bool,
    /// Options.
    pub config: Option<Config>,
}

/// Options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Whether the call is refused if the conversation has the maximum number of pinned messages;
    /// otherwise the oldest pin is removed.
    pub disable_auto_replace: Option<bool>,
}

/// The pins that a change has changed.
type Changes = Vec<(PinnedId, PinStatus)>;

impl Command for PinMessage {
    const NAME: &'static str = "pin_message";
    const SUMMARY: &'static str = "Pins a message for both users, or removes its pin.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"messageID":"2","conversationID":"bob","conversationType":0},"isPinned":true,"config":{"disableAutoReplace":true}}"#,
        r#"{"conversationID":"bob","conversationType":0,"message":{"messageID":"2"},"isPinned":false}"#,
    ];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id, message, is_pinned, config, .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        let (other, id) = message.of(conversation_id)?;
        Amending::of(call.parts).admit(call.cell)?;
        let known = known(call.cell, &other);
        let history = &call.parts.history;
        let mut reader = Reader::new(history, call.cell, &other, &known, call.deadline);
        let found = reader.find_seen(&[(id.key(), id.partition())]).await.map_err(Failure::from)?;
        let Some((_, found)) = found.into_iter().next() else {
            return Err(not_in_conversation("message.messageID").into());
        };
        let message = found.stored.message;
        if message.revoked().is_some() {
            let refused = if is_pinned { Rejection::Revoked } else { Rejection::NotPinned };
            return Err(refused.into());
        }
        let (message, by_keeper) = (PinnedId::of(&message), call.cell.id < other);
        let replaces = !config.unwrap_or_default().disable_auto_replace.unwrap_or_default();
        let change = PinChange { message, by_keeper, is_pinned, replaces };
        if by_keeper {
            change_as_keeper(&call, &other, change).await?;
        } else {
            change_at_keeper(&call, &other, change).await?;
        }
        Ok(Empty {})
    }
}

impl WithPeer for PinMessage {
    type Part = PinPart;
    type Answer = PinsChanged;

    async fn at_peer<S: Store, B: Bus>(
        part: PinPart,
        Peer { parts, cell, from, deadline }: Peer<'_, S, B>,
    ) -> Result<PinsChanged, CallError> {
        match part {
            PinPart::Announce(up_to) => {
                refuse_blocked(&cell.lock(), from)?;
                announce(parts, cell, from, OrderKey(up_to), deadline).await?;
                Ok(PinsChanged::default())
            }
            PinPart::Store(part) => {
                refuse_blocked(&cell.lock(), from)?;
                let stored = store(parts, cell, from, part.into_change(), deadline).await?;
                let (changes, state_seq) = stored;
                Ok(PinsChanged::new(&changes, state_seq))
            }
            PinPart::Publish(changed) => {
                publish(parts, cell, from, changed, deadline).await?;
                Ok(PinsChanged::default())
            }
        }
    }
}

/// A change by the user who keeps the pins.
async fn change_as_keeper<S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    other: &UserId,
    change: PinChange,
) -> Result<(), CallError> {
    let up_to = if change.is_pinned { change.message.key.0 } else { 0 };
    call.prepare_at_peer::<PinMessage>(other, &PinPart::Announce(up_to)).await?;
    let stored = store(call.parts, call.cell, other, change, call.deadline).await?;
    let (changes, state_seq) = stored;
    let part = PinPart::Publish(PinsChanged::new(&changes, state_seq));
    call.show_at_peer::<PinMessage>(other, &part).await?;
    Ok(())
}

/// A change by the other user.
async fn change_at_keeper<S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    keeper: &UserId,
    change: PinChange,
) -> Result<(), CallError> {
    if change.is_pinned {
        announce(call.parts, call.cell, keeper, change.message.key, call.deadline).await?;
    }
    let part = PinPart::Store(StorePart::new(&change));
    let changed = call.at_peer::<PinMessage>(keeper, &part).await?;
    let published = publish(call.parts, call.cell, keeper, changed, call.deadline).await;
    if let Err(error) = published {
        // The change is stored, so this failure is not the caller's.
        tracing::warn!(%error, "pins that changed were not published to the caller");
    }
    Ok(())
}

fn refuse_blocked(user: &UserState, from: &UserId) -> Result<(), Rejection> {
    injected::unless_blocked(Fault::BlockedPins, user.refuse_blocked(from))
}

fn known(cell: &UserCell, other: &UserId) -> Conversation {
    cell.lock().conversations.get(other).cloned().unwrap_or_default()
}

/// Notes that messages of the conversation with `keeper` may be pinned up to this one.
async fn announce<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    cell: &Arc<UserCell>,
    keeper: &UserId,
    up_to: OrderKey,
    deadline: Instant,
) -> Result<(), CallError> {
    if failpoint::is(Fault::PinUnnamed) {
        return Ok(());
    }
    let noted = parts.entries.commit(cell, deadline, |user, _| {
        let known = user.conversations.get(keeper);
        let known = known.filter(|known| known.settings.pinned_up_to < up_to);
        Ok(known.map(|known| {
            let settings = known.changed_settings(known.settings.changed, |settings| {
                settings.pinned_up_to = up_to;
            });
            Change { writes: vec![Write::settings(keeper, known, settings)], events: Events::None }
        }))
    });
    noted.await
}

/// Decides and stores a change of the pins that the user keeps, and publishes it to this user.
/// Returns the pins that changed, and the sequence of the entry.
async fn store<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    keeper: &Arc<UserCell>,
    other: &UserId,
    wanted: PinChange,
    deadline: Instant,
) -> Result<(Changes, u64), CallError> {
    let decide = async {
        let known = known(keeper, other);
        let gone = match &known.settings.pins {
            pins if wanted.is_pinned && pins.is_full() => {
                gone(parts, keeper, (other, &known), deadline).await?
            }
            _ => Vec::new(),
        };
        let now_ms = parts.env.clock.wall_ms();
        let (pins, changes) = known.settings.pins.decide(wanted, now_ms, &gone)?;
        let infos = infos(parts, keeper, (other, &known), (&pins, &changes), deadline).await?;
        // A user who deleted the messages gets no event, since nothing changes for this user.
        let newest = infos.iter().map(|info| info.message.key).max();
        let (revised, events) = match newest {
            Some(message) => {
                let (key, event) = (parts.entries.next_key(keeper), Event::PinsChanged(infos));
                (key, Events::Amended { key, message, events: vec![event] })
            }
            None => (known.settings.changed, Events::None),
        };
        let settings = known.changed_settings(revised, |settings| {
            settings.kept |= newest.is_some() && known.exists();
            settings.pins = pins;
        });
        let writes = vec![Write::settings(other, &known, settings)];
        Ok((Some(Change { writes, events }), changes))
    };
    let changes = parts.entries.commit_reading(keeper, deadline, decide).await?;
    Ok((changes, keeper.ownership.gap_tracker(StreamId::State(keeper.partition)).newest()))
}

/// Publishes a change of pins to the user who does not keep them. The pins are read under the entry
/// lock, with everything that the keeper's owner has stored: so of two changes, whose parts may
/// arrive in any order, the last event always shows the newest state.
async fn publish<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    cell: &Arc<UserCell>,
    keeper: &UserId,
    stored: PinsChanged,
    deadline: Instant,
) -> Result<(), CallError> {
    let partition = parts.env.subjects.partition_of_user(keeper);
    parts.env.storage(deadline).note_entry(partition, stored.state_seq);
    let mut changes = stored.into_changes().map_err(|_| Failure::Internal)?;
    let decide = async {
        let pins = parts.env.pins_from(cell, keeper, OrderKey::ZERO, deadline).await;
        let pins = pins.map_err(Failure::from)?.unwrap_or_default();
        for (message, status) in &mut changes {
            *status = pins.status_now(*message, *status);
        }
        let known = known(cell, keeper);
        let infos = infos(parts, cell, (keeper, &known), (&pins, &changes), deadline).await?;
        let Some(message) = infos.iter().map(|info| info.message.key).max() else {
            return Ok((None, ()));
        };
        let key = parts.entries.next_key(cell);
        let settings = known.changed_settings(key, |settings| settings.kept = known.exists());
        let writes = vec![Write::settings(keeper, &known, settings)];
        let events = Events::Amended { key, message, events: vec![Event::PinsChanged(infos)] };
        Ok((Some(Change { writes, events }), ()))
    };
    parts.entries.commit_reading(cell, deadline, decide).await
}

/// The changes that the user sees, with their messages.
async fn infos<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    cell: &UserCell,
    seen: (&UserId, &Conversation),
    (pins, changes): (&Pins, &Changes),
    deadline: Instant,
) -> Result<Vec<PinInfo>, Failure> {
    let ids = changes.iter().map(|(id, _)| *id);
    let found = parts.history.find_pinned(cell, seen, ids, pins, deadline).await?;
    let info = |(id, status): &(PinnedId, PinStatus)| {
        let message = found.iter().find(|message| PinnedId::of(message) == *id)?.clone();
        Some(PinInfo { status: *status, message })
    };
    Ok(changes.iter().filter_map(info).collect())
}

/// The pinned messages that were revoked or have aged out. Their pins are shown to nobody.
async fn gone<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    keeper: &UserCell,
    (other, known): (&UserId, &Conversation),
    deadline: Instant,
) -> Result<Vec<PinnedId>, Failure> {
    let pinned = known.settings.pins.list().iter().map(|pin| pin.message);
    let mut wanted: Vec<_> =
        pinned.clone().map(|id| parts.env.place_of(keeper, other, id)).collect();
    wanted.sort_unstable();
    let reader = Reader::new(&parts.history, keeper, other, known, deadline);
    let found: Vec<Message> =
        reader.find_stored(&wanted).await?.into_iter().map(|(_, it)| it.stored.message).collect();
    let is_left = |id: &PinnedId| {
        let is_there = |message: &Message| PinnedId::of(message) == *id;
        found.iter().any(|message| is_there(message) && message.revoked().is_none())
    };
    // A message that this owner does not know yet is not gone.
    let is_known = |id: &PinnedId| {
        let way = if id.from_keeper { Direction::Send } else { Direction::Receive };
        known.head(way).is_some_and(|head| head.key >= id.key)
            || parts.history.has_settled(id.key.unix_ms())
    };
    Ok(pinned.filter(|id| is_known(id) && !is_left(id)).collect())
}

#[cfg(test)]
mod tests;
