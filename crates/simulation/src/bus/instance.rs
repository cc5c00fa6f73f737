//! The bus as one instance sees it.

use std::sync::Arc;
use std::time::Duration;

use peerd::bus::{Answer, AskError, Bus, Full, IsAnswer, Kind, Outgoing, Take};
use peerd_core::id::Partition;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::falsified::falsified;
use crate::server::{Arrival, Inbox, Item, OnItsWay};
use crate::world::{Core, World};

/// The size of the largest message.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The bus as seen by one instance.
pub(crate) struct SimBus {
    pub(crate) world: Arc<World>,
    pub(crate) who: usize,
    pub(crate) capacity: usize,
}

impl SimBus {
    pub(crate) fn new(world: Arc<World>, who: usize, capacity: usize) -> Self {
        Self { world, who, capacity }
    }

    async fn mark(&self) -> Option<()> {
        let (notify, notified) = oneshot::channel();
        {
            let mut core = self.world.lock();
            let seat = &mut core.seats[self.who];
            seat.outgoing.push_back(Item::Mark(notify));
            seat.given.notify_waiters();
        }
        notified.await.ok()
    }
}

impl Bus for SimBus {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.world.doing(self.who, format_args!("emit {}", outgoing.subject));
        let outgoing = falsified(outgoing);
        let mut core = self.world.lock();
        if outgoing.subject.starts_with("peer.event.") {
            core.acts_as_owner_of(self.who, &outgoing.subject);
        }
        let seat = &mut core.seats[self.who];
        if seat.outgoing.len() >= self.capacity {
            core.broken(crate::rule::Rule::Bounded, "the outgoing queue is full".to_owned());
            return Err(Full);
        }
        seat.outgoing.push_back(Item::Message(Box::new(outgoing)));
        seat.given.notify_waiters();
        Ok(())
    }

    fn room(&self) -> usize {
        self.capacity - self.world.lock().seats[self.who].outgoing.len()
    }

    async fn room_for(&self, count: usize) {
        while self.room() < count {
            let left = self.world.lock().seats[self.who].left.clone();
            left.notified().await;
        }
    }

    fn waiting(&self) -> usize {
        self.world.lock().seats[self.who].outgoing.len()
    }

    fn inbox(&self) -> String {
        self.world.lock().inbox()
    }

    async fn ask(
        &self,
        request: Outgoing,
        is_answer: IsAnswer,
        deadline: Instant,
    ) -> Result<Answer, AskError> {
        let (world, who) = (&self.world, self.who);
        let Kind::Routed { reply_to: Some(inbox), .. } = &request.kind else {
            return Err(AskError::Nobody);
        };
        let (inbox, subject) = (inbox.to_string(), &request.subject);
        if !subject.contains(".part.=.") {
            world.doing(who, format_args!("ask {subject}"));
            world.lock().hands_on(who, subject, &request.body);
        }
        world.wait_while_frozen(who).await;
        let (notify, notified) = oneshot::channel();
        {
            let mut core = world.lock();
            let line = &core.seats[who].bus;
            if !line.is_up {
                return Err(AskError::Nobody);
            }
            let weather = core.weather;
            let is_lost =
                Core::take_one(&mut core.lose_messages) || core.chance(weather.lost_message);
            core.inboxes.insert(inbox.clone(), Inbox::Instance { who, notify, is_answer });
            if !is_lost {
                let request = Box::new(request);
                world.send(&mut core, who, OnItsWay::Ask { request, inbox: inbox.clone() });
            }
        }
        let answer = tokio::select! {
            biased;
            answer = timeout_at(deadline, notified) => answer.ok().and_then(Result::ok),
            () = world.bus_broken(who) => None,
        };
        world.lock().inboxes.remove(&inbox);
        world.wait_while_frozen(who).await;
        match answer {
            Some(Some(answer)) => Ok(answer),
            Some(None) => Err(AskError::Nobody),
            None => Err(AskError::Unknown),
        }
    }

    async fn listen(&self, partition: Partition, _take: Take) -> bool {
        self.world.doing(self.who, format_args!("listen {partition}"));
        let deadline = Instant::now() + Duration::from_secs(2);
        if !self.world.round_trip(self.who, deadline).await {
            return false;
        }
        self.world.lock().seats[self.who].listens.insert(partition.0);
        true
    }

    async fn unlisten(&self, partition: Partition) {
        self.world.doing(self.who, format_args!("unlisten {partition}"));
        let deadline = Instant::now() + Duration::from_secs(3);
        self.world.round_trip(self.who, deadline).await;
        self.world.lock().seats[self.who].listens.remove(&partition.0);
        self.all_taken().await;
    }

    async fn is_reached(&self, deadline: Instant) -> bool {
        self.world.round_trip(self.who, deadline).await
    }

    async fn reach(&self, deadline: Instant) -> bool {
        let is_handed_on = matches!(timeout_at(deadline, self.mark()).await, Ok(Some(())));
        is_handed_on && self.is_reached(deadline).await
    }

    fn max_message_bytes(&self) -> usize {
        MAX_MESSAGE_BYTES
    }
}

impl SimBus {
    pub(crate) async fn take_calls(&self) {
        self.world.round_trip(self.who, Instant::now() + Duration::from_secs(2)).await;
        self.world.lock().seats[self.who].takes_calls = true;
    }

    pub(crate) async fn end_calls(&self) {
        self.world.lock().seats[self.who].takes_calls = false;
        self.all_taken().await;
    }

    /// Waits until every message that the server sent was taken.
    async fn all_taken(&self) {
        let (arrivals, span) = {
            let core = self.world.lock();
            let seat = &core.seats[self.who];
            (seat.arrivals.clone(), self.world.until(seat.down_ms + 1))
        };
        sleep(span).await;
        let (notify, notified) = oneshot::channel();
        if arrivals.send(Arrival::Mark(notify)).await.is_ok() {
            let _ = notified.await;
        }
    }
}
