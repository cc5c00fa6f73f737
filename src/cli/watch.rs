//! `peerd watch`

use std::process::ExitCode;

use async_nats::Message;
use futures::stream::{self, StreamExt as _};

use super::{EXIT_CONFIGURATION, EXIT_UNAVAILABLE, complain, print};
use crate::domain::id::UserId;
use crate::runtime::connect::connect_once;
use crate::runtime::daemon::Settings;
use crate::wire::encoding::{CONTENT_TYPE, Encoding};
use crate::wire::subject::{Subjects, Token, last_token};

pub(super) async fn run(settings: Settings, users: Vec<String>) -> ExitCode {
    let users: Result<Vec<UserId>, _> =
        users.iter().map(|user| UserId::new(user, "USER")).collect();
    let users = match users {
        Ok(users) => users,
        Err(rejection) => return complain(EXIT_CONFIGURATION, &rejection),
    };
    let client = match connect_once(&settings.nats, "peerd watch").await {
        Ok(client) => client,
        Err(error) => return complain(EXIT_UNAVAILABLE, &error),
    };
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let mut events = Vec::new();
    for user in users {
        match client.subscribe(subjects.all_events(&Token::of(&user))).await {
            Ok(subscriber) => events.push(subscriber.map(move |message| (user.clone(), message))),
            Err(error) => return complain(EXIT_UNAVAILABLE, &error),
        }
    }
    let mut events = stream::select_all(events);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some((user, message)) => {
                    if !print(&line(&user, &message)) {
                        return ExitCode::SUCCESS;
                    }
                }
                None => return complain(EXIT_UNAVAILABLE, &"the connection to NATS was closed"),
            },
            _ = tokio::signal::ctrl_c() => return ExitCode::SUCCESS,
        }
    }
}

/// An event as one line of JSON: who is told, what, and the body.
fn line(user: &UserId, message: &Message) -> String {
    let content_type = message.headers.as_ref().and_then(|headers| headers.get(CONTENT_TYPE));
    let content_type = content_type.map(async_nats::HeaderValue::as_str);
    let encoding = Encoding::of_request(content_type, &message.payload).unwrap_or_default();
    let body = match encoding {
        Encoding::Json => serde_json::from_slice(&message.payload).ok(),
        Encoding::MessagePack => rmpv::decode::read_value(&mut &message.payload[..]).ok().map(json),
    };
    let event = last_token(&message.subject);
    serde_json::json!({ "user": user.as_str(), "event": event, "body": body }).to_string()
}

/// A `MessagePack` body as JSON, where bytes become base64 text.
fn json(value: rmpv::Value) -> serde_json::Value {
    use base64::Engine as _;
    use rmpv::Value;
    match value {
        Value::Boolean(flag) => flag.into(),
        Value::Integer(number) => number.as_u64().into(),
        Value::F32(number) => number.into(),
        Value::F64(number) => number.into(),
        Value::String(text) => text.into_str().into(),
        Value::Binary(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Value::Array(list) => list.into_iter().map(json).collect(),
        Value::Map(fields) => {
            let named = |(name, value): (Value, Value)| {
                (name.as_str().unwrap_or_default().to_owned(), json(value))
            };
            fields.into_iter().map(named).collect()
        }
        Value::Nil | Value::Ext(..) => serde_json::Value::Null,
    }
}
