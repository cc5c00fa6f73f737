//! Users, their status and settings, and the replies with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use peerd_core::privacy::{self, Hidden};

/// A user, by the ID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserId {
    /// The ID.
    #[serde(rename = "userID")]
    pub user_id: String,
}

/// A user as others see them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    /// The ID.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// The name.
    pub user_name: String,
    /// The URL of the avatar.
    pub user_avatar_url: String,
    /// The extended data; empty in lists.
    pub user_extended_data: String,
}

/// A user with the extended data. As in the SDK, some fields are there twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserFullInfo {
    /// The user.
    pub base_info: UserInfo,
    /// The URL of the avatar.
    pub user_avatar_url: String,
    /// The extended data.
    pub extended_data: String,
}

/// The status of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    /// The user.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// Online 0, Offline 1, Logout 2.
    #[schemars(extend("enum" = [0, 1, 2]))]
    pub online_status: u8,
    /// The platforms with a session.
    pub online_platforms: Vec<u8>,
    /// The custom status.
    pub custom_status: String,
    /// When the custom status ends, in milliseconds since 1970; 0 if there is none.
    pub custom_status_expired_time: u64,
    /// The later one of the two times that follow.
    pub last_update_time: u64,
    /// When the online status last changed, in milliseconds since 1970; 0 if unknown.
    pub last_online_status_update_time: u64,
    /// When the custom status was set, in milliseconds since 1970; 0 if it never was.
    pub last_custom_status_update_time: u64,
}

/// What a user hides from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Privacy {
    /// Which messages the user has read.
    pub hide_read_receipts: bool,
    /// That the user is typing.
    pub hide_typing: bool,
    /// That the user is online.
    pub hide_online_status: bool,
}

impl Privacy {
    /// The settings with the names of the contract.
    #[must_use]
    pub const fn of(privacy: privacy::Privacy) -> Self {
        Self {
            hide_read_receipts: privacy.hides(Hidden::ReadReceipts),
            hide_typing: privacy.hides(Hidden::Typing),
            hide_online_status: privacy.hides(Hidden::OnlineStatus),
        }
    }
}

/// The rules of a user: those for pushes, which cannot be set yet, and the privacy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserRule {
    /// The rule for offline pushes.
    pub offline_push_rule: OfflinePushRule,
    /// The privacy.
    #[serde(flatten)]
    pub privacy: Privacy,
}

impl UserRule {
    /// The rules of a user with this privacy.
    #[must_use]
    pub fn of(privacy: privacy::Privacy) -> Self {
        Self { offline_push_rule: OfflinePushRule::default(), privacy: Privacy::of(privacy) }
    }
}

/// The rule for offline pushes. It cannot be set yet, so both lists are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfflinePushRule {
    /// Platforms.
    pub online_platforms: Vec<u8>,
    /// Platforms.
    pub not_to_receive_offline_push_platforms: Vec<u8>,
}

/// A user for whom a part of a call failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorUser {
    /// The user.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// The code of the error.
    pub reason: u32,
}

impl ErrorUser {
    /// A user for whom it failed with a code.
    #[must_use]
    pub fn of(user: &peerd_core::id::UserId, reason: u32) -> Self {
        Self { user_id: user.as_str().to_owned(), reason }
    }

    /// These users, for whom it failed with this code.
    #[must_use]
    pub fn all(users: &[peerd_core::id::UserId], reason: u32) -> Vec<Self> {
        users.iter().map(|id| Self::of(id, reason)).collect()
    }
}

/// The reply to a call about several users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorUsers {
    /// The users for whom it failed.
    pub error_user_list: Vec<ErrorUser>,
}

/// The reply with a page of the block list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blacklist {
    /// The users, in the order in which they were blocked.
    pub blacklist: Vec<UserInfo>,
    /// Where the next page begins; 0 if there is none.
    pub next_flag: u64,
}

/// The reply to the question whether a user is blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsBlocked {
    /// Whether the user is blocked.
    pub is_user_in_blacklist: bool,
}

/// The reply with users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Users {
    /// The users.
    pub user_list: Vec<UserFullInfo>,
    /// Those who never logged in.
    pub error_user_list: Vec<ErrorUser>,
}

/// The reply with the status of users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStatuses {
    /// The status of each user.
    pub user_status_list: Vec<UserStatus>,
    /// Those who never logged in.
    pub error_user_list: Vec<ErrorUser>,
}

/// The reply with the users whose status the caller follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusSubscriptions {
    /// The subscriptions.
    pub user_status_subscription_list: Vec<StatusSubscription>,
}

/// A subscription to the status of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusSubscription {
    /// The status.
    pub user_status: UserStatus,
    /// When the subscription ends, in milliseconds since 1970.
    pub subscribe_expired_time: u64,
}

/// The reply with all about the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfUser {
    /// The caller.
    pub self_user_info: SelfUserInfo,
}

/// A user as they see themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfUserInfo {
    /// Name, avatar and extended data.
    pub user_full_info: UserFullInfo,
    /// The rules.
    pub user_rule: UserRule,
    /// The status.
    pub user_status: UserStatus,
}

/// The reply to a change of the name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatedName {
    /// The name.
    pub user_name: String,
}

/// The reply to a change of the avatar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatedAvatarUrl {
    /// The URL.
    pub user_avatar_url: String,
}

/// The reply to a change of the extended data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatedExtendedData {
    /// The data.
    pub extended_data: String,
}

/// The reply to a change of the custom status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatedCustomStatus {
    /// The custom status.
    pub custom_status: String,
}
