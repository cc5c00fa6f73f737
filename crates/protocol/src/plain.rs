//! Reads the request of a plain text message, as most sends are, from `MessagePack` without the
//! tree of a body. Every other request, and every invalid one, is left to [`crate::decode`], which
//! writes all error texts. A test shows that both read the same.

use peerd_core::content::{Content, MessageType};
use peerd_core::id::{LocalMessageId, UserId};
use peerd_core::message::Draft;
use peerd_core::send::{Send, SendOptions};

/// Reads a request whose receiver is in the field `to_field`. `None` if [`crate::decode`] must read
/// it.
#[must_use]
pub fn send(body: &[u8], to_field: &'static str, user_id_bytes: usize) -> Option<Send> {
    let mut rest = body;
    let (mut to, mut draft) = (None, None);
    for _ in 0..map(&mut rest)? {
        let name = bytes(&mut rest)?;
        if name == to_field.as_bytes() && to.is_none() {
            to = Some(UserId::within(text(&mut rest)?, to_field, user_id_bytes).ok()?);
        } else if name == b"message" && draft.is_none() {
            draft = Some(message(&mut rest)?);
        } else {
            return None;
        }
    }
    let (to, draft) = (to?, draft?);
    rest.is_empty().then(|| Send { to, to_field, draft, options: SendOptions::default() })
}

fn message(rest: &mut &[u8]) -> Option<Draft> {
    let (mut is_text, mut message, mut local_id, mut extended_data) = (false, None, None, None);
    for _ in 0..map(rest)? {
        match bytes(rest)? {
            b"type" if !is_text => {
                is_text = byte(rest)? == MessageType::Text as u8;
                is_text.then_some(())?;
            }
            b"message" if message.is_none() => message = Some(text(rest)?),
            b"localMessageID" if local_id.is_none() => {
                local_id = Some(LocalMessageId::new(text(rest)?).ok()?);
            }
            b"extendedData" if extended_data.is_none() => extended_data = Some(text(rest)?),
            _ => return None,
        }
    }
    let message = message.filter(|_| is_text)?.to_owned();
    let extended_data = extended_data.unwrap_or_default().to_owned();
    Some(Draft { content: Content::Text { message }, local_id, extended_data })
}

/// The number of fields of a map of up to 15.
fn map(rest: &mut &[u8]) -> Option<u8> {
    let head = byte(rest)?;
    (0x80..=0x8f).contains(&head).then_some(head & 0x0f)
}

fn text<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    std::str::from_utf8(bytes(rest)?).ok()
}

/// The bytes of a text.
fn bytes<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = match byte(rest)? {
        short @ 0xa0..=0xbf => usize::from(short & 0x1f),
        0xd9 => usize::from(byte(rest)?),
        0xda => usize::from(u16::from_be_bytes([byte(rest)?, byte(rest)?])),
        _ => return None,
    };
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}
