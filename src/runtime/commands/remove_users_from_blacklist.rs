//! `remove_users_from_blacklist`: unblocks users.

pub use super::blacklist::{BlacklistChanged, OfUsers};
use super::{Call, Command, Kind, blacklist};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::event::BlacklistAction;
use peerd_protocol::failure::CallError;

/// Unblocks users.
pub struct RemoveUsersFromBlacklist;

impl Command for RemoveUsersFromBlacklist {
    const NAME: &'static str = "remove_users_from_blacklist";
    const SUMMARY: &'static str = "Unblocks users.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"userIDs":["bob"]}"#];
    type Request = OfUsers;
    type Reply = BlacklistChanged;

    async fn run<S: Store, B: Bus>(
        request: OfUsers,
        call: Call<'_, S, B>,
    ) -> Result<BlacklistChanged, CallError> {
        blacklist::change(request, BlacklistAction::Removed, call).await
    }
}
