//! Every limit of the protocol in one place.

/// The largest number: every JSON reader holds the numbers of the protocol exactly.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;
/// The deepest nesting of a body, in values. Four nested Combine messages with a Multiple inside
/// need 13.
pub const BODY_DEPTH_MAX: usize = 24;
/// The most values of a body, so that a small body cannot become a large tree.
pub const BODY_VALUES_MAX: usize = 20_000;
/// The most partitions that a deployment can have: a message ID keeps ten bits for its partition.
pub const PARTITIONS_MAX: u16 = 1024;
/// Longest user ID that any configuration allows, in bytes. A stored ID may be this long.
pub const USER_ID_MAX_BYTES: usize = 128;
/// Longest local message ID, in bytes.
pub const LOCAL_MESSAGE_ID_MAX_BYTES: usize = 64;
/// The most items of a Multiple message.
pub const MULTIPLE_ITEMS_MAX: usize = 20;
/// The most messages inside a Combine message.
pub const COMBINE_MESSAGES_MAX: usize = 300;
/// Deepest nesting of Combine messages in each other.
pub const COMBINE_DEPTH_MAX: usize = 4;
/// Longest `extendedData`, in bytes.
pub const EXTENDED_DATA_MAX_BYTES: usize = 1024;
/// Longest `revokeExtendedData`, in bytes.
pub const REVOKE_EXTENDED_DATA_MAX_BYTES: usize = 200;
/// How long after it was sent a message may be edited, in milliseconds.
pub const EDIT_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;
/// How long after it was sent a message may get reactions, in milliseconds.
pub const REACTION_WINDOW_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Longest type of a reaction, in bytes.
pub const REACTION_TYPE_MAX_BYTES: usize = 32;
/// The most types of reactions to one message.
pub const REACTION_TYPES_MAX: usize = 100;
/// The most reactions of one user with one type to one message.
pub const REACTION_COUNT_MAX: u64 = 1_000_000;
/// The most pinned messages of one conversation.
pub const PINNED_MESSAGES_MAX: usize = 10;
/// The most users of one page of those who reacted.
pub const REACTION_USERS_MAX: usize = 100;
/// The most replies that an event about a change of their originals shows: the newest.
pub const REPLIES_SHOWN_MAX: usize = 100;
/// The most replies of one page of a tree.
pub const REPLIED_LIST_MAX: usize = 100;
/// Longest `searchedContent` of a Custom message, in bytes.
pub const SEARCHED_CONTENT_MAX_BYTES: usize = 64;
/// Largest `subType` of a Custom message.
pub const SUB_TYPE_MAX: u8 = 200;
/// Longest `userName`, in bytes.
pub const USER_NAME_MAX_BYTES: usize = 256;
/// Longest `userAvatarUrl`, in bytes.
pub const AVATAR_URL_MAX_BYTES: usize = 500;
/// Longest `extendedData` of a user, in bytes.
pub const USER_EXTENDED_DATA_MAX_BYTES: usize = 2048;
/// How often a user may change the profile in any second.
pub const PROFILE_CHANGES_PER_SECOND: usize = 5;
/// How many read receipts a user may send in any second.
pub const RECEIPTS_PER_SECOND: usize = 30;
/// Messages that one call confirms as read.
pub const RECEIPTS_BATCH_MAX: usize = 10;
/// Messages whose read receipts one call queries.
pub const RECEIPTS_QUERY_MAX: usize = 100;
/// Messages of one author that one event shows as delivered.
pub const DELIVERED_BATCH_MAX: usize = 100;
/// Authors of whose messages it is remembered which ones were delivered. For further ones the log
/// is read.
pub const DELIVERED_AUTHORS_MAX: usize = 64;
/// The number of the user's newest conversations in which a new name or avatar is published.
pub const PROFILE_CONVERSATIONS_MAX: usize = 64;
/// The most users of one `query_users_info` call.
pub const USERS_INFO_MAX: usize = 10;
/// Longest custom status, in bytes.
pub const CUSTOM_STATUS_MAX_BYTES: usize = 64;
/// How long a custom status is valid unless the call says otherwise, in seconds.
pub const CUSTOM_STATUS_SECONDS: u64 = 24 * 60 * 60;
/// The longest time for which a custom status is valid, in seconds.
pub const CUSTOM_STATUS_SECONDS_MAX: u64 = 30 * CUSTOM_STATUS_SECONDS;
/// How long after a change the custom status may change again, in milliseconds.
pub const CUSTOM_STATUS_INTERVAL_MS: u64 = 1000;
/// A repeated custom status that would expire less than this later changes nothing.
pub const CUSTOM_STATUS_REPEAT_MS: u64 = 60 * 1000;
/// The same as a share of the time for which it is valid.
pub const CUSTOM_STATUS_REPEAT_SHARE: u64 = 10;
/// The most users of one call about the status of users.
pub const USERS_STATUS_MAX: usize = 100;
/// The most users whose status one user follows.
pub const SUBSCRIPTIONS_MAX: usize = 1000;
/// The longest subscription of a status, in minutes.
pub const SUBSCRIPTION_MINUTES_MAX: usize = 30 * 24 * 60;
/// The most users who follow the status of one user at a time.
pub const WATCHERS_MAX: usize = 1000;
/// How often a user may query or subscribe the status of others in any second.
pub const STATUS_QUERIES_PER_SECOND: usize = 10;
/// Longest `platform` and `deviceID` of a login, in bytes.
pub const DEVICE_MAX_BYTES: usize = 128;
/// The most messages of one history page.
pub const HISTORY_PAGE_MAX: usize = 100;
/// The most conversations of one page of the list.
pub const CONVERSATION_PAGE_MAX: usize = 1000;
/// The most conversations of one page of changes.
pub const CHANGES_PAGE_MAX: usize = 100;
/// Largest mark of a conversation; the smallest is 1.
pub const MARK_MAX: u8 = 20;
/// The most conversations that one call marks.
pub const MARK_BATCH_MAX: usize = 100;
/// The most conversations that one user may have marked at a time.
pub const MARKED_MAX: usize = 1000;
/// The most conversations that one user may have pinned at a time.
pub const PINNED_MAX: usize = 100;
/// The most conversations that one user may have muted at a time.
pub const MUTED_MAX: usize = 1000;
/// Longest draft, in bytes.
pub const DRAFT_MAX_BYTES: usize = 4096;
/// The most messages that one call reads by their `messageSeq`.
pub const MESSAGE_SEQS_MAX: usize = 10;
/// The most messages of one delete call.
pub const DELETE_BATCH_MAX: usize = 100;
/// The most users that one call blocks or unblocks.
pub const BLOCK_BATCH_MAX: usize = 20;
/// The most users that one user may have blocked at a time.
pub const BLOCKED_MAX: usize = 1000;
/// The most users of one page of the block list.
pub const BLOCKED_PAGE_MAX: usize = 100;
/// Longest text of a push configuration field, in bytes.
pub const PUSH_TEXT_MAX_BYTES: usize = 4096;
/// Messages of one subject that share page pointers: the size of a page.
pub const PAGE_MESSAGES: usize = 32;

/// The limits that the configuration sets. Times are milliseconds unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest user ID that a caller may have or name, in bytes.
    pub user_id_bytes: usize,
    /// Longest Text or Custom message, in UTF-8 bytes of its text.
    pub text_bytes: usize,
    /// Longest Command message, in bytes.
    pub command_bytes: usize,
    /// Longest Image, File, Audio or Video message, in UTF-8 bytes of its own texts.
    pub media_bytes: usize,
    /// Longest Combine or Multiple message, in bytes of the content of all parts.
    pub combine_bytes: usize,
    /// The most stored messages per sender in any second.
    pub messages_per_second: usize,
    /// The most Command messages per sender in any second.
    pub commands_per_second: usize,
    /// The most changes of stored messages per user in any second.
    pub amendments_per_second: usize,
    /// How long after it was sent a message may be revoked.
    pub revoke_window_ms: u64,
    /// How long a repeated local message ID is recognized.
    pub repeat_window_ms: u64,
    /// How far back a send with `isRetrySend` looks for its first attempt.
    pub retry_window_ms: u64,
    /// The most sessions of one user; a login beyond it kicks the earliest.
    pub max_sessions: usize,
    /// A user last seen longer ago than this is offline.
    pub offline_after_ms: u64,
    /// A session last seen longer ago than this has ended.
    pub idle_limit_ms: u64,
    /// The most messages replayed at login.
    pub replay_messages: usize,
    /// The age of the oldest message replayed at login.
    pub replay_age_ms: u64,
    /// Whether a receiver must have logged in at least once.
    pub require_known_receiver: bool,
}

impl Default for Limits {
    fn default() -> Self {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        Self {
            user_id_bytes: 64,
            text_bytes: 2 * 1024,
            command_bytes: 5 * 1024,
            media_bytes: 2 * 1024,
            combine_bytes: 32 * 1024,
            messages_per_second: 10,
            commands_per_second: 30,
            amendments_per_second: 10,
            revoke_window_ms: 2 * 60 * 1000,
            repeat_window_ms: 10 * 60 * 1000,
            retry_window_ms: DAY_MS,
            max_sessions: 10,
            offline_after_ms: 35_000,
            idle_limit_ms: DAY_MS,
            replay_messages: 1000,
            replay_age_ms: 7 * DAY_MS,
            require_known_receiver: false,
        }
    }
}
