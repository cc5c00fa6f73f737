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
        ("[".repeat(BODY_DEPTH_MAX) + &"]".repeat(BODY_DEPTH_MAX), true),
        ("[".repeat(BODY_DEPTH_MAX + 1) + &"]".repeat(BODY_DEPTH_MAX + 1), false),
        (format!("[{}1]", "1,".repeat(BODY_VALUES_MAX - 2)), true),
        (format!("[{}1]", "1,".repeat(BODY_VALUES_MAX)), false),
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
fn a_body_that_is_not_one_value_is_refused() {
    for bad in ["{", "{} {}", "nul", "{\"a\":1,\"a\":2}"] {
        assert!(Value::decode(Encoding::Json, bad.as_bytes()).is_err(), "{bad}");
    }
    // Few and many fields are compared in different ways.
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

#[test]
fn an_error_names_the_problem_and_its_place() {
    let problem_of = |encoding, body: &[u8]| match Value::decode(encoding, body) {
        Err(rejection) => rejection.to_string(),
        Ok(value) => panic!("{value:?} was read"),
    };
    let deep = "[".repeat(BODY_DEPTH_MAX + 1);
    let many = format!("[{}1]", "1,".repeat(BODY_VALUES_MAX));
    for (body, expected) in [
        (&br#"{"a":1,"a":2}"#[..], "has the field a twice in one object (line 1, column 13)"),
        (br#"{"a b":1,"a b":2}"#, "has a field twice in one object (line 1, column 17)"),
        (b"{} {}", "has bytes after its end (line 1, column 4)"),
        (b"{}\n\nx", "has bytes after its end (line 3, column 1)"),
        (b"{", "ends before its value does (line 1, column 1)"),
        (b"{\"a\":\"b", "ends before its value does (line 1, column 7)"),
        (deep.as_bytes(), "is nested more than 24 levels deep (line 1, column 25)"),
        (many.as_bytes(), "has more than 20000 values (line 1, column 39999)"),
        (b"{\"a\":\"\xff\"}", "has text that is not UTF-8 (byte 6)"),
        (b"{\"a\":NaN}", "is not valid JSON: it has no NaN and no Infinity (line 1, column 6)"),
        (
            b"{\"a\":-Infinity}",
            "is not valid JSON: it has no NaN and no Infinity (line 1, column 7)",
        ),
        (b"[Infinity]", "is not valid JSON: it has no NaN and no Infinity (line 1, column 2)"),
        (b"{\"a\":1e999}", "is not valid JSON: number out of range (line 1, column 10)"),
        (b"{a:1}", "is not valid JSON: key must be a string (line 1, column 2)"),
        (
            br#"{"a":"\ud800"}"#,
            "is not valid JSON: unexpected end of hex escape (line 1, column 13)",
        ),
    ] {
        assert_eq!(problem_of(Encoding::Json, body), format!("body {expected}"));
    }
    let deep = vec![0x91; BODY_DEPTH_MAX + 1];
    let many = [&[0xdc, 0xff, 0xff][..], &vec![1; BODY_VALUES_MAX]].concat();
    for (body, expected) in [
        (&[0x82, 0xa1, b'a', 1, 0xa1, b'a', 2][..], "has the field a twice in one object (byte 1)"),
        (&[0x80, 0x80], "has bytes after its end (byte 1)"),
        (&[0x81, 1, 1], "has a field name that is not text (byte 1)"),
        (&[0x81, 0xc4, 1, b'a', 1], "has a field name that is not text (byte 1)"),
        (&[0x81, 0xa1, b'a', 0xd4, 1, 0], "has a MessagePack extension type (byte 3)"),
        (&[0x81, 0xa1, b'a', 0xc7, 0, 1], "has a MessagePack extension type (byte 3)"),
        (&[0xc1], "is not valid MessagePack: it has the byte c1 (byte 0)"),
        (&[0x81, 0xa1, b'a'], "ends before its value does (byte 3)"),
        (&[0x81, 0xa1, b'a', 0xcd, 1], "ends before its value does (byte 3)"),
        (&[0xd9, 9, b'a'], "ends before its value does (byte 2)"),
        (&[0xdd, 0xff, 0xff, 0xff, 0xff], "ends before its value does (byte 5)"),
        (&[0xa3, b'a', 0xff, b'b'], "has text that is not UTF-8 (byte 2)"),
        (&deep, "is nested more than 24 levels deep (byte 25)"),
        (&many, "has more than 20000 values (byte 20002)"),
    ] {
        assert_eq!(problem_of(Encoding::MessagePack, body), format!("body {expected}"));
    }
}
