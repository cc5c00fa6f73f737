//! The subscriptions of a connection: their subjects, the targets of their messages, and their end.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::parser::Message;

/// Handles each message of a subscription. Called by the connection's task: it must not block.
pub type Handler = Arc<dyn Fn(Message) + Send + Sync>;

/// A subscription, as the connection sees it.
#[derive(Debug)]
struct Entry {
    subject: Arc<str>,
    queue_group: Option<String>,
    sink: Sink,
    /// The number of messages that arrived, and how many of them on earlier connections.
    came: u64,
    came_before: u64,
    /// The number of the message with which it ends.
    ends_after: Option<u64>,
    /// Whether UNSUB was sent: the subscription is not restored on a new connection.
    is_ending: bool,
}

/// The target of the messages of a subscription.
enum Sink {
    /// Into a queue. `bytes` is the size of the waiting messages.
    Queue { messages: mpsc::Sender<Message>, bytes: Arc<AtomicUsize> },
    /// To a function.
    Handler(Handler),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue { .. } => "Queue",
            Self::Handler(_) => "Handler",
        })
    }
}

/// The result of passing a message to its subscription.
pub(crate) enum Taken {
    /// It waits in its queue, or its subscription has ended.
    Done,
    /// The queue of the subscription with this subject has no room: it was dropped.
    Dropped(Arc<str>),
    /// It is to be handled, with nothing locked.
    Handle(Handler, Message),
}

/// The receiving end of a subscription's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) bytes: Arc<AtomicUsize>,
}

/// All subscriptions of a connection.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    entries: BTreeMap<u64, Entry>,
    next_sid: u64,
    messages_max: usize,
    bytes_max: usize,
}

impl Subscriptions {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { entries: BTreeMap::new(), next_sid: 1, messages_max, bytes_max }
    }

    /// A number that no other subscription has.
    pub(crate) const fn new_sid(&mut self) -> u64 {
        let sid = self.next_sid;
        self.next_sid += 1;
        sid
    }

    /// Adds a subscription with a queue. Returns its number, its queue, and the frame that
    /// subscribes.
    pub(crate) fn add(&mut self, subject: &str, queue_group: Option<&str>) -> (u64, Queue, String) {
        let (messages, queue) = mpsc::channel(self.messages_max);
        let bytes: Arc<AtomicUsize> = Arc::default();
        let sink = Sink::Queue { messages, bytes: bytes.clone() };
        let (sid, frame) = self.insert(subject, queue_group, sink);
        (sid, Queue { messages: queue, bytes }, frame)
    }

    /// Adds a subscription whose messages a function handles. Returns its number, and the frame
    /// that subscribes.
    pub(crate) fn add_handled(
        &mut self,
        subject: &str,
        queue_group: Option<&str>,
        handler: Handler,
    ) -> (u64, String) {
        self.insert(subject, queue_group, Sink::Handler(handler))
    }

    fn insert(&mut self, subject: &str, queue_group: Option<&str>, sink: Sink) -> (u64, String) {
        let sid = self.new_sid();
        let entry = Entry {
            subject: Arc::from(subject),
            queue_group: queue_group.map(str::to_owned),
            sink,
            came: 0,
            came_before: 0,
            ends_after: None,
            is_ending: false,
        };
        let frame = entry.frame(sid);
        self.entries.insert(sid, entry);
        (sid, frame)
    }

    /// The frames that subscribe again on a new connection. Subscriptions that were ending have
    /// ended.
    pub(crate) fn renew(&mut self) -> String {
        self.entries.retain(|_, entry| !entry.is_ending);
        let mut frames = String::new();
        for (sid, entry) in &mut self.entries {
            entry.came_before = entry.came;
            frames += &entry.frame(*sid);
        }
        frames
    }

    /// The frames that unsubscribe everything on this connection, before it is closed.
    pub(crate) fn leave(&self) -> String {
        self.entries.keys().map(|sid| unsubscribe(*sid)).collect()
    }

    /// Passes a message to its subscription.
    pub(crate) fn take(&mut self, sid: u64, message: Message) -> Taken {
        // The message was in flight when its subscription ended.
        let Some(entry) = self.entries.get_mut(&sid) else { return Taken::Done };
        entry.came += 1;
        let is_last = entry.ends_after.is_some_and(|last| entry.came >= last);
        let taken = match &entry.sink {
            Sink::Handler(handler) => Taken::Handle(handler.clone(), message),
            Sink::Queue { messages, bytes } => {
                let length = message.len();
                let waiting = bytes.fetch_add(length, Ordering::Relaxed);
                // A message that is larger than the limit is accepted when none is waiting.
                let has_room = waiting == 0 || waiting + length <= self.bytes_max;
                if has_room && messages.try_send(message).is_ok() {
                    Taken::Done
                } else {
                    bytes.fetch_sub(length, Ordering::Relaxed);
                    Taken::Dropped(entry.subject.clone())
                }
            }
        };
        if is_last {
            self.entries.remove(&sid);
        }
        taken
    }

    /// Ends a subscription at the `last`th message, counted from its beginning; returns the frame
    /// that does so.
    pub(crate) fn end_after(&mut self, sid: u64, last: u64) -> Option<String> {
        let entry = self.entries.get_mut(&sid)?;
        if entry.came >= last {
            self.entries.remove(&sid);
            return Some(unsubscribe(sid));
        }
        entry.ends_after = Some(last);
        Some(entry.unsubscribe_after(sid, last))
    }

    /// Notes that a subscription is ending; returns the frame that unsubscribes.
    pub(crate) fn begin_end(&mut self, sid: u64) -> Option<String> {
        self.entries.get_mut(&sid)?.is_ending = true;
        Some(unsubscribe(sid))
    }

    /// Removes a subscription, which ends after its waiting messages. Returns whether it was there.
    pub(crate) fn remove(&mut self, sid: u64) -> bool {
        self.entries.remove(&sid).is_some()
    }

    /// Removes all subscriptions.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

impl Entry {
    /// The frames that subscribe on a new connection.
    fn frame(&self, sid: u64) -> String {
        let mut frame = format!("SUB {}", self.subject);
        // Writing to a String cannot fail.
        if let Some(group) = &self.queue_group {
            let _ = write!(frame, " {group}");
        }
        let _ = write!(frame, " {sid}\r\n");
        if let Some(last) = self.ends_after {
            frame += &self.unsubscribe_after(sid, last);
        }
        frame
    }

    /// The server counts the messages of this connection only.
    fn unsubscribe_after(&self, sid: u64, last: u64) -> String {
        format!("UNSUB {sid} {}\r\n", last.saturating_sub(self.came_before).max(1))
    }
}

/// The frame that unsubscribes.
pub(crate) fn unsubscribe(sid: u64) -> String {
    format!("UNSUB {sid}\r\n")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(length: usize) -> Message {
        let (subject, payload) = (Bytes::from_static(b"s"), Bytes::from(vec![0; length]));
        Message { subject, reply: None, headers: None, payload }
    }

    /// The subject of the subscription that dropped the message, if one did.
    fn take(all: &mut Subscriptions, sid: u64, length: usize) -> Result<(), Arc<str>> {
        match all.take(sid, message(length)) {
            Taken::Done => Ok(()),
            Taken::Dropped(subject) => Err(subject),
            Taken::Handle(handler, message) => {
                handler(message);
                Ok(())
            }
        }
    }

    #[test]
    fn a_full_subscription_drops_messages_and_reports_them() {
        let mut all = Subscriptions::new(2, 100);
        let (sid, mut queue, frame) = all.add("a.*", Some("g"));
        assert_eq!(frame, "SUB a.* g 1\r\n");
        assert_eq!(take(&mut all, sid, 10), Ok(()));
        assert_eq!(take(&mut all, sid, 10), Ok(()));
        assert_eq!(take(&mut all, sid, 10), Err("a.*".into()));
        let first = queue.messages.try_recv().expect("the first");
        queue.bytes.fetch_sub(first.len(), Ordering::Relaxed);
        assert_eq!(take(&mut all, sid, 95), Err("a.*".into()), "too many bytes");
        let second = queue.messages.try_recv().expect("the second");
        queue.bytes.fetch_sub(second.len(), Ordering::Relaxed);
        assert_eq!(take(&mut all, sid, 500), Ok(()), "a single message may be larger");
        assert_eq!(take(&mut all, 7, 1), Ok(()), "its subscription has ended");
    }

    #[test]
    fn a_subscription_ends_after_its_last_message_across_connections() {
        let mut all = Subscriptions::new(10, 100);
        let (sid, mut queue, _) = all.add("a", None);
        take(&mut all, sid, 1).expect("room");
        assert_eq!(all.end_after(sid, 3).as_deref(), Some("UNSUB 1 3\r\n"));
        take(&mut all, sid, 1).expect("room");
        assert_eq!(all.renew(), "SUB a 1\r\nUNSUB 1 1\r\n");
        take(&mut all, sid, 1).expect("room");
        take(&mut all, sid, 1).expect("its subscription has ended");
        for _ in 0..3 {
            queue.messages.try_recv().expect("a message");
        }
        assert_eq!(queue.messages.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(all.renew(), "");
    }

    #[test]
    fn a_handler_gets_each_message_until_its_subscription_ends() {
        let mut all = Subscriptions::new(1, 1);
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        let handler: Handler = Arc::new(move |message| {
            counted.fetch_add(message.payload.len(), Ordering::Relaxed);
        });
        let (sid, frame) = all.add_handled("a", None, handler);
        assert_eq!(frame, "SUB a 1\r\n");
        for length in [10, 20, 30] {
            assert_eq!(take(&mut all, sid, length), Ok(()), "no queue, no bound");
        }
        assert!(all.remove(sid));
        assert_eq!(take(&mut all, sid, 40), Ok(()));
        assert_eq!(seen.load(Ordering::Relaxed), 60);
    }

    #[test]
    fn an_ending_subscription_is_not_made_again() {
        let mut all = Subscriptions::new(10, 100);
        let (first, _first, _) = all.add("a", None);
        let (_second, _queue, _) = all.add("b", None);
        assert_eq!(all.begin_end(first).as_deref(), Some("UNSUB 1\r\n"));
        assert_eq!(all.renew(), "SUB b 2\r\n");
        assert!(!all.remove(first));
        assert_eq!(all.leave(), "UNSUB 2\r\n");
    }
}
