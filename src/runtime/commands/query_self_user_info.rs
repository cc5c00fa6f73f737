//! `query_self_user_info`: reads the caller's own profile, rules and status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::privacy::Privacy;
use peerd_core::status::Viewer;
use peerd_core::user_info::FullUserInfo;
use peerd_core::user_status::UserStatus;
use peerd_protocol::api::UserRule;
use peerd_protocol::failure::CallError;
use peerd_protocol::reply::{Reply, Shown};
use peerd_protocol::user_info::{FullUserInfoBody, UserStatusBody};

/// Reads the caller's own profile, rules and status.
pub struct QuerySelfUserInfo;

/// Nothing to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {}

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfInfo {
    /// The profile.
    pub info: FullUserInfo,
    /// The caller's privacy settings.
    pub privacy: Privacy,
    /// The status, as the caller sees it.
    pub status: UserStatus,
}

impl Reply for SelfInfo {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        Body {
            self_user_info: Info {
                user_full_info: FullUserInfoBody(&self.info),
                user_rule: UserRule::of(self.privacy),
                user_status: UserStatusBody::of(&self.status),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    self_user_info: Info<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the contract")]
struct Info<'a> {
    user_full_info: FullUserInfoBody<'a>,
    user_rule: UserRule,
    user_status: UserStatusBody<'a>,
}

impl Command for QuerySelfUserInfo {
    const NAME: &'static str = "query_self_user_info";
    const SUMMARY: &'static str = "Reads the caller's own profile, rules and status.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &["{}"];
    type Request = Request;
    type Reply = SelfInfo;

    async fn run<S: Store, B: Bus>(
        Request {}: Request,
        Call { parts, cell, .. }: Call<'_, S, B>,
    ) -> Result<SelfInfo, CallError> {
        let user = cell.lock();
        let (now_ms, limits) = (parts.env.clock.wall_ms(), parts.env.limits());
        Ok(SelfInfo {
            info: user.account.info(&user.id),
            privacy: user.account.privacy,
            status: user.account.presence().status(&user.id, Viewer::Own, now_ms, limits),
        })
    }
}
