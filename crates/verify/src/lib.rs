//! The history checker: compares the notes of clients with the content of the streams.
//!
//! Clients note every call, every answer and every event ([`notes`]). `peerd verify` reads the
//! streams to their ends, decodes them and passes their content ([`stored`]). From these follow the
//! [`account`] of the clients' calls, and the views that all users must have. The [`checker`]
//! compares views and account; [`replies`] checks the replies of reading calls, [`events`] the
//! events that users received.

pub mod account;
pub mod checker;
pub mod events;
pub mod fault;
pub mod notes;
pub mod replies;
pub mod stored;

mod gather;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::fault::Fault;
use self::notes::Notes;
use self::stored::Stored;

/// The result of a verification.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Attempts of calls by clients.
    pub calls: usize,
    /// Messages whose success was answered.
    pub acknowledged: usize,
    /// Clears, mutes, deletes, edits, revocations, reactions, receipts and the like.
    pub changes: usize,
    /// Events that were received.
    pub events: usize,
    /// Acknowledged messages that at least one listener received.
    pub delivered: usize,
    /// Of these, messages that a listener received more than once.
    pub redelivered: usize,
    /// Messages in the store.
    pub stored: usize,
    /// Users who have a conversation.
    pub users: usize,
    /// All faults.
    pub faults: Vec<Fault>,
}

/// Compares the notes with the store. `clock_slack` is the greatest difference between the clocks
/// of two clients.
#[must_use]
pub fn verdict(notes: &Notes, stored: &Stored, clock_slack: Duration) -> Verdict {
    let slack_us = u64::try_from(clock_slack.as_micros()).unwrap_or(u64::MAX);
    let gathered = gather::gather(notes, stored, slack_us);
    let views = stored.views();
    let mut faults = stored.faults();
    faults.extend(gathered.faults);
    faults.extend(checker::faults(&gathered.account, &views));
    faults.extend(replies::faults(notes, &gathered.account, &views, slack_us));
    let found = events::hold(notes, stored, &gathered.account);
    faults.extend(found.faults);
    let acknowledged = gathered.account.sent.iter().filter(|sent| sent.ack.is_some()).count();
    let changes = gathered.account.sent.iter().map(|sent| sent.amended.len() + sent.reacted.len());
    let changes: usize = changes.sum();
    Verdict {
        calls: notes.calls.len(),
        acknowledged,
        changes: gathered.account.marks.len() + changes,
        events: notes.events.len(),
        delivered: found.delivered,
        redelivered: found.redelivered,
        stored: stored.messages.len(),
        users: views.len(),
        faults,
    }
}
