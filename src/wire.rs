//! What goes over the wire and into the store: subjects, headers, bodies and records, and how they
//! become the types of [`crate::domain`] and back. Pure: bytes in, values out.

pub mod audit;
pub mod batch;
pub(crate) mod block;
pub mod content;
pub mod delivery;
pub mod discovery;
pub mod encoding;
pub mod event;
pub mod failure;
pub mod fields;
pub mod fit;
pub mod message;
pub mod packed;
pub mod probe;
pub mod push;
pub mod reply;
pub mod request;
pub mod size;
pub mod subject;
pub mod time;
pub mod unsupported;
pub mod value;
