//! Every tuning constant of the runtime, with its unit and its reason. A `Duration` has its unit in
//! its type. The assertions relate constants that must be chosen together.

use std::time::Duration;

use peerd_core::limits::PAGE_MESSAGES;
use peerd_protocol::failure::Failure;

// Start and stop.

/// How long starting may take once NATS is connected.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stop waits for a lost connection.
pub(super) const STOP_DISCONNECTED_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a stop may take before any call was served.
pub(super) const STOP_UNSERVED_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout of one attempt for each address.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval of PINGs. A connection that is silent for twice as long is closed and made again.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The first pause between two attempts; each pause is twice as long as the one before.
pub(super) const START_PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause between two attempts.
pub(super) const START_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a refusal by the server is retried: the server may be about to learn of this user, its
/// account or a certificate.
pub(super) const START_REFUSED_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the log repeats the same problem.
pub(super) const LOG_PROBLEM_EVERY: Duration = Duration::from_secs(10);
/// How often the log reports another problem than before, where problems alternate.
pub(super) const LOG_OTHER_PROBLEM_EVERY: Duration = Duration::from_secs(2);
/// How often the log reports dropped messages.
pub(super) const LOG_DROPPED_EVERY: Duration = Duration::from_secs(1);
/// How often the log names one missing permission.
pub(super) const LOG_REFUSED_EVERY: Duration = Duration::from_secs(600);
/// How often the log reports that there is still no connection.
pub(super) const LOG_WAITING_EVERY: Duration = Duration::from_secs(10);
/// The number of distinct violations that are tracked.
pub(super) const VIOLATIONS_TRACKED_MAX: usize = 64;
/// How often the instance looks at itself for its metrics and its health.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long no look may succeed before the instance counts as stuck: longer than a machine without
/// a free processor needs, and shorter than the watchdog of the systemd unit waits.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(20);
/// How long the server may take to answer a question about the permissions of peerd.
pub(super) const RIGHTS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the store may take to list the members.
pub(super) const MEMBERS_LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long creating and comparing all streams may take.
pub(super) const PROVISION_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the streams in trouble, and those that no call would miss soon, are checked.
pub(super) const STREAM_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a stream may take to report its state.
pub(super) const STREAM_STATE_TIMEOUT: Duration = Duration::from_secs(2);
/// How many other streams each of these checks adds, in turn, to see whether their configuration
/// still matches.
pub(super) const STREAMS_PER_CHECK: usize = 8;
/// Streams that are checked concurrently.
pub(super) const STREAM_CHECKS_CONCURRENT: usize = 8;
/// The pause between two checks of the same suspects.
pub(super) const SUSPECT_PAUSE: Duration = Duration::from_millis(250);
/// How long no stream may answer before JetStream as a whole counts as unavailable: longer than a
/// cluster takes to elect leaders.
pub(super) const JETSTREAM_SILENT_MAX: Duration = Duration::from_secs(10);
/// The most store troubles reported in the statistics.
pub(super) const TROUBLES_REPORTED_MAX: usize = 32;

// Admission.

/// When a caller may retry who was refused because of too many calls in progress.
pub(super) const OVERLOADED_RETRY_MS: u64 = 100;
/// When a caller may retry whose partition has no owner.
const NO_OWNER_RETRY_MS: u64 = 1000;
/// The failure of a call whose partition had no owner in time.
pub(super) const NO_OWNER: Failure = Failure::NoOwner { retry_after_ms: NO_OWNER_RETRY_MS };
/// The most messages that one call sends while state is locked: events to both sides and the reply.
pub const MESSAGES_PER_CALL: usize = 8;
/// Room in the outgoing queue beyond what the calls in progress may need: for refusals and replays.
pub const ROOM_BEYOND_CALLS: usize = 4096;
/// How often a call is forwarded at most: while a partition changes hands, the former and the next
/// owner may both forward for a moment.
pub(super) const HOPS_MAX: u8 = 32;
/// The longest reply subject, far beyond those of client libraries.
pub(super) const REPLY_SUBJECT_BYTES_MAX: usize = 512;
/// The longest name of a method.
pub(super) const METHOD_BYTES_MAX: usize = 64;
/// The wait before another attempt after the server reported no responders.
pub(super) const RELAY_RETRY_DELAY: Duration = Duration::from_millis(20);
/// One in this many calls in progress may wait for an owner.
pub(super) const WAITING_SHARE: usize = 4;
/// Settle requests that may be in progress for each permitted call: those of several instances may
/// arrive together.
pub(super) const SETTLING_SHARE: usize = 4;
/// A larger body is decoded in a task of its own, since all other messages wait meanwhile.
pub(super) const INLINE_BODY_BYTES_MAX: usize = 4096;
/// The average wait for a processor above which the limit falls.
pub(super) const ADMISSION_WAIT_MAX_US: u64 = 20_000;
/// How long waits are sampled before the limit is adjusted.
pub(super) const ADMISSION_WINDOW_US: u64 = 50_000;
/// The smallest number of waits that is a meaningful sample.
pub(super) const ADMISSION_WAITS_MIN: u64 = 64;
/// After this long without an adjustment, the limit returns to its maximum.
pub(super) const ADMISSION_FORGOTTEN_US: u64 = 1_000_000;
/// The lowest limit: enough to keep every processor busy.
pub(super) const ADMITTED_MIN: usize = 128;
/// The limit falls and rises by one part in this many.
pub(super) const ADMISSION_STEP: usize = 8;

// Requests between owners.

/// The time without an answer after which an inquiry is sent, and the interval of further ones.
pub(super) const INQUIRE_EVERY: Duration = Duration::from_millis(250);
/// The wait before a request that reached no owner is sent again.
pub(super) const OWNER_REQUEST_RETRY_DELAY: Duration = Duration::from_millis(20);
/// The wait before a stored change is shown to the other user again, after that user's owner could
/// not do it.
pub(super) const SHOW_RETRY_DELAY: Duration = Duration::from_millis(250);
/// The most requests that are remembered.
pub(super) const REQUESTS_KEPT_MAX: usize = 1 << 16;
/// How long they are remembered: far longer than a sender's owner inquires.
pub(super) const REQUESTS_KEPT_FOR: Duration = Duration::from_secs(60);

// Partitions.

/// How long opening a partition may take.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long storing the users' last-seen times may take before a partition is closed.
pub(super) const LAST_SEEN_TIMEOUT: Duration = Duration::from_secs(1);
/// Entries that are written concurrently before a partition is closed.
pub(super) const CLOSE_WRITES_CONCURRENT: usize = 64;
/// The newest records of a partition; the newest order key is certainly among them.
pub(super) const KEYS_IN_FLIGHT_MAX: u64 = 256;
/// Partitions that are checked concurrently in one look around.
pub(super) const GAP_LOOKS_CONCURRENT: usize = 64;
/// Records that one read requests for one gap.
pub(super) const GAP_RECORDS_PER_READ: usize = 256;
/// How long a foreign write may stay undetected: two looks around.
pub(super) const FOREIGN_WRITE_LATE_MS: u64 = 2000;
/// Consecutive probes that a member must leave unanswered before it counts as silent.
pub(super) const PROBES_UNANSWERED: u32 = 5;
/// How long the server may take to answer a round trip on the connection.
pub(super) const PULSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long partitions of the same owner are gathered, so that the logs are read once for all.
pub(super) const REDELIVERY_GATHER_DELAY: Duration = Duration::from_millis(200);
/// How much earlier reading begins: an owner's estimate of the server's clock is off by at most a
/// message's transit time, as are the clocks of a cluster's servers.
pub(super) const SERVER_CLOCK_SLACK_MS: u64 = 200;
/// Records read at once.
pub(super) const REDELIVERY_RECORDS_PER_READ: usize = 256;
/// The most messages that are redelivered after one death. A client that misses others sees the gap
/// in the revisions, or reads them after the next login.
pub(super) const REDELIVERED_MESSAGES_MAX: usize = 100_000;
/// The greatest age of a message that is redelivered.
pub(super) const REDELIVERED_AGE_MAX_MS: u64 = 10 * 60 * 1000;
/// The wait after a failed read of what is to be redelivered.
pub(super) const REDELIVERY_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long after a take-over the log is expected to be checked for late writes of the previous
/// owner. Beyond that, the time up to which all events were published moves on.
pub(super) const LATE_WRITE_CHECK_TIMEOUT: Duration = Duration::from_secs(60);

// Users in memory.

/// How long after its connection was lost, or its answer was given up, a write may still be stored:
/// the server may have it in a queue.
pub(super) const LATE_WRITE_MAX: Duration = Duration::from_secs(2);
/// How long a sent Command counts against the rate limit.
pub(super) const COMMAND_RATE_SPAN: Duration = Duration::from_secs(1);
/// Users that the sweep examines for each user that is added.
pub(super) const SWEEP_USERS_PER_ADD: usize = 16;
/// Recent messages of a partition that are kept in case messages in the other direction cross them.
pub(super) const CROSSING_MESSAGES_KEPT: usize = 256;
/// The greatest difference between the clocks of two machines of peerd.
pub(super) const PEER_CLOCK_SLACK_MS: u64 = 2000;
/// The most messages of one pair that are read to know a sender's last second.
pub(super) const RATE_RECALL_MESSAGES_MAX: usize = 1024;
/// Messages that one look reads: if the oldest unread one is among them, the next look is when that
/// one ages out.
pub(super) const OLDEST_LOOK_MESSAGES: usize = 16;
/// Messages that one read requests if all remaining ones are counted.
pub(super) const OLDEST_BATCH_MESSAGES: usize = 256;
/// Conversations that are examined concurrently.
pub(super) const OLDEST_CONCURRENT_MAX: usize = 16;
/// The most passes over due conversations: others may become due meanwhile.
pub(super) const OLDEST_PASSES_MAX: usize = 4;
/// Pages of deletions that one read requests.
pub(super) const DELETION_PAGES_PER_READ: usize = 256;
/// How long reading pages of deletions may take.
pub(super) const DELETION_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How often idle users in memory are checked.
pub(super) const AGEING_INTERVAL: Duration = Duration::from_millis(500);
/// How long a revision that no order key shows may be published without being stored.
pub(super) const REVISION_LAG_MAX: Duration = Duration::from_millis(20);
/// The wait before another attempt to store it.
pub(super) const REVISION_RETRY_DELAY: Duration = Duration::from_millis(200);

// Sends and changes.

/// The most senders whose owners are concurrently requested to follow the log.
pub(super) const NOTICES_MAX: usize = 4096;
/// The most decisions for one send, if the log has moved on or more must be read for it.
pub(super) const DECISIONS_MAX: usize = 8;
/// The share of a call's time that a message must have left when it gets the pair lock.
pub(super) const PAIR_LOCK_RESERVE_SHARE: u32 = 4;
/// The longest wait between two reads of the log, or between two requests to the sender's owner.
pub(super) const FOLLOW_RETRY_MAX: Duration = Duration::from_secs(1);
/// How long the owner of a sender is notified: far longer than a partition lacks an owner after a
/// death.
pub(super) const NOTIFY_SENDER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most requests to the owner of a sender.
pub(super) const NOTIFY_SENDER_TRIES_MAX: u32 = 100;
/// How long an instance that stops keeps trying.
pub(super) const NOTIFY_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How much earlier than by peerd's clock the log is read back, in case the server's clock lags.
pub(super) const REPEAT_CLOCK_SLACK_MS: u64 = 2000;
/// Records read at once when the log is read back.
pub(super) const READ_BACK_RECORDS: usize = 256;
/// The wait for an answer before the request is repeated, since it may be lost.
pub(super) const SETTLE_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait before another request to an owner that could not answer.
pub(super) const SETTLE_RETRY_DELAY: Duration = Duration::from_millis(10);
/// Records read at once.
pub(super) const CATCH_UP_RECORDS_PER_READ: usize = 64;
/// How much earlier than the first attempt of the sender's owner the log is searched for a message.
pub(super) const CATCH_UP_SLACK_MS: u64 = 30_000;
/// The wait between attempts while the store does not answer.
pub(super) const CATCH_UP_RETRY_DELAY: Duration = Duration::from_millis(200);
/// The time limit of one attempt.
pub(super) const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// Entries that one change writes concurrently.
pub(super) const CHANGE_WRITES_CONCURRENT: usize = 32;
/// The most reads of a conversation's preview if messages arrive meanwhile.
pub(super) const PREVIEW_TRIES_MAX: usize = 16;
/// Conversations whose newest messages are read concurrently before all messages are deleted.
pub(super) const DELETE_ALL_READS_CONCURRENT: usize = 256;
/// The most checks for remaining steps of a removal: a message may arrive between two steps.
pub(super) const REMOVAL_LOOKS_MAX: usize = 8;
/// How long a change of the profile waits until the other users have their events. A name that an
/// owner does not take in time is shown with the next message or read.
pub(super) const PROFILE_SHOW_TIMEOUT: Duration = Duration::from_secs(1);
/// Users who receive the event about another user's profile at the same time.
pub(super) const PROFILE_SHOWN_CONCURRENT: usize = 16;
/// Originals of replies that are read at the same time.
pub(super) const ORIGINALS_CONCURRENT_MAX: usize = 16;
/// Pages of each direction that are searched for the replies to a message.
pub(super) const REPLIED_PAGES_READ_MAX: usize = 16;
/// Reads of each direction for a page of the replies of a tree.
pub(super) const TREE_READS_MAX: usize = 16;
/// How long the answer to a reply waits until the number of replies is published.
pub(super) const COUNT_WAIT_MAX: Duration = Duration::from_millis(100);
/// Replies that are counted at the same time, at most; further ones are counted when they are read.
pub(super) const COUNTS_MAX: usize = 1024;
/// Conversations whose newest message is searched page by page concurrently.
pub(super) const PREVIEWS_CONCURRENT_MAX: usize = 16;

/// Requests about the status of users that are made at the same time.
pub(super) const STATUS_REQUESTS_CONCURRENT: usize = 16;
/// How often changes of the status of users are shown to those who follow them.
pub(super) const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// How often the owner of a follower renews its watches.
pub(super) const STATUS_RENEW_INTERVAL: Duration = Duration::from_secs(20);
/// How soon a watch is renewed that could not be.
pub(super) const STATUS_RENEW_RETRY: Duration = Duration::from_secs(2);
/// How long a watch lasts without being renewed.
pub(super) const STATUS_LEASE: Duration = Duration::from_secs(60);
/// The time limit of a request that shows or renews.
pub(super) const STATUS_SHOW_TIMEOUT: Duration = Duration::from_secs(2);
/// About how many changes, and renewals, one round of a partition sends. The next one sends more.
pub(super) const STATUS_DUE_MAX: usize = 4096;

// Events and pushes.

/// The most conversations in one event.
pub(super) const CHANGES_PER_EVENT: usize = 64;
/// The most bytes of content in one event: JSON's escapes can make six of each, which is still
/// below the usual `max_payload` of a server.
pub(super) const CHANGE_BYTES_PER_EVENT: usize = 128 * 1024;
/// How long handing over a push is retried.
pub(super) const PUSH_DEADLINE: Duration = Duration::from_secs(30);
/// The most pushes that are being handed over at a time. Where the work queue accepts none, further
/// ones are dropped: an offline push is a convenience, the message is stored.
pub(super) const PUSHES_IN_FLIGHT_MAX: usize = 4096;
/// How long an instance that stops keeps trying.
pub(super) const PUSH_STOP_TIMEOUT: Duration = Duration::from_secs(1);

// Histories and replay.

/// The most bytes of a reply for one byte of a message in memory: JSON's escapes make six.
pub(super) const REPLY_BYTES_PER_BYTE_MAX: usize = 8;
/// The most places at which pages are read ahead concurrently.
pub(super) const READ_AHEADS_MAX: usize = 16;
/// The share of a call's time that reading ahead, and waiting for it, may take.
pub(super) const READ_AHEAD_SHARE: u32 = 4;
/// The delay before reading ahead, so that the page itself leaves first. No person reads a page
/// faster; a program that does reads the next page itself.
pub(super) const READ_AHEAD_DELAY: Duration = Duration::from_millis(10);
/// The memory of a place besides its messages.
pub(super) const PAGE_END_BYTES: usize = 256;
/// How far the server's clock may lag behind an order key before a place must be searched.
pub(super) const HISTORY_CLOCK_SLACK_MS: u64 = 100;
/// The most measurements of the clocks' difference before a place is searched page by page.
pub(super) const SEEK_TRIES_MAX: u32 = 3;
/// Messages of one read when deleted ones are counted.
pub(super) const DELETED_MESSAGES_PER_READ: usize = 8 * PAGE_MESSAGES;
/// The most reads of one search by `messageSeq`: twice as many as halving a stream of 2^53 records
/// needs.
pub(super) const NUMBER_READS_MAX: usize = 106;
/// Pages that are read beyond the next one, whose beginning is guessed.
pub(super) const GUESSED_PAGES: usize = 2;
/// How long messages that were read and not requested stay valid: messages that were removed by
/// retention or by an operator are not shown for longer.
pub(super) const READ_AHEAD_TTL: Duration = Duration::from_secs(60);
/// The most reads of a page if messages cross while it is read.
pub(super) const HISTORY_PAGE_TRIES_MAX: usize = 4;
/// The most pages that are searched for the newest message with a read receipt.
pub(super) const UNCONFIRMED_PAGES_MAX: usize = 8;
/// The most pages that are searched for messages to be reported as delivered.
pub(super) const UNREPORTED_PAGES_MAX: usize = 4;
/// The most users at a time whose received messages are reported as delivered; those of others are
/// reported after their next calls.
pub(super) const REPORTING_USERS_MAX: usize = 1024;
/// Authors to whom one user's received messages are reported at the same time.
pub(super) const REPORTS_CONCURRENT: usize = 8;
/// The wait before messages are reported again, if their author's owner does not know yet that they
/// are stored.
pub(super) const REPORT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// How long a replay may take, in call deadlines.
pub(super) const REPLAY_DEADLINES: u32 = 4;
/// Records read at once.
pub(super) const REPLAY_RECORDS_PER_READ: usize = 256;
/// The most messages of one event.
pub(super) const REPLAY_MESSAGES_PER_EVENT: usize = 50;
/// The most bytes of content in one event: far below the smallest sensible `max_payload`.
pub(super) const REPLAY_BYTES_PER_EVENT: usize = 128 * 1024;
/// How much earlier than by peerd's clock reading begins, in case the server's clock lags.
pub(super) const REPLAY_CLOCK_SLACK_MS: u64 = 2000;
/// The most halvings of the time range until reading begins close enough to the newest messages.
/// Seven days halved so often are less than a millisecond.
pub(super) const REPLAY_HALVINGS_MAX: usize = 30;
/// The factor by which the search for the beginning of a replay reaches further back each time.
pub(super) const REPLAY_REACH_FACTOR: u64 = 16;

// Audit.

/// Messages that one read requests.
pub(super) const AUDIT_MESSAGES_PER_READ: usize = 256;
/// Accounts that one read requests.
pub(super) const AUDIT_ACCOUNTS_PER_READ: usize = 16;
/// How long one read may take.
pub(super) const AUDIT_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after a call's deadline a difference that may be work in progress is checked again.
/// This is longer than a write can be late, and longer than it takes to notice a foreign write or a
/// message that another owner stored without answering.
pub(super) const AUDIT_CONFIRM_DELAY: Duration = Duration::from_secs(LATE_WRITE_MAX.as_secs() + 3);
/// The most checks of one difference.
pub(super) const AUDIT_CHECKS_MAX: usize = 4;
/// The pause between rounds, and if nothing is owned or the store does not answer.
pub(super) const AUDIT_IDLE_PAUSE: Duration = Duration::from_secs(1);
/// The audit waits while more than one in this many permits for calls is taken.
pub(super) const AUDIT_BUSY_SHARE: usize = 16;
/// How often the waiting audit checks whether the load has fallen.
pub(super) const AUDIT_BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Records that one read requests when it looks for a missing place.
pub(super) const LOST_RECORDS_PER_READ: usize = 256;
/// The most reads that look for a missing place.
pub(super) const LOST_READS_MAX: usize = 64;

// Relations.

/// The usual `max_payload` of a nats-server, which an event must not exceed if JSON escapes all of
/// it.
const MAX_PAYLOAD_USUAL_BYTES: usize = 1024 * 1024;
/// The most bytes of one byte in JSON.
const JSON_ESCAPED: usize = 6;

const _: () = {
    assert!(CHANGE_BYTES_PER_EVENT * JSON_ESCAPED < MAX_PAYLOAD_USUAL_BYTES);
    assert!(REPLAY_BYTES_PER_EVENT * JSON_ESCAPED < MAX_PAYLOAD_USUAL_BYTES);
    // A start has time for the streams, and a stop gives up before the next start would.
    assert!(PROVISION_TIMEOUT.as_millis() <= START_TIMEOUT.as_millis());
    assert!(START_PAUSE_MIN.as_millis() < START_PAUSE_MAX.as_millis());
    assert!(START_PAUSE_MAX.as_millis() < START_REFUSED_TIMEOUT.as_millis());
    // One check ends before the next one begins, and several fail before JetStream counts as gone.
    assert!(STREAM_STATE_TIMEOUT.as_millis() < STREAM_CHECK_INTERVAL.as_millis());
    assert!(STREAM_CHECK_INTERVAL.as_millis() < JETSTREAM_SILENT_MAX.as_millis());
    // A deadline leaves room for several attempts.
    assert!(PULSE_TIMEOUT.as_millis() < OPEN_TIMEOUT.as_millis());
    assert!(OWNER_REQUEST_RETRY_DELAY.as_millis() < INQUIRE_EVERY.as_millis());
    assert!(10 * SETTLE_RETRY_DELAY.as_millis() <= SETTLE_ANSWER_TIMEOUT.as_millis());
    assert!(10 * CATCH_UP_RETRY_DELAY.as_millis() <= CATCH_UP_TIMEOUT.as_millis());
    assert!(PUSH_STOP_TIMEOUT.as_millis() < PUSH_DEADLINE.as_millis());
    // The attempts of a notice do not run out before its time does.
    assert!(
        NOTIFY_SENDER_TRIES_MAX as u128 * FOLLOW_RETRY_MAX.as_millis()
            >= NOTIFY_SENDER_TIMEOUT.as_millis()
    );
    assert!(NOTIFY_STOP_TIMEOUT.as_millis() < NOTIFY_SENDER_TIMEOUT.as_millis());
    // A request is remembered for as long as its sender may inquire.
    assert!(REQUESTS_KEPT_FOR.as_millis() > 100 * INQUIRE_EVERY.as_millis());
    // A watch outlives a renewal that failed.
    assert!(STATUS_LEASE.as_millis() > 2 * STATUS_RENEW_INTERVAL.as_millis());
    assert!(STATUS_RENEW_RETRY.as_millis() < STATUS_RENEW_INTERVAL.as_millis());
    // Late writes are known before anything is concluded from their absence.
    assert!(FOREIGN_WRITE_LATE_MS as u128 >= LATE_WRITE_MAX.as_millis());
    assert!(AUDIT_CONFIRM_DELAY.as_millis() > LATE_WRITE_MAX.as_millis());
    assert!(AUDIT_CONFIRM_DELAY.as_millis() > FOREIGN_WRITE_LATE_MS as u128);
    assert!(LATE_WRITE_CHECK_TIMEOUT.as_millis() > LATE_WRITE_MAX.as_millis());
    // A replay begins early enough for the clocks of two machines.
    assert!(REPLAY_CLOCK_SLACK_MS >= PEER_CLOCK_SLACK_MS);
    assert!(REPEAT_CLOCK_SLACK_MS >= PEER_CLOCK_SLACK_MS);
    // The admission limit can fall, and recovers only after several samples.
    assert!(ADMITTED_MIN > ADMISSION_STEP);
    assert!(ADMISSION_FORGOTTEN_US > 10 * ADMISSION_WINDOW_US);
    assert!(ADMISSION_WINDOW_US > ADMISSION_WAIT_MAX_US);
};
