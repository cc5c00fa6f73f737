//! Text as people see it: whether it is visible, and whether it stays on one line.

use icu_properties::props::{
    BidiControl, DefaultIgnorableCodePoint, GeneralCategory, PrependedConcatenationMark,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The problem with a text that is not a line, phrased to follow the field's name.
pub const NOT_A_LINE: &str =
    "must not have control characters, line breaks or bidirectional overrides";

/// Whether a text is invisible: it is empty, or consists only of white space, format characters
/// (zero-width ones, the byte order mark), variation selectors, fillers and blanks. Control
/// characters are not blank: they are visible on some devices.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_invisible)
}

fn is_invisible(c: char) -> bool {
    /// The braille pattern without dots and the null notehead: symbols by their category.
    const BLANK_SYMBOLS: [char; 2] = ['\u{2800}', '\u{1d159}'];
    if c.is_ascii() || c.is_whitespace() {
        return c.is_whitespace();
    }
    let is_format = CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format
        // Signs around digits: format characters that are visible.
        && !CodePointSetData::new::<PrependedConcatenationMark>().contains(c);
    is_format
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || BLANK_SYMBOLS.contains(&c)
}

/// Whether a text can be placed in a line of text without affecting it: it has no control
/// character, no line break, and nothing that changes the direction of adjacent text. Directional
/// marks in Arabic and Hebrew text, and emoji joiners, are allowed.
#[must_use]
pub fn is_line(text: &str) -> bool {
    /// Left-to-right mark, right-to-left mark, Arabic letter mark: they affect no other text.
    const MARKS: [char; 3] = ['\u{200e}', '\u{200f}', '\u{61c}'];
    // Most texts have no other characters, and these are compared many at once.
    let is_plain = text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    is_plain
        || text.chars().all(|c| {
            if c.is_ascii() {
                return !c.is_ascii_control();
            }
            let is_break = matches!(c, '\u{2028}' | '\u{2029}') || c.is_control();
            let turns = CodePointSetData::new::<BidiControl>().contains(c) && !MARKS.contains(&c);
            !is_break && !turns
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_text_is_blank() {
        for blank in [
            "",
            " \t\r\n\u{b}\u{c}",
            "\u{85}\u{a0}\u{1680}\u{2003}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}",
            "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
            "\u{ad}\u{61c}\u{180e}\u{200e}\u{200f}",
            "\u{202a}\u{202e}\u{2066}\u{2069}\u{206a}",
            "\u{34f}\u{17b4}\u{17b5}",
            "\u{115f}\u{1160}\u{3164}\u{ffa0}",
            "\u{2800}\u{1d159}\u{1d173}",
            "\u{fe0f}",
            "\u{fe00}\u{e0100}\u{180b}",
            "\u{e0001}\u{e0020}\u{e007f}",
        ] {
            assert!(is_blank(blank), "{}", blank.escape_unicode());
            assert!(!is_blank(&format!("{blank}a")), "{}", blank.escape_unicode());
        }
    }

    #[test]
    fn visible_text_is_not_blank() {
        for shown in [
            ".",
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
            "🏴\u{e0067}\u{e0062}\u{e007f}",
            "\u{200f}שלום\u{200f}",
            "می\u{200c}خواهم",
            "ㅤ가",
            "\u{301}",
            "\u{600}",
            "\u{1}",
            "\0",
        ] {
            assert!(!is_blank(shown), "{}", shown.escape_unicode());
        }
    }

    #[test]
    fn a_line_has_no_breaks_controls_or_bidirectional_overrides() {
        for line in [
            "",
            "Alice O'Neil",
            "\u{200f}שלום\u{200e} abc\u{61c}",
            "می\u{200c}خواهم",
            "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
            "名前\u{3000}x",
        ] {
            assert!(is_line(line), "{}", line.escape_unicode());
        }
        for c in [
            '\0', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{2029}',
            '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
            '\u{2068}', '\u{2069}',
        ] {
            assert!(!is_line(&format!("a{c}b")), "{}", c.escape_unicode());
        }
    }
}
