//! The offline push that a push gateway takes from the work queue. Key: `peer.push.<user>`. peerd
//! never reads it.

use bytes::Bytes;

use peerd_core::message::Message;
use peerd_core::send::Push;
use peerd_protocol::api::OfflinePush;
use peerd_protocol::encoding::{Encode as _, EncodeError, Encoding};
use peerd_protocol::subject::{Subjects, Token};

/// The subject of the pushes for a user.
#[must_use]
pub fn key(subjects: &Subjects, user: &Token) -> String {
    format!("{}.push.{user}", subjects.prefix())
}

/// Writes the push for a stored message. `badge` is the receiver's total unread count.
pub fn encode(
    push: &Push,
    message: &Message,
    badge: u64,
    encoding: Encoding,
) -> Result<Bytes, EncodeError> {
    encoding.encode(&OfflinePush::new(push, message, badge))
}
