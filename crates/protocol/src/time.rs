//! Times as RFC 3339 text, the format that NATS uses.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970 from an RFC 3339 text.
#[must_use]
pub fn unix_ms(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Milliseconds since 1970 as an RFC 3339 text.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let nanos = i128::from(unix_ms) * 1_000_000;
    // Only a time after the year 9999 has no such text, and a query from 9999 on finds nothing.
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos);
    let text = time.ok().and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip() {
        for ms in [0, 1_767_225_600_123, 253_402_300_799_000] {
            assert_eq!(unix_ms(&rfc3339(ms)), Some(ms));
        }
        assert_eq!(unix_ms("2026-01-01T00:00:00.123456789Z"), Some(1_767_225_600_123));
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
