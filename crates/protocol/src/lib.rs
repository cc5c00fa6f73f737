//! The public contract of peerd as types: subjects, headers, requests, replies and events, and
//! their conversion to and from the types of [`peerd_core`]. Pure functions: bytes in, values out.

pub mod api;
pub mod block;
pub mod content;
pub mod decode;
pub mod discovery;
pub mod draft;
pub mod encoding;
pub mod entry_size;
pub mod event;
pub mod failure;
pub mod field;
pub mod fit;
pub mod message;
pub mod msgpack;
pub mod object;
pub mod packed;
pub mod plain;
pub mod reaction;
pub mod receipt;
pub mod replied;
pub mod reply;
pub mod reply_tree;
pub mod size;
pub mod subject;
pub mod time;
pub mod trace;
pub mod user_info;
pub mod value;
