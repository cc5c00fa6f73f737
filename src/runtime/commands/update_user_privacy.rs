//! `update_user_privacy`: sets what the caller hides from others. The SDK has no such method.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind, profile};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::event::Event;
use peerd_core::privacy::Hidden;
use peerd_protocol::api::Privacy;
use peerd_protocol::failure::CallError;

/// Sets what the caller hides from others.
pub struct UpdateUserPrivacy;

/// What to hide or to show. Fields that are left out stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Whether to hide which messages the caller has read.
    pub hide_read_receipts: Option<bool>,
    /// Whether to hide that the caller is typing.
    pub hide_typing: Option<bool>,
    /// Whether to hide that the caller is online.
    pub hide_online_status: Option<bool>,
}

impl Command for UpdateUserPrivacy {
    const NAME: &'static str = "update_user_privacy";
    const SUMMARY: &'static str = "Sets what the caller hides from others.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"hideReadReceipts":true,"hideTyping":true,"hideOnlineStatus":false}"#];
    type Request = Request;
    type Reply = Privacy;

    async fn run<S: Store, B: Bus>(
        Request { hide_read_receipts, hide_typing, hide_online_status }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Privacy, CallError> {
        let changes = [
            (Hidden::ReadReceipts, hide_read_receipts),
            (Hidden::Typing, hide_typing),
            (Hidden::OnlineStatus, hide_online_status),
        ];
        profile::commit(&call, |user| {
            let account = user.change_privacy(&changes)?;
            let event = Event::UserRuleUpdated(account.privacy);
            Some((account, event))
        })
        .await?;
        let privacy = call.cell.lock().account.privacy;
        Ok(Privacy::of(privacy))
    }
}
