//! Who has the machine to itself: a bound in time says nothing where other tests take the processors.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Runs beside others.
pub(super) async fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Runs while no other scenario does.
pub(super) async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}
