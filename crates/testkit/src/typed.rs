//! Bodies of replies and events as the types of the contract: a client that reads them loses no
//! field.

use peerd_protocol::api::{self, Failed, Published, ReadError};
use peerd_protocol::encoding::Encoding as Typed;

use super::codec::{Encoding, decode};

const fn typed(encoding: Encoding) -> Typed {
    match encoding {
        Encoding::Json => Typed::Json,
        Encoding::MessagePack => Typed::MessagePack,
    }
}

/// Panics unless the body of a success is the reply of this method, and has no other field.
#[track_caller]
pub fn check_reply(method: &str, encoding: Encoding, body: &[u8]) {
    let again = api::rewrite_reply(method, typed(encoding), body);
    let again = again.unwrap_or_else(|| panic!("no method of the contract: {method}"));
    check(method, encoding, body, again);
}

/// Panics unless the body is that of a failure, and has no other field.
#[track_caller]
pub fn check_failure(encoding: Encoding, body: &[u8]) {
    check("a failure", encoding, body, api::rewrite::<Failed>(typed(encoding), body));
}

/// Panics unless the body is that of the event, or of a bundle, and has no other field.
#[track_caller]
pub fn check_event(name: &str, encoding: Encoding, body: &[u8]) {
    let published = Published::read(name, typed(encoding), body);
    let again = published.and_then(|published| published.write(name, typed(encoding)));
    check(name, encoding, body, again);
}

#[track_caller]
fn check<B: AsRef<[u8]>>(what: &str, encoding: Encoding, body: &[u8], again: Result<B, ReadError>) {
    let body = decode(encoding, body);
    let again = again.unwrap_or_else(|error| panic!("{what}: {error:?} in {body}"));
    let again = decode(encoding, again.as_ref());
    assert_eq!(body, again, "{what}: as it came, and as its type has it");
}
