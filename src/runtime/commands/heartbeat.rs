//! `heartbeat`: shows that the user is online. Every call updates the user's last-seen time; this
//! one does nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_protocol::failure::CallError;
use peerd_protocol::reply::{Reply, Shown};

/// Shows that the user is online.
pub struct Heartbeat;

/// No fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {}

/// The reply to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LastSeen {
    /// The wall clock, in milliseconds since 1970.
    #[serde(rename = "serverTime")]
    pub server_time_ms: u64,
}

impl Reply for LastSeen {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        self
    }
}

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
