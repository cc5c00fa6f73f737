//! Tests of the connection against real nats-servers: credentials, messages, and failures. The
//! server is that of peerd's own tests.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "server/conformance.rs"]
mod conformance;
#[path = "server/credentials.rs"]
mod credentials;
#[path = "server/faults.rs"]
mod faults;
#[path = "server/shipped.rs"]
mod shipped;
#[path = "server/support.rs"]
mod support;
#[path = "server/tls.rs"]
mod tls;

use peerd_testkit as nats;
