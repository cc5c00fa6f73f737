//! `update_user_extended_data`: sets data of the application about the caller.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind, profile};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::limits::USER_EXTENDED_DATA_MAX_BYTES;
use peerd_core::profile::ProfileChange;
use peerd_protocol::api::UpdatedExtendedData;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::ShortText;

/// Sets application data in the caller's profile.
pub struct UpdateUserExtendedData;

/// The data.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The data. Empty takes the present one away.
    pub extended_data: ShortText<USER_EXTENDED_DATA_MAX_BYTES>,
}

impl Command for UpdateUserExtendedData {
    const NAME: &'static str = "update_user_extended_data";
    const SUMMARY: &'static str = "Sets application data in the caller's profile.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"extendedData":"{\"mood\":1}"}"#];
    type Request = Request;
    type Reply = UpdatedExtendedData;

    async fn run<S: Store, B: Bus>(
        Request { extended_data: ShortText(data) }: Request,
        call: Call<'_, S, B>,
    ) -> Result<UpdatedExtendedData, CallError> {
        profile::change(&ProfileChange::ExtendedData(data.clone()), &call).await?;
        Ok(UpdatedExtendedData { extended_data: data })
    }
}
