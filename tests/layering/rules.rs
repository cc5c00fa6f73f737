//! Which layer may name what.

use std::collections::HashSet;

use crate::paths::{NamedPath, named};

/// A source file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path from the root, `src/domain/id.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A layer, and what it may name besides itself.
struct Layer {
    name: &'static str,
    /// Other layers.
    uses: &'static [&'static str],
    /// Other crates; `None`: any.
    crates: Option<&'static [&'static str]>,
}

const BELOW_CONFIG: &[&str] =
    &["domain", "wire", "clock", "link", "store", "bus", "storage", "cluster", "runtime"];
const BELOW_CLI: &[&str] = &[
    "domain",
    "wire",
    "clock",
    "link",
    "store",
    "bus",
    "storage",
    "cluster",
    "runtime",
    "config",
    "telemetry",
    "verify",
];
/// The standard library's own hash tables, with what it does not hand out (decision 0019), and
/// Unicode's tables of characters.
const DOMAIN_CRATES: &[&str] = &["hashbrown", "icu_properties"];
/// Pure: values in, bytes or text out.
const WIRE_CRATES: &[&str] = &[
    "serde",
    "serde_bytes",
    "serde_json",
    "schemars",
    "rmp",
    "rmp_serde",
    "bytes",
    "base64",
    "percent_encoding",
    "thiserror",
    "time",
];

const LAYERS: &[Layer] = &[
    // Faults that tests inject; in a release build there are none.
    Layer { name: "failpoint", uses: &[], crates: Some(&[]) },
    Layer { name: "domain", uses: &[], crates: Some(DOMAIN_CRATES) },
    Layer { name: "wire", uses: &["domain"], crates: Some(WIRE_CRATES) },
    Layer { name: "clock", uses: &[], crates: Some(&["tokio"]) },
    Layer { name: "link", uses: &[], crates: Some(&["async_nats", "tokio"]) },
    Layer { name: "store", uses: &["failpoint", "domain", "wire", "link"], crates: None },
    Layer { name: "bus", uses: &["domain", "wire", "link"], crates: None },
    Layer { name: "storage", uses: &["domain", "wire", "store"], crates: None },
    Layer {
        name: "cluster",
        uses: &["failpoint", "domain", "wire", "clock", "store", "storage"],
        crates: None,
    },
    Layer {
        name: "runtime",
        uses: &[
            "failpoint",
            "domain",
            "wire",
            "clock",
            "link",
            "store",
            "bus",
            "storage",
            "cluster",
        ],
        crates: None,
    },
    // Beside the runtime, which knows neither.
    Layer { name: "telemetry", uses: BELOW_CONFIG, crates: None },
    Layer { name: "verify", uses: &["domain", "wire", "store", "storage"], crates: None },
    Layer { name: "config", uses: BELOW_CLI, crates: None },
    Layer { name: "cli", uses: BELOW_CLI, crates: None },
    Layer { name: "main", uses: &["cli"], crates: None },
];

/// The crate's own name, by which `main.rs` uses the library.
const OWN: &str = "peerd";

/// The crates that the manifest names, as code spells them.
#[derive(Debug)]
pub(crate) struct Dependencies(HashSet<String>);

impl Dependencies {
    pub(crate) fn of_manifest(manifest: &str) -> Self {
        let mut names = HashSet::new();
        let mut is_here = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                is_here = line.contains("dependencies");
            } else if let Some((name, _)) = line.split_once('=').filter(|_| is_here) {
                names.insert(name.trim().replace('-', "_"));
            }
        }
        Self(names)
    }
}

/// What runs the wrong way, each as `file:line: what`.
pub(crate) fn check(sources: &[Source], dependencies: &Dependencies) -> Vec<String> {
    let read: Vec<_> = sources
        .iter()
        .map(|source| (source, module_of(&source.path), named(&source.text)))
        .collect();
    let test_modules: HashSet<Vec<String>> = read
        .iter()
        .flat_map(|(_, module, named)| {
            named
                .test_modules
                .iter()
                .map(|name| [module.as_slice(), std::slice::from_ref(name)].concat())
        })
        .collect();
    let mut findings = Vec::new();
    for (source, module, named) in &read {
        // lib.rs only declares the layers; main.rs is a layer of its own.
        let Some(layer) = module.first() else { continue };
        let in_tests = (1..=module.len()).any(|length| test_modules.contains(&module[..length]));
        for path in &named.paths {
            let problem = match LAYERS.iter().find(|known| known.name == layer) {
                None => Some(format!("{layer} is in no layer: add it to tests/layering/rules.rs")),
                Some(layer) => {
                    let is_local = named.local.contains(&path.segments[0]) && !path.is_global;
                    let is_free = is_local || in_tests || path.is_test;
                    wrong_layer(layer, module, path)
                        .or_else(|| wrong_crate(layer, path, dependencies).filter(|_| !is_free))
                }
            };
            if let Some(problem) = problem {
                findings.push(format!("{}:{}: {problem}", source.path, path.line));
            }
        }
    }
    findings
}

/// `src/domain/id.rs` is `domain::id`; `src/lib.rs` is the root.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let module = path.replace('\\', "/").split('/').map(str::to_owned).collect::<Vec<_>>();
    if module == ["lib"] { Vec::new() } else { module }
}

/// The module of this crate that a path names, from the root; `None` for other crates' paths.
fn resolve(module: &[String], path: &NamedPath) -> Option<Vec<String>> {
    let mut here: Vec<String> = [module, path.inside.as_slice()].concat();
    let mut segments = path.segments.iter();
    match path.segments[0].as_str() {
        _ if path.is_global => return None,
        "crate" => {
            // In the binary, `crate` is the binary.
            here.truncate(usize::from(module == ["main"]));
            segments.next();
        }
        OWN => {
            here.clear();
            segments.next();
        }
        "self" => {
            segments.next();
        }
        "super" => {}
        _ => return None,
    }
    for segment in segments {
        if segment == "super" {
            here.pop();
        } else {
            here.push(segment.clone());
        }
    }
    Some(here)
}

fn wrong_layer(layer: &Layer, module: &[String], path: &NamedPath) -> Option<String> {
    let target = resolve(module, path)?;
    let Some(target) = target.first() else {
        return Some(format!("{} must name a layer, not the whole crate", layer.name));
    };
    let is_allowed = target == layer.name || layer.uses.contains(&target.as_str());
    (!is_allowed)
        .then(|| format!("{} must not use {target} ({})", layer.name, path.segments.join("::")))
}

fn wrong_crate(layer: &Layer, path: &NamedPath, dependencies: &Dependencies) -> Option<String> {
    let crates = layer.crates?;
    let name = path.segments[0].as_str();
    let is_wrong = dependencies.0.contains(name) && !crates.contains(&name);
    is_wrong.then(|| format!("{} must not use the crate {name}", layer.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\ntokio = \"1\"\nserde = \"1\"\n\
                        rmp-serde = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&[source], &Dependencies::of_manifest(manifest))
    }

    #[test]
    fn a_wrong_import_is_found_with_its_line() {
        for (path, text, expected) in [
            ("src/domain/a.rs", "\nuse crate::wire::x;", "2: domain must not use wire"),
            ("src/domain/a.rs", "use crate::{domain::b,\nwire::x};", "2: domain must not use wire"),
            ("src/domain/a.rs", "fn f() {\n crate::store::g() }", "2: domain must not use store"),
            ("src/domain/a.rs", "use super::super::bus::Bus;", "1: domain must not use bus"),
            ("src/domain.rs", "use super::wire;", "1: domain must not use wire"),
            ("src/wire/a.rs", "type X = crate::runtime::Y;", "1: wire must not use runtime"),
            ("src/store/a.rs", "use crate::bus::Bus;", "1: store must not use bus"),
            ("src/bus.rs", "use crate::store::Store;", "1: bus must not use store"),
            ("src/runtime/a.rs", "use crate::config::Config;", "1: runtime must not use config"),
            ("src/runtime/a.rs", "use crate::cli;", "1: runtime must not use cli"),
            ("src/config.rs", "use crate::cli::Args;", "1: config must not use cli"),
            ("src/telemetry.rs", "use crate::config::X;", "1: telemetry must not use config"),
            ("src/main.rs", "use peerd::store::Store;", "1: main must not use store"),
            (
                "src/wire/a.rs",
                "mod t { use super::super::super::bus; }",
                "1: wire must not use bus",
            ),
            (
                "src/domain/a.rs",
                "#[cfg(test)]\nmod tests { use crate::wire::x; }",
                "2: domain must not use wire",
            ),
            ("src/wire/a.rs", "use crate::*;", "1: wire must name a layer"),
            ("src/extra.rs", "use crate::domain::x;", "1: extra is in no layer"),
        ] {
            let found = findings(path, text);
            assert_eq!(found.len(), 1, "{path} {text}: {found:?}");
            assert!(found[0].starts_with(&format!("{path}:{expected}")), "{found:?}");
        }
    }

    #[test]
    fn another_crate_is_found() {
        for (path, text, name) in [
            ("src/domain/a.rs", "use serde::Serialize;", "serde"),
            ("src/domain/a.rs", "#[derive(serde::Serialize)] struct X;", "serde"),
            ("src/domain/a.rs", "fn f() { ::tokio::spawn(g()) }", "tokio"),
            ("src/wire/a.rs", "use tokio::{time::Instant};", "tokio"),
            ("src/wire/a.rs", "fn f() { let x = tokio::time::sleep(y); }", "tokio"),
            ("src/wire/a.rs", "use tokio as t;", "tokio"),
        ] {
            let found = findings(path, text);
            let expected =
                format!("{path}:1: {} must not use the crate {name}", &path[4..path.len() - 5]);
            assert_eq!(found, [expected], "{text}");
        }
    }

    #[test]
    fn a_right_import_is_not_found() {
        for (path, text) in [
            ("src/domain/a.rs", "use std::fmt;\nuse super::b::C;\nuse crate::domain::d;"),
            ("src/domain/a.rs", "mod t { use super::super::b; }"),
            ("src/domain/a.rs", "mod tokio {}\nfn f() { tokio::g() }"),
            ("src/domain/a.rs", "fn f() { a.serde; b::serde::c() }"),
            ("src/wire/a.rs", "use rmp_serde::encode::Error;\nuse crate::domain::b;"),
            ("src/runtime/a.rs", "use super::b;\nuse crate::bus::Bus;\nuse crate::store::Store;"),
            ("src/runtime/a.rs", "use tokio::time;\nuse crate::wire::x;"),
            ("src/config.rs", "use crate::runtime::daemon;\nuse crate::telemetry::Format;"),
            ("src/cli.rs", "use crate::config::Config;"),
            ("src/main.rs", "fn main() { peerd::cli::main() }"),
            ("src/lib.rs", "pub mod domain;"),
            ("src/domain/a.rs", "#[cfg(test)]\nmod tests { use proptest::prelude::*; }"),
        ] {
            assert_eq!(findings(path, text), [""; 0], "{path} {text}");
        }
    }

    #[test]
    fn what_is_commented_out_or_text_is_not_found() {
        for text in [
            "// use crate::wire::x;\n//! [`crate::wire`]\n/// [`crate::store`]\nfn f() {}",
            "/* use crate::wire::x;\n/* tokio::spawn() */ crate::bus */",
            "const X: &str = \"crate::wire::x \\\" tokio::spawn\";",
            "const X: &str = r#\"crate::wire::x \" tokio::spawn\"#;",
        ] {
            assert_eq!(findings("src/domain/a.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn test_modules_in_files_of_their_own_may_use_test_crates() {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let dependencies = Dependencies::of_manifest("[dev-dependencies]\nproptest = \"1\"\n");
        let tests = source("src/wire/a/tests.rs", "use proptest::prelude::*;");
        let parent = source("src/wire/a.rs", "#[cfg(test)]\nmod tests;");
        assert_eq!(check(&[parent, tests.clone()], &dependencies), [""; 0]);
        assert_eq!(check(&[tests], &dependencies).len(), 1);
    }
}
