use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;

use super::{append, append_named};
use crate::block::Buffer;

/// A value of every kind that serde has.
#[derive(Clone, Debug, Serialize)]
enum Any {
    Nothing,
    Flag(bool),
    Whole(u64),
    Signed(i64),
    Small(u8, i8, u16, i16, u32, i32),
    Single(f32),
    Fraction(f64),
    Letter(char),
    Text(String),
    #[serde(with = "serde_bytes")]
    Bytes(Vec<u8>),
    Maybe(Option<Box<Any>>),
    Unit(()),
    Marker(Marker),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
    Pair(Box<(Any, Any)>),
    Fields {
        first: Box<Any>,
        second: Box<Any>,
    },
    Wrapped(Wrapped),
    Struct(Box<Struct>),
}

#[derive(Clone, Debug, Serialize)]
struct Marker;

#[derive(Clone, Debug, Serialize)]
struct Wrapped(u64);

/// Its length is not known to serde, since one of its fields is flattened.
#[derive(Clone, Debug, Serialize)]
struct Struct {
    #[serde(rename = "aName")]
    a: Any,
    #[serde(flatten)]
    rest: BTreeMap<String, Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u8>,
}

/// Lengths around those at which a head becomes longer.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0..40_usize, proptest::sample::select(vec![255, 256, 65_535, 65_536]),]
}

fn value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Nothing),
        any::<bool>().prop_map(Any::Flag),
        any::<u64>().prop_map(Any::Whole),
        (0..64_u32, any::<u64>()).prop_map(|(bits, number)| Any::Whole(number >> bits)),
        (0..64_u32, any::<i64>()).prop_map(|(bits, number)| Any::Signed(number >> bits)),
        any::<(u8, i8, u16, i16, u32, i32)>()
            .prop_map(|(a, b, c, d, e, f)| Any::Small(a, b, c, d, e, f)),
        any::<f32>().prop_map(Any::Single),
        any::<f64>().prop_map(Any::Fraction),
        any::<char>().prop_map(Any::Letter),
        "\\PC{0,40}".prop_map(Any::Text),
        length().prop_map(|length| Any::Text("x".repeat(length))),
        length().prop_map(|length| Any::Bytes(vec![7; length])),
        Just(Any::Unit(())),
        Just(Any::Marker(Marker)),
        any::<u64>().prop_map(|number| Any::Wrapped(Wrapped(number))),
        length().prop_map(|length| Any::List(vec![Any::Nothing; length])),
    ];
    leaf.prop_recursive(4, 32, 20, |inner| {
        let map = proptest::collection::btree_map("[a-z]{0,40}", inner.clone(), 0..20);
        prop_oneof![
            proptest::option::of(inner.clone()).prop_map(|value| Any::Maybe(value.map(Box::new))),
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Any::List),
            map.clone().prop_map(Any::Map),
            (inner.clone(), inner.clone()).prop_map(|pair| Any::Pair(Box::new(pair))),
            (inner.clone(), inner.clone()).prop_map(|(first, second)| Any::Fields {
                first: Box::new(first),
                second: Box::new(second),
            }),
            (inner, map).prop_map(|(a, rest)| {
                Any::Struct(Box::new(Struct { a, rest, left_out: None }))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_rmp_serde(value in value(), before in "[a-z]{0,3}") {
        let mut expected = before.clone().into_bytes();
        rmp_serde::encode::write_named(&mut expected, &value).expect("writable");
        let mut written = Buffer::default();
        written.append(before.as_bytes());
        append_named(&mut written, &value).expect("writable");
        prop_assert_eq!(written.as_slice(), &expected);
        expected.truncate(before.len());
        rmp_serde::encode::write(&mut expected, &value).expect("writable");
        written.truncate(before.len());
        append(&mut written, &value).expect("writable");
        prop_assert_eq!(written.as_slice(), &expected);
    }
}
