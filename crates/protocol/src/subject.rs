//! Every subject that peerd uses, built and parsed in this one place.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::block;
use peerd_core::id::{Partition, UserId};
use peerd_core::rejection::Rejection;

/// A userID as a subject token: percent-encoded, with one spelling for each user.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// The token of a user.
    #[must_use]
    pub fn of(user: &UserId) -> Self {
        Self(Cow::from(utf8_percent_encode(user.as_str(), ENCODED)).into_owned())
    }

    /// The user of a token. A token that is not exactly the encoding of its own decoding is
    /// refused, so that one user has one subject and permissions cannot be sidestepped.
    pub fn parse(token: &str) -> Result<UserId, Rejection> {
        const FIELD: &str = "the user in the subject";
        let problem = || Rejection::invalid(FIELD, "is not a percent-encoded userID");
        if token.bytes().all(is_unreserved) {
            return UserId::new(token, FIELD);
        }
        // Leaves malformed escapes as they are, which the comparison then refuses.
        let decoded = percent_decode_str(token).decode_utf8().map_err(|_| problem())?;
        let user = UserId::new(&decoded, FIELD)?;
        let is_canonical = Cow::from(utf8_percent_encode(&decoded, ENCODED)) == token;
        if is_canonical { Ok(user) } else { Err(problem()) }
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a byte of a user ID stands for itself in a token.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~')
}

/// All characters except letters, digits, `-`, `_` and `~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// The hash of an empty text.
const FNV_OFFSET: u32 = 0x811c_9dc5;

/// Continues the 32-bit FNV-1a hash, which `{{partition(n,…)}}` of NATS subject mapping uses.
fn fnv1a32(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The parts of a call's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSubject<'s> {
    /// The user's token, unchecked.
    pub user: &'s str,
    /// The method's name, unchecked.
    pub method: &'s str,
}

/// Builds and parses subjects for one prefix and one number of partitions.
#[derive(Clone, Debug)]
pub struct Subjects {
    prefix: String,
    partitions: u16,
}

impl Subjects {
    /// Subjects that begin with `prefix`, for `partitions` (1 to 1024) partitions.
    #[must_use]
    pub fn new(prefix: &str, partitions: u16) -> Self {
        Self { prefix: prefix.to_owned(), partitions: partitions.max(1) }
    }

    /// The number of partitions.
    #[must_use]
    pub const fn partitions(&self) -> u16 {
        self.partitions
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The partition of a user, the same that NATS subject mapping computes from the token.
    #[must_use]
    pub fn partition(&self, user: &Token) -> Partition {
        self.partition_of(user.as_str())
    }

    /// The partition of a user.
    #[must_use]
    pub fn partition_of_user(&self, user: &UserId) -> Partition {
        let parts = utf8_percent_encode(user.as_str(), ENCODED);
        self.partition_of_hash(parts.fold(FNV_OFFSET, |hash, part| fnv1a32(hash, part.as_bytes())))
    }

    /// The partition of a user's token, which is not checked.
    #[must_use]
    pub fn partition_of(&self, token: &str) -> Partition {
        self.partition_of_hash(fnv1a32(FNV_OFFSET, token.as_bytes()))
    }

    fn partition_of_hash(&self, hash: u32) -> Partition {
        Partition(u16::try_from(hash % u32::from(self.partitions)).unwrap_or_default())
    }

    /// The subject that matches all calls of users.
    #[must_use]
    pub fn all_calls(&self) -> String {
        format!("{}.api.*.*", self.prefix)
    }

    /// The subject that matches everything routed to a partition: calls, and requests between
    /// instances.
    #[must_use]
    pub fn all_routed(&self, partition: Partition) -> String {
        format!("{}.part.{partition}.>", self.prefix)
    }

    /// The subject on which an instance answers probes. `=` is not a partition.
    #[must_use]
    pub fn probe(&self, instance: &str) -> String {
        format!("{}.part.=.{instance}", self.prefix)
    }

    /// Whether a subject belongs to peerd or the server, so that peerd must not reply to it.
    #[must_use]
    pub fn is_reserved(&self, subject: &str) -> bool {
        let is_own = subject
            .strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        is_own || subject.starts_with('$')
    }

    /// As [`Subjects::is_reserved`], for a received subject, which need not be text.
    #[must_use]
    pub fn is_reserved_bytes(&self, subject: &[u8]) -> bool {
        self.is_reserved(&String::from_utf8_lossy(subject))
    }

    /// A call by a user.
    #[must_use]
    pub fn call(&self, user: &Token, method: &str) -> String {
        format!("{}.api.{user}.{method}", self.prefix)
    }

    /// The subject that matches all calls of a user.
    #[must_use]
    pub fn all_calls_of(&self, user: &Token) -> String {
        format!("{}.api.{user}.>", self.prefix)
    }

    /// The subject that matches all calls of a user, where the server maps them to partitions.
    #[must_use]
    pub fn all_routed_calls_of(&self, user: &Token) -> String {
        format!("{}.part.*.{user}.>", self.prefix)
    }

    /// A call by a user, routed to the user's partition.
    #[must_use]
    pub fn routed_call(&self, partition: Partition, call: CallSubject<'_>) -> String {
        format!("{}.part.{partition}.{}.{}", self.prefix, call.user, call.method)
    }

    /// A request between instances to the owner of a user. It is one token shorter than a call, so
    /// that subject mapping turns no call into one.
    #[must_use]
    pub fn ask(&self, user: &Token) -> String {
        format!("{}.part.{}.{user}", self.prefix, self.partition(user))
    }

    /// The user's token in the subject of a request between instances.
    #[must_use]
    pub fn parse_ask<'s>(&self, subject: &'s str) -> Option<&'s str> {
        let rest = subject.strip_prefix(self.prefix.as_str())?.strip_prefix(".part.")?;
        let (_, user) = rest.split_once('.')?;
        (!user.contains('.')).then_some(user)
    }

    /// Parses the subject of a call, direct or routed. The partition in a routed subject is not
    /// trusted, but computed again.
    #[must_use]
    pub fn parse_call<'s>(&self, subject: &'s str) -> Option<CallSubject<'s>> {
        let rest = subject.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        match tokens.next()? {
            "api" => {}
            "part" => {
                tokens.next()?;
            }
            _ => return None,
        }
        let (user, method) = (tokens.next()?, tokens.next()?);
        tokens.next().is_none().then_some(CallSubject { user, method })
    }

    /// An event of a user.
    #[must_use]
    pub fn event(&self, user: &Token, event: &str) -> ByteString {
        block::text([&self.prefix, ".event.", user.as_str(), ".", event])
    }

    /// All events of a user.
    #[must_use]
    pub fn all_events(&self, user: &Token) -> String {
        format!("{}.event.{user}.>", self.prefix)
    }

    /// All offline pushes.
    #[must_use]
    pub fn all_pushes(&self) -> String {
        format!("{}.push.*", self.prefix)
    }

    /// The messages that `sender` sent to `receiver`.
    #[must_use]
    pub fn log(&self, partition: Partition, receiver: &Token, sender: &Token) -> String {
        let length = sender.as_str().len();
        self.log_from(partition, receiver, std::iter::once(sender.as_str()), length)
    }

    /// As [`Subjects::log`], encoding the sender's token in place.
    #[must_use]
    pub fn log_from_user(&self, partition: Partition, receiver: &Token, sender: &UserId) -> String {
        let sender = sender.as_str();
        let parts = utf8_percent_encode(sender, ENCODED);
        self.log_from(partition, receiver, parts, sender.len())
    }

    fn log_from<'s>(
        &self,
        partition: Partition,
        receiver: &Token,
        sender: impl Iterator<Item = &'s str>,
        sender_bytes: usize,
    ) -> String {
        // Room for the five tokens and their separators, if no character of the sender is escaped.
        let length = self.prefix.len() + receiver.as_str().len() + sender_bytes + 16;
        let mut subject = String::with_capacity(length);
        subject.extend([self.prefix.as_str(), ".log."]);
        subject.push_str(itoa::Buffer::new().format(partition.0));
        subject.extend([".", receiver.as_str(), "."]);
        subject.extend(sender);
        subject
    }

    /// All messages to `receiver`.
    #[must_use]
    pub fn log_to(&self, partition: Partition, receiver: &Token) -> String {
        format!("{}.log.{partition}.{receiver}.*", self.prefix)
    }

    /// All messages of a partition.
    #[must_use]
    pub fn all_log(&self, partition: Partition) -> String {
        format!("{}.log.{partition}.*.*", self.prefix)
    }

    /// The sentinel that provisioning writes, so that no answer about the log is empty. `=` cannot
    /// occur in a token.
    #[must_use]
    pub fn log_sentinel(&self, partition: Partition) -> String {
        format!("{}.log.{partition}.=.=", self.prefix)
    }

    /// All entries of a partition.
    #[must_use]
    pub fn all_state(&self, partition: Partition) -> String {
        format!("{}.state.{partition}.>", self.prefix)
    }

    /// The prefix of the subjects of all entries of a partition; the user's token follows.
    #[must_use]
    pub fn state_prefix(&self, partition: Partition) -> String {
        format!("{}.state.{partition}.", self.prefix)
    }

    /// The sentinel of the entries, as [`Subjects::log_sentinel`].
    #[must_use]
    pub fn state_sentinel(&self, partition: Partition) -> String {
        format!("{}.state.{partition}.=.=", self.prefix)
    }
}

/// The subject that matches the reply subjects of a user's client, on an inbox prefix of its own.
#[must_use]
pub fn all_replies(user: &Token) -> String {
    format!("_INBOX_{user}.>")
}

/// Whether a pattern with wildcards matches a subject without any.
#[must_use]
pub fn matches(pattern: &str, subject: &str) -> bool {
    let (mut patterns, mut tokens) = (pattern.split('.'), subject.split('.'));
    loop {
        match (patterns.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some(pattern), Some(token)) if pattern == "*" || pattern == token => {}
            _ => return false,
        }
    }
}

/// Whether a subject is that of a sentinel, an entry whose only purpose is that no answer is empty.
#[must_use]
pub fn is_sentinel(subject: &str) -> bool {
    last_token(subject) == "="
}

/// Whether the server made a reply subject (for a service import or a gateway): no client may name
/// it as the reply subject of a publish, and the server forwards messages on it to the caller.
#[must_use]
pub fn is_servers_reply(subject: &str) -> bool {
    subject.starts_with("_R_.") || subject.starts_with("_GR_.")
}

/// The last token of a subject.
#[must_use]
pub fn last_token(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or(subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_has_one_spelling() {
        let user = UserId::new("a.b c%~", "userID").expect("a valid ID");
        assert_eq!(Token::of(&user).as_str(), "a%2Eb%20c%25~");
        assert_eq!(Token::parse("a%2Eb%20c%25~"), Ok(user));
        for bad in
            ["", "%61lice", "a%2eb", "a.b", "*", ">", "a%", "a%2", "a%zz", "%C3%A4", "=", "a%+1"]
        {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn partitions_are_those_of_nats_subject_mapping() {
        // Computed by nats-server's own `{{partition(10,1)}}` for these tokens.
        let subjects = Subjects::new("peer", 10);
        for (token, partition) in [("foo", 3), ("baz", 0), ("qux", 9)] {
            assert_eq!(subjects.partition_of(token).0, partition, "{token}");
        }
    }

    #[test]
    fn calls_are_read_from_both_kinds_of_subject() {
        let subjects = Subjects::new("acme.peer", 8);
        let call = Some(CallSubject { user: "alice", method: "login" });
        assert_eq!(subjects.parse_call("acme.peer.api.alice.login"), call);
        assert_eq!(subjects.parse_call("acme.peer.part.3.alice.login"), call);
        for bad in ["acme.api.alice.login", "acme.peer.api.alice", "acme.peer.api.a.b.c", "x"] {
            assert_eq!(subjects.parse_call(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_call_is_a_request_between_instances() {
        let subjects = Subjects::new("acme.peer", 8);
        let alice = Token::of(&UserId::new("alice", "userID").expect("a valid ID"));
        assert_eq!(subjects.parse_ask(&subjects.ask(&alice)), Some("alice"));
        assert_eq!(subjects.parse_call(&subjects.ask(&alice)), None);
        let call = CallSubject { user: "alice", method: "login" };
        let routed = subjects.routed_call(subjects.partition(&alice), call);
        assert_eq!(subjects.parse_ask(&routed), None);
        assert_eq!(subjects.parse_call(&routed), Some(call));
        for bad in ["acme.peer.part.1", "acme.peer.api.alice", "acme.peer.part.1.a.b.c", "x"] {
            assert_eq!(subjects.parse_ask(bad), None, "{bad}");
        }
    }

    /// The rule of docs/protocol.md, byte by byte.
    fn encoded_by_the_contract(user: &str) -> String {
        let is_unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
        let one = |byte: u8| match byte {
            byte if is_unreserved(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        user.bytes().map(one).collect()
    }

    #[test]
    fn filters_match_as_in_nats() {
        for (filter, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("*.b", "a.b", true),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(matches(filter, subject), expected, "{filter} {subject}");
        }
    }

    proptest! {
        #[test]
        fn tokens_are_encoded_as_the_contract_says(
            id in "[A-Za-z0-9!#$%&()+:;<=.>?@\\[\\]^_{}|~ -]{1,128}"
        ) {
            let user = UserId::new(&id, "userID").expect("a valid ID");
            let token = Token::of(&user);
            prop_assert_eq!(token.as_str(), encoded_by_the_contract(&id));
            let subjects = Subjects::new("peer", 1000);
            prop_assert_eq!(subjects.partition_of_user(&user), subjects.partition(&token));
        }

        #[test]
        fn a_token_is_accepted_only_in_the_spelling_of_the_contract(
            token in "([a-zA-Z0-9_~.-]|%[0-9A-Fa-f]{2}|%|[ -~]){0,12}"
        ) {
            let decoded = percent_decode_str(&token).decode_utf8_lossy();
            let user = UserId::new(&decoded, "userID").ok();
            let expected = user.filter(|user| encoded_by_the_contract(user.as_str()) == token);
            prop_assert_eq!(Token::parse(&token).ok(), expected);
        }

        #[test]
        fn every_user_id_survives_its_token(
            id in "[A-Za-z0-9!#$%&()+:;<=.>?@\\[\\]^_{}|~ -]{1,128}"
        ) {
            let user = UserId::new(&id, "userID").expect("a valid ID");
            let token = Token::of(&user);
            prop_assert!(!token.as_str().contains(['.', '*', '>', ' ']));
            prop_assert_eq!(Token::parse(token.as_str()), Ok(user));
        }

        #[test]
        fn no_other_text_names_a_user(text in "\\PC{0,40}") {
            if let Ok(user) = Token::parse(&text) {
                let token = Token::of(&user);
                prop_assert_eq!(token.as_str(), text);
            }
        }
    }
}
