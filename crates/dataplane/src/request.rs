//! Requests: one subscription for all answers, and the requests that wait for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::RequestError;
use crate::parser::Message;

/// The number (SID) of the subscription for all answers. Those of other subscriptions begin with 1.
pub(crate) const ANSWERS_SID: u64 = 0;

/// Whether a message on a reply subject is the expected answer. Any client that receives a request
/// can reply to it.
type IsAnswer = Box<dyn Fn(&Message) -> bool + Send + Sync>;

/// The requests that wait for an answer.
pub(crate) struct Requests {
    /// The prefix of the reply subjects, including the dot before the last token.
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

struct Waiting {
    is_answer: IsAnswer,
    answer: oneshot::Sender<Message>,
}

impl Requests {
    pub(crate) fn new(inbox_prefix: &str) -> Self {
        let prefix = format!("{inbox_prefix}.{}.", nuid::next());
        Self { prefix, next: AtomicU64::new(1), waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame that subscribes to all answers.
    pub(crate) fn subscribe(&self) -> String {
        format!("SUB {}* {ANSWERS_SID}\r\n", self.prefix)
    }

    /// A reply subject that no other request uses.
    pub(crate) fn new_reply_subject(&self) -> String {
        format!("{}{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn number(&self, subject: &[u8]) -> Option<u64> {
        let number = subject.strip_prefix(self.prefix.as_bytes())?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    /// Registers a request with a reply subject of this connection; `None` for any other subject.
    /// The returned value unregisters it when dropped.
    pub(crate) fn begin(&self, reply: &[u8], is_answer: IsAnswer) -> Option<Answer<'_>> {
        let number = self.number(reply)?;
        let (answer, message) = oneshot::channel();
        self.waiting().insert(number, Waiting { is_answer, answer });
        Some(Answer { requests: self, number, message })
    }

    /// Handles a message on a reply subject.
    pub(crate) fn take(&self, message: Message) {
        let Some(number) = self.number(&message.subject) else { return };
        let mut all = self.waiting();
        let is_one =
            |waiting: &Waiting| message.is_no_responders() || (waiting.is_answer)(&message);
        // A message that is not the answer leaves the request waiting for it.
        if all.get(&number).is_some_and(is_one)
            && let Some(waiting) = all.remove(&number)
        {
            // The waiting task may have given up.
            let _ = waiting.answer.send(message);
        }
    }

    /// Fails all requests: no answer can arrive any more.
    pub(crate) fn fail(&self) {
        self.waiting().clear();
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

/// An expected answer.
pub(crate) struct Answer<'r> {
    requests: &'r Requests,
    number: u64,
    message: oneshot::Receiver<Message>,
}

impl Answer<'_> {
    pub(crate) async fn wait(mut self) -> Result<Message, RequestError> {
        let message = (&mut self.message).await.map_err(|_| RequestError::Disconnected)?;
        if message.is_no_responders() {
            return Err(RequestError::NoResponders);
        }
        Ok(message)
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.requests.waiting().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::headers::Headers;

    fn to(subject: &str, payload: &'static str) -> Message {
        let subject = Bytes::copy_from_slice(subject.as_bytes());
        Message { subject, reply: None, headers: None, payload: payload.into() }
    }

    fn begin<'r>(requests: &'r Requests, reply: &str) -> Option<Answer<'r>> {
        requests.begin(reply.as_bytes(), Box::new(|message| message.payload == "yes"))
    }

    #[tokio::test]
    async fn an_answer_reaches_the_request_that_waits_for_it() {
        let requests = Requests::new("_INBOX");
        let subjects = [requests.new_reply_subject(), requests.new_reply_subject()];
        let first = begin(&requests, &subjects[0]).expect("its subject");
        let second = begin(&requests, &subjects[1]).expect("its subject");
        for subject in ["_INBOX.x", "", "\u{e4}", &requests.prefix] {
            assert!(begin(&requests, subject).is_none(), "{subject}");
            requests.take(to(subject, "yes"));
        }
        requests.take(to(&subjects[1], "no"));
        let answer = to(&subjects[1], "yes");
        requests.take(answer.clone());
        requests.take(answer.clone());
        assert_eq!(second.wait().await, Ok(answer));
        assert_eq!(requests.waiting().len(), 1);
        requests.fail();
        assert_eq!(first.wait().await, Err(RequestError::Disconnected));
        drop(begin(&requests, &subjects[0]));
        assert!(requests.waiting().is_empty());
    }

    #[tokio::test]
    async fn no_responders_is_an_answer() {
        let requests = Requests::new("_INBOX");
        let subject = requests.new_reply_subject();
        let waiting = begin(&requests, &subject).expect("its subject");
        let headers = Some(Headers::new(Bytes::from_static(b"NATS/1.0 503\r\n\r\n"), false));
        requests.take(Message { headers, ..to(&subject, "") });
        assert_eq!(waiting.wait().await, Err(RequestError::NoResponders));
    }
}
