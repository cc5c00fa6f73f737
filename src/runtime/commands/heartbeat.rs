//! `heartbeat`: shows that the user is online. Every call updates the user's last-seen time; this
//! one does nothing else.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_protocol::api::LastSeen;
use peerd_protocol::failure::CallError;

/// Shows that the user is online.
pub struct Heartbeat;

/// No fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {}

impl Command for Heartbeat {
    const NAME: &'static str = "heartbeat";
    const SUMMARY: &'static str = "Keeps the user online.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &["{}"];
    type Request = Request;
    type Reply = LastSeen;

    async fn run<S: Store, B: Bus>(
        Request {}: Request,
        call: Call<'_, S, B>,
    ) -> Result<LastSeen, CallError> {
        Ok(LastSeen { server_time_ms: call.parts.env.clock.wall_ms() })
    }
}
