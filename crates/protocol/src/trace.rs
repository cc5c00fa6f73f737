//! The position in a trace, as W3C Trace Context writes it in the header `traceparent`.

use std::fmt;

/// The header with the position in a trace: of calls, and of everything that follows from a call
/// that has it.
pub const TRACEPARENT: &str = "traceparent";

/// The length of the header, in the version that is known.
const BYTES: usize = 55;

/// A position in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace. Never 0.
    pub trace_id: u128,
    /// The span from which the message was sent. Never 0.
    pub span_id: u64,
    /// The flags. The lowest says whether the caller records the trace.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the header; `None` if it is not valid. A later version may have more at its end.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (known, more) = header.split_at_checked(BYTES)?;
        let mut fields = known.split('-');
        let version = hexadecimal(fields.next()?, 2)?;
        let is_known = if version == 0 { more.is_empty() } else { version != 0xff };
        let has_end = more.is_empty() || more.starts_with('-');
        let trace_id = hexadecimal(fields.next()?, 32)?;
        let span_id = u64::try_from(hexadecimal(fields.next()?, 16)?).ok()?;
        let flags = u8::try_from(hexadecimal(fields.next()?, 2)?).ok()?;
        let is_one = is_known && has_end && trace_id != 0 && span_id != 0;
        is_one.then_some(Self { trace_id, span_id, flags })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, flags } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// A number of so many digits, which are in lower case.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_one =
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(text, 16).ok().filter(|_| is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_is_written_as_it_was_read() {
        let read = TraceParent::parse(HEADER).expect("a header");
        assert_eq!(read.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((read.span_id, read.flags), (0xb7ad_6b71_6920_3331, 1));
        assert_eq!(read.to_string(), HEADER);
    }

    #[test]
    fn a_later_version_may_have_more_at_its_end() {
        let later = |end: &str| HEADER.replacen("00", "cc", 1) + end;
        assert!(TraceParent::parse(&later("")).is_some());
        assert!(TraceParent::parse(&later("-more")).is_some());
        assert_eq!(TraceParent::parse(&later("more")), None);
        assert_eq!(TraceParent::parse(&format!("{HEADER}-more")), None);
    }

    #[test]
    fn what_is_no_header_is_not_read() {
        for (part, with) in [
            ("00-", "ff-"),
            ("00-", "0-"),
            ("0af7", "0AF7"),
            ("0af7", "+af7"),
            ("0af7", "äf7"),
            ("b7ad6b7169203331", "0000000000000000"),
            ("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
            ("-01", "-0g"),
            ("-01", ""),
            ("-b7", "_b7"),
        ] {
            let changed = HEADER.replacen(part, with, 1);
            assert_eq!(TraceParent::parse(&changed), None, "{changed}");
        }
        assert_eq!(TraceParent::parse(""), None);
    }
}
