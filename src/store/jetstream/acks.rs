//! The publishes in progress over the data plane's connection, and their acknowledgements.
//!
//! All acknowledgements arrive on one subscription, whose handler calls the waiting function of
//! each. So the common case needs neither a task nor a wake-up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use peerd_dataplane::{HandledSubscription, Message, Publish, PublishError};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::entry::Entry;
use crate::link::{DataConnection, Link};
use crate::store::names::Resource;
use crate::store::tuning::{ACK_OVERDUE_INTERVAL, ACK_REPLY_BYTES_MAX, EXPECTING_BYTES};

/// JetStream's answer to a publish.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) seq: Option<u64>,
    pub(super) error: Option<ApiError>,
}

/// The error in an answer of JetStream.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

/// Why there is no acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unacked {
    /// There is no connection: it was not sent.
    NotSent,
    /// The connection has no room for it: it was not sent.
    NoRoom,
    /// It is larger than `max_payload`: it was not sent.
    TooLarge,
    /// No responders: the stream has no leader at the moment.
    NoResponders,
    /// The stream was found to be gone, with everything sent to it.
    Gone,
    /// It may have been stored.
    Unknown,
}

/// The outcome of a publish.
pub(super) enum Outcome {
    /// The server's answer, or why there is none.
    Answered(Result<Ack, Unacked>),
    /// There was no answer for a while. It is still expected on this channel.
    Overdue(oneshot::Receiver<Result<Ack, Unacked>>),
}

/// Called once with the outcome of a publish, by the task that reads acknowledgements: it must not
/// block.
pub(super) type Then = Box<dyn FnOnce(Outcome) + Send>;

/// Publishes over one connection.
#[derive(Debug)]
pub(super) struct Acks {
    connection: DataConnection,
    /// The prefix of the reply subjects, including the dot before the number.
    inbox: String,
    waiting: Arc<Waiting>,
    _subscription: HandledSubscription,
    _tasks: [AbortOnDrop<()>; 2],
}

/// The publishes without an acknowledgement, by number.
#[derive(Debug, Default)]
struct Waiting {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    last: u64,
    by_number: HashMap<u64, Slot>,
}

struct Slot {
    /// The generation of the connection on which it was sent.
    generation: u64,
    /// The stream to store it.
    resource: Resource,
    /// When it is overdue; `None` if the caller has a deadline.
    due: Option<Instant>,
    then: Then,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("resource", &self.resource).finish_non_exhaustive()
    }
}

/// A slot, which is freed when this is dropped.
struct Place<'w> {
    waiting: &'w Waiting,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.leave(self.number);
    }
}

/// Calls the function without holding a lock. A panic in one does not affect others.
fn call(then: Then, outcome: Outcome) {
    if catch_unwind(AssertUnwindSafe(|| then(outcome))).is_err() {
        tracing::error!("an acknowledgement could not be handled: a panic");
    }
}

impl Waiting {
    fn enter(&self, slot: Slot) -> u64 {
        let mut slots = self.slots();
        slots.last += 1;
        let number = slots.last;
        slots.by_number.insert(number, slot);
        number
    }

    fn leave(&self, number: u64) -> Option<Slot> {
        self.slots().by_number.remove(&number)
    }

    fn answer(&self, number: u64, answer: Result<Ack, Unacked>) {
        if let Some(slot) = self.leave(number) {
            call(slot.then, Outcome::Answered(answer));
        }
    }

    /// Ends the waits for publishes on this connection or an earlier one, which are lost.
    fn lose(&self, generation: u64) {
        self.end_where(Unacked::Unknown, |slot| slot.generation <= generation);
    }

    /// Ends the waits for a stream that is gone.
    fn lose_stream(&self, resource: Resource) {
        self.end_where(Unacked::Gone, |slot| slot.resource == resource);
    }

    fn end_where(&self, why: Unacked, is_lost: impl Fn(&Slot) -> bool) {
        let lost: Vec<Slot> = {
            let mut slots = self.slots();
            let lost = slots.by_number.extract_if(|_, slot| is_lost(slot));
            lost.map(|(_, slot)| slot).collect()
        };
        for slot in lost {
            call(slot.then, Outcome::Answered(Err(why)));
        }
    }

    /// Passes overdue publishes on to tasks of their own.
    fn pass_overdue(&self, now: Instant) {
        let mut overdue = Vec::new();
        for slot in self.slots().by_number.values_mut() {
            if slot.due.is_some_and(|due| due <= now) {
                let (answer, answered) = oneshot::channel();
                slot.due = None;
                overdue.push((std::mem::replace(&mut slot.then, into_channel(answer)), answered));
            }
        }
        for (then, answered) in overdue {
            call(then, Outcome::Overdue(answered));
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes the answer on to a channel.
fn into_channel(answer: oneshot::Sender<Result<Ack, Unacked>>) -> Then {
    Box::new(move |outcome| {
        if let Outcome::Answered(answered) = outcome {
            // The receiver may have given up.
            let _ = answer.send(answered);
        }
    })
}

impl Acks {
    /// Publishes over a connection, as long as this exists.
    pub(super) fn start(connection: &DataConnection) -> Self {
        let waiting = Arc::<Waiting>::default();
        let inbox = format!("{}.", connection.client.new_inbox());
        let (prefix, answered) = (inbox.clone(), waiting.clone());
        let handler = Arc::new(move |message: Message| {
            let Some(number) = number(&message.subject, prefix.as_bytes()) else { return };
            if message.is_no_responders() {
                answered.answer(number, Err(Unacked::NoResponders));
            } else if let Some(ack) = ack(&message) {
                answered.answer(number, Ok(ack));
            }
        });
        let acks = connection.client.subscribe_with(&format!("{inbox}*"), None, handler);
        let watch = watch(connection.link.clone(), waiting.clone());
        let tasks = [tokio::spawn(watch), tokio::spawn(overdue(waiting.clone()))];
        let tasks = tasks.map(AbortOnDrop::new);
        Self { connection: connection.clone(), inbox, waiting, _subscription: acks, _tasks: tasks }
    }

    /// Ends the waits for a stream that is gone.
    pub(super) fn lose_stream(&self, resource: Resource) {
        self.waiting.lose_stream(resource);
    }

    /// Publishes into a stream, if there is a connection with room. The function that `then` makes
    /// from the entry is called once: here if nothing was sent, otherwise later with the answer or
    /// when it is overdue.
    pub(super) fn publish_then(
        &self,
        entry: Entry,
        due: Instant,
        then: impl FnOnce(Entry) -> Then,
    ) {
        let (generation, resource) = (self.connection.link.generation(), entry.resource);
        let mut slots = self.waiting.slots();
        slots.last += 1;
        let number = slots.last;
        // Locked until the function is registered, so that the answer is not handled before.
        let given = self.give(number, generation, &entry.publish(&mut [0; EXPECTING_BYTES]));
        let then = then(entry);
        match given {
            Ok(()) => {
                let slot = Slot { generation, resource, due: Some(due), then };
                slots.by_number.insert(number, slot);
            }
            Err(why) => {
                drop(slots);
                call(then, Outcome::Answered(Err(why)));
            }
        }
    }

    /// Gives a publish to the connection.
    fn give(&self, number: u64, generation: u64, publish: &Publish<'_>) -> Result<(), Unacked> {
        // From here on a loss is noticed: the waiting functions are registered, or the slots are
        // locked.
        if !self.connection.link.is_up_since(generation) {
            return Err(Unacked::NotSent);
        }
        let reply = ReplySubject::new(&self.inbox, number).ok_or(Unacked::NotSent)?;
        let publish = Publish { reply: Some(reply.as_bytes()), ..*publish };
        self.connection.client.try_publish(&publish).map_err(|error| match error {
            PublishError::Full => Unacked::NoRoom,
            PublishError::TooLarge => Unacked::TooLarge,
            PublishError::NotConnected
            | PublishError::Closed
            | PublishError::Subject
            | PublishError::SubjectTooLong => Unacked::NotSent,
        })
    }

    /// Publishes into a stream, and waits for room and for the answer.
    pub(super) async fn publish(
        &self,
        resource: Resource,
        publish: &Publish<'_>,
        deadline: Instant,
    ) -> Result<Ack, Unacked> {
        let (answer, answered) = oneshot::channel();
        let generation = self.connection.link.generation();
        let slot = Slot { generation, resource, due: None, then: into_channel(answer) };
        let place = Place { waiting: &self.waiting, number: self.waiting.enter(slot) };
        let answered = async {
            let mut given = Ok(());
            // It ends with the outcome, unless there is no room.
            let _ = self
                .connection
                .client
                .when_possible(|| {
                    given = self.give(place.number, generation, publish);
                    if given == Err(Unacked::NoRoom) { Err(PublishError::Full) } else { Ok(()) }
                })
                .await;
            given?;
            answered.await.unwrap_or(Err(Unacked::Unknown))
        };
        timeout_at(deadline, answered).await.unwrap_or(Err(Unacked::Unknown))
    }
}

/// The subject on which a publish is acknowledged, without an allocation.
struct ReplySubject {
    bytes: [u8; ACK_REPLY_BYTES_MAX],
    length: usize,
}

impl ReplySubject {
    fn new(inbox: &str, number: u64) -> Option<Self> {
        let mut bytes = [0; ACK_REPLY_BYTES_MAX];
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        let length = inbox.len() + digits.len();
        bytes.get_mut(..inbox.len())?.copy_from_slice(inbox.as_bytes());
        bytes.get_mut(inbox.len()..length)?.copy_from_slice(digits);
        Some(Self { bytes, length })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn number(subject: &[u8], prefix: &[u8]) -> Option<u64> {
    digits(subject.strip_prefix(prefix)?)
}

/// A number above 0 of up to 18 digits, as it is written.
fn digits(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=18).contains(&digits.len())
        && digits[0] != b'0'
        && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
    is_number.then(|| digits.iter().fold(0, add))
}

/// The sequence of an acknowledgement that says nothing else. Nearly all of them do, and they are
/// read without a JSON parser.
fn plain_seq(payload: &[u8]) -> Option<u64> {
    let rest = payload.strip_prefix(br#"{"stream":""#)?;
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    digits(rest[end..].strip_prefix(br#"", "seq":"#)?.strip_suffix(b"}")?)
}

/// An acknowledgement or a refusal; `None` for any other message, which a client that sees the
/// publish may have sent.
fn ack(message: &Message) -> Option<Ack> {
    if let Some(seq) = plain_seq(&message.payload) {
        return Some(Ack { seq: Some(seq), error: None });
    }
    let ack: Ack = serde_json::from_slice(&message.payload).ok()?;
    (ack.seq.is_some() || ack.error.is_some()).then_some(ack)
}

/// Ends waits when the connection is lost: no answer comes any more.
async fn watch(link: Link, waiting: Arc<Waiting>) {
    let mut generation = link.generation();
    loop {
        link.lost(generation).await;
        waiting.lose(generation);
        generation = link.newer_than(generation).await;
        // More than one may have been lost meanwhile.
        waiting.lose(generation.saturating_sub(1));
    }
}

async fn overdue(waiting: Arc<Waiting>) {
    let mut ticks = interval(ACK_OVERDUE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        waiting.pass_overdue(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answered = oneshot::Receiver<Result<Ack, Unacked>>;

    /// A slot for a publish on the connection of that generation.
    fn enter(waiting: &Waiting, generation: u64) -> (Place<'_>, Answered) {
        let (answer, answered) = oneshot::channel();
        let then = into_channel(answer);
        let slot = Slot { generation, resource: Resource::Push, due: None, then };
        (Place { waiting, number: waiting.enter(slot) }, answered)
    }

    fn has(waiting: &Waiting, number: u64) -> bool {
        waiting.slots().by_number.contains_key(&number)
    }

    #[test]
    fn waits_on_a_lost_connection_end_and_no_others() {
        let waiting = Waiting::default();
        let (_first, mut on_the_first) = enter(&waiting, 1);
        let (_second, mut on_the_second) = enter(&waiting, 2);
        let (third, mut on_the_third) = enter(&waiting, 3);
        waiting.lose(2);
        for lost in [&mut on_the_first, &mut on_the_second] {
            assert_eq!(lost.try_recv().expect("an answer").err(), Some(Unacked::Unknown));
        }
        assert!(on_the_third.try_recv().is_err(), "its connection stands");
        assert!(has(&waiting, third.number));
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let waiting = Waiting::default();
        let (place, answered) = enter(&waiting, 1);
        let number = place.number;
        assert!(has(&waiting, number));
        drop((place, answered));
        assert!(!has(&waiting, number));
        waiting.answer(number, Err(Unacked::NoResponders));
        assert!(waiting.slots().by_number.is_empty());
    }

    #[test]
    fn each_answer_reaches_its_own_wait() {
        let waiting = Waiting::default();
        let (first, mut of_the_first) = enter(&waiting, 1);
        let (second, mut of_the_second) = enter(&waiting, 1);
        waiting.answer(second.number, Err(Unacked::NoResponders));
        waiting.answer(first.number, Err(Unacked::TooLarge));
        assert_eq!(of_the_first.try_recv().expect("an answer").err(), Some(Unacked::TooLarge));
        assert_eq!(of_the_second.try_recv().expect("an answer").err(), Some(Unacked::NoResponders));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overdue_publish_still_gets_its_answer() {
        let waiting = Waiting::default();
        let (overdue, mut is_overdue) = oneshot::channel();
        let now = Instant::now();
        let slot = Slot {
            generation: 1,
            resource: Resource::Push,
            due: Some(now + ACK_OVERDUE_INTERVAL),
            then: Box::new(move |outcome| _ = overdue.send(outcome)),
        };
        let number = waiting.enter(slot);
        waiting.pass_overdue(now);
        assert!(is_overdue.try_recv().is_err());
        waiting.pass_overdue(now + ACK_OVERDUE_INTERVAL);
        let Ok(Outcome::Overdue(mut answered)) = is_overdue.try_recv() else { panic!("overdue") };
        waiting.pass_overdue(now + 2 * ACK_OVERDUE_INTERVAL);
        let ack = || Ack { seq: Some(7), error: None };
        waiting.answer(number, Ok(ack()));
        assert_eq!(answered.try_recv().expect("an answer"), Ok(ack()));
        assert!(waiting.slots().by_number.is_empty());
    }

    #[test]
    fn a_panic_in_one_is_that_ones_alone() {
        let waiting = Waiting::default();
        let then: Then = Box::new(|_| panic!("as a test"));
        let slot = Slot { generation: 1, resource: Resource::Push, due: None, then };
        let (_place, mut answered) = enter(&waiting, 1);
        waiting.enter(slot);
        waiting.lose(1);
        assert!(answered.try_recv().is_ok());
    }

    #[test]
    fn only_the_servers_answers_count() {
        let message = |payload: &'static str| Message {
            subject: "inbox.7".into(),
            reply: None,
            headers: None,
            payload: payload.into(),
        };
        assert_eq!(number(b"inbox.7", b"inbox."), Some(7));
        assert_eq!(number(b"inbox.x", b"inbox."), None);
        for other in ["", "{}", "hello", r#"{"seq":"x"}"#] {
            assert_eq!(ack(&message(other)), None, "{other}");
        }
        let stored = ack(&message(r#"{"stream":"S","seq":3,"duplicate":true}"#)).expect("an ack");
        assert_eq!(stored, Ack { seq: Some(3), error: None });
        for plain in [r#"{"stream":"PEER_LOG_0", "seq":17}"#, r#"{"stream":"", "seq":1}"#] {
            let seq = plain_seq(plain.as_bytes());
            let parsed: Ack = serde_json::from_str(plain).expect("JSON");
            assert!(seq.is_some() && seq == parsed.seq, "{plain}");
        }
        for other in [
            r#"{"stream":"S", "seq":3,"duplicate":true}"#,
            r#"{"stream":"S", "seq":-3}"#,
            r#"{"stream":"S", "seq":03}"#,
            r#"{"stream":"S", "seq":}"#,
            r#"{"stream":"S", "seq":3}}"#,
            r#"{"stream":"S\", "seq":3}"#,
            r#"{"stream":"S", "seq":9999999999999999999}"#,
        ] {
            assert_eq!(plain_seq(other.as_bytes()), None, "{other}");
        }
        let refused = ack(&message(r#"{"error":{"code":400,"err_code":10071}}"#));
        assert_eq!(refused.and_then(|it| it.error).expect("a refusal").err_code, 10071);
    }
}
