//! `update_user_extended_data`: sets data of the application about the caller.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind, profile};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::limits::USER_EXTENDED_DATA_MAX_BYTES;
use peerd_core::profile::ProfileChange;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::ShortText;
use peerd_protocol::reply::{Reply, Shown};

/// Sets application data in the caller's profile.
pub struct UpdateUserExtendedData;

/// The data.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The data. Empty takes the present one away.
    pub extended_data: ShortText<USER_EXTENDED_DATA_MAX_BYTES>,
}

/// What was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Updated {
    /// The data.
    pub extended_data: String,
}

impl Reply for Updated {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        self
    }
}

impl Command for UpdateUserExtendedData {
    const NAME: &'static str = "update_user_extended_data";
    const SUMMARY: &'static str = "Sets application data in the caller's profile.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"extendedData":"{\"mood\":1}"}"#];
    type Request = Request;
    type Reply = Updated;

    async fn run<S: Store, B: Bus>(
        Request { extended_data: ShortText(data) }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Updated, CallError> {
        profile::change(&ProfileChange::ExtendedData(data.clone()), &call).await?;
        Ok(Updated { extended_data: data })
    }
}
