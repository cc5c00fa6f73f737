//! The log of the instances. It becomes part of the trace, and must hold no message content.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::rule::Rule;
use crate::world::World;

/// The prefix of all message content.
const CONTENT: &str = "secret-";

/// Records the log of a run.
#[derive(Clone, Default)]
pub(crate) struct Log {
    world: Arc<Mutex<Weak<World>>>,
}

impl Log {
    pub(crate) fn writes_to(&self, world: &Arc<World>) {
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(world);
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("peerd") && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let Some(world) = world else { return };
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level();
        world.note(format_args!("log {level}{}", line.0));
        if line.0.contains(CONTENT) {
            world.lock().broken(Rule::NoContentInLog, line.0);
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
