//! The configuration and the command line.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::world::{FAST, NOT_LOGGED_IN, RECEIVED, World, of};
use crate::support::{Client, Nats, Peerd, login, peerd_command, run_cli, run_cli_env, send_text};

const WRONG_CONFIGURATION: i32 = 64;
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_wrong_configuration_ends_with_64_and_lists_every_problem() {
    let wrong = [
        ("PEERD__PARTITIONS", "1025", "partitions"),
        ("PEERD__LIMITS__TEXT_BYTES", "32769", "text_bytes"),
        ("PEERD__LIMITS__MESSAGES_PER_SECOND", "0", "messages_per_second"),
        ("PEERD__SESSION__MAX_SESSIONS", "0", "max_sessions"),
        ("PEERD__EVENTS__ENCODING", "xml", "encoding"),
        ("PEERD__SUBJECT_PREFIX", "a.*", "subject_prefix"),
    ];
    let envs: Vec<_> = wrong.iter().map(|(name, value, _)| (*name, *value)).collect();
    for command in ["check-config", "serve"] {
        let run = run_cli_env(&[command], &envs).await;
        assert_eq!(run.code, Some(WRONG_CONFIGURATION), "{command}: {run:?}");
        for (_, _, key) in wrong {
            assert!(run.stderr.contains(key), "{command}: no {key}: {}", run.stderr);
        }
    }
    for env in [
        ("PEERD__PARTITIONS", "0"),
        ("PEERD__PARTITIONS", "many"),
        ("PEERD__STREAM__STORAGE", "paper"),
        ("PEERD__LOG__LEVEL", "loud"),
        ("PEERD__NATS__SERVERS", ""),
        ("PEERD__LIMITS__NO_SUCH_LIMIT", "1"),
    ] {
        let run = run_cli_env(&["check-config"], &[env]).await;
        assert_eq!(run.code, Some(WRONG_CONFIGURATION), "{env:?}: {run:?}");
        let key = env.0.rsplit("__").next().unwrap().to_lowercase();
        assert!(run.stderr.contains(&key), "{env:?}: {}", run.stderr);
    }
}

#[tokio::test]
async fn check_config_shows_what_holds_and_hides_secrets() {
    let run = run_cli_env(
        &["check-config"],
        &[
            ("PEERD__NATS__SERVERS", "nats://inline:hush-inline@127.0.0.1:1"),
            ("PEERD__NATS__USER", "peerd"),
            ("PEERD__NATS__PASSWORD", "hush-password"),
            ("PEERD__LIMITS__TEXT_BYTES", "4321"),
        ],
    )
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("4321"), "{}", run.stdout);
    assert!(run.stdout.contains("127.0.0.1"), "{}", run.stdout);
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains("hush"), "a secret is shown: {text}");
    }
}

#[tokio::test]
async fn the_shipped_configuration_loads_and_the_command_line_explains_itself() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/peerd.toml");
    let run = run_cli(&["check-config", "--config", path.to_str().unwrap()]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = run_cli(&["check-config", "--config", "no-such-file.toml"]).await;
    assert_eq!(run.code, Some(WRONG_CONFIGURATION), "{run:?}");
    assert!(run.stderr.contains("no-such-file.toml"), "{}", run.stderr);

    let run = run_cli(&["--help"]).await;
    assert_eq!(run.code, Some(0));
    for command in ["serve", "check-config", "call", "watch"] {
        assert!(run.stdout.contains(command), "{}", run.stdout);
    }
    let run = run_cli(&["--version"]).await;
    assert!(run.stdout.contains(env!("CARGO_PKG_VERSION")));
    assert_ne!(run_cli(&["no-such-command"]).await.code, Some(0));
}

#[tokio::test]
async fn logs_hold_no_content() {
    let mut world = World::with(&[("PEERD__LOG__LEVEL", "debug")]).await;
    world.login(&["alice", "bob"]).await;
    world.send("alice", "bob", "confidential-text").await;
    let body = json!({
        "message": { "type": 1, "message": "confidential-text", "extendedData": 5 },
        "toUserID": "bob",
    });
    world.refused("alice", "send_peer_message", body).await;
    assert!(world.peerd.terminate().await.success());
    let log = world.peerd.log();
    assert!(!log.is_empty());
    assert!(!log.contains("confidential-text"), "{log}");
}

#[tokio::test]
async fn the_first_token_of_all_subjects_can_be_set() {
    let nats = Nats::start().await;
    let url = nats.url();
    let _peerd = Peerd::start_with(&url, &[("PEERD__SUBJECT_PREFIX", "chat")]).await;
    let client = Client::new(async_nats::connect(&url).await.unwrap(), "chat");
    login(&client, "alice").await;
    login(&client, "bob").await;
    let mut events = client.events("bob").await;
    let sent = send_text(&client, "alice", "bob", "hi").await;
    let event = events.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(event.body["messageList"][0]["messageID"], sent["messageID"]);
    let default = Client::connect(&url).await;
    let answer = default.try_call("alice", "heartbeat", json!({})).await;
    assert_eq!(answer.unwrap_err().kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn call_prints_the_reply_and_fails_with_a_refusal() {
    let world = World::start().await;
    let url = world.nats.url();
    let envs = [("PEERD__NATS__SERVERS", url.as_str())];
    let refused = run_cli_env(&["call", "alice", "heartbeat", "{}"], &envs).await;
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    let output = format!("{}{}", refused.stdout, refused.stderr);
    assert!(output.contains(&NOT_LOGGED_IN.to_string()), "{output}");

    let run = run_cli_env(&["call", "alice", "login", "{}"], &envs).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let reply: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(reply["sessionID"].is_string(), "{reply}");

    let text = r#"{"message":{"type":1,"message":"by hand"},"toUserID":"bob"}"#;
    let run = run_cli_env(&["call", "alice", "send_peer_message", text], &envs).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let reply: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(reply["message"]["message"], "by hand");
    let conversation = world.ok("alice", "query_conversation", of("bob")).await;
    assert_eq!(conversation["conversation"]["lastMessage"], reply["message"]);
}

#[tokio::test]
async fn watch_prints_the_events_of_a_user() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let dir = tempfile::tempdir().unwrap();
    let mut watch = tokio::process::Command::from(peerd_command(dir.path()))
        .args(["watch", "bob"])
        .env("PEERD__NATS__SERVERS", world.nats.url())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    // It does not report when it has subscribed: send until it receives one.
    let found = tokio::time::timeout(DEADLINE, async {
        let mut seen = String::new();
        loop {
            tokio::select! {
                line = lines.next_line() => {
                    seen += &line.unwrap().unwrap();
                    if seen.contains(RECEIVED) && seen.contains("watched") {
                        return seen;
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    world.send("alice", "bob", "watched").await;
                }
            }
        }
    })
    .await;
    assert!(found.is_ok(), "watch printed nothing of a message");
}

#[tokio::test]
async fn options_stand_before_and_after_the_command() {
    let world = World::start().await;
    let url = world.nats.url();
    for arguments in [
        ["--server", &url, "call", "alice", "login"],
        ["call", "--server", &url, "alice", "login"],
        ["call", "alice", "login", "--server", &url],
    ] {
        let run = run_cli(&arguments).await;
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
    }
    let run = run_cli(&["--config", "no-such-file.toml", "status"]).await;
    assert_eq!(run.code, Some(WRONG_CONFIGURATION), "{run:?}");
    assert!(run.stderr.contains("no-such-file.toml"), "{}", run.stderr);
    let run = run_cli(&["--server", "http://x", "status"]).await;
    assert_eq!(run.code, Some(WRONG_CONFIGURATION), "{run:?}");
    let run = run_cli(&["--credentials", "no-such.creds", "--server", &url, "status"]).await;
    assert_eq!(run.code, Some(WRONG_CONFIGURATION), "{run:?}");
    assert!(run.stderr.contains("no-such.creds"), "{}", run.stderr);
}

#[tokio::test]
async fn the_help_names_every_method_and_wraps_once() {
    let run = run_cli(&["call", "--help"]).await;
    for method in ["login", "send_peer_message", "check_user_is_in_blacklist"] {
        assert!(run.stdout.contains(method), "{}", run.stdout);
    }
    for command in ["verify", "status", "audit", "bench"] {
        for (columns, most) in [("80", 80), ("100", 100)] {
            let run = run_cli_env(&[command, "--help"], &[("COLUMNS", columns)]).await;
            let lines: Vec<&str> = run.stdout.lines().collect();
            for pair in lines.windows(2) {
                assert!(pair[0].chars().count() <= most, "{command} {columns}: {}", pair[0]);
                // A line with room for the next word has a line break of its own.
                let next = pair[1].split(' ').next().unwrap_or_default();
                let has_room = pair[0].len() + 1 + next.len() <= most;
                let is_prose = |line: &str| line.starts_with(|it: char| it.is_ascii_alphanumeric());
                let both = is_prose(pair[0]) && is_prose(pair[1]);
                assert!(!(both && has_room), "{command} {columns}:\n{}\n{}", pair[0], pair[1]);
            }
        }
    }
}

#[tokio::test]
async fn audit_names_users_that_never_existed_and_counts_in_words() {
    let world = World::start().await;
    let url = world.nats.url();
    world.login(&["alice"]).await;
    let audit = async |user: &str| run_cli(&["--server", &url, "audit", user]).await;
    let run = audit("nobody").await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout, "nobody: there is no such user: no login, no conversation\n");
    let run = audit("alice").await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let expected = "1 user, 0 conversations, 0 messages: 0 differences\n";
    assert_eq!(run.stdout, expected);
    // A user with a conversation but without a login.
    world.send("alice", "bob", "hi").await;
    let run = audit("bob").await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("1 user, 1 conversation, 1 message"), "{}", run.stdout);
}
