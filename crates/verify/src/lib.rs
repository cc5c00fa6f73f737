//! The history checker: holds what clients wrote down against what the stores hold.
//!
//! Clients write a note of every call, every answer and every event ([`notes`]). `peerd verify` reads the
//! streams to their ends, decodes them and hands over what they hold ([`stored`]). What follows is plain: an [`account`] of what clients did
//! and were answered, the views that all users have by what is stored, and what is wrong with them
//! ([`checker`]); what calls that read were answered ([`replies`]); which events users received ([`events`]).

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

/// What was held against what, and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Calls that clients made, each attempt counted.
    pub calls: usize,
    /// Messages whose success was answered.
    pub acknowledged: usize,
    /// Clears, mutes and deletes.
    pub changes: usize,
    /// Events that were received.
    pub events: usize,
    /// Acknowledged messages that some listener received.
    pub delivered: usize,
    /// Of them, those that one listener received more than once.
    pub redelivered: usize,
    /// Messages in the store.
    pub stored: usize,
    /// Users who have a conversation.
    pub users: usize,
    /// All that is wrong.
    pub faults: Vec<Fault>,
}

/// Holds the notes against the store. `clock_slack` is by how much the clocks of two clients may
/// differ.
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
    Verdict {
        calls: notes.calls.len(),
        acknowledged,
        changes: gathered.account.marks.len(),
        events: notes.events.len(),
        delivered: found.delivered,
        redelivered: found.redelivered,
        stored: stored.messages.len(),
        users: views.len(),
        faults,
    }
}
