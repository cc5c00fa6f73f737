//! `peerd call`

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, HeaderMap};
use tokio::time::Instant;

use super::connection::with_client;
use super::readable::indented;
use super::{EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_UNAVAILABLE, complain, print};
use crate::bus::discovery;
use crate::runtime::commands::Method;
use crate::runtime::daemon::Settings;
use peerd_core::id::UserId;
use peerd_protocol::encoding::{CONTENT_TYPE, Encoding, SERVICE_ERROR_CODE};
use peerd_protocol::subject::{Subjects, Token};

/// The methods, one line each.
pub(super) fn help() -> String {
    let width = Method::ALL.iter().map(|method| method.name().len()).max().unwrap_or_default();
    let line = |method: &Method| format!("  {:width$}  {}", method.name(), method.summary());
    let lines: Vec<String> = Method::ALL.iter().map(line).collect();
    format!("Methods:\n{}\n\ndocs/protocol.md of peerd describes their fields.", lines.join("\n"))
}

/// How much longer than peerd's own deadline the answer may take.
const GRACE: Duration = Duration::from_secs(2);

pub(super) async fn run(
    settings: Settings,
    user: String,
    method: String,
    json: String,
) -> ExitCode {
    let user = match UserId::new(&user, "USER") {
        Ok(user) => Token::of(&user),
        Err(rejection) => return complain(EXIT_CONFIGURATION, &rejection),
    };
    if method.is_empty() || method.contains(['.', '*', '>', ' ']) {
        return complain(EXIT_CONFIGURATION, &"METHOD is not a method name");
    }
    let call = |client| call(client, &settings, user, method, json);
    with_client(&settings, "peerd call", call).await
}

async fn call(
    client: Client,
    settings: &Settings,
    user: Token,
    method: String,
    json: String,
) -> ExitCode {
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, Encoding::Json.content_type());
    let request = Request::new()
        .payload(json.into())
        .headers(headers)
        .timeout(Some(settings.node.call_deadline + GRACE));
    match client.send_request(subjects.call(&user, &method), request).await {
        Ok(reply) => {
            let headers = reply.headers.unwrap_or_default();
            print(&readable(&reply.payload));
            let is_error = headers.get(SERVICE_ERROR_CODE).is_some();
            if is_error { ExitCode::from(EXIT_FAILURE) } else { ExitCode::SUCCESS }
        }
        Err(error) if error.kind() == RequestErrorKind::NoResponders => {
            let prefix = subjects.prefix();
            complain(EXIT_UNAVAILABLE, &format!("no peerd serves the subjects below {prefix:?}"))
        }
        Err(error) if error.kind() == RequestErrorKind::TimedOut => {
            // The server reports no responders only if the subject has no subscriber at all,
            // observers included. Service discovery tells whether a peerd is there.
            let deadline = Instant::now() + GRACE;
            let instances = discovery::ask(&client, subjects.prefix(), BTreeSet::new(), deadline);
            if matches!(instances.await, Ok(instances) if instances.is_empty()) {
                let prefix = subjects.prefix();
                let problem = format!(
                    "{error}: no peerd that serves the subjects below {prefix:?} answers service \
                     discovery"
                );
                return complain(EXIT_UNAVAILABLE, &problem);
            }
            complain(EXIT_UNAVAILABLE, &error)
        }
        Err(error) => complain(EXIT_UNAVAILABLE, &error),
    }
}

/// The body: indented on a terminal, unchanged for programs.
fn readable(body: &[u8]) -> String {
    if std::io::stdout().is_terminal() {
        indented(body)
    } else {
        String::from_utf8_lossy(body).into_owned()
    }
}
