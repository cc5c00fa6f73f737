//! Bytes between instances and in the store.

pub(crate) mod amend;
pub mod owner_request;
pub mod packed;
pub(crate) mod pin;
pub mod probe;

#[cfg(test)]
mod fits;
#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod tests;
