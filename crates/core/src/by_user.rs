//! Maps by user ID. In a debug build, they count how often an ID is hashed, for tests of the cost
//! of a send.

use hashbrown::{DefaultHashBuilder, HashMap};
use std::hash::BuildHasher;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

use super::id::UserId;

/// A map by user ID.
pub type ByUser<T> = HashMap<UserId, T, Hashing>;

/// The hash function of maps by user ID.
#[derive(Debug, Default)]
pub struct Hashing {
    inner: DefaultHashBuilder,
    #[cfg(debug_assertions)]
    hashed: AtomicU64,
}

impl Hashing {
    /// How often an ID was hashed: once for each look-up, and more when the map grows.
    #[cfg(debug_assertions)]
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }
}

impl Clone for Hashing {
    fn clone(&self) -> Self {
        // The same function; the copy counts from 0.
        Self { inner: self.inner.clone(), ..Self::default() }
    }
}

impl BuildHasher for Hashing {
    type Hasher = <DefaultHashBuilder as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        #[cfg(debug_assertions)]
        self.hashed.fetch_add(1, Ordering::Relaxed);
        self.inner.build_hasher()
    }
}
