//! Objects that list their fields once, from which the number of fields follows. A `MessagePack`
//! map begins with the number of its fields. Also the values that several bodies have.

use std::convert::Infallible;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// The `conversationType` of a conversation with a peer, the only type.
pub const PEER: u8 = 0;
/// The field that marks a message or an event without its content, which would be larger than the
/// server accepts.
pub const IS_CONTENT_OMITTED: &str = "isContentOmitted";
/// The name of an object whose fields are written one by one. Neither encoding shows it. An object
/// is written as a struct, and not as a map, since its names are known when this is compiled.
pub(super) const NAMED: &str = "";

/// An object as a list of fields.
pub(super) trait Object {
    /// Adds the fields in their order.
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error>;
}

/// Receives the fields of an object one by one.
pub(super) trait Sink {
    type Error;

    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error>;

    /// Adds a text field, unless it has the default value (empty).
    fn optional_text(&mut self, name: &'static str, text: &str) -> Result<(), Self::Error> {
        if text.is_empty() { Ok(()) } else { self.field(name, text) }
    }

    /// Adds a number field, unless it has the default value (0).
    fn optional_number(
        &mut self,
        name: &'static str,
        number: impl Into<u64>,
    ) -> Result<(), Self::Error> {
        let number = number.into();
        if number == 0 { Ok(()) } else { self.field(name, &number) }
    }
}

/// Counts fields, without serializing their values.
struct Count(usize);

impl Sink for Count {
    type Error = Infallible;

    fn field<T: Serialize + ?Sized>(&mut self, _: &'static str, _: &T) -> Result<(), Infallible> {
        self.0 += 1;
        Ok(())
    }
}

/// Writes fields.
struct Entries<'m, M>(&'m mut M);

impl<M: SerializeStruct> Sink for Entries<'_, M> {
    type Error = M::Error;

    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), M::Error> {
        self.0.serialize_field(name, value)
    }
}

/// Serializes an object.
pub(super) fn serialize<S: Serializer>(
    object: &impl Object,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut count = Count(0);
    let Ok(()) = object.fields(&mut count);
    let mut map = serializer.serialize_struct(NAMED, count.0)?;
    object.fields(&mut Entries(&mut map))?;
    map.end()
}

/// A number that bodies show as a string.
pub(super) struct Text(pub(super) u64);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `collect_str` would allocate: rmp-serde collects the text in a buffer of its own.
        serializer.serialize_str(itoa::Buffer::new().format(self.0))
    }
}
