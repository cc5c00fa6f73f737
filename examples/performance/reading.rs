//! The rows that read: a call of peerd compared with the corresponding read of the store.

use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use peerd::store::{StreamId, jetstream::StreamNames};
use peerd_core::id::{Partition, UserId};
use peerd_protocol::subject::{Subjects, Token};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    bulk::{self, Conversation},
    effort::Effort,
    figures::{Figure, Goal, Measured, mean, median},
    stage::{Kind, Stage},
    support::{self, Encoding, decode, encode},
};

/// peerd's defaults.
pub(crate) const PREFIX: &str = "peer";
pub(crate) const PARTITIONS: u16 = 8;
/// Messages of a page.
pub(crate) const PAGE: usize = 30;
/// The page far back that is compared with the first.
const FAR: usize = 1000;
/// Pages around it that are measured, and how long a reader waits after each.
const AROUND: usize = 60;
const PAUSE: Duration = Duration::from_millis(20);
/// Messages before that page that are written at a sender's rate.
const SLOW: u64 = 60;
/// Conversations of a user with many.
const CONVERSATIONS: usize = 200;
/// The time limit of a read.
const DEADLINE: Duration = Duration::from_secs(20);
/// Status of the end of a batch.
const END: u16 = 204;

/// Reads of one stream, without peerd.
struct Raw {
    client: Client,
    inbox: String,
    answers: Subscriber,
    subject: String,
}

impl Raw {
    async fn new(client: &Client, partition: Partition) -> Result<Self, String> {
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await.map_err(|error| error.to_string())?;
        let stream = StreamNames::new(PREFIX).of(StreamId::Log(partition));
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        Ok(Self { client: client.clone(), inbox, answers, subject })
    }

    /// The duration of a batch; fails if it has another number of messages.
    async fn read(&mut self, request: &Value, messages: usize) -> Result<f64, String> {
        let body = request.to_string();
        let began = Instant::now();
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        let asked = self.client.publish_with_reply(subject, inbox, body.into()).await;
        asked.map_err(|error| error.to_string())?;
        let mut count = 0;
        loop {
            let answer = timeout(DEADLINE, self.answers.next()).await;
            let Ok(Some(answer)) = answer else { return Err("no answer to a read".to_owned()) };
            match answer.status.map(|status| status.as_u16()) {
                None => count += 1,
                Some(END) if count == messages => return Ok(us_since(began)),
                Some(status) => {
                    return Err(format!("{count} messages and status {status} of {request}"));
                }
            }
        }
    }
}

fn us_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

/// The duration of a call of peerd, and its reply; fails unless `is_right` accepts it.
pub(crate) async fn call(
    client: &support::Client,
    user: &str,
    method: &str,
    body: Value,
    is_right: impl Fn(&Value) -> bool,
) -> Result<(f64, Value), String> {
    let subject = format!("{PREFIX}.api.{user}.{method}");
    let body = encode(Encoding::MessagePack, &body);
    let began = Instant::now();
    let reply = client.nats().request(subject, body.into()).await;
    let took_us = us_since(began);
    // The body is decoded after the clock was stopped, as with a raw read.
    let reply = reply.map_err(|error| format!("{method} of {user}: {error}"))?;
    let reply = decode(Encoding::MessagePack, &reply.payload);
    if is_right(&reply) {
        Ok((took_us, reply))
    } else {
        Err(format!("{method} of {user}: {reply}"))
    }
}

/// The duration of the page of the long history before `anchor` (the newest: null), and its oldest
/// message.
async fn page(client: &support::Client, anchor: &Value) -> Result<(f64, Value), String> {
    let config = json!({ "nextMessage": anchor, "count": PAGE, "reverse": true });
    let body = json!({ "conversationID": "long-s0", "config": config });
    let is_page = |reply: &Value| reply["messageList"].as_array().map(Vec::len) == Some(PAGE);
    let (took_us, reply) = call(client, "long-r0", "query_history_message", body, is_page).await?;
    Ok((took_us, reply["messageList"][0].clone()))
}

/// Pages back from the newest page; returns the durations of the last pages, including the page far
/// back, and of the newest page, which is read after each of them.
async fn page_back(
    client: &support::Client,
    pause: Duration,
) -> Result<(Vec<f64>, Vec<f64>), String> {
    let (_, mut anchor) = page(client, &Value::Null).await?;
    let (mut far, mut first) = (Vec::new(), Vec::new());
    for number in 2..=FAR + AROUND / 2 {
        let (took_us, oldest) = page(client, &anchor).await?;
        anchor = oldest;
        if number > FAR - AROUND / 2 {
            far.push(took_us);
            tokio::time::sleep(pause).await;
            first.push(page(client, &Value::Null).await?.0);
            tokio::time::sleep(pause).await;
        }
    }
    Ok((far, first))
}

/// Pages of a long history.
pub(crate) async fn history_pages(effort: &Effort) -> Result<Vec<Figure>, String> {
    let mut stage = Stage::start(Kind::One, &[]).await?;
    stage.end_peerd().await;
    // A search by time must find the message among messages at a sender's rate.
    let anchor = effort.long.saturating_sub(count(PAGE * (FAR - 1)));
    let slow = anchor.saturating_sub(SLOW)..anchor + 1;
    let stored = bulk::conversation(&stage.url(), "long", effort.long, slow).await?;
    stage.start_peerd().await?;
    let client = support::Client::connect(&stage.url()).await;
    support::login(&client, "long-r0").await;
    let receiver = token("long-r0")?;
    let subjects = Subjects::new(PREFIX, PARTITIONS);
    let partition = subjects.partition(&receiver);
    let mut raw = Raw::new(client.nats(), partition).await?;
    let newest = stored.len().checked_sub(PAGE).and_then(|first| stored.get(first));
    let far = usize::try_from(anchor).ok().and_then(|far| stored.get(far));
    let (Some(newest), Some(far)) = (newest, far) else {
        return Err(format!("{} messages are too few for page {FAR}", stored.len()));
    };
    let far = json!({ "messageID": far.id.to_string() });
    let batch = json!({
        "seq": newest.stream_seq,
        "next_by_subj": subjects.log(partition, &receiver, &token("long-s0")?),
        "batch": PAGE,
    });
    let (mut firsts, mut raws, mut jumps) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fars, mut nears) = (Vec::new(), Vec::new());
    let (mut hurried_fars, mut hurried_nears) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let (mut first, mut read, mut jump) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..effort.calls {
            first.push(page(&client, &Value::Null).await?.0);
            read.push(raw.read(&batch, PAGE).await?);
        }
        for _ in 0..effort.calls {
            jump.push(page(&client, &far).await?.0);
            // Until reading ahead is done, which nothing uses here.
            tokio::time::sleep(PAUSE).await;
        }
        firsts.push(median(&first));
        raws.push(median(&read));
        jumps.push(median(&jump));
        // Means, because one page may pay for another's read.
        let (far, near) = page_back(&client, PAUSE).await?;
        fars.push(mean(&far));
        nears.push(mean(&near));
        let (far, near) = page_back(&client, Duration::ZERO).await?;
        hurried_fars.push(mean(&far));
        hurried_nears.push(mean(&near));
    }
    let numbers = |name: &str, ours: &[f64], other: &str, theirs: &[f64]| {
        format!("{name} {:.0}, {other} {:.0} µs", median(ours), median(theirs))
    };
    let first = format!(
        "first page of history ({PAGE}) of {} messages against a raw batched direct get of them",
        stored.len()
    );
    let thousandth = |reader: &str| {
        format!(
            "page {FAR} from the end, reached by paging back, against the newest page: means of the \
             {AROUND} pages around it, by {reader}"
        )
    };
    let waits = format!("a reader who waits {} ms after each page", PAUSE.as_millis());
    let beside = format!("; {:.0} where the page before was not read", median(&jumps));
    Ok(vec![
        Figure::new(
            "history",
            &first,
            Goal::AtMost(1.5),
            Measured::ratio(&firsts, &raws),
            numbers("page", &firsts, "raw", &raws) + " at p50",
        ),
        Figure::new(
            "history",
            &thousandth(&waits),
            Goal::AtMost(1.0),
            Measured::ratio(&fars, &nears),
            numbers("far", &fars, "first", &nears),
        ),
        Figure::new(
            "history",
            &thousandth("a program that does not wait"),
            Goal::AtMost(1.0),
            Measured::ratio(&hurried_fars, &hurried_nears),
            numbers("far", &hurried_fars, "first", &hurried_nears) + &beside,
        ),
    ])
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

pub(crate) fn user_id(name: &str) -> Result<UserId, String> {
    UserId::new(name, "userID").map_err(|error| error.to_string())
}

fn token(name: &str) -> Result<Token, String> {
    user_id(name).map(|user| Token::of(&user))
}

/// The first call of users with many conversations who are not in memory.
pub(crate) async fn first_call(effort: &Effort) -> Result<Vec<Figure>, String> {
    let mut stage = Stage::start(Kind::One, &[]).await?;
    stage.end_peerd().await;
    let users: Vec<String> =
        (0..effort.wide_users).map(|number| format!("wide-r{number}")).collect();
    let mut conversations = Vec::new();
    for (number, user) in users.iter().enumerate() {
        for other in 0..CONVERSATIONS {
            let sender = user_id(&format!("wide-s{number}-{other}"))?;
            conversations.push(Conversation {
                sender,
                receiver: user_id(user)?,
                messages: 1,
                slow: 0..0,
            });
        }
    }
    bulk::write(&stage.url(), conversations).await?;
    stage.start_peerd().await?;
    let client = support::Client::connect(&stage.url()).await;
    for user in &users {
        support::login(&client, user).await;
    }
    let subjects = Subjects::new(PREFIX, PARTITIONS);
    let is_all = |reply: &Value| reply["unreadMessageCount"] == CONVERSATIONS;
    let (mut firsts, mut raws) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        stage.end_peerd().await;
        stage.start_peerd().await?;
        let (mut first, mut read) = (Vec::new(), Vec::new());
        for (number, user) in users.iter().enumerate() {
            let receiver = token(user)?;
            let partition = subjects.partition(&receiver);
            let all = json!({
                "multi_last": [subjects.log_to(partition, &receiver)],
                "batch": CONVERSATIONS,
            });
            let mut raw = Raw::new(client.nats(), partition).await?;
            let method = "query_conversation_total_unread_message_count";
            // The second side benefits from the server's cache: each side is second half of the
            // time.
            if number % 2 == 0 {
                read.push(raw.read(&all, CONVERSATIONS).await?);
            }
            first.push(call(&client, user, method, json!({}), is_all).await?.0);
            if number % 2 == 1 {
                read.push(raw.read(&all, CONVERSATIONS).await?);
            }
        }
        firsts.push(median(&first));
        raws.push(median(&read));
    }
    let numbers = format!("call {:.0}, raw {:.0} µs at p50", median(&firsts), median(&raws));
    let figure = format!(
        "first call of a user with {CONVERSATIONS} conversations that are not in memory, against one \
         raw `multi_last` of them"
    );
    let measured = Measured::ratio(&firsts, &raws);
    Ok(vec![Figure::new("first-call", &figure, Goal::AtMost(3.0), measured, numbers)])
}
