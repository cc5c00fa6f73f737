//! The calls of users besides writing: reads and all other methods that do not change a
//! conversation's messages.

use serde_json::{Value, json};

use super::{caller::Caller, failure::Failure, random::Random};

/// The number of users who never log in and are blocked and unblocked.
const STRANGERS: u64 = 10;
const BASE64_WAVE: &str = "8J+Riw==";

/// Makes one such call as `user`, who has a conversation with `other`.
pub(super) async fn look(
    caller: &Caller,
    random: &mut Random,
    user: &str,
    other: &str,
) -> Result<(), Failure> {
    let conversation = json!({ "conversationID": other, "conversationType": 0 });
    let stranger = format!("stranger.{}", random.below(STRANGERS));
    let (method, body) = match random.below(12) {
        0..3 => ("query_history_message", page(&conversation, random)),
        3 => ("query_conversation_list", json!({ "config": { "count": 20 } })),
        4 => ("query_conversation", conversation),
        5 => ("query_conversation_total_unread_message_count", json!({})),
        6 => ("heartbeat", json!({})),
        7 => return log_in_and_out(caller, user).await,
        8 => ("add_users_to_blacklist", json!({ "userIDs": [stranger] })),
        9 => ("remove_users_from_blacklist", json!({ "userIDs": [stranger] })),
        10 => ("query_blacklist", json!({ "config": { "count": 20 } })),
        _ => {
            let message = json!({ "type": 2, "message": BASE64_WAVE });
            ("send_peer_message", json!({ "message": message, "toUserID": other }))
        }
    };
    caller.until_done(user, method, &body).await?;
    Ok(())
}

fn page(conversation: &Value, random: &mut Random) -> Value {
    let mut body = conversation.clone();
    body["config"] = json!({ "count": 1 + random.below(50), "reverse": random.percent(70) });
    body
}

/// Begins a further session and ends it; the user's other sessions stay.
async fn log_in_and_out(caller: &Caller, user: &str) -> Result<(), Failure> {
    let session = caller.until_done(user, "login", &json!({})).await?;
    let body = json!({ "sessionID": session["sessionID"] });
    caller.until_done(user, "logout", &body).await?;
    Ok(())
}
