//! Reads the sources and puts them on top of each other.

use std::path::Path;

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat, Source as _, Value, ValueKind};

use super::{Config, DEFAULT_FILE, ENVIRONMENT_PREFIX, Problems};

/// Loads the configuration, with all problems of all sources.
pub fn load(file: Option<&Path>) -> Result<Config, Problems> {
    let defaults = toml::to_string(&Config::default())
        .map_err(|error| Problems(vec![format!("the defaults cannot be written: {error}")]))?;
    let mut builder = config::Config::builder()
        .add_source(File::from_str(&defaults, FileFormat::Toml))
        .add_source(File::new(DEFAULT_FILE, FileFormat::Toml).required(false));
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Toml).required(true));
    }
    build(with_environment(builder, environment())?)
}

/// Reads a configuration from a text and from variables, as [`load`] does from the file that it is
/// given and from the environment.
pub fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let defaults = toml::to_string(&Config::default())
        .map_err(|error| Problems(vec![format!("the defaults cannot be written: {error}")]))?;
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let environment = environment().source(Some(variables.collect()));
    let builder = config::Config::builder()
        .add_source(File::from_str(&defaults, FileFormat::Toml))
        .add_source(File::from_str(text, FileFormat::Toml));
    build(with_environment(builder, environment)?)
}

/// The environment. Its texts are not parsed here: a password may look like a number.
fn environment() -> Environment {
    Environment::with_prefix(ENVIRONMENT_PREFIX).prefix_separator("__").separator("__")
}

fn with_environment(
    builder: ConfigBuilder<DefaultState>,
    environment: Environment,
) -> Result<ConfigBuilder<DefaultState>, Problems> {
    const LIST: &str = "nats.servers";
    let problems = |error: config::ConfigError| Problems(vec![error.to_string()]);
    let given = environment.collect().map_err(problems)?.remove(LIST);
    let builder = builder.add_source(environment);
    let Some(list) = given.and_then(|list| list.into_string().ok()) else { return Ok(builder) };
    let list: Vec<&str> = list.split(',').map(str::trim).collect();
    builder.set_override(LIST, list).map_err(problems)
}

fn build(builder: ConfigBuilder<DefaultState>) -> Result<Config, Problems> {
    let sources = builder.build().map_err(|error| Problems(vec![error.to_string()]))?;
    let mut problems = Vec::new();
    let known = toml::Value::try_from(Config::default());
    let known = known.map_err(|error| Problems(vec![error.to_string()]))?;
    if let ValueKind::Table(table) = &sources.cache.kind {
        for (key, value) in table {
            compare(key, value, known.get(key), &mut problems);
        }
    }
    problems.sort();
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    sources.try_deserialize().map_err(|error| Problems(vec![error.to_string()]))
}

/// Finds keys that do not exist and values of the wrong type, by what the defaults have in their
/// place.
fn compare(path: &str, value: &Value, known: Option<&toml::Value>, problems: &mut Vec<String>) {
    let from = value.origin().map(|origin| format!(" (in {origin})")).unwrap_or_default();
    let Some(known) = known else {
        problems.push(format!("{path}: there is no such option{from}"));
        return;
    };
    if let (toml::Value::Table(known), ValueKind::Table(table)) = (known, &value.kind) {
        for (key, value) in table {
            compare(&format!("{path}.{key}"), value, known.get(key), problems);
        }
        return;
    }
    // The text of an environment variable may look like a number and be meant as text.
    let value = value.clone();
    let wrong = match known {
        toml::Value::String(_) => value.into_string().is_err().then_some("a text"),
        toml::Value::Integer(_) => value.into_uint().is_err().then_some("a whole number from 0 on"),
        toml::Value::Boolean(_) => value.into_bool().is_err().then_some("true or false"),
        toml::Value::Array(_) => value.into_array().is_err().then_some("a list"),
        toml::Value::Table(_) => Some("a section"),
        toml::Value::Float(_) | toml::Value::Datetime(_) => None,
    };
    if let Some(expected) = wrong {
        problems.push(format!("{path}: must be {expected}{from}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let names: Vec<&str> =
            problems.0.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(
            names,
            ["limits.text_bytes", "log.levle", "nats.host", "nats.servers", "partition"]
        );
    }

    #[test]
    fn the_shipped_file_is_the_defaults_and_names_every_option() {
        let text = include_str!("../../config/peerd.toml");
        let shipped: toml::Value = toml::from_str(text).expect("TOML");
        let defaults = toml::Value::try_from(Config::default()).expect("TOML");
        assert_eq!(shipped, defaults);
    }
}
