//! Shared by blocking and unblocking.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Call;
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::parts::Parts;
use crate::store::Store;
use peerd_core::blocklist::{BlockChange, BlockRefusal};
use peerd_core::event::BlacklistAction;
use peerd_core::id::UserId;
use peerd_core::limits::BLOCK_BATCH_MAX;
use peerd_protocol::api::{ErrorUser, ErrorUsers};
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{List, User};
use peerd_protocol::reply::{Reply, Shown};

/// Users to block or unblock.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct OfUsers {
    /// Their IDs; duplicates count once.
    #[serde(rename = "userIDs")]
    pub user_ids: List<User, BLOCK_BATCH_MAX>,
}

/// Users were blocked or unblocked, except for these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlacklistChanged {
    /// Each user with the reason.
    pub refused: Vec<(UserId, BlockRefusal)>,
}

impl Reply for BlacklistChanged {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        let of = |(user, why): &(UserId, BlockRefusal)| ErrorUser::of(user, *why as u32);
        ErrorUsers { error_user_list: self.refused.iter().map(of).collect() }
    }
}

/// Blocks the users or unblocks them.
pub(super) async fn change<S: Store, B: Bus>(
    request: OfUsers,
    action: BlacklistAction,
    Call { parts: Parts { entries, .. }, cell, deadline, .. }: Call<'_, S, B>,
) -> Result<BlacklistChanged, CallError> {
    let others: Vec<UserId> = request.user_ids.each_once().into_iter().map(|User(id)| id).collect();
    let mut reply = BlacklistChanged::default();
    entries
        .commit(cell, deadline, |user, keys| {
            let BlockChange { writes, refused } = match action {
                BlacklistAction::Added => user.blocked.block(&user.id, &others),
                BlacklistAction::Removed => user.blocked.unblock(&others),
            };
            reply.refused = refused;
            let write = |(other, expected_seq)| Write::Block {
                other,
                block: (action == BlacklistAction::Added).then(|| keys.block(user)),
                expected_seq,
            };
            let writes = writes.into_iter().map(write).collect();
            Ok(Some(Change { writes, events: Events::Blacklist(action) }))
        })
        .await?;
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_core::rejection::Rejection;
    use peerd_protocol::decode;
    use peerd_protocol::encoding::Encoding;

    fn parse(ids: &[&str]) -> Result<Vec<String>, Rejection> {
        let body = serde_json::json!({ "userIDs": ids }).to_string();
        let of: OfUsers = decode::request(Encoding::Json, body.as_bytes(), 64)?;
        let users = of.user_ids.each_once();
        Ok(users.into_iter().map(|User(id)| id.as_str().to_owned()).collect())
    }

    #[test]
    fn users_are_up_to_twenty_each_once() {
        assert_eq!(parse(&["b", "a", "b"]), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(parse(&["x"; 20]).is_ok());
        assert!(parse(&["x"; 21]).is_err());
    }
}
