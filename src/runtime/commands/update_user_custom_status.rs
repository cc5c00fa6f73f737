//! `update_user_custom_status`: sets the caller's custom status.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::store::Store;
use peerd_core::event::Event;
use peerd_core::limits::{
    CUSTOM_STATUS_MAX_BYTES, CUSTOM_STATUS_SECONDS, CUSTOM_STATUS_SECONDS_MAX,
};
use peerd_core::status::Viewer;
use peerd_protocol::api::UpdatedCustomStatus;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{ShortText, UpTo};

/// Sets the caller's custom status.
pub struct UpdateUserCustomStatus;

/// The status.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The text. Empty takes the present one away.
    pub custom_status: ShortText<CUSTOM_STATUS_MAX_BYTES>,
    /// For how long.
    pub config: Option<Config>,
}

/// The options of the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Config {
    /// The seconds for which the status is valid. 0, or without it: a day.
    pub duration: Option<UpTo<CUSTOM_STATUS_SECONDS_MAX>>,
}

impl Request {
    /// How long the status is valid.
    const fn span_ms(&self) -> u64 {
        let seconds = match self.config {
            Some(Config { duration: Some(UpTo(seconds)) }) if seconds > 0 => seconds,
            Some(_) | None => CUSTOM_STATUS_SECONDS,
        };
        seconds * 1000
    }
}

impl Command for UpdateUserCustomStatus {
    const NAME: &'static str = "update_user_custom_status";
    const SUMMARY: &'static str = "Sets the caller's custom status.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"customStatus":"on a train","config":{"duration":3600}}"#];
    type Request = Request;
    type Reply = UpdatedCustomStatus;

    async fn run<S: Store, B: Bus>(
        request: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<UpdatedCustomStatus, CallError> {
        let span_ms = request.span_ms();
        let ShortText(text) = request.custom_status;
        let now_ms = parts.env.clock.wall_ms();
        let entries = &parts.entries;
        entries
            .commit(cell, deadline, |user, _| {
                let Some(mut account) = user.change_custom_status(&text, span_ms, now_ms)? else {
                    return Ok(None);
                };
                let (id, limits) = (&user.id, parts.env.limits());
                let status = account.presence().status(id, Viewer::Own, now_ms, limits);
                // While a replay is due, the stored time is that from which it begins.
                account.last_seen_ms = user.replay_due_ms.or(account.last_seen_ms);
                let expected_seq = user.account_seq;
                Ok(Some(Change {
                    writes: vec![Write::Profile { account, expected_seq }],
                    events: Events::These(vec![Event::UserStatusUpdated(vec![status])]),
                }))
            })
            .await?;
        Ok(UpdatedCustomStatus { custom_status: text })
    }
}
