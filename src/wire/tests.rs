//! The golden bytes of the parts of owner requests: two releases meet in a rolling update.

use bytes::Bytes;
use serde::Serialize;

use super::amend::{self, AmendAnswer, AmendPart, PublishPart};
use super::golden;
use super::pin::{self, PinPart, PinsChanged};
use peerd_core::amend::{Notice, Operation};
use peerd_core::content::Content;
use peerd_core::id::{OrderKey, UserId};
use peerd_core::pins::{PinChange, PinStatus, PinnedId};
use peerd_core::reaction::ReactionChange;
use peerd_core::reply::RepliesUpTo;

const PARTS: &str = include_str!("../../tests/golden/parts-v1.txt");
const KEY: OrderKey = OrderKey(0x0010_0000_0000_0005);

fn written(part: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(part).expect("writable")
}

fn operations() -> [(&'static str, Operation); 9] {
    let text = |text: &str| Content::Text { message: text.to_owned() };
    let edit = |expected_edited_ms| Operation::Edit {
        content: text("edited"),
        extended_data: "x".to_owned(),
        expected_edited_ms,
    };
    let note = |counted| Operation::NoteReply { after: 300, to_original: true, counted };
    let counted = RepliesUpTo { seq: 7, stream_seq: 8, count: 9 };
    [
        ("revoke", Operation::Revoke { extended_data: "gone".to_owned() }),
        ("edit", edit(None)),
        ("edit-expected", edit(Some(1_800_000_000_000))),
        ("react", Operation::React { kind: "like".to_owned(), increase: 2 }),
        ("unreact", Operation::Unreact { kind: "like".to_owned() }),
        ("unreact-all", Operation::UnreactAll),
        ("read", Operation::Read),
        ("note-reply", note(None)),
        ("note-reply-counted", note(Some(counted))),
    ]
}

fn notices() -> [(&'static str, Notice); 5] {
    let by = UserId::new("alice", "userID").expect("a valid ID");
    let kinds = vec!["like".to_owned(), "+1".to_owned()];
    [
        ("publish-revoked", Notice::Revoked),
        ("publish-edited", Notice::Edited),
        ("publish-reactions", Notice::Reactions(ReactionChange { by, kinds, is_added: true })),
        ("publish-read", Notice::Read),
        ("publish-replied", Notice::Replied),
    ]
}

#[test]
fn parts_have_their_golden_bytes_and_are_read_back() {
    let mut parts = Vec::new();
    for (name, operation) in operations() {
        let bytes = written(&AmendPart::Store(amend::StorePart::new(KEY, &operation)));
        let Ok(AmendPart::Store(read)) = rmp_serde::from_slice(&bytes) else { panic!("{name}") };
        assert_eq!(read.into_operation(), (KEY, operation));
        parts.push((name, bytes));
    }
    parts.push(("announce", written(&AmendPart::Announce(vec![1, 300]))));
    for (name, notice) in notices() {
        let bytes = written(&AmendPart::Publish(PublishPart::new(&[KEY], &notice, 300)));
        let Ok(AmendPart::Publish(read)) = rmp_serde::from_slice(&bytes) else { panic!("{name}") };
        assert_eq!(read.into_notice(), Ok((vec![KEY], notice)));
        parts.push((name, bytes));
    }
    parts.push(("unchanged", written(&AmendAnswer::unchanged())));
    let amendment = Bytes::from_static(b"amendment");
    let amended = AmendAnswer::amended(&amendment, &Notice::Edited, 300, 7);
    parts.push(("amended", written(&amended)));

    parts.push(("announce-pin", written(&PinPart::Announce(KEY.0))));
    let message = PinnedId { key: KEY, from_keeper: true };
    let change = PinChange { message, by_keeper: false, is_pinned: true, replaces: false };
    parts.push(("pin", written(&PinPart::Store(pin::StorePart::new(&change)))));
    let changed = || PinsChanged::new(&[(message, PinStatus::Updated)], 300);
    parts.push(("publish-pins", written(&PinPart::Publish(changed()))));
    parts.push(("pins-changed", written(&changed())));
    parts.push(("no-pins-changed", written(&PinsChanged::default())));
    golden::assert_same(&parts, &golden::lines(PARTS));
}
