//! The paths that a source names: in `use` trees, and inline.

use std::collections::HashSet;

use crate::lexer::{Kind, Token, tokens};

/// A path as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    /// The inline modules around it.
    pub(crate) inside: Vec<String>,
    /// Whether it is in code that only tests have.
    pub(crate) is_test: bool,
    /// Whether it begins with `::`, so that its first name is a crate.
    pub(crate) is_global: bool,
}

/// What a source names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) paths: Vec<NamedPath>,
    /// Names that stand for something else in this source: what `use` brings in, and modules.
    pub(crate) local: HashSet<String>,
    /// Modules in files of their own that only tests have.
    pub(crate) test_modules: Vec<String>,
}

/// A block that is open, and what its end closes.
struct Block {
    module: bool,
    test: bool,
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    blocks: Vec<Block>,
    inside: Vec<String>,
    /// The next item or block only tests have.
    next_is_test: bool,
    named: Named,
}

/// Reads what a source names.
pub(crate) fn named(source: &str) -> Named {
    let mut reader = Reader {
        tokens: tokens(source),
        at: 0,
        blocks: Vec::new(),
        inside: Vec::new(),
        next_is_test: false,
        named: Named::default(),
    };
    while reader.at < reader.tokens.len() {
        reader.read_next();
    }
    reader.named
}

impl Reader {
    fn kind(&self, ahead: usize) -> Option<&Kind> {
        self.tokens.get(self.at + ahead).map(|token| &token.kind)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.kind(ahead)? {
            Kind::Word(word) => Some(word),
            Kind::PathSep | Kind::Sign(_) | Kind::Other => None,
        }
    }

    fn is_sign(&self, ahead: usize, sign: char) -> bool {
        self.kind(ahead) == Some(&Kind::Sign(sign))
    }

    fn read_next(&mut self) {
        if self.is_test_attribute() {
            self.next_is_test = true;
            self.at += 7;
        } else if self.is_sign(0, '{') {
            self.blocks.push(Block { module: false, test: self.next_is_test });
            self.next_is_test = false;
            self.at += 1;
        } else if self.is_sign(0, '}') {
            if self.blocks.pop().is_some_and(|block| block.module) {
                self.inside.pop();
            }
            self.at += 1;
        } else if self.is_sign(0, ';') {
            self.next_is_test = false;
            self.at += 1;
        } else if self.word(0) == Some("use") {
            self.at += 1;
            let is_global = self.skip_path_sep();
            self.read_tree(&[], is_global);
        } else if self.word(0) == Some("mod") && self.word(1).is_some() {
            self.read_module();
        } else {
            self.read_inline();
        }
    }

    /// `#[cfg(test)]`.
    fn is_test_attribute(&self) -> bool {
        let signs = [(0, '#'), (1, '['), (3, '('), (5, ')'), (6, ']')];
        self.word(2) == Some("cfg")
            && self.word(4) == Some("test")
            && signs.into_iter().all(|(ahead, sign)| self.is_sign(ahead, sign))
    }

    fn skip_path_sep(&mut self) -> bool {
        let is_there = self.kind(0) == Some(&Kind::PathSep);
        self.at += usize::from(is_there);
        is_there
    }

    fn read_module(&mut self) {
        let name = self.word(1).unwrap_or_default().to_owned();
        self.at += 2;
        self.named.local.insert(name.clone());
        if self.is_sign(0, '{') {
            self.blocks.push(Block { module: true, test: self.next_is_test });
            self.inside.push(name);
            self.at += 1;
        } else if self.next_is_test {
            self.named.test_modules.push(name);
        }
        self.next_is_test = false;
    }

    /// A `use` tree after `prefix`, up to its comma or end.
    fn read_tree(&mut self, prefix: &[String], is_global: bool) {
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut segments = prefix.to_vec();
        loop {
            if self.is_sign(0, '{') {
                self.at += 1;
                while self.at < self.tokens.len() && !self.is_sign(0, '}') {
                    if self.is_sign(0, ',') {
                        self.at += 1;
                    } else {
                        self.read_tree(&segments, is_global);
                    }
                }
                self.at += 1;
                return;
            }
            match self.word(0) {
                Some(word) => segments.push(word.to_owned()),
                None if self.is_sign(0, '*') => {}
                // Nothing that a tree can go on with.
                None => break,
            }
            self.at += 1;
            if !self.skip_path_sep() {
                break;
            }
        }
        if self.word(0) == Some("as") {
            self.named.local.extend(self.word(1).map(str::to_owned));
            self.at += 2;
        } else if segments.len() > 1 {
            self.named.local.extend(segments.last().cloned());
        }
        if segments.len() == prefix.len() && !self.is_sign(0, ',') && !self.is_sign(0, '}') {
            // A macro's `use $path`, or no Rust at all: go on behind it.
            self.at += 1;
        }
        self.push(line, segments, is_global);
    }

    /// A path in the middle of code, or whatever else stands here.
    fn read_inline(&mut self) {
        let goes_on = self.at > 0 && {
            let before = &self.tokens[self.at - 1].kind;
            *before == Kind::PathSep || *before == Kind::Sign('.')
        };
        let is_global = self.kind(0) == Some(&Kind::PathSep) && {
            let before = self.at.checked_sub(1).map(|before| &self.tokens[before].kind);
            !matches!(before, Some(Kind::Word(_) | Kind::Sign('>' | '$')))
        };
        if is_global {
            self.at += 1;
        }
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut segments = Vec::new();
        while let Some(word) = self.word(0) {
            segments.push(word.to_owned());
            self.at += 1;
            if self.kind(0) != Some(&Kind::PathSep) || self.word(1).is_none() {
                break;
            }
            self.at += 1;
        }
        if segments.is_empty() {
            self.at += 1;
        } else if !goes_on && segments.len() > 1 {
            self.push(line, segments, is_global);
        } else if !goes_on && self.kind(0) == Some(&Kind::PathSep) {
            // `crate::<…>` cannot be; `name::{…}` is only in `use`; `name::<T>` names `name`.
            self.push(line, segments, is_global);
        }
    }

    fn push(&mut self, line: usize, segments: Vec<String>, is_global: bool) {
        let is_test = self.next_is_test || self.blocks.iter().any(|block| block.test);
        let inside = self.inside.clone();
        self.named.paths.push(NamedPath { line, segments, inside, is_test, is_global });
    }
}

#[test]
fn use_trees_and_inline_paths_are_read() {
    let named = named(
        "use crate::{a::{self, B as C}, d::*};\n\
         mod inner { fn f() { super::g::h(1); x.y::<T>(); ::k::l() } }\n\
         #[cfg(test)]\nmod tests { use super::*; fn t() { m::n() } }\n\
         #[cfg(test)] mod far;\nfn o() { p::q() }",
    );
    let paths: Vec<(usize, String, bool)> = named
        .paths
        .iter()
        .map(|path| (path.line, path.segments.join("::"), path.is_test))
        .collect();
    let expected = [
        (1, "crate::a::self", false),
        (1, "crate::a::B", false),
        (1, "crate::d", false),
        (2, "super::g::h", false),
        (2, "k::l", false),
        (4, "super", true),
        (4, "m::n", true),
        (6, "p::q", false),
    ];
    assert_eq!(paths, expected.map(|(line, path, test)| (line, path.to_owned(), test)));
    assert_eq!(named.paths[3].inside, ["inner"]);
    assert!(named.paths[4].is_global);
    assert!(named.local.contains("C") && !named.local.contains("B"));
    assert_eq!(named.test_modules, ["far"]);
}
