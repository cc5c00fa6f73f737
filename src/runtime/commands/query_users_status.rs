//! `query_users_status`: reads whether users are online, and their custom status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::id::UserId;
use peerd_core::limits::USERS_STATUS_MAX;
use peerd_core::status::Viewer;
use peerd_core::user_status::UserStatus;
use peerd_protocol::api::ErrorUser;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{List, User};
use peerd_protocol::reply::{Reply, Shown};
use peerd_protocol::user_info::{NO_SUCH_USER, UserStatusBody};

/// Reads the status of users.
pub struct QueryUsersStatus;

/// The users to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// Their IDs; duplicates count once.
    #[serde(rename = "userIDs")]
    pub user_ids: List<User, USERS_STATUS_MAX>,
}

/// The status of users, in the order of their IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses {
    /// Users who logged in at least once.
    pub statuses: Vec<UserStatus>,
    /// Users who never logged in.
    pub unknown: Vec<UserId>,
}

impl Reply for Statuses {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            user_status_list: Vec<UserStatusBody<'a>>,
            error_user_list: Vec<ErrorUser>,
        }
        Body {
            user_status_list: self.statuses.iter().map(UserStatusBody::of).collect(),
            error_user_list: ErrorUser::all(&self.unknown, NO_SUCH_USER),
        }
    }
}

impl Command for QueryUsersStatus {
    const NAME: &'static str = "query_users_status";
    const SUMMARY: &'static str = "Reads whether users are online, and their custom status.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[r#"{"userIDs":["bob","carol","bob"]}"#];
    type Request = Request;
    type Reply = Statuses;

    async fn run<S: Store, B: Bus>(
        Request { user_ids }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Statuses, CallError> {
        let own = {
            let mut user = cell.lock();
            user.admit_status_query(parts.env.clock.now().steady_us)?;
            let (now_ms, limits) = (parts.env.clock.wall_ms(), parts.env.limits());
            user.account.presence().status(&cell.id, Viewer::Own, now_ms, limits)
        };
        let ids: Vec<UserId> = user_ids.each_once().into_iter().map(|User(id)| id).collect();
        let others: Vec<UserId> = ids.iter().filter(|id| **id != cell.id).cloned().collect();
        let mut read = parts.presences.read(&others, deadline).await?.into_iter();
        let mut reply = Statuses::default();
        for id in ids {
            // The caller sees what the caller hides.
            let status =
                if id == cell.id { Some(own.clone()) } else { read.next().unwrap_or_default() };
            match status {
                Some(status) => reply.statuses.push(status),
                None => reply.unknown.push(id),
            }
        }
        Ok(reply)
    }
}
