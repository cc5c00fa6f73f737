//! Appends of stores in memory.

use peerd::store::{Append, Appended, Store};
use tokio::time::Instant;

/// [`Store::append_then`] as a task of its own.
pub(crate) fn append_in_task<S: Store + Clone>(
    store: &S,
    append: Append,
    deadline: Instant,
    then: impl FnOnce(Appended) + Send + 'static,
) {
    let store = store.clone();
    tokio::spawn(async move {
        let Append { stream, subject, payload, expected_seq } = append;
        let stored = store.append(stream, subject, payload, expected_seq, deadline).await;
        then(Appended::Now(stored));
    });
}
