//! Random calls to a single instance. Every reply, event and push is compared with the model.

pub(crate) mod calls;
mod crossing;
mod drive;
pub(crate) mod world;

pub use self::calls::{Case, case};
pub use self::crossing::messages_that_cross;
pub use self::drive::drive;
