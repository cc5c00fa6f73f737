//! A load of many users whose clients tolerate failures, the notes of their calls and answers, and
//! the verdict of `peerd verify`. A [`trial`] is all of it, on instances that it starts.

pub mod caller;
pub mod explained;
pub mod failure;
pub mod judged;
pub mod load;
mod look;
pub mod notes;
pub mod random;
pub mod reading;
pub mod trial;
