//! The list of revoked tokens, which is read again when its file changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use peerd_callout::revocation::Revocations;
use tokio::time::sleep;

use super::options::read_revocations;
use super::tuning::FILE_CHECK_INTERVAL;

/// The list in use.
pub(super) struct Revoked {
    file: Option<PathBuf>,
    list: RwLock<Arc<Revocations>>,
}

/// The time and size of a file, by which a change shows; `None`: it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(SystemTime, u64)>);

impl Stamp {
    pub(super) async fn of(file: &Path) -> Self {
        let metadata = tokio::fs::metadata(file).await.ok();
        Self(metadata.and_then(|it| Some((it.modified().ok()?, it.len()))))
    }
}

impl Revoked {
    pub(super) fn new(file: Option<PathBuf>, list: Revocations) -> Self {
        Self { file, list: RwLock::new(Arc::new(list)) }
    }

    pub(super) fn list(&self) -> Arc<Revocations> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows the file. Runs until it is dropped.
    pub(super) async fn run(&self) {
        let Some(file) = &self.file else { return };
        // The file may have changed since it was read.
        let mut stamp = None;
        loop {
            let now = Stamp::of(file).await;
            if Some(now) != stamp {
                stamp = Some(now);
                self.read(file).await;
            }
            sleep(FILE_CHECK_INTERVAL).await;
        }
    }

    async fn read(&self, file: &Path) {
        let path = file.to_owned();
        let read = tokio::task::spawn_blocking(move || read_revocations(&path)).await;
        match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(list) => {
                tracing::info!(entries = list.len(), "has the list of revoked tokens");
                *self.list.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
            }
            Err(problem) => {
                tracing::error!(
                    problem,
                    "cannot read the list of revoked tokens; keeps the old one"
                );
            }
        }
    }
}
