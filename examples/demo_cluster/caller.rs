//! The caller of the tests that kill things, with a watch in its hand.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use crate::{faults::notes::Notes, meter::Meter};

#[path = "../../tests/faults/caller.rs"]
mod unwatched;

pub(crate) use unwatched::{CALL_DEADLINE, Failure};
use unwatched::{Counts, Manner, count};

const SEND: &str = "send_peer_message";

/// One connection that calls as any user, and tells the meter how long each send took.
#[derive(Clone)]
pub(crate) struct Caller {
    unwatched: unwatched::Caller,
    meter: Arc<Meter>,
}

impl Caller {
    /// As many connections as there are servers; each goes to another when its own is lost. A send
    /// that is not answered within half a second is repeated.
    pub(crate) async fn connect_each(
        servers: &[String],
        meter: &Arc<Meter>,
    ) -> Result<Vec<Self>, Failure> {
        let callers = unwatched::Caller::connect_each(servers, Manner::Impatient).await?;
        let watched = |unwatched| Self { unwatched, meter: Arc::clone(meter) };
        Ok(callers.into_iter().map(watched).collect())
    }

    /// What is noted of this caller and those that were connected with it.
    pub(crate) fn notes(&self) -> Arc<Notes> {
        self.unwatched.notes()
    }

    /// Repeats one call until it succeeds.
    pub(crate) async fn until_done(
        &self,
        user: &str,
        method: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        let began = Instant::now();
        let done = self.unwatched.until_done(user, method, body).await;
        if method == SEND && done.is_ok() {
            self.meter.answered(began.elapsed());
        }
        self.meter.set_repeated(repeated(&self.unwatched.counts()));
        done
    }
}

/// Attempts that were not the last of their call, of all connections together.
fn repeated(counts: &Counts) -> u64 {
    let Counts { outcome_unknown, refused, no_responders, silence, .. } = counts;
    [outcome_unknown, refused, no_responders, silence].into_iter().map(count).sum()
}
