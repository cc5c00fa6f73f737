mod amended;

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde::ser::Error as _;

use super::*;
use crate::wire::packed::EncodeError;
use peerd_core::conversation::{
    Cleared, Delisted, Mark, MarkedUnread, NotificationStatus, Removing,
};
use peerd_core::deletions::Deletions;
use peerd_core::encoding::Encoding;
use peerd_core::id::{Direction, OrderKey};
use peerd_core::later::LaterFields;
use peerd_core::limits::SUBSCRIPTIONS_MAX;
use peerd_core::marks::{ConversationMark, ConversationMarks};
use peerd_core::pages::AmendedPages;
use peerd_core::pins::{Pin, PinnedId, Pins};
use peerd_core::privacy::{Hidden, Privacy};
use peerd_core::receipt::ReceiptMarks;
use peerd_core::subscriptions::{Subscription, Subscriptions};
use peerd_core::user::Session;
use peerd_core::user_info::Profile;
use peerd_core::user_status::CustomStatus;

/// Entries as each version writes them. As with records, a line is never changed.
const ACCOUNTS_V1: &str = include_str!("../../tests/golden/accounts-v1.txt");
const ACCOUNTS_V2: &str = include_str!("../../tests/golden/accounts-v2.txt");
const ACCOUNTS: &str = include_str!("../../tests/golden/accounts-v3.txt");
const SETTINGS_V1: &str = include_str!("../../tests/golden/settings-v1.txt");
const SETTINGS: &str = include_str!("../../tests/golden/settings-v2.txt");
const PAGES_V1: &str = include_str!("../../tests/golden/pages-v1.txt");
const PAGES: &str = include_str!("../../tests/golden/pages-v2.txt");
const BLOCKS_V1: &str = include_str!("../../tests/golden/blocks-v1.txt");
const BLOCKS_V2: &str = include_str!("../../tests/golden/blocks-v2.txt");
const AMENDMENTS: &str = include_str!("../../tests/golden/amendments-v1.txt");
const SUBSCRIPTIONS: &str = include_str!("../../tests/golden/subscriptions-v1.txt");
const BLOCKS: &str = include_str!("../../tests/golden/blocks-v3.txt");

fn golden(file: &'static str) -> Vec<(&'static str, Vec<u8>)> {
    crate::wire::golden::lines(file)
}

/// Fields of a later release.
fn later() -> LaterFields {
    LaterFields::new(2, b"\xcc\xc8\x93\x01\xa1x\xc0\x3f\xc3")
}

fn accounts() -> Vec<(&'static str, Account)> {
    let session = |id: &str, since_ms, platform: &str, device_id: &str, encoding| Session {
        id: id.into(),
        since_ms,
        platform: platform.into(),
        device_id: device_id.into(),
        encoding,
    };
    let sessions = vec![
        session("S1", 1_800_000_000_000, "ios", "d-1", Some(Encoding::Json)),
        session("S2", 1_800_000_000_500, "", "", Some(Encoding::MessagePack)),
    ];
    let of_before = vec![session("S1", 1_800_000_000_000, "ios", "d-1", None)];
    let last_seen_ms = Some(1_800_000_001_000);
    vec![
        ("empty", Account::default()),
        (
            "logged-in",
            Account {
                profile: named("B\u{e9}la"),
                extended_data: None,
                privacy: Privacy::default(),
                custom_status: None,
                sessions,
                last_seen_ms,
                revision: 1 << 50,
                reported_up_to: OrderKey::ZERO,
                later: LaterFields::default(),
            },
        ),
        (
            "logged-out",
            Account {
                profile: named("Anna"),
                extended_data: None,
                privacy: Privacy::default(),
                custom_status: None,
                sessions: Vec::new(),
                last_seen_ms,
                revision: 0,
                reported_up_to: OrderKey::ZERO,
                later: LaterFields::default(),
            },
        ),
        (
            "logged-in-before-version-2",
            Account {
                profile: named(""),
                extended_data: None,
                privacy: Privacy::default(),
                custom_status: None,
                sessions: of_before,
                last_seen_ms: None,
                revision: 0,
                reported_up_to: OrderKey::ZERO,
                later: LaterFields::default(),
            },
        ),
        ("later", Account { revision: 3, later: later(), ..Account::default() }),
        (
            "profile",
            Account {
                profile: Profile {
                    avatar_url: Some("https://example.com/a.png".into()),
                    ..named("Anna")
                },
                extended_data: Some("{\"mood\": 1}".into()),
                privacy: Privacy::default().with(Hidden::Typing, true),
                revision: 4,
                ..Account::default()
            },
        ),
        (
            "custom-status",
            Account {
                custom_status: Some(Arc::new(CustomStatus {
                    text: "on a train".to_owned(),
                    since_ms: 1_800_000_000_000,
                    until_ms: 1_800_003_600_000,
                })),
                ..Account::default()
            },
        ),
        ("reported", Account { reported_up_to: OrderKey((1 << 52) + 7), ..Account::default() }),
    ]
}

fn named(name: &str) -> Profile {
    Profile { name: name.to_owned(), avatar_url: None }
}

/// The accounts of version 1: the first of [`accounts`] without the fields that it does not know.
fn accounts_v1() -> Vec<(&'static str, Account)> {
    let mut accounts = accounts();
    accounts.truncate(3);
    for (_, account) in &mut accounts {
        account.sessions.iter_mut().for_each(|session| session.encoding = None);
    }
    accounts
}

fn page(direction: Direction, number: u64) -> PageId {
    PageId { direction, number }
}

fn settings() -> Vec<(&'static str, Settings)> {
    let pages = [
        (page(Direction::Receive, 0), Bitmap::from_bytes(&[1, 0, 128])),
        (page(Direction::Send, 7), Bitmap::from_bytes(&[255; 128])),
    ];
    let everything = Settings {
        changed: OrderKey((1 << 52) + 7),
        kept: true,
        notification: NotificationStatus::DoNotDisturb,
        pinned_ms: 1_800_000_000_000,
        draft: None,
        marks: ConversationMarks::default(),
        read: Mark { seq: 300, counted: 299 },
        deleted_unread: 2,
        marked_unread: None,
        delisted: None,
        cleared_received: Cleared { seq: 200, key: OrderKey(1 << 51) },
        cleared_sent: Cleared { seq: 100, key: OrderKey((1 << 51) + 1) },
        deleted: Deletions::new(pages, false, true),
        received_mark: Mark { seq: 70_000, counted: 69_000 },
        sent_mark: Mark { seq: 5, counted: 4 },
        amended_received: AmendedPages::default(),
        amended_sent: AmendedPages::default(),
        removing: None,
        receipts: ReceiptMarks::default(),
        pins: Pins::default(),
        pinned_up_to: OrderKey::ZERO,
        later: LaterFields::default(),
    };
    let spilled_sent = Settings { deleted: Deletions::new([], true, false), ..Settings::default() };
    let mark = |number| ConversationMark::new(number).expect("a mark");
    let marks = ConversationMarks::default().with(mark(1), true).with(mark(20), true);
    let with_later = Bitmap::from_bytes(&[1]).with_later(later());
    let with_later = Deletions::new([(page(Direction::Send, 3), with_later)], false, false);
    vec![
        ("first-contact", Settings { changed: OrderKey(9), ..Settings::default() }),
        ("everything", everything),
        ("spilled-sent", spilled_sent),
        ("later", Settings { deleted: with_later, later: later(), ..Settings::default() }),
        (
            "amended",
            Settings {
                amended_received: AmendedPages::new([(0, 3), (9, 9)]),
                amended_sent: AmendedPages::new([(1 << 40, 1 << 40)]),
                ..Settings::default()
            },
        ),
        (
            "draft-and-marks",
            Settings { draft: Some("D\u{e9}ar".into()), marks, ..Settings::default() },
        ),
        (
            "marked-unread",
            Settings {
                marked_unread: Some(MarkedUnread { sent: 0, read: 300 }),
                ..Settings::default()
            },
        ),
        (
            "deleted",
            Settings {
                delisted: Some(Delisted { received: 0, sent: 70_000 }),
                ..Settings::default()
            },
        ),
        (
            "removing",
            Settings {
                removing: Some(Removing { seq: 33, key: OrderKey((1 << 52) + 5) }),
                ..Settings::default()
            },
        ),
        (
            "receipts",
            Settings {
                receipts: ReceiptMarks {
                    sent: OrderKey((1 << 52) + 5),
                    begun: OrderKey((1 << 52) + 6),
                    received: OrderKey(1),
                    ..ReceiptMarks::default()
                },
                ..Settings::default()
            },
        ),
        (
            "pins",
            Settings {
                pins: Pins::new(vec![Pin {
                    message: PinnedId { key: OrderKey(5), from_keeper: true },
                    by_keeper: false,
                    at_ms: 300,
                }]),
                pinned_up_to: OrderKey(7),
                ..Settings::default()
            },
        ),
        ("delivered", delivered()),
    ]
}

fn delivered() -> Settings {
    let delivered = OrderKey((1 << 52) + 7);
    let receipts = ReceiptMarks { delivered, ..ReceiptMarks::default() };
    Settings { receipts, ..Settings::default() }
}

fn pages() -> Vec<(&'static str, Bitmap)> {
    vec![
        ("empty", Bitmap::default()),
        ("some", Bitmap::from_bytes(&[1, 0, 128])),
        ("full", Bitmap::from_bytes(&[255; 128])),
        ("later", Bitmap::from_bytes(&[1]).with_later(later())),
    ]
}

#[test]
fn every_entry_has_its_golden_bytes() {
    let accounts = accounts();
    let written = accounts.iter().map(|(name, it)| (*name, account::encode(it)));
    assert_written(written, ACCOUNTS);
    let settings = settings();
    let written = settings.iter().map(|(name, it)| (*name, conversation::encode(it)));
    assert_written(written, SETTINGS);
    let pages = pages();
    assert_written(pages.iter().map(|(name, it)| (*name, deletions::encode(it))), PAGES);
    let pages = amended::pages();
    let encode = |page| amendments::encode(page).map_err(EncodeError::custom);
    let written = pages.iter().map(|(name, it)| (*name, encode(it)));
    assert_written(written, AMENDMENTS);
}

fn assert_written<'a>(
    written: impl Iterator<Item = (&'a str, Result<Bytes, EncodeError>)>,
    file: &'static str,
) {
    let bytes = |(name, bytes): (&'a str, Result<Bytes, _>)| (name, bytes.expect("fits").to_vec());
    crate::wire::golden::assert_same(&written.map(bytes).collect::<Vec<_>>(), &golden(file));
}

#[test]
fn golden_bytes_are_read_back_as_what_was_written() {
    for ((name, account), (_, bytes)) in accounts().into_iter().zip(golden(ACCOUNTS)) {
        assert_eq!(account::decode(&bytes), Ok(account), "{name}");
    }
    for ((name, account), (_, bytes)) in accounts_v1().into_iter().zip(golden(ACCOUNTS_V1)) {
        assert_eq!(account::decode(&bytes), Ok(account), "{name} of version 1");
    }
    for ((name, account), (_, bytes)) in accounts().into_iter().zip(golden(ACCOUNTS_V2)) {
        assert_eq!(account::decode(&bytes), Ok(account), "{name} of version 2");
    }
    for ((name, settings), (_, bytes)) in settings().into_iter().zip(golden(SETTINGS_V1)) {
        assert_eq!(conversation::decode(&bytes), Ok(settings), "{name} of version 1");
    }
    for ((name, page), (_, bytes)) in pages().into_iter().zip(golden(PAGES_V1)) {
        assert_eq!(deletions::decode(&bytes), Ok(page), "{name} of version 1");
    }
    for ((name, settings), (_, bytes)) in settings().into_iter().zip(golden(SETTINGS)) {
        assert_eq!(conversation::decode(&bytes), Ok(settings), "{name}");
    }
    for ((name, page), (_, bytes)) in amended::pages().into_iter().zip(golden(AMENDMENTS)) {
        assert_eq!(amendments::decode(&bytes), Ok(page), "{name}");
    }
    for ((name, of), (_, bytes)) in all_subscriptions().into_iter().zip(golden(SUBSCRIPTIONS)) {
        assert_eq!(subscriptions::decode(&bytes), Ok(of), "{name}");
    }
    for ((name, page), (_, bytes)) in pages().into_iter().zip(golden(PAGES)) {
        assert_eq!(deletions::decode(&bytes), Ok(page), "{name}");
    }
}

fn all_subscriptions() -> Vec<(&'static str, Subscriptions)> {
    let subscription = |name: &str, since_ms, until_ms| {
        let user = UserId::new(name, "userID").expect("a userID");
        (user, Subscription { since_ms, until_ms })
    };
    let one = subscription("b.o b", 1_800_000_000_000, 1_800_086_400_000);
    let two = subscription("bob", 1_800_000_000_500, 1_800_000_060_500);
    let of = [two.clone()].into_iter().collect();
    vec![
        ("two", Subscriptions { of: [one, two].into_iter().collect(), ..Subscriptions::default() }),
        ("later", Subscriptions { of, later: later() }),
    ]
}

#[test]
fn subscriptions_have_their_golden_bytes_and_bounds() {
    let all = all_subscriptions();
    let written = all.iter().map(|(name, of)| (*name, subscriptions::encode(of)));
    assert_written(written, SUBSCRIPTIONS);
    let none = subscriptions::encode(&Subscriptions::default()).expect("writable");
    assert_eq!(subscriptions::decode(&none), Ok(Subscriptions::default()));
    let mut many = Subscriptions::default();
    for number in 0..=SUBSCRIPTIONS_MAX {
        let user = UserId::new(&format!("u{number}"), "userID").expect("a userID");
        many.of.insert(user, Subscription { since_ms: 1, until_ms: 2 });
    }
    let bytes = subscriptions::encode(&many).expect("writable");
    assert!(subscriptions::decode(&bytes).is_err());
}

/// The reason for which each reader refuses the bytes; `None` if it reads them.
fn refusals(bytes: &[u8]) -> [Option<String>; 5] {
    let text = |error: RecordError| error.to_string();
    [
        account::decode(bytes).err().map(text),
        conversation::decode(bytes).err().map(text),
        deletions::decode(bytes).err().map(text),
        amendments::decode(bytes).err().map(text),
        subscriptions::decode(bytes).err().map(text),
    ]
}

/// The golden bytes of the newest version of each kind.
fn all_golden() -> Vec<(usize, Vec<u8>)> {
    let files = [ACCOUNTS, SETTINGS, PAGES, AMENDMENTS, SUBSCRIPTIONS].into_iter().enumerate();
    let lines = |(kind, file)| golden(file).into_iter().map(move |(_, bytes)| (kind, bytes));
    files.flat_map(lines).collect()
}

#[test]
fn an_entry_of_an_unknown_version_is_refused() {
    for (kind, mut bytes) in all_golden() {
        bytes[1] += 1;
        let unknown = format!("its version {} is unknown", bytes[1]);
        let error = refusals(&bytes)[kind].clone().expect("a refusal");
        assert!(error.ends_with(&unknown), "{error}");
    }
}

#[test]
fn an_entry_of_another_kind_or_cut_short_is_refused() {
    for (kind, bytes) in all_golden() {
        for (reader, refusal) in refusals(&bytes).iter().enumerate() {
            assert_eq!(refusal.is_none(), reader == kind, "{bytes:?}: {refusal:?}");
        }
        for length in 0..bytes.len() {
            assert!(refusals(&bytes[..length]).iter().all(Option::is_some), "cut to {length}");
        }
    }
}

#[test]
fn a_block_has_its_golden_bytes_and_an_empty_entry_is_none() {
    let blocks = [("first", 1), ("blocked", (1 << 52) + 6)];
    let blocks = blocks.map(|(name, number)| (name, BlockNumber(number)));
    let written = blocks.iter().map(|(name, block)| (*name, block::encode(Some(*block))));
    assert_written(written, BLOCKS);
    for (_, bytes) in golden(BLOCKS_V1) {
        assert_eq!(block::decode(&bytes), Ok(Some(BlockNumber::UNKNOWN)));
    }
    for ((name, bytes), (_, block)) in golden(BLOCKS_V2).into_iter().zip(blocks) {
        assert_eq!(block::decode(&bytes), Ok(Some(block)), "{name} of version 2");
    }
    for ((name, mut bytes), (_, block)) in golden(BLOCKS).into_iter().zip(blocks) {
        assert_eq!(block::decode(&bytes), Ok(Some(block)), "{name}");
        assert!(refusals(&bytes).iter().all(Option::is_some), "{name}");
        assert!(block::decode(&bytes[..1]).is_err(), "{name} cut short");
        bytes[1] = 4;
        let error = block::decode(&bytes).expect_err("a refusal").to_string();
        assert!(error.ends_with("its version 4 is unknown"), "{error}");
    }
    let beyond = block::encode(Some(BlockNumber(1 << 53))).expect("fits");
    assert!(block::decode(&beyond).is_err(), "no number of the protocol");
    assert!(block::encode(None).expect("fits").is_empty());
    assert_eq!(block::decode(&[]), Ok(None));
    for (_, bytes) in all_golden() {
        assert!(block::decode(&bytes).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn a_damaged_entry_is_never_the_end_of_the_daemon(
        which in 0..21_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (_, mut bytes) = all_golden().swap_remove(which);
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = refusals(&bytes);
    }
}

#[test]
fn a_key_is_parsed_as_it_was_built_for_every_user_id() {
    let subjects = Subjects::new("acme.peer", 8);
    let partition = Partition(3);
    let names =
        ["alice", "account", "subscriptions", "conversation", "blocked", "deleted", "sent", "a.b"];
    for user in names {
        for other in names {
            let id = |name: &str| UserId::new(name, "userID").expect("a userID");
            let (me, they) = (Token::of(&id(user)), Token::of(&id(other)));
            let page = page(Direction::Receive, 7);
            for (subject, key) in [
                (account::key(&subjects, partition, &me), Key::Account),
                (subscriptions::key(&subjects, partition, &me), Key::Subscriptions),
                (conversation::key(&subjects, partition, &me, &they), Key::Conversation(id(other))),
                (block::key(&subjects, partition, &me, &they), Key::Block(id(other))),
                (
                    deletions::key(&subjects, partition, &me, &they, page),
                    Key::Deletions(id(other), page),
                ),
                (
                    amendments::key(&subjects, partition, &me, &they, 12),
                    Key::Amendments(id(other), 12),
                ),
            ] {
                let parsed = Key::parse(&subjects, partition, &subject);
                assert_eq!(parsed, Ok(Some((id(user), key))), "{subject}");
            }
        }
    }
    for unknown in ["=.=", "alice.draft.bob", "alice.account.x", "alice.subscriptions.x", "alice"] {
        let subject = format!("{}{unknown}", subjects.state_prefix(partition));
        assert_eq!(Key::parse(&subjects, partition, &subject), Ok(None), "{unknown}");
    }
    for bad in [
        "%.account",
        "alice.blocked.%",
        "alice.deleted.bob.up.1",
        "alice.deleted.bob.sent.x",
        "alice.amendments.bob.x",
    ] {
        let subject = format!("{}{bad}", subjects.state_prefix(partition));
        assert!(Key::parse(&subjects, partition, &subject).is_err(), "{bad}");
    }
}
