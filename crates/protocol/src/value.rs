//! A body as a tree, read from either encoding with the same bounds and the same errors.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::encoding::Encoding;
use peerd_core::limits::{BODY_DEPTH_MAX, BODY_VALUES_MAX};
use peerd_core::rejection::Rejection;

/// The longest field name that an error shows.
const SHOWN_NAME_MAX: usize = 32;
/// Objects with up to this many fields, which are most, are checked for duplicates by pairwise
/// comparison.
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
    /// A negative whole number.
    Negative(i64),
    /// A fractional or out-of-range number, which no field of the protocol is.
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
        match encoding {
            Encoding::Json => {
                let state =
                    JsonState { left: Cell::new(BODY_VALUES_MAX), problem: Cell::default() };
                let seed = Seed { depth: BODY_DEPTH_MAX, state: &state };
                let mut deserializer = serde_json::Deserializer::from_slice(body);
                let value = seed.deserialize(&mut deserializer);
                let value = value.and_then(|value| deserializer.end().map(|()| value));
                value.map_err(|error| unreadable_json(body, &error, state.problem.take()))
            }
            Encoding::MessagePack => packed::decode(body, &Cell::new(BODY_VALUES_MAX)),
        }
    }
}

/// Why a body cannot be read.
#[derive(Debug)]
enum Problem {
    TooDeep,
    TooMany,
    /// The name of the field.
    Twice(String),
    NameNotText,
    NotUtf8,
    EndsEarly,
    GoesOn,
    /// A `MessagePack` extension type.
    Extension,
    /// The only byte that `MessagePack` does not use.
    Reserved,
    /// NaN or an infinity, which JSON does not have.
    NotFinite,
    /// Any other problem, as `serde_json` states it, without quoting the body.
    Syntax(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "is nested more than {BODY_DEPTH_MAX} levels deep"),
            Self::TooMany => write!(f, "has more than {BODY_VALUES_MAX} values"),
            // A name is shown only if it could be one of the protocol's: others may be the caller's
            // content.
            Self::Twice(name)
                if name.len() <= SHOWN_NAME_MAX
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                write!(f, "has the field {name} twice in one object")
            }
            Self::Twice(_) => f.write_str("has a field twice in one object"),
            Self::NameNotText => f.write_str("has a field name that is not text"),
            Self::NotUtf8 => f.write_str("has text that is not UTF-8"),
            Self::EndsEarly => f.write_str("ends before its value does"),
            Self::GoesOn => f.write_str("has bytes after its end"),
            Self::Extension => f.write_str("has a MessagePack extension type"),
            Self::Reserved => f.write_str("is not valid MessagePack: it has the byte c1"),
            Self::NotFinite => f.write_str("is not valid JSON: it has no NaN and no Infinity"),
            Self::Syntax(what) => write!(f, "is not valid JSON: {what}"),
        }
    }
}

fn unreadable(problem: &Problem, place: fmt::Arguments<'_>) -> Rejection {
    Rejection::invalid("body", format!("{problem} ({place})"))
}

fn unreadable_json(body: &[u8], error: &serde_json::Error, problem: Option<Problem>) -> Rejection {
    if let Err(not_text) = std::str::from_utf8(body)
        && problem.is_none()
    {
        return unreadable(&Problem::NotUtf8, format_args!("byte {}", not_text.valid_up_to()));
    }
    let (line, column) = (error.line(), error.column());
    let problem = problem.unwrap_or_else(|| json_problem(body, error));
    unreadable(&problem, format_args!("line {line}, column {column}"))
}

fn json_problem(body: &[u8], error: &serde_json::Error) -> Problem {
    if error.is_eof() {
        return Problem::EndsEarly;
    }
    // Only errors of the deserialized type quote their input, and this type accepts any.
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    if what == "trailing characters" {
        return Problem::GoesOn;
    }
    let lines = body.split(|byte| *byte == b'\n');
    let before = lines.take(error.line().saturating_sub(1)).map(|line| line.len() + 1);
    let at = before.sum::<usize>() + error.column();
    let near = &body[at.saturating_sub(2).min(body.len())..];
    let is_not_finite =
        |skip: usize| ["NaN", "Inf"].iter().any(|word| near[skip..].starts_with(word.as_bytes()));
    if (0..=2.min(near.len())).any(is_not_finite) {
        return Problem::NotFinite;
    }
    Problem::Syntax(what.to_owned())
}

/// The shared state of reading one JSON body.
struct JsonState {
    /// The number of values that it may still have.
    left: Cell<usize>,
    /// A problem that is not a JSON error.
    problem: Cell<Option<Problem>>,
}

/// Reads JSON.
#[derive(Clone, Copy)]
struct Seed<'c> {
    depth: usize,
    state: &'c JsonState,
}

impl Seed<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| self.fail(Problem::TooDeep))?;
        Ok(Self { depth, ..self })
    }

    fn fail<E: Error>(self, problem: Problem) -> E {
        self.state.problem.set(Some(problem));
        E::custom("unreadable")
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        let left = self.state.left.get().checked_sub(1);
        self.state.left.set(left.ok_or_else(|| self.fail(Problem::TooMany))?);
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
        Ok(u64::try_from(number).map_or(Value::Negative(number), Value::Number))
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
                return Err(self.fail(Problem::NameNotText));
            };
            fields.push((name, map.next_value_seed(seed)?));
        }
        object(fields).map_err(|name| self.fail(Problem::Twice(name)))
    }
}

/// Makes an object, or returns the name of a duplicate field: two services must not read one body
/// in two ways.
fn object<'a>(fields: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Value<'a>, String> {
    let twice = if fields.len() <= FEW_FIELDS {
        let mut before = (0..).zip(&fields);
        before.find_map(|(count, (name, _))| {
            fields.iter().take(count).any(|(known, _)| known == name).then(|| name.to_string())
        })
    } else {
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned())
    };
    twice.map_or(Ok(Value::Object(fields)), Err)
}

/// Reads `MessagePack` without serde, which takes text that is not UTF-8 for bytes and does not
/// report the bytes after a value.
mod packed {
    use std::borrow::Cow;
    use std::cell::Cell;

    use rmp::Marker;
    use rmp::decode::{RmpRead as _, read_marker};

    use super::{BODY_DEPTH_MAX, FEW_FIELDS, Problem, Rejection, Value, object, unreadable};

    /// A problem, and the number of bytes from there to the end.
    type Bad = (Problem, usize);

    /// Reads a body, to its end.
    pub(super) fn decode<'a>(body: &'a [u8], left: &Cell<usize>) -> Result<Value<'a>, Rejection> {
        let mut rest = body;
        let value = read(&mut rest, BODY_DEPTH_MAX, left).and_then(|value| {
            if rest.is_empty() { Ok(value) } else { Err((Problem::GoesOn, rest.len())) }
        });
        value.map_err(|(problem, left)| {
            unreadable(&problem, format_args!("byte {}", body.len().saturating_sub(left)))
        })
    }

    /// Reads a value from the front of `rest`. `depth` and `left` bound nesting and values.
    fn read<'a>(rest: &mut &'a [u8], depth: usize, left: &Cell<usize>) -> Result<Value<'a>, Bad> {
        let at = rest.len();
        left.set(left.get().checked_sub(1).ok_or((Problem::TooMany, at))?);
        let signed =
            |number: i64| u64::try_from(number).map_or(Value::Negative(number), Value::Number);
        Ok(match read_marker(rest).map_err(|_| ends(at))? {
            Marker::Null => Value::Null,
            Marker::True => Value::Flag(true),
            Marker::False => Value::Flag(false),
            Marker::FixPos(small) => Value::Number(small.into()),
            Marker::FixNeg(small) => Value::Negative(small.into()),
            Marker::U8 => Value::Number(rest.read_data_u8().map_err(|_| ends(at))?.into()),
            Marker::U16 => Value::Number(rest.read_data_u16().map_err(|_| ends(at))?.into()),
            Marker::U32 => Value::Number(rest.read_data_u32().map_err(|_| ends(at))?.into()),
            Marker::U64 => Value::Number(rest.read_data_u64().map_err(|_| ends(at))?),
            Marker::I8 => signed(rest.read_data_i8().map_err(|_| ends(at))?.into()),
            Marker::I16 => signed(rest.read_data_i16().map_err(|_| ends(at))?.into()),
            Marker::I32 => signed(rest.read_data_i32().map_err(|_| ends(at))?.into()),
            Marker::I64 => signed(rest.read_data_i64().map_err(|_| ends(at))?),
            Marker::F32 => take(rest, 4).map(|_| Value::OtherNumber)?,
            Marker::F64 => take(rest, 8).map(|_| Value::OtherNumber)?,
            Marker::FixStr(length) => text(rest, length.into())?,
            Marker::Str8 => length8(rest).and_then(|length| text(rest, length))?,
            Marker::Str16 => length16(rest).and_then(|length| text(rest, length))?,
            Marker::Str32 => length32(rest).and_then(|length| text(rest, length))?,
            Marker::Bin8 => length8(rest).and_then(|length| bytes(rest, length))?,
            Marker::Bin16 => length16(rest).and_then(|length| bytes(rest, length))?,
            Marker::Bin32 => length32(rest).and_then(|length| bytes(rest, length))?,
            Marker::FixArray(length) => list(rest, length.into(), depth, left)?,
            Marker::Array16 => length16(rest).and_then(|length| list(rest, length, depth, left))?,
            Marker::Array32 => length32(rest).and_then(|length| list(rest, length, depth, left))?,
            Marker::FixMap(length) => map(rest, length.into(), depth, left)?,
            Marker::Map16 => length16(rest).and_then(|length| map(rest, length, depth, left))?,
            Marker::Map32 => length32(rest).and_then(|length| map(rest, length, depth, left))?,
            // The protocol has no extension types.
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32 => return Err((Problem::Extension, at)),
            Marker::Reserved => return Err((Problem::Reserved, at)),
        })
    }

    const fn ends(at: usize) -> Bad {
        (Problem::EndsEarly, at)
    }

    fn length8(rest: &mut &[u8]) -> Result<usize, Bad> {
        let at = rest.len();
        rest.read_data_u8().map(usize::from).map_err(|_| ends(at))
    }

    fn length16(rest: &mut &[u8]) -> Result<usize, Bad> {
        let at = rest.len();
        rest.read_data_u16().map(usize::from).map_err(|_| ends(at))
    }

    fn length32(rest: &mut &[u8]) -> Result<usize, Bad> {
        let at = rest.len();
        let length = rest.read_data_u32().ok().and_then(|length| usize::try_from(length).ok());
        length.ok_or(ends(at))
    }

    fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Bad> {
        let (taken, after) = rest.split_at_checked(length).ok_or(ends(rest.len()))?;
        *rest = after;
        Ok(taken)
    }

    fn bytes<'a>(rest: &mut &'a [u8], length: usize) -> Result<Value<'a>, Bad> {
        take(rest, length).map(|bytes| Value::Bytes(Cow::Borrowed(bytes)))
    }

    fn text<'a>(rest: &mut &'a [u8], length: usize) -> Result<Value<'a>, Bad> {
        let at = rest.len();
        let text = std::str::from_utf8(take(rest, length)?);
        let text = text.map_err(|error| (Problem::NotUtf8, at - error.valid_up_to()))?;
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    // The declared lengths of lists and maps are trusted only up to a few entries, so that memory
    // grows with the actual content.

    fn list<'a>(
        rest: &mut &'a [u8],
        length: usize,
        depth: usize,
        left: &Cell<usize>,
    ) -> Result<Value<'a>, Bad> {
        let depth = depth.checked_sub(1).ok_or((Problem::TooDeep, rest.len()))?;
        let mut list = Vec::new();
        for _ in 0..length {
            list.push(read(rest, depth, left)?);
        }
        Ok(Value::List(list))
    }

    fn map<'a>(
        rest: &mut &'a [u8],
        length: usize,
        depth: usize,
        left: &Cell<usize>,
    ) -> Result<Value<'a>, Bad> {
        let at = rest.len();
        let depth = depth.checked_sub(1).ok_or((Problem::TooDeep, at))?;
        let mut fields = Vec::with_capacity(length.min(FEW_FIELDS));
        for _ in 0..length {
            let name_at = rest.len();
            let Value::Text(name) = read(rest, depth, left)? else {
                return Err((Problem::NameNotText, name_at));
            };
            fields.push((name, read(rest, depth, left)?));
        }
        object(fields).map_err(|name| (Problem::Twice(name), at))
    }
}

#[cfg(test)]
mod tests;
