//! Names: subjects, user tokens, IDs, keys of the owners' bucket, headers, times. The first byte
//! chooses prefix and number of partitions, the rest is the text.

use peerd::runtime::commands::Method;
use peerd::storage::owners::{Key, MemberId};
use peerd::storage::{account, block, conversation, push};
use peerd_core::id::{LocalMessageId, MessageId, Partition, UserId};
use peerd_core::limits::{PARTITIONS_MAX, USER_ID_MAX_BYTES};
use peerd_protocol::encoding::{Encoding, hops};
use peerd_protocol::subject::{CallSubject, Subjects, Token, is_sentinel, last_token};
use peerd_protocol::time::{rfc3339, unix_ms};

const PREFIXES: [&str; 3] = ["peer", "acme.peer", "p"];
const PARTITIONS: [u16; 4] = [8, 1, 1024, 10];

/// See [`super::Target::check`].
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let choice = usize::from(*choice);
    let prefix = PREFIXES[choice % PREFIXES.len()];
    let subjects = Subjects::new(prefix, PARTITIONS[choice / 4 % PARTITIONS.len()]);
    subject(&subjects, text);
    token(&subjects, text);
    ids(text);
    header(text);
}

fn subject(subjects: &Subjects, text: &str) {
    let call = subjects.parse_call(text);
    let ask = subjects.parse_ask(text);
    assert!(call.is_none() || ask.is_none(), "a call and a request between instances");
    if let Some(CallSubject { user, method }) = call {
        assert!(!user.contains('.') && !method.contains('.'), "a token with a dot");
        assert!(subjects.is_reserved(text), "a caller could have an answer sent there");
        assert!(text.ends_with(&format!(".{user}.{method}")));
        if let (Ok(user), Some(method)) = (Token::parse(user), Method::from_name(method)) {
            let token = Token::of(&user);
            let sent = subjects.call(&token, method.name());
            let again = CallSubject { user: token.as_str(), method: method.name() };
            let routed = subjects.routed_call(subjects.partition(&token), again);
            assert_eq!(subjects.parse_call(&sent), Some(again));
            assert_eq!(subjects.parse_call(&routed), Some(again));
            assert_eq!(subjects.parse_ask(&sent), None);
            assert_eq!(subjects.parse_ask(&routed), None);
        }
    }
    if let Some(user) = ask {
        assert!(!user.contains('.'), "a token with a dot");
        assert!(subjects.is_reserved(text), "a caller could have an answer sent there");
    }
    assert!(text.ends_with(last_token(text)) && !last_token(text).contains('.'));
}

fn token(subjects: &Subjects, text: &str) {
    if let Ok(user) = Token::parse(text) {
        assert_eq!(Token::of(&user).as_str(), text, "two spellings of one user");
    }
    let Ok(user) = UserId::new(text, "userID") else { return };
    assert!((1..=USER_ID_MAX_BYTES).contains(&text.len()));
    let token = Token::of(&user);
    assert_eq!(Token::parse(token.as_str()), Ok(user));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~%".contains(&byte);
    assert!(token.as_str().bytes().all(plain), "{token} in a subject");
    let partition = subjects.partition(&token);
    assert!(partition.0 < subjects.partitions());
    let ask = subjects.ask(&token);
    assert_eq!(subjects.parse_ask(&ask), Some(token.as_str()));
    assert_eq!(subjects.parse_call(&ask), None);
    for built in [
        subjects.event(&token, "conversation_changed").to_string(),
        push::key(subjects, &token),
        subjects.log(partition, &token, &token),
        account::key(subjects, partition, &token),
        conversation::key(subjects, partition, &token, &token),
        block::key(subjects, partition, &token, &token),
        ask,
    ] {
        assert!(!is_sentinel(&built), "{built} could be taken for a sentinel");
        assert!(built.split('.').all(|token| !token.is_empty()), "{built} has an empty token");
        assert!(!built.contains(['*', '>', ' ', '\t', '\r', '\n']), "{built} is no subject");
    }
}

fn ids(text: &str) {
    if let Ok(id) = MessageId::parse(text, "messageID") {
        assert_eq!(id.to_string(), text, "two spellings of one message");
        assert!(id.partition().0 < PARTITIONS_MAX);
        assert_eq!(MessageId::new(id.key(), id.partition()), id);
    }
    if let Ok(id) = LocalMessageId::new(text) {
        assert_eq!(id.as_str(), text);
        assert!((1..=64).contains(&text.len()) && !text.contains(char::is_control));
    }
    if let Some(member) = MemberId::new(text) {
        assert_eq!(member.as_str(), text);
        assert!(!member.instance().is_empty(), "an empty token in the subject of a probe");
        assert_eq!(Key::parse(&format!("member.{text}")), Some(Key::Member(member.clone())));
        assert_eq!(Key::parse(&format!("published.{text}")), Some(Key::Published(member)));
    }
    if let Some(key) = Key::parse(text) {
        assert_eq!(key.to_string(), text, "two spellings of one key");
        if let Key::Owner(Partition(number)) = key {
            assert!(number < PARTITIONS_MAX, "a partition that cannot be");
        }
    }
    if let Some(method) = Method::from_name(text) {
        assert_eq!(method.name(), text);
    }
}

fn header(text: &str) {
    for body in [&b"{}"[..], b"\x80", b""] {
        if let Ok(encoding) = Encoding::of_request(Some(text), body) {
            let again = Encoding::of_request(Some(encoding.content_type()), b"\x80{}");
            assert_eq!(again, Ok(encoding));
        }
    }
    let passed_on = hops(Some(text));
    if let Ok(number) = text.parse::<u64>() {
        let exact = u64::from(passed_on) == number.min(u64::from(u8::MAX));
        assert!(exact || (text.starts_with('+') && passed_on == 0));
    } else {
        assert!(passed_on == 0 || text.bytes().all(|byte| byte.is_ascii_digit()));
    }
    if let Some(ms) = unix_ms(text) {
        assert_eq!(unix_ms(&rfc3339(ms)), Some(ms), "a time that does not survive its text");
    }
}

/// See [`super::Target::seeds`].
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "peer.api.alice.login",
        "peer.part.3.alice.send_peer_message",
        "peer.part.7.bob",
        "peer.part.=.instance-1",
        "peer.api.a%2Eb%20c%25~.heartbeat",
        "a%2Eb%20c%25~",
        "!#$%&()+-:;<=.>?@[]^_{}|~ ",
        "118106327250633732",
        "18446744073709551615",
        "member.Fd6pKU2eCl6lgEk0JqW1mT-2",
        "owner.63",
        "published.x",
        "Application/JSON; charset=utf-8",
        "application/msgpack",
        "31",
        "256",
        "2026-01-01T00:00:00.123456789Z",
        "1969-12-31T23:59:59.999999999+01:00",
    ];
    let methods = Method::ALL.iter().map(|method| method.name());
    let seed = |(choice, text): (usize, &str)| {
        let choice = u8::try_from(choice % 16).unwrap_or_default();
        [&[choice][..], text.as_bytes()].concat()
    };
    let from_first = texts.into_iter().chain(methods).map(|text| (0, text));
    let spread = texts.into_iter().enumerate();
    from_first.chain(spread).map(seed).collect()
}
