//! A message to be stored, with its headers.

use bytes::Bytes;
use peerd_dataplane::Publish;
use peerd_dataplane::headers::{add, block, end};

use crate::store::names::Resource;
use crate::store::tuning::EXPECTING_BYTES;
use crate::trace::Trace;
use peerd_protocol::trace::TRACEPARENT;

/// The header with the expected last sequence of the subject.
pub(super) const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";

/// A message to be stored.
#[derive(Debug)]
pub(super) struct Entry {
    /// The stream to store it.
    pub(super) resource: Resource,
    pub(super) subject: String,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
}

/// The header block of a message to be stored.
#[derive(Debug)]
pub(super) enum Headers {
    /// Stored only if its subject ends at this sequence.
    Expecting(u64),
    /// The whole block.
    Block(Vec<u8>),
}

impl Entry {
    /// The message for the connection. `expecting` is room for its headers.
    pub(super) fn publish<'p>(&'p self, expecting: &'p mut [u8; EXPECTING_BYTES]) -> Publish<'p> {
        let headers: &[u8] = match &self.headers {
            Headers::Block(block) => block,
            Headers::Expecting(seq) => {
                let mut number = itoa::Buffer::new();
                let parts = ["NATS/1.0\r\n", EXPECTED_LAST, ": ", number.format(*seq), "\r\n\r\n"];
                // There is room for the longest number.
                let mut length = 0;
                for part in parts {
                    expecting[length..length + part.len()].copy_from_slice(part.as_bytes());
                    length += part.len();
                }
                &expecting[..length]
            }
        };
        let (subject, payload) = (self.subject.as_bytes(), &self.payload);
        Publish { subject, reply: None, headers, payload }
    }
}

impl Headers {
    /// A block of headers, with the trace of the task that runs.
    pub(super) fn block<'h>(all: impl IntoIterator<Item = (&'h str, &'h str)>) -> Self {
        let mut headers = block();
        for (name, value) in all {
            add(&mut headers, name, value);
        }
        if let Some(trace) = Trace::header() {
            add(&mut headers, TRACEPARENT, &trace.to_string());
        }
        end(&mut headers);
        Self::Block(headers)
    }
}
