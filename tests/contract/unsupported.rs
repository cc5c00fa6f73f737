//! Methods of the SDK that peerd does not offer.

use serde_json::json;

use super::world::{INVALID, NOT_LOGGED_IN, World};
use crate::support::Encoding;

const UNSUPPORTED: i64 = 6_000_013;

/// One method of each kind: groups, rooms, calls, friends, local data, the SDK's own object, and
/// planned methods.
const METHODS: [&str; 15] = [
    "create_group",
    "query_group_member_list",
    "enter_room",
    "set_room_attributes",
    "call_invite",
    "calling_invite",
    "add_friend",
    "check_friends_relation",
    "search_local_messages",
    "insert_message_to_local_db",
    "renew_token",
    "set_log_config",
    "call_experimental_api",
    "destroy",
    "set_conversation_message_destruct_duration",
];

#[tokio::test]
async fn methods_of_the_sdk_that_peerd_does_not_offer_have_a_code_of_their_own() {
    let world = World::of(&["alice"]).await;
    let mut events = world.events("alice").await;
    let writes = world.store.writes().await;
    let unsupported = || (UNSUPPORTED, "unsupported_method".to_owned());
    for method in METHODS {
        for encoding in Encoding::BOTH {
            let body = json!({ "conversationID": "bob", "conversationType": 2 });
            let reply = world.client.call_as(encoding, "alice", method, body).await;
            assert_eq!(reply.err(), unsupported(), "{method}");
        }
        // The body is not read, but the caller is checked.
        let garbage = world.client.call_raw("alice", method, None, "\u{1}garbage".into()).await;
        assert_eq!(garbage.err(), unsupported(), "{method} with garbage");
        let (code, reason) = world.refused("bob", method, json!({})).await;
        assert_eq!((code, reason.as_str()), (NOT_LOGGED_IN, "not_logged_in"), "{method}");
        let bad_user = world.client.call_raw("%61lice", method, None, "{}".into()).await;
        assert_eq!(bad_user.code, Some(INVALID), "{method} by a bad user token");
    }
    for method in ["create_groups", "createGroup", "Create_group", "create_group_", "x"] {
        let (code, reason) = world.refused("alice", method, json!({})).await;
        assert_eq!((code, reason.as_str()), (INVALID, "unknown_method"), "{method}");
    }
    events.none().await;
    assert_eq!(world.store.writes().await, writes);
}
