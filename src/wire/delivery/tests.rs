use super::*;
use crate::domain::content::Content;
use crate::domain::conversation::{Mark, PagePointers};
use crate::domain::message::{Message, ReceiptStatus};
use crate::domain::send::Push;

fn user(id: &str) -> UserId {
    UserId::new(id, "userID").expect("a valid ID")
}

fn delivery() -> Delivery {
    Delivery {
        from: user("alice"),
        from_name: "Alice".to_owned(),
        send: Send {
            to: user("bob"),
            to_field: "toUserID",
            draft: Draft {
                content: Content::Command { message: vec![0, 255] },
                local_id: Some(LocalMessageId::new("l1").expect("a valid ID")),
                extended_data: "x".to_owned(),
            },
            options: SendOptions {
                push: Some(Push { title: "t".to_owned(), ..Push::default() }),
                has_receipt: true,
                is_retry: false,
                not_counted: true,
            },
        },
        timestamp_ms: 1_800_000_000_000,
        floor: OrderKey(77),
        sent_seq: 4,
    }
}

fn message() -> Message {
    Message {
        sender: user("alice"),
        receiver: user("bob"),
        partition: Partition(3),
        key: OrderKey(99),
        seq: 5,
        timestamp_ms: 1_800_000_000_000,
        local_id: None,
        receipt: ReceiptStatus::None,
        counts: true,
        extended_data: String::new(),
        content: Content::Text { message: "hello".to_owned() },
    }
}

#[test]
fn a_request_survives_the_wire() {
    let again = Purpose::DeliverAgain(1_800_000_000_123);
    for purpose in [Purpose::Deliver, again, Purpose::Ask, Purpose::Repeat] {
        let bytes = encode(&delivery(), purpose).expect("writable");
        let ask = Ask::Deliver(Box::new(delivery()), purpose);
        assert_eq!(decode(&bytes, &user("bob")), Ok(ask));
    }
    let bytes = encode_settle(&user("carol"), OrderKey(99)).expect("writable");
    assert_eq!(decode(&bytes, &user("bob")), Ok(Ask::Settle(user("carol"), OrderKey(99))));
    let bytes = encode_look_again(&user("carol")).expect("writable");
    assert_eq!(decode(&bytes, &user("bob")), Ok(Ask::LookAgain(user("carol"))));
    let bytes = encode_inquiry("_INBOX.x.7").expect("writable");
    assert_eq!(decode(&bytes, &user("bob")), Ok(Ask::Inquire("_INBOX.x.7".to_owned())));
}

/// Two releases meet in a rolling update: the one before knows neither of the field that a request
/// has only where it is sent again, nor of inquiries.
#[test]
fn a_request_that_is_not_sent_again_is_what_it_was() {
    let bytes = encode(&delivery(), Purpose::Deliver).expect("writable");
    assert_eq!(bytes[..3], [0x9e, 1, DELIVER], "an array of 14");
    let bytes = encode(&delivery(), Purpose::DeliverAgain(1)).expect("writable");
    assert_eq!(bytes[..3], [0x9f, 1, DELIVER_AGAIN], "an array of 15");
    let bytes = encode_answer(&Err(Failure::Internal.into())).expect("writable");
    assert!(is_not_understood(&bytes));
}

#[test]
fn an_answer_is_told_from_what_others_reply() {
    let known_for = Duration::from_millis(1_234);
    for inquiry in [Inquiry::Begun, Inquiry::NotBegun { known_for }] {
        let bytes = encode_inquired(inquiry).expect("writable");
        assert_eq!(decode_inquired(&bytes), Ok(inquiry));
        assert!(!is_answer(&bytes));
    }
    let answer = encode_answer(&Ok(None)).expect("writable");
    assert!(is_answer(&answer));
    let request = encode(&delivery(), Purpose::Deliver).expect("writable");
    let inquiry = encode_inquiry("_INBOX.x.7").expect("writable");
    for other in [&b""[..], b"ok", b"{}", &request, &inquiry, &answer[..answer.len() - 1]] {
        assert!(!is_answer(other), "{other:?}");
        assert!(decode_inquired(other).is_err(), "{other:?}");
    }
}

#[test]
fn an_answer_survives_the_wire() {
    let (alice, bob) = (user("alice"), user("bob"));
    let mark = Mark { seq: 5, counted: 4 };
    let page = PagePointers { first: 0, previous: 7 };
    let placed = Placed { message: message(), mark, page, expected_seq: 0 };
    let delivered = |head, is_duplicate| {
        let message = Arc::new(message());
        Ok(Some(Delivered { message, head, receiver_name: "Bob".to_owned(), is_duplicate }))
    };
    let answers: [Answer; 12] = [
        Ok(None),
        delivered(Some(placed.head(12)), false),
        delivered(None, true),
        delivered(None, false),
        Err(Rejection::TargetNotFound.into()),
        Err(Rejection::BlockedByReceiver.into()),
        Err(Rejection::LocalMessageIdReused.into()),
        Err(Failure::Overloaded { retry_after_ms: 9 }.into()),
        Err(Failure::NoOwner { retry_after_ms: 8 }.into()),
        Err(Failure::Internal.into()),
        Err(Failure::StoreUnavailable.into()),
        Err(Failure::OutcomeUnknown.into()),
    ];
    for answer in answers {
        let bytes = encode_answer(&answer).expect("writable");
        assert_eq!(decode_answer(&bytes, &alice, &bob, Partition(3)), Ok(answer));
    }
}

#[test]
fn what_is_neither_is_refused() {
    let (alice, bob) = (user("alice"), user("bob"));
    let whole = encode(&delivery(), Purpose::Deliver).expect("writable");
    let cut = &whole[..whole.len() - 1];
    for bad in [&b""[..], b"\x93", b"\x93\x01", b"\x93\x02\x00\x00", b"\x93\x01\x09\x00", cut] {
        assert!(decode(bad, &bob).is_err(), "{}", bad.escape_ascii());
        assert!(decode_answer(bad, &alice, &bob, Partition(3)).is_err());
    }
}
