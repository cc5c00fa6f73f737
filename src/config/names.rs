//! The names of options, and the options that unknown names probably mean.

use super::ENVIRONMENT_PREFIX;

/// The options with their defaults.
pub(super) struct Names {
    defaults: toml::Value,
    /// The name of each option, such as `limits.text_bytes`.
    paths: Vec<String>,
}

/// The kinds of environment variables.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// It has the form of an option.
    Ours,
    /// It does not concern peerd's configuration.
    Foreign,
    /// It names an option, but in a form that is not read. Contains the problem.
    Wrong(String),
    /// It begins with peerd's name and names no option. Contains the warning.
    Unknown(String),
}

/// Variables that begin with peerd's name and belong to others: `deploy/nats/users.conf` reads
/// `PEERD_PASSWORD`.
const OTHERS: [&str; 1] = ["PASSWORD"];
/// Options that an earlier release had, and what became of each.
const REMOVED: [(&str, &str); 1] =
    [("stream.group_commit", "was removed and has no effect; take it out of the configuration")];
/// Options that have another name now: the old one and the new one.
const RENAMED: [(&str, &str); 1] =
    [("session.heard_write_interval_ms", "session.last_seen_write_interval_ms")];
/// The most letters by which a mistyped name may differ.
const TYPOS_MAX: usize = 2;

impl Names {
    /// The names of the options in the defaults.
    pub(super) fn new(defaults: toml::Value) -> Self {
        let mut paths = Vec::new();
        collect("", &defaults, &mut paths);
        Self { defaults, paths }
    }

    /// The defaults.
    pub(super) const fn table(&self) -> &toml::Value {
        &self.defaults
    }

    /// The option that an unknown name probably means.
    pub(super) fn like(&self, name: &str) -> Option<&str> {
        let letters = letters(name);
        let last = name.rsplit('.').next().unwrap_or(name);
        let by_typos = |path: &&String| distance(&letters, &self::letters(path));
        let nearest = self.paths.iter().min_by_key(by_typos)?;
        if by_typos(&nearest) <= TYPOS_MAX {
            return Some(nearest);
        }
        // An option of this name in another section.
        self.paths.iter().find(|path| path.rsplit('.').next() == Some(last)).map(String::as_str)
    }

    /// The note on a removed option of an earlier release.
    pub(super) fn removed(path: &str) -> Option<&'static str> {
        REMOVED.into_iter().find(|(removed, _)| *removed == path).map(|(_, what)| what)
    }

    /// The present name of an option that an earlier release called otherwise.
    pub(super) fn renamed(path: &str) -> Option<&'static str> {
        RENAMED.into_iter().find(|(old, _)| *old == path).map(|(_, new)| new)
    }

    /// The kind of an environment variable, by its name.
    pub(super) fn variable(&self, name: &str) -> Variable {
        let upper = name.to_uppercase();
        let Some(rest) = upper.strip_prefix(ENVIRONMENT_PREFIX).and_then(|it| it.strip_prefix('_'))
        else {
            return Variable::Foreign;
        };
        if rest.starts_with('_') {
            return Variable::Ours;
        }
        let is_meant = |path: &&String| letters(path) == letters(rest);
        if let Some(path) = self.paths.iter().find(is_meant) {
            let right = variable(path);
            return Variable::Wrong(format!(
                "{name}: is not read; sections and options have two underscores before them: \
                 {right}"
            ));
        }
        if OTHERS.contains(&rest) || is_service_link(rest) {
            return Variable::Foreign;
        }
        let meant = self.like(rest).map(|path| format!("; is {} meant?", variable(path)));
        let meant = meant.unwrap_or_default();
        Variable::Unknown(format!("{name}: is no option of peerd{meant}"))
    }
}

/// The environment variable of an option, such as `PEERD__LIMITS__TEXT_BYTES`.
fn variable(path: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}__{}", path.to_uppercase().replace('.', "__"))
}

fn collect(path: &str, value: &toml::Value, paths: &mut Vec<String>) {
    let Some(table) = value.as_table() else {
        paths.push(path.to_owned());
        return;
    };
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        collect(&path, value, paths);
    }
}

/// A name in lower case, without the characters that separate its words.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect()
}

/// Whether Kubernetes sets a variable of this name for a service whose name begins with peerd's:
/// `…SERVICE_HOST`, `…SERVICE_PORT_<name>`, `…PORT_4222_TCP_ADDR`.
fn is_service_link(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let is_service = words.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]));
    let is_port = (0..words.len()).any(|at| match &words[at..] {
        ["PORT"] => true,
        ["PORT", number, "TCP" | "UDP" | "SCTP", more @ ..] => {
            number.bytes().all(|byte| byte.is_ascii_digit())
                && matches!(more, [] | ["PROTO" | "PORT" | "ADDR"])
        }
        _ => false,
    });
    is_service || is_port
}

/// The edit distance: how many letters to insert, remove or replace to turn one name into the
/// other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, against) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *against);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn names() -> Names {
        Names::new(toml::Value::try_from(Config::default()).expect("TOML"))
    }

    #[test]
    fn a_name_leads_to_the_option_that_was_meant() {
        let names = names();
        for (name, meant) in [
            ("partition", Some("partitions")),
            ("limts.text_bytes", Some("limits.text_bytes")),
            ("limits_text_bytes", Some("limits.text_bytes")),
            ("text_bytes", Some("limits.text_bytes")),
            ("send.text_bytes", Some("limits.text_bytes")),
            ("nats.hosts", None),
        ] {
            assert_eq!(names.like(name), meant, "{name}");
        }
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        let names = names();
        for name in [
            "PATH",
            "PEERD",
            "PEERDX__PARTITIONS",
            "PEERD_PASSWORD",
            "PEERD_PORT",
            "PEERD_SERVICE_HOST",
            "PEERD_SERVICE_PORT",
            "PEERD_SERVICE_PORT_CLIENT",
            "PEERD_PORT_4222_TCP",
            "PEERD_PORT_4222_TCP_ADDR",
            "PEERD_NATS_SERVICE_HOST",
            "PEERD_NATS_PORT_4222_TCP_PROTO",
        ] {
            assert_eq!(names.variable(name), Variable::Foreign, "{name}");
        }
        assert_eq!(names.variable("PEERD__LIMTS__TEXT_BYTES"), Variable::Ours);
        for (name, right) in [
            ("PEERD_LIMITS_TEXT_BYTES", "PEERD__LIMITS__TEXT_BYTES"),
            ("PEERD_LIMITS__TEXT_BYTES", "PEERD__LIMITS__TEXT_BYTES"),
            ("PEERD_PARTITIONS", "PEERD__PARTITIONS"),
            ("peerd_log_level", "PEERD__LOG__LEVEL"),
        ] {
            let Variable::Wrong(problem) = names.variable(name) else { panic!("{name}") };
            assert!(problem.ends_with(right), "{problem}");
        }
        let Variable::Unknown(text) = names.variable("PEERD_LIMTS_TEXT_BYTE") else { panic!() };
        assert!(text.contains("PEERD__LIMITS__TEXT_BYTES"), "{text}");
    }
}
