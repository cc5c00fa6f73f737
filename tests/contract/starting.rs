//! The start of `peerd serve` with something missing: it waits for problems that may pass, ends if
//! a person must act, and ends on a signal at any time.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::world::World;
use crate::support::{Cli, Client, Nats, login, peerd_command, reserved_port, run_cli_env};

const CONFIGURATION: i32 = 64;
const UNAVAILABLE: i32 = 69;
const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A `peerd serve` that may end by itself.
struct Starting {
    child: tokio::process::Child,
    dir: tempfile::TempDir,
}

impl Starting {
    fn new(url: &str, envs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = tokio::process::Command::from(peerd_command(dir.path()))
            .arg("serve")
            .env("PEERD__NATS__SERVERS", url)
            .envs(envs.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    async fn until_logged(&mut self, text: &str) {
        let seen = timeout(DEADLINE, async {
            while !self.log().contains(text) {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "ended ({ended:?}) without {text:?}: {}", self.log());
                sleep(POLL).await;
            }
        });
        assert!(seen.await.is_ok(), "no {text:?}: {}", self.log());
    }

    async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("still runs: {}", self.log())).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.unwrap().success());
    }
}

/// Runs a daemon that is expected to end by itself.
async fn ended(url: &str, envs: &[(&str, &str)]) -> Cli {
    let mut all = vec![("PEERD__NATS__SERVERS", url)];
    all.extend(envs);
    run_cli_env(&["serve"], &all).await
}

fn config(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("nats.conf");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_signal_ends_it_while_it_waits_for_nats() {
    for name in ["INT", "TERM"] {
        let url = format!("nats://127.0.0.1:{}", reserved_port());
        let mut starting = Starting::new(&url, &[]);
        starting.until_logged("waiting for NATS").await;
        let began = Instant::now();
        starting.signal(name);
        let status = starting.ended().await;
        assert_eq!(status.code(), Some(0), "{name}: {:?} {}", status.signal(), starting.log());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let waits = starting.log().matches("waiting for NATS").count();
        assert_eq!(waits, 1, "{}", starting.log());
    }
}

#[tokio::test]
async fn a_signal_ends_it_while_nats_is_gone() {
    let mut nats = Nats::start().await;
    let mut starting = Starting::new(&nats.url(), &[]);
    starting.until_logged("ready").await;
    nats.kill9();
    starting.until_logged("disconnected").await;
    let began = Instant::now();
    starting.signal("TERM");
    let status = starting.ended().await;
    assert_eq!(status.code(), Some(0), "{}", starting.log());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_signal_ends_it_while_it_makes_streams() {
    let dir = tempfile::tempdir().unwrap();
    let text = "jetstream {}\naccounts { A { users: [ { user: a, password: a } ] } }\n";
    let off = Nats::start_with_config(config(dir.path(), text), &[]).await;
    let user = [("PEERD__NATS__USER", "a"), ("PEERD__NATS__PASSWORD", "a")];
    let mut starting = Starting::new(&off.url(), &user);
    starting.until_logged("waiting for JetStream").await;
    starting.signal("TERM");
    let began = Instant::now();
    assert_eq!(starting.ended().await.code(), Some(0), "{}", starting.log());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_comes_later_is_waited_for() {
    let port = reserved_port();
    let url = format!("nats://127.0.0.1:{port}");
    let mut starting = Starting::new(&url, &[]);
    starting.until_logged("waiting for NATS").await;
    let dir = tempfile::tempdir().unwrap();
    let _nats = Nats::start_at(port, config(dir.path(), "jetstream {}\n")).await;
    starting.until_logged("ready").await;
    login(&Client::connect(&url).await, "alice").await;
}

#[tokio::test]
async fn a_temporary_problem_ends_with_69_at_the_deadline() {
    let url = format!("nats://127.0.0.1:{}", reserved_port());
    let soon = ("PEERD__NATS__CONNECT_TIMEOUT_MS", "1000");
    let run = ended(&url, &[soon]).await;
    assert_eq!(run.code, Some(UNAVAILABLE), "{run:?}");
    let run = ended("nats://no-such-host.invalid:4222", &[soon]).await;
    assert_eq!(run.code, Some(UNAVAILABLE), "{run:?}");
    assert!(run.stderr.contains("no-such-host.invalid"), "{}", run.stderr);
    // The login in an address is not shown.
    let hushed = format!("nats://peerd:hush@127.0.0.1:{}", reserved_port());
    let run = ended(&hushed, &[soon]).await;
    assert_eq!(run.code, Some(UNAVAILABLE), "{run:?}");
    assert!(!run.stderr.contains("hush"), "{}", run.stderr);
}

#[tokio::test]
async fn jetstream_that_is_off_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = "jetstream {}\naccounts { A { users: [ { user: a, password: a } ] } }\n";
    let nats = Nats::start_with_config(config(dir.path(), text), &[]).await;
    let user = [("PEERD__NATS__USER", "a"), ("PEERD__NATS__PASSWORD", "a")];
    let run = ended(&nats.url(), &user).await;
    assert_eq!(run.code, Some(CONFIGURATION), "{run:?}");
    assert!(run.stderr.contains("JetStream is not enabled for the account"), "{}", run.stderr);

    let nats = Nats::start_without_jetstream().await;
    let run = ended(&nats.url(), &[]).await;
    assert_eq!(run.code, Some(CONFIGURATION), "{run:?}");
    assert!(run.stderr.contains("JetStream is not enabled on this"), "{}", run.stderr);
    assert!(run.stderr.contains("-js"), "{}", run.stderr);
}

#[tokio::test]
async fn a_refused_user_ends_with_64_and_one_that_is_made_meanwhile_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let authorization =
        |user: &str| format!("jetstream {{}}\nauthorization {{ user: {user}, password: b }}\n");
    let path = config(dir.path(), &authorization("a"));
    let nats = Nats::start_with_config(&path, &[]).await;
    let user = [("PEERD__NATS__USER", "a"), ("PEERD__NATS__PASSWORD", "wrong")];
    let began = Instant::now();
    let run = ended(&nats.url(), &user).await;
    assert_eq!(run.code, Some(CONFIGURATION), "{run:?}");
    assert!(run.stderr.contains("nats.password"), "{}", run.stderr);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());

    let late = [("PEERD__NATS__USER", "late"), ("PEERD__NATS__PASSWORD", "b")];
    let mut starting = Starting::new(&nats.url(), &late);
    starting.until_logged("waiting for NATS").await;
    std::fs::write(&path, authorization("late")).unwrap();
    let pid = nats.pid().to_string();
    let reloaded = std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(reloaded.success());
    starting.until_logged("ready").await;

    // The login is taken from the address if no option has one.
    let url = nats.url().replace("nats://", "nats://late:b@");
    let mut starting = Starting::new(&url, &[]);
    starting.until_logged("ready").await;
}

#[tokio::test]
async fn files_that_cannot_be_used_end_it_with_64_and_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    let (empty, folder) = (empty.to_str().unwrap(), dir.path().to_str().unwrap());
    let missing = "/no/such/file.creds";
    for (option, path) in [
        ("PEERD__NATS__CREDENTIALS_FILE", missing),
        ("PEERD__NATS__CREDENTIALS_FILE", folder),
        ("PEERD__NATS__CREDENTIALS_FILE", empty),
        ("PEERD__NATS__TLS_CA_FILE", missing),
        ("PEERD__NATS__TLS_CA_FILE", folder),
        ("PEERD__NATS__TLS_CA_FILE", empty),
    ] {
        for command in ["serve", "check-config", "status"] {
            let run = run_cli_env(&[command], &[(option, path)]).await;
            assert_eq!(run.code, Some(CONFIGURATION), "{command} {option} {path}: {run:?}");
            assert!(run.stderr.contains(path), "{command} {option} {path}: {}", run.stderr);
        }
    }
    let both = [
        ("PEERD__NATS__TLS_CERTIFICATE_FILE", missing),
        ("PEERD__NATS__TLS_KEY_FILE", empty),
        ("PEERD__PARTITIONS", "0"),
        ("PEERD__NO_SUCH", "1"),
        ("PEERD_LIMITS_TEXT_BYTES", "1"),
        ("PEERD_SERVICE_HOST", "10.0.0.1"),
    ];
    let run = run_cli_env(&["check-config"], &both).await;
    assert_eq!(run.code, Some(CONFIGURATION), "{run:?}");
    for text in [missing, empty, "partitions", "no_such", "PEERD__LIMITS__TEXT_BYTES"] {
        assert!(run.stderr.contains(text), "no {text}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("SERVICE_HOST"), "{}", run.stderr);
}

#[tokio::test]
async fn a_member_ttl_that_differs_is_refused_while_the_others_live() {
    let mut world = World::with(&[("PEERD__CLUSTER__MEMBER_TTL_MS", "2000")]).await;
    let url = world.nats.url();
    let run = ended(&url, &[]).await;
    assert_eq!(run.code, Some(CONFIGURATION), "{run:?}");
    for text in ["member_ttl_ms", "5000", "2000"] {
        assert!(run.stderr.contains(text), "no {text}: {}", run.stderr);
    }
    // A dead member is not compared.
    world.peerd.kill9();
    let mut starting = Starting::new(&url, &[]);
    starting.until_logged("ready").await;
}

#[tokio::test]
async fn streams_of_others_in_the_way_are_named() {
    let nats = Nats::start().await;
    let client = Client::connect(&nats.url()).await;
    let context = async_nats::jetstream::new(client.nats().clone());
    let other = async_nats::jetstream::stream::Config {
        name: "EVERYTHING".to_owned(),
        subjects: vec!["peer.>".to_owned()],
        no_ack: true,
        ..Default::default()
    };
    context.create_stream(other).await.unwrap();
    let run = ended(&nats.url(), &[]).await;
    assert_eq!(run.code, Some(CONFIGURATION), "{run:?}");
    for text in ["overlap", "EVERYTHING", "subject_prefix"] {
        assert!(run.stderr.contains(text), "no {text}: {}", run.stderr);
    }
}

/// The address of a nats-server with a certificate of `tests/contract/tls`, by a name.
async fn nats_with_tls(certificate: &str) -> (Nats, String) {
    let tls = format!("{}/tests/contract/tls", env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "jetstream {{}}\ntls {{ cert_file: \"{tls}/{certificate}.pem\", key_file: \"{tls}/key.pem\" }}\n"
    );
    let nats = Nats::start_with_config(config(dir.path(), &text), &[]).await;
    let url = format!("tls://localhost:{}", nats.port());
    (nats, url)
}

#[tokio::test]
async fn failures_of_tls_are_explained() {
    let tls = |name: &str| format!("{}/tests/contract/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let (authority, itself, soon) = (tls("ca"), tls("self-signed"), "1000");
    for (certificate, trusted, code, texts) in [
        ("server", Some(&itself), CONFIGURATION, ["signed by an authority", "tls_ca_file"]),
        ("self-signed", Some(&itself), CONFIGURATION, ["CaUsedAsEndEntity", "CA:FALSE"]),
        ("other-name", Some(&authority), CONFIGURATION, ["elsewhere.example", "localhost"]),
        ("expired", Some(&authority), UNAVAILABLE, ["expired", "renew"]),
    ] {
        let (_nats, url) = nats_with_tls(certificate).await;
        let mut envs = vec![("PEERD__NATS__CONNECT_TIMEOUT_MS", soon)];
        envs.extend(trusted.map(|path| ("PEERD__NATS__TLS_CA_FILE", path.as_str())));
        let run = ended(&url, &envs).await;
        assert_eq!(run.code, Some(code), "{certificate}: {run:?}");
        for text in texts.into_iter().chain([url.as_str()]) {
            assert!(run.stderr.contains(text), "{certificate}: no {text}: {}", run.stderr);
        }
    }
    let plain = Nats::start().await;
    let url = format!("tls://localhost:{}", plain.port());
    let run = ended(&url, &[("PEERD__NATS__CONNECT_TIMEOUT_MS", soon)]).await;
    assert!(run.stderr.contains("does not speak TLS"), "{run:?}");

    let (_nats, url) = nats_with_tls("server").await;
    let mut starting = Starting::new(&url, &[("PEERD__NATS__TLS_CA_FILE", &authority)]);
    starting.until_logged("ready").await;
}
