//! The daemon at work: users and their state, calls and their flow, start and stop.
//!
//! An instance is composed of parts (`parts.rs`). Each is a struct with one job and its own state,
//! and holds references to the parts that it uses
//! ([0034](../docs/decisions/0034-an-instance-is-made-of-parts.md)).
//!
//! # Locks
//!
//! Three locks order what happens to a user (`users/ownership/cell.rs`,
//! [0001](../docs/decisions/0001-a-call-is-a-task-a-user-is-a-lock.md)):
//!
//! | lock | kind | held for | orders |
//! | --- | --- | --- | --- |
//! | state lock | plain mutex | a decision and its events; never across an await | everything in memory |
//! | entry lock | async mutex | a load, or a change of the user's own entries with its writes | the entries of the user: account, conversations, deletions, blocks |
//! | pair lock | async mutex for each sender | one message from its plan to its acknowledgement, or until its outcome is known | the messages of a pair, each of which builds on the one before |
//!
//! - The entry lock does not stop messages: they are taken in while a change waits for the store.
//! - A task that holds a pair lock waits for no entry lock. Loads and the first contact come before
//!   the pair lock is taken.
//! - Two state locks are never held at once: the receiver's is released before the sender's is
//!   taken.
//! - A send between two users in memory locks each state twice: before the append and after it.
//! - A panic in a call is caught at the call. A state that was locked during a panic is loaded
//!   again.
//!
//! Everything of a partition belongs to its `Ownership`: users, clock, gap trackers. A user's cell
//! has a reference to its ownership, so a task that continues after the ownership ended finds that
//! it may not act. Work in progress holds a `Work` of the ownership, which closes when it takes no
//! new work and all work is done, and ends at once when the lease is lost.
//!
//! | shared state | kind | use |
//! | --- | --- | --- |
//! | the ownerships, one slot for each partition | read-write lock | held to look one up or to set it |
//! | an ownership's users, latest messages, gap trackers | plain mutexes | leaves: no other lock is taken inside |
//! | messages in flight (`crossing.rs`) | plain mutex | a leaf; an order key is drawn and noted inside |
//! | the outgoing queue (`bus/sender.rs`), waiting appends (`store/jetstream/acks.rs`) | plain mutexes | only the lock of the write buffer is taken inside |
//! | the routing table | read-write lock, and a notification for waiting tasks | written by the membership manager only |
//! | the subscriptions of partitions | async mutex | held while one is made or ended |
//! | the page cache | plain mutex | a leaf |
//! | the cursors of one place of the page cache | async mutex | held while pages are read ahead; the next page waits for that, for a quarter of a call's time |
//! | the ends of all logs | async mutex | one task reads them for all partitions that are opened together |
//!
//! # Tasks
//!
//! | task | number | ends |
//! | --- | --- | --- |
//! | call, or request of another instance | one each, at most `calls_under_way` of either kind. None for a send between two users in memory and for a forwarded call, one for a relayed call | with its reply; a login with its replay |
//! | after a call | push hand-off, storing a last-seen time, resolving an outcome, asking a sender's owner to follow the log (up to 4,096) | by itself; the stop waits for it |
//! | reading a history ahead | up to 16 | by itself; the stop waits for it |
//! | audit | one, unless `audit.reads_per_second` is 0 | when the stop begins |
//! | ageing | one, if messages age | when the stop begins |
//! | status of followed users: publishes its changes, renews subscriptions | one | when the stop begins |
//! | redelivery | one for all partitions of dead owners that were claimed within 200 ms | when everything is published |
//! | waiting for late writes | one for each of those partitions | when the log was checked twice, after a minute at most |
//! | membership manager | one | when the instance has left and no call waits for an owner, or with the process |
//! | heartbeat | one for each membership | with the membership, or when the lease is lost |
//! | jobs of the membership manager | up to 16 claims and 8 hand-overs, evictions, one probe of each member, one check of the store | by themselves; dropped with the membership |
//! | probe answers | one | with the connection |
//! | writer task: gives queued messages to the connection, in order | one | when the bus is dropped and the queue is empty |
//! | appends | two: one ends waits when the connection is lost, one finds overdue appends | with the store |
//! | service discovery | one | with the signal to stop |
//! | stream monitor | one | at the end of the stop |
//! | looks at the instance | one, if `http.listen` is set | with the process |
//! | async-nats | one, for the store's connection | with the connection |
//! | data plane | one: reads and handles messages, writes, reconnects | with the last handle of the connection |
//!
//! A call is taken only while the outgoing queue has room for everything that the calls in progress
//! may send ([0007](../docs/decisions/0007-one-queue-for-outgoing-messages.md),
//! [0017](../docs/decisions/0017-calls-are-taken-or-refused-at-once.md)).

pub mod commands;
pub mod connect;
pub mod daemon;
pub mod logins;
pub mod node;
pub mod payload;
pub mod permissions;

mod admission;
mod ageing;
mod agreement;
#[cfg(test)]
mod amended;
mod audit;
mod call;
mod commit;
mod conversations;
mod crossing;
mod delivery_reports;
mod env;
#[cfg(test)]
mod fake;
mod handing_off;
mod health;
mod history;
mod hosting;
mod injected;
mod intake;
mod monitor;
mod owner_request;
mod parts;
mod patience;
mod pending;
mod permits;
mod pins;
mod presence;
mod publisher;
mod pushes;
mod received;
mod redelivery;
mod replay;
mod replies;
mod requests;
mod rights;
mod router;
mod send;
mod session;
mod stream_monitor;
mod tuning;
mod users;
