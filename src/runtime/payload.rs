//! The server's `max_payload`: whether it is enough for the configured limits, and the smallest one
//! of the servers connected to so far.

use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use crate::link::{Connection, DataConnection};
use peerd_core::limits::{
    AVATAR_URL_MAX_BYTES, DEVICE_MAX_BYTES, EXTENDED_DATA_MAX_BYTES, Limits, PUSH_TEXT_MAX_BYTES,
    USER_EXTENDED_DATA_MAX_BYTES, USER_NAME_MAX_BYTES,
};
use peerd_protocol::size::Room;

/// The bytes of a session in an account's entry, apart from the caller's texts.
const SESSION_BYTES: usize = 64;
/// The number of texts of a push whose length has the same limit.
const PUSH_TEXTS: usize = 5;

/// The server's `max_payload` is too small for messages that must always be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "max_payload of the nats-server is {max_payload} bytes, and the configured limits need at \
     least {needed}: set max_payload in the nats-server's configuration (its default is 1MB), or \
     lower {option}"
)]
pub struct TooSmall {
    max_payload: usize,
    needed: usize,
    /// The option that needs the most bytes.
    option: &'static str,
}

/// Checks whether a server's `max_payload` is enough for the limits. Returns one sentence for each
/// kind of message that may be refused because its largest form does not fit.
pub fn check(limits: &Limits, max_payload: usize) -> Result<Vec<String>, TooSmall> {
    let text = Room::max_payload_for(limits.text_bytes + EXTENDED_DATA_MAX_BYTES);
    let session = 2 * DEVICE_MAX_BYTES + SESSION_BYTES;
    let profile = USER_NAME_MAX_BYTES + AVATAR_URL_MAX_BYTES + USER_EXTENDED_DATA_MAX_BYTES;
    let account = Room::max_payload_for(limits.max_sessions * session + profile);
    let (needed, option) = if text >= account {
        (text, "limits.text_bytes")
    } else {
        (account, "session.max_sessions")
    };
    if max_payload < needed {
        return Err(TooSmall { max_payload, needed, option });
    }
    let most = Room::of(max_payload).content;
    let base64 = |bytes: usize| bytes.div_ceil(3) * 4;
    let escaped = |bytes: usize| Room::largest_form(bytes + EXTENDED_DATA_MAX_BYTES);
    let forms = [
        ("limits.text_bytes", "a Text or Custom message", escaped(limits.text_bytes)),
        (
            "limits.command_bytes",
            "a Command message",
            base64(limits.command_bytes) + Room::largest_form(EXTENDED_DATA_MAX_BYTES),
        ),
        ("limits.media_bytes", "a message with media", escaped(limits.media_bytes)),
        ("limits.combine_bytes", "a Combine or Multiple message", escaped(limits.combine_bytes)),
        (
            "config.pushConfig",
            "an offline push",
            Room::largest_form(PUSH_TEXTS * PUSH_TEXT_MAX_BYTES),
        ),
    ];
    let too_large = forms.into_iter().filter(|(.., largest)| *largest > most);
    Ok(too_large
        .map(|(what, kind, largest)| {
            format!(
                "{what}: {kind} can take {largest} bytes as JSON; with max_payload {max_payload} \
                 of the nats-server those that take more than {most} are refused with 6000001"
            )
        })
        .collect())
}

/// Checks the servers of both connections, then watches for reconnects to servers with a smaller
/// `max_payload`, since outgoing messages must fit the smallest. Stops when the handle is dropped.
pub(super) fn follow(
    limits: &Limits,
    bus: &DataConnection,
    store: &Connection,
) -> Result<AbortOnDrop<()>, TooSmall> {
    let smallest = smallest_of(bus, store);
    for problem in check(limits, smallest)? {
        tracing::warn!("{problem}");
    }
    let (limits, bus, store) = (limits.clone(), bus.clone(), store.clone());
    Ok(AbortOnDrop::new(tokio::spawn(watch(limits, bus, store, smallest))))
}

async fn watch(limits: Limits, bus: DataConnection, store: Connection, mut smallest: usize) {
    let (mut bus_was, mut store_was) = (bus.link.generation(), store.link.generation());
    loop {
        tokio::select! {
            newer = bus.link.newer_than(bus_was) => bus_was = newer,
            newer = store.link.newer_than(store_was) => store_was = newer,
        }
        let now = smallest_of(&bus, &store);
        if now < smallest {
            smallest = now;
            complain(&limits, smallest);
        }
    }
}

fn complain(limits: &Limits, max_payload: usize) {
    match check(limits, max_payload) {
        Ok(problems) => {
            for problem in problems {
                tracing::warn!("{problem}");
            }
        }
        Err(error) => {
            tracing::error!(%error, "max_payload of a server in the cluster is too small");
        }
    }
}

fn smallest_of(bus: &DataConnection, store: &Connection) -> usize {
    let smallest = bus.max_payload().min(store.max_payload());
    bus.link.note_max_payload(smallest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_fit_the_default_max_payload() {
        assert_eq!(check(&Limits::default(), 1024 * 1024), Ok(vec![]));
    }

    #[test]
    fn a_small_max_payload_is_reported_with_the_options_it_affects() {
        let problems = check(&Limits::default(), 64 * 1024).expect("enough for texts");
        let options: Vec<_> =
            problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(options, ["limits.combine_bytes", "config.pushConfig"]);
    }

    #[test]
    fn a_max_payload_that_is_too_small_is_reported_with_the_size_needed() {
        let error = check(&Limits::default(), 1024).expect_err("too little");
        let text = error.to_string();
        assert!(text.contains("1024 bytes") && text.contains("session.max_sessions"), "{text}");
        assert!(check(&Limits::default(), error.needed).is_ok());
        let limits = Limits { text_bytes: 32 * 1024, ..Limits::default() };
        let error = check(&limits, 16 * 1024).expect_err("too little");
        assert_eq!(error.option, "limits.text_bytes");
    }
}
