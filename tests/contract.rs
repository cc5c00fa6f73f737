//! Tests the daemon against its contract, `docs/protocol.md`, from outside: the real binary, a real
//! nats-server for each test, and a client written from the page alone.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the clock where it checks the daemon's"
)]

use peerd_testkit as support;

mod contract {
    pub(crate) mod world;

    mod ageing;
    mod audit;
    mod bad_input;
    mod bench;
    mod blocklist;
    mod bundle;
    mod callout;
    mod changes;
    mod config_and_cli;
    mod conversations;
    mod delete;
    mod delete_conversations;
    mod delivered;
    mod deploy;
    mod discovery;
    mod edit;
    mod forbidden;
    mod history;
    mod imports;
    mod instances;
    mod limits;
    mod login;
    mod malformed;
    mod monitoring;
    mod nats_cli;
    mod notify;
    mod observers;
    mod paging_forward;
    mod payload;
    mod permissions;
    mod pins;
    mod preferences;
    mod presence;
    mod profiles;
    mod provisioning;
    mod push;
    mod query_messages;
    #[path = "../../examples/push_gateway/queue.rs"]
    mod queue;
    mod reactions;
    mod receipts;
    mod receive;
    mod repeats;
    mod replay;
    mod replies;
    mod revoke;
    mod send;
    mod sessions;
    mod sizes;
    mod starting;
    mod status;
    mod store_trouble;
    mod subscriptions;
    mod texts;
    #[cfg(feature = "otel")]
    mod tracing;
    mod trees;
    mod typing;
    mod unread;
    mod unread_mark;
    mod unsupported;
    mod user_ids;
}
