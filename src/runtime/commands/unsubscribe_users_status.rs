//! `unsubscribe_users_status`: ends subscriptions to the status of users.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::store::Store;
use peerd_core::id::UserId;
use peerd_core::limits::USERS_STATUS_MAX;
use peerd_protocol::api::ErrorUsers;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{List, User};

/// Ends subscriptions to the status of users.
pub struct UnsubscribeUsersStatus;

/// The users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// Their IDs; duplicates count once.
    #[serde(rename = "userIDs")]
    pub user_ids: List<User, USERS_STATUS_MAX>,
}

impl Command for UnsubscribeUsersStatus {
    const NAME: &'static str = "unsubscribe_users_status";
    const SUMMARY: &'static str = "Ends subscriptions to the status of users.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"userIDs":["bob","carol"]}"#];
    type Request = Request;
    type Reply = ErrorUsers;

    async fn run<S: Store, B: Bus>(
        Request { user_ids }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<ErrorUsers, CallError> {
        cell.lock().admit_status_query(parts.env.clock.now().steady_us)?;
        let users: Vec<UserId> = user_ids.each_once().into_iter().map(|User(id)| id).collect();
        let now_ms = parts.env.clock.wall_ms();
        let entries = &parts.entries;
        entries
            .commit(cell, deadline, |user, _| {
                let expected_seq = user.subscriptions_seq;
                Ok(user.unsubscribe(&users, now_ms).map(|subscriptions| Change {
                    writes: vec![Write::Subscriptions { subscriptions, expected_seq }],
                    events: Events::None,
                }))
            })
            .await?;
        // To unsubscribe from a user who is not followed is success.
        Ok(ErrorUsers::default())
    }
}
