//! Checks the configuration as it is written, and converts it to the settings in use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::problems::{Check, Problems};
use super::relations::{self, UrlLogin};
use super::{Config, Trace};
use crate::http::client;
use crate::runtime::connect::NatsOptions;
use crate::runtime::daemon::Settings;
use crate::runtime::logins::Login;
use crate::runtime::node::Options;
use crate::store::provision::StreamOptions;
use crate::telemetry::{Format, Telemetry, Traces};
use peerd_core;
use peerd_core::limits::{PARTITIONS_MAX, USER_ID_MAX_BYTES};
use peerd_protocol::encoding::Encoding;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const YEAR_MS: u64 = 366 * DAY_MS;
const YEARS_100_SECONDS: u64 = 100 * YEAR_MS / 1000;

impl Config {
    /// Checks every value and returns the settings, or all problems.
    pub fn settings(&self) -> Result<(Settings, Telemetry), Problems> {
        let (settings, telemetry, problems) = self.checked();
        if problems.is_empty() { Ok((settings, telemetry)) } else { Err(Problems(problems)) }
    }

    /// All problems of the values and, if `with_files`, of the files that they name.
    pub(super) fn problems(&self, with_files: bool) -> Vec<String> {
        let (settings, _, mut problems) = self.checked();
        if with_files {
            let login = settings.callout.as_ref();
            let files = settings.nats.file_problems().into_iter();
            let files = files.chain(login.map(Login::file_problems).unwrap_or_default());
            problems.extend(files.map(|(option, problem)| format!("{option}: {problem}")));
        }
        problems
    }

    fn checked(&self) -> (Settings, Telemetry, Vec<String>) {
        let mut check = Check::default();
        let nats = self.nats(&mut check);
        let settings = Settings {
            callout: self.callout.checked(self, &nats, &mut check),
            nats,
            subject_prefix: self.subject_prefix.clone(),
            partitions: check.number(
                "partitions",
                u64::from(self.partitions),
                1,
                u64::from(PARTITIONS_MAX),
            ),
            stream: self.stream(&mut check),
            member_ttl: Duration::from_millis(check.number(
                "cluster.member_ttl_ms",
                self.cluster.member_ttl_ms,
                1000,
                DAY_MS,
            )),
            node: self.node(&mut check),
            audit_reads_per_second: check.number(
                "audit.reads_per_second",
                self.audit.reads_per_second,
                0,
                100_000,
            ),
            shutdown_deadline: Duration::from_millis(check.number(
                "limits.shutdown_deadline_ms",
                self.limits.shutdown_deadline_ms,
                0,
                DAY_MS,
            )),
            http: self.http(&mut check),
        };
        relations::prefixes(self, &mut check);
        relations::values(self, &mut check);
        let telemetry = self.telemetry(&mut check);
        check.problems.sort();
        check.problems.dedup();
        (settings, telemetry, check.problems)
    }

    fn nats(&self, check: &mut Check) -> NatsOptions {
        let nats = &self.nats;
        check.that(!nats.servers.is_empty(), "nats.servers", "must name at least one server");
        for server in &nats.servers {
            let is_address = relations::is_address(server);
            check.that(is_address, "nats.servers", "must be addresses such as nats://host:4222");
        }
        let has_user = !nats.user.is_empty();
        let problem = "must be given together with nats.password";
        check.that(has_user != nats.password.is_empty(), "nats.user", problem);
        let identities = nats.identities();
        if let [first, second, ..] = identities[..] {
            check.that(false, first, &format!("must not be given together with {second}"));
        }
        let has_certificate = !nats.tls_certificate_file.is_empty();
        let problem = "must be given together with nats.tls_key_file";
        check.that(
            has_certificate != nats.tls_key_file.is_empty(),
            "nats.tls_certificate_file",
            problem,
        );
        let file = |name: &str| (!name.is_empty()).then(|| PathBuf::from(name));
        // The login in the addresses counts only if the options name none.
        let login = if identities.is_empty() { UrlLogin::of(&nats.servers) } else { None };
        let (mut user_and_password, mut token) = (None, None);
        match login {
            Some(UrlLogin::Password(user, password)) => user_and_password = Some((user, password)),
            Some(UrlLogin::Token(text)) => token = Some(text),
            None => {}
        }
        if has_user {
            user_and_password = Some((nats.user.clone(), nats.password.clone()));
        }
        if !nats.token.is_empty() {
            token = Some(nats.token.clone());
        }
        NatsOptions {
            servers: nats.servers.clone(),
            credentials_file: file(&nats.credentials_file),
            user_and_password,
            token,
            nkey_seed_file: file(&nats.nkey_seed_file),
            tls_ca_file: file(&nats.tls_ca_file),
            tls_certificate: file(&nats.tls_certificate_file).zip(file(&nats.tls_key_file)),
            tls_required: nats.tls_required,
            tls_first: nats.tls_first,
            inbox_prefix: nats.inbox_prefix.clone(),
            connect_timeout: Duration::from_millis(check.number(
                "nats.connect_timeout_ms",
                nats.connect_timeout_ms,
                0,
                DAY_MS,
            )),
        }
    }

    fn stream(&self, check: &mut Check) -> StreamOptions {
        let stream = &self.stream;
        let storage = [("file", false), ("memory", true)];
        let mut seconds =
            |key: &str, value| Duration::from_secs(check.number(key, value, 0, YEARS_100_SECONDS));
        let max_age = seconds("stream.max_age_seconds", stream.max_age_seconds);
        let push_max_age = seconds("stream.push_max_age_seconds", stream.push_max_age_seconds);
        let most = i64::MAX.unsigned_abs();
        let provision = [("create", true), ("verify", false)];
        StreamOptions {
            is_created: check
                .one_of("stream.provision", &stream.provision, &provision)
                .unwrap_or_default(),
            replicas: check.number("stream.replicas", stream.replicas, 1, 5),
            in_memory: check
                .one_of("stream.storage", &stream.storage, &storage)
                .unwrap_or_default(),
            max_age,
            max_bytes: check.number("stream.max_bytes", stream.max_bytes, 0, most),
            push_max_age,
            push_max_messages: check.number(
                "stream.push_max_messages",
                stream.push_max_messages,
                0,
                most,
            ),
        }
    }

    fn node(&self, check: &mut Check) -> Options {
        let (session, limits) = (&self.session, &self.limits);
        let encodings = [("msgpack", Encoding::MessagePack), ("json", Encoding::Json)];
        let encoding = check.one_of("events.encoding", &self.events.encoding, &encodings);
        let mut number = |key: &str, value, min, max| check.number(key, value, min, max);
        Options {
            event_encoding: encoding.unwrap_or_default(),
            bundle_events: self.events.bundle,
            delivered_receipts: self.receipts.delivered,
            call_deadline: Duration::from_millis(number(
                "limits.call_deadline_ms",
                limits.call_deadline_ms,
                10,
                DAY_MS,
            )),
            // Three of the five heartbeats in a TTL.
            stale_after: Duration::from_millis(self.cluster.member_ttl_ms.saturating_mul(3) / 5),
            owner_wait: Duration::from_millis(number(
                "cluster.owner_wait_ms",
                self.cluster.owner_wait_ms,
                0,
                DAY_MS,
            )),
            new_session_id: || nuid::next().to_string(),
            heartbeat_interval_ms: number(
                "session.heartbeat_interval_ms",
                session.heartbeat_interval_ms,
                1,
                DAY_MS,
            ),
            last_seen_write_interval_ms: number(
                "session.last_seen_write_interval_ms",
                session.last_seen_write_interval_ms,
                1,
                DAY_MS,
            ),
            cached_users: self.size(
                check,
                "limits.cached_users",
                limits.cached_users,
                1,
                100_000_000,
            ),
            history_bytes: self.size(
                check,
                "limits.history_bytes",
                limits.history_bytes,
                0,
                1 << 40,
            ),
            calls_under_way: self.size(
                check,
                "limits.calls_under_way",
                limits.calls_under_way,
                1,
                100_000,
            ),
            body_bytes: self.size(check, "limits.body_bytes", limits.body_bytes, 1024, 1 << 26),
            limits: self.limits(check),
        }
    }

    #[expect(clippy::unused_self, reason = "reads like its neighbours")]
    fn size(&self, check: &mut Check, key: &str, value: u64, min: u64, max: u64) -> usize {
        check.number(key, value, min, max)
    }

    fn limits(&self, check: &mut Check) -> peerd_core::limits::Limits {
        let (session, limits) = (&self.session, &self.limits);
        let body = limits.body_bytes;
        let mut size = |key: &str, value, max| check.number::<usize>(key, value, 1, max);
        peerd_core::limits::Limits {
            user_id_bytes: size(
                "limits.user_id_bytes",
                limits.user_id_bytes,
                USER_ID_MAX_BYTES as u64,
            ),
            text_bytes: size("limits.text_bytes", limits.text_bytes, 32 * 1024),
            command_bytes: size("limits.command_bytes", limits.command_bytes, body),
            media_bytes: size("limits.media_bytes", limits.media_bytes, 32 * 1024),
            combine_bytes: size("limits.combine_bytes", limits.combine_bytes, body),
            messages_per_second: size(
                "limits.messages_per_second",
                limits.messages_per_second,
                1_000_000,
            ),
            commands_per_second: size(
                "limits.commands_per_second",
                limits.commands_per_second,
                1_000_000,
            ),
            amendments_per_second: size(
                "limits.amendments_per_second",
                limits.amendments_per_second,
                1_000_000,
            ),
            max_sessions: size("session.max_sessions", session.max_sessions, 100),
            replay_messages: size(
                "session.replay_max_messages",
                session.replay_max_messages,
                10_000,
            ),
            revoke_window_ms: check.number(
                "limits.revoke_window_ms",
                limits.revoke_window_ms,
                1,
                DAY_MS,
            ),
            repeat_window_ms: check.number(
                "limits.repeat_window_ms",
                limits.repeat_window_ms,
                1,
                DAY_MS,
            ),
            retry_window_ms: check.number(
                "limits.retry_window_ms",
                limits.retry_window_ms,
                1,
                DAY_MS,
            ),
            offline_after_ms: check.number(
                "session.offline_after_ms",
                session.offline_after_ms,
                1,
                YEAR_MS,
            ),
            idle_limit_ms: check.number("session.idle_limit_ms", session.idle_limit_ms, 1, YEAR_MS),
            replay_age_ms: check.number(
                "session.replay_max_age_ms",
                session.replay_max_age_ms,
                0,
                YEAR_MS,
            ),
            require_known_receiver: self.send.require_known_receiver,
        }
    }

    fn http(&self, check: &mut Check) -> Option<SocketAddr> {
        let address = self.http.listen.parse().ok();
        let problem =
            "must be an address with a port, such as 127.0.0.1:9464 or [::]:9464, or empty";
        check.that(address.is_some() || self.http.listen.is_empty(), "http.listen", problem);
        address
    }

    fn telemetry(&self, check: &mut Check) -> Telemetry {
        use tracing::level_filters::LevelFilter;
        let levels = [
            ("off", LevelFilter::OFF),
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
        ];
        let formats = [("pretty", Format::Pretty), ("json", Format::Json)];
        let level = check.one_of("log.level", &self.log.level, &levels);
        let format = check.one_of("log.format", &self.log.format, &formats);
        Telemetry {
            level: level.unwrap_or(LevelFilter::INFO),
            format: format.unwrap_or(Format::Pretty),
            traces: self.traces(check),
        }
    }

    fn traces(&self, check: &mut Check) -> Option<Traces> {
        let Trace { endpoint, sample_ratio, tls_ca_file } = &self.trace;
        let is_ratio = (0.0..=1.0).contains(sample_ratio);
        check.that(is_ratio, "trace.sample_ratio", "must be a number from 0 to 1");
        let tls_ca_file = (!tls_ca_file.is_empty()).then(|| tls_ca_file.into());
        if endpoint.is_empty() {
            let problem = "needs trace.endpoint";
            check.that(*sample_ratio <= 0.0, "trace.sample_ratio", problem);
            check.that(tls_ca_file.is_none(), "trace.tls_ca_file", problem);
            return None;
        }
        let problem = "is not in this build: it was built without the feature `otel`";
        check.that(cfg!(feature = "otel"), "trace.endpoint", problem);
        let is_address = endpoint.parse::<Uri>().is_ok_and(|address| {
            matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some()
        });
        let problem = "must be an address such as http://127.0.0.1:4318, or empty";
        check.that(is_address, "trace.endpoint", problem);
        if let Err(problem) = client::trusted(tls_ca_file.as_deref()) {
            check.that(false, "trace.tls_ca_file", &problem);
        }
        let (endpoint, sample_ratio) = (endpoint.clone(), *sample_ratio);
        Some(Traces { endpoint, tls_ca_file, sample_ratio })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_protocols_limits() {
        let (settings, _) = Config::default().settings().expect("the defaults are good");
        assert_eq!(settings.node.limits, peerd_core::limits::Limits::default());
        assert_eq!(settings.partitions, 8);
    }

    #[test]
    fn impossible_values_are_all_listed() {
        let mut config =
            Config { partitions: 0, subject_prefix: "a..b".into(), ..Config::default() };
        config.stream.replicas = 9;
        config.stream.storage = "tape".into();
        config.events.encoding = "xml".into();
        config.http.listen = "localhost".into();
        config.nats.servers = vec![];
        config.nats.password = "secret".into();
        config.session.offline_after_ms = 5;
        let problems = config.settings().err().expect("problems");
        let keys: Vec<&str> = problems.0.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(
            keys,
            [
                "events.encoding",
                "http.listen",
                "nats.servers",
                "nats.user",
                "partitions",
                "session.offline_after_ms",
                "stream.replicas",
                "stream.storage",
                "subject_prefix",
            ]
        );
        assert!(!problems.to_string().contains("secret"));
    }
}
