//! Formats bodies and events for a terminal.

use peerd_protocol::encoding::Encoding;
use peerd_protocol::event::BUNDLE;
use peerd_protocol::subject::last_token;

/// A body as indented JSON, or unchanged if it is not JSON.
#[must_use]
pub fn indented(body: &[u8]) -> String {
    let value = serde_json::from_slice::<serde_json::Value>(body);
    let text = value.and_then(|value| serde_json::to_string_pretty(&value));
    text.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned())
}

/// The events of a message, each as one line of JSON: the user, the event's name, and the body,
/// which is null if it cannot be read.
#[must_use]
pub fn event_lines(
    user: &str,
    subject: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Vec<String> {
    let encoding = Encoding::of_request(content_type, body).unwrap_or_default();
    let body = match encoding {
        Encoding::Json => serde_json::from_slice(body).ok(),
        Encoding::MessagePack => rmpv::decode::read_value(&mut &*body).ok().map(json),
    };
    // None of its values can fail to serialize.
    let line = |line: Line<'_>| serde_json::to_string(&line).unwrap_or_default();
    let event = last_token(subject);
    match body {
        Some(body) if event == BUNDLE && body["events"].is_array() => {
            let events = body["events"].as_array().into_iter().flatten();
            let events = events.map(|one| {
                let event = one["event"].as_str().unwrap_or_default();
                let mut shown = one["body"].clone();
                if let Some(fields) = shown.as_object_mut() {
                    for name in ["revision", "previousRevision"] {
                        fields.insert(name.to_owned(), body[name].clone());
                    }
                }
                line(Line { user, event, body: Some(shown) })
            });
            events.collect()
        }
        body => vec![line(Line { user, event, body })],
    }
}

/// The fields that people look for first come first.
#[derive(serde::Serialize)]
struct Line<'l> {
    user: &'l str,
    event: &'l str,
    body: Option<serde_json::Value>,
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
