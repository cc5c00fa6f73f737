//! The messages that answer a batched direct get (NATS ADR-31).

use peerd_protocol::time::unix_ms;

/// One message of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A record; its bytes are the message's payload.
    Record {
        /// Its subject.
        subject: String,
        /// Its sequence in the stream.
        stream_seq: u64,
        /// When the server stored it, in milliseconds since 1970.
        stored_ms: u64,
        /// How many matching records come after it.
        remaining: u64,
    },
    /// The end of the answer.
    End {
        /// The last sequence that the answering replica has; 0 if it does not say.
        up_to: u64,
    },
    /// Nothing matches.
    Nothing,
    /// More subjects match than one answer may have.
    TooMany,
    /// No responders: the stream has no leader or replica at the moment.
    NoResponders,
    /// An unexpected status.
    Unexpected,
}

/// A record without this header, or with an unreadable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer without {0}")]
pub struct Missing(pub &'static str);

/// Reads one message by its status and its headers.
pub fn read<'h>(
    status: u16,
    header: impl Fn(&'static str) -> Option<&'h str>,
) -> Result<Part, Missing> {
    const SUBJECT: &str = "Nats-Subject";
    const SEQUENCE: &str = "Nats-Sequence";
    const TIME: &str = "Nats-Time-Stamp";
    let number = |name| header(name)?.parse::<u64>().ok();
    Ok(match status {
        200 => Part::Record {
            subject: header(SUBJECT).ok_or(Missing(SUBJECT))?.to_owned(),
            stream_seq: number(SEQUENCE).ok_or(Missing(SEQUENCE))?,
            stored_ms: header(TIME).and_then(unix_ms).ok_or(Missing(TIME))?,
            remaining: number("Nats-Num-Pending").unwrap_or_default(),
        },
        204 => Part::End { up_to: number("Nats-UpTo-Sequence").unwrap_or_default() },
        404 => Part::Nothing,
        413 => Part::TooMany,
        503 => Part::NoResponders,
        _ => Part::Unexpected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, headers: &[(&str, &'static str)]) -> Result<Part, Missing> {
        let header = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        read(status, header)
    }

    #[test]
    fn a_record_names_its_place_and_its_time() {
        let headers = [
            ("Nats-Subject", "peer.log.3.bob.alice"),
            ("Nats-Sequence", "7"),
            ("Nats-Time-Stamp", "2026-01-01T00:00:00.123456789Z"),
            ("Nats-Num-Pending", "2"),
        ];
        let record = Part::Record {
            subject: "peer.log.3.bob.alice".to_owned(),
            stream_seq: 7,
            stored_ms: 1_767_225_600_123,
            remaining: 2,
        };
        assert_eq!(parse(200, &headers), Ok(record));
        for without in ["Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"] {
            let rest = headers.iter().copied().filter(|(name, _)| *name != without);
            assert_eq!(parse(200, &rest.collect::<Vec<_>>()), Err(Missing(without)));
        }
    }

    #[test]
    fn other_answers_are_recognized_by_their_status() {
        assert_eq!(parse(204, &[("Nats-UpTo-Sequence", "9")]), Ok(Part::End { up_to: 9 }));
        assert_eq!(parse(204, &[]), Ok(Part::End { up_to: 0 }));
        assert_eq!(parse(404, &[]), Ok(Part::Nothing));
        assert_eq!(parse(413, &[]), Ok(Part::TooMany));
        assert_eq!(parse(503, &[]), Ok(Part::NoResponders));
        assert_eq!(parse(500, &[]), Ok(Part::Unexpected));
    }
}
