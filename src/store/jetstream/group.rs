//! Group commit: appends that wait at the same time go as one atomic batch (NATS ADR-50).
//!
//! A server with `sync_interval: always` syncs its disk once for a batch, where it would once for
//! each message. A batch has a price of its own (the server stages it in files), which pays from
//! some number of messages on that depends on the disk. So each stream measures what either way
//! takes, and goes the faster.

mod price;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Subject;
use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use self::price::{Prices, Way};
use super::publish::{BATCH, Publisher, Refused, expecting};
use crate::domain::id::Partition;
use crate::store::trouble::Resource;
use crate::store::{AppendError, StreamId};

/// Most appends of a batch; the server takes 1,000.
const APPENDS_MAX: usize = 512;
/// Most bytes of a batch, past which nothing is added to it: the server holds all of it.
const BYTES_MAX: usize = 4 * 1024 * 1024;
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// A record to be stored where its subject ends as expected.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) subject: Subject,
    pub(super) payload: Bytes,
    pub(super) expected_seq: u64,
    pub(super) deadline: Instant,
}

/// An append that waits for its turn.
#[derive(Debug)]
struct Waiting {
    append: Append,
    /// Set by who decides first what becomes of it: the group, which sends it, or who asked, who
    /// gives it up.
    is_decided: Arc<AtomicBool>,
    answer: oneshot::Sender<Result<u64, AppendError>>,
}

/// The appends that wait, by stream.
#[derive(Debug)]
pub(super) struct Groups {
    logs: Vec<mpsc::Sender<Waiting>>,
    states: Vec<mpsc::Sender<Waiting>>,
}

impl Groups {
    /// Groups for the streams of so many partitions. They end when this is dropped.
    pub(super) fn start(publisher: &Publisher, partitions: u16) -> Self {
        let start = |stream| {
            let (queue, waiting) = mpsc::channel(APPENDS_MAX);
            let resource = Resource::Stream(stream);
            tokio::spawn(Group { publisher: publisher.clone(), resource, waiting }.run());
            queue
        };
        let all = || (0..partitions).map(Partition);
        Self {
            logs: all().map(|partition| start(StreamId::Log(partition))).collect(),
            states: all().map(|partition| start(StreamId::State(partition))).collect(),
        }
    }

    /// Stores a record together with others of its stream.
    pub(super) async fn append(
        &self,
        stream: StreamId,
        append: Append,
    ) -> Result<u64, AppendError> {
        let queue = match stream {
            StreamId::Log(partition) => self.logs.get(usize::from(partition.0)),
            StreamId::State(partition) => self.states.get(usize::from(partition.0)),
        };
        let nowhere = || AppendError::Unavailable("there is no such partition".to_owned());
        let queue = queue.ok_or_else(nowhere)?;
        let deadline = append.deadline;
        let (answer, answered) = oneshot::channel();
        let is_decided = Arc::new(AtomicBool::new(false));
        let waiting = Waiting { append, is_decided: is_decided.clone(), answer };
        let answered = async {
            queue.send(waiting).await.ok()?;
            answered.await.ok()
        };
        match timeout_at(deadline, answered).await {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) if is_decided.swap(true, Ordering::AcqRel) => {
                Err(AppendError::Unknown)
            }
            Ok(None) | Err(_) => {
                Err(AppendError::Unavailable("those before it were not acknowledged".to_owned()))
            }
        }
    }
}

impl Waiting {
    /// Whether it is still wanted. If so, it is sent now.
    fn claim(&self) -> bool {
        !self.answer.is_closed() && !self.is_decided.swap(true, Ordering::AcqRel)
    }

    fn answer(self, result: Result<u64, AppendError>) {
        // Who asked may have given up: what is stored shows to them as what is late does.
        let _ = self.answer.send(result);
    }
}

/// What stores the appends of a stream, one group after another.
struct Group {
    publisher: Publisher,
    resource: Resource,
    waiting: mpsc::Receiver<Waiting>,
}

impl Group {
    async fn run(mut self) {
        let mut prices = Prices::default();
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() && self.waiting.recv_many(&mut waiting, APPENDS_MAX).await == 0 {
                return;
            }
            while waiting.len() < APPENDS_MAX
                && let Ok(more) = self.waiting.try_recv()
            {
                waiting.push(more);
            }
            let group: Vec<Waiting> =
                next_group(&mut waiting).into_iter().filter(Waiting::claim).collect();
            let (size, began) = (group.len(), Instant::now());
            let way = prices.choose(size);
            let is_usual = match way {
                Way::Singly => self.store_singly(group).await,
                Way::Together => self.store_together(group).await,
            };
            if is_usual {
                prices.note(size, way, began.elapsed());
            }
        }
    }

    /// Stores each by itself; answers whether all were.
    async fn store_singly(&self, group: Vec<Waiting>) -> bool {
        let each = group.into_iter().map(async |waiting| {
            let Append { subject, payload, expected_seq, deadline } = &waiting.append;
            let headers = || expecting(*expected_seq);
            let (subject, payload) = (subject.clone(), payload.clone());
            let published =
                self.publisher.publish(self.resource, subject, headers, payload, *deadline);
            let stored = published.await;
            let is_stored = stored.is_ok();
            waiting.answer(stored);
            is_stored
        });
        join_all(each).await.into_iter().all(|is_stored| is_stored)
    }

    /// Stores all or none; answers whether all were.
    async fn store_together(&self, group: Vec<Waiting>) -> bool {
        let count = u64::try_from(group.len()).unwrap_or(u64::MAX);
        match self.publish_batch(&group).await {
            Ok(ack) if ack.count == count && ack.seq >= count => {
                for (waiting, seq) in group.into_iter().zip(ack.seq - count + 1..) {
                    waiting.answer(Ok(seq));
                }
                true
            }
            Ok(_) | Err(Refused::ForGood(AppendError::Unknown)) => {
                for waiting in group {
                    waiting.answer(Err(AppendError::Unknown));
                }
                false
            }
            // Nothing was stored, perhaps for one of them. Each finds out by itself.
            Err(Refused::ForNow(_) | Refused::ForGood(_)) => {
                self.store_singly(group).await;
                false
            }
        }
    }

    async fn publish_batch(&self, group: &[Waiting]) -> Result<super::publish::Ack, Refused> {
        let id = nuid::next();
        let [before @ .., last] = group else { return Err(Refused::ForNow("nothing to store")) };
        let headers = |append: &Append, sequence: usize| {
            let mut headers = expecting(append.expected_seq);
            headers.insert(BATCH, id.as_str());
            headers.insert(BATCH_SEQUENCE, sequence.to_string());
            headers
        };
        if !self.publisher.connection.link.is_up() {
            return Err(Refused::ForNow("disconnected"));
        }
        for (sequence, Waiting { append, .. }) in (1..).zip(before) {
            let headers = headers(append, sequence);
            let (subject, payload) = (append.subject.clone(), append.payload.clone());
            let published =
                self.publisher.connection.client.publish_with_headers(subject, headers, payload);
            // The server forgets a batch that is not committed.
            published.await.map_err(|_| Refused::ForNow("the connection does not take it"))?;
        }
        let mut headers = headers(&last.append, group.len());
        headers.insert(BATCH_COMMIT, "1");
        let (subject, payload) = (last.append.subject.clone(), last.append.payload.clone());
        // All were asked for at about the same time, and have about the same deadline.
        let deadline = group.iter().map(|waiting| waiting.append.deadline).max();
        let deadline = deadline.unwrap_or(last.append.deadline);
        self.publisher.publish_once(self.resource, subject, headers, payload, deadline).await
    }
}

/// Takes what may go together, from the front: no subject twice, since the second would expect what
/// the first has yet to become, and so many bytes.
fn next_group(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let (mut subjects, mut bytes) = (BTreeSet::new(), 0);
    let mut is_full = false;
    let (group, later) = std::mem::take(waiting).into_iter().partition(|next| {
        is_full |= bytes > BYTES_MAX;
        bytes += next.append.payload.len();
        !is_full && subjects.insert(next.append.subject.clone())
    });
    *waiting = later;
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(subject: &'static str, bytes: usize) -> Waiting {
        let (answer, _) = oneshot::channel();
        let payload = Bytes::from(vec![0; bytes]);
        let subject = Subject::from_static(subject);
        let append = Append { subject, payload, expected_seq: 0, deadline: Instant::now() };
        Waiting { append, is_decided: Arc::default(), answer }
    }

    fn subjects(group: &[Waiting]) -> Vec<&str> {
        group.iter().map(|waiting| waiting.append.subject.as_str()).collect()
    }

    #[test]
    fn a_subject_is_in_a_group_once_and_in_its_turn() {
        let mut all: Vec<Waiting> = ["a", "b", "a", "c", "a"].map(|name| waiting(name, 1)).into();
        assert_eq!(subjects(&next_group(&mut all)), ["a", "b", "c"]);
        assert_eq!(subjects(&next_group(&mut all)), ["a"]);
        assert_eq!(subjects(&next_group(&mut all)), ["a"]);
        assert!(next_group(&mut all).is_empty());
    }

    #[test]
    fn a_group_ends_where_it_is_large() {
        let mut all: Vec<Waiting> =
            ["a", "b", "c", "d"].map(|name| waiting(name, BYTES_MAX / 2 + 1)).into();
        assert_eq!(subjects(&next_group(&mut all)), ["a", "b"]);
        assert_eq!(subjects(&next_group(&mut all)), ["c", "d"]);
    }
}
