//! Missing NATS permissions: each is named soon, with the remedy.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Client, Nats, Peerd, peerd_command, run_cli_env, send_text};

const DEADLINE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);
const PASSWORDS: [(&str, &str); 4] = [
    ("PEERD_PASSWORD", "peerd-secret"),
    ("OPERATOR_PASSWORD", "operator-secret"),
    ("ALICE_PASSWORD", "alice-secret"),
    ("BOB_PASSWORD", "bob-secret"),
];
const DAEMON: [(&str, &str); 2] =
    [("PEERD__NATS__USER", "peerd"), ("PEERD__NATS__PASSWORD", "peerd-secret")];

/// The shipped permissions, with one text replaced once, after another.
async fn nats_without(after: &str, text: &str, by: &str) -> Nats {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats/users.conf");
    let users = std::fs::read_to_string(shipped).unwrap();
    let start = users.find(after).unwrap_or_else(|| panic!("no {after}"));
    let (before, rest) = users.split_at(start);
    assert!(rest.contains(text), "no {text} after {after}");
    let users = format!("{before}{}", rest.replacen(text, by, 1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nats.conf");
    std::fs::write(&path, format!("jetstream {{}}\n{users}")).unwrap();
    Nats::start_with_config(&path, &PASSWORDS).await
}

#[tokio::test]
async fn missing_permissions_that_peerd_needs_end_its_start() {
    for (text, entry) in [
        ("\"peer.part.>\", \"peer.log.>\"", "peer.part.>"),
        ("\"peer.log.>\"", "peer.log.>"),
        ("\"peer.state.>\"", "peer.state.>"),
        ("\"$JS.API.>\"", "$JS.API.>"),
        ("\"$KV.PEER_OWNERS.>\"", "$KV.PEER_OWNERS.>"),
        ("\"peer.api.>\", ", "peer.api.>"),
        ("\"peer.part.>\", \"$SRV.>\"", "peer.part.>"),
        ("\"_INBOX.>\"", "_INBOX.>"),
        ("\"peer.event.>\"", "peer.event.>"),
    ] {
        let by = match text {
            "\"peer.part.>\", \"peer.log.>\"" => "\"peer.log.>\"",
            "\"peer.part.>\", \"$SRV.>\"" => "\"$SRV.>\"",
            "\"peer.api.>\", " => "",
            _ => "\"nothing\"",
        };
        let nats = nats_without("user: peerd", text, by).await;
        let url = nats.url();
        let mut envs = vec![("PEERD__NATS__SERVERS", url.as_str())];
        envs.extend(DAEMON);
        let began = Instant::now();
        let run = run_cli_env(&["serve"], &envs).await;
        assert_eq!(run.code, Some(64), "{entry}: {run:?}");
        assert!(run.stderr.contains("not allowed to"), "{entry}: {}", run.stderr);
        assert!(run.stderr.contains(entry), "{entry}: {}", run.stderr);
        assert!(began.elapsed() < DEADLINE, "{entry}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn permissions_that_go_missing_later_are_logged_once() {
    for (after, text, entry) in [
        ("user: peerd", "\"peer.push.>\"", "peer.push.>"),
        ("user: peerd", "allow_responses: { max: 1, expires: \"1m\" }", "allow_responses"),
    ] {
        let by = if text.starts_with('"') { "\"nothing\"" } else { "" };
        let nats = nats_without(after, text, by).await;
        let mut envs: Vec<(String, String)> =
            DAEMON.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        envs.push(("PEERD__SESSION__HEARTBEAT_INTERVAL_MS".into(), "100".into()));
        let mut peerd = Peerd::spawn(&nats.url(), &envs);
        peerd.until_ready().await.unwrap();
        let operator = async_nats::ConnectOptions::new()
            .user_and_password("operator".to_owned(), "operator-secret".to_owned())
            .connect(nats.url())
            .await
            .unwrap();
        let named = |log: &str| log.matches("a NATS permission is missing").count();
        let found = timeout(DEADLINE, async {
            while named(&peerd.log()) == 0 {
                for (call, body) in [
                    ("login", json!({})),
                    (
                        "send_peer_message",
                        json!({
                            "toUserID": "bob",
                            "message": { "type": 1, "message": "x" },
                            "config": { "pushConfig": { "title": "t", "content": "c" } },
                        }),
                    ),
                ] {
                    let subject = format!("peer.api.alice.{call}");
                    operator
                        .publish_with_reply(subject, operator.new_inbox(), body.to_string().into())
                        .await
                        .unwrap();
                }
                sleep(POLL).await;
            }
        });
        assert!(found.await.is_ok(), "{entry} is not named: {}", peerd.log());
        let log = peerd.log();
        assert!(log.contains(entry), "{entry}: {log}");
        assert!(named(&log) <= 2, "{entry} is named again and again: {log}");
        assert!(peerd.is_running());
    }
}

#[tokio::test]
async fn commands_say_at_once_what_they_may_not_do() {
    let nats = nats_without("user: peerd", "peer.event.>", "peer.event.>").await;
    let operator = ("operator", "operator-secret");
    let _peerd = Peerd::start_probed_by(operator, &nats.url(), &DAEMON).await;
    let url = nats.url();
    let run = async |user: &'static str, inbox: &str, arguments: &[&str]| {
        let password = format!("{user}-secret");
        let envs = [
            ("PEERD__NATS__SERVERS", url.as_str()),
            ("PEERD__NATS__USER", user),
            ("PEERD__NATS__PASSWORD", password.as_str()),
            ("PEERD__NATS__INBOX_PREFIX", inbox),
        ];
        run_cli_env(arguments, &envs).await
    };
    for (inbox, arguments, forbidden) in [
        ("_INBOX_alice", &["watch", "bob"][..], "subscribe to peer.event.bob.>"),
        ("_INBOX_alice", &["watch", "alice", "bob"], "subscribe to peer.event.bob.>"),
        ("_INBOX_alice", &["call", "bob", "login"], "publish to peer.api.bob.login"),
        ("_INBOX", &["call", "alice", "login"], "subscribe to _INBOX."),
        ("_INBOX_alice", &["status"], "publish to $JS.API."),
        ("_INBOX_alice", &["audit"], "publish to $JS.API."),
        ("_INBOX_alice", &["bench", "--pairs", "1"], "publish to $JS.API."),
    ] {
        let began = Instant::now();
        let run = run("alice", inbox, arguments).await;
        assert_eq!(run.code, Some(69), "{arguments:?}: {run:?}");
        let text = format!("not allowed to {forbidden}");
        assert!(run.stderr.contains(&text), "{arguments:?}: {}", run.stderr);
        assert!(began.elapsed() < Duration::from_secs(5), "{arguments:?}: {:?}", began.elapsed());
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    let run = run("alice", "_INBOX_alice", &["call", "alice", "login"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[tokio::test]
async fn watch_is_ended_by_an_interrupt_in_order() {
    let nats = Nats::start().await;
    let _peerd = Peerd::start(&nats).await;
    let dir = tempfile::tempdir().unwrap();
    let mut watch = tokio::process::Command::from(peerd_command(dir.path()))
        .args(["--server", &nats.url(), "watch", "bob"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let client = Client::connect(&nats.url()).await;
    for user in ["alice", "bob"] {
        crate::support::login(&client, user).await;
    }
    let mut lines = {
        use tokio::io::AsyncBufReadExt as _;
        tokio::io::BufReader::new(watch.stdout.take().unwrap()).lines()
    };
    let line = timeout(DEADLINE, async {
        loop {
            tokio::select! {
                line = lines.next_line() => return line.unwrap().unwrap(),
                () = sleep(Duration::from_millis(200)) => {
                    send_text(&client, "alice", "bob", "hi").await;
                }
            }
        }
    });
    let line = line.await.expect("watch prints an event");
    assert!(line.starts_with(r#"{"user":"bob","event":""#), "{line}");
    let pid = watch.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status = timeout(DEADLINE, watch.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
}
