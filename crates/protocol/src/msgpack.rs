//! Writes `MessagePack`. The bytes are those of rmp-serde, which reads them. Unlike rmp-serde it
//! writes into a buffer in memory, so that a field compiles to a few instructions: a send writes
//! six bodies.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::block::Buffer;

/// A value that has no form in `MessagePack`, or cannot be serialized. This is a fault in peerd.
#[derive(Debug, thiserror::Error)]
#[error("a value cannot be written as MessagePack: {0}")]
pub struct Error(String);

impl ser::Error for Error {
    fn custom<T: Display>(problem: T) -> Self {
        Self(problem.to_string())
    }
}

/// Appends a value. Structs are maps by the names of their fields, as bodies have them.
pub fn append_named(out: &mut Buffer, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    value.serialize(Writer::<true> { out })
}

/// Appends a value. Structs are arrays of their fields, as records and owner requests have them.
pub fn append(out: &mut Buffer, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    value.serialize(Writer::<false> { out })
}

#[inline]
fn number(out: &mut Buffer, number: u64) {
    if let Ok(short @ ..=0x7f) = u8::try_from(number) {
        out.push(short);
    } else {
        large_number(out, number);
    }
}

fn large_number(out: &mut Buffer, number: u64) {
    if let Ok(number) = u8::try_from(number) {
        out.append(&[0xcc, number]);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(0xcd);
        out.append(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(0xce);
        out.append(&number.to_be_bytes());
    } else {
        out.push(0xcf);
        out.append(&number.to_be_bytes());
    }
}

fn negative(out: &mut Buffer, number: i64) {
    if let Ok(short @ -32..) = i8::try_from(number) {
        out.append(&short.to_be_bytes());
    } else if let Ok(number) = i8::try_from(number) {
        out.push(0xd0);
        out.append(&number.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.append(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.append(&number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.append(&number.to_be_bytes());
    }
}

#[inline]
fn text(out: &mut Buffer, text: &str) -> Result<(), Error> {
    match u8::try_from(text.len()) {
        Ok(short @ ..=31) => {
            let room = out.room(1 + text.len());
            room[0] = 0xa0 | short;
            room[1..].copy_from_slice(text.as_bytes());
            return Ok(());
        }
        Ok(length) => out.append(&[0xd9, length]),
        Err(_) => long_head(out, 0xda, text.len())?,
    }
    out.append(text.as_bytes());
    Ok(())
}

fn bytes(out: &mut Buffer, bytes: &[u8]) -> Result<(), Error> {
    match u8::try_from(bytes.len()) {
        Ok(length) => out.append(&[0xc4, length]),
        Err(_) => long_head(out, 0xc5, bytes.len())?,
    }
    out.append(bytes);
    Ok(())
}

/// Begins a list or a map.
#[inline]
fn head(out: &mut Buffer, kind: Kind, length: usize) -> Result<(), Error> {
    match (kind, u8::try_from(length)) {
        (Kind::List, Ok(short @ ..=15)) => out.push(0x90 | short),
        (Kind::Map, Ok(short @ ..=15)) => out.push(0x80 | short),
        (Kind::List, _) => long_head(out, 0xdc, length)?,
        (Kind::Map, _) => long_head(out, 0xde, length)?,
    }
    Ok(())
}

/// A marker with a length of two bytes, or the next marker with a length of four.
fn long_head(out: &mut Buffer, marker: u8, length: usize) -> Result<(), Error> {
    if let Ok(length) = u16::try_from(length) {
        out.push(marker);
        out.append(&length.to_be_bytes());
        return Ok(());
    }
    let length = u32::try_from(length).map_err(|_| Error("it is too long".to_owned()))?;
    out.push(marker + 1);
    out.append(&length.to_be_bytes());
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    List,
    Map,
}

/// Writes a value to the end of a buffer. Structs are maps where they are `NAMED`.
struct Writer<'o, const NAMED: bool> {
    out: &'o mut Buffer,
}

impl<'o, const NAMED: bool> Writer<'o, NAMED> {
    #[inline]
    fn entries(self, kind: Kind, length: Option<usize>) -> Result<Entries<'o, NAMED>, Error> {
        let uncounted = match length {
            Some(length) => {
                head(self.out, kind, length)?;
                None
            }
            None => Some(Uncounted { kind, start: self.out.as_slice().len(), count: 0 }),
        };
        Ok(Entries { out: self.out, uncounted })
    }

    /// Begins a map of one entry with this name: a variant with fields.
    fn variant(&mut self, name: &str) -> Result<(), Error> {
        head(self.out, Kind::Map, 1)?;
        text(self.out, name)
    }
}

/// The entries of a list, a map or a struct.
struct Entries<'o, const NAMED: bool> {
    out: &'o mut Buffer,
    uncounted: Option<Uncounted>,
}

/// A list or a map whose length is not known before its end.
struct Uncounted {
    kind: Kind,
    start: usize,
    /// The keys and values so far.
    count: usize,
}

impl<const NAMED: bool> Entries<'_, NAMED> {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if let Some(uncounted) = &mut self.uncounted {
            uncounted.count += 1;
        }
        value.serialize(Writer::<NAMED> { out: self.out })
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        if NAMED {
            text(self.out, name)?;
        }
        value.serialize(Writer::<NAMED> { out: self.out })
    }

    #[inline]
    fn finish(self) -> Result<(), Error> {
        let Some(Uncounted { kind, start, count }) = self.uncounted else { return Ok(()) };
        let length = match kind {
            Kind::List => count,
            Kind::Map => count / 2,
        };
        let entries = self.out.as_slice()[start..].to_vec();
        self.out.truncate(start);
        head(self.out, kind, length)?;
        self.out.append(&entries);
        Ok(())
    }
}

/// The numbers that have a form of their own in serde and none here.
macro_rules! as_other {
    ($($method:ident($own:ty) is $other:ident,)+) => {
        $(#[inline]
        fn $method(self, value: $own) -> Result<(), Error> {
            self.$other(value.into())
        })+
    };
}

impl<'o, const NAMED: bool> Serializer for Writer<'o, NAMED> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Entries<'o, NAMED>;
    type SerializeTuple = Entries<'o, NAMED>;
    type SerializeTupleStruct = Entries<'o, NAMED>;
    type SerializeTupleVariant = Entries<'o, NAMED>;
    type SerializeMap = Entries<'o, NAMED>;
    type SerializeStruct = Entries<'o, NAMED>;
    type SerializeStructVariant = Entries<'o, NAMED>;

    as_other! {
        serialize_i8(i8) is serialize_i64,
        serialize_i16(i16) is serialize_i64,
        serialize_i32(i32) is serialize_i64,
        serialize_u8(u8) is serialize_u64,
        serialize_u16(u16) is serialize_u64,
        serialize_u32(u32) is serialize_u64,
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.push(0xc2 | u8::from(value));
        Ok(())
    }

    #[inline]
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        match u64::try_from(value) {
            Ok(value) => number(self.out, value),
            Err(_) => negative(self.out, value),
        }
        Ok(())
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        number(self.out, value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.out.push(0xca);
        self.out.append(&value.to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.out.push(0xcb);
        self.out.append(&value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        text(self.out, value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        text(self.out, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        bytes(self.out, value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.push(0xc0);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        head(self.out, Kind::List, 0)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        text(self.out, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant)?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Entries<'o, NAMED>, Error> {
        self.entries(Kind::List, length)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Entries<'o, NAMED>, Error> {
        self.entries(Kind::List, Some(length))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Entries<'o, NAMED>, Error> {
        self.entries(Kind::List, Some(length))
    }

    fn serialize_tuple_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Entries<'o, NAMED>, Error> {
        self.variant(variant)?;
        self.entries(Kind::List, Some(length))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Entries<'o, NAMED>, Error> {
        self.entries(Kind::Map, length)
    }

    #[inline]
    fn serialize_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Entries<'o, NAMED>, Error> {
        self.entries(if NAMED { Kind::Map } else { Kind::List }, Some(length))
    }

    fn serialize_struct_variant(
        mut self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Entries<'o, NAMED>, Error> {
        self.variant(variant)?;
        self.serialize_struct(name, length)
    }
}

macro_rules! entries {
    ($($of:ident: $add:ident,)+) => {
        $(impl<const NAMED: bool> ser::$of for Entries<'_, NAMED> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.add(value)
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        })+
    };
}

entries! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! fields {
    ($($of:ident,)+) => {
        $(impl<const NAMED: bool> ser::$of for Entries<'_, NAMED> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.field(name, value)
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        })+
    };
}

fields! {
    SerializeStruct,
    SerializeStructVariant,
}

impl<const NAMED: bool> ser::SerializeMap for Entries<'_, NAMED> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.add(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value)
    }

    #[inline]
    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

#[cfg(test)]
mod tests;
