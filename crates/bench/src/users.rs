//! The users of a run: they log in before it and out after it.

use std::time::Duration;

use async_nats::client::Request;
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, sleep, timeout_at};

use super::marker::{Run, Template};
use super::shared::{Call, Target};
use super::tally::Answer;
use peerd_core::id::UserId;
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::{CONTENT_TYPE, EncodeError, Encoding};
use peerd_protocol::subject::{Subjects, Token};

/// Concurrent calls before and after the measurement.
const CONCURRENT: usize = 256;
/// How long a refused or unanswered call is repeated: as long as a take-over may last.
pub(super) const TRY_FOR: Duration = Duration::from_secs(15);
/// The same for a logout, on which nothing depends.
const TRY_TO_LEAVE_FOR: Duration = Duration::from_secs(5);
/// The pause before a repeat, if the answer does not give one.
const PAUSE: Duration = Duration::from_millis(50);

/// The names of receivers: this after the prefix of the run.
pub(super) const RECEIVER: &str = "-r";

/// The pairs of senders and receivers.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) sender: UserId,
    pub(super) receiver: UserId,
}

/// `pairs` senders with names that begin with `prefix`, and `receivers` users to whom they write,
/// whose tokens `is_allowed` accepts.
pub(super) fn pairs(
    prefix: &str,
    pairs: usize,
    receivers: usize,
    is_allowed: impl Fn(&Token) -> bool,
) -> Result<Vec<Pair>, Rejection> {
    let user = |name: String| UserId::new(&name, "--users");
    let named = (0..).map(|number: u64| user(format!("{prefix}{RECEIVER}{number}")));
    // An invalid userID is kept: it ends the search with its error.
    let accepted = named.filter(|user| user.as_ref().map_or(true, |id| is_allowed(&Token::of(id))));
    let receivers: Vec<UserId> = accepted.take(receivers).collect::<Result<_, _>>()?;
    let pair = |(number, receiver): (usize, &UserId)| {
        Ok(Pair { sender: user(format!("{prefix}-s{number}"))?, receiver: receiver.clone() })
    };
    (0..pairs).zip(receivers.iter().cycle()).map(pair).collect()
}

/// A text of the given length.
pub(super) fn text(bytes: usize) -> String {
    const WORDS: &str = "Hello there, how are you today? See you at half past seven. ";
    WORDS.chars().cycle().take(bytes).collect()
}

/// The header of a call.
pub(super) fn headers(encoding: Encoding) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, encoding.content_type());
    headers
}

/// The sends of the pairs.
pub(super) fn calls(
    subjects: &Subjects,
    pairs: &[Pair],
    run: &Run,
    encoding: Encoding,
    text: &str,
) -> Result<Vec<Call>, EncodeError> {
    let call = |pair: &Pair| {
        let subject = subjects.call(&Token::of(&pair.sender), "send_peer_message").into();
        let body = Template::new(run, encoding, pair.receiver.as_str(), text)?;
        Ok(Call { subject, body })
    };
    pairs.iter().map(call).collect()
}

/// Logs every user of the pairs in; fails with the first refusal. `done` is called for each user.
pub(super) async fn all_log_in(
    client: &Client,
    subjects: &Subjects,
    pairs: &[Pair],
    done: impl Fn(),
) -> Result<(), String> {
    all_call(client, subjects, pairs, ("login", TRY_FOR), done).await
}

/// Logs every user of the pairs out; fails with the first refusal. `done` is called for each user.
pub(super) async fn all_log_out(
    client: &Client,
    subjects: &Subjects,
    pairs: &[Pair],
    done: impl Fn(),
) -> Result<(), String> {
    all_call(client, subjects, pairs, ("logout", TRY_TO_LEAVE_FOR), done).await
}

async fn all_call(
    client: &Client,
    subjects: &Subjects,
    pairs: &[Pair],
    (method, try_for): (&str, Duration),
    done: impl Fn(),
) -> Result<(), String> {
    let mut users: Vec<&UserId> =
        pairs.iter().flat_map(|pair| [&pair.sender, &pair.receiver]).collect();
    users.sort_unstable();
    users.dedup();
    let done = &done;
    stream::iter(users)
        .map(async |user| {
            let subject = subjects.call(&Token::of(user), method);
            let called =
                until_accepted(client, subject, HeaderMap::new(), Bytes::new(), try_for).await;
            done();
            called.map(drop).map_err(|problem| format!("{method} of {user}: {problem}"))
        })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await
}

/// Sends one message of each pair, so that its conversation exists.
pub(super) async fn all_send(
    client: &Client,
    target: &Target,
    done: impl Fn(),
) -> Result<(), String> {
    let done = &done;
    stream::iter(&target.calls)
        .map(async |call| {
            let body = call.body.body(0, target.next_number());
            let (subject, headers) = (call.subject.to_string(), target.headers.clone());
            let called = until_accepted(client, subject, headers, body, TRY_FOR).await;
            done();
            called.map(drop).map_err(|problem| format!("a first message: {problem}"))
        })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await
}

/// Repeats a call until it is accepted, for a bounded time.
pub(super) async fn until_accepted(
    client: &Client,
    subject: String,
    headers: HeaderMap,
    body: Bytes,
    try_for: Duration,
) -> Result<Message, String> {
    let give_up = Instant::now() + try_for;
    loop {
        let request = Request::new().headers(headers.clone()).payload(body.clone());
        let called = timeout_at(give_up, client.send_request(subject.clone(), request)).await;
        let (problem, pause) = match called {
            Ok(Ok(message)) => match Answer::read(&message) {
                Answer::Accepted => return Ok(message),
                Answer::Refused { problem: (code, reason), retry_after } => {
                    (format!("{reason} ({code})"), retry_after)
                }
            },
            Ok(Err(error)) => (error.to_string(), None),
            Err(_) => ("no answer in time".to_owned(), None),
        };
        let pause = pause.unwrap_or(PAUSE);
        if Instant::now() + pause >= give_up {
            return Err(problem);
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_share_the_receivers() {
        let all = pairs("bench", 5, 2, |_| true).expect("names");
        let receivers: Vec<_> = all.iter().map(|pair| pair.receiver.as_str()).collect();
        assert_eq!(receivers, ["bench-r0", "bench-r1", "bench-r0", "bench-r1", "bench-r0"]);
        assert_eq!(all[4].sender.as_str(), "bench-s4");
        assert!(pairs("a user's name cannot be as long as this", 1, 1, |_| true).is_err());
    }

    #[test]
    fn receivers_are_of_the_partition_that_was_asked_for() {
        let subjects = Subjects::new("peer", 8);
        let is_allowed = |token: &Token| subjects.partition(token).0 == 3;
        let all = pairs("bench", 7, 4, is_allowed).expect("names");
        let mut receivers: Vec<_> = all.iter().map(|pair| pair.receiver.as_str()).collect();
        assert!(all.iter().all(|pair| is_allowed(&Token::of(&pair.receiver))), "{receivers:?}");
        assert_eq!(receivers[..3], receivers[4..], "they are shared");
        receivers.truncate(4);
        receivers.dedup();
        assert_eq!(receivers.len(), 4, "{receivers:?}");
    }

    #[test]
    fn a_text_is_as_long_as_asked_for() {
        assert_eq!((text(0).len(), text(59).len(), text(2048).len()), (0, 59, 2048));
    }
}
