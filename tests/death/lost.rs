//! A store that lost its end, as after a power loss: the files of the log are reset to an earlier
//! state, those of the entries are not.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    faults::{caller::Caller, failure::Failure},
    support::{Nats, Peerd},
};

const SETTINGS: [(&str, &str); 2] =
    [("PEERD__PARTITIONS", "1"), ("PEERD__LIMITS__MESSAGES_PER_SECOND", "100000")];
const LOG: &str = "store/jetstream/$G/streams/PEER_LOG_0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_stream_loses_its_messages_and_the_rest_goes_on() -> Result<(), Failure> {
    for peerd_stays_up in [true, false] {
        lose_the_end(peerd_stays_up).await?;
    }
    Ok(())
}

async fn lose_the_end(peerd_stays_up: bool) -> Result<(), Failure> {
    let mut nats = Nats::start().await;
    let mut peerd = Peerd::start_with(&nats.url(), &SETTINGS).await;
    let caller = Caller::connect(&nats.url()).await?;
    for user in ["alice", "bob"] {
        caller.until_done(user, "login", &json!({})).await?;
    }
    let mut known = Vec::new();
    for number in 0..5 {
        known.push(send(&caller, number).await?);
    }
    let earlier = tempfile::tempdir()?;
    let log = nats.dir().join(LOG);
    nats.kill9();
    copy(&log, earlier.path())?;
    nats.restart().await;
    for number in 5..10 {
        known.push(send(&caller, number).await?);
    }
    nats.kill9();
    fs::remove_dir_all(&log)?;
    copy(earlier.path(), &log)?;
    if peerd_stays_up {
        nats.restart().await;
    } else {
        peerd.kill9();
        nats.restart().await;
        peerd = Peerd::start_with(&nats.url(), &SETTINGS).await;
    }

    let lost = known.split_off(5);
    // Lost messages are stored again, in any order; kept ones are not.
    for number in [7, 10, 11, 12, 8] {
        known.push(send(&caller, number).await?);
    }
    assert_eq!(send(&caller, 2).await?, known[2]);

    let query = json!({ "conversationID": "alice", "config": { "count": 100, "reverse": true } });
    let page = caller.until_done("bob", "query_history_message", &query).await?;
    let page = page["messageList"].as_array().ok_or("a page without messages")?;
    let texts = page.iter().map(|message| &message["message"]);
    let expected = known.iter().map(|message| &message["message"]);
    assert_eq!(texts.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let seqs: Vec<_> = page.iter().map(|message| message["messageSeq"].as_u64()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    let ids = |messages: &[Value]| -> Vec<_> {
        messages.iter().map(|message| message["messageID"].to_string()).collect()
    };
    let lost = ids(&lost);
    assert!(ids(page).iter().all(|id| !lost.contains(id)), "a messageID was given twice");
    drop(peerd);
    Ok(())
}

/// Sends a message by number until it succeeds, and returns it.
async fn send(caller: &Caller, number: u32) -> Result<Value, Failure> {
    let (text, local_id) = (format!("text {number}"), format!("id {number}"));
    let message = json!({ "type": 1, "message": text, "localMessageID": local_id });
    let body = json!({ "toUserID": "bob", "message": message });
    let mut reply = caller.until_done("alice", "send_peer_message", &body).await?;
    assert_eq!(reply["message"]["message"], text, "answered with another message");
    Ok(reply["message"].take())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
