//! What goes over the wire and into the store: subjects, headers, bodies and records, and how they
//! become the types of [`crate::domain`] and back. Pure: bytes in, values out.

pub mod batch;
mod block;
pub mod content;
pub mod discovery;
pub mod encoding;
pub mod entry;
pub mod event;
pub mod failure;
pub mod fields;
pub mod fit;
pub mod message;
pub mod owner_request;
pub mod ownership;
pub mod probe;
pub mod push;
pub mod record;
pub mod reply;
pub mod request;
pub mod size;
pub mod subject;
pub mod time;
pub mod unsupported;
pub mod value;

#[cfg(test)]
mod golden;
