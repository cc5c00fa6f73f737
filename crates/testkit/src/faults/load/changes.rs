//! Changes of messages by their two users: edits, revocations, reactions and read receipts.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Own, Walker};
use crate::faults::failure::Failure;

/// How long after it was sent a message may still be revoked: less than two minutes, of which the
/// repeats of the call may take some.
const REVOKED_WITHIN: Duration = Duration::from_secs(60);

const REACTIONS: [&str; 3] = ["👍", "🎉", "thanks"];

/// A user's reaction to a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reaction {
    user: String,
    message_id: String,
    kind: &'static str,
}

impl Walker {
    /// Changes a message, or sends one if there is none to change.
    pub(super) async fn change_message(
        &mut self,
        user: String,
        other: String,
    ) -> Result<(), Failure> {
        match self.random.below(10) {
            0..4 => self.amend(user, other).await,
            4..7 => self.react(user, other).await,
            7 | 8 => self.confirm_all(&user, &other).await,
            _ => self.confirm_one(user, other).await,
        }
    }

    /// The place of a random message of `from`.
    fn pick(&mut self, from: &str) -> Option<usize> {
        let length = u64::try_from(self.own.get(from)?.len()).ok().filter(|length| *length > 0)?;
        usize::try_from(self.random.below(length)).ok()
    }

    /// Edits or revokes a message that the user sent.
    async fn amend(&mut self, user: String, other: String) -> Result<(), Failure> {
        let Some(index) = self.pick(&user) else { return self.send(user, other).await };
        let own = self.own.entry(user.clone()).or_default();
        let mut message = json!({ "messageID": own[index].message_id, "conversationID": other });
        if own[index].sent.elapsed() < REVOKED_WITHIN && self.random.percent(40) {
            own.swap_remove(index);
            return self.revoke(&user, &message).await;
        }
        self.sent += 1;
        message["type"] = json!(1);
        message["message"] = json!(format!("edited (task-{}-{})", self.index, self.sent));
        let body = json!({ "message": message, "config": {} });
        self.caller.until_done(&user, "edit_message", &body).await?;
        Ok(())
    }

    async fn revoke(&self, user: &str, message: &Value) -> Result<(), Failure> {
        let body = json!({ "message": message, "config": {} });
        self.caller.until_done_or(user, "revoke_message", &body, "message_revoked").await?;
        Ok(())
    }

    /// Adds or takes away a reaction of the user to a message of either.
    async fn react(&mut self, user: String, other: String) -> Result<(), Failure> {
        let from = if self.random.percent(50) { &user } else { &other };
        let Some(index) = self.pick(from) else { return self.send(user, other).await };
        let message_id = self.own[from][index].message_id.clone();
        let choice = usize::try_from(self.random.below(3)).unwrap_or_default();
        let message = json!({ "messageID": message_id, "conversationID": other });
        let body = json!({ "reactionType": REACTIONS[choice], "message": message });
        let reaction = Reaction { user: user.clone(), message_id, kind: REACTIONS[choice] };
        let is_there = self.reacted.remove(&reaction);
        let method = if is_there { "delete_message_reaction" } else { "add_message_reaction" };
        self.caller.until_done_or(&user, method, &body, "reaction_unchanged").await?;
        if !is_there {
            self.reacted.insert(reaction);
        }
        Ok(())
    }

    /// Confirms all messages of the other.
    async fn confirm_all(&self, user: &str, other: &str) -> Result<(), Failure> {
        let body = json!({ "conversationID": other, "conversationType": 0 });
        let method = "send_conversation_message_receipt_read";
        self.caller.until_done(user, method, &body).await?;
        Ok(())
    }

    /// Confirms one message of the other.
    async fn confirm_one(&mut self, user: String, other: String) -> Result<(), Failure> {
        let mut wanted = self.own.get(&other).into_iter().flatten().filter(|own| own.has_receipt);
        let Some(Own { message_id, .. }) = wanted.next_back() else {
            return self.send(user, other).await;
        };
        let list = json!([{ "messageID": message_id }]);
        let body = json!({ "messageList": list, "conversationID": other, "conversationType": 0 });
        self.caller.until_done(&user, "send_message_receipts_read", &body).await?;
        Ok(())
    }
}
