//! A load of many users whose clients live with failure, the notes of what they were answered, and
//! their verdict by `peerd verify`.

pub mod caller;
pub mod judged;
pub mod load;
mod look;
pub mod notes;
pub mod random;
pub mod reading;
