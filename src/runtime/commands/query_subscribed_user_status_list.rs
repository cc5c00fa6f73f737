//! `query_subscribed_user_status_list`: reads the status of the users whom the caller follows.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::id::UserId;
use peerd_core::limits::USERS_STATUS_MAX;
use peerd_core::user_status::UserStatus;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::User;
use peerd_protocol::reply::{Reply, Shown};
use peerd_protocol::user_info::UserStatusBody;

/// Reads the status of the users whom the caller follows.
pub struct QuerySubscribedUserStatusList;

/// Which of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// The options of the SDK.
    pub config: Option<Config>,
}

/// The options of the SDK.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Config {
    /// Only these users; all if it is empty.
    #[serde(rename = "userIDs")]
    pub user_ids: Option<Choice>,
}

/// Users, at most as many as one call may name; none for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice(pub Vec<User>);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let users = Vec::deserialize(deserializer)?;
        if users.len() > USERS_STATUS_MAX {
            let problem = format_args!("must have at most {USERS_STATUS_MAX} entries");
            return Err(de::Error::custom(problem));
        }
        Ok(Self(users))
    }
}

impl JsonSchema for Choice {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Choice")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<User>();
        json_schema!({ "type": "array", "items": items, "maxItems": USERS_STATUS_MAX })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The subscriptions, in the order of the IDs of the users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed(Vec<(UserStatus, u64)>);

impl Reply for Followed {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            user_status_subscription_list: Vec<Entry<'a>>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry<'a> {
            user_status: UserStatusBody<'a>,
            subscribe_expired_time: u64,
        }
        let entry = |(status, until_ms): &'a (UserStatus, u64)| Entry {
            user_status: UserStatusBody::of(status),
            subscribe_expired_time: *until_ms,
        };
        Body { user_status_subscription_list: self.0.iter().map(entry).collect() }
    }
}

impl Command for QuerySubscribedUserStatusList {
    const NAME: &'static str = "query_subscribed_user_status_list";
    const SUMMARY: &'static str = "Reads the status of the users whom the caller follows.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"config":{"userIDs":["bob","carol"]}}"#, r#"{"config":{"userIDs":[]}}"#];
    type Request = Request;
    type Reply = Followed;

    async fn run<S: Store, B: Bus>(
        Request { config }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Followed, CallError> {
        let wanted = config.and_then(|config| config.user_ids).unwrap_or_default().0;
        let now_ms = parts.env.clock.wall_ms();
        let subscriptions = {
            let mut user = cell.lock();
            user.admit_status_query(parts.env.clock.now().steady_us)?;
            user.subscriptions.clone()
        };
        let is_wanted =
            |user: &UserId| wanted.is_empty() || wanted.iter().any(|User(wanted)| wanted == user);
        let active = subscriptions.iter().flat_map(|it| it.active(now_ms));
        let active: Vec<(UserId, u64)> = active
            .filter(|(user, _)| is_wanted(user))
            .map(|(user, until_ms)| (user.clone(), until_ms))
            .collect();
        let users: Vec<UserId> = active.iter().map(|(user, _)| user.clone()).collect();
        let statuses = parts.presences.read(&users, deadline).await?;
        let followed = statuses.into_iter().zip(active);
        let followed =
            followed.filter_map(|(status, (_, until_ms))| status.map(|status| (status, until_ms)));
        Ok(Followed(followed.collect()))
    }
}
