//! The wire and storage formats: subjects, headers, bodies and records, and their conversion to and
//! from the types of [`crate::domain`]. Pure functions: bytes in, values out.

pub mod batch;
mod block;
pub mod content;
pub mod decode;
pub mod discovery;
pub mod draft;
pub mod encoding;
pub mod entry;
pub mod event;
pub mod failure;
pub mod field;
pub mod fit;
pub mod message;
pub mod owner_request;
pub mod ownership;
pub mod probe;
pub mod push;
pub mod record;
pub mod reply;
pub mod size;
pub mod subject;
pub mod time;
pub mod value;

#[cfg(test)]
mod golden;
