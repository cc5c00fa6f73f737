//! The error that ends a run.

/// An error that stops a test.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
