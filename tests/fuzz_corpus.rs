//! Runs every check of the fuzz targets without the fuzzer, on the seeds, the corpus, and every
//! input that ever failed.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public for the fuzzer, and here it is no crate of its own")]
mod fuzz;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use crate::fuzz::{TARGETS, Target, corpus};

/// Runs a target's check on inputs, and names those that fail.
fn replay(target: &Target, inputs: impl IntoIterator<Item = (String, Vec<u8>)>) -> usize {
    let mut count = 0;
    let mut failed = Vec::new();
    for (name, input) in inputs {
        count += 1;
        if catch_unwind(|| (target.check)(&input)).is_err() {
            failed.push(format!("{name}: {}", input.escape_ascii()));
        }
    }
    assert!(failed.is_empty(), "{} fails for\n{}", target.name, failed.join("\n"));
    count
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

#[test]
fn the_fuzz_seeds_hold() {
    for target in TARGETS {
        let seeds = (target.seeds)().into_iter().enumerate();
        let count = replay(target, seeds.map(|(number, seed)| (format!("seed {number}"), seed)));
        assert!(count > 0, "{} has no seeds", target.name);
    }
}

#[test]
fn the_inputs_that_fuzzers_found_hold() {
    for target in TARGETS {
        let file = folder("corpus").join(format!("{}.txt", target.name));
        let inputs = corpus::read(&fs::read_to_string(&file).expect("a corpus"));
        let lines = inputs.into_iter().enumerate();
        let count =
            replay(target, lines.map(|(line, input)| (format!("line {}", line + 1), input)));
        assert!(count > 0, "{} is empty", file.display());
    }
}

#[test]
fn seeds_that_once_failed_pass() {
    for target in TARGETS {
        let Ok(entries) = fs::read_dir(folder("regressions").join(target.name)) else { continue };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let read =
            |path: PathBuf| (path.display().to_string(), fs::read(&path).expect("a regression"));
        replay(target, paths.map(read));
    }
}

#[test]
fn a_corpus_survives_its_file() {
    let long = vec![0; corpus::KEPT_MAX_BYTES + 1];
    let inputs = vec![vec![], vec![0, 255], long, vec![7], vec![0, 255]];
    let text = corpus::write(inputs);
    assert_eq!(text, "\n07\n00ff\n");
    assert_eq!(corpus::read(&text), [vec![], vec![7], vec![0, 255]]);
}
