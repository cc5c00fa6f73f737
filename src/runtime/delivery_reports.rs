//! Delivered receipts: informs the authors of messages that these were handed to their receiver
//! ([0047](../../docs/decisions/0047-a-delivered-receipt-is-one-write.md)).
//!
//! The receiver's owner finds out which messages are to be reported
//! ([`peerd_core::unreported`]), in the background, after a message was published to an online user
//! and after a call of a user of whom something is left. The author's owner stores how far messages
//! were delivered, which is the only write, and publishes it. Reports that fail are repeated after
//! the receiver's next call, by this owner or the next one.

use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::ageing::Ageing;
use super::commit::{Change, Entries, Events, Write};
use super::env::Env;
use super::history::{History, Reader};
use super::router::Router;
use super::tuning::{REPORT_RETRY_DELAY, REPORTING_USERS_MAX, REPORTS_CONCURRENT};
use super::users::{LoadError, Ownership, UserCell};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::store::{Store, StreamId};
use crate::wire::owner_request::NoteDelivered;
use peerd_core::conversation::Conversation;
use peerd_core::event::Event;
use peerd_core::id::{Direction, MessageId, UserId};
use peerd_core::message::{Message, ReceiptStatus};
use peerd_core::pages::page_number;
use peerd_core::privacy::Hidden;
use peerd_core::receipt::ReceiptInfo;
use peerd_core::unreported::{MessagePlace, Report};
use peerd_core::user::User;
use peerd_protocol::failure::{CallError, Failure};

/// Reports received messages as delivered.
pub(super) struct DeliveryReports<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) history: Arc<History<S, B>>,
    pub(super) ageing: Arc<Ageing<S, B>>,
    pub(super) entries: Arc<Entries<S, B>>,
    pub(super) router: Arc<Router<S, B>>,
    /// Permits for users whose messages are being reported.
    pub(super) reporting: Arc<Semaphore>,
}

impl<S: Store, B: Bus> DeliveryReports<S, B> {
    /// All permits.
    pub(super) fn permits() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(REPORTING_USERS_MAX))
    }

    /// Notes a message that was published to its receiver, and reports it if the receiver is online.
    pub(super) fn arrived(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        user: &mut User,
        message: &Message,
    ) {
        if !self.env.options.delivered_receipts || message.receipt != ReceiptStatus::Processing {
            return;
        }
        let is_online = user.is_online(self.env.clock.wall_ms(), self.env.limits());
        let place = MessagePlace { key: message.key, seq: message.seq };
        user.unreported.get_or_insert_default().note(&message.sender, place, is_online);
        if is_online {
            self.begin(receiver, user);
        } else {
            receiver.set_reports_due();
        }
    }

    /// Reports what is left of a user who has just made a call.
    pub(super) fn resume(self: &Arc<Self>, receiver: &Arc<UserCell>) {
        if receiver.take_reports_due() {
            self.begin(receiver, &mut receiver.lock());
        }
    }

    /// Begins to report, unless that is in progress.
    fn begin(self: &Arc<Self>, receiver: &Arc<UserCell>, user: &mut User) {
        let is_online = user.is_online(self.env.clock.wall_ms(), self.env.limits());
        let permit = self.reporting.clone().try_acquire_owned().ok().filter(|_| is_online);
        let Some(permit) = permit else { return receiver.set_reports_due() };
        if !user.unreported.as_mut().is_some_and(|left| left.begin()) {
            return;
        }
        let (reports, receiver) = (self.clone(), receiver.clone());
        let under_way = receiver.ownership.go_on();
        self.env.tasks.spawn(async move {
            let _held = (permit, under_way);
            reports.report_all(&receiver).await;
        });
    }

    async fn report_all(&self, receiver: &Arc<UserCell>) {
        loop {
            let next = receiver.lock().next_reports(REPORTS_CONCURRENT, self.env.settled_key());
            let deadline = self.env.deadline();
            let reports = next.into_iter().map(|(author, report)| async {
                let reported = self.report(receiver, &author, report, deadline).await;
                let failed = reported.inspect_err(|error| {
                    // The user's next call tries again.
                    tracing::debug!(%error, "delivered messages are not reported yet");
                });
                failed.is_err().then_some(author)
            });
            let failed: Vec<UserId> = join_all(reports).await.into_iter().flatten().collect();
            let has_failed = !failed.is_empty();
            let mut user = receiver.lock();
            let Some(left) = &mut user.unreported else { return };
            if !left.reported(failed) {
                if has_failed {
                    receiver.set_reports_due();
                }
                return;
            }
            if !receiver.ownership.may_act() {
                return left.stop();
            }
        }
    }

    /// Reports messages of one author.
    async fn report(
        &self,
        receiver: &Arc<UserCell>,
        author: &UserId,
        report: Report,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let messages = match report {
            Report::These(messages) => messages,
            Report::After(after) => {
                let known = receiver.lock().conversations.get(author).cloned().unwrap_or_default();
                let mut reader = Reader::new(&self.history, receiver, author, &known, deadline);
                match reader.unreported(after).await {
                    Ok(messages) => messages,
                    Err(error @ LoadError::Read(_)) => return Err(Failure::from(error).into()),
                    // What cannot be read now cannot be read later.
                    Err(LoadError::Record(_)) => return Ok(()),
                }
            }
        };
        if messages.is_empty() || failpoint::is(Fault::DeliveryUnreported) {
            return Ok(());
        }
        let state_seq =
            receiver.ownership.gap_tracker(StreamId::State(receiver.partition)).newest();
        let request = &NoteDelivered { receiver: receiver.id.clone(), messages, state_seq };
        loop {
            let here = |ownership: Arc<Ownership>| async move {
                self.serve(&ownership, author, request, deadline).await
            };
            match self.router.at_owner(author, request, deadline, here).await {
                Ok(true) | Err(CallError::Rejected(_)) => return Ok(()),
                Ok(false) if Instant::now() + REPORT_RETRY_DELAY < deadline => {
                    sleep(REPORT_RETRY_DELAY).await;
                }
                Ok(false) => return Err(Failure::StoreUnavailable.into()),
                Err(error @ CallError::Failed(_)) => return Err(error),
            }
        }
    }

    /// Stores and publishes that messages of `author` were delivered. Returns whether nothing is left
    /// to do: `false` if the message is not known here to be stored, so that its author has not seen
    /// it yet.
    pub(super) async fn serve(
        &self,
        ownership: &Arc<Ownership>,
        author: &UserId,
        NoteDelivered { receiver, messages, state_seq }: &NoteDelivered,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let Some(newest) = messages.last() else { return Ok(true) };
        let partition = self.env.subjects.partition_of_user(receiver);
        self.env.storage(deadline).note_entry(partition, *state_seq);
        let cell = self.ageing.user(ownership, author, deadline).await?;
        let decide = async {
            let known = {
                let user = cell.lock();
                let hides = user.account.privacy.hides(Hidden::ReadReceipts);
                if hides || user.blocked.contains(receiver) {
                    return Ok((None, true));
                }
                user.conversations.get(receiver).cloned().unwrap_or_default()
            };
            if known.head(Direction::Send).is_none_or(|head| head.mark.seq < newest.seq) {
                return Ok((None, false));
            }
            let marks = known.settings.receipts;
            let is_new = |place: &&MessagePlace| place.key > marks.received.max(marks.delivered);
            let new: Vec<MessagePlace> = messages.iter().filter(is_new).copied().collect();
            let shown = self.unread(&cell, (receiver, &known), new, deadline).await?;
            Ok((self.change(&cell, (receiver, &known), &shown), true))
        };
        self.entries.commit_reading(&cell, deadline, decide).await
    }

    /// The change that shows messages as delivered to their author; `None` if there are none, or if
    /// they already are.
    fn change(
        &self,
        cell: &UserCell,
        (receiver, known): (&UserId, &Conversation),
        shown: &[MessagePlace],
    ) -> Option<Change> {
        let newest = shown.last()?;
        let partition = self.env.subjects.partition_of_user(receiver);
        let info = |place: &MessagePlace| ReceiptInfo {
            message: MessageId::new(place.key, partition),
            other: receiver.clone(),
            status: ReceiptStatus::Delivered,
            is_sender: true,
            is_self_operated: false,
            read_ms: 0,
        };
        let event = Event::MessagesDelivered(shown.iter().map(info).collect());
        let user = cell.lock();
        let key = self.entries.users.keys(cell).change(&user);
        // Messages may have been sent meanwhile.
        let known = user.conversations.get(receiver).unwrap_or(known);
        let settings = known.note_delivered(newest.key, key)?;
        let writes = vec![Write::settings(receiver, known, settings)];
        Some(Change { writes, events: Events::Receipt { key, event } })
    }

    /// Those of an author's messages that the author still sees and that are neither read nor
    /// revoked. Only messages that may have been changed or deleted are read: whoever changes one
    /// has the author's entry name its page first.
    async fn unread(
        &self,
        cell: &UserCell,
        (receiver, known): (&UserId, &Conversation),
        mut places: Vec<MessagePlace>,
        deadline: Instant,
    ) -> Result<Vec<MessagePlace>, Failure> {
        let amended = known.settings.amended(Direction::Send);
        let has_spilled = known.settings.deleted.has_spilled(Direction::Send);
        places.retain(|place| !known.hides(Direction::Send, place.seq));
        let is_changed =
            |place: &MessagePlace| has_spilled || amended.contains(page_number(place.seq));
        let partition = self.env.subjects.partition_of_user(receiver);
        let changed = places.iter().filter(|place| is_changed(place));
        let wanted: Vec<_> = changed.map(|place| (place.key, partition)).collect();
        if wanted.is_empty() {
            return Ok(places);
        }
        let mut reader = Reader::new(&self.history, cell, receiver, known, deadline);
        let found = reader.find_seen(&wanted).await?;
        places.retain(|place| {
            let read = found.iter().find(|(_, found)| found.key() == place.key);
            read.map_or(!is_changed(place), |(_, found)| {
                let message = &found.stored.message;
                message.receipt == ReceiptStatus::Processing && message.revoked().is_none()
            })
        });
        Ok(places)
    }
}

#[cfg(test)]
mod tests;
