//! Between the inputs that are kept and the folders that libFuzzer works on.
//!
//! `corpus list` names the targets. `corpus unpack TARGET DIR` writes the seeds and the kept inputs of a target as files into a
//! folder; `corpus pack TARGET DIR` keeps the files of a folder instead.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use peerd_fuzz::{TARGETS, Target, corpus};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["list"] => {
            for target in TARGETS {
                println!("{}", target.name);
            }
            Ok(())
        }
        ["unpack", target, folder] => find(target).and_then(|target| unpack(target, folder)),
        ["pack", target, folder] => find(target).and_then(|target| pack(target, folder)),
        _ => Err(io::Error::other("list | unpack TARGET DIR | pack TARGET DIR")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corpus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn find(name: &str) -> io::Result<&'static Target> {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.ok_or_else(|| io::Error::other(format!("there is no target {name}")))
}

fn kept(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{}.txt", target.name))
}

fn unpack(target: &Target, folder: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let kept = match fs::read_to_string(kept(target)) {
        Ok(text) => corpus::read(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let inputs = (target.seeds)().into_iter().chain(kept);
    for (number, input) in inputs.enumerate() {
        fs::write(Path::new(folder).join(format!("kept-{number:05}")), input)?;
    }
    Ok(())
}

fn pack(target: &Target, folder: &str) -> io::Result<()> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        inputs.push(fs::read(entry?.path())?);
    }
    let text = corpus::write(inputs);
    let count = text.lines().count();
    fs::create_dir_all(kept(target).with_file_name(""))?;
    fs::write(kept(target), &text)?;
    println!("corpus: {count} inputs of {}, {} bytes of hex", target.name, text.len());
    Ok(())
}
