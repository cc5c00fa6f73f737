//! The corpus: `corpus/<target>.txt`, one input per line, in hex. There is one file for each
//! target, since thousands of small files would dominate the repository.

use std::fmt::Write as _;

/// Longer inputs are not kept: few add anything to a shorter one, and they would be most of the
/// corpus.
pub const KEPT_MAX_BYTES: usize = 512;

/// The inputs of a file.
///
/// # Panics
///
/// If a line is not hex.
#[must_use]
pub fn read(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(unhex).collect()
}

/// The text of a corpus file: each input once, shorter ones first.
#[must_use]
pub fn write(mut inputs: Vec<Vec<u8>>) -> String {
    inputs.retain(|input| input.len() <= KEPT_MAX_BYTES);
    inputs.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    inputs.dedup();
    let mut text = String::new();
    for input in inputs {
        for byte in input {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// The bytes of a file of golden bytes, with a name and hex per line.
pub(super) fn named(text: &str) -> Vec<Vec<u8>> {
    let line = |line: &str| line.split_once(' ').map(|(_, hex)| unhex(hex));
    text.lines().filter_map(line).collect()
}

fn unhex(line: &str) -> Vec<u8> {
    let digit = |at: usize| line.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..line.len()).step_by(2).map(|at| digit(at).expect("two hex digits")).collect()
}
