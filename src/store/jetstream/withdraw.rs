//! Taking an offline push back out of the work queue.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use peerd_dataplane::Headers;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::acks::ApiError;
use super::publish::Backoff;
use super::reads::NO_MESSAGE;
use super::{JetStream, MESSAGE_ID};
use crate::store::survey::STREAM_NOT_FOUND;
use crate::store::trouble::Resource;
use crate::store::tuning::WITHDRAW_LOOKS_MAX;
use crate::store::{AppendError, Push};
use peerd_protocol::time::rfc3339;

/// The leader's answer: a push, or why there is none.
#[derive(Deserialize)]
struct Answer {
    message: Option<Waiting>,
    error: Option<ApiError>,
}

/// A push in the queue.
#[derive(Deserialize)]
struct Waiting {
    seq: u64,
    #[serde(default)]
    hdrs: String,
}

impl Waiting {
    fn has_id(&self, id: &str) -> bool {
        let Ok(block) = BASE64_STANDARD.decode(&self.hdrs) else { return false };
        Headers::new(Bytes::from(block), false).get(MESSAGE_ID).as_deref() == Some(id)
    }
}

impl JetStream {
    /// See [`crate::store::Store::withdraw`]. The leader is asked: a replica may not have the push
    /// yet.
    pub(super) async fn withdraw_push(
        &self,
        Push { subject, id, since_ms }: Push,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let queue = self.names.push();
        let get = format!("$JS.API.STREAM.MSG.GET.{queue}");
        let mut next = json!({ "start_time": rfc3339(since_ms), "next_by_subj": subject });
        let mut backoff = Backoff::until(deadline);
        let mut looks = 0;
        loop {
            let answer = self.ask_api(get.clone(), next.to_string().into(), &mut backoff).await;
            match answer.and_then(|answer| serde_json::from_slice(&answer.payload).ok()) {
                Some(Answer { message: Some(push), .. }) if push.has_id(&id) => {
                    return self.erase_from(&queue, Resource::Push, push.seq, deadline).await;
                }
                Some(Answer { message: Some(Waiting { seq, .. }), .. }) => {
                    looks += 1;
                    if looks == WITHDRAW_LOOKS_MAX {
                        tracing::warn!(
                            subject,
                            looks,
                            remedy = "see why the push gateway does not take pushes",
                            "did not find the offline push of a removed message: too many wait"
                        );
                        return Ok(());
                    }
                    next = json!({ "seq": seq + 1, "next_by_subj": subject });
                    continue;
                }
                Some(Answer { error: Some(error), .. })
                    if [NO_MESSAGE, STREAM_NOT_FOUND].contains(&error.err_code) =>
                {
                    return Ok(());
                }
                Some(Answer { error, .. }) => {
                    tracing::debug!(?error, "the leader of the work queue did not show a push");
                    self.troubles.suspect(Resource::Push);
                }
                None => {}
            }
            // Perhaps there is no leader at the moment.
            if !backoff.wait().await {
                return Err(AppendError::Unknown);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerd_testkit::Nats;

    use super::*;
    use crate::clock::Clock;
    use crate::store::Store as _;
    use crate::store::jetstream::fresh;
    use peerd_protocol::subject::Subjects;

    #[tokio::test]
    async fn one_push_is_taken_back_and_the_others_stay() {
        let (nats, subjects) = (Nats::start().await, Subjects::new("peer", 1));
        let (store, _) = fresh::store(nats.url(), &subjects).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        let (subject, from_ms) = ("peer.push.bob".to_owned(), Clock::system().wall_ms());
        for (to, id) in [("bob", "1"), ("alice", "2"), ("bob", "3"), ("bob", "4")] {
            let (subject, id) = (format!("peer.push.{to}"), id.to_owned());
            let body = Bytes::from(format!("the push {id}"));
            let handed = store.hand_off(subject, body, "application/json", id, deadline).await;
            handed.expect("in the queue");
        }
        let push = |id: &str, since_ms| Push { subject: subject.clone(), id: id.into(), since_ms };
        let since_ms = from_ms.saturating_sub(1000);
        // A repeat succeeds, and so does one of a push that was not there.
        for id in ["3", "3", "9", "2"] {
            store.withdraw(push(id, since_ms), deadline).await.expect("withdrawn");
        }
        // Pushes before the time are not looked at.
        store
            .withdraw(push("4", Clock::system().wall_ms() + 60_000), deadline)
            .await
            .expect("nothing to do");
        let client = async_nats::connect(nats.url()).await.expect("connected");
        let queue = async_nats::jetstream::new(client).get_stream("PEER_PUSH").await;
        let queue = queue.expect("the queue");
        let mut left = Vec::new();
        for seq in 1..=4 {
            left.extend(queue.get_raw_message(seq).await.ok().map(|found| found.payload));
        }
        assert_eq!(left, ["the push 1", "the push 2", "the push 4"]);
    }
}
