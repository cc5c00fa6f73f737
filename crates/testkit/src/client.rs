//! A client of the contract, written from docs/protocol.md alone.

use std::{fmt::Write as _, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::codec::{CONTENT_TYPE, Encoding, decode, encode};
use super::typed;

const CALL_DEADLINE: Duration = Duration::from_secs(15);
const ERROR_HEADER: &str = "Nats-Service-Error";
const ERROR_CODE_HEADER: &str = "Nats-Service-Error-Code";

/// A reply whose encoding and headers have been checked against the contract.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The decoded body.
    pub body: Value,
    /// The error code, if the call was refused.
    pub code: Option<i64>,
    /// The headers as received.
    pub headers: HeaderMap,
    /// The body as received.
    pub payload: Bytes,
}

impl Reply {
    /// The body of a success; panics with the refusal.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.code.is_none(), "the call was refused: {}", self.body);
        self.body
    }

    /// The code and the reason of a refusal; panics with the body of a success.
    #[track_caller]
    pub fn err(&self) -> (i64, String) {
        let Some(code) = self.code else {
            panic!("the call was expected to be refused, and answered {}", self.body)
        };
        (code, self.body["reason"].as_str().unwrap().to_owned())
    }

    /// The text of a refusal, for the caller.
    #[track_caller]
    pub fn message(&self) -> &str {
        assert!(self.code.is_some(), "not a refusal: {}", self.body);
        self.body["message"].as_str().unwrap()
    }

    /// Whether the reply is marked as that to a repeat.
    pub fn is_duplicate(&self) -> bool {
        let header = self.headers.get("Peer-Duplicate");
        header.is_some_and(|value| value.as_str() == "true")
    }
}

/// A caller of peerd over one NATS connection, as any user for whom the connection has permissions.
#[derive(Clone)]
pub struct Client {
    nats: async_nats::Client,
    prefix: String,
}

impl Client {
    /// Connects without credentials and uses the default prefix `peer`.
    pub async fn connect(url: &str) -> Self {
        let nats = async_nats::ConnectOptions::new()
            .subscription_capacity(1 << 17)
            .connect(url)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"));
        Self::new(nats, "peer")
    }

    /// Uses an existing connection and a subject prefix.
    pub fn new(nats: async_nats::Client, prefix: &str) -> Self {
        Self { nats, prefix: prefix.to_owned() }
    }

    /// The connection.
    pub fn nats(&self) -> &async_nats::Client {
        &self.nats
    }

    /// The first token of all subjects.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// One call in JSON.
    pub async fn call(&self, user: &str, method: &str, body: Value) -> Reply {
        self.call_as(Encoding::Json, user, method, body).await
    }

    /// One call in the given encoding, with its `Content-Type`.
    pub async fn call_as(
        &self,
        encoding: Encoding,
        user: &str,
        method: &str,
        body: Value,
    ) -> Reply {
        let answer = self.try_call_as(encoding, user, method, &body).await;
        answer.unwrap_or_else(|error| panic!("{method} by {user:?}: no reply: {error}"))
    }

    /// One call in JSON that may get no reply, for tests that kill processes.
    pub async fn try_call(
        &self,
        user: &str,
        method: &str,
        body: Value,
    ) -> Result<Reply, async_nats::RequestError> {
        self.try_call_as(Encoding::Json, user, method, &body).await
    }

    async fn try_call_as(
        &self,
        encoding: Encoding,
        user: &str,
        method: &str,
        body: &Value,
    ) -> Result<Reply, async_nats::RequestError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, encoding.content_type());
        let payload = Bytes::from(encode(encoding, body));
        self.try_call_raw(&token(user), method, Some(headers), payload).await
    }

    /// One call with the user's token and the bytes taken literally.
    pub async fn call_raw(
        &self,
        user_token: &str,
        method: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Reply {
        let answer = self.try_call_raw(user_token, method, headers, payload).await;
        answer.unwrap_or_else(|error| panic!("{method} on {user_token:?}: no reply: {error}"))
    }

    async fn try_call_raw(
        &self,
        user_token: &str,
        method: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Reply, async_nats::RequestError> {
        let subject = format!("{}.api.{user_token}.{method}", self.prefix);
        let expected = Encoding::of_request(headers.as_ref(), &payload);
        let mut request = async_nats::Request::new().payload(payload).timeout(Some(CALL_DEADLINE));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let message = self.nats.send_request(subject, request).await?;
        Ok(checked_reply(method, expected, message))
    }

    /// Returns once the server has handled everything that this connection sent before: a message
    /// to itself arrives after that.
    pub async fn round_trip(&self) {
        let inbox = self.nats.new_inbox();
        let mut echo = self.nats.subscribe(inbox.clone()).await.unwrap();
        self.nats.publish(inbox, Bytes::new()).await.unwrap();
        let back = tokio::time::timeout(CALL_DEADLINE, echo.next()).await;
        assert!(matches!(back, Ok(Some(_))), "the server does not answer");
    }
}

/// Checks that a reply has the headers and the type of the contract.
fn checked_reply(method: &str, expected: Option<Encoding>, message: async_nats::Message) -> Reply {
    let headers = message.headers.unwrap_or_default();
    let encoding = Encoding::of_headers(Some(&headers)).unwrap_or_else(|| {
        panic!("a reply without Content-Type: {}", message.payload.escape_ascii())
    });
    if let Some(expected) = expected {
        assert_eq!(encoding, expected, "the reply is not in the request's encoding");
    }
    let body = decode(encoding, &message.payload);
    assert!(body.is_object(), "a reply that is no object: {body}");
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    let code = header(ERROR_CODE_HEADER).map(|code| code.parse::<i64>().unwrap());
    if let Some(code) = code {
        typed::check_failure(encoding, &message.payload);
        assert_eq!(body["code"].as_i64(), Some(code), "the code header and {body}");
        assert!(body["reason"].is_string(), "no reason: {body}");
        assert!(body["message"].is_string(), "no message: {body}");
        assert_eq!(
            header(ERROR_HEADER).as_deref(),
            body["message"].as_str(),
            "the error header and {body}"
        );
    } else {
        assert_eq!(header(ERROR_HEADER), None, "an error without a code: {body}");
        assert!(body.get("code").is_none(), "a code without headers: {body}");
        typed::check_reply(method, encoding, &message.payload);
    }
    Reply { body, code, headers, payload: message.payload }
}

/// The one subject token of a user: `A–Z a–z 0–9 - _ ~` as they are, all other bytes as `%XX`.
pub fn token(user_id: &str) -> String {
    let mut token = String::new();
    for byte in user_id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            token.push(char::from(byte));
        } else {
            write!(token, "%{byte:02X}").unwrap();
        }
    }
    token
}

/// Logs a user in; returns the reply's body.
pub async fn login(client: &Client, user: &str) -> Value {
    client.call(user, "login", json!({})).await.ok()
}

/// Sends a text; returns the sent message.
pub async fn send_text(client: &Client, from: &str, to: &str, text: &str) -> Value {
    let body = json!({ "message": { "type": 1, "message": text }, "toUserID": to });
    let reply = client.call(from, "send_peer_message", body).await.ok();
    reply["message"].clone()
}
