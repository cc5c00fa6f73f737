//! `query_blacklist`: reads a page of the block list.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::blocklist::BlockNumber;
use peerd_core::id::UserId;
use peerd_core::limits::BLOCKED_PAGE_MAX;
use peerd_core::user_info::UserInfo;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::Count;
use peerd_protocol::reply::Blacklist;

/// Reads a page of the block list.
pub struct QueryBlacklist;

/// The page to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// The first page if it is left out.
    pub config: Option<Page>,
}

/// A page of the block list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The page begins after the block with this number.
    pub next_flag: Option<u64>,
    /// The number of users. The default is the maximum.
    pub count: Option<Count<BLOCKED_PAGE_MAX>>,
}

impl Command for QueryBlacklist {
    const NAME: &'static str = "query_blacklist";
    const SUMMARY: &'static str = "Reads a page of the block list.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"config":{"nextFlag":52323942400000,"count":20}}"#];
    type Request = Request;
    type Reply = Blacklist;

    async fn run<S: Store, B: Bus>(
        Request { config }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Blacklist, CallError> {
        let Page { next_flag, count } = config.unwrap_or_default();
        let Count(count) = count.unwrap_or(Count(BLOCKED_PAGE_MAX));
        let (page, has_more) = cell.lock().blocked.page(next_flag.unwrap_or_default(), count);
        let profiles = parts.conversations.profiles(page.iter().map(|(other, _)| other), deadline);
        let mut profiles = profiles.await.map_err(Failure::from)?;
        let info = |(id, number): (UserId, BlockNumber)| {
            (UserInfo { profile: profiles.remove(&id).unwrap_or_default(), id }, number)
        };
        Ok(Blacklist { users: page.into_iter().map(info).collect(), has_more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_protocol::decode;
    use peerd_protocol::encoding::Encoding;

    #[test]
    fn the_first_page_needs_no_fields() {
        for body in ["{}", r#"{"config":{}}"#, r#"{"config":{"nextFlag":0}}"#] {
            let request = decode::request::<Request>(Encoding::Json, body.as_bytes(), 64);
            let page = request.expect("a request").config.unwrap_or_default();
            assert_eq!((page.next_flag.unwrap_or_default(), page.count), (0, None), "{body}");
        }
    }
}
