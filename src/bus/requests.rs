//! Requests of this instance to others, and the proof that the server answers.
//!
//! Nothing is concluded from a "no responders" that does not come: anybody who may subscribe to a
//! subject keeps the server from sending it. So the server is proven to answer by a message of this
//! instance's own that comes back, and every answer is checked before it counts as one, since
//! whoever sees a request can also reply to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use hashbrown::HashMap;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::exit::Exit;
use super::{Answer, AskError, IsAnswer, Kind, Outgoing};
use crate::link::Connection;
use crate::wire::subject::{Subjects, last_token};

/// Sends requests over one connection and hands their answers out.
#[derive(Debug)]
pub(super) struct Requests {
    connection: Connection,
    exit: Exit,
    /// What the reply subjects of requests begin with; the number follows.
    inbox: String,
    /// The subject on which this instance publishes to itself.
    echo: String,
    last: AtomicU64,
    answers: Arc<Slots<Expected>>,
    echoes: Arc<Slots<oneshot::Sender<()>>>,
    _tasks: [AbortOnDrop<()>; 2],
}

/// A request that waits for its answer.
struct Expected {
    is_answer: IsAnswer,
    /// `None`: the server has nobody to give the request to.
    answer: oneshot::Sender<Option<Answer>>,
}

/// What waits, by number.
#[derive(Debug)]
struct Slots<T>(Mutex<HashMap<u64, T>>);

impl<T> Slots<T> {
    fn enter(&self, number: u64, waiting: T) -> Slot<'_, T> {
        self.lock().insert(number, waiting);
        Slot { slots: self, number }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// A slot, which is given up when this is dropped.
struct Slot<'s, T> {
    slots: &'s Slots<T>,
    number: u64,
}

impl<T> Drop for Slot<'_, T> {
    fn drop(&mut self) {
        self.slots.lock().remove(&self.number);
    }
}

impl Requests {
    /// Subscribes to the answers and to the echo.
    pub(super) async fn start(
        connection: Connection,
        subjects: &Subjects,
    ) -> Result<Self, async_nats::SubscribeError> {
        let client = &connection.client;
        let inbox = client.new_inbox();
        let echo = subjects.echo(&nuid::next());
        let (answers, echoes) = (Arc::default(), Arc::default());
        let all_answers = client.subscribe(format!("{inbox}.*")).await?;
        let all_echoes = client.subscribe(echo.clone()).await?;
        let read = read_answers(all_answers, Arc::clone(&answers));
        let tasks = [spawn(read), spawn(read_echoes(all_echoes, Arc::clone(&echoes)))];
        Ok(Self {
            exit: Exit::new(connection.clone()),
            connection,
            inbox,
            echo,
            last: AtomicU64::new(0),
            answers,
            echoes,
            _tasks: tasks.map(AbortOnDrop::new),
        })
    }

    /// A reply subject that no other request has.
    pub(super) fn inbox(&self) -> String {
        format!("{}.{}", self.inbox, self.number())
    }

    /// Sends a request, whose reply subject is one of [`Requests::inbox`], and waits for its answer.
    pub(super) async fn ask(
        &self,
        request: Outgoing,
        is_answer: IsAnswer,
        deadline: Instant,
    ) -> Result<Answer, AskError> {
        if !self.connection.link.is_up() {
            return Err(AskError::Nobody);
        }
        let number = if let Kind::Routed { reply_to: Some(inbox), .. } = &request.kind {
            number_in(last_token(inbox).as_bytes())
        } else {
            None
        };
        let Some(number) = number else {
            tracing::error!("a request without a reply subject of its own");
            return Err(AskError::Nobody);
        };
        let (answer, answered) = oneshot::channel();
        let _slot = self.answers.enter(number, Expected { is_answer, answer });
        let answered = async {
            self.exit.send_now(request).await;
            answered.await
        };
        match self.connection.link.guard(deadline, answered).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(AskError::Nobody),
            Ok(Err(_)) | Err(_) => Err(AskError::Unknown),
        }
    }

    /// Waits until a message of this instance's own has come back: then the server has all that was
    /// sent before it, and all that the server sent before it is here.
    pub(super) async fn echo(&self, deadline: Instant) -> bool {
        let number = self.number();
        let (echo, echoed) = oneshot::channel();
        let _slot = self.echoes.enter(number, echo);
        let echoed = async {
            let body = Bytes::from(number.to_string());
            // It fails only where the connection was closed for good.
            self.connection.client.publish(self.echo.clone(), body).await.ok()?;
            echoed.await.ok()
        };
        matches!(self.connection.link.guard(deadline, echoed).await, Ok(Some(())))
    }

    fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Outside the scheduler's budget: it does little for each message.
fn spawn(read: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(unconstrained(read))
}

fn number_in(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

async fn read_answers(mut all: Subscriber, waiting: Arc<Slots<Expected>>) {
    while let Some(message) = all.next().await {
        let Some(number) = number_in(last_token(&message.subject).as_bytes()) else { continue };
        let is_refused = message.status == Some(StatusCode::NO_RESPONDERS);
        let answer = (!is_refused).then(|| answer(message));
        let mut waiting = waiting.lock();
        let is_one =
            |expected: &Expected| answer.as_ref().is_none_or(|it| (expected.is_answer)(it));
        // What is no answer leaves the slot to the one that is still to come.
        if waiting.get(&number).is_some_and(is_one)
            && let Some(expected) = waiting.remove(&number)
        {
            // Whoever asked may have given up.
            let _ = expected.answer.send(answer);
        }
    }
}

async fn read_echoes(mut all: Subscriber, waiting: Arc<Slots<oneshot::Sender<()>>>) {
    while let Some(message) = all.next().await {
        let number = number_in(&message.payload);
        let echo = number.and_then(|number| waiting.lock().remove(&number));
        if let Some(echo) = echo {
            let _ = echo.send(());
        }
    }
}

fn answer(message: Message) -> Answer {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let headers = headers.flat_map(|(name, values)| {
        values.iter().map(move |value| (name.to_string(), value.as_str().to_owned()))
    });
    Answer { headers: headers.collect(), body: message.payload }
}

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected").finish_non_exhaustive()
    }
}
