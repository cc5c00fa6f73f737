//! What was promised, and what is there.

use serde_json::Value;

use crate::{board::say, faults::notes};

const FAULTS_SHOWN: usize = 10;

/// The kinds of faults that people ask about, and what `peerd verify` calls them.
const KINDS: [(&str, &[&str]); 6] = [
    ("lost", &["lost"]),
    ("doubled", &["doubled"]),
    ("out of order", &["reordered"]),
    ("gaps in the numbering", &["gap"]),
    ("counts that are wrong", &["wrongCount"]),
    ("told or shown to the wrong user", &["wrongRecipient"]),
];

/// Says it; answers whether all is as promised.
pub(crate) fn pronounce(verdict: &Value, read: usize) -> bool {
    let figure = |name: &str| verdict[name].as_u64().unwrap_or_default();
    let line = |what: &str, count: u64| say(&format!("  {what:<34}{count:>8}"));
    say("");
    line("messages acknowledged", figure("acknowledged"));
    line("messages stored", figure("stored"));
    let faults: Vec<&str> = (verdict["faults"].as_array().into_iter().flatten())
        .filter_map(|fault| fault["kind"].as_str())
        .collect();
    let mut known = 0;
    for (what, kinds) in KINDS {
        let found = faults.iter().filter(|kind| kinds.contains(kind)).count();
        known += found;
        line(what, u64::try_from(found).unwrap_or(u64::MAX));
    }
    if let Some(others @ 1..) = faults.len().checked_sub(known) {
        line("other faults", u64::try_from(others).unwrap_or(u64::MAX));
    }
    line("lines of history read back", u64::try_from(read).unwrap_or(u64::MAX));
    // Events come live or not at all: that one did not is no fault while a nats-server dies.
    line("messages told live", figure("told"));
    line("of them more than once", figure("toldAgain"));
    for fault in notes::faults(verdict).iter().take(FAULTS_SHOWN) {
        say(&format!("  ! {fault}"));
    }
    faults.is_empty()
}
