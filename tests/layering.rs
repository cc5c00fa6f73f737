//! Holds the imports of `src/` to the layers: each may use those before it only.
//!
//! It reads the sources as text, so it needs no build of them: comments and texts are left out,
//! `use` trees and inline paths are resolved, and each finding names its file and line.

#![expect(clippy::expect_used, reason = "a test that cannot read the sources is to fail")]

#[path = "layering/lexer.rs"]
mod lexer;
#[path = "layering/paths.rs"]
mod paths;
#[path = "layering/rules.rs"]
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use crate::rules::{Dependencies, Source, check};

/// Longest source file, in lines: one that outgrows this holds two ideas.
const FILE_LINES_MAX: usize = 600;

#[test]
fn imports_run_upward_only() {
    let sources: Vec<Source> = rust_files("src").into_iter().map(read).collect();
    assert!(sources.len() > 40, "the sources were not found");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let findings = check(&sources, &Dependencies::of_manifest(&manifest));
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn no_logic_hides_in_a_mod_rs() {
    let found: Vec<PathBuf> =
        rust_files("src").into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(found.is_empty(), "`foo.rs` stands beside `foo/`: {found:?}");
}

#[test]
fn no_file_is_too_long() {
    let files = ["src", "tests", "examples", "fuzz"].into_iter().flat_map(rust_files);
    let long = files.map(read).filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    let long: Vec<String> = long.map(|source| source.path).collect();
    assert!(long.is_empty(), "more than {FILE_LINES_MAX} lines: {long:?}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder, by their paths from the root.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(path: PathBuf) -> Source {
    let text = fs::read_to_string(root().join(&path)).expect("a source");
    let path = path.into_os_string().into_string().expect("a path of UTF-8");
    Source { path, text }
}
