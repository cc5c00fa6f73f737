//! Exclusive use of the machine: a time limit means nothing while other tests use the processors.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Runs concurrently with others.
pub(super) async fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Runs alone.
pub(super) async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}
