//! `subscribe_users_status`: follows the status of users for a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::store::Store;
use crate::wire::owner_request::Watching;
use peerd_core::id::UserId;
use peerd_core::limits::{SUBSCRIPTION_MINUTES_MAX, USERS_STATUS_MAX};
use peerd_protocol::api::{ErrorUser, ErrorUsers};
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{Count, List, User};
use peerd_protocol::reply::{Reply, Shown};
use peerd_protocol::user_info::NO_SUCH_USER;

/// The code for the caller's own ID.
const OWN_ID: u32 = 6_000_001;
/// The code for a user whom the most users follow already.
const TOO_MANY_FOLLOW: u32 = 6_000_012;
const MINUTE_MS: u64 = 60_000;

/// Follows the status of users for a time.
pub struct SubscribeUsersStatus;

/// The users to follow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// Their IDs; duplicates count once.
    #[serde(rename = "userIDs")]
    pub user_ids: List<User, USERS_STATUS_MAX>,
    /// For how long.
    pub config: Config,
}

/// The options of the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The minutes until the subscriptions expire.
    pub subscription_duration: Count<SUBSCRIPTION_MINUTES_MAX>,
}

/// The users who are not followed, in the order of their IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotFollowed(Vec<(UserId, u32)>);

impl Reply for NotFollowed {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        let of = |(user, reason): &(UserId, u32)| ErrorUser::of(user, *reason);
        ErrorUsers { error_user_list: self.0.iter().map(of).collect() }
    }
}

impl Command for SubscribeUsersStatus {
    const NAME: &'static str = "subscribe_users_status";
    const SUMMARY: &'static str = "Follows the status of users for a time.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"userIDs":["bob","carol"],"config":{"subscriptionDuration":1440}}"#];
    type Request = Request;
    type Reply = NotFollowed;

    async fn run<S: Store, B: Bus>(
        Request { user_ids, config }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<NotFollowed, CallError> {
        cell.lock().admit_status_query(parts.env.clock.now().steady_us)?;
        let minutes = u64::try_from(config.subscription_duration.0).unwrap_or(u64::MAX);
        let users: Vec<UserId> = user_ids.each_once().into_iter().map(|User(id)| id).collect();
        let others: Vec<UserId> = users.iter().filter(|id| **id != cell.id).cloned().collect();
        // First the watches, so that no change after the reply is missed. Without a subscription
        // they end by themselves.
        let watching = parts.presences.watch(&cell.id, &others, deadline).await?;
        let refusal = |it: &Watching| match it {
            Watching { status: None, .. } => Some(NO_SUCH_USER),
            Watching { is_watched: false, .. } => Some(TOO_MANY_FOLLOW),
            Watching { .. } => None,
        };
        let mut refused = NotFollowed::default();
        let mut followed = Vec::new();
        refused.0.extend(users.contains(&cell.id).then(|| (cell.id.clone(), OWN_ID)));
        for (user, it) in watching {
            match refusal(&it) {
                Some(reason) => refused.0.push((user, reason)),
                None => followed.push((user, it)),
            }
        }
        refused.0.sort_unstable();
        if followed.is_empty() {
            return Ok(refused);
        }
        let users: Vec<UserId> = followed.iter().map(|(user, _)| user.clone()).collect();
        let (now_ms, span_ms) = (parts.env.clock.wall_ms(), minutes * MINUTE_MS);
        let (entries, mut new) = (&parts.entries, Vec::new());
        entries
            .commit(cell, deadline, |user, _| {
                new = users.iter().filter(|other| !user.follows(other, now_ms)).cloned().collect();
                let subscriptions = user.subscribe(&users, span_ms, now_ms);
                let expected_seq = user.subscriptions_seq;
                let writes = vec![Write::Subscriptions { subscriptions, expected_seq }];
                Ok(Some(Change { writes, events: Events::None }))
            })
            .await?;
        parts.presences.followed(cell, followed, &new);
        Ok(refused)
    }
}
