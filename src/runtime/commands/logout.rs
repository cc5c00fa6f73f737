//! `logout`: ends one session or all.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::parts::Parts;
use crate::store::Store;
use peerd_protocol::api::Empty;
use peerd_protocol::failure::CallError;

/// Ends one session, or all sessions of the user.
pub struct Logout;

/// The session to end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// The ID of the session. All sessions end if it is left out.
    #[serde(rename = "sessionID")]
    pub session_id: Option<String>,
}

impl Command for Logout {
    const NAME: &'static str = "logout";
    const SUMMARY: &'static str = "Ends one session, or all sessions of the user.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"sessionID":"s-1"}"#];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request { session_id }: Request,
        Call { parts: Parts { entries, .. }, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        entries
            .commit(cell, deadline, |user, _| {
                let expected_seq = user.account_seq;
                Ok(user.logout(session_id.as_deref()).map(|account| Change {
                    writes: vec![Write::Logout { account, expected_seq }],
                    events: Events::None,
                }))
            })
            .await?;
        Ok(Empty {})
    }
}
