//! nats-server with the shipped configuration for logins by token, and a peerd that answers them.

use std::path::Path;
use std::time::Duration;

use async_nats::{ConnectOptions, Event, ServerError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::super::permissions::Limited;
use super::super::world::now_ms;
use crate::support::http::{get, sum};
use crate::support::{Client, Nats, Peerd, Signer, key_set, run_cli, token};

pub(super) const ISSUER: &str = "https://id.example";
/// How long anything may take that happens soon.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The parts; dropped from top to bottom.
pub(super) struct Scene {
    pub(super) peerd: Peerd,
    pub(super) nats: Nats,
    pub(super) dir: TempDir,
}

/// What differs from the shipped configuration of nats-server.
#[derive(Clone, Copy, Default)]
pub(super) struct Server {
    pub(super) is_encrypted: bool,
}

impl Scene {
    /// Tokens are signed by these.
    pub(super) async fn with_keys(signers: &[&Signer], settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys.json");
        std::fs::write(&keys, key_set(signers).to_string()).unwrap();
        let keys = keys.to_str().unwrap().to_owned();
        let settings = [&[("PEERD__CALLOUT__KEYS_FILE", keys.as_str())], settings].concat();
        Self::start(dir, Server::default(), &settings).await
    }

    pub(super) async fn start(dir: TempDir, server: Server, settings: &[(&str, &str)]) -> Self {
        let [seed_file, xkey_file] = ["issuer.nk", "xkey.nk"].map(|name| dir.path().join(name));
        let issuer = new_seed("issuer", &seed_file).await;
        let xkey = new_seed("xkey", &xkey_file).await;
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nats/callout.conf");
        let shipped = std::fs::read_to_string(shipped).unwrap();
        // The listener that the tests of other processes use, too.
        let mut text = shipped.replace("127.0.0.1:4223", "127.0.0.1:-1");
        if server.is_encrypted {
            text = text.replace("# xkey: $CALLOUT_XKEY", "xkey: $CALLOUT_XKEY");
        }
        let config = dir.path().join("callout.conf");
        std::fs::write(&config, text).unwrap();
        let envs = [
            ("PEERD_PASSWORD", "peerd-secret"),
            ("OPERATOR_PASSWORD", "operator-secret"),
            ("CALLOUT_PASSWORD", "callout-secret"),
            ("CALLOUT_ISSUER", &issuer),
            ("CALLOUT_XKEY", &xkey),
        ];
        let nats = Nats::start_with_config(&config, &envs).await;
        let own = [
            ("PEERD__NATS__USER", "peerd"),
            ("PEERD__NATS__PASSWORD", "peerd-secret"),
            ("PEERD__HTTP__LISTEN", "127.0.0.1:0"),
            ("PEERD__CALLOUT__ENABLED", "true"),
            ("PEERD__CALLOUT__ISSUER_SEED_FILE", seed_file.to_str().unwrap()),
            ("PEERD__CALLOUT__ACCOUNT", "CHAT"),
            ("PEERD__CALLOUT__USER", "callout"),
            ("PEERD__CALLOUT__PASSWORD", "callout-secret"),
            ("PEERD__CALLOUT__TOKEN_ISSUER", ISSUER),
            ("PEERD__CALLOUT__TOKEN_AUDIENCE", "chat"),
            ("PEERD__CALLOUT__TOKEN_LEEWAY_SECONDS", "0"),
        ];
        let mut settings = [&own[..], settings].concat();
        if server.is_encrypted {
            settings.push(("PEERD__CALLOUT__XKEY_SEED_FILE", xkey_file.to_str().unwrap()));
        }
        let operator = ("operator", "operator-secret");
        let peerd = Peerd::start_probed_by(operator, &nats.url(), &settings).await;
        let scene = Self { peerd, nats, dir };
        scene.until_answering().await;
        scene
    }

    /// Waits until callouts are answered, if keys are known.
    async fn until_answering(&self) {
        let began = Instant::now();
        while !self.peerd.log().contains("answers logins by token")
            && !self.peerd.log().contains("cannot renew the keys")
        {
            assert!(began.elapsed() < SOON, "{}", self.peerd.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The addresses of the server: over TCP, and over WebSocket.
    pub(super) fn addresses(&self) -> [String; 2] {
        let websocket = self.nats.websocket_port().unwrap();
        [self.nats.url(), format!("ws://127.0.0.1:{websocket}")]
    }

    /// Whether a token is accepted.
    pub(super) async fn accepts(&self, signed: &str) -> bool {
        accepted(self.nats.port(), signed).await
    }

    pub(super) async fn until(&self, is_so: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !is_so().await {
            assert!(began.elapsed() < SOON, "it did not come; {}", self.peerd.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A page of peerd.
    pub(super) async fn page(&self, path: &str) -> String {
        get(&self.peerd.http_address().unwrap(), path).await.unwrap().body
    }

    /// The number of requests that ended in this way.
    pub(super) async fn ended(&self, outcome: &str) -> u64 {
        let label = format!("outcome=\"{outcome}\"");
        sum(&self.page("/metrics").await, "peerd_callout_requests_total", &[&label])
    }
}

/// Makes a key, and returns its public key.
async fn new_seed(of: &str, file: &Path) -> String {
    let run = run_cli(&["new-seed", of, file.to_str().unwrap()]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    run.stdout.trim().to_owned()
}

pub(super) fn now_s() -> u64 {
    now_ms() / 1000
}

/// The claims of a good token.
pub(super) fn claims(user: &str) -> Value {
    json!({ "iss": ISSUER, "aud": "chat", "sub": user, "iat": now_s(), "exp": now_s() + 300 })
}

/// The claims of a good token with one of them changed.
pub(super) fn with(claim: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims("alice");
    claims[claim] = value.into();
    claims
}

/// Whether a server lets a client in. async-nats takes any answer for a success, such as the `PING`
/// that comes while a login takes long.
pub(super) async fn accepted(port: u16, signed: &str) -> bool {
    let asking = async {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
        let connect = json!({ "auth_token": signed, "verbose": false, "protocol": 1 });
        let request = format!("CONNECT {connect}\r\nPING\r\n");
        stream.write_all(request.as_bytes()).await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 || line.starts_with("-ERR") {
                return Ok::<_, std::io::Error>(false);
            }
            if line.starts_with("PONG") {
                return Ok(true);
            }
        }
    };
    // A connection that is reset was refused, too.
    timeout(SOON, asking).await.unwrap().unwrap_or(false)
}

/// Connects once; the error of a refusal says so.
pub(super) async fn connected(
    options: ConnectOptions,
    address: &str,
) -> Result<async_nats::Client, String> {
    let connecting = options.max_reconnects(1).connect(address);
    connecting.await.map_err(|error| format!("{error:?}"))
}

/// A user's client, with its inbox prefix, and what the server refused it.
pub(super) async fn user(address: &str, id: &str, signed: &str) -> Limited {
    let (sender, errors) = mpsc::unbounded_channel();
    let options = ConnectOptions::with_token(signed.to_owned())
        .custom_inbox_prefix(format!("_INBOX_{}", token(id)))
        .event_callback(move |event| {
            // The receiver is gone only when the test is over.
            if let Event::ServerError(ServerError::Other(text)) = event {
                let _ = sender.send(text);
            } else if event == Event::Disconnected {
                let _ = sender.send("disconnected".to_owned());
            }
            std::future::ready(())
        });
    let nats = connected(options, address).await.unwrap_or_else(|error| panic!("{id}: {error}"));
    Limited { client: Client::new(nats, "peer"), errors }
}
