//! What peerd shares with the `nats` command line: contexts, and streams that others create.

use std::{path::Path, time::Duration};

use async_nats::ConnectOptions;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::world::FAST;
use crate::support::wait::until;
use crate::support::{Cli, Client, Nats, Peerd, Store, partition, run_cli_env};

const CONFIGURATION: i32 = 64;
const UNAVAILABLE: i32 = 69;
const TWO_PARTITIONS: (&str, &str) = ("PEERD__PARTITIONS", "2");
const DEADLINE: Duration = Duration::from_secs(20);

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_context_says_where_peerd_connects_and_as_whom() {
    let tls = format!("{}/tests/contract/tls", env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::new_user();
    let seed = dir.path().join("peerd.nk");
    std::fs::write(&seed, key.seed().unwrap()).unwrap();
    let users = format!("{{ user: op, password: sesame }}, {{ nkey: {} }}", key.public_key());
    let config = dir.path().join("nats.conf");
    let text = format!(
        "jetstream {{}}\nauthorization {{ users: [ {users} ] }}\n\
         tls {{ cert_file: \"{tls}/server.pem\", key_file: \"{tls}/key.pem\", handshake_first: true }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let nats = Nats::start_with_config(&config, &[]).await;
    let url = format!("nats://localhost:{}", nats.port());
    let (authority, seed) = (format!("{tls}/ca.pem"), seed.display().to_string());
    let envs = [
        ("PEERD__NATS__NKEY_SEED_FILE", seed.as_str()),
        ("PEERD__NATS__TLS_FIRST", "true"),
        ("PEERD__NATS__TLS_CA_FILE", &authority),
    ];
    let mut peerd = Peerd::spawn(&url, &envs.map(own));
    peerd.until_ready().await.unwrap();

    let contexts = dir.path().join("nats").join("context");
    std::fs::create_dir_all(&contexts).unwrap();
    let save = |name: &str, context: Value| {
        std::fs::write(contexts.join(format!("{name}.json")), context.to_string()).unwrap();
    };
    let connection = json!({"url": url, "ca": authority, "tls_first": true, "description": ""});
    let with = |further: Value| {
        let mut context = connection.clone();
        context.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        context
    };
    save("password", with(json!({"user": "op", "password": "sesame"})));
    save("nkey", with(json!({"nkey": seed})));
    save("wrong", with(json!({"user": "op", "password": "hush"})));
    save("proxied", with(json!({"socks_proxy": "localhost:1"})));
    save("late", json!({"url": url, "ca": authority, "nkey": seed}));
    let home = dir.path().display().to_string();
    let run = async |context: &str, command: &[&str]| -> Cli {
        let args = [&["--context", context], command].concat();
        run_cli_env(&args, &[("XDG_CONFIG_HOME", &home)]).await
    };
    for (user, context) in [("alice", "password"), ("bob", "nkey")] {
        let called = run(context, &["call", user, "login"]).await;
        assert_eq!(called.code, Some(0), "{context}: {called:?}");
    }
    let status = run("password", &["status"]).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    let shown = run("password", &["check-config"]).await;
    assert!(shown.stdout.contains(&url) && !shown.stdout.contains("sesame"), "{shown:?}");
    for (context, code, text) in [
        ("wrong", CONFIGURATION, "nats.user"),
        ("proxied", CONFIGURATION, "socks_proxy"),
        ("missing", CONFIGURATION, "contexts late, nkey, password, proxied, wrong"),
        ("late", UNAVAILABLE, "nats://localhost"),
    ] {
        let refused = run(context, &["call", "alice", "heartbeat"]).await;
        assert_eq!(refused.code, Some(code), "{context}: {refused:?}");
        assert!(refused.stderr.contains(text), "{context}: no {text}: {}", refused.stderr);
        assert!(!refused.stderr.contains("hush"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn one_identity_is_given_at_most() {
    let envs = [("PEERD__NATS__TOKEN", "hush"), ("PEERD__NATS__NKEY_SEED_FILE", "/no/such/file")];
    let run = run_cli_env(&["check-config"], &envs).await;
    assert_eq!(run.code, Some(CONFIGURATION), "{run:?}");
    for text in ["nats.nkey_seed_file: must not be given together with nats.token", "/no/such"] {
        assert!(run.stderr.contains(text), "no {text}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("hush"), "{}", run.stderr);
    let run = run_cli_env(&["check-config"], &envs[..1]).await;
    assert!(run.stdout.contains("(hidden)") && !run.stdout.contains("hush"), "{run:?}");
}

#[tokio::test]
async fn the_command_line_describes_itself_to_nats() {
    let run = run_cli_env(&["--fisk-introspect"], &[]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let model: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(model["name"], "peerd");
    assert!(model["cheats"]["peerd"].as_str().unwrap().contains("peerd call alice login"));
    let commands = model["commands"].as_array().unwrap();
    let call = commands.iter().find(|command| command["name"] == "call").unwrap();
    // `nats` passes on only lists in their order.
    let list = json!([{
        "name": "user-method-json", "help": call["args"][0]["help"],
        "required": true, "cumulative": true,
    }]);
    assert_eq!(call["args"], list);
}

/// A nats-server on which peerd may not create streams.
async fn nats_without_the_right_to_create(dir: &Path) -> Nats {
    let config = dir.join("nats.conf");
    let text = r#"
        jetstream {}
        authorization {
            users: [
                { user: op, password: secret }
                {
                    user: peerd, password: secret
                    permissions: { publish: { allow: ">", deny: "$JS.API.STREAM.CREATE.*" } }
                }
            ]
        }
    "#;
    std::fs::write(&config, text).unwrap();
    Nats::start_with_config(&config, &[]).await
}

/// Creates the streams that `peerd streams` prints, and returns their configurations.
async fn create(client: &Client, envs: &[(&str, &str)]) -> Vec<Value> {
    let printed = run_cli_env(&["streams", "--form", "json"], envs).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let lines = printed.stdout.lines();
    let streams: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    for stream in &streams {
        create_one(client, stream).await;
    }
    streams
}

async fn create_one(client: &Client, stream: &Value) {
    let subject = format!("$JS.API.STREAM.CREATE.{}", stream["name"].as_str().unwrap());
    let answer = client.nats().request(subject, stream.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
}

#[tokio::test]
async fn peerd_works_on_streams_that_others_create() {
    let dir = tempfile::tempdir().unwrap();
    let nats = nats_without_the_right_to_create(dir.path()).await;
    let url = nats.url();
    let envs = [
        TWO_PARTITIONS,
        FAST,
        ("PEERD__NATS__USER", "peerd"),
        ("PEERD__NATS__PASSWORD", "secret"),
        ("PEERD__STREAM__PROVISION", "verify"),
    ];
    let at_once = [("PEERD__NATS__CONNECT_TIMEOUT_MS", "0"), ("PEERD__NATS__SERVERS", &*url)];
    let refused = run_cli_env(&["serve"], &[&envs[..], &at_once].concat()).await;
    assert_eq!(refused.code, Some(UNAVAILABLE), "{refused:?}");
    for text in ["PEER_LOG_0", "PEER_STATE_1", "PEER_PUSH", "KV_PEER_OWNERS", "peerd streams"] {
        assert!(refused.stderr.contains(text), "no {text}: {}", refused.stderr);
    }

    let options = ConnectOptions::with_user_and_password("op".into(), "secret".into());
    let client = Client::new(options.connect(&url).await.unwrap(), "peer");
    let store = Store::new(&client);
    assert_eq!(store.stream_names().await, [""; 0], "peerd created streams");
    // It waits for the streams, so it may start before they are created.
    let mut peerd = Peerd::spawn(&url, &envs.map(own));
    let streams = create(&client, &envs).await;
    peerd.until_ready().await.unwrap();
    // The bucket counts as one that replaces a lost one, whose owners may act for a while.
    for user in ["alice", "bob"] {
        let logged_in = until(DEADLINE, async || {
            let reply = client.call(user, "login", json!({})).await;
            if reply.code.is_none() { Ok(()) } else { Err(format!("a login: {}", reply.body)) }
        });
        logged_in.await.unwrap();
    }
    let text = json!({"toUserID": "bob", "message": {"type": 1, "message": "hi"}});
    client.call("alice", "send_peer_message", text.clone()).await.ok();

    let name = format!("PEER_LOG_{}", partition("bob", 2));
    store.jetstream().delete_stream(&name).await.unwrap();
    let config = ("PEERD__NATS__SERVERS", &*url);
    let as_operator = [TWO_PARTITIONS, config];
    let operator = [&as_operator[..], &envs[2..]].concat();
    let named = until(DEADLINE, async || {
        let status = run_cli_env(&["status"], &operator).await;
        let is_named = status.code == Some(1) && status.stdout.contains(&name);
        if is_named { Ok(()) } else { Err(format!("the missing stream: {status:?}")) }
    });
    named.await.unwrap();
    assert!(!store.stream_names().await.contains(&name), "peerd created {name}");

    create_one(&client, streams.iter().find(|stream| stream["name"] == *name).unwrap()).await;
    let sent = until(DEADLINE, async || {
        let reply = client.call("alice", "send_peer_message", text.clone()).await;
        if reply.code.is_none() { Ok(()) } else { Err(format!("a send: {}", reply.body)) }
    });
    sent.await.unwrap();
    // Also reads find it: its sentinel was written.
    let page = json!({"conversationID": "alice", "config": {"count": 10, "reverse": true}});
    let history = client.call("bob", "query_history_message", page).await.ok();
    assert!(!history["messageList"].as_array().unwrap().is_empty(), "{history}");
}
