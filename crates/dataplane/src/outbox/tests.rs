use std::sync::Arc;

use super::*;

const MAX_PAYLOAD: usize = 100;

fn outbox() -> Outbox {
    Outbox::new(100, 4096)
}

fn to(subject: &[u8]) -> Publish<'_> {
    Publish { subject, ..Publish::default() }
}

async fn taken(outbox: &Outbox) -> String {
    let mut batch = Vec::new();
    assert!(outbox.take(&mut batch).await);
    String::from_utf8(batch).expect("text")
}

#[tokio::test]
async fn frames_are_written_one_after_another() {
    let outbox = outbox();
    outbox.open(b"SUB a 1\r\n");
    let plain = Publish { payload: b"x", ..to(b"a") };
    let headers = b"NATS/1.0\r\n\r\n";
    let whole = Publish { reply: Some(b"r"), headers, payload: b"hi", ..to(b"b") };
    outbox.publish(&plain, MAX_PAYLOAD).expect("room");
    outbox.publish(&whole, MAX_PAYLOAD).expect("room");
    assert!(outbox.control(b"UNSUB 1\r\n"));
    let expected = "SUB a 1\r\nPUB a 1\r\nx\r\nHPUB b r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1\r\n";
    assert_eq!(taken(&outbox).await, expected);
}

#[tokio::test]
async fn messages_for_which_a_server_would_close_the_connection_are_refused() {
    let outbox = outbox();
    outbox.open(b"");
    for (subject, reply) in
        [(&b""[..], None), (b"a b", None), (b"a\tb", None), (b"a\r\nPING", None), (b"a", Some(b""))]
    {
        let message = Publish { reply: reply.map(|reply: &[u8; 0]| &reply[..]), ..to(subject) };
        assert_eq!(outbox.publish(&message, MAX_PAYLOAD), Err(PublishError::Subject));
    }
    let long = vec![b'a'; 4090];
    assert_eq!(outbox.publish(&to(&long), MAX_PAYLOAD), Err(PublishError::SubjectTooLong));
    let reply = Publish { reply: Some(&long), ..to(b"a") };
    assert_eq!(outbox.publish(&reply, MAX_PAYLOAD), Err(PublishError::SubjectTooLong));
    let large = Publish { headers: &[b'a'; 50], payload: &[0; 51], ..to(b"a") };
    assert_eq!(outbox.publish(&large, MAX_PAYLOAD), Err(PublishError::TooLarge));
}

#[tokio::test]
async fn publishing_waits_for_a_connection_and_for_room() {
    let outbox = Arc::new(outbox());
    assert_eq!(outbox.publish(&to(b"a"), MAX_PAYLOAD), Err(PublishError::NotConnected));
    let waiting = {
        let outbox = outbox.clone();
        tokio::spawn(async move {
            outbox.when_possible(|| outbox.publish(&to(b"late"), MAX_PAYLOAD)).await
        })
    };
    tokio::task::yield_now().await;
    // The buffer is full from the beginning.
    outbox.open(&[b'x'; 100]);
    tokio::task::yield_now().await;
    assert_eq!(outbox.publish(&to(b"a"), MAX_PAYLOAD), Err(PublishError::Full));
    assert!(!waiting.is_finished());
    assert_eq!(taken(&outbox).await.len(), 100);
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
    assert_eq!(taken(&outbox).await, "PUB late 0\r\n\r\n");
    outbox.close();
    assert_eq!(outbox.publish(&to(b"a"), MAX_PAYLOAD), Err(PublishError::Closed));
    assert!(!outbox.take(&mut Vec::new()).await);
}

#[tokio::test]
async fn buffered_messages_are_lost_with_the_connection() {
    let outbox = outbox();
    outbox.open(b"");
    outbox.publish(&to(b"a"), MAX_PAYLOAD).expect("room");
    let ping = outbox.ping(b"").expect("a connection");
    outbox.lost();
    ping.await.expect_err("no answer can come");
    assert_eq!(outbox.ping(b"").err(), Some(Disconnected));
    assert!(!outbox.control(b"UNSUB 1\r\n"));
    outbox.open(b"SUB b 2\r\n");
    assert_eq!(taken(&outbox).await, "SUB b 2\r\n");
}

#[tokio::test]
async fn pongs_come_in_the_order_of_the_pings() {
    let outbox = outbox();
    outbox.open(b"");
    let mut first = outbox.ping(b"").expect("a connection");
    assert_eq!(outbox.ping_own(), 0);
    let mut last = outbox.ping(b"UNSUB 1\r\n").expect("a connection");
    assert_eq!(outbox.ping_own(), 1);
    assert_eq!(taken(&outbox).await, "PING\r\nPING\r\nUNSUB 1\r\nPING\r\nPING\r\n");
    assert!(first.try_recv().is_err());
    outbox.pong();
    first.try_recv().expect("the first is answered");
    outbox.pong();
    assert!(last.try_recv().is_err());
    outbox.pong();
    last.try_recv().expect("the last is answered");
    // A surplus PONG changes nothing.
    outbox.pong();
    outbox.pong();
}
