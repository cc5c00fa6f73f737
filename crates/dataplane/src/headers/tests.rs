use proptest::prelude::*;

use super::*;

fn of(block: &[u8]) -> Headers {
    Headers::new(Bytes::copy_from_slice(block), false)
}

#[test]
fn valid_blocks_are_read() {
    let headers = of(b"NATS/1.0\r\nContent-Type:  application/json \r\nPeer-Hops:3\r\n\r\n");
    assert_eq!(headers.check(), Ok(()));
    assert_eq!(headers.get("Content-Type").as_deref(), Some("application/json"));
    assert_eq!(headers.get("Peer-Hops").as_deref(), Some("3"));
    assert_eq!(headers.get("Content"), None);
    assert_eq!(headers.get("content-type"), None, "names are case-sensitive");
    assert_eq!(headers.status(), None);
    let all: Vec<_> = headers.all().collect();
    assert_eq!(all, [("Content-Type", "application/json"), ("Peer-Hops", "3")]);
    for block in [
        &b"NATS/1.0\r\n\r\n"[..],
        b"NATS/1.0\r\nA:\r\n\r\n",
        b"NATS/1.0\nA: 1\n\n",
        b"NATS/1.0 200 fine\r\nA: \xc3\xa4\r\n\r\n",
        b"NATS/1.0\r\nA: 1:2\r\nA: 3\r\n\r\n",
        b"NATS/1.0 \r\nA: 1\r\n\r\n",
    ] {
        assert_eq!(of(block).check(), Ok(()), "{}", block.escape_ascii());
    }
}

#[test]
fn a_value_may_continue_on_the_next_line() {
    let headers = of(b"NATS/1.0\r\nA: one\r\n two\r\n\tthree \r\nB: four\r\n\r\n");
    assert_eq!(headers.check(), Ok(()));
    assert_eq!(headers.get("A").as_deref(), Some("one two\tthree"));
    assert_eq!(headers.get("B").as_deref(), Some("four"));
}

#[test]
fn a_status_is_read_from_the_first_line() {
    assert_eq!(of(b"NATS/1.0 503\r\n\r\n").status(), Some(503));
    assert_eq!(of(b"NATS/1.0 100 Idle Heartbeat\r\n\r\n").status(), Some(100));
    assert_eq!(of(b"NATS/1.0 50\r\n\r\n").status(), None);
}

#[test]
fn each_malformed_block_is_reported_with_its_problem() {
    for (block, malformed) in [
        (&b"NATS/1.0\r\nContent-Type application/json\r\n\r\n"[..], Malformed::Colon),
        (b"", Malformed::Version),
        (b"\r\n\r\n", Malformed::Version),
        (b"Content-Type: application/json\r\n\r\n", Malformed::Version),
        (b"NATS/1.1\r\nA: 1\r\n\r\n", Malformed::Version),
        (b"nats/1.0\r\n\r\n", Malformed::Version),
        (b"NATS/1.0", Malformed::End),
        (b"NATS/1.0\r\n", Malformed::End),
        (b"NATS/1.0\r\nA: 1\r\n", Malformed::End),
        (b"NATS/1.0\r\nA: 1", Malformed::End),
        (b"NATS/1.0\r\n\r\nA: 1\r\n\r\n", Malformed::End),
        (b"NATS/1.0\r\n\r\n\r\n", Malformed::End),
        (b"NATS/1.0 abc\r\n\r\n", Malformed::Status),
        (b"NATS/1.0 5030\r\n\r\n", Malformed::Status),
        (b"NATS/1.0x\r\n\r\n", Malformed::Status),
        (b"NATS/1.0 503 \xff\r\n\r\n", Malformed::Text),
        (b"NATS/1.0\r\nA: \xff\xfe\r\n\r\n", Malformed::Text),
        (b"NATS/1.0\r\nA: 1\x002\r\n\r\n", Malformed::Control),
        (b"NATS/1.0\r\nA: 1\r2\r\n\r\n", Malformed::Control),
        (b"NATS/1.0\r\n: 1\r\n\r\n", Malformed::Name),
        (b"NATS/1.0\r\nA B: 1\r\n\r\n", Malformed::Name),
        (b"NATS/1.0\r\n\xc3\xa4: 1\r\n\r\n", Malformed::Name),
        (b"NATS/1.0\r\n  folded first\r\n\r\n", Malformed::Colon),
        (b"NATS/1.0\r\n\0\0\0\r\n\r\n", Malformed::Colon),
    ] {
        assert_eq!(of(block).check(), Err(malformed), "{}", block.escape_ascii());
    }
    let cut = Headers::new(Bytes::from_static(b"NATS/1.0\r\n\r\n"), true);
    assert_eq!(cut.check(), Err(Malformed::Length));
}

#[test]
fn a_readable_value_is_found_in_a_malformed_block() {
    let headers = of(b"no version\r\nbad\r\nContent-Type: application/json\r\n");
    assert!(headers.is_malformed());
    assert_eq!(headers.get("Content-Type").as_deref(), Some("application/json"));
    assert_eq!(of(b"NATS/1.0\r\nA: \xff\r\n\r\n").get("A"), None);
}

#[test]
fn a_value_cannot_end_its_line() {
    let mut block = block();
    add(&mut block, "Nats-Service-Error", "a\r\n\r\nB: 1\0 \u{e4}");
    add(&mut block, "C", "2");
    end(&mut block);
    let headers = Headers::new(block.into(), false);
    assert_eq!(headers.check(), Ok(()));
    assert_eq!(headers.get("Nats-Service-Error").as_deref(), Some("a????B: 1? \u{e4}"));
    assert_eq!(headers.get("B"), None);
    assert_eq!(headers.get("C").as_deref(), Some("2"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(block in prop::collection::vec(any::<u8>(), 0..200)) {
        let headers = of(&block);
        let _ = (headers.check(), headers.status(), headers.get("A"), headers.all().count());
    }

    #[test]
    fn written_values_are_read_back(value in "\\PC{0,40}", other in any::<String>()) {
        let mut block = block();
        add(&mut block, "A", &other);
        add(&mut block, "B", &value);
        end(&mut block);
        let headers = Headers::new(block.into(), false);
        prop_assert_eq!(headers.check(), Ok(()));
        let read = headers.get("B").map(Cow::into_owned);
        prop_assert_eq!(read.as_deref(), Some(value.trim_ascii()));
    }
}
