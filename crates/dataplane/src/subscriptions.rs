//! The subscriptions of a connection: their subjects, their waiting messages, and how they end.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::parser::Message;

/// A subscription, as the connection sees it.
#[derive(Debug)]
struct Entry {
    subject: Arc<str>,
    queue_group: Option<String>,
    messages: mpsc::Sender<Message>,
    /// The size of the waiting messages in bytes.
    bytes: Arc<AtomicUsize>,
    /// The number of messages that arrived, and how many of them on earlier connections.
    came: u64,
    came_before: u64,
    /// The message with which it ends.
    ends_after: Option<u64>,
    /// Whether UNSUB was sent: the subscription is not restored on a new connection.
    is_ending: bool,
}

/// The receiving end of a subscription.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) bytes: Arc<AtomicUsize>,
}

/// All subscriptions of a connection.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    entries: HashMap<u64, Entry>,
    next_sid: u64,
    messages_max: usize,
    bytes_max: usize,
}

impl Subscriptions {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { entries: HashMap::new(), next_sid: 1, messages_max, bytes_max }
    }

    /// A number that no other subscription has.
    pub(crate) const fn new_sid(&mut self) -> u64 {
        let sid = self.next_sid;
        self.next_sid += 1;
        sid
    }

    /// Adds a subscription. Returns its number, its queue, and the frame that subscribes.
    pub(crate) fn add(&mut self, subject: &str, queue_group: Option<&str>) -> (u64, Queue, String) {
        let sid = self.new_sid();
        let (messages, queue) = mpsc::channel(self.messages_max);
        let bytes: Arc<AtomicUsize> = Arc::default();
        let entry = Entry {
            subject: Arc::from(subject),
            queue_group: queue_group.map(str::to_owned),
            messages,
            bytes: bytes.clone(),
            came: 0,
            came_before: 0,
            ends_after: None,
            is_ending: false,
        };
        let frame = entry.frame(sid);
        self.entries.insert(sid, entry);
        (sid, Queue { messages: queue, bytes }, frame)
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

    /// Passes a message to its subscription. Where it has no room, returns the subscription's
    /// subject.
    pub(crate) fn take(&mut self, sid: u64, message: Message) -> Result<(), Arc<str>> {
        // The message was in flight when its subscription ended.
        let Some(entry) = self.entries.get_mut(&sid) else { return Ok(()) };
        entry.came += 1;
        let length = message.len();
        let is_last = entry.ends_after.is_some_and(|last| entry.came >= last);
        let waiting = entry.bytes.fetch_add(length, Ordering::Relaxed);
        // A message that is larger than the limit is accepted when none is waiting.
        let has_room = waiting == 0 || waiting + length <= self.bytes_max;
        let is_taken = has_room && entry.messages.try_send(message).is_ok();
        let mut result = Ok(());
        if !is_taken {
            entry.bytes.fetch_sub(length, Ordering::Relaxed);
            result = Err(entry.subject.clone());
        }
        if is_last {
            self.entries.remove(&sid);
        }
        result
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

    #[test]
    fn a_full_subscription_drops_messages_and_reports_them() {
        let mut all = Subscriptions::new(2, 100);
        let (sid, mut queue, frame) = all.add("a.*", Some("g"));
        assert_eq!(frame, "SUB a.* g 1\r\n");
        assert_eq!(all.take(sid, message(10)), Ok(()));
        assert_eq!(all.take(sid, message(10)), Ok(()));
        assert_eq!(all.take(sid, message(10)), Err("a.*".into()));
        let first = queue.messages.try_recv().expect("the first");
        queue.bytes.fetch_sub(first.len(), Ordering::Relaxed);
        assert_eq!(all.take(sid, message(95)), Err("a.*".into()), "too many bytes");
        let second = queue.messages.try_recv().expect("the second");
        queue.bytes.fetch_sub(second.len(), Ordering::Relaxed);
        assert_eq!(all.take(sid, message(500)), Ok(()), "a single message may be larger");
        assert_eq!(all.take(7, message(1)), Ok(()), "its subscription has ended");
    }

    #[test]
    fn a_subscription_ends_after_its_last_message_across_connections() {
        let mut all = Subscriptions::new(10, 100);
        let (sid, mut queue, _) = all.add("a", None);
        all.take(sid, message(1)).expect("room");
        assert_eq!(all.end_after(sid, 3).as_deref(), Some("UNSUB 1 3\r\n"));
        all.take(sid, message(1)).expect("room");
        assert_eq!(all.renew(), "SUB a 1\r\nUNSUB 1 1\r\n");
        all.take(sid, message(1)).expect("room");
        all.take(sid, message(1)).expect("its subscription has ended");
        for _ in 0..3 {
            queue.messages.try_recv().expect("a message");
        }
        assert_eq!(queue.messages.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(all.renew(), "");
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
