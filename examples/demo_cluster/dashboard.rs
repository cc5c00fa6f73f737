//! The output: a line for each event, and on a terminal a status line that is redrawn.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{meter::Meter, poller::Sight};

const REDRAW_INTERVAL: Duration = Duration::from_millis(250);
const HEAD: &str = " time  sends/s     p50     p99  repeated  peerds  owned";
/// Returns to the first column and clears the line.
const CLEAR: &str = "\r\x1b[2K";

/// Standard output.
pub(crate) struct Dashboard {
    began: Instant,
    is_terminal: bool,
    pub(crate) meter: Arc<Meter>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sight: Sight,
    /// The present activity.
    doing: String,
    /// Whether the status line is shown.
    is_live: bool,
}

impl Dashboard {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            is_terminal: std::io::stdout().is_terminal(),
            meter: Arc::default(),
            state: Mutex::default(),
        }
    }

    /// Shows the head of the table.
    pub(crate) fn open(&self) {
        self.state().is_live = true;
        write(&format!("{HEAD}\n"));
    }

    /// Redraws the status line on a terminal, until it is dropped.
    pub(crate) async fn live(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(REDRAW_INTERVAL);
        loop {
            ticks.tick().await;
            let state = self.state();
            if self.is_terminal && state.is_live {
                write(&format!("{CLEAR}{} …", self.line(&state)));
            }
        }
    }

    /// Prints an event.
    pub(crate) fn event(&self, text: &str) {
        let mut state = self.state();
        text.clone_into(&mut state.doing);
        let line = if state.is_live { self.line(&state) } else { text.to_owned() };
        let clear = if self.is_terminal && state.is_live { CLEAR } else { "" };
        write(&format!("{clear}{line}\n"));
    }

    /// Ends the status line.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if self.is_terminal && state.is_live {
            write(CLEAR);
        }
        state.is_live = false;
    }

    /// Notes the state of the members.
    pub(crate) fn see(&self, sight: Sight) {
        self.state().sight = sight;
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn line(&self, state: &State) -> String {
        let figures = self.meter.figures();
        let Sight { members, owned, partitions } = state.sight;
        format!(
            "{:>3} s  {:>7}  {:>6}  {:>6}  {:>8}  {members:>6}  {:>5}  {}",
            self.elapsed().as_secs(),
            figures.sends,
            shown(figures.p50),
            shown(figures.p99),
            figures.repeated,
            format!("{owned}/{partitions}"),
            state.doing,
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "-".to_owned(), lasting)
}

/// A duration in the unit that fits.
pub(crate) fn lasting(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 { format!("{ms} ms") } else { format!("{:.1} s", duration.as_secs_f64()) }
}

/// Writes a line.
pub(crate) fn say(text: &str) {
    write(&format!("{text}\n"));
}

/// A closed output (`| head`) does not stop the demo, which has more to check.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
