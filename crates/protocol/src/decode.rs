//! A serde deserializer that reads requests from the tree of a body. Its errors name the field by
//! its path, as `message.messageInfoList[1].message`.
//!
//! The rules that all requests share are here, so that a request is a plain struct with derives:
//!
//! - Unknown fields are ignored, and null is the same as a field left out.
//! - Fields are read in the order in which the struct declares them, not in that of the body. Of
//!   several errors the same one is answered in both encodings.
//! - An enum is an object whose number `type` names the variant: `#[serde(rename = "1")]`.
//! - A tuple struct is one object that is read once for each part ([`crate::field::Both`]).
//! - Bytes are `bin`, or base64 text in JSON.
//! - An error says what the field must be and never quotes what it is.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::encoding::Encoding;
use super::value::Value;
use peerd_core::limits::NUMBER_MAX;
use peerd_core::rejection::Rejection;

/// The name of the newtype that requests the check of a user ID, whose maximum length is
/// configured.
pub(super) const USER_ID: &str = "peerd::UserID";
/// The field that names the variant of an enum.
const TAG: &str = "type";

/// Reads a request. User IDs in it have `user_id_bytes` at most.
pub fn request<T: DeserializeOwned>(
    encoding: Encoding,
    body: &[u8],
    user_id_bytes: usize,
) -> Result<T, Rejection> {
    let value = Value::decode(encoding, body)?;
    if !matches!(value, Value::Object(_)) {
        return Err(Rejection::invalid("body", "must be an object"));
    }
    let tree = Tree { value: &value, is_json: encoding == Encoding::Json, user_id_bytes };
    T::deserialize(tree).map_err(|Invalid { path, problem }| Rejection::invalid(path, problem))
}

/// An error about a field. Its path is built while leaving the tree, so that it costs nothing
/// without an error.
#[derive(Debug)]
struct Invalid {
    path: String,
    problem: Cow<'static, str>,
}

impl Invalid {
    fn here(problem: impl Into<Cow<'static, str>>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }

    fn in_field(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    fn in_item(self, index: usize) -> Self {
        self.in_field(&format!("[{index}]"))
    }
}

impl Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.problem)
    }
}

impl std::error::Error for Invalid {}

impl de::Error for Invalid {
    fn custom<T: Display>(problem: T) -> Self {
        Self::here(problem.to_string())
    }

    // The value that was found is the caller's content: no error repeats it.

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::here(format!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::here(format!("must be {expected}"))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::here(format!("must be {expected}"))
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::here("is not one of its values")
    }

    fn missing_field(name: &'static str) -> Self {
        Self { path: name.to_owned(), problem: Cow::Borrowed("is missing") }
    }
}

type Fields<'v> = [(Cow<'v, str>, Value<'v>)];

/// A value of the body, and how to read it.
#[derive(Clone, Copy)]
struct Tree<'v> {
    value: &'v Value<'v>,
    is_json: bool,
    user_id_bytes: usize,
}

impl<'v> Tree<'v> {
    const fn at(self, value: &'v Value<'v>) -> Self {
        Self { value, ..self }
    }

    fn text(self) -> Result<&'v str, Invalid> {
        let Value::Text(text) = self.value else {
            return Err(Invalid::here("must be a text"));
        };
        Ok(text)
    }

    /// A whole number up to `max`, and up to the largest that every JSON reader represents exactly.
    fn number(self, max: u64) -> Result<u64, Invalid> {
        let max = max.min(NUMBER_MAX);
        match self.value {
            Value::Number(number) if *number <= max => Ok(*number),
            Value::Number(_) | Value::Negative(_) | Value::OtherNumber => {
                Err(Invalid::here(format!("must be a whole number from 0 to {max}")))
            }
            Value::Null
            | Value::Flag(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::List(_)
            | Value::Object(_) => Err(Invalid::here("must be a number")),
        }
    }

    fn object(self) -> Result<&'v Fields<'v>, Invalid> {
        let Value::Object(fields) = self.value else {
            return Err(Invalid::here("must be an object"));
        };
        Ok(fields)
    }
}

/// A field, if it is there.
fn find<'v>(fields: &'v Fields<'v>, name: &str) -> Option<&'v Value<'v>> {
    let found = fields.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value).filter(|value| !matches!(value, Value::Null))
}

macro_rules! numbers {
    ($($method:ident: $max:expr,)+) => {
        $(fn $method<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
            visitor.visit_u64(self.number($max)?)
        })+
    };
}

impl<'v> Deserializer<'v> for Tree<'v> {
    type Error = Invalid;

    numbers! {
        deserialize_u8: u8::MAX.into(),
        deserialize_u16: u16::MAX.into(),
        deserialize_u32: u32::MAX.into(),
        deserialize_u64: u64::MAX,
    }

    forward_to_deserialize_any! { <W: Visitor<'v>> i8 i16 i32 i128 u128 f32 f64 char unit unit_struct }

    fn deserialize_i64<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        if let Value::Negative(number) = self.value {
            return visitor.visit_i64(*number);
        }
        self.deserialize_u64(visitor)
    }

    fn deserialize_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::Number(_) | Value::Negative(_) | Value::OtherNumber => {
                self.deserialize_u64(visitor)
            }
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        let Value::Flag(flag) = self.value else {
            return Err(Invalid::here("must be true or false"));
        };
        visitor.visit_bool(*flag)
    }

    fn deserialize_str<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        use base64::Engine as _;
        if !self.is_json {
            let Value::Bytes(bytes) = self.value else {
                return Err(Invalid::here("must be bytes (bin)"));
            };
            return visitor.visit_borrowed_bytes(bytes);
        }
        let base64 = base64::engine::general_purpose::STANDARD;
        let bytes = self.text().ok().and_then(|text| base64.decode(text).ok());
        visitor.visit_byte_buf(bytes.ok_or_else(|| Invalid::here("must be base64 text"))?)
    }

    fn deserialize_byte_buf<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        if matches!(self.value, Value::Null) {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        if name == USER_ID {
            let (length, max) = (self.text()?.len(), self.user_id_bytes);
            if length == 0 || length > max {
                return Err(Invalid::here(format!("must be 1 to {max} bytes")));
            }
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        let Value::List(list) = self.value else {
            return Err(Invalid::here("must be a list"));
        };
        visitor.visit_seq(Items { tree: self, list, index: 0 })
    }

    fn deserialize_tuple<V: Visitor<'v>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        visitor.visit_seq(Parts { tree: self, left: length })
    }

    fn deserialize_map<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        let fields = self.object()?.iter();
        visitor.visit_map(AllFields { tree: self, fields, value: None })
    }

    fn deserialize_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        let fields = self.object()?;
        visitor.visit_map(NamedFields { tree: self, fields, names, value: None })
    }

    fn deserialize_enum<V: Visitor<'v>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        let tag = find(self.object()?, TAG).ok_or_else(|| de::Error::missing_field(TAG))?;
        let number = self.at(tag).number(u16::MAX.into()).map_err(|error| error.in_field(TAG))?;
        let mut numbers = (0..).zip(variants).map(|(index, name)| (index, name.parse()));
        let Some((index, _)) = numbers.find(|(_, known)| *known == Ok(number)) else {
            let problem = format!("is not {}", &visitor as &dyn Expected);
            return Err(Invalid::here(problem).in_field(TAG));
        };
        visitor.visit_enum(Variant { tree: self, index })
    }

    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        self.is_json
    }
}

/// The items of a list.
struct Items<'v> {
    tree: Tree<'v>,
    list: &'v [Value<'v>],
    index: usize,
}

impl<'v> SeqAccess<'v> for Items<'v> {
    type Error = Invalid;

    fn next_element_seed<T: DeserializeSeed<'v>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Invalid> {
        let Some(value) = self.list.get(self.index) else { return Ok(None) };
        let read = seed.deserialize(self.tree.at(value));
        let read = read.map_err(|error| error.in_item(self.index))?;
        self.index += 1;
        Ok(Some(read))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.list.len().saturating_sub(self.index))
    }
}

/// The same value, for each part of a tuple struct.
struct Parts<'v> {
    tree: Tree<'v>,
    left: usize,
}

impl<'v> SeqAccess<'v> for Parts<'v> {
    type Error = Invalid;

    fn next_element_seed<T: DeserializeSeed<'v>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Invalid> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.tree).map(Some)
    }
}

/// All fields of an object.
struct AllFields<'v> {
    tree: Tree<'v>,
    fields: std::slice::Iter<'v, (Cow<'v, str>, Value<'v>)>,
    value: Option<(&'v str, &'v Value<'v>)>,
}

impl<'v> MapAccess<'v> for AllFields<'v> {
    type Error = Invalid;

    fn next_key_seed<K: DeserializeSeed<'v>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Invalid> {
        let next = self.fields.find(|(_, value)| !matches!(value, Value::Null));
        let Some((name, value)) = next else { return Ok(None) };
        self.value = Some((name, value));
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Result<T::Value, Invalid> {
        value_of(self.tree, self.value.take(), seed)
    }
}

/// The fields of an object that a struct has, in the order of the struct.
struct NamedFields<'v> {
    tree: Tree<'v>,
    fields: &'v Fields<'v>,
    names: &'static [&'static str],
    value: Option<(&'v str, &'v Value<'v>)>,
}

impl<'v> MapAccess<'v> for NamedFields<'v> {
    type Error = Invalid;

    fn next_key_seed<K: DeserializeSeed<'v>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Invalid> {
        while let Some((name, rest)) = self.names.split_first() {
            self.names = rest;
            if let Some(value) = find(self.fields, name) {
                self.value = Some((name, value));
                return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Result<T::Value, Invalid> {
        value_of(self.tree, self.value.take(), seed)
    }
}

fn value_of<'v, T: DeserializeSeed<'v>>(
    tree: Tree<'v>,
    field: Option<(&'v str, &'v Value<'v>)>,
    seed: T,
) -> Result<T::Value, Invalid> {
    let (name, value) = field.ok_or_else(|| Invalid::here("has a value without a name"))?;
    seed.deserialize(tree.at(value)).map_err(|error| error.in_field(name))
}

/// The variant of an enum, and the object that has its fields.
struct Variant<'v> {
    tree: Tree<'v>,
    index: u32,
}

impl<'v> EnumAccess<'v> for Variant<'v> {
    type Error = Invalid;
    type Variant = Tree<'v>;

    fn variant_seed<T: DeserializeSeed<'v>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Tree<'v>), Invalid> {
        let variant = seed.deserialize(U32Deserializer::new(self.index))?;
        Ok((variant, self.tree))
    }
}

impl<'v> VariantAccess<'v> for Tree<'v> {
    type Error = Invalid;

    fn unit_variant(self) -> Result<(), Invalid> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'v>>(self, seed: T) -> Result<T::Value, Invalid> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'v>>(self, length: usize, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_seq(Parts { tree: self, left: length })
    }

    fn struct_variant<V: Visitor<'v>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests;
