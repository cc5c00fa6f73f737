//! The settings of logins by token, and reading the files that they name.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use peerd_callout::callout::{Callout, Issuer, xkey_of_seed};
use peerd_callout::grant::Grants;
use peerd_callout::key::Keys;
use peerd_callout::revocation::Revocations;
use peerd_callout::token::Rules;
use peerd_protocol::subject::Subjects;

pub(crate) use super::fetch::is_private;
use super::tuning::FILE_BYTES_MAX;
use crate::http::client;

/// A secret, or the file that contains it.
#[derive(Clone)]
pub enum Secret {
    /// The secret.
    Given(String),
    /// The file.
    In(PathBuf),
}

/// Where the keys of tokens are.
#[derive(Clone)]
pub enum KeySource {
    /// A file with public keys.
    File(PathBuf),
    /// A secret that issuer and peerd share.
    Secret(Secret),
    /// The address of a JSON Web Key Set.
    Url(Uri),
    /// The issuer, whose OpenID configuration has the address of its key set.
    Discovery(Uri),
}

/// The settings.
#[derive(Clone)]
pub struct Options {
    /// The seed of the account key that signs answers.
    pub issuer_seed: Secret,
    /// The seed of the key of encrypted requests.
    pub xkey_seed: Option<Secret>,
    /// The account that users are placed in.
    pub account: String,
    /// Whether users need the permissions of `deploy/nats/mapping.conf`.
    pub with_mapping: bool,
    /// What tokens must say.
    pub rules: Rules,
    /// Where the keys are.
    pub keys: KeySource,
    /// PEM certificates to trust for fetches instead of the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// The file with revoked tokens.
    pub revocation_file: Option<PathBuf>,
    /// How often keys are fetched.
    pub refresh: Duration,
    /// The shortest time between two fetches for unknown keys.
    pub refetch: Duration,
    /// How long fetched keys are used while no fetch succeeds.
    pub keys_max_age: Duration,
    /// The most requests in progress.
    pub requests: usize,
    /// Whether refused clients learn so at once.
    pub answer_refused: bool,
    /// Whether clients beyond the most requests learn so at once.
    pub answer_overloaded: bool,
}

/// What the files of the options contain.
pub(super) struct Parts {
    pub(super) callout: Callout,
    /// `None`: they are to be fetched.
    pub(super) keys: Option<Keys>,
    pub(super) revocations: Revocations,
}

/// A problem of an option: its name, and what is wrong.
pub type Problem = (&'static str, String);

impl Options {
    /// Everything that is wrong with the files, each with its option.
    #[must_use]
    pub fn file_problems(&self) -> Vec<Problem> {
        self.load(&Subjects::new("peer", 1)).err().unwrap_or_default()
    }

    /// Reads the files.
    pub(super) fn load(&self, subjects: &Subjects) -> Result<Parts, Vec<Problem>> {
        let mut problems = Vec::new();
        let seed = self.issuer_seed.read("callout.issuer_seed_file");
        let issuer = seed.and_then(|(name, seed)| {
            Issuer::of_seed(&seed).map_err(|error| (name, error.to_string()))
        });
        let issuer = kept(issuer, &mut problems);
        let xkey = self.xkey_seed.as_ref().map(|seed| {
            let (name, seed) = seed.read("callout.xkey_seed_file")?;
            xkey_of_seed(&seed).map_err(|error| (name, error.to_string()))
        });
        let xkey = kept(xkey.transpose(), &mut problems);
        let keys = kept(self.keys.read(), &mut problems);
        let revocations = match &self.revocation_file {
            Some(file) => read_revocations(file),
            None => Ok(Revocations::default()),
        };
        let revocations = revocations.map_err(|problem| ("callout.revocation_file", problem));
        let revocations = kept(revocations, &mut problems);
        if let Err(problem) = client::trusted(self.tls_ca_file.as_deref()) {
            problems.push(("callout.tls_ca_file", problem));
        }
        match (issuer, xkey, keys, revocations) {
            (Some(issuer), Some(xkey), Some(keys), Some(revocations)) if problems.is_empty() => {
                let (account, with_mapping) = (self.account.clone(), self.with_mapping);
                let grants = Grants { subjects: subjects.clone(), with_mapping };
                let callout = Callout { issuer, xkey, account, grants };
                Ok(Parts { callout, keys, revocations })
            }
            _ => Err(problems),
        }
    }
}

fn kept<T>(read: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    read.map_err(|problem| problems.push(problem)).ok()
}

impl Secret {
    /// The text, and the name of the option for errors: that of the file, or of the secret itself.
    fn read(&self, option: &'static str) -> Result<(&'static str, String), Problem> {
        match self {
            Self::Given(text) => Ok((option.trim_end_matches("_file"), text.clone())),
            Self::In(file) => match read_file(file) {
                Ok(text) => Ok((option, text.trim().to_owned())),
                Err(problem) => Err((option, problem)),
            },
        }
    }
}

impl KeySource {
    /// The keys, unless they are to be fetched.
    fn read(&self) -> Result<Option<Keys>, Problem> {
        match self {
            Self::File(file) => match read_keys(file) {
                Ok(keys) => Ok(Some(keys)),
                Err(problem) => Err(("callout.keys_file", problem)),
            },
            Self::Secret(secret) => {
                let (name, secret) = secret.read("callout.secret_file")?;
                let keys = Keys::from_secret(secret.as_bytes());
                keys.map(Some).map_err(|error| (name, error.to_string()))
            }
            Self::Url(_) | Self::Discovery(_) => Ok(None),
        }
    }
}

/// Reads a file of public keys. The problem names the file.
pub(super) fn read_keys(file: &Path) -> Result<Keys, String> {
    Keys::read(&read_file(file)?).map_err(|error| format!("{}: {error}", file.display()))
}

/// Reads a file of revoked tokens. The problem names the file.
pub(super) fn read_revocations(file: &Path) -> Result<Revocations, String> {
    Revocations::parse(&read_file(file)?).map_err(|error| format!("{}: {error}", file.display()))
}

fn read_file(file: &Path) -> Result<String, String> {
    let read = || {
        let mut text = String::new();
        File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error: std::io::Error| format!("{}: cannot be read: {error}", file.display()))
}
