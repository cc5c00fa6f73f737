//! `update_user_avatar_url`: sets the URL of the caller's avatar.

use schemars::JsonSchema;
use serde::Deserialize;

use super::profile;
use super::update_user_name::UpdateUserName;
use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::limits::AVATAR_URL_MAX_BYTES;
use peerd_core::profile::ProfileChange;
use peerd_protocol::api::UpdatedAvatarUrl;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::Line;

/// Sets the URL of the caller's avatar.
pub struct UpdateUserAvatarUrl;

/// The URL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The URL. Empty takes the present one away.
    pub user_avatar_url: Line<AVATAR_URL_MAX_BYTES>,
}

impl Command for UpdateUserAvatarUrl {
    const NAME: &'static str = "update_user_avatar_url";
    const SUMMARY: &'static str = "Sets the URL of the caller's avatar.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"userAvatarUrl":"https://example.com/alice.png"}"#];
    type Request = Request;
    type Reply = UpdatedAvatarUrl;

    async fn run<S: Store, B: Bus>(
        Request { user_avatar_url: Line(url) }: Request,
        call: Call<'_, S, B>,
    ) -> Result<UpdatedAvatarUrl, CallError> {
        let change = ProfileChange::AvatarUrl(url.clone());
        if profile::change(&change, &call).await? {
            profile::show::<UpdateUserName, S, B>(call).await;
        }
        Ok(UpdatedAvatarUrl { user_avatar_url: url })
    }
}
