//! Reads the sources of the configuration and merges them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat, Source as _, Value, ValueKind};

use super::context;
use super::names::{Names, Variable};
use super::{Config, DEFAULT_FILE, ENVIRONMENT_PREFIX, Problems};

/// A configuration, and warnings about settings that are accepted but perhaps a mistake.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The warnings, one line each.
    pub warnings: Vec<String>,
}

/// The settings on the command line that override the configuration.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// A context of the `nats` command line; `None`: the connection is as configured.
    pub context: Option<String>,
    /// The addresses of NATS; empty: as configured.
    pub servers: Vec<String>,
    /// The file with the credentials for NATS; `None`: as configured.
    pub credentials_file: Option<PathBuf>,
}

/// Loads the configuration. An error lists all problems of all sources.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Problems> {
    let mut reading = Reading::new()?;
    reading.add_file(Path::new(DEFAULT_FILE), false);
    if let Some(file) = file {
        reading.add_file(file, true);
    }
    reading.add_variables(std::env::vars_os());
    reading.finish(overrides, true)
}

/// Reads a configuration from a text and from variables, as [`load`] does from its file and from
/// the environment.
pub fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let mut reading = Reading::new()?;
    reading.add_text(text, "", File::from_str(text, FileFormat::Toml));
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    reading.add_variables(variables);
    reading.finish(&Overrides::default(), false).map(|loaded| loaded.config)
}

/// The sources so far. A source that cannot be read is a problem, and the others are still read.
struct Reading {
    builder: ConfigBuilder<DefaultState>,
    names: Names,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Reading {
    fn new() -> Result<Self, Problems> {
        let failed = |error: &dyn std::fmt::Display| {
            Problems(vec![format!("the defaults cannot be written: {error}")])
        };
        let defaults = toml::to_string(&Config::default()).map_err(|error| failed(&error))?;
        let table = toml::Value::try_from(Config::default()).map_err(|error| failed(&error))?;
        Ok(Self {
            builder: config::Config::builder()
                .add_source(File::from_str(&defaults, FileFormat::Toml)),
            names: Names::new(table),
            problems: Vec::new(),
            warnings: Vec::new(),
        })
    }

    fn add_file(&mut self, path: &Path, is_required: bool) {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let file = File::from(path).format(FileFormat::Toml);
                self.add_text(&text, &format!("{}: ", path.display()), file);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_required => {}
            Err(error) => {
                self.problems.push(format!("{}: cannot be read: {error}", path.display()));
            }
        }
    }

    fn add_text<T>(&mut self, text: &str, path: &str, file: File<T, FileFormat>)
    where
        T: config::FileSource<FileFormat> + std::fmt::Debug + Clone + Send + Sync + 'static,
    {
        match toml::from_str::<toml::Table>(text) {
            Ok(_) => self.builder = std::mem::take(&mut self.builder).add_source(file),
            Err(error) => {
                let at = error.span().map(|span| line_of(text, span.start));
                let at = at.map_or(String::new(), |line| format!("line {line}: "));
                self.problems.push(format!("{path}{at}not TOML: {}", error.message()));
            }
        }
    }

    fn add_variables(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        let mut ours = config::Map::new();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            match self.names.variable(name) {
                Variable::Foreign => {}
                Variable::Unknown(warning) => self.warnings.push(warning),
                Variable::Wrong(problem) => self.problems.push(problem),
                Variable::Ours => match value.into_string() {
                    Ok(value) => _ = ours.insert(name.to_owned(), value),
                    Err(_) => self.problems.push(format!("{name}: is not UTF-8")),
                },
            }
        }
        // The values are not parsed here: a password may look like a number.
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .source(Some(ours));
        if let Err(error) = self.add_environment(environment) {
            self.problems.push(error.to_string());
        }
    }

    fn add_environment(&mut self, environment: Environment) -> Result<(), config::ConfigError> {
        const LIST: &str = "nats.servers";
        let given = environment.collect()?.remove(LIST);
        let builder = std::mem::take(&mut self.builder).add_source(environment);
        self.builder = match given.and_then(|list| list.into_string().ok()) {
            Some(list) => {
                let list: Vec<&str> = list.split(',').map(str::trim).collect();
                builder.set_override(LIST, list)?
            }
            None => builder,
        };
        Ok(())
    }

    /// Returns the configuration, or all problems: also those of its values, as far as these can be
    /// read.
    fn finish(mut self, overrides: &Overrides, with_files: bool) -> Result<Loaded, Problems> {
        let mut sources = match self.builder.build() {
            Ok(sources) => sources,
            Err(error) => {
                self.problems.push(error.to_string());
                return Err(Problems(self.problems));
            }
        };
        if let ValueKind::Table(table) = &mut sources.cache.kind {
            let known = self.names.table();
            let (names, problems) = (&self.names, &mut self.problems);
            let mut found = Found { names, problems, warnings: &mut self.warnings };
            table.retain(|key, value| found.compare(key, value, known.get(key)));
        }
        let mut config: Config = match sources.try_deserialize() {
            Ok(config) => config,
            Err(error) => {
                self.problems.push(error.to_string());
                return Err(Problems(self.problems));
            }
        };
        if let Some(name) = &overrides.context {
            #[expect(clippy::disallowed_methods, reason = "where contexts are is no option")]
            let variable = |name: &str| std::env::var(name).ok();
            let applied = context::apply(name, &mut config.nats, &variable);
            if let Err(problem) = applied {
                self.problems.push(format!("--context {name}: {problem}"));
            }
        }
        if !overrides.servers.is_empty() {
            config.nats.servers.clone_from(&overrides.servers);
        }
        if let Some(file) = &overrides.credentials_file {
            let nats = &mut config.nats;
            for identity in
                [&mut nats.user, &mut nats.password, &mut nats.token, &mut nats.nkey_seed_file]
            {
                identity.clear();
            }
            nats.credentials_file = file.to_string_lossy().into_owned();
        }
        // Without problems so far, the values are checked by the caller, in `Config::settings`.
        if with_files || !self.problems.is_empty() {
            let values = config.problems(with_files);
            self.problems.extend(values);
        }
        self.problems.sort();
        self.problems.dedup();
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        self.warnings.extend(config.warnings());
        Ok(Loaded { config, warnings: self.warnings })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The problems of the keys and values of the sources.
struct Found<'a> {
    names: &'a Names,
    problems: &'a mut Vec<String>,
    warnings: &'a mut Vec<String>,
}

impl Found<'_> {
    /// Finds keys that do not exist and values of the wrong type, by comparison with the defaults.
    /// Returns whether the value is valid, or is to be removed.
    fn compare(&mut self, path: &str, value: &mut Value, known: Option<&toml::Value>) -> bool {
        let from = value.origin().map(|origin| format!(" (in {origin})")).unwrap_or_default();
        let Some(known) = known else {
            self.unknown(path, &from);
            return false;
        };
        if let (toml::Value::Table(known), ValueKind::Table(table)) = (known, &mut value.kind) {
            table
                .retain(|key, value| self.compare(&format!("{path}.{key}"), value, known.get(key)));
            return true;
        }
        let expected = expected(value, known);
        if let Some(expected) = expected {
            self.problems.push(format!("{path}: must be {expected}{from}"));
        }
        expected.is_none()
    }

    fn unknown(&mut self, path: &str, from: &str) {
        if let Some(what) = Names::removed(path) {
            self.warnings.push(format!("{path}{from}: {what}"));
            return;
        }
        if let Some(new) = Names::renamed(path) {
            self.problems.push(format!("{path}: is now called {new}{from}"));
            return;
        }
        let meant = self.names.like(path);
        let meant = meant.map(|name| format!("; is {name} meant?")).unwrap_or_default();
        self.problems.push(format!("{path}: there is no such option{from}{meant}"));
    }
}

/// The expected type of a value, if it has another one. The text of an environment variable may
/// stand for any of them. Otherwise, numbers are not rounded and do not count as booleans.
fn expected(value: &Value, known: &toml::Value) -> Option<&'static str> {
    let is_float = matches!(value.kind, ValueKind::Float(_));
    let is_boolean = matches!(value.kind, ValueKind::Boolean(_));
    let is_text = matches!(value.kind, ValueKind::String(_));
    let value = value.clone();
    match known {
        toml::Value::String(_) => {
            (is_float || is_boolean || value.into_string().is_err()).then_some("a text")
        }
        toml::Value::Integer(_) => (is_float || is_boolean || value.into_uint().is_err())
            .then_some("a whole number from 0 on"),
        toml::Value::Boolean(_) => {
            (!(is_boolean || is_text) || value.into_bool().is_err()).then_some("true or false")
        }
        toml::Value::Array(_) => match value.into_array() {
            Ok(list) => {
                let is_text = |value: &Value| matches!(value.kind, ValueKind::String(_));
                (!list.iter().all(is_text)).then_some("a list of texts")
            }
            Err(_) => Some("a list"),
        },
        toml::Value::Table(_) => Some("a section"),
        toml::Value::Float(_) | toml::Value::Datetime(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(problems: &Problems) -> Vec<&str> {
        problems.0.iter().filter_map(|problem| problem.split(':').next()).collect()
    }

    #[test]
    fn later_sources_win_and_lists_are_comma_separated() {
        let config = read(
            "partitions = 4\n[limits]\ntext_bytes = 100\n",
            &[
                ("PEERD__LIMITS__TEXT_BYTES", "200"),
                ("PEERD__NATS__SERVERS", "nats://a:1,nats://b:2"),
                ("PEERD__NATS__PASSWORD", "0123"),
                ("PEERD__STREAM__STORAGE", "memory"),
                ("PEERD_PASSWORD", "not ours"),
            ],
        )
        .expect("a configuration");
        assert_eq!(config.partitions, 4);
        assert_eq!(config.limits.text_bytes, 200);
        assert_eq!(config.nats.servers, ["nats://a:1", "nats://b:2"]);
        assert_eq!(config.nats.password, "0123");
        assert_eq!(config.stream.storage, "memory");
    }

    #[test]
    fn every_problem_is_listed() {
        let text =
            "partition = 4\n[limits]\ntext_bytes = \"many\"\n[nats]\nservers = 5\nhost = 1\n";
        let problems = read(text, &[("PEERD__LOG__LEVLE", "info")]).expect_err("problems");
        assert_eq!(
            names_of(&problems),
            ["limits.text_bytes", "log.levle", "nats.host", "nats.servers", "partition"]
        );
    }

    #[test]
    fn an_unknown_option_hides_no_bad_value() {
        let text = "partition = 4\n[stream]\nreplicas = 9\n[limits]\nrepeat_window_ms = 0\n";
        let variables = [("PEERD_LIMITS_TEXT_BYTES", "1"), ("PEERD__EVENTS__ENCODING", "xml")];
        let problems = read(text, &variables).expect_err("problems");
        assert_eq!(
            names_of(&problems),
            [
                "PEERD_LIMITS_TEXT_BYTES",
                "events.encoding",
                "limits.repeat_window_ms",
                "partition",
                "stream.replicas"
            ]
        );
        assert!(problems.0[3].ends_with("is partitions meant?"), "{}", problems.0[3]);
    }

    #[test]
    fn an_option_that_was_removed_is_a_warning() {
        let mut reading = Reading::new().expect("defaults");
        let text = "[stream]\ngroup_commit = true\nreplicas = 3\n";
        reading.add_text(text, "", File::from_str(text, FileFormat::Toml));
        let variable = ("PEERD__STREAM__GROUP_COMMIT".into(), "false".into());
        reading.add_variables(std::iter::once(variable));
        let loaded = reading.finish(&Overrides::default(), false).expect("a configuration");
        assert_eq!(loaded.config.stream.replicas, 3);
        let about = |warning: &&String| warning.contains("stream.group_commit");
        let warnings: Vec<_> = loaded.warnings.iter().filter(about).collect();
        assert_eq!(warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(warnings[0].contains("was removed"), "{warnings:?}");
    }

    #[test]
    fn the_old_name_of_an_option_is_refused_with_the_new_one() {
        let text = "[session]\nheard_write_interval_ms = 1000\n";
        let variables = [("PEERD__SESSION__HEARD_WRITE_INTERVAL_MS", "1000")];
        for read in [read(text, &[]), read("", &variables)] {
            let problems = read.expect_err("a problem");
            assert!(
                problems.0[0].starts_with(
                    "session.heard_write_interval_ms: is now called \
                     session.last_seen_write_interval_ms"
                ),
                "{problems}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_toml_hides_no_other_source() {
        let problems = read("a = \nb = 1\n", &[("PEERD__PARTITIONS", "0")]).expect_err("problems");
        assert!(problems.0[0].starts_with("line 1: not TOML"), "{problems}");
        assert!(problems.0[1].starts_with("partitions:"), "{problems}");
    }

    #[test]
    fn nothing_is_rounded_or_taken_for_something_else() {
        for text in [
            "partitions = 4.7",
            "partitions = true",
            "partitions = -1",
            "[nats]\ntls_required = 5",
            "[nats]\nuser = true",
            "[nats]\nservers = [\"nats://a:1\", 7]",
            "nats = 5",
        ] {
            let problems = read(text, &[]);
            assert!(problems.is_err(), "{text}: {problems:?}");
        }
    }

    #[test]
    fn the_shipped_file_is_the_defaults_and_names_every_option() {
        let text = include_str!("../../config/peerd.toml");
        let shipped: toml::Value = toml::from_str(text).expect("TOML");
        let defaults = toml::Value::try_from(Config::default()).expect("TOML");
        assert_eq!(shipped, defaults);
    }
}
