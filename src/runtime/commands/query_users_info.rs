//! `query_users_info`: reads names, avatars and extended data of users.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::id::UserId;
use peerd_core::limits::USERS_INFO_MAX;
use peerd_core::user_info::FullUserInfo;
use peerd_protocol::api::ErrorUser;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{AnyObject, List, User};
use peerd_protocol::reply::{Reply, Shown};
use peerd_protocol::user_info::{FullUserInfoBody, NO_SUCH_USER};

/// Reads names, avatars and extended data of users.
pub struct QueryUsersInfo;

/// The users to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Their IDs; duplicates count once.
    #[serde(rename = "userIDs")]
    pub user_ids: List<User, USERS_INFO_MAX>,
    /// Ignored: the SDK's only option is where a client reads from.
    pub config: Option<AnyObject>,
}

/// The users, in the order of their IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// Users who logged in at least once.
    pub users: Vec<FullUserInfo>,
    /// Users who never logged in.
    pub unknown: Vec<UserId>,
}

impl Reply for Users {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            user_list: Vec<FullUserInfoBody<'a>>,
            error_user_list: Vec<ErrorUser>,
        }
        Body {
            user_list: self.users.iter().map(FullUserInfoBody).collect(),
            error_user_list: ErrorUser::all(&self.unknown, NO_SUCH_USER),
        }
    }
}

impl Command for QueryUsersInfo {
    const NAME: &'static str = "query_users_info";
    const SUMMARY: &'static str = "Reads names, avatars and extended data of users.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"userIDs":["bob","carol","bob"],"config":{"isQueryFromServer":true}}"#];
    type Request = Request;
    type Reply = Users;

    async fn run<S: Store, B: Bus>(
        Request { user_ids, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Users, CallError> {
        let ids: Vec<UserId> = user_ids.each_once().into_iter().map(|User(id)| id).collect();
        let accounts = parts.conversations.accounts(ids.iter(), deadline);
        let accounts = accounts.await.map_err(Failure::from)?;
        let mut reply = Users::default();
        for id in ids {
            // The caller's own state is certainly the newest.
            let own = (id == cell.id).then(|| cell.lock().account.info(&id));
            match own.or_else(|| accounts.get(&id).map(|account| account.info(&id))) {
                Some(info) => reply.users.push(info),
                None => reply.unknown.push(id),
            }
        }
        Ok(reply)
    }
}
