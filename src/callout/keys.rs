//! The keys in use. One task fetches them, or reads their file again, so that any number of tokens
//! with unknown keys leads to one fetch, and to none if there was one a moment ago.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use peerd_callout::key::Keys;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::counters::Counters;
use super::fetch::Fetcher;
use super::options::{KeySource, Options, read_keys};
use super::revoked::Stamp;
use super::tuning::{FETCH_PAUSE_MAX, FETCH_PAUSE_MIN, FILE_CHECK_INTERVAL, KEY_WAIT};

/// The keys, and the attempts to renew them.
#[derive(Clone)]
struct State {
    keys: Arc<Keys>,
    /// When they were fetched; `None`: there are none yet.
    fetched: Option<Instant>,
    /// The number of finished attempts.
    attempts: u64,
    /// When the last attempt began; `None`: there was none.
    began: Option<Instant>,
    /// Whether an attempt is in progress.
    is_fetching: bool,
    /// Why the last attempt failed.
    problem: Option<String>,
}

/// Where keys come from, again and again.
enum Origin {
    /// They stay as they are.
    Fixed,
    File(PathBuf),
    Url(Fetcher, Uri),
    Discovery(Fetcher, Uri),
}

/// The keys in use.
pub(super) struct KeyStore {
    state: watch::Sender<State>,
    wanted: Notify,
    origin: Origin,
    refresh: Duration,
    refetch: Duration,
    max_age: Duration,
    counters: Arc<Counters>,
}

impl KeyStore {
    /// The keys that were read, or that are to be fetched.
    pub(super) fn new(
        options: &Options,
        keys: Option<Keys>,
        counters: Arc<Counters>,
    ) -> Result<Self, String> {
        let by_https = || Fetcher::new(options.tls_ca_file.as_deref());
        let origin = match &options.keys {
            KeySource::File(file) => Origin::File(file.clone()),
            KeySource::Secret(_) => Origin::Fixed,
            KeySource::Url(address) => Origin::Url(by_https()?, address.clone()),
            KeySource::Discovery(issuer) => Origin::Discovery(by_https()?, issuer.clone()),
        };
        let fetched = keys.is_some().then(Instant::now);
        let keys = Arc::new(keys.unwrap_or_default());
        counters.set_keys(keys.len());
        let state =
            State { keys, fetched, attempts: 0, began: None, is_fetching: false, problem: None };
        Ok(Self {
            state: watch::Sender::new(state),
            wanted: Notify::new(),
            origin,
            refresh: options.refresh,
            refetch: options.refetch,
            max_age: options.keys_max_age,
            counters,
        })
    }

    /// The keys, unless there are none or they are too old; and the attempts so far.
    pub(super) fn current(&self) -> (Option<Arc<Keys>>, u64) {
        let state = self.state.borrow();
        let is_usable = match self.origin {
            Origin::Fixed | Origin::File(_) => true,
            Origin::Url(..) | Origin::Discovery(..) => {
                state.fetched.is_some_and(|at| at.elapsed() < self.max_age)
            }
        };
        (is_usable.then(|| state.keys.clone()), state.attempts)
    }

    /// Why no tokens can be verified; `None`: they can.
    pub(super) fn problem(&self) -> Option<String> {
        if self.current().0.is_some() {
            return None;
        }
        let problem = self.state.borrow().problem.clone();
        Some(problem.unwrap_or_else(|| "no keys were fetched yet".to_owned()))
    }

    /// Waits until tokens can be verified.
    pub(super) async fn usable(&self) {
        // It cannot fail: `self` holds the sender.
        let _ = self.state.subscribe().wait_for(|state| state.fetched.is_some()).await;
    }

    /// Waits for a further attempt than `seen`, if one is due because of an unknown key. Returns
    /// whether there was one.
    pub(super) async fn newer_than(&self, seen: u64) -> bool {
        let mut state = self.state.subscribe();
        let is_due = {
            let state = state.borrow_and_update();
            match self.origin {
                Origin::Fixed | Origin::File(_) => false,
                Origin::Url(..) | Origin::Discovery(..) => {
                    state.is_fetching
                        || state.attempts != seen
                        || state.began.is_none_or(|at| at.elapsed() >= self.refetch)
                }
            }
        };
        if !is_due {
            return false;
        }
        self.wanted.notify_one();
        let attempted = state.wait_for(|state| state.attempts > seen);
        matches!(timeout(KEY_WAIT, attempted).await, Ok(Ok(_)))
    }

    /// Renews the keys. Runs until it is dropped.
    pub(super) async fn run(&self) {
        match &self.origin {
            Origin::Fixed => {}
            Origin::File(file) => self.follow_file(file.clone()).await,
            Origin::Url(..) | Origin::Discovery(..) => self.follow_address().await,
        }
    }

    async fn follow_file(&self, file: PathBuf) {
        // The file may have changed since it was read.
        let mut stamp = None;
        loop {
            let now = Stamp::of(&file).await;
            if Some(now) != stamp {
                stamp = Some(now);
                let path = file.clone();
                let read = tokio::task::spawn_blocking(move || read_keys(&path)).await;
                self.attempted(read.unwrap_or_else(|error| Err(error.to_string())));
            }
            sleep(FILE_CHECK_INTERVAL).await;
        }
    }

    async fn follow_address(&self) {
        let mut pause = FETCH_PAUSE_MIN;
        loop {
            let began = Instant::now();
            self.state.send_modify(|state| {
                state.began = Some(began);
                state.is_fetching = true;
            });
            let fetched = match &self.origin {
                Origin::Url(fetcher, address) => fetcher.keys(address).await,
                Origin::Discovery(fetcher, issuer) => fetcher.discovered_keys(issuer).await,
                Origin::Fixed | Origin::File(_) => return,
            };
            let next = if fetched.is_ok() {
                pause = FETCH_PAUSE_MIN;
                self.refresh
            } else {
                let next = pause;
                pause = (pause * 2).min(FETCH_PAUSE_MAX);
                next.min(self.refresh)
            };
            self.attempted(fetched);
            let asked = async {
                sleep_until(began + self.refetch).await;
                self.wanted.notified().await;
            };
            tokio::select! {
                () = sleep(next) => {}
                () = asked => {}
            }
        }
    }

    /// Notes the result of an attempt. Keys that are known stay in use when it failed.
    fn attempted(&self, renewed: Result<Keys, String>) {
        match &renewed {
            Ok(keys) => {
                self.counters.set_keys(keys.len());
                if self.state.borrow().problem.is_some() || self.state.borrow().fetched.is_none() {
                    tracing::info!(keys = keys.len(), "has the keys of tokens");
                }
            }
            Err(problem) => {
                self.counters.fetch_failed();
                if self.state.borrow().problem.as_ref() != Some(problem) {
                    tracing::error!(problem, "cannot renew the keys of tokens; keeps the old ones");
                }
            }
        }
        self.state.send_modify(|state| {
            state.attempts += 1;
            state.is_fetching = false;
            match renewed {
                Ok(keys) => {
                    state.keys = Arc::new(keys);
                    state.fetched = Some(Instant::now());
                    state.problem = None;
                }
                Err(problem) => state.problem = Some(problem),
            }
        });
    }
}
