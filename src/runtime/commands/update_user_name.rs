//! `update_user_name`: sets the caller's name.

use schemars::JsonSchema;
use serde::Deserialize;

use super::login::UserName;
use super::profile::{self, ShownProfile};
use super::{Call, Command, Kind, Peer, WithPeer};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::profile::ProfileChange;
use peerd_protocol::api::UpdatedName;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::Line;

/// Sets the caller's name.
pub struct UpdateUserName;

/// The name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The name. Empty takes the present one away.
    pub user_name: UserName,
}

impl Command for UpdateUserName {
    const NAME: &'static str = "update_user_name";
    const SUMMARY: &'static str = "Sets the caller's name.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"userName":"Alice"}"#];
    type Request = Request;
    type Reply = UpdatedName;

    async fn run<S: Store, B: Bus>(
        Request { user_name: UserName(Line(name)) }: Request,
        call: Call<'_, S, B>,
    ) -> Result<UpdatedName, CallError> {
        let change = ProfileChange::Name(name.clone());
        if profile::change(&change, &call).await? {
            profile::show::<Self, S, B>(call).await;
        }
        Ok(UpdatedName { user_name: name })
    }
}

impl WithPeer for UpdateUserName {
    type Part = ShownProfile;
    type Answer = ();

    async fn at_peer<S: Store, B: Bus>(
        part: ShownProfile,
        peer: Peer<'_, S, B>,
    ) -> Result<(), CallError> {
        profile::show_at_peer(part, peer).await
    }
}
