//! `add_users_to_blacklist`: blocks users.

pub use super::blacklist::{BlacklistChanged, OfUsers};
use super::{Call, Command, Kind, blacklist};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::event::BlacklistAction;
use peerd_protocol::failure::CallError;

/// Blocks users.
pub struct AddUsersToBlacklist;

impl Command for AddUsersToBlacklist {
    const NAME: &'static str = "add_users_to_blacklist";
    const SUMMARY: &'static str = "Blocks users.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"userIDs":["carol","bob","carol"]}"#];
    type Request = OfUsers;
    type Reply = BlacklistChanged;

    async fn run<S: Store, B: Bus>(
        request: OfUsers,
        call: Call<'_, S, B>,
    ) -> Result<BlacklistChanged, CallError> {
        blacklist::change(request, BlacklistAction::Added, call).await
    }
}
