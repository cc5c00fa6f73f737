//! What was promised, and what is there.

use std::collections::BTreeSet;

use crate::{
    board::say,
    faults::{
        account::Account,
        checker::{self, Views},
    },
    listeners::Listeners,
};

const FAULTS_SHOWN: usize = 10;

/// The kinds of faults that people ask about, and what the checker says of each.
const KINDS: [(&str, &[&str]); 4] = [
    ("lost", &["is lost"]),
    ("doubled", &["is there twice"]),
    ("gaps in the numbering", &["messageSeq jumps"]),
    ("unread counts that are wrong", &["unread is", "the total "]),
];

/// Says it; answers whether all is as promised.
pub(crate) fn pronounce(account: &Account, views: &Views, listeners: &Listeners) -> bool {
    let acked: Vec<&str> = account
        .sent
        .iter()
        .filter_map(|sent| sent.ack.as_ref())
        .map(|ack| ack.message_id.as_str())
        .collect();
    let there: BTreeSet<&str> = views
        .values()
        .flat_map(|view| view.histories.values().flatten())
        .map(|line| line.message_id.as_str())
        .collect();
    let faults = checker::faults(account, views);
    say(&format!("\n  {:<30}{:>8}", "messages acknowledged", acked.len()));
    say(&format!("  {:<30}{:>8}", "messages read back", there.len()));
    let mut known = 0;
    for (kind, texts) in KINDS {
        let is_one = |fault: &&String| texts.iter().any(|text| fault.contains(text));
        let found = faults.iter().filter(is_one).count();
        known += found;
        say(&format!("  {kind:<30}{found:>8}"));
    }
    if let Some(others @ 1..) = faults.len().checked_sub(known) {
        say(&format!("  {:<30}{others:>8}", "other faults"));
    }
    // Events come live or not at all: that one did not is no fault, but worth knowing.
    let (told, again) = listeners.told(acked.iter().copied());
    say(&format!("  {:<30}{told:>8}", "messages told live"));
    say(&format!("  {:<30}{again:>8}", "of them more than once"));
    for fault in faults.iter().take(FAULTS_SHOWN) {
        say(&format!("  ! {fault}"));
    }
    faults.is_empty()
}
