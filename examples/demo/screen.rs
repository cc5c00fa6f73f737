//! The two-sided screen: the actions and events of one user on the left, of the other on the right.

use std::{
    io::{IsTerminal as _, Write as _},
    iter,
};

/// Columns of one side; two sides and the line between them fill 80.
const SIDE_WIDTH: usize = 38;

/// The half of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// The style of a text on a terminal with colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Messages of users.
    Plain,
    /// Other events.
    Dim,
    Heading,
    Good,
    Bad,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Dim => "2",
            Self::Heading => "1;36",
            Self::Good => "32",
            Self::Bad => "1;31",
        }
    }
}

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    colour: bool,
}

impl Screen {
    /// Colour only on a terminal, and not if `NO_COLOR` is set.
    pub(crate) fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: std::io::stdout().is_terminal() && !refused }
    }

    /// A line over the whole width.
    pub(crate) fn line(self, look: Look, text: &str) {
        Self::write(&self.painted(look, text));
    }

    /// The title of a step.
    pub(crate) fn step(self, number: usize, title: &str) {
        Self::write("");
        self.line(Look::Heading, &format!("{number}. {title}"));
    }

    /// The names over the two sides.
    pub(crate) fn names(self, left: &str, right: &str) {
        let rule = "─".repeat(SIDE_WIDTH);
        self.row(Look::Heading, left, right);
        self.line(Look::Dim, &format!("{rule}─┼─{rule}"));
    }

    /// Text on one side.
    pub(crate) fn say(self, side: Side, look: Look, text: &str) {
        match side {
            Side::Left => self.row(look, text, ""),
            Side::Right => self.row(look, "", text),
        }
    }

    /// The result of a step.
    pub(crate) fn shown(self, text: &str) {
        for (number, part) in wrapped(text, 2 * SIDE_WIDTH - 3).iter().enumerate() {
            let mark = if number == 0 { "✓" } else { " " };
            self.line(Look::Good, &format!("  {mark} {}", part.trim_start()));
        }
    }

    fn row(self, look: Look, left: &str, right: &str) {
        let (left, right) = (wrapped(left, SIDE_WIDTH), wrapped(right, SIDE_WIDTH));
        for number in 0..left.len().max(right.len()) {
            let cell = |side: &[String]| side.get(number).cloned().unwrap_or_default();
            let (left, right) = (cell(&left), cell(&right));
            let padding: String = iter::repeat_n(' ', SIDE_WIDTH - width(&left)).collect();
            Self::write(&format!(
                "{}{padding} {} {}",
                self.painted(look, &left),
                self.painted(Look::Dim, "│"),
                self.painted(look, &right)
            ));
        }
    }

    fn painted(self, look: Look, text: &str) -> String {
        if self.colour && look != Look::Plain && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", look.code())
        } else {
            text.to_owned()
        }
    }

    /// A closed output (`| head`) does not stop the demo, which has more to check.
    fn write(text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
    }
}

/// The text in lines of at most the given width; lines after the first are indented by two.
fn wrapped(text: &str, limit: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let fits = used + width(word.trim_end()) <= limit;
        if !fits && used > 2 {
            lines.push("  ".to_owned());
            used = 2;
        }
        for letter in word.chars() {
            let wide = letter_width(letter);
            if used + wide > limit && letter != ' ' {
                lines.push("  ".to_owned());
                used = 2;
            }
            if (used + wide <= limit)
                && let Some(line) = lines.last_mut()
            {
                line.push(letter);
                used += wide;
            }
        }
    }
    lines
}

fn width(text: &str) -> usize {
    text.chars().map(letter_width).sum()
}

/// The columns of a letter on a terminal: enough of Unicode's table for a conversation.
fn letter_width(letter: char) -> usize {
    match u32::from(letter) {
        // Combining marks, joiners, variation selectors, skin tones.
        0x0300..=0x036F | 0x200B..=0x200F | 0xFE00..=0xFE0F | 0x1F3FB..=0x1F3FF => 0,
        // Hangul, CJK, kana, full-width forms, emoji.
        0x1100..=0x115F
        | 0x2614..=0x2615
        | 0x2E80..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1F9FF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}
