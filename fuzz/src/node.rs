//! A body as a tree that can be written in both encodings.

use peerd_protocol::value::Value;

/// A value of a body.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Flag(bool),
    Number(u64),
    /// Below 0.
    Negative(i64),
    Fraction,
    Text(String),
    /// `bin` in `MessagePack`, base64 text in JSON.
    Bytes(Vec<u8>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    /// A list with repetitions of one value: a large body from a small input.
    Repeated(Box<Node>, u16),
    /// Nested lists.
    Nested(u8, Box<Node>),
}

impl Node {
    pub(super) fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Number(number) => Self::Number(*number),
            Value::Negative(number) => Self::Negative(*number),
            Value::OtherNumber => Self::Fraction,
            Value::Text(text) => Self::Text(text.to_string()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Value::List(list) => Self::List(list.iter().map(Self::of).collect()),
            Value::Object(fields) => {
                let fields = fields.iter();
                Self::Object(
                    fields.map(|(name, value)| (name.to_string(), Self::of(value))).collect(),
                )
            }
        }
    }

    /// Whether it contains bytes, which the two encodings write differently.
    pub(super) fn has_bytes(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::List(list) => list.iter().any(Self::has_bytes),
            Self::Object(fields) => fields.iter().any(|(_, value)| value.has_bytes()),
            Self::Repeated(inner, _) | Self::Nested(_, inner) => inner.has_bytes(),
            Self::Null
            | Self::Flag(_)
            | Self::Number(_)
            | Self::Negative(_)
            | Self::Fraction
            | Self::Text(_) => false,
        }
    }

    /// Its approximate size as JSON.
    pub(super) fn size(&self) -> usize {
        let list = |list: &[Self]| list.iter().map(Self::size).fold(2, usize::saturating_add);
        match self {
            Self::Text(text) => 2 + text.len(),
            Self::Bytes(bytes) => 2 + bytes.len() * 2,
            Self::List(values) => list(values),
            Self::Object(fields) => {
                let field =
                    |(name, value): &(String, Self)| value.size().saturating_add(name.len());
                fields.iter().map(field).fold(2, usize::saturating_add)
            }
            Self::Repeated(inner, times) => {
                let all = inner.size().saturating_mul(usize::from(*times));
                all.saturating_add(2)
            }
            Self::Nested(depth, inner) => inner.size().saturating_add(usize::from(*depth)),
            Self::Null | Self::Flag(_) | Self::Number(_) | Self::Negative(_) | Self::Fraction => 2,
        }
    }

    pub(super) fn packed(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.pack(&mut out);
        out
    }

    fn pack(&self, out: &mut Vec<u8>) {
        use rmp::encode as to;
        const FITS: &str = "a Vec takes everything";
        let length = |length: usize| u32::try_from(length).expect("a small tree");
        match self {
            Self::Null => to::write_nil(out).expect(FITS),
            Self::Flag(flag) => to::write_bool(out, *flag).expect(FITS),
            Self::Number(number) => {
                to::write_uint(out, *number).expect(FITS);
            }
            Self::Negative(number) => {
                to::write_sint(out, *number).expect(FITS);
            }
            Self::Fraction => to::write_f64(out, 0.5).expect(FITS),
            Self::Text(text) => to::write_str(out, text).expect(FITS),
            Self::Bytes(bytes) => to::write_bin(out, bytes).expect(FITS),
            Self::List(list) => {
                to::write_array_len(out, length(list.len())).expect(FITS);
                for value in list {
                    value.pack(out);
                }
            }
            Self::Object(fields) => {
                to::write_map_len(out, length(fields.len())).expect(FITS);
                for (name, value) in fields {
                    to::write_str(out, name).expect(FITS);
                    value.pack(out);
                }
            }
            Self::Repeated(inner, times) => {
                to::write_array_len(out, u32::from(*times)).expect(FITS);
                let one = inner.packed();
                (0..*times).for_each(|_| out.extend(&one));
            }
            Self::Nested(depth, inner) => {
                for _ in 0..*depth {
                    to::write_array_len(out, 1).expect(FITS);
                }
                inner.pack(out);
            }
        }
    }

    pub(super) fn json(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write_json(&mut out);
        out.into_bytes()
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Negative(number) => out.push_str(&number.to_string()),
            Self::Fraction => out.push_str("0.5"),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::Bytes(bytes) => out.push_str(&quoted(&base64(bytes))),
            Self::List(list) => items(out, list.iter().map(Self::json_text)),
            Self::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
            Self::Repeated(inner, times) => {
                items(out, std::iter::repeat_n(inner.json_text(), usize::from(*times)));
            }
            Self::Nested(depth, inner) => {
                out.push_str(&"[".repeat(usize::from(*depth)));
                inner.write_json(out);
                out.push_str(&"]".repeat(usize::from(*depth)));
            }
        }
    }

    fn json_text(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }
}

fn items(out: &mut String, texts: impl Iterator<Item = String>) {
    out.push('[');
    for (index, text) in texts.enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        out.push_str(&text);
    }
    out.push(']');
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
