//! The contract as an `AsyncAPI` 3 document, which describes peerd: it receives calls, replies, and
//! sends events and pushes.

use serde_json::{Map, Value, json};

use super::{FAILURE, PUSH, each_reference, event_name, events, target};
use super::{reply_name, request_name};
use crate::runtime::commands::{Kind, Method};
use peerd_protocol::api;
use peerd_protocol::encoding::{
    CONTENT_TYPE, Encoding, PEER_DUPLICATE, SERVICE_ERROR, SERVICE_ERROR_CODE,
};
use peerd_protocol::failure::SENDS;

/// The channel of all replies.
const REPLIES: &str = "replies";

const ABOUT: &str = "One-to-one messaging for NATS. docs/protocol.md has the meaning of all \
    methods, events and codes. The first part of all subjects, `peer`, is configurable. A client \
    is the user whose calls it may publish: NATS permissions are the only authentication. Bodies \
    are JSON or MessagePack, as the header Content-Type says: the schemas are those of JSON; in \
    MessagePack, bytes are bin. Readers ignore fields that they do not know.";
const USER: &str = "The userID, percent-encoded: A-Z a-z 0-9 - _ ~ stay, every other byte is %XX \
    with upper-case hex.";
const SENT_TO_REPLY_SUBJECT: &str = "The reply subject of the request: an inbox of the caller, who \
    needs the permission to subscribe to it.";

pub(super) fn document(definitions: Map<String, Value>) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "peerd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": Encoding::Json.content_type(),
        "channels": channels(),
        "operations": operations(),
        "components": {
            "schemas": schemas(definitions),
            "messages": messages(),
            "parameters": { "user": { "description": USER } },
        },
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn channel(address: &str, message: &str) -> Value {
    json!({
        "address": address,
        "parameters": { "user": reference("parameters", "user") },
        "messages": { message: reference("messages", message) },
    })
}

fn event_channel(event: &str) -> String {
    format!("event_{event}")
}

fn channels() -> Map<String, Value> {
    let calls = api::METHODS.iter().map(|method| {
        let address = format!("peer.api.{{user}}.{method}");
        ((*method).to_owned(), channel(&address, &request_name(method)))
    });
    let events = events().map(|event| {
        let address = format!("peer.event.{{user}}.{event}");
        (event_channel(event), channel(&address, &event_name(event)))
    });
    let replies = api::METHODS.iter().map(|method| reply_name(method));
    let replies = replies.chain([FAILURE.to_owned()]);
    let replies: Map<String, Value> = replies
        .map(|message| {
            let shown = reference("messages", &message);
            (message, shown)
        })
        .collect();
    let replies =
        json!({ "address": null, "description": SENT_TO_REPLY_SUBJECT, "messages": replies });
    let others =
        [(REPLIES.to_owned(), replies), (PUSH.to_owned(), channel("peer.push.{user}", PUSH))];
    calls.chain(events).chain(others).collect()
}

fn of_channel(channel: &str, message: &str) -> Value {
    json!({ "$ref": format!("#/channels/{channel}/messages/{message}") })
}

fn operations() -> Map<String, Value> {
    let calls = Method::ALL.iter().map(|method| {
        let name = method.name();
        let operation = json!({
            "action": "receive",
            "summary": method.summary(),
            "description": about(method.kind()),
            "channel": { "$ref": format!("#/channels/{name}") },
            "messages": [of_channel(name, &request_name(name))],
            "reply": {
                "channel": { "$ref": format!("#/channels/{REPLIES}") },
                "messages": [of_channel(REPLIES, &reply_name(name)), of_channel(REPLIES, FAILURE)],
            },
        });
        (name.to_owned(), operation)
    });
    let sent = events().map(|event| (event_channel(event), event_name(event)));
    let sent = sent.chain([(PUSH.to_owned(), PUSH.to_owned())]).map(|(channel, message)| {
        let operation = json!({
            "action": "send",
            "channel": { "$ref": format!("#/channels/{channel}") },
            "messages": [of_channel(&channel, &message)],
        });
        (channel, operation)
    });
    calls.chain(sent).collect()
}

const fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Session => "Begins a session, and needs none.",
        Kind::Read => "Needs a session. Changes nothing.",
        Kind::Change => "Needs a session. Changes what belongs to the caller.",
        Kind::Live => "Needs a session. Stores or publishes something for another user.",
    }
}

fn messages() -> Map<String, Value> {
    let named = |name: String, about: &str, headers: Value| {
        let message = json!({
            "name": name,
            "summary": about,
            "headers": headers,
            "payload": reference("schemas", &name),
        });
        (name, message)
    };
    let requests = api::METHODS
        .iter()
        .map(|method| named(request_name(method), &format!("A call of {method}."), of_request()));
    let replies = api::METHODS.iter().map(|method| {
        let about = format!("The reply to a call of {method} that succeeded.");
        named(reply_name(method), &about, of_reply(SENDS.contains(method)))
    });
    let events = events()
        .map(|event| named(event_name(event), &format!("The event {event}."), headers(&[], &[])));
    let failure = named(
        FAILURE.to_owned(),
        "The reply to a call that failed.",
        headers(
            &[
                (SERVICE_ERROR, json!({ "type": "string", "description": "The text (ADR-32)." })),
                (SERVICE_ERROR_CODE, json!({ "type": "string", "pattern": "^[0-9]{7}$" })),
            ],
            &[SERVICE_ERROR, SERVICE_ERROR_CODE],
        ),
    );
    let id = json!({ "type": "string", "description": "The messageID." });
    let push = named(
        PUSH.to_owned(),
        "A push for an offline user, in a work-queue stream for a push gateway.",
        headers(&[("Nats-Msg-Id", id)], &["Nats-Msg-Id"]),
    );
    requests.chain(replies).chain(events).chain([failure, push]).collect()
}

fn content_type() -> Value {
    json!({ "enum": [Encoding::Json.content_type(), Encoding::MessagePack.content_type()] })
}

/// The headers of a message that peerd sends: the encoding, and these.
fn headers(more: &[(&str, Value)], required: &[&str]) -> Value {
    let more = more.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone()));
    let all: Map<String, Value> =
        [(CONTENT_TYPE.to_owned(), content_type())].into_iter().chain(more).collect();
    let required: Vec<&str> = [CONTENT_TYPE].iter().chain(required).copied().collect();
    json!({ "type": "object", "properties": all, "required": required })
}

fn of_request() -> Value {
    json!({ "type": "object", "properties": { CONTENT_TYPE: content_type() } })
}

fn of_reply(is_of_send: bool) -> Value {
    let repeat = json!({ "const": "true", "description": "Marks the reply to a repeated send." });
    let of_send = [(PEER_DUPLICATE, repeat)];
    headers(if is_of_send { &of_send } else { &[] }, &[])
}

/// The definitions in the dialect of `AsyncAPI`: a reference has no other fields beside it.
fn schemas(definitions: Map<String, Value>) -> Map<String, Value> {
    let each = definitions.into_iter().map(|(name, mut schema)| {
        each_reference(&mut schema, &mut |reference| {
            *reference = format!("#/components/schemas/{}", target(reference));
        });
        apart(&mut schema);
        (name, schema)
    });
    each.collect()
}

/// Puts each reference that has other fields beside it into an `allOf`.
fn apart(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(apart),
        Value::Object(fields) => {
            fields.values_mut().for_each(apart);
            if fields.len() > 1
                && let Some(target) = fields.remove("$ref")
            {
                let mut all = vec![json!({ "$ref": target })];
                if let Some(Value::Array(others)) = fields.remove("allOf") {
                    all.extend(others);
                }
                fields.insert("allOf".to_owned(), all.into());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::schema::DEFINITIONS;

    #[test]
    fn a_reference_stands_alone() {
        let mut schema = json!({ "description": "d", "$ref": DEFINITIONS, "x": { "$ref": "a" } });
        apart(&mut schema);
        let expected =
            json!({ "description": "d", "allOf": [{ "$ref": DEFINITIONS }], "x": { "$ref": "a" } });
        assert_eq!(schema, expected);
    }
}
