//! The store on JetStream.

mod acks;
mod entry;
mod erase;
#[cfg(test)]
pub(crate) mod fresh;
mod incarnations;
mod publish;
mod reads;
mod registry;
mod withdraw;

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use self::entry::{EXPECTED_LAST, Entry, Headers};
use self::incarnations::Incarnations;
use self::publish::{Backoff, Publisher};
use super::names::Resource;
pub use super::names::StreamNames;
use super::provision::StreamOptions;
use super::trouble::{Trouble, Troubles};
use super::tuning::HAND_OFF_TRY_TIMEOUT;
use super::waits::{Operation, Waits};
use super::watermarks::Watermarks;
use super::{
    Append, AppendError, Appended, Batch, Push, ReadError, Record, Start, Store, StreamId,
};
use crate::link::{Connection, DataConnection};
use crate::trace::Trace;
use peerd_protocol::encoding::CONTENT_TYPE;

const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The store on JetStream. It writes over the data plane's connection and reads over another, so
/// that no acknowledgement waits behind the answers of reads.
#[derive(Clone, Debug)]
pub struct JetStream {
    connection: Connection,
    names: StreamNames,
    watermarks: Arc<Watermarks>,
    publisher: Arc<Publisher>,
    /// The lasting problems.
    troubles: Arc<Troubles>,
    incarnations: Arc<Incarnations>,
    waits: Arc<Waits>,
}

impl JetStream {
    /// The streams of `partitions` partitions, as they were provisioned.
    pub(crate) fn new(
        connection: Connection,
        data_plane: DataConnection,
        names: StreamNames,
        partitions: u16,
        options: &StreamOptions,
    ) -> Self {
        // A single copy is never behind.
        let watermarks =
            Arc::new(Watermarks::new(if options.replicas > 1 { partitions } else { 0 }));
        let troubles = Arc::new(Troubles::new(names.clone()));
        let publisher = Arc::new(Publisher::start(data_plane, troubles.clone()));
        let (incarnations, waits) = (Arc::default(), Arc::default());
        Self { connection, names, watermarks, publisher, troubles, incarnations, waits }
    }

    /// How long its operations take.
    pub(crate) const fn waits(&self) -> &Arc<Waits> {
        &self.waits
    }

    /// The lasting problems.
    pub(crate) fn trouble(&self) -> &Arc<Troubles> {
        &self.troubles
    }

    /// Puts an offline push into the work queue.
    async fn hand_off_entry(&self, entry: &Entry, deadline: Instant) -> Result<(), AppendError> {
        let mut backoff = Backoff::until(deadline);
        loop {
            // Each attempt ends early enough for a check of the stream, which may be gone.
            let until = deadline.min(Instant::now() + HAND_OFF_TRY_TIMEOUT);
            match self.publisher.publish(entry, until).await {
                // Its ID makes a repeat harmless.
                Err(AppendError::Unknown) if backoff.wait().await => {}
                result => return result.map(drop),
            }
        }
    }

    /// Notes that a stream is gone, which ends the waits for it.
    pub(crate) fn lose_stream(&self, resource: Resource) {
        self.publisher.lose_stream(resource);
    }
}

/// The subject alone selects the stream: no other stream of the account may have it.
fn entry(Append { stream, subject, payload, expected_seq }: Append) -> Entry {
    let resource = Resource::Stream(stream);
    let headers = if Trace::header().is_none() {
        Headers::Expecting(expected_seq)
    } else {
        Headers::block([(EXPECTED_LAST, expected_seq.to_string().as_str())])
    };
    Entry { resource, subject, headers, payload }
}

impl Store for JetStream {
    async fn append(
        &self,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let trace = Trace::current();
        let entry = entry(Append { stream, subject, payload, expected_seq });
        let published = Box::pin(self.publisher.publish(&entry, deadline));
        let span = trace.map(|trace| trace.append(&self.names.of(stream)));
        let seq = self.waits.of(Operation::Append, published).await?;
        drop(span);
        self.watermarks.raise(stream, seq);
        Ok(seq)
    }

    fn append_then(
        &self,
        append: Append,
        deadline: Instant,
        then: impl FnOnce(Appended) + Send + 'static,
    ) {
        let (stream, watermarks) = (append.stream, self.watermarks.clone());
        let (waits, began) = (self.waits.clone(), Instant::now());
        let then = move |appended| {
            then(waits.of_append(began, appended).inspect(move |outcome| {
                if let Ok(seq) = outcome {
                    watermarks.raise(stream, *seq);
                }
            }));
        };
        let Some(trace) = Trace::current() else {
            return self.publisher.publish_then(entry(append), deadline, then);
        };
        let span = trace.append(&self.names.of(stream));
        self.publisher.publish_then(entry(append), deadline, move |appended| {
            drop(span);
            Trace::scope(Some(trace), || then(appended));
        });
    }

    async fn last(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        // Boxed, as the others: their futures are large, and part of those of all calls.
        let read = Box::pin(self.last_of(stream, subjects, deadline));
        self.waits.of(Operation::Read, read).await
    }

    async fn read(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> Result<Batch, ReadError> {
        let read = Box::pin(self.read_from(stream, subject, from, limit, deadline));
        self.waits.of(Operation::Read, read).await
    }

    async fn erase(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let erased = Box::pin(self.erase_record(stream, seq, deadline));
        self.waits.of(Operation::Erase, erased).await
    }

    async fn hand_off(
        &self,
        subject: String,
        payload: Bytes,
        content_type: &'static str,
        id: String,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let named = [(MESSAGE_ID, id.as_str()), (CONTENT_TYPE, content_type)];
        let headers = Headers::block(named);
        let entry = Entry { resource: Resource::Push, subject, headers, payload };
        let handed_off = Box::pin(self.hand_off_entry(&entry, deadline));
        self.waits.of(Operation::HandOff, handed_off).await
    }

    async fn withdraw(&self, push: Push, deadline: Instant) -> Result<(), AppendError> {
        let withdrawn = Box::pin(self.withdraw_push(push, deadline));
        self.waits.of(Operation::Erase, withdrawn).await
    }

    async fn last_seq(&self, stream: StreamId, deadline: Instant) -> Result<u64, ReadError> {
        self.waits.of(Operation::End, Box::pin(self.end_of(stream, deadline))).await
    }

    fn reaches(&self, stream: StreamId, seq: u64) {
        self.watermarks.raise(stream, seq);
    }

    fn forget_ends(&self) {
        self.watermarks.forget();
    }

    fn generation(&self) -> u64 {
        self.connection.link.generation()
    }

    fn incarnation(&self, stream: StreamId) -> u64 {
        self.incarnations.of(stream)
    }

    fn name(&self, stream: StreamId) -> String {
        self.names.of(stream)
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.troubles.ongoing()
    }

    fn is_owning_impossible(&self) -> bool {
        self.troubles.is_owning_impossible()
    }
}
