//! Entries: a MessagePack array of the version and a map of optional fields by number. A field that
//! has its default is left out. Fields that this release does not know are kept and written back,
//! so that a field can be added without a new version: an older release that rewrites the entry
//! does not lose it.

use bytes::{Buf as _, Bytes};
use serde::{Deserialize, Serialize};

use super::tuning::{LATER_BYTES_MAX, LATER_FIELDS_MAX};
use crate::wire::packed::{EncodeError, RecordError, from_slice, version};
use peerd_core::later::LaterFields;
use peerd_protocol::block::{self, Buffer};
use peerd_protocol::msgpack;

/// Writes an entry.
#[derive(Debug, Default)]
pub(super) struct FieldsOut {
    count: u32,
    bytes: Buffer,
}

impl FieldsOut {
    /// Adds a field, unless it has its default.
    pub(super) fn put<T: Serialize + Default + PartialEq>(
        &mut self,
        number: u8,
        value: &T,
    ) -> Result<(), EncodeError> {
        if *value == T::default() { Ok(()) } else { self.put_always(number, value) }
    }

    /// Adds a field.
    pub(super) fn put_always<T: Serialize + ?Sized>(
        &mut self,
        number: u8,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.count += 1;
        msgpack::append(&mut self.bytes, &number)?;
        msgpack::append(&mut self.bytes, value)
    }

    /// Adds known fields as a later release wrote them ([`FieldsIn::encoded`]).
    pub(super) fn put_encoded(&mut self, fields: &LaterFields) {
        self.count += fields.count();
        self.bytes.append(fields.as_bytes());
    }

    /// The entry, with the fields that this release does not know.
    pub(super) fn entry(self, version: u8, later: &LaterFields) -> Result<Bytes, EncodeError> {
        let count = self.count + later.count();
        block::written(|out| {
            out.append(&[0x92, version]);
            match (u8::try_from(count), u16::try_from(count)) {
                (Ok(count @ 0..16), _) => out.push(0x80 | count),
                (_, Ok(count)) => {
                    out.push(0xde);
                    out.append(&count.to_be_bytes());
                }
                _ => {
                    out.push(0xdf);
                    out.append(&count.to_be_bytes());
                }
            }
            out.append(self.bytes.as_slice());
            out.append(later.as_bytes());
            Ok(())
        })
    }
}

/// An entry that is being read.
pub(super) struct FieldsIn<'b> {
    kind: &'static str,
    version: u8,
    known: Vec<(u8, &'b [u8])>,
    later: LaterFields,
}

impl<'b> FieldsIn<'b> {
    /// Reads an entry of a version whose known fields are `1..=newest`.
    pub(super) fn read(
        bytes: &'b [u8],
        kind: &'static str,
        expected: u8,
        newest: u8,
    ) -> Result<Self, RecordError> {
        match version(bytes, kind)? {
            version if version == expected => {}
            other => return Err(RecordError::new(kind, format!("its version {other} is unknown"))),
        }
        let problem = || RecordError::new(kind, format!("it is not a version {expected} entry"));
        let mut fields = Self {
            kind,
            version: expected,
            known: Vec::with_capacity(usize::from(newest)),
            later: LaterFields::default(),
        };
        let (count, mut rest) = map(bytes).ok_or_else(problem)?;
        let mut later = Later::default();
        for _ in 0..count {
            let Field { number, value, whole, after } = field(rest).ok_or_else(problem)?;
            rest = after;
            match u8::try_from(number) {
                Ok(number) if (1..=newest).contains(&number) => {
                    if fields.known.iter().any(|(known, _)| *known == number) {
                        return Err(problem());
                    }
                    fields.known.push((number, value));
                }
                _ => later.add(kind, number, whole)?,
            }
        }
        if !rest.is_empty() {
            return Err(problem());
        }
        fields.later = later.fields();
        Ok(fields)
    }

    /// A field that every entry has.
    pub(super) fn required<T: Deserialize<'b> + Default>(
        &self,
        number: u8,
    ) -> Result<T, RecordError> {
        if self.known.iter().all(|(known, _)| *known != number) {
            return Err(RecordError::new(self.kind, format!("it has no field {number}")));
        }
        self.get(number)
    }

    /// A field; its default if it was left out.
    pub(super) fn get<T: Deserialize<'b> + Default>(&self, number: u8) -> Result<T, RecordError> {
        let Some((_, bytes)) = self.known.iter().find(|(known, _)| *known == number) else {
            return Ok(T::default());
        };
        from_slice(bytes).map_err(|_| {
            RecordError::new(self.kind, format!("it is not a version {} entry", self.version))
        })
    }

    /// The present ones of these known fields, encoded: a later release wrote values that this one
    /// cannot read.
    pub(super) fn encoded(&self, numbers: &[u8]) -> LaterFields {
        let mut later = Later::default();
        for (number, value) in self.known.iter().filter(|(known, _)| numbers.contains(known)) {
            later.numbers.push(u64::from(*number));
            // Known fields have numbers of one byte.
            later.bytes.push(*number);
            later.bytes.extend_from_slice(value);
        }
        later.fields()
    }

    /// The fields that this release does not know.
    pub(super) fn later(self) -> LaterFields {
        self.later
    }
}

/// Unknown fields that are stored outside an entry of their own.
pub(super) fn later(
    kind: &'static str,
    count: u32,
    bytes: &[u8],
) -> Result<LaterFields, RecordError> {
    let problem = || RecordError::new(kind, "what it has from a later release");
    let (mut later, mut rest) = (Later::default(), bytes);
    for _ in 0..count {
        let Field { number, whole, after, .. } = field(rest).ok_or_else(problem)?;
        rest = after;
        later.add(kind, number, whole)?;
    }
    if rest.is_empty() { Ok(later.fields()) } else { Err(problem()) }
}

/// Collects unknown fields.
#[derive(Default)]
struct Later {
    numbers: Vec<u64>,
    bytes: Vec<u8>,
}

impl Later {
    fn add(&mut self, kind: &'static str, number: u64, field: &[u8]) -> Result<(), RecordError> {
        if self.numbers.contains(&number) {
            return Err(RecordError::new(kind, "a field is there twice"));
        }
        self.numbers.push(number);
        self.bytes.extend_from_slice(field);
        if self.bytes.len() > LATER_BYTES_MAX || self.numbers.len() > LATER_FIELDS_MAX {
            return Err(RecordError::new(kind, "it has too much that is unknown"));
        }
        Ok(())
    }

    fn fields(self) -> LaterFields {
        // No more than `LATER_FIELDS_MAX`.
        LaterFields::new(u32::try_from(self.numbers.len()).unwrap_or_default(), &self.bytes)
    }
}

/// A field, and the bytes after it.
struct Field<'b> {
    number: u64,
    value: &'b [u8],
    /// Number and value.
    whole: &'b [u8],
    after: &'b [u8],
}

fn field(bytes: &[u8]) -> Option<Field<'_>> {
    let (number, rest) = bytes.split_at(skip(bytes)?);
    let (value, after) = rest.split_at(skip(rest)?);
    let whole = &bytes[..number.len() + value.len()];
    Some(Field { number: from_slice(number).ok()?, value, whole, after })
}

/// The number of fields of the map in an entry, and the bytes after its header.
fn map(bytes: &[u8]) -> Option<(u32, &[u8])> {
    match bytes {
        [0x92, _, header @ 0x80..=0x8f, rest @ ..] => Some((u32::from(header & 0x0f), rest)),
        [0x92, _, 0xde, high, low, rest @ ..] => {
            Some((u32::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    }
}

/// The length of the MessagePack value at the beginning of the bytes. Not recursive, so any nesting
/// is safe.
fn skip(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut pending) = (bytes, 1_u64);
    while pending > 0 {
        pending -= 1;
        let (&marker, after) = rest.split_first()?;
        rest = after;
        let mut number = |width: usize| (rest.len() >= width).then(|| rest.get_uint(width));
        let (length, items) = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0),
            0x80..=0x8f => (0, 2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => (0, u64::from(marker & 0x0f)),
            0xa0..=0xbf => (u64::from(marker & 0x1f), 0),
            0xc4 | 0xd9 => (number(1)?, 0),
            0xc5 | 0xda => (number(2)?, 0),
            0xc6 | 0xdb => (number(4)?, 0),
            0xc7 => (number(1)? + 1, 0),
            0xc8 => (number(2)? + 1, 0),
            0xc9 => (number(4)? + 1, 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 => (2, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xd4..=0xd8 => (1 + (1 << (marker - 0xd4)), 0),
            0xdc => (0, number(2)?),
            0xdd => (0, number(4)?),
            0xde => (0, 2 * number(2)?),
            0xdf => (0, 2 * number(4)?),
            0xc1 => return None,
        };
        rest = rest.get(usize::try_from(length).ok()?..)?;
        pending += items;
    }
    Some(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: &str = "entry";

    fn later(fields: &[(u64, &str)]) -> LaterFields {
        let mut bytes = Vec::new();
        for (number, value) in fields {
            rmp_serde::encode::write(&mut bytes, number).expect("writable");
            rmp_serde::encode::write(&mut bytes, value).expect("writable");
        }
        LaterFields::new(u32::try_from(fields.len()).expect("few"), &bytes)
    }

    #[test]
    fn unknown_fields_are_kept_unchanged() {
        for fields in [&[][..], &[(9, "x")], &[(300, "a long one"), (7, ""), (0, "zero")]] {
            let later = later(fields);
            let mut out = FieldsOut::default();
            out.put(1, &7_u64).expect("writable");
            out.put(2, &false).expect("writable");
            out.put(3, &(1_u64, 2_u64)).expect("writable");
            let entry = out.entry(4, &later).expect("writable");
            let read = FieldsIn::read(&entry, KIND, 4, 3).expect("readable");
            assert_eq!(read.get::<u64>(1), Ok(7));
            assert_eq!(read.get::<bool>(2), Ok(false));
            assert_eq!(read.get::<(u64, u64)>(3), Ok((1, 2)));
            assert_eq!(read.later(), later);
        }
    }

    #[test]
    fn unknown_fields_are_bounded() {
        let read = |later: &LaterFields| {
            let entry = FieldsOut::default().entry(1, later).expect("writable");
            FieldsIn::read(&entry, KIND, 1, 3).map(FieldsIn::later)
        };
        // A number and the header of a text of that length take four bytes.
        let most = "x".repeat(LATER_BYTES_MAX - 4);
        let fits = later(&[(9, &most)]);
        assert_eq!(read(&fits), Ok(fits));
        assert!(read(&later(&[(9, &most), (10, "")])).is_err());
        let many: Vec<(u64, &str)> = (0..).map(|at| (at + 4, "")).take(LATER_FIELDS_MAX).collect();
        assert_eq!(read(&later(&many)), Ok(later(&many)));
        let more = [&many[..], &[(1000, "")]].concat();
        assert!(read(&later(&more)).is_err());
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        for twice in [[0x82, 1, 5, 1, 5], [0x82, 9, 5, 9, 5]] {
            let entry = [&[0x92, 1][..], &twice].concat();
            assert!(FieldsIn::read(&entry, KIND, 1, 3).is_err(), "{entry:?}");
        }
    }

    proptest! {
        #[test]
        fn the_length_of_any_value_is_found(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            // Compared with the library, if that can read it. It takes the unused byte for nil.
            let mut rest = &bytes[..];
            if !bytes.contains(&0xc1) && rmpv::decode::read_value(&mut rest).is_ok() {
                prop_assert_eq!(skip(&bytes), Some(bytes.len() - rest.len()));
            }
        }
    }
}
