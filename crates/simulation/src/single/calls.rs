//! The steps of a case, and the strategies that generate them.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::model::request::ListOption;
use crate::names::NAMES;
use crate::single::world::Setup;

/// The number of users that make calls: three log in at the start, one may log in. The last never
/// does.
pub(crate) const CALLERS: usize = 4;
/// The number of users that are logged in when a case begins.
pub(crate) const AT_HOME: usize = 3;

/// A step of a case.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Call {
        user: usize,
        call: Call,
    },
    Pass {
        ms: u64,
    },
    /// One user sends another `count` texts, as fast as the rate allows, for a history of many
    /// pages.
    Chat {
        from: usize,
        to: usize,
        count: usize,
    },
    /// Some seconds in which the daemon shows changes of the status of users.
    Follow,
    /// A user pins `count` messages, one after another.
    PinSeveral {
        user: usize,
        other: usize,
        count: usize,
    },
    Restart,
}

/// A message in a call.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// An index for [`content`].
    pub(crate) kind: usize,
    pub(crate) variant: usize,
    pub(crate) local: Option<usize>,
    pub(crate) extended: bool,
    /// The ID of the message that it replies to, once that is picked.
    pub(crate) original: Option<String>,
}

/// The options of a send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) not_counted: bool,
    pub(crate) receipt: bool,
    pub(crate) retry: bool,
    pub(crate) push: Option<usize>,
}

/// A call. Numbers select one of the existing messages or sessions.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Login {
        name: Option<usize>,
        device: Option<usize>,
        /// The newest message of the device: none, or a message that the user received.
        after: Option<usize>,
        /// Whether the call is encoded in `MessagePack`.
        packed: bool,
    },
    Logout {
        session: Option<usize>,
    },
    Heartbeat,
    Send {
        to: usize,
        draft: Draft,
        config: Config,
        into_conversation: bool,
    },
    History {
        other: usize,
        reverse: bool,
        count: usize,
        anchor: Option<usize>,
    },
    Delete {
        other: usize,
        picks: Vec<usize>,
        foreign: bool,
    },
    DeleteAll {
        other: usize,
    },
    List {
        count: usize,
        anchor: Option<usize>,
        with_key: bool,
        option: ListOption,
    },
    PinnedList {
        count: usize,
    },
    Conversation {
        other: usize,
    },
    Clear {
        other: usize,
        up_to: Option<usize>,
    },
    ClearAll,
    Totals,
    Mute {
        other: usize,
        mute: bool,
    },
    Block {
        others: Vec<usize>,
        block: bool,
    },
    /// The first page of the block list, or the page after the last one read.
    Blacklist {
        count: usize,
        goes_on: bool,
    },
    IsBlocked {
        other: usize,
    },
    Typing {
        other: usize,
        on: bool,
    },
    Pin {
        other: usize,
        on: bool,
    },
    Draft {
        other: usize,
        text: usize,
    },
    SetMark {
        mark: i64,
        on: bool,
        others: Vec<usize>,
    },
    /// Sets name, avatar or extended data to one of [`PROFILES`].
    Profile {
        part: usize,
        text: usize,
    },
    UsersInfo {
        others: Vec<usize>,
    },
    SelfInfo,
    Privacy {
        what: usize,
        on: bool,
    },
    /// Sets the custom status to one of [`STATUSES`].
    CustomStatus {
        text: usize,
        seconds: Option<u64>,
    },
    UsersStatus {
        others: Vec<usize>,
    },
    Follow {
        others: Vec<usize>,
        minutes: u64,
    },
    Unfollow {
        others: Vec<usize>,
    },
    Followed {
        others: Vec<usize>,
    },
    MarkUnread {
        other: usize,
        on: bool,
    },
    DeleteConversation {
        other: usize,
    },
    DeleteConversations,
    DeleteAllMessages,
    Numbered {
        other: usize,
        seqs: Vec<u64>,
        sender: Option<bool>,
    },
    Combine {
        other: usize,
        pick: usize,
    },
    /// Queries the changes since the last change of the conversation with this user.
    Changes {
        other: usize,
    },
    Revoke {
        other: usize,
        pick: usize,
    },
    Edit {
        other: usize,
        pick: usize,
        /// An index for [`content`].
        kind: usize,
        variant: usize,
    },
    ReceiptRead {
        other: usize,
    },
    Receipts {
        other: usize,
        picks: Vec<usize>,
    },
    ReceiptsRead {
        other: usize,
        picks: Vec<usize>,
    },
    Invalid {
        which: usize,
    },
    /// The kind is an index for [`REACTIONS`].
    React {
        other: usize,
        pick: usize,
        kind: usize,
        increase: u64,
    },
    Unreact {
        other: usize,
        pick: usize,
        kind: Option<usize>,
    },
    Reactors {
        other: usize,
        pick: usize,
        kind: usize,
    },
    PinMessage {
        other: usize,
        pick: usize,
        on: bool,
        replaces: bool,
    },
    PinnedMessages {
        other: usize,
    },
    Reply {
        other: usize,
        pick: usize,
        draft: Draft,
        config: Config,
    },
    RepliedList {
        other: usize,
        pick: usize,
        after: Option<usize>,
        count: usize,
    },
}

impl Call {
    /// A login without parameters.
    pub(crate) const LOGIN: Self =
        Self::Login { name: None, device: None, after: None, packed: false };
}

/// Invalid calls: method, body, and the field that the error names.
pub(crate) const INVALID: [(&str, &str, &str); 9] = [
    (
        "send_peer_message",
        r#"{"toUserID":"ghost","message":{"type":1,"message":" "}}"#,
        "message.message",
    ),
    ("send_peer_message", r#"{"toUserID":"a*","message":{"type":1,"message":"x"}}"#, "toUserID"),
    ("send_peer_message", r#"{"toUserID":"ghost","message":{"type":31}}"#, "message.type"),
    ("send_message", r#"{"toConversationID":"alice","conversationType":2}"#, "conversationType"),
    (
        "query_history_message",
        r#"{"conversationID":"alice","config":{"count":101}}"#,
        "config.count",
    ),
    ("delete_messages", r#"{"conversationID":"alice","messageList":[]}"#, "messageList"),
    ("query_blacklist", r#"{"config":{"nextFlag":"1"}}"#, "config.nextFlag"),
    (
        "query_conversation_total_unread_message_count",
        r#"{"config":{"marks":[21]}}"#,
        "config.marks[0]",
    ),
    ("heartbeat", r"{", "body"),
];

/// Durations around the limits that matter, one millisecond more or less, and random ones.
fn span() -> impl Strategy<Value = u64> {
    use crate::single::world::{IDLE_MS, OFFLINE_MS, REPEAT_MS, REPLAY_AGE_MS, RETRY_MS};
    let edges = vec![1000, OFFLINE_MS, IDLE_MS, REPEAT_MS, RETRY_MS, REPLAY_AGE_MS];
    prop_oneof![
        4 => 0..20_u64,
        4 => 100..900_u64,
        3 => (prop::sample::select(edges), 0..3_u64).prop_map(|(edge, past)| edge + past - 1),
        2 => 1000..60_000_u64,
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let kind = prop_oneof![6 => Just(0_usize), 2 => Just(1), 3 => 2..KINDS];
    let local = prop_oneof![2 => Just(None), 3 => (0..3_usize).prop_map(Some)];
    (kind, 0..2_usize, local, prop::bool::weighted(0.1)).prop_map(
        |(kind, variant, local, extended)| Draft { kind, variant, local, extended, original: None },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let flag = prop::bool::weighted;
    (flag(0.2), flag(0.3), flag(0.25), prop::option::weighted(0.5, 0..2_usize)).prop_map(
        |(not_counted, receipt, retry, push)| Config { not_counted, receipt, retry, push },
    )
}

/// The types of reactions.
pub(crate) const REACTIONS: [&str; 3] = ["\u{1f44d}", "a", "\"\\\u{e9}"];

/// The drafts that users write.
pub(crate) const DRAFTS: [&str; 3] = ["", "Dear", "Dear \u{1f600},\n"];

/// The names, avatars and extended data that users set.
pub(crate) const PROFILES: [&str; 3] = ["", "one", "B\u{e9}la \u{1f600}"];

/// The custom statuses that users set.
pub(crate) const STATUSES: [&str; 3] = ["", "busy", "B\u{e9}la \u{1f600}\nis away"];

fn option() -> impl Strategy<Value = ListOption> {
    let marks = prop_oneof![3 => Just(Vec::new()), 1 => vec(-1..4_i64, 1..3)];
    (prop::bool::weighted(0.3), prop_oneof![2 => Just(0_u8), 1 => 1..3_u8], marks)
        .prop_map(|(only_unread, pinned, marks)| ListOption { only_unread, pinned, marks })
}

fn call() -> impl Strategy<Value = Call> {
    // Two users are chosen more often, so that the calls of one affect the other.
    let other = || prop_oneof![0..2_usize, 0..NAMES.len()];
    let pick = || 0..1000_usize;
    let anchor = || prop::option::weighted(0.6, 0..1000_usize);
    let flag = prop::bool::weighted;
    prop_oneof![
        6 => (
            prop::option::of(0..3_usize),
            prop::option::weighted(0.4, 0..2_usize),
            prop::option::weighted(0.4, 0..1000_usize),
            flag(0.3),
        ).prop_map(|(name, device, after, packed)| Call::Login { name, device, after, packed }),
        1 => prop::option::weighted(0.6, 0..4_usize).prop_map(|session| Call::Logout { session }),
        1 => Just(Call::Heartbeat),
        24 => (other(), draft(), config(), flag(0.2)).prop_map(
            |(to, draft, config, into_conversation)| Call::Send {
                to, draft, config, into_conversation
            }),
        4 => (other(), any::<bool>(), 1..8_usize, anchor()).prop_map(
            |(other, reverse, count, anchor)| Call::History { other, reverse, count, anchor }),
        3 => (other(), vec(pick(), 1..5), flag(0.1)).prop_map(
            |(other, picks, foreign)| Call::Delete { other, picks, foreign }),
        1 => other().prop_map(|other| Call::DeleteAll { other }),
        3 => (1..4_usize, anchor(), any::<bool>(), option()).prop_map(
            |(count, anchor, with_key, option)| Call::List { count, anchor, with_key, option }),
        2 => other().prop_map(|other| Call::Conversation { other }),
        3 => (other(), prop::option::weighted(0.5, pick())).prop_map(
            |(other, up_to)| Call::Clear { other, up_to }),
        1 => Just(Call::ClearAll),
        1 => Just(Call::Totals),
        4 => (other(), flag(0.7)).prop_map(|(other, mute)| Call::Mute { other, mute }),
        6 => (vec(other(), 1..4), flag(0.6)).prop_map(
            |(others, block)| Call::Block { others, block }),
        5 => (1..4_usize, any::<bool>()).prop_map(
            |(count, goes_on)| Call::Blacklist { count, goes_on }),
        1 => other().prop_map(|other| Call::IsBlocked { other }),
        1 => (0..INVALID.len()).prop_map(|which| Call::Invalid { which }),
        1 => (other(), flag(0.7)).prop_map(|(other, on)| Call::Typing { other, on }),
        3 => (other(), flag(0.7)).prop_map(|(other, on)| Call::Pin { other, on }),
        1 => (1..4_usize).prop_map(|count| Call::PinnedList { count }),
        2 => (other(), 0..DRAFTS.len()).prop_map(|(other, text)| Call::Draft { other, text }),
        3 => (1..4_i64, flag(0.7), vec(other(), 1..4)).prop_map(
            |(mark, on, others)| Call::SetMark { mark, on, others }),
        4 => (0..3_usize, 0..PROFILES.len()).prop_map(
            |(part, text)| Call::Profile { part, text }),
        1 => vec(other(), 1..5).prop_map(|others| Call::UsersInfo { others }),
        1 => Just(Call::SelfInfo),
        5 => (0..3_usize, flag(0.6)).prop_map(|(what, on)| Call::Privacy { what, on }),
        2 => (other(), flag(0.7)).prop_map(|(other, on)| Call::MarkUnread { other, on }),
        2 => other().prop_map(|other| Call::DeleteConversation { other }),
        1 => Just(Call::DeleteConversations),
        1 => Just(Call::DeleteAllMessages),
        2 => (other(), vec(1..90_u64, 1..6), prop::option::of(any::<bool>())).prop_map(
            |(other, seqs, sender)| Call::Numbered { other, seqs, sender }),
        1 => (other(), pick()).prop_map(|(other, pick)| Call::Combine { other, pick }),
        2 => other().prop_map(|other| Call::Changes { other }),
        3 => (other(), pick()).prop_map(|(other, pick)| Call::Revoke { other, pick }),
        3 => (other(), pick(), prop_oneof![3 => Just(0_usize), 1 => 2..KINDS], 0..2_usize)
            .prop_map(|(other, pick, kind, variant)| Call::Edit { other, pick, kind, variant }),
        7 => other().prop_map(|other| Call::ReceiptRead { other }),
        2 => (other(), vec(pick(), 1..5)).prop_map(
            |(other, picks)| Call::Receipts { other, picks }),
        4 => (other(), pick(), 0..REACTIONS.len(), 0..3_u64).prop_map(
            |(other, pick, kind, increase)| Call::React { other, pick, kind, increase }),
        3 => (other(), pick(), prop::option::weighted(0.7, 0..REACTIONS.len())).prop_map(
            |(other, pick, kind)| Call::Unreact { other, pick, kind }),
        1 => (other(), pick(), 0..REACTIONS.len()).prop_map(
            |(other, pick, kind)| Call::Reactors { other, pick, kind }),
        6 => (other(), vec(pick(), 1..5)).prop_map(
            |(other, picks)| Call::ReceiptsRead { other, picks }),
        5 => (0..STATUSES.len(), prop::option::of(prop::sample::select(vec![1_u64, 30, 100])))
            .prop_map(|(text, seconds)| Call::CustomStatus { text, seconds }),
        6 => vec(other(), 1..5).prop_map(|others| Call::UsersStatus { others }),
        6 => (vec(other(), 1..4), 1..3_u64).prop_map(
            |(others, minutes)| Call::Follow { others, minutes }),
        2 => vec(other(), 1..4).prop_map(|others| Call::Unfollow { others }),
        5 => vec(other(), 0..3).prop_map(|others| Call::Followed { others }),
        6 => (other(), prop_oneof![0..4_usize, pick()], flag(0.7), flag(0.7)).prop_map(
            |(other, pick, on, replaces)| Call::PinMessage { other, pick, on, replaces }),
        2 => other().prop_map(|other| Call::PinnedMessages { other }),
        7 => (other(), pick(), draft(), config()).prop_map(
            |(other, pick, draft, config)| Call::Reply { other, pick, draft, config }),
        3 => (other(), pick(), prop::option::of(pick()), prop_oneof![1..4_usize, Just(100)])
            .prop_map(|(other, pick, after, count)| Call::RepliedList { other, pick, after, count }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Two users are busier than the others.
    let caller = prop_oneof![Just(0), Just(1), 0..CALLERS, 0..CALLERS];
    prop_oneof![
        16 => (caller, call()).prop_map(|(user, call)| Step::Call { user, call }),
        4 => span().prop_map(|ms| Step::Pass { ms }),
        1 => (0..CALLERS, 0..NAMES.len(), 10..70_usize).prop_map(|(from, to, count)| Step::Chat {
            from, to, count
        }),
        2 => Just(Step::Follow),
        1 => (0..2_usize, 0..2_usize, 8..14_usize).prop_map(|(user, other, count)| {
            Step::PinSeveral { user, other, count }
        }),
        1 => Just(Step::Restart),
    ]
}

/// A configuration of the daemon, and the calls to make.
#[derive(Clone, Debug)]
pub struct Case {
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.setup)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// Random cases.
pub fn case() -> impl Strategy<Value = Case> {
    let partitions = prop::sample::select(vec![1_u16, 2, 8]);
    let cached_users = prop::sample::select(vec![0_usize, 100_000, 100_000]);
    let setup = (partitions, cached_users, prop::bool::weighted(0.2)).prop_map(
        |(partitions, cached_users, require_known_receiver)| Setup {
            partitions,
            cached_users,
            require_known_receiver,
            append_takes: Duration::ZERO,
        },
    );
    (setup, vec(step(), 1..60)).prop_map(|(setup, steps)| Case { setup, steps })
}

/// The number of content kinds: 0 is Text, 1 Command, then the rest.
pub(crate) const KINDS: usize = 9;

/// The type-specific fields of a message in a call.
pub(crate) fn content(kind: usize, variant: usize) -> Value {
    let text = ["hello", "\u{1f600} again"][variant];
    let base64 = ["AQI=", "//8A"][variant];
    match kind {
        0 => json!({"type": 1, "message": text}),
        1 => json!({"type": 2, "message": base64}),
        2 => json!({"type": 10, "messageInfoList": [
            {"type": 1, "message": text}, {"type": 12, "fileDownloadUrl": "u"}]}),
        3 => json!({"type": 11, "fileDownloadUrl": text, "thumbnailDownloadUrl": "t",
            "originalImageWidth": 7, "fileSize": variant}),
        4 => json!({"type": 12, "fileDownloadUrl": text, "fileName": "n", "fileUID": "i"}),
        5 => json!({"type": 13, "fileDownloadUrl": text, "audioDuration": 5}),
        6 => json!({"type": 14, "fileDownloadUrl": text, "videoFirstFrameWidth": 3}),
        7 => json!({"type": 100, "title": text, "messageList": [
            {"type": 1, "message": "m", "messageID": "5", "senderUserID": "x", "timestamp": 9},
            {"type": 100, "messageList": [{"type": 200, "message": "c"}]}]}),
        _ => json!({"type": 200, "message": text, "subType": variant, "searchedContent": "s"}),
    }
}
