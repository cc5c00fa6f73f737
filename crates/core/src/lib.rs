//! peerd's decisions, without a clock, randomness or I/O: plain functions of state, command, `now`
//! and limits. Nothing here can wait, fail because of the network, or be serialized.

pub mod amend;
pub mod amendment;
pub mod audit;
pub mod blocklist;
pub mod changes;
pub mod clear;
pub mod clock;
pub mod content;
pub mod conversation;
pub mod delete;
pub mod deletions;
pub mod encoding;
pub mod event;
pub mod id;
pub mod later;
pub mod limits;
pub mod list;
pub mod login;
pub mod marks;
pub mod message;
pub mod preferences;
pub mod privacy;
pub mod profile;
pub mod rate;
pub mod reaction;
pub mod receipts;
pub mod receive;
pub mod rejection;
pub mod repeats;
pub mod reply;
pub mod send;
pub mod text;
pub mod user;
pub mod user_info;
