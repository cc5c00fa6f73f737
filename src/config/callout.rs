//! `[callout]`: logins by token.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::Config;
use super::problems::Check;
use super::secret::Hidden;
use crate::callout::options::{KeySource, Options, Secret, is_private};
use crate::runtime::connect::NatsOptions;
use crate::runtime::logins::Login;
use peerd_callout::token::Rules;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// `[callout]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Callout {
    pub enabled: bool,
    pub issuer_seed_file: String,
    pub issuer_seed: Hidden,
    pub xkey_seed_file: String,
    pub xkey_seed: Hidden,
    pub account: String,
    pub with_mapping: bool,
    pub user: String,
    pub password: Hidden,
    pub credentials_file: String,
    pub token_issuer: String,
    pub token_audience: String,
    pub token_user_claim: String,
    pub token_leeway_seconds: u64,
    pub discovery: bool,
    pub keys_url: String,
    pub keys_file: String,
    pub secret_file: String,
    pub secret: Hidden,
    pub tls_ca_file: String,
    pub keys_refresh_seconds: u64,
    pub keys_refetch_seconds: u64,
    pub keys_max_age_seconds: u64,
    pub revocation_file: String,
    pub requests: u64,
    pub when_refused: String,
    pub when_overloaded: String,
}

impl Default for Callout {
    fn default() -> Self {
        Self {
            enabled: false,
            issuer_seed_file: String::new(),
            issuer_seed: Hidden::default(),
            xkey_seed_file: String::new(),
            xkey_seed: Hidden::default(),
            account: "$G".to_owned(),
            with_mapping: false,
            user: String::new(),
            password: Hidden::default(),
            credentials_file: String::new(),
            token_issuer: String::new(),
            token_audience: String::new(),
            token_user_claim: "sub".to_owned(),
            token_leeway_seconds: 5,
            discovery: false,
            keys_url: String::new(),
            keys_file: String::new(),
            secret_file: String::new(),
            secret: Hidden::default(),
            tls_ca_file: String::new(),
            keys_refresh_seconds: 300,
            keys_refetch_seconds: 10,
            keys_max_age_seconds: DAY_SECONDS,
            revocation_file: String::new(),
            requests: 256,
            when_refused: "answer".to_owned(),
            when_overloaded: "drop".to_owned(),
        }
    }
}

impl Callout {
    pub(super) fn hide(&mut self) {
        for secret in
            [&mut self.issuer_seed, &mut self.xkey_seed, &mut self.password, &mut self.secret]
        {
            secret.hide();
        }
    }

    /// Checks the options, and converts them. `None`: clients do not log in with tokens.
    pub(super) fn checked(
        &self,
        config: &Config,
        nats: &NatsOptions,
        check: &mut Check,
    ) -> Option<Login> {
        if !self.enabled {
            return None;
        }
        let issuer_seed =
            self.secret(check, "issuer_seed", &self.issuer_seed_file, &self.issuer_seed);
        let problem = "must be given: the seed of the account key whose public key is \
                       auth_callout.issuer of nats-server";
        check.that(issuer_seed.is_some(), "callout.issuer_seed_file", problem);
        let xkey_seed = self.secret(check, "xkey_seed", &self.xkey_seed_file, &self.xkey_seed);
        check.that(
            !self.account.is_empty(),
            "callout.account",
            "must be the account of nats-server in which peerd's users are, \"$G\" where it has none",
        );
        let rules = self.rules(config, check);
        let keys = self.keys(check);
        let mut seconds = |key: &str, value, min| {
            Duration::from_secs(check.number(key, value, min, 30 * DAY_SECONDS))
        };
        let refresh = seconds("callout.keys_refresh_seconds", self.keys_refresh_seconds, 1);
        let refetch = seconds("callout.keys_refetch_seconds", self.keys_refetch_seconds, 1);
        let keys_max_age = seconds("callout.keys_max_age_seconds", self.keys_max_age_seconds, 1);
        check.that(
            self.keys_max_age_seconds > self.keys_refresh_seconds,
            "callout.keys_max_age_seconds",
            "must be longer than callout.keys_refresh_seconds",
        );
        let requests = check.number("callout.requests", self.requests, 1, 100_000);
        let mut is_answered = |key: &str, value: &str| {
            check.one_of(key, value, &[("answer", true), ("drop", false)]).unwrap_or_default()
        };
        let answer_refused = is_answered("callout.when_refused", &self.when_refused);
        let answer_overloaded = is_answered("callout.when_overloaded", &self.when_overloaded);
        let nats = self.nats(nats, check);
        Some(Login {
            nats,
            options: Options {
                issuer_seed: issuer_seed?,
                xkey_seed,
                account: self.account.clone(),
                with_mapping: self.with_mapping,
                rules,
                keys: keys?,
                tls_ca_file: path(&self.tls_ca_file),
                revocation_file: path(&self.revocation_file),
                refresh,
                refetch,
                keys_max_age,
                requests,
                answer_refused,
                answer_overloaded,
            },
        })
    }

    #[expect(clippy::unused_self, reason = "reads like its neighbours")]
    fn secret(&self, check: &mut Check, key: &str, file: &str, given: &Hidden) -> Option<Secret> {
        let has_one = file.is_empty() || given.is_empty();
        let problem = format!("must not be given together with callout.{key}");
        check.that(has_one, &format!("callout.{key}_file"), &problem);
        let file = path(file).map(Secret::In);
        file.or_else(|| (!given.is_empty()).then(|| Secret::Given(given.0.clone())))
    }

    fn rules(&self, config: &Config, check: &mut Check) -> Rules {
        for (key, value, claim) in [
            ("callout.token_issuer", &self.token_issuer, "iss"),
            ("callout.token_audience", &self.token_audience, "aud"),
        ] {
            let problem = format!(
                "must be given: the {claim:?} of tokens. Without it, tokens that were made for \
                 others would be accepted"
            );
            check.that(!value.is_empty(), key, &problem);
        }
        let has_claim = !self.token_user_claim.is_empty();
        check.that(has_claim, "callout.token_user_claim", "must be the name of a claim");
        Rules {
            issuer: self.token_issuer.clone(),
            audience: self.token_audience.clone(),
            user_claim: self.token_user_claim.clone(),
            leeway_s: check.number(
                "callout.token_leeway_seconds",
                self.token_leeway_seconds,
                0,
                600,
            ),
            user_id_bytes: usize::try_from(config.limits.user_id_bytes).unwrap_or_default(),
        }
    }

    fn keys(&self, check: &mut Check) -> Option<KeySource> {
        let secret = self.secret(check, "secret", &self.secret_file, &self.secret);
        let mut sources = Vec::new();
        if self.discovery {
            let issuer = address(check, "callout.token_issuer", &self.token_issuer);
            sources.push(issuer.map(KeySource::Discovery));
        }
        if !self.keys_url.is_empty() {
            let url = address(check, "callout.keys_url", &self.keys_url);
            sources.push(url.map(KeySource::Url));
        }
        sources.extend(path(&self.keys_file).map(KeySource::File).map(Some));
        sources.extend(secret.map(KeySource::Secret).map(Some));
        let problem = "exactly one source of the keys of tokens must be given: callout.discovery, \
                       callout.keys_url, callout.keys_file or callout.secret_file";
        check.that(sources.len() == 1, "callout.keys_file", problem);
        sources.pop().flatten()
    }

    /// The connection for callouts, if it is one of its own.
    fn nats(&self, nats: &NatsOptions, check: &mut Check) -> Option<NatsOptions> {
        let (has_user, has_file) = (!self.user.is_empty(), !self.credentials_file.is_empty());
        let problem = "must be given together with callout.password";
        check.that(has_user != self.password.is_empty(), "callout.user", problem);
        let problem = "must not be given together with callout.user";
        check.that(!(has_user && has_file), "callout.credentials_file", problem);
        (has_user || has_file).then(|| NatsOptions {
            credentials_file: path(&self.credentials_file),
            user_and_password: has_user.then(|| (self.user.clone(), self.password.0.clone())),
            token: None,
            ..nats.clone()
        })
    }
}

fn path(name: &str) -> Option<PathBuf> {
    (!name.is_empty()).then(|| PathBuf::from(name))
}

fn address(check: &mut Check, key: &str, text: &str) -> Option<Uri> {
    let address = text.parse().ok().filter(is_private);
    let problem = "must be an https address, or an http address of this machine (localhost, \
                   127.0.0.1 or [::1]): on the way, keys could be replaced";
    check.that(address.is_some(), key, problem);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest configuration.
    fn smallest() -> Callout {
        Callout {
            enabled: true,
            issuer_seed_file: "issuer.nk".to_owned(),
            token_issuer: "https://id.example".to_owned(),
            token_audience: "chat".to_owned(),
            keys_file: "keys.pem".to_owned(),
            ..Callout::default()
        }
    }

    fn problems(callout: Callout) -> Vec<String> {
        let config = Config { callout, ..Config::default() };
        config.settings().err().map(|problems| problems.0).unwrap_or_default()
    }

    #[test]
    fn the_smallest_configuration_is_enough_and_each_of_its_options_is_needed() {
        type Remove = fn(&mut Callout);
        assert_eq!(problems(smallest()), [""; 0]);
        let without: [(&str, Remove); 4] = [
            ("callout.issuer_seed_file", |it| it.issuer_seed_file.clear()),
            ("callout.token_issuer", |it| it.token_issuer.clear()),
            ("callout.token_audience", |it| it.token_audience.clear()),
            ("callout.keys_file", |it| it.keys_file.clear()),
        ];
        for (key, remove) in without {
            let mut callout = smallest();
            remove(&mut callout);
            let problems = problems(callout);
            assert_eq!(problems.len(), 1, "{key}: {problems:?}");
            assert!(problems[0].starts_with(key), "{problems:?}");
        }
        assert_eq!(problems(Callout { enabled: false, ..Callout::default() }), [""; 0]);
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let hidden = |text: &str| Hidden(text.to_owned());
        let cases = [
            ("callout.issuer_seed_file", Callout { issuer_seed: hidden("SA"), ..smallest() }),
            (
                "callout.xkey_seed_file",
                Callout { xkey_seed: hidden("S"), xkey_seed_file: "x".into(), ..smallest() },
            ),
            ("callout.keys_file", Callout { discovery: true, ..smallest() }),
            ("callout.keys_file", Callout { secret: hidden("s"), ..smallest() }),
            ("callout.keys_file", Callout { keys_url: "https://a/k".into(), ..smallest() }),
            (
                "callout.keys_url",
                Callout {
                    keys_url: "http://id.example/keys".into(),
                    keys_file: String::new(),
                    ..smallest()
                },
            ),
            (
                "callout.token_issuer",
                Callout {
                    discovery: true,
                    token_issuer: "accounts".into(),
                    keys_file: String::new(),
                    ..smallest()
                },
            ),
            ("callout.user", Callout { user: "auth".into(), ..smallest() }),
            (
                "callout.credentials_file",
                Callout {
                    user: "auth".into(),
                    password: hidden("p"),
                    credentials_file: "a.creds".into(),
                    ..smallest()
                },
            ),
            ("callout.keys_max_age_seconds", Callout { keys_max_age_seconds: 300, ..smallest() }),
            ("callout.requests", Callout { requests: 0, ..smallest() }),
            ("callout.when_refused", Callout { when_refused: "wait".into(), ..smallest() }),
            ("callout.account", Callout { account: String::new(), ..smallest() }),
        ];
        for (key, callout) in cases {
            let problems = problems(callout);
            assert_eq!(problems.len(), 1, "{key}: {problems:?}");
            assert!(problems[0].starts_with(key), "{key}: {problems:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let callout = Callout {
            issuer_seed: Hidden("geheim".into()),
            xkey_seed: Hidden("geheim".into()),
            password: Hidden("geheim".into()),
            secret: Hidden("geheim".into()),
            ..Callout::default()
        };
        let config = Config { callout, ..Config::default() };
        assert!(!format!("{config:?}").contains("geheim"));
        let shown = toml::to_string(&config.without_secrets()).expect("TOML");
        assert!(!shown.contains("geheim") && shown.contains("(hidden)"), "{shown}");
    }
}
