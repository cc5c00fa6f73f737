//! The promises, and the result of checking them.

use crate::{dashboard::say, faults::judged::Judged};

const FAULTS_SHOWN: usize = 10;

/// The kinds of faults in the result, and their names in `peerd verify`.
const KINDS: [(&str, &[&str]); 6] = [
    ("lost", &["lost"]),
    ("doubled", &["doubled"]),
    ("out of order", &["reordered"]),
    ("gaps in the numbering", &["gap"]),
    ("counts that are wrong", &["wrongCount"]),
    ("sent or shown to the wrong user", &["wrongRecipient"]),
];

/// Prints the result; returns whether all promises were kept.
pub(crate) fn pronounce(Judged { read, verdict, faults: all, .. }: &Judged) -> bool {
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
    if let Some(others @ 1..) = all.len().checked_sub(known) {
        line("other faults", u64::try_from(others).unwrap_or(u64::MAX));
    }
    line("lines of history read back", u64::try_from(*read).unwrap_or(u64::MAX));
    // A live event that was lost when a nats-server died is not a fault.
    line("messages received live", figure("delivered"));
    line("of them more than once", figure("redelivered"));
    say("  (A peerd that takes over publishes again what the dead one may not have published.");
    say("   Clients recognize such a message by its messageID.)");
    for fault in all.iter().take(FAULTS_SHOWN) {
        say(&format!("  ! {fault}"));
    }
    all.is_empty()
}
