//! A body as a tree, read from either encoding with the same bounds and the same errors.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::encoding::Encoding;
use crate::domain::rejection::Rejection;

/// Deepest nesting of a body. Four Combine messages in each other with a Multiple inside need 13.
const DEPTH_MAX: usize = 24;
/// Most values of a body, so that a small body cannot become a large tree.
const VALUES_MAX: usize = 20_000;
/// As many fields as most objects have: so many are compared with each other one by one.
const FEW_FIELDS: usize = 8;

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
        match encoding {
            Encoding::Json => {
                let seed = Seed { depth: DEPTH_MAX, left: &left };
                let mut deserializer = serde_json::Deserializer::from_slice(body);
                let value = seed.deserialize(&mut deserializer);
                value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
                    // serde_json's text may quote the body; its place does not.
                    let (line, column) = (error.line(), error.column());
                    unreadable(&format!("is not valid JSON (line {line}, column {column})"))
                })
            }
            Encoding::MessagePack => {
                let mut rest = body;
                let value = packed::read(&mut rest, DEPTH_MAX, &left)
                    .ok_or_else(|| unreadable("is not valid MessagePack"))?;
                if rest.is_empty() { Ok(value) } else { Err(unreadable("has bytes after its end")) }
            }
        }
    }
}

fn unreadable(problem: &str) -> Rejection {
    Rejection::invalid("body", format!("{problem}, or is nested too deeply or too large"))
}

/// Reads JSON.
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
            fields.push((name, map.next_value_seed(seed)?));
        }
        object(fields).ok_or_else(|| A::Error::custom("a field that is there twice"))
    }
}

/// An object, unless it has a field twice: two services must not read one body in two ways.
fn object<'a>(fields: Vec<(Cow<'a, str>, Value<'a>)>) -> Option<Value<'a>> {
    let is_unique = if fields.len() <= FEW_FIELDS {
        let mut before = (0..).zip(&fields);
        before.all(|(count, (name, _))| fields.iter().take(count).all(|(known, _)| known != name))
    } else {
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    };
    is_unique.then_some(Value::Object(fields))
}

/// Reads `MessagePack`. Not by way of serde, which takes a text that is not UTF-8 for bytes and
/// does not tell what is left after a value.
mod packed {
    use std::borrow::Cow;
    use std::cell::Cell;

    use rmp::Marker;
    use rmp::decode::{RmpRead as _, read_marker};

    use super::{FEW_FIELDS, Value, object};

    /// Reads a value off the front of `rest`. `depth` and `left` bound nesting and values.
    pub(super) fn read<'a>(
        rest: &mut &'a [u8],
        depth: usize,
        left: &Cell<usize>,
    ) -> Option<Value<'a>> {
        left.set(left.get().checked_sub(1)?);
        let number = |number: Option<i64>| {
            number.map(|number| u64::try_from(number).map_or(Value::OtherNumber, Value::Number))
        };
        match read_marker(rest).ok()? {
            Marker::Null => Some(Value::Null),
            Marker::True => Some(Value::Flag(true)),
            Marker::False => Some(Value::Flag(false)),
            Marker::FixPos(small) => Some(Value::Number(small.into())),
            Marker::FixNeg(_) => Some(Value::OtherNumber),
            Marker::U8 => Some(Value::Number(rest.read_data_u8().ok()?.into())),
            Marker::U16 => Some(Value::Number(rest.read_data_u16().ok()?.into())),
            Marker::U32 => Some(Value::Number(rest.read_data_u32().ok()?.into())),
            Marker::U64 => Some(Value::Number(rest.read_data_u64().ok()?)),
            Marker::I8 => number(rest.read_data_i8().ok().map(i64::from)),
            Marker::I16 => number(rest.read_data_i16().ok().map(i64::from)),
            Marker::I32 => number(rest.read_data_i32().ok().map(i64::from)),
            Marker::I64 => number(rest.read_data_i64().ok()),
            Marker::F32 => take(rest, 4).map(|_| Value::OtherNumber),
            Marker::F64 => take(rest, 8).map(|_| Value::OtherNumber),
            Marker::FixStr(length) => text(rest, length.into()),
            Marker::Str8 => length8(rest).and_then(|length| text(rest, length)),
            Marker::Str16 => length16(rest).and_then(|length| text(rest, length)),
            Marker::Str32 => length32(rest).and_then(|length| text(rest, length)),
            Marker::Bin8 => length8(rest).and_then(|length| bytes(rest, length)),
            Marker::Bin16 => length16(rest).and_then(|length| bytes(rest, length)),
            Marker::Bin32 => length32(rest).and_then(|length| bytes(rest, length)),
            Marker::FixArray(length) => list(rest, length.into(), depth, left),
            Marker::Array16 => length16(rest).and_then(|length| list(rest, length, depth, left)),
            Marker::Array32 => length32(rest).and_then(|length| list(rest, length, depth, left)),
            Marker::FixMap(length) => map(rest, length.into(), depth, left),
            Marker::Map16 => length16(rest).and_then(|length| map(rest, length, depth, left)),
            Marker::Map32 => length32(rest).and_then(|length| map(rest, length, depth, left)),
            // Nothing in the protocol is an extension.
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32
            | Marker::Reserved => None,
        }
    }

    fn length8(rest: &mut &[u8]) -> Option<usize> {
        rest.read_data_u8().ok().map(usize::from)
    }

    fn length16(rest: &mut &[u8]) -> Option<usize> {
        rest.read_data_u16().ok().map(usize::from)
    }

    fn length32(rest: &mut &[u8]) -> Option<usize> {
        rest.read_data_u32().ok().and_then(|length| usize::try_from(length).ok())
    }

    fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (taken, after) = rest.split_at_checked(length)?;
        *rest = after;
        Some(taken)
    }

    fn bytes<'a>(rest: &mut &'a [u8], length: usize) -> Option<Value<'a>> {
        take(rest, length).map(|bytes| Value::Bytes(Cow::Borrowed(bytes)))
    }

    fn text<'a>(rest: &mut &'a [u8], length: usize) -> Option<Value<'a>> {
        let text = std::str::from_utf8(take(rest, length)?).ok()?;
        Some(Value::Text(Cow::Borrowed(text)))
    }

    // The lengths that lists and maps claim are not believed beyond a few: memory grows with what
    // is there.

    fn list<'a>(
        rest: &mut &'a [u8],
        length: usize,
        depth: usize,
        left: &Cell<usize>,
    ) -> Option<Value<'a>> {
        let depth = depth.checked_sub(1)?;
        let mut list = Vec::new();
        for _ in 0..length {
            list.push(read(rest, depth, left)?);
        }
        Some(Value::List(list))
    }

    fn map<'a>(
        rest: &mut &'a [u8],
        length: usize,
        depth: usize,
        left: &Cell<usize>,
    ) -> Option<Value<'a>> {
        let depth = depth.checked_sub(1)?;
        let mut fields = Vec::with_capacity(length.min(FEW_FIELDS));
        for _ in 0..length {
            let Value::Text(name) = read(rest, depth, left)? else { return None };
            fields.push((name, read(rest, depth, left)?));
        }
        object(fields)
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
        assert!(Value::decode(Encoding::MessagePack, &vec![0x91; 100_000]).is_err());
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for bad in ["{", "{} {}", "nul", "{\"a\":1,\"a\":2}"] {
            assert!(Value::decode(Encoding::Json, bad.as_bytes()).is_err(), "{bad}");
        }
        // Few fields and many: they are compared in different ways.
        for count in [2, FEW_FIELDS, FEW_FIELDS + 1, 3 * FEW_FIELDS] {
            let field = |number: usize| format!("\"f{number}\":0");
            let mut fields: Vec<String> = (0..count).map(field).collect();
            let good = format!("{{{}}}", fields.join(","));
            assert!(both(&good).iter().all(Result::is_ok), "{good}");
            for (one, other) in [(0, count - 1), (count - 2, count - 1), (0, 1)] {
                let kept = std::mem::replace(&mut fields[other], field(one));
                let bad = format!("{{{}}}", fields.join(","));
                assert!(Value::decode(Encoding::Json, bad.as_bytes()).is_err(), "{bad}");
                fields[other] = kept;
            }
        }
        let bad: [&[u8]; 8] = [
            &[0xc1],
            &[0x80, 0x80],
            &[0x81, 0xa1, b'a'],
            &[0x81, 1, 1],
            &[0xd9, 9, b'a'],
            &[0xa1, 0xff],
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
            &[0x82, 0xa1, b'a', 1, 0xa1, b'a', 2],
        ];
        for bad in bad {
            assert!(Value::decode(Encoding::MessagePack, bad).is_err(), "{bad:?}");
        }
        assert_eq!(Value::decode(Encoding::Json, b""), Ok(Value::Object(vec![])));
    }
}
