//! The wire and storage formats: subjects, headers, bodies and records, and their conversion to and
//! from the types of [`crate::domain`]. Pure functions: bytes in, values out.

pub mod batch;
pub(crate) mod block;
pub mod content;
pub mod decode;
pub mod discovery;
pub mod draft;
pub mod encoding;
pub mod event;
pub mod failure;
pub mod field;
pub mod fit;
pub mod message;
pub mod owner_request;
pub mod packed;
pub mod probe;
pub mod push;
pub mod reply;
pub mod size;
pub mod subject;
pub mod time;
pub mod value;
