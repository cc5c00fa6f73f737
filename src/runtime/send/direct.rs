//! A send between two users in memory whose pair is idle: two synchronous steps, joined by one
//! append. No task is needed, and each side's state is locked once before the append and once after
//! it.
//!
//! [`SendPath::begin`] runs where calls are taken in, [`SendPath::commit`] where acknowledgements
//! are read. Work that would have to wait there is returned as a [`Rest`], which continues in a
//! task with [`SendPath::resume`].

use std::future::ready;
use std::sync::Arc;

use tokio::time::Instant;

use super::admit::{Admission, Admitted};
use super::commit::Stored;
use super::{BegunAppend, InAppend, SendPath, conclude};
use crate::bus::Bus;
use crate::clock::Now;
use crate::failpoint::{self, Fault};
use crate::runtime::injected;
use crate::runtime::users::{PairLock, QueuedPairLock, UserCell, What, Work};
use crate::store::{Append, Appended, Appending, Store};
use peerd_core::id::UserId;
use peerd_core::rate::Place;
use peerd_core::receive::{Placed, Plan};
use peerd_core::send::Send;
use peerd_protocol::failure::CallError;
use peerd_protocol::reply;

/// The result of the first step of a send.
pub(in crate::runtime) enum Beginning {
    /// The caller is refused.
    Refused(CallError),
    /// The message must be appended by the deadline, and then committed.
    Append(Direct, Append, Instant),
    /// The rest must wait for something.
    Waits(Rest),
}

/// A send whose append is in progress.
pub(in crate::runtime) struct Direct {
    sender: Arc<UserCell>,
    admitted: Admitted,
    place: Place,
    receiving: Receiving,
    placed: Placed,
    /// When it was placed, by the server's clock.
    began_ms: u64,
}

/// The receiver of a message, with the pair lock.
struct Receiving {
    work: Work,
    receiver: Arc<UserCell>,
    pair_lock: PairLock,
}

/// The rest of a send, which continues in a task.
pub(in crate::runtime) struct Rest {
    sender: Arc<UserCell>,
    at: At,
}

/// The point at which a send continues.
enum At {
    /// At its start. A message of a busy pair has its place in the pair's queue.
    Start(Box<Send>, Option<QueuedPairLock>),
    /// After the decision of the sender's owner, at this time (milliseconds since 1970).
    Admission(Admission, u64),
    /// During its append.
    Append(Admitted, Place, InAppend),
}

impl Direct {
    fn wait_for(self, appending: Appending) -> Rest {
        let Self { sender, admitted, place, receiving, placed, began_ms } = self;
        let Receiving { work, receiver, pair_lock } = receiving;
        let append = BegunAppend { placed, appending };
        let in_append = InAppend { _work: work, receiver, pair_lock, began_ms, append };
        Rest { sender, at: At::Append(admitted, place, in_append) }
    }
}

impl<S: Store, B: Bus> SendPath<S, B> {
    /// The first step: admits the message and gives it its place, at a time that was just read.
    pub(in crate::runtime) fn begin(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        send: Box<Send>,
        now: Now,
        deadline: Instant,
    ) -> Beginning {
        let waits = |at| Beginning::Waits(Rest { sender: sender.clone(), at });
        if let Err(rejection) = self.check(sender, &send) {
            // Only a logged-in caller gets the reason.
            let refused = self.sessions.note_last_seen(sender).err().unwrap_or(rejection);
            return Beginning::Refused(refused.into());
        }
        let receiving = match self.receiving(sender, &send, now) {
            Ok(receiving) => receiving,
            Err(queued) => return waits(At::Start(send, queued)),
        };
        match self.admit(sender, send, now) {
            Err(rejection) => Beginning::Refused(rejection.into()),
            Ok(Admission::Admitted(admitted, place)) => {
                self.begin_append(sender, (admitted, place), receiving, now, deadline)
            }
            Ok(admission @ (Admission::FirstContact(..) | Admission::OverRate(..))) => {
                waits(At::Admission(admission, now.wall_ms))
            }
        }
    }

    /// The receiver, if this instance has the user in memory and no other message of the sender is
    /// in progress. Otherwise this message gets its place in the queue now, so that messages keep
    /// their order of arrival.
    fn receiving(
        &self,
        sender: &UserCell,
        send: &Send,
        now: Now,
    ) -> Result<Receiving, Option<QueuedPairLock>> {
        // A Command is not stored, and for a reply the original is read.
        let is_plain = send.draft.content.is_stored() && send.draft.reply.is_none();
        if !is_plain || failpoint::is(Fault::SendReadsTheLog) {
            return Err(None);
        }
        let (work, receiver) = self.receiver(&send.to, now).ok_or(None)?;
        match receiver.try_pair_lock(&sender.id) {
            Some(pair_lock) => Ok(Receiving { work, receiver, pair_lock }),
            None => Err(Some(receiver.queue_for_pair_lock(&sender.id))),
        }
    }

    /// A receiver whom this instance owns and has in memory.
    fn receiver(&self, user: &UserId, now: Now) -> Option<(Work, Arc<UserCell>)> {
        let partition = self.env.subjects.partition_of_user(user);
        let work = self.users.ownership(partition)?.enter_at(What::Delivery, now)?;
        let receiver = self.users.ready(&work.ownership, user)?;
        Some((work, receiver))
    }

    fn begin_append(
        &self,
        sender: &Arc<UserCell>,
        (mut admitted, place): (Admitted, Place),
        receiving: Receiving,
        now: Now,
        deadline: Instant,
    ) -> Beginning {
        let receiver = &receiving.receiver;
        let began_ms = self.env.server_ms_at(now.steady_us);
        let delivery = &admitted.delivery;
        let times = (now.wall_ms, self.repeats_since_ms(delivery, now.wall_ms));
        let plan = self.place(receiver, delivery, times, &mut admitted.flight);
        let placed = match plan {
            Ok(Plan::Store(placed)) => placed,
            Ok(Plan::Repeat(_) | Plan::CatchUp | Plan::ReadBack) => {
                let at = At::Admission(Admission::Admitted(admitted, place), now.wall_ms);
                return Beginning::Waits(Rest { sender: sender.clone(), at });
            }
            Err(rejection) => {
                sender.lock().readmit(true, place);
                return Beginning::Refused(rejection.into());
            }
        };
        let push = delivery.send.options.push.as_ref();
        let append = self.record(receiver, &delivery.from, &placed, push);
        let append = append.and_then(|append| {
            let until = receiver.may_write_at(deadline, (now, self.env.clock.instant(now)))?;
            Ok((append, until))
        });
        let sender = sender.clone();
        let direct = Direct { sender, admitted, place, receiving, placed, began_ms };
        match append {
            Ok((append, until)) => Beginning::Append(direct, append, until),
            Err(error) => Beginning::Waits(direct.wait_for(Box::pin(ready(Err(error))))),
        }
    }

    /// The second step: commits the message on both sides. Returns the rest if the message is not
    /// stored, or not yet, or if a crossing message comes first.
    pub(in crate::runtime) fn commit(
        self: &Arc<Self>,
        direct: Direct,
        appended: Appended,
    ) -> Result<reply::Sent, Box<Rest>> {
        let outcome = match appended {
            Appended::Now(outcome) => injected::appended(outcome, direct.placed.expected_seq + 1),
            Appended::Later(appending) => return Err(Box::new(direct.wait_for(appending))),
        };
        let Some(seq) = outcome.as_ref().ok().copied().filter(|seq| self.may_commit(&direct, *seq))
        else {
            return Err(Box::new(direct.wait_for(Box::pin(ready(outcome)))));
        };
        let Direct { sender, admitted, receiving, placed, .. } = direct;
        let Admitted { delivery, flight, .. } = admitted;
        let Receiving { work, receiver, pair_lock } = receiving;
        let head = placed.head(seq);
        let stored = Stored::placed(&delivery, placed, seq);
        let delivered = self.commit_received(&receiver, receiver.lock(), stored);
        drop((pair_lock, work));
        self.commit_sent(&sender, &delivered.message, head, &delivered.receiver_profile);
        // The next message of the pair may be published from here on.
        drop(flight);
        Ok(reply::Sent { message: delivered.message, is_duplicate: false })
    }

    /// Whether a message that is stored at `seq` may be committed at once: this instance still owns
    /// both sides, and no crossing message can be stored with a smaller key.
    fn may_commit(&self, Direct { sender, receiving, placed, .. }: &Direct, seq: u64) -> bool {
        let receiver = &receiving.receiver;
        let (key, now) = (placed.message.key, self.env.clock.now());
        sender.ownership.may_act_at(now)
            && receiver.wrote_at(receiver.log(), seq, now).is_ok()
            && self.in_flight.is_settled(&sender.ownership, (&receiver.id, &sender.id), key)
    }

    /// Continues a send.
    pub(in crate::runtime) async fn resume(
        self: &Arc<Self>,
        Rest { sender, at }: Rest,
        deadline: Instant,
    ) -> Result<reply::Sent, CallError> {
        match at {
            At::Start(send, queued) => self.send_queued(&sender, send, queued, deadline).await,
            At::Admission(admission, wall_ms) => {
                self.send_on(&sender, admission, wall_ms, deadline).await
            }
            At::Append(admitted, place, in_append) => {
                let sent = self.send_admitted(&sender, admitted, Some(in_append), deadline).await;
                conclude(&sender, true, place, sent)
            }
        }
    }
}
