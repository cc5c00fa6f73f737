//! Rust source as words and signs: enough to see paths, without comments and texts.

/// A word or sign and the line it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Word(String),
    /// `::`.
    PathSep,
    /// Any other sign.
    Sign(char),
    /// A text, character, number or lifetime: never part of a path.
    Other,
}

/// The words and signs of a source.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = lexer.peek(0) {
        let line = lexer.line;
        if let Some(kind) = lexer.next_kind(first) {
            tokens.push(Token { line, kind });
        }
    }
    tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) -> Option<char> {
        let char = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(char == '\n');
        Some(char)
    }

    fn next_kind(&mut self, first: char) -> Option<Kind> {
        match (first, self.peek(1)) {
            ('/', Some('/')) => {
                while self.peek(0).is_some_and(|char| char != '\n') {
                    self.step();
                }
                None
            }
            ('/', Some('*')) => {
                self.block_comment();
                None
            }
            (':', Some(':')) => {
                self.at += 2;
                Some(Kind::PathSep)
            }
            ('"', _) => {
                self.text();
                Some(Kind::Other)
            }
            ('\'', _) => {
                self.char_or_lifetime();
                Some(Kind::Other)
            }
            _ if first.is_whitespace() => {
                self.step();
                None
            }
            _ if first.is_alphabetic() || first == '_' => Some(self.word()),
            _ if first.is_ascii_digit() => {
                self.word();
                Some(Kind::Other)
            }
            _ => self.step().map(Kind::Sign),
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.at += 2;
                }
                (None, _) => return,
                _ => {
                    self.step();
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// A text with escapes, from its opening quote.
    fn text(&mut self) {
        self.step();
        while let Some(char) = self.step() {
            match char {
                '\\' => {
                    self.step();
                }
                '"' => return,
                _ => {}
            }
        }
    }

    /// A raw text, from its first `#` or quote.
    fn raw_text(&mut self) {
        let mut hashes = 0;
        while self.peek(0) == Some('#') {
            hashes += 1;
            self.step();
        }
        self.step();
        while let Some(char) = self.step() {
            if char == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                return;
            }
        }
    }

    fn char_or_lifetime(&mut self) {
        self.step();
        if self.peek(0) == Some('\\') {
            self.at += 2;
            while self.step().is_some_and(|char| char != '\'') {}
        } else if self.peek(1) == Some('\'') {
            self.at += 2;
        } else {
            // A lifetime: its name has no quote after it.
            while self.peek(0).is_some_and(|char| char.is_alphanumeric() || char == '_') {
                self.step();
            }
        }
    }

    fn word(&mut self) -> Kind {
        let mut word = String::new();
        while let Some(char) = self.peek(0).filter(|char| char.is_alphanumeric() || *char == '_') {
            word.push(char);
            self.at += 1;
        }
        let is_raw_name =
            |next: Option<char>| next.is_some_and(|char| char.is_alphabetic() || char == '_');
        match (word.as_str(), self.peek(0)) {
            ("r" | "br" | "cr", Some('"' | '#')) => {
                if self.peek(0) == Some('#') && is_raw_name(self.peek(1)) {
                    self.at += 1;
                    return self.word();
                }
                self.raw_text();
                Kind::Other
            }
            ("b" | "c", Some('"')) => {
                self.text();
                Kind::Other
            }
            ("b", Some('\'')) => {
                self.char_or_lifetime();
                Kind::Other
            }
            _ => Kind::Word(word),
        }
    }
}

#[test]
fn comments_and_texts_are_no_words() {
    let source = r##"
        // crate::a
        /* crate::b /* crate::c */ crate::d */
        let x: &'a str = "crate::e \" crate::f"; /// crate::g
        let y = (r#"crate::h " "#, b'"', '\'', '"', b"x", r#type);
    "##;
    let words = tokens(source).into_iter().filter_map(|token| match token.kind {
        Kind::Word(word) => Some((token.line, word)),
        Kind::PathSep | Kind::Sign(_) | Kind::Other => None,
    });
    let words: Vec<(usize, String)> = words.collect();
    let expected = [(4, "let"), (4, "x"), (4, "str"), (5, "let"), (5, "y"), (5, "type")];
    assert_eq!(words, expected.map(|(line, word)| (line, word.to_owned())));
}
