//! Contexts of the `nats` command line: a JSON file for each, with addresses and an identity.
//!
//! A context replaces everything in `[nats]` that says where peerd connects and as whom, so that two
//! identities never mix. A setting that peerd cannot follow is a problem: to leave it out would
//! connect somewhere else, or as somebody else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Nats;

/// The variables that say where the contexts are.
pub(super) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// A context as it is stored. Fields that concern only the command line are left out.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    url: String,
    user: String,
    password: String,
    token: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    tls_first: bool,
    inbox_prefix: String,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

/// Settings that change where or as whom a client connects, and that peerd does not have.
const NOT_FOLLOWED: [&str; 9] = [
    "nsc",
    "socks_proxy",
    "user_jwt",
    "user_seed",
    "jetstream_domain",
    "jetstream_api_prefix",
    "windows_cert_store",
    "windows_cert_match",
    "windows_cert_match_by",
];

/// Replaces the connection of `nats` by that of a context.
pub(super) fn apply(name: &str, nats: &mut Nats, variables: Variables<'_>) -> Result<(), String> {
    let folder = folder(variables).ok_or("neither XDG_CONFIG_HOME nor HOME is set")?;
    if name.is_empty() || name.contains("..") || name.contains(['/', '\\']) {
        return Err("is the name of a context, not a path".to_owned());
    }
    let path = folder.join(format!("{name}.json"));
    let text = std::fs::read(&path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return format!("there is no {}; {}", path.display(), known(&folder));
        }
        format!("{}: cannot be read: {error}", path.display())
    })?;
    let stored: Stored = serde_json::from_slice(&text)
        .map_err(|error| format!("{}: is not a context: {error}", path.display()))?;
    let of_it = |problem: String| format!("{}: {problem}", path.display());
    stored.replace(nats, variables).map_err(of_it)
}

impl Stored {
    fn replace(self, nats: &mut Nats, variables: Variables<'_>) -> Result<(), String> {
        let is_set = |value: &serde_json::Value| {
            !value.is_null() && value.as_str().is_none_or(|text| !text.is_empty())
        };
        let followed = |name: &&str| !self.other.get(*name).is_some_and(is_set);
        if let Some(name) = NOT_FOLLOWED.iter().find(|name| !followed(name)) {
            return Err(format!(
                "{name} is set, which peerd cannot follow: give addresses and credentials with \
                 --server and --credentials, or in [nats]"
            ));
        }
        let file = |name: &str, value: &str| expanded(name, value, variables);
        let replaced = Nats {
            credentials_file: file("creds", &self.creds)?,
            nkey_seed_file: file("nkey", &self.nkey)?,
            tls_certificate_file: file("cert", &self.cert)?,
            tls_key_file: file("key", &self.key)?,
            tls_ca_file: file("ca", &self.ca)?,
            user: self.user,
            password: self.password,
            token: self.token,
            tls_first: self.tls_first,
            ..Nats::default()
        };
        let servers: Vec<String> = self.url.split(',').map(|url| url.trim().to_owned()).collect();
        let named = !self.url.is_empty();
        let inbox = Some(self.inbox_prefix).filter(|prefix| !prefix.is_empty());
        *nats = Nats {
            servers: if named { servers } else { replaced.servers.clone() },
            inbox_prefix: inbox.unwrap_or_else(|| nats.inbox_prefix.clone()),
            tls_required: nats.tls_required,
            connect_timeout_ms: nats.connect_timeout_ms,
            ..replaced
        };
        nats.keep_one_identity();
        Ok(())
    }
}

impl Nats {
    /// Drops what the command line would not use: of several identities it takes the first in this
    /// order.
    fn keep_one_identity(&mut self) {
        let Self { user, password, credentials_file, nkey_seed_file, token, .. } = self;
        let mut is_known = !user.is_empty();
        if !is_known {
            password.clear();
        }
        for identity in [credentials_file, nkey_seed_file, token] {
            if is_known {
                identity.clear();
            }
            is_known |= !identity.is_empty();
        }
    }
}

/// A path with `~` for the user's home, as the command line reads it.
fn expanded(name: &str, value: &str, variables: Variables<'_>) -> Result<String, String> {
    if value.contains("://") || value.contains('$') {
        // Not shown: a reference may contain the secret itself.
        return Err(format!("{name} is not the path of a file, which is all that peerd can read"));
    }
    match value.strip_prefix('~') {
        None => Ok(value.to_owned()),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = variables("HOME").ok_or_else(|| format!("{name}: HOME is not set"))?;
            Ok(format!("{home}{rest}"))
        }
        Some(_) => Err(format!("{name}: the home of another user is not looked up")),
    }
}

/// The folder of the contexts.
fn folder(variables: Variables<'_>) -> Option<PathBuf> {
    let set = |name| variables(name).filter(|value| !value.is_empty());
    let config = set("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(config.join("nats").join("context"))
}

/// The contexts that exist, for a message.
fn known(folder: &Path) -> String {
    const SHOWN: usize = 20;
    let names: BTreeSet<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    if names.is_empty() {
        return "there are no contexts (`nats context save` makes one)".to_owned();
    }
    let names: Vec<String> = names.into_iter().take(SHOWN).collect();
    format!("there are the contexts {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(context: &str) -> Result<Nats, String> {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join(".config/nats/context");
        std::fs::create_dir_all(&folder).expect("the folder of contexts");
        std::fs::write(folder.join("chat.json"), context).expect("a context");
        let mut nats = Nats {
            user: "configured".to_owned(),
            password: "configured".to_owned(),
            tls_required: true,
            ..Nats::default()
        };
        let home = home.path().display().to_string();
        let variables = |name: &str| (name == "HOME").then(|| home.clone());
        apply("chat", &mut nats, &variables).map_err(|why| why.replace(&home, "~"))?;
        let shown = serde_json::to_string(&nats).expect("JSON").replace(&home, "/home/op");
        Ok(serde_json::from_str(&shown).expect("the same"))
    }

    #[test]
    fn a_context_replaces_the_addresses_and_the_identity() {
        let nats = applied(
            r#"{"description":"","url":"nats://a:4222, nats://b:4222","creds":"~/peerd.creds",
                "ca":"/etc/ca.pem","tls_first":true,"inbox_prefix":"_INBOX.op","color_scheme":"red",
                "user":"","password":"","nsc":"","socks_proxy":""}"#,
        )
        .expect("a context");
        let expected = Nats {
            servers: vec!["nats://a:4222".to_owned(), "nats://b:4222".to_owned()],
            credentials_file: "/home/op/peerd.creds".to_owned(),
            tls_ca_file: "/etc/ca.pem".to_owned(),
            tls_first: true,
            tls_required: true,
            inbox_prefix: "_INBOX.op".to_owned(),
            ..Nats::default()
        };
        assert_eq!(nats, expected);
    }

    #[test]
    fn of_several_identities_the_first_counts() {
        let nats = applied(r#"{"user":"op","password":"p","creds":"/a","nkey":"/b","token":"c"}"#);
        let expected = Nats {
            user: "op".to_owned(),
            password: "p".to_owned(),
            tls_required: true,
            ..Nats::default()
        };
        assert_eq!(nats, Ok(expected));
        let nats = applied(r#"{"nkey":"/b","token":"c"}"#).expect("a context");
        assert_eq!((nats.nkey_seed_file.as_str(), nats.token.as_str()), ("/b", ""));
    }

    #[test]
    fn what_cannot_be_followed_is_named_without_its_value() {
        for (context, named) in [
            (r#"{"socks_proxy":"hush"}"#, "socks_proxy"),
            (r#"{"nsc":"nsc://hush"}"#, "nsc"),
            (r#"{"user_seed":"hush"}"#, "user_seed"),
            (r#"{"jetstream_domain":"hush"}"#, "jetstream_domain"),
            (r#"{"creds":"data://hush"}"#, "creds"),
            (r#"{"creds":"$HUSH"}"#, "creds"),
            (r#"{"nkey":"~hush/seed"}"#, "nkey"),
            ("[hush", "chat.json"),
        ] {
            let why = applied(context).expect_err(context);
            assert!(why.contains(named) && !why.contains("hush"), "{context}: {why}");
        }
    }

    #[test]
    fn an_unknown_context_lists_the_known_ones() {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path().display().to_string();
        let variables = |name: &str| (name == "XDG_CONFIG_HOME").then(|| root.clone());
        let missing = |name| apply(name, &mut Nats::default(), &variables).expect_err("no context");
        assert!(missing("prod").ends_with("makes one)"), "{}", missing("prod"));
        let folder = home.path().join("nats/context");
        std::fs::create_dir_all(&folder).expect("the folder of contexts");
        for name in ["test", "dev"] {
            std::fs::write(folder.join(format!("{name}.json")), "{}").expect("a context");
        }
        assert!(missing("prod").ends_with("contexts dev, test"), "{}", missing("prod"));
        for path in ["../prod", "a/b", ""] {
            assert!(missing(path).contains("not a path"), "{}", missing(path));
        }
    }
}
