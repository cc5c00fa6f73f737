//! `query_self_user_info`: reads the caller's own profile, rules and status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::privacy::Privacy;
use peerd_core::user::Session;
use peerd_core::user_info::FullUserInfo;
use peerd_protocol::failure::CallError;
use peerd_protocol::reply::{Reply, Shown};
use peerd_protocol::user_info::{FullUserInfoBody, UserRuleBody};

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
    /// The platforms of the sessions, as numbers of the SDK, ascending.
    pub platforms: Vec<u8>,
    /// When the newest session began, in milliseconds since 1970.
    pub online_since_ms: u64,
}

impl Reply for SelfInfo {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        let id = self.info.user.id.as_str();
        Body {
            self_user_info: Info {
                user_full_info: FullUserInfoBody(&self.info),
                user_rule: UserRuleBody::of(self.privacy),
                user_status: Status {
                    user_id: id,
                    online_status: ONLINE,
                    online_platforms: &self.platforms,
                    custom_status: "",
                    custom_status_expired_time: 0,
                    last_update_time: self.online_since_ms,
                    last_online_status_update_time: self.online_since_ms,
                    last_custom_status_update_time: 0,
                },
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
    user_rule: UserRuleBody,
    user_status: Status<'a>,
}

/// A caller is online: the call is a sign of life.
const ONLINE: u8 = 0;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the contract")]
struct Status<'a> {
    #[serde(rename = "userID")]
    user_id: &'a str,
    online_status: u8,
    online_platforms: &'a [u8],
    custom_status: &'a str,
    custom_status_expired_time: u64,
    last_update_time: u64,
    last_online_status_update_time: u64,
    last_custom_status_update_time: u64,
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
        Call { cell, .. }: Call<'_, S, B>,
    ) -> Result<SelfInfo, CallError> {
        let user = cell.lock();
        let sessions = &user.account.sessions;
        let mut platforms: Vec<u8> = sessions.iter().map(platform).collect();
        platforms.sort_unstable();
        platforms.dedup();
        Ok(SelfInfo {
            info: user.account.info(&user.id),
            privacy: user.account.privacy,
            platforms,
            online_since_ms: sessions.last().map_or(0, |session| session.since_ms),
        })
    }
}

/// The SDK's number of a session's platform: by its name or its number.
fn platform(Session { platform, .. }: &Session) -> u8 {
    match platform.to_ascii_lowercase().as_str() {
        "win" | "windows" | "1" => 1,
        "iphoneos" | "ios" | "2" => 2,
        "android" | "3" => 3,
        "macos" | "4" => 4,
        "linux" | "5" => 5,
        "web" | "6" => 6,
        "miniprogram" | "7" => 7,
        "ipados" | "9" => 9,
        "ohos" | "10" => 10,
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_the_numbers_of_the_sdk() {
        let number = |platform: &str| {
            super::platform(&Session {
                id: String::new(),
                since_ms: 0,
                platform: platform.to_owned(),
                device_id: String::new(),
                encoding: None,
            })
        };
        assert_eq!(["iOS", "Web", "10", "macOS"].map(number), [2, 6, 10, 4]);
        assert_eq!(["", "8", "toaster"].map(number), [32; 3]);
    }
}
