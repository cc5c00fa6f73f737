use serde::Deserialize;

use super::*;
use crate::field::{Both, Bytes, List, User};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    user: User,
    flag: Option<bool>,
    small: Option<u8>,
    number: Option<u64>,
    inner: Option<Inner>,
    parts: Option<List<Part, 2>>,
    bytes: Option<Bytes>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    text: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Marked {
    mark: Option<u8>,
}

type Part = Both<Marked, Kind>;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(expecting = "a known kind")]
enum Kind {
    #[serde(rename = "7")]
    Text(Inner),
    #[serde(rename = "300")]
    Nothing,
}

fn read(json: &str) -> [Result<Asked, Rejection>; 2] {
    let value: serde_json::Value = serde_json::from_str(json).expect("valid JSON");
    let packed = rmp_serde::to_vec_named(&value).expect("packs");
    [request(Encoding::Json, json.as_bytes(), 8), request(Encoding::MessagePack, &packed, 8)]
}

#[test]
fn errors_name_the_field_by_its_path_in_both_encodings() {
    for (json, expected) in [
        (r"[]", "body must be an object"),
        (r"{}", "user is missing"),
        (r#"{"user":null}"#, "user is missing"),
        (r#"{"user":7}"#, "user must be a text"),
        (r#"{"user":""}"#, "user must be 1 to 8 bytes"),
        (r#"{"user":"123456789"}"#, "user must be 1 to 8 bytes"),
        (r#"{"user":"a/b"}"#, "user has a character that a userID may not have"),
        (r#"{"user":"bob","flag":1}"#, "flag must be true or false"),
        (r#"{"user":"bob","small":256}"#, "small must be a whole number from 0 to 255"),
        (r#"{"user":"bob","small":-1}"#, "small must be a whole number from 0 to 255"),
        (
            r#"{"user":"bob","number":9007199254740992}"#,
            "number must be a whole number from 0 to 9007199254740991",
        ),
        (
            r#"{"user":"bob","number":0.5}"#,
            "number must be a whole number from 0 to 9007199254740991",
        ),
        (r#"{"user":"bob","number":"1"}"#, "number must be a number"),
        (r#"{"user":"bob","inner":[]}"#, "inner must be an object"),
        (r#"{"user":"bob","inner":{}}"#, "inner.text is missing"),
        (r#"{"user":"bob","parts":{}}"#, "parts must be a list"),
        (r#"{"user":"bob","parts":[]}"#, "parts must have 1 to 2 entries"),
        (r#"{"user":"bob","parts":[1,2,3]}"#, "parts must have 1 to 2 entries"),
        (r#"{"user":"bob","parts":[1]}"#, "parts[0] must be an object"),
        (r#"{"user":"bob","parts":[{}]}"#, "parts[0].type is missing"),
        (r#"{"user":"bob","parts":[{"type":8}]}"#, "parts[0].type is not a known kind"),
        (r#"{"user":"bob","parts":[{"type":"7"}]}"#, "parts[0].type must be a number"),
        (
            r#"{"user":"bob","parts":[{"type":65536}]}"#,
            "parts[0].type must be a whole number from 0 to 65535",
        ),
        (r#"{"user":"bob","parts":[{"type":300},{"type":7}]}"#, "parts[1].text is missing"),
        (r#"{"user":"bob","parts":[{"mark":"x","type":7}]}"#, "parts[0].mark must be a number"),
        // The order of the struct decides, not that of the body.
        (r#"{"small":"","flag":"","user":"bob"}"#, "flag must be true or false"),
    ] {
        for read in read(json) {
            assert_eq!(read.map_err(|error| error.to_string()), Err(expected.to_owned()), "{json}");
        }
    }
}

#[test]
fn unknown_fields_are_ignored_and_null_is_a_field_left_out() {
    let json = r#"{"x":{"y":[1]},"user":"bob","flag":null,"inner":{"text":"t","z":1},
        "parts":[{"type":7,"text":"u","mark":3},{"type":300,"text":5}]}"#;
    let text = |text: &str| Inner { text: text.to_owned() };
    let parts = vec![
        Both(Marked { mark: Some(3) }, Kind::Text(text("u"))),
        Both(Marked { mark: None }, Kind::Nothing),
    ];
    let expected = Asked {
        user: User(peerd_core::id::UserId::new("bob", "").expect("valid")),
        flag: None,
        small: None,
        number: None,
        inner: Some(text("t")),
        parts: Some(List(parts)),
        bytes: None,
    };
    for read in read(json) {
        assert_eq!(read.as_ref(), Ok(&expected));
    }
}

#[test]
fn bytes_are_base64_in_json_and_bin_in_messagepack() {
    let bytes = |encoding, body: &[u8]| {
        request::<Asked>(encoding, body, 8)
            .map(|asked| asked.bytes.map(|Bytes(bytes)| bytes))
            .map_err(|error| error.to_string())
    };
    let json = br#"{"user":"bob","bytes":"AQI="}"#;
    assert_eq!(bytes(Encoding::Json, json), Ok(Some(vec![1, 2])));
    let packed = b"\x82\xa4user\xa3bob\xa5bytes\xc4\x02\x01\x02";
    assert_eq!(bytes(Encoding::MessagePack, packed), Ok(Some(vec![1, 2])));
    let not_base64 = br#"{"user":"bob","bytes":"?"}"#;
    assert_eq!(bytes(Encoding::Json, not_base64), Err("bytes must be base64 text".to_owned()));
    let text = b"\x82\xa4user\xa3bob\xa5bytes\xa1x";
    assert_eq!(bytes(Encoding::MessagePack, text), Err("bytes must be bytes (bin)".to_owned()));
}
