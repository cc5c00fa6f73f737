//! The offline push that a push gateway takes from the work queue. Key: `peer.push.<user>`. peerd reads
//! none back.

use bytes::Bytes;

use crate::domain::message::Message;
use crate::domain::send::Push;
use crate::wire::encoding::{EncodeError, Encoding};
use crate::wire::push::PushBody;
use crate::wire::subject::{Subjects, Token};

/// The pushes for a user.
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
    encoding.encode(&PushBody::new(push, message, badge))
}
