//! Both encodings of bodies, as the contract describes them, converted to JSON values.
//!
//! Bytes are `{"$bin": "<base64>"}` here: `bin` in `MessagePack`, base64 text in JSON.

use async_nats::HeaderMap;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

const BIN_KEY: &str = "$bin";
pub(crate) const CONTENT_TYPE: &str = "Content-Type";
const JSON_TYPE: &str = "application/json";
const MSGPACK_TYPE: &str = "application/msgpack";

/// The two encodings of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/msgpack`
    MessagePack,
}

impl Encoding {
    /// Both, for tests of each.
    pub const BOTH: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON_TYPE,
            Self::MessagePack => MSGPACK_TYPE,
        }
    }

    /// The encoding that a reply or an event declares.
    pub fn of_headers(headers: Option<&HeaderMap>) -> Option<Self> {
        match headers?.get(CONTENT_TYPE)?.as_str() {
            JSON_TYPE => Some(Self::Json),
            MSGPACK_TYPE => Some(Self::MessagePack),
            other => panic!("unknown Content-Type {other:?}"),
        }
    }

    /// The encoding of a request according to the contract; `None` for an empty body without a
    /// header.
    pub(crate) fn of_request(headers: Option<&HeaderMap>, body: &[u8]) -> Option<Self> {
        let named = headers.and_then(|headers| headers.get(CONTENT_TYPE));
        match (named.map(async_nats::HeaderValue::as_str), body.first()) {
            (Some(JSON_TYPE), _) | (None, Some(b'{' | b' ' | b'\t' | b'\r' | b'\n')) => {
                Some(Self::Json)
            }
            (Some(MSGPACK_TYPE), _) | (None, Some(_)) => Some(Self::MessagePack),
            (Some(_), _) | (None, None) => None,
        }
    }
}

/// Bytes as a value for a request.
pub fn bin(bytes: &[u8]) -> Value {
    json!({ BIN_KEY: STANDARD.encode(bytes) })
}

/// A body in that encoding.
pub fn encode(encoding: Encoding, value: &Value) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::to_vec(&bin_as_text(value)).unwrap(),
        Encoding::MessagePack => {
            let mut bytes = Vec::new();
            rmpv::encode::write_value(&mut bytes, &to_msgpack(value)).unwrap();
            bytes
        }
    }
}

/// Reads a body in an encoding; panics with the bytes if it is invalid or bytes follow it.
pub fn decode(encoding: Encoding, bytes: &[u8]) -> Value {
    match encoding {
        Encoding::Json => serde_json::from_slice(bytes)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", bytes.escape_ascii())),
        Encoding::MessagePack => {
            let mut rest = bytes;
            let value = rmpv::decode::read_value(&mut rest).unwrap_or_else(|error| {
                panic!("not MessagePack ({error}): {}", bytes.escape_ascii())
            });
            assert!(rest.is_empty(), "bytes after the body: {}", rest.escape_ascii());
            from_msgpack(value)
        }
    }
}

fn bin_text(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get(BIN_KEY)?.as_str()
}

fn bin_as_text(value: &Value) -> Value {
    if let Some(text) = bin_text(value) {
        return Value::from(text);
    }
    match value {
        Value::Array(items) => items.iter().map(bin_as_text).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| (name.clone(), bin_as_text(field)))
                .collect::<Map<_, _>>(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn to_msgpack(value: &Value) -> rmpv::Value {
    if let Some(text) = bin_text(value) {
        return rmpv::Value::Binary(STANDARD.decode(text).unwrap());
    }
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(flag) => rmpv::Value::Boolean(*flag),
        Value::Number(number) => number_to_msgpack(number),
        Value::String(text) => rmpv::Value::from(text.as_str()),
        Value::Array(items) => rmpv::Value::Array(items.iter().map(to_msgpack).collect()),
        Value::Object(fields) => rmpv::Value::Map(
            fields
                .iter()
                .map(|(name, field)| (rmpv::Value::from(name.as_str()), to_msgpack(field)))
                .collect(),
        ),
    }
}

fn number_to_msgpack(number: &serde_json::Number) -> rmpv::Value {
    number
        .as_u64()
        .map(rmpv::Value::from)
        .or_else(|| number.as_i64().map(rmpv::Value::from))
        .or_else(|| number.as_f64().map(rmpv::Value::from))
        .unwrap()
}

fn from_msgpack(value: rmpv::Value) -> Value {
    match value {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(flag) => Value::from(flag),
        rmpv::Value::Integer(number) => {
            number.as_u64().map(Value::from).or_else(|| number.as_i64().map(Value::from)).unwrap()
        }
        rmpv::Value::F32(number) => Value::from(number),
        rmpv::Value::F64(number) => Value::from(number),
        rmpv::Value::String(text) => Value::from(text.into_str().expect("a UTF-8 string")),
        rmpv::Value::Binary(bytes) => bin(&bytes),
        rmpv::Value::Array(items) => items.into_iter().map(from_msgpack).collect(),
        rmpv::Value::Map(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, field)| {
                    let name = name.as_str().expect("a field name").to_owned();
                    (name, from_msgpack(field))
                })
                .collect::<Map<_, _>>(),
        ),
        rmpv::Value::Ext(kind, _) => panic!("a MessagePack extension of kind {kind} in a body"),
    }
}
