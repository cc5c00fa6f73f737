//! Pages of amendments: the values with golden bytes, and fields of later releases.

use bytes::Bytes;

use super::later;
use crate::storage::{amendments, fields};
use peerd_core::amendment::{
    Amendment, AmendmentPage, Change, Receipt, Removed, Replacement, Stub,
};
use peerd_core::content::{Content, MessageType};
use peerd_core::conversation::{Mark, PagePointers};
use peerd_core::id::{LocalMessageId, OrderKey};
use peerd_core::later::LaterFields;
use peerd_core::message::{ReceiptStatus, Revocation};
use peerd_core::pages::AmendedPages;
use peerd_core::reaction::Reaction;
use peerd_core::reply::{RepliedPages, RepliesOf, RepliesUpTo};

fn stub() -> Stub {
    Stub {
        key: OrderKey((1 << 52) + 5),
        mark: Mark { seq: 33, counted: 30 },
        page: PagePointers { first: 0, previous: 70_000 },
        timestamp_ms: 1_800_000_000_123,
        local_id: LocalMessageId::new("l-1").ok(),
        receipt: ReceiptStatus::Processing,
        counts: true,
        root: None,
    }
}

pub(super) fn pages() -> Vec<(&'static str, AmendmentPage)> {
    let removed = Removed {
        stream_seq: 70_040,
        stored_ms: 1_800_000_000_125,
        stub: stub(),
        revocation: None,
    };
    let replaced = Replacement {
        content: Content::Text { message: "h\u{e9}llo".into() },
        extended_data: "more".into(),
        edited_ms: 0,
    };
    let revocation = Revocation {
        at_ms: 1_800_000_000_999,
        original_type: MessageType::Custom,
        original_text: String::new(),
        extended_data: "sorry".into(),
    };
    let revoked = Removed { revocation: Some(Box::new(revocation)), ..removed.clone() };
    let edited = Replacement { edited_ms: 1_800_000_000_777, ..replaced.clone() };
    let read = Receipt::Changed(ReceiptStatus::Done);
    let amendment = |change, receipt, later| {
        let key = OrderKey((1 << 52) + 5);
        Amendment { key, change, receipt, later, ..Amendment::default() }
    };
    let nothing = LaterFields::default;
    let unchanged = Receipt::Unchanged;
    let replaced = amendment(Change::Replaced(replaced), unchanged.clone(), nothing());
    let receipt = amendment(Change::None, read, nothing());
    let read = Amendment { read_ms: 1_800_000_000_777, ..receipt.clone() };
    let with_later = amendment(Change::None, unchanged.clone(), later());
    let edited = amendment(Change::Replaced(edited), unchanged.clone(), nothing());
    let reaction =
        |kind: &str, by_sender, by_receiver| Reaction { kind: kind.into(), by_sender, by_receiver };
    let reactions = vec![reaction("\u{1f44d}", 1, 300), reaction("a", 0, 1)];
    let reacted = Amendment { reactions, ..edited.clone() };
    let of_user = |pages, (seq, stream_seq, count)| RepliesOf {
        pages: AmendedPages::new([pages]),
        counted: RepliesUpTo { seq, stream_seq, count },
    };
    let replied = RepliedPages {
        by_sender: of_user((0, 1), (0, 0, 0)),
        by_receiver: of_user((3, 3), (90, 70_300, 4)),
    };
    let replied = Amendment { replied, ..amendment(Change::None, unchanged.clone(), nothing()) };
    let revoked = amendment(Change::Removed(revoked), unchanged.clone(), nothing());
    let reply = Stub { root: Some(OrderKey((1 << 52) + 3)), ..stub() };
    let reply = Removed { stub: reply, ..removed.clone() };
    let reply = amendment(Change::Removed(reply), unchanged.clone(), nothing());
    let removed = amendment(Change::Removed(removed), unchanged, nothing());
    vec![
        ("empty", AmendmentPage::default()),
        ("replaced", AmendmentPage::new([(1, replaced.clone())], nothing())),
        ("removed", AmendmentPage::new([(33, removed.clone())], nothing())),
        ("all", AmendmentPage::new([(33, removed), (34, replaced), (64, receipt)], nothing())),
        ("later", AmendmentPage::new([(7, with_later)], later())),
        ("revoked", AmendmentPage::new([(33, revoked)], nothing())),
        ("edited", AmendmentPage::new([(1, edited)], nothing())),
        ("reacted", AmendmentPage::new([(1, reacted)], nothing())),
        ("read", AmendmentPage::new([(1, read)], nothing())),
        ("replied", AmendmentPage::new([(1, replied)], nothing())),
        ("removed-reply", AmendmentPage::new([(33, reply)], nothing())),
    ]
}

/// A page with one amendment of a later release: with a content type and a receipt's status that
/// this one does not know.
fn page_of_a_later_release(text: &str) -> Bytes {
    let mut amendment = fields::FieldsOut::default();
    amendment.put_always(1, &3_u64).expect("fits");
    amendment.put_always(2, &30_u64).expect("fits");
    amendment.put_always(4, &std::collections::BTreeMap::from([("300", text)])).expect("fits");
    amendment.put_always(5, "more").expect("fits");
    amendment.put_always(6, &9_u8).expect("fits");
    let amendment = amendment.entry(1, &LaterFields::default()).expect("fits");
    let mut page = fields::FieldsOut::default();
    page.put_always(1, &[serde_bytes::Bytes::new(&amendment)]).expect("fits");
    page.entry(1, &LaterFields::default()).expect("fits")
}

#[test]
fn unknown_fields_of_an_amendment_are_kept_until_it_is_replaced() {
    // Longer than the bound for unknown fields.
    let text = "later".repeat(8000);
    let (written, key) = (page_of_a_later_release(&text), OrderKey(30));
    let mut page = amendments::decode(&written).expect("readable");
    let of_later = page.get(3, key).expect("an amendment").clone();
    assert!(matches!(of_later.change, Change::Unknown(_)), "{of_later:?}");
    assert!(matches!(of_later.receipt, Receipt::Unknown(_)), "{of_later:?}");
    assert_eq!(amendments::encode(&page).expect("fits"), written);

    // Another message is amended by this release.
    page.amend(4, OrderKey(40)).receipt = Receipt::Changed(ReceiptStatus::Done);
    let written = amendments::encode(&page).expect("fits");
    let mut page = amendments::decode(&written).expect("readable");
    assert_eq!(page.get(3, key), Some(&of_later));

    // Fields that this release writes replace the unknown ones. Nothing of a removed message's
    // content is left.
    let amendment = page.amend(3, key);
    amendment.receipt = Receipt::Changed(ReceiptStatus::Done);
    let stub = Stub { key, mark: Mark { seq: 3, counted: 3 }, ..stub() };
    amendment.change =
        Change::Removed(Removed { stream_seq: 7, stored_ms: 8, stub, revocation: None });
    let changed = amendment.clone();
    let written = amendments::encode(&page).expect("fits");
    let page = amendments::decode(&written).expect("readable");
    assert_eq!(page.get(3, key), Some(&changed));
    assert!(written.windows(5).all(|part| part != b"later"), "its content is still there");
}
