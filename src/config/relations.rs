//! Checks values that depend on each other, and warns of values that are accepted but perhaps a
//! mistake.

use async_nats::ServerAddr;

use super::Config;
use super::problems::Check;

/// The tokens that follow the prefix in peerd's subjects. A prefix that has one of them after a dot
/// lies inside the subjects of another deployment.
const SPACES: [&str; 6] = ["api", "event", "push", "part", "log", "state"];

/// The login that an address of NATS contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlLogin {
    /// `nats://user:password@host`
    Password(String, String),
    /// `nats://token@host`
    Token(String),
}

impl UrlLogin {
    /// The login of the first address that has one.
    pub(super) fn of(servers: &[String]) -> Option<Self> {
        Self::all(servers).into_iter().next()
    }

    fn all(servers: &[String]) -> Vec<Self> {
        let addresses = servers.iter().filter_map(|server| server.parse::<ServerAddr>().ok());
        addresses.filter_map(|address| Self::read(&address)).collect()
    }

    fn read(address: &ServerAddr) -> Option<Self> {
        let user = percent_decode(address.username()?);
        Some(match address.password() {
            Some(password) => Self::Password(user, percent_decode(password)),
            None => Self::Token(user),
        })
    }
}

fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether a text is the address of a nats-server that peerd can connect to.
pub(super) fn is_address(server: &str) -> bool {
    let address = server.parse::<ServerAddr>();
    !server.is_empty()
        && address.is_ok_and(|address| {
            matches!(address.scheme(), "nats" | "tls") && !address.host().is_empty()
        })
}

/// Checks the prefixes of subjects.
pub(super) fn prefixes(config: &Config, check: &mut Check) {
    let (prefix, inbox) = (&config.subject_prefix, &config.nats.inbox_prefix);
    let is_token = |token: &str| {
        !token.is_empty()
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let problem = "must be tokens of letters, digits, - and _, with dots between";
    check.that(prefix.split('.').all(is_token), "subject_prefix", problem);
    let inner = prefix.split('.').skip(1).find(|token| SPACES.contains(token));
    if let Some(token) = inner {
        let problem = format!(
            "must not have {token:?} after a dot: its subjects would overlap with those of the \
             deployment whose prefix is what stands before it"
        );
        check.that(false, "subject_prefix", &problem);
    }
    let inbox_is_good = inbox.split('.').all(|token| !token.is_empty())
        && !inbox.contains(|letter: char| "*>".contains(letter) || letter.is_whitespace())
        && !inbox.starts_with('$');
    check.that(inbox_is_good, "nats.inbox_prefix", "must be a subject without wildcards");
    let is_in = |one: &str, other: &str| {
        one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let overlap = is_in(inbox, prefix) || is_in(prefix, inbox);
    check.that(!overlap, "nats.inbox_prefix", "must not overlap with subject_prefix");
}

/// Checks that values do not contradict each other.
pub(super) fn values(config: &Config, check: &mut Check) {
    let (session, limits) = (&config.session, &config.limits);
    check.that(
        session.offline_after_ms > session.heartbeat_interval_ms,
        "session.offline_after_ms",
        "must be longer than session.heartbeat_interval_ms",
    );
    check.that(
        limits.retry_window_ms >= limits.repeat_window_ms,
        "limits.retry_window_ms",
        "must not be shorter than limits.repeat_window_ms",
    );
    for (key, bytes) in
        [("limits.text_bytes", limits.text_bytes), ("limits.media_bytes", limits.media_bytes)]
    {
        let problem = "must not be larger than limits.body_bytes: such a message could not be sent";
        check.that(bytes <= limits.body_bytes, key, problem);
    }
}

impl Config {
    /// Warnings about settings that are accepted and perhaps do not do what was meant, one line
    /// each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let (nats, session, limits) = (&self.nats, &self.session, &self.limits);
        let logins = UrlLogin::all(&nats.servers);
        let has_other = !nats.identities().is_empty();
        let encrypts = |server: &String| server.starts_with("tls://");
        let is_encrypted = nats.tls_required || nats.tls_first || nats.servers.iter().all(encrypts);
        let has_tls = !nats.tls_ca_file.is_empty() || !nats.tls_certificate_file.is_empty();
        let cases = [
            (
                has_other && !logins.is_empty(),
                "nats.servers: the user in an address is not used, since another option of \
                 nats says who peerd is",
            ),
            (
                !has_other && logins.windows(2).any(|pair| pair[0] != pair[1]),
                "nats.servers: the addresses have different users; the first is used for all",
            ),
            (
                has_tls && !is_encrypted,
                "nats.tls_required: files for TLS are given, but a connection without TLS is \
                 accepted where the server does not ask for it",
            ),
            (
                session.last_seen_write_interval_ms >= session.offline_after_ms,
                "session.last_seen_write_interval_ms: is not shorter than session.offline_after_ms, so \
                 after a crash users who are there are taken for offline until their next call",
            ),
            (
                session.idle_limit_ms <= session.heartbeat_interval_ms,
                "session.idle_limit_ms: is not longer than session.heartbeat_interval_ms, so \
                 sessions end between two heartbeats",
            ),
            (
                self.stream.max_bytes > 0 && self.stream.max_bytes < limits.body_bytes,
                "stream.max_bytes: is smaller than limits.body_bytes, so a partition may not hold \
                 one large message",
            ),
            (
                session.idle_limit_ms < session.offline_after_ms,
                "session.idle_limit_ms: is shorter than session.offline_after_ms, so sessions end \
                 before their users are offline",
            ),
            (
                self.stream.max_age_seconds > 0
                    && session.replay_max_age_ms / 1000 > self.stream.max_age_seconds,
                "session.replay_max_age_ms: is longer than stream.max_age_seconds, which bounds it",
            ),
            (
                self.cluster.owner_wait_ms > limits.call_deadline_ms,
                "cluster.owner_wait_ms: is longer than limits.call_deadline_ms, so a call may wait \
                 longer for an owner than for its answer",
            ),
            (
                limits.shutdown_deadline_ms < limits.call_deadline_ms,
                "limits.shutdown_deadline_ms: is shorter than limits.call_deadline_ms, so a stop \
                 may cut off calls under way",
            ),
        ];
        let warned = cases.into_iter().filter(|(holds, _)| *holds);
        warned.map(|(_, warning)| warning.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        config.problems(false)
    }

    #[test]
    fn prefixes_that_overlap_are_refused() {
        for prefix in ["peer.log", "peer.api", "a.b.event", "peer.log.x", "_INBOX", "_INBOX.x"] {
            let found = problems(|config| prefix.clone_into(&mut config.subject_prefix));
            assert_eq!(found.len(), 1, "{prefix}: {found:?}");
        }
        for prefix in ["peer", "api", "peer.chat", "log.chat", "_INBOXES"] {
            let found = problems(|config| prefix.clone_into(&mut config.subject_prefix));
            assert_eq!(found, [""; 0], "{prefix}");
        }
        for inbox in ["peer", "peer.event", "$JS", "a..b", "a.", "a b", "a.*"] {
            let found = problems(|config| inbox.clone_into(&mut config.nats.inbox_prefix));
            assert_eq!(found.len(), 1, "{inbox}: {found:?}");
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        assert_eq!(problems(|config| config.limits.body_bytes = 32_768).len(), 0);
        assert_eq!(problems(|config| config.limits.retry_window_ms = 5).len(), 1);
        let small = problems(|config| {
            config.limits.text_bytes = 30_000;
            config.limits.body_bytes = 20_000;
        });
        assert!(small.iter().any(|problem| problem.starts_with("limits.text_bytes")), "{small:?}");
    }

    #[test]
    fn a_suspicious_setting_is_a_warning() {
        assert_eq!(Config::default().warnings(), [""; 0]);
        let mut config = Config::default();
        config.nats.servers = vec!["nats://a:b@host:1".into()];
        config.nats.tls_ca_file = "ca.pem".into();
        assert_eq!(config.warnings().len(), 1, "{:?}", config.warnings());
        config.nats.user = "peerd".into();
        assert_eq!(config.warnings().len(), 2, "{:?}", config.warnings());
    }

    #[test]
    fn the_login_of_an_address_is_read() {
        let of = |server: &str| UrlLogin::of(&[server.to_owned()]);
        let password = |user: &str, password: &str| {
            Some(UrlLogin::Password(user.to_owned(), password.to_owned()))
        };
        assert_eq!(of("nats://a:p%40ss@host:1"), password("a", "p@ss"));
        assert_eq!(of("tls://a:%zz@host"), password("a", "%zz"));
        assert_eq!(of("nats://t0ken@host"), Some(UrlLogin::Token("t0ken".to_owned())));
        assert_eq!(of("nats://host:4222"), None);
        for (server, good) in [
            ("nats://host", true),
            ("host:4222", true),
            ("ws://host", false),
            ("http://host", false),
            ("", false),
        ] {
            assert_eq!(is_address(server), good, "{server}");
        }
    }
}
