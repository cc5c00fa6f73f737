//! Sends while histories are read, to see whether reads delay the appends to their stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use peerd_core::id::{Partition, UserId};
use peerd_protocol::subject::{Subjects, Token};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    bulk::{self, Conversation},
    effort::Effort,
    figures::{Figure, Goal, Measured, median},
    load::{each, run},
    reading::{PAGE, PARTITIONS, PREFIX, call, user_id},
    stage::{Kind, Stage},
    support::{self, Client},
};

/// The partition of the sends, and another one for reads.
const SENDS: Partition = Partition(0);
const ELSEWHERE: Partition = Partition(1);
/// Pages that are read in a second, and the readers, each of a conversation of its own.
const PAGES_PER_SECOND: u32 = 500;
const READERS: u32 = 50;
/// Messages of each conversation, through which its reader pages back again and again.
const MESSAGES: u64 = 3000;
/// Messages that are sent in a second meanwhile, and the pairs.
const RATE: &str = "2000";
const PAIRS: &str = "1000";

/// The other user of a reader's conversation.
fn other(reader: &UserId) -> Result<UserId, String> {
    user_id(&format!("{}-other", reader.as_str()))
}

/// Users whose conversations are in a partition.
fn readers(partition: Partition) -> Result<Vec<UserId>, String> {
    let subjects = Subjects::new(PREFIX, PARTITIONS);
    let users = (0..).map(|number| user_id(&format!("reader{number}")));
    let is_there = |user: &UserId| subjects.partition(&Token::of(user)) == partition;
    users
        .filter(|user| user.as_ref().map_or(true, is_there))
        .take(usize::try_from(READERS).map_err(|error| error.to_string())?)
        .collect()
}

/// The numbers of pages read, and of calls that were refused or not answered.
#[derive(Default)]
struct Pages {
    read: AtomicU64,
    refused: AtomicU64,
}

/// Pages through the conversation of one reader, one page per period, until it is aborted.
async fn page_through(
    client: Arc<Client>,
    reader: UserId,
    pages: Arc<Pages>,
) -> Result<(), String> {
    let conversation = other(&reader)?;
    let mut ticks = interval(Duration::from_secs(1) * READERS / PAGES_PER_SECOND);
    // A late page does not make the reader request the next ones faster.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Value::Null;
    loop {
        ticks.tick().await;
        let config = json!({ "nextMessage": before, "count": PAGE, "reverse": true });
        let body = json!({ "conversationID": conversation.as_str(), "config": config });
        let is_page = |reply: &Value| reply["messageList"].is_array();
        let method = "query_history_message";
        let answer = call(&client, reader.as_str(), method, body, is_page).await;
        let Ok((_, reply)) = answer else {
            // On a saturated machine; the figure contains their number.
            pages.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        pages.read.fetch_add(1, Ordering::Relaxed);
        let list = reply["messageList"].as_array();
        // After the oldest message it begins again at the newest.
        before = list.and_then(|list| list.first()).cloned().unwrap_or(Value::Null);
    }
}

/// The measurements of a round with reads.
struct Round {
    p99_us: f64,
    pages_per_second: f64,
    refused: u64,
}

/// Sends while the histories of these users are read.
async fn measure(
    stage: &Stage,
    effort: &Effort,
    client: &Arc<Client>,
    readers: &[UserId],
) -> Result<Round, String> {
    let (pages, began, mut reads) = (Arc::new(Pages::default()), Instant::now(), JoinSet::new());
    for reader in readers {
        reads.spawn(page_through(client.clone(), reader.clone(), pages.clone()));
    }
    let (number, pairs) = (SENDS.0.to_string(), ["--pairs", PAIRS, "--rate", RATE]);
    let sends = ["--users", "beside", "--partition", &number];
    let arguments = [&sends[..], &pairs].concat();
    let report = tokio::select! {
        report = run(stage, effort, &arguments) => report?,
        // A reader ends only with an error.
        Some(ended) = reads.join_next() => {
            return Err(match ended {
                Ok(Err(problem)) => problem,
                Ok(Ok(())) | Err(_) => "a reader ended".to_owned(),
            });
        }
    };
    let read = pages.read.load(Ordering::Relaxed);
    let read = f64::from(u32::try_from(read).unwrap_or(u32::MAX));
    Ok(Round {
        p99_us: median(&each(&report, "peerd", "/reply/p99Us")),
        pages_per_second: read / began.elapsed().as_secs_f64(),
        refused: pages.refused.load(Ordering::Relaxed),
    })
}

/// Measures sends into one partition while histories of that partition, or of another, are read.
pub(crate) async fn reads_beside_sends(effort: &Effort) -> Result<Vec<Figure>, String> {
    let mut stage = Stage::start(Kind::One, &[]).await?;
    stage.end_peerd().await;
    let (here, elsewhere) = (readers(SENDS)?, readers(ELSEWHERE)?);
    let conversation = |reader: &UserId| {
        let (sender, receiver) = (other(reader)?, reader.clone());
        Ok(Conversation { sender, receiver, messages: MESSAGES, slow: 0..0 })
    };
    let all: Result<Vec<_>, String> = here.iter().chain(&elsewhere).map(conversation).collect();
    bulk::write(&stage.url(), all?).await?;
    stage.start_peerd().await?;
    let client = Arc::new(Client::connect(&stage.url()).await);
    join_all(here.iter().chain(&elsewhere).map(|user| support::login(&client, user.as_str())))
        .await;
    let (mut beside, mut apart, mut pages, mut refused) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..effort.rounds {
        for (readers, latencies) in [(&here, &mut beside), (&elsewhere, &mut apart)] {
            let round = measure(&stage, effort, &client, readers).await?;
            latencies.push(round.p99_us);
            pages.push(round.pages_per_second);
            refused += round.refused;
        }
    }
    let numbers = format!(
        "beside {:.0}, apart {:.0} µs; {:.0} pages and {RATE} messages a second; {refused} pages \
         refused",
        median(&beside),
        median(&apart),
        median(&pages),
    );
    let what = format!(
        "p99 of sends while histories of the same partition are read, {PAGES_PER_SECOND} pages a \
         second, against the same reads in another partition"
    );
    let measured = Measured::ratio(&beside, &apart);
    Ok(vec![Figure::new("reads", &what, Goal::AtMost(1.1), measured, numbers)])
}
