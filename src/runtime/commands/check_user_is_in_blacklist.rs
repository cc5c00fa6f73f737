//! `check_user_is_in_blacklist`: reads whether a user is blocked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_protocol::api::IsBlocked;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::User;

/// Reads whether a user is blocked.
pub struct CheckUserIsInBlacklist;

/// The user to look up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// The ID of the user.
    #[serde(rename = "userID")]
    pub user_id: User,
}

impl Command for CheckUserIsInBlacklist {
    const NAME: &'static str = "check_user_is_in_blacklist";
    const SUMMARY: &'static str = "Reads whether a user is blocked.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[r#"{"userID":"bob"}"#];
    type Request = Request;
    type Reply = IsBlocked;

    async fn run<S: Store, B: Bus>(
        Request { user_id: User(other) }: Request,
        call: Call<'_, S, B>,
    ) -> Result<IsBlocked, CallError> {
        Ok(IsBlocked { is_user_in_blacklist: call.cell.lock().blocked.contains(&other) })
    }
}
