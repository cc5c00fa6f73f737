//! Users as others see them.

use serde::{Serialize, Serializer};

use peerd_core::user_info::{FullUserInfo, UserInfo};
use peerd_core::user_status::UserStatus;

/// A user: ID, name, avatar and extended data.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the contract")]
pub struct UserInfoBody<'a> {
    #[serde(rename = "userID")]
    user_id: &'a str,
    user_name: &'a str,
    user_avatar_url: &'a str,
    user_extended_data: &'a str,
}

impl<'a> UserInfoBody<'a> {
    /// A user in a list. As in the SDK, lists do not show the extended data.
    #[must_use]
    pub fn of(user: &'a UserInfo) -> Self {
        let UserInfo { id, profile } = user;
        Self {
            user_id: id.as_str(),
            user_name: &profile.name,
            user_avatar_url: profile.avatar_url.as_deref().unwrap_or_default(),
            user_extended_data: "",
        }
    }
}

/// A user with the extended data. As in the SDK, some fields are there twice.
#[derive(Clone, Copy)]
pub struct FullUserInfoBody<'a>(pub &'a FullUserInfo);

impl Serialize for FullUserInfoBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            base_info: UserInfoBody<'a>,
            user_avatar_url: &'a str,
            extended_data: &'a str,
        }
        let Self(FullUserInfo { user, extended_data }) = self;
        let base_info = UserInfoBody::of(user);
        let extended_data = extended_data.as_deref().unwrap_or_default();
        let base_info = UserInfoBody { user_extended_data: extended_data, ..base_info };
        let user_avatar_url = base_info.user_avatar_url;
        Body { base_info, user_avatar_url, extended_data }.serialize(serializer)
    }
}

/// The code for a user who never logged in.
pub const NO_SUCH_USER: u32 = 6_000_011;

/// The status of a user.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserStatusBody<'a> {
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

impl<'a> UserStatusBody<'a> {
    /// With the names of the contract.
    #[must_use]
    pub fn of(status: &'a UserStatus) -> Self {
        let UserStatus { id, online, platforms, online_since_ms, custom } = status;
        Self {
            user_id: id.as_str(),
            online_status: *online as u8,
            online_platforms: platforms,
            custom_status: &custom.text,
            custom_status_expired_time: custom.until_ms,
            last_update_time: custom.since_ms.max(*online_since_ms),
            last_online_status_update_time: *online_since_ms,
            last_custom_status_update_time: custom.since_ms,
        }
    }
}
