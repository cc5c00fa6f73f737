//! Amendments: changes of a message after it was stored. Records of the log are never rewritten, so
//! amendments are stored beside the log and applied when messages are read.

use std::collections::BTreeMap;

use super::content::Content;
use super::conversation::{Conversation, Head, Mark, PagePointers, head_at};
use super::id::{LocalMessageId, OrderKey, Partition, UserId};
use super::later::LaterFields;
use super::message::{Annotations, Message, ReceiptStatus, Revocation};
use super::reaction::Reaction;
use super::reply::RepliedPages;

/// The stub of a removed message: everything on which other messages, counts and repeats depend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Its order key, which is its identity.
    pub key: OrderKey,
    /// Its sender's mark, this message included.
    pub mark: Mark,
    /// Its page pointers, as in its record: 0 as `first` means the record's own sequence.
    pub page: PagePointers,
    /// The time when it was accepted, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The sender's own ID for it, if any.
    pub local_id: Option<LocalMessageId>,
    /// The status of its read receipt.
    pub receipt: ReceiptStatus,
    /// Whether it counts as unread until read.
    pub counts: bool,
    /// The order key of the root of its tree, if it was a reply: it still belongs to the tree.
    pub root: Option<OrderKey>,
}

impl Stub {
    /// The stub of a message.
    #[must_use]
    pub fn of(message: &Message, mark: Mark, page: PagePointers) -> Self {
        Self {
            key: message.key,
            mark,
            page,
            timestamp_ms: message.timestamp_ms,
            local_id: message.local_id.clone(),
            receipt: message.receipt,
            counts: message.counts,
            root: message.reply().map(|reply| reply.root().key),
        }
    }

    /// The head that it makes, at its sequence in the stream.
    #[must_use]
    pub const fn head(&self, stream_seq: u64) -> Head {
        head_at(self.key, self.timestamp_ms, self.mark, self.page, stream_seq)
    }
}

/// A removed message at its place in the log: that of its former record, or of its carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// When it was stored there, by the server's clock, in milliseconds since 1970.
    pub stored_ms: u64,
    /// Its stub.
    pub stub: Stub,
    /// Its revocation, which histories show in its place; `None` if they show nothing. It is in the
    /// page of amendments, not in a carrier.
    pub revocation: Option<Box<Revocation>>,
}

impl Removed {
    /// The message that is shown in its place: it has no content, and does not count.
    #[must_use]
    pub fn shown(
        &self,
        sender: &UserId,
        receiver: &UserId,
        partition: Partition,
    ) -> Option<Message> {
        let revocation = self.revocation.as_deref()?;
        let Stub { key, mark, timestamp_ms, ref local_id, receipt, .. } = self.stub;
        Some(Message {
            sender: sender.clone(),
            receiver: receiver.clone(),
            partition,
            key,
            seq: mark.seq,
            timestamp_ms,
            local_id: local_id.clone(),
            receipt,
            counts: false,
            extended_data: String::new(),
            content: Content::Text { message: String::new() },
            annotations: Some(Box::new(Annotations {
                revoked: Some(revocation.clone()),
                ..Annotations::default()
            })),
        })
    }

    /// Whether it was unread and not deleted by its receiver when it was removed.
    #[must_use]
    pub const fn is_unread(&self, conversation: &Conversation) -> bool {
        self.stub.counts && self.stub.mark.seq > conversation.settings.read.seq
    }

    /// The head that it is.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.stub.head(self.stream_seq)
    }

    /// Its order key.
    #[must_use]
    pub const fn key(&self) -> OrderKey {
        self.stub.key
    }

    /// Its `messageSeq`.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.stub.mark.seq
    }
}

/// The replacement of a message's original content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The content.
    pub content: Content,
    /// Text that accompanies the message.
    pub extended_data: String,
    /// When the sender edited it, in milliseconds since 1970; 0 if unknown.
    pub edited_ms: u64,
}

/// The change of a message's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// Unchanged: as in its record.
    #[default]
    None,
    /// It was replaced.
    Replaced(Replacement),
    /// It was removed.
    Removed(Removed),
    /// A later release replaced it by content that this release cannot read. Contains the fields of
    /// the entry. The message is shown as in its record.
    Unknown(LaterFields),
}

/// The change of a message's read receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Receipt {
    /// Unchanged: as in its record.
    #[default]
    Unchanged,
    /// It has another status.
    Changed(ReceiptStatus),
    /// A later release gave it a status that this release does not know. Contains the field of the
    /// entry. It is shown as in its record.
    Unknown(LaterFields),
}

/// The amendment of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// The message's order key. A `messageSeq` may be assigned again after messages aged out, a key
    /// may not: an amendment of another message is not applied.
    pub key: OrderKey,
    /// The change of its content.
    pub change: Change,
    /// The change of its read receipt.
    pub receipt: Receipt,
    /// When its receiver confirmed it as read, in milliseconds since 1970; 0 for never.
    pub read_ms: u64,
    /// The reactions to it.
    pub reactions: Vec<Reaction>,
    /// Where replies to it can be.
    pub replied: RepliedPages,
    /// Fields of a later release.
    pub later: LaterFields,
}

impl Amendment {
    /// Applies it to a message that was not removed.
    pub fn apply(&self, message: &mut Message) {
        if let Change::Replaced(Replacement { content, extended_data, edited_ms }) = &self.change {
            let sent = message.fingerprint();
            message.content = content.clone();
            message.extended_data.clone_from(extended_data);
            let annotations = message.annotations.get_or_insert_default();
            (annotations.edited_ms, annotations.sent) = (*edited_ms, Some(sent));
        }
        if let Receipt::Changed(status) = self.receipt {
            message.receipt = status;
        }
        if self.read_ms > 0 {
            message.annotations.get_or_insert_default().read_ms = self.read_ms;
        }
        if !self.reactions.is_empty() || !message.reactions().is_empty() {
            message.annotations.get_or_insert_default().reactions.clone_from(&self.reactions);
        }
        if !self.replied.is_empty() {
            message.annotations.get_or_insert_default().replied.clone_from(&self.replied);
        }
    }
}

/// The amendments of the messages of one page, by `messageSeq`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AmendmentPage {
    by_seq: BTreeMap<u64, Amendment>,
    /// Fields of a later release.
    pub later: LaterFields,
}

impl AmendmentPage {
    /// Composes a page from the stored parts.
    #[must_use]
    pub fn new(amendments: impl IntoIterator<Item = (u64, Amendment)>, later: LaterFields) -> Self {
        Self { by_seq: amendments.into_iter().collect(), later }
    }

    /// All of them, by ascending `messageSeq`.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Amendment)> {
        self.by_seq.iter().map(|(seq, amendment)| (*seq, amendment))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_seq.is_empty() && self.later == LaterFields::default()
    }

    /// The amendment of a message, if any.
    #[must_use]
    pub fn get(&self, seq: u64, key: OrderKey) -> Option<&Amendment> {
        self.by_seq.get(&seq).filter(|amendment| amendment.key == key)
    }

    /// The amendment of a message, to be changed. An amendment of another message with the same
    /// `messageSeq` is forgotten.
    pub fn amend(&mut self, seq: u64, key: OrderKey) -> &mut Amendment {
        let amendment = self.by_seq.entry(seq).or_default();
        if amendment.key != key {
            *amendment = Amendment { key, ..Amendment::default() };
        }
        amendment
    }

    /// The same page without reactions.
    #[must_use]
    pub fn without_reactions(&self) -> Self {
        let mut page = self.clone();
        for amendment in page.by_seq.values_mut() {
            amendment.reactions.clear();
        }
        page
    }

    /// The messages that were removed, by ascending `messageSeq`.
    #[must_use]
    pub fn removed(&self) -> impl DoubleEndedIterator<Item = &Removed> {
        self.by_seq.values().filter_map(|amendment| match &amendment.change {
            Change::Removed(removed) => Some(removed),
            Change::None | Change::Replaced(_) | Change::Unknown(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amendment_of_another_message_is_not_found_and_gives_way() {
        let mut page = AmendmentPage::default();
        page.amend(3, OrderKey(30)).receipt = Receipt::Changed(ReceiptStatus::Done);
        assert!(page.get(3, OrderKey(30)).is_some());
        assert_eq!(page.get(3, OrderKey(31)), None);
        assert_eq!(page.amend(3, OrderKey(31)).receipt, Receipt::Unchanged);
        assert_eq!(page.get(3, OrderKey(30)), None);
    }
}
