//! A body as a tree, read from either encoding with the same bounds and the same errors.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::encoding::Encoding;
use crate::domain::rejection::Rejection;

/// Deepest nesting of a body. Four Combine messages in each other with a Multiple inside need 13.
const DEPTH_MAX: usize = 24;
/// Most values of a body, so that a small body cannot become a large tree.
const VALUES_MAX: usize = 20_000;

/// A value of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// null or nil.
    Null,
    /// true or false.
    Flag(bool),
    /// A whole number from 0 on.
    Number(u64),
    /// A number below 0, or with a fraction, or past the range: nothing in the protocol is one.
    OtherNumber,
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes; `MessagePack` only.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object. No name occurs twice.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Reads a body. An empty one is an empty object.
    pub fn decode(encoding: Encoding, body: &'a [u8]) -> Result<Self, Rejection> {
        if body.is_empty() {
            return Ok(Self::Object(Vec::new()));
        }
        let left = Cell::new(VALUES_MAX);
        let seed = Seed { depth: DEPTH_MAX, left: &left };
        match encoding {
            Encoding::Json => {
                let mut deserializer = serde_json::Deserializer::from_slice(body);
                let value = seed.deserialize(&mut deserializer);
                value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
                    // serde_json's text may quote the body; its place does not.
                    let (line, column) = (error.line(), error.column());
                    unreadable(&format!("is not valid JSON (line {line}, column {column})"))
                })
            }
            Encoding::MessagePack => {
                let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
                let value = seed
                    .deserialize(&mut deserializer)
                    .map_err(|_| unreadable("is not valid MessagePack"))?;
                // rmp-serde does not tell how far it read, but it tells when nothing is left.
                match serde::de::IgnoredAny::deserialize(&mut deserializer) {
                    Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
                    Ok(_) | Err(_) => Err(unreadable("has bytes after its end")),
                }
            }
        }
    }
}

fn unreadable(problem: &str) -> Rejection {
    Rejection::invalid("body", format!("{problem}, or is nested too deeply or too large"))
}

#[derive(Clone, Copy)]
struct Seed<'c> {
    depth: usize,
    left: &'c Cell<usize>,
}

impl Seed<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too large"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value<'de>, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(number).map_or(Value::OtherNumber, Value::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text)))
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Value<'de>, E> {
        Ok(Value::Bytes(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value<'de>, E> {
        Ok(Value::Bytes(Cow::Owned(bytes.to_vec())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(seed)? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut fields: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(name) = map.next_key_seed(seed)? {
            let Value::Text(name) = name else {
                return Err(A::Error::custom("a field name that is not text"));
            };
            // Two services must not read one body in two ways. Objects of the protocol are small;
            // the bound on values bounds this walk for all others.
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("a field that is there twice"));
            }
            fields.push((name, map.next_value_seed(seed)?));
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(json: &str) -> [Result<Value<'static>, Rejection>; 2] {
        let json: &'static [u8] = json.to_owned().leak().as_bytes();
        let value: serde_json::Value = serde_json::from_slice(json).expect("valid JSON");
        let packed: &'static [u8] = rmp_serde::to_vec_named(&value).expect("packs").leak();
        [Value::decode(Encoding::Json, json), Value::decode(Encoding::MessagePack, packed)]
    }

    #[test]
    fn both_encodings_give_the_same_tree() {
        let [json, packed] =
            both(r#"{"a":1,"b":[true,null,"x"],"c":{"d":-1,"e":1.5,"f":18446744073709551615}}"#);
        assert_eq!(json, packed);
        assert!(json.is_ok());
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        for (json, good) in [
            ("[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX), true),
            ("[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1), false),
            (format!("[{}1]", "1,".repeat(VALUES_MAX - 2)), true),
            (format!("[{}1]", "1,".repeat(VALUES_MAX)), false),
        ] {
            for value in both(&json) {
                assert_eq!(value.is_ok(), good);
            }
        }
        let deep = "[".repeat(100_000);
        assert!(Value::decode(Encoding::Json, deep.as_bytes()).is_err());
        assert!(Value::decode(Encoding::MessagePack, &[0x91; 100_000]).is_err());
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for bad in ["{", "{} {}", "nul", "{\"a\":1,\"a\":2}"] {
            assert!(Value::decode(Encoding::Json, bad.as_bytes()).is_err(), "{bad}");
        }
        let bad: [&[u8]; 5] =
            [&[0xc1], &[0x80, 0x80], &[0x81, 0xa1, b'a'], &[0x81, 1, 1], &[0xd9, 9, b'a']];
        for bad in bad {
            assert!(Value::decode(Encoding::MessagePack, bad).is_err(), "{bad:?}");
        }
        assert_eq!(Value::decode(Encoding::Json, b""), Ok(Value::Object(vec![])));
    }
}
