//! Messages over a connection.

use std::time::Duration;

use peerd_dataplane::{Options, Publish, PublishError, RequestError, headers};

use crate::nats::Nats;
use crate::support::{Raw, connect, options, server, soon, to, until};

#[tokio::test]
async fn messages_come_with_reply_headers_and_body() {
    let nats = Nats::start().await;
    let (client, _) = connect(&nats.url()).await;
    let mut subscription = client.subscribe("a.*", None);
    let mut block = headers::block();
    headers::add(&mut block, "Content-Type", "application/json");
    headers::end(&mut block);
    let whole =
        Publish { subject: b"a.1", reply: Some(b"r.1"), headers: &block, payload: b"\0body\r\n" };
    client.try_publish(&whole).expect("a connection");
    client.publish(&to("a.2", b"")).await.expect("a connection");
    let message = soon(subscription.next()).await.expect("a message");
    assert_eq!((&message.subject[..], message.reply.as_deref()), (&b"a.1"[..], Some(&b"r.1"[..])));
    assert_eq!(&message.payload[..], b"\0body\r\n");
    let got = message.headers.expect("headers");
    assert_eq!(got.check(), Ok(()));
    assert_eq!(got.get("Content-Type").as_deref(), Some("application/json"));
    let message = soon(subscription.next()).await.expect("a message");
    assert_eq!((&message.subject[..], message.headers, message.reply), (&b"a.2"[..], None, None));
}

#[tokio::test]
async fn nothing_that_a_publisher_sends_ends_the_connection() {
    let nats = Nats::start().await;
    let (client, events) = connect(&nats.url()).await;
    let mut subscription = client.subscribe("a.>", None);
    client.round_trip().await.expect("a connection");
    let mut raw = Raw::connect(nats.port()).await;
    let long = [b"NATS/1.0\r\nA: ".to_vec(), b"x".repeat(500_000), b"\r\n\r\n".to_vec()].concat();
    let many = [b"NATS/1.0\r\n".to_vec(), b"A: 1\r\n".repeat(50_000), b"\r\n".to_vec()].concat();
    let blocks: [&[u8]; 16] = [
        b"",
        b"NATS/1.0\r\nContent-Type application/json\r\n\r\n",
        b"Content-Type: application/json\r\n\r\n",
        b"NATS/2.0\r\nA: 1\r\n\r\n",
        b"NATS/1.0 abc\r\n\r\n",
        b"NATS/1.0\r\nA: \xff\xfe\r\n\r\n",
        b"\xff\xfe\xfd",
        b"\r\n",
        b"\n\n\n\r\r\r",
        b"NATS/1.0\rA: 1\r\r",
        b"NATS/1.0\r\nA: 1",
        b"NATS/1.0\r\n\r\nA: 1\r\n\r\n",
        b"NATS/1.0\r\n: \r\n \r\n\t\r\n\r\n",
        b"\0\0\0\0",
        &long,
        &many,
    ];
    let subjects: [&[u8]; 4] =
        [b"a.b", b"a.\xff\xfe", "a.\u{a0}\u{2003}".as_bytes(), b"a.\x0b\r\x01"];
    for subject in subjects {
        for block in blocks {
            raw.hpub(subject, block, b"body").await;
        }
        raw.send(&[b"PUB ", subject, b" ", subject, b" 0\r\n\r\n"].concat()).await;
    }
    raw.synced().await;
    for subject in subjects {
        for block in blocks {
            let message = soon(subscription.next()).await.expect("a message");
            assert_eq!((&message.subject[..], &message.payload[..]), (subject, &b"body"[..]));
            let came = message.headers.as_ref().map(|headers| &headers.block()[..]);
            assert_eq!(came.unwrap_or_default(), block);
        }
        let message = soon(subscription.next()).await.expect("a message");
        assert_eq!(message.reply.as_deref(), Some(subject));
    }
    assert_eq!(events.all().len(), 1, "connected once, and nothing else: {:?}", events.all());
}

#[tokio::test]
async fn requests_are_answered_refused_or_lost() {
    let mut nats = Nats::start().await;
    let (client, events) = connect(&nats.url()).await;
    let (service, _) = connect(&nats.url()).await;
    let mut requests = service.subscribe("service", None);
    service.round_trip().await.expect("a connection");
    let serving = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.expect("a reply subject");
            // A message of another client comes first, and is not the answer.
            for payload in [&b"no"[..], b"yes"] {
                let answer = Publish { subject: &reply, payload, ..Publish::default() };
                service.publish(&answer).await.expect("a connection");
            }
        }
    });
    let reply = client.new_reply_subject();
    let request = Publish { reply: Some(reply.as_bytes()), ..to("service", b"?") };
    let answer = soon(client.request(&request, |answer| answer.payload == "yes")).await;
    assert_eq!(&answer.expect("an answer").payload[..], b"yes");
    serving.abort();

    let reply = client.new_reply_subject();
    let request = Publish { reply: Some(reply.as_bytes()), ..to("nobody", b"") };
    let answer = soon(client.request(&request, |_| true)).await;
    assert_eq!(answer, Err(RequestError::NoResponders));
    let foreign = Publish { reply: Some(b"_INBOX.x.1"), ..request };
    let refused = soon(client.request(&foreign, |_| true)).await;
    assert_eq!(refused, Err(RequestError::NotSent(PublishError::Subject)));

    // A subscriber that does not answer.
    let mut silent = client.subscribe("silent", None);
    let reply = client.new_reply_subject();
    let request = Publish { reply: Some(reply.as_bytes()), ..to("silent", b"") };
    let asking = async {
        let answer = client.request(&request, |_| true).await;
        assert_eq!(answer, Err(RequestError::Disconnected));
    };
    let killing = async {
        silent.next().await.expect("the request");
        nats.kill9();
    };
    soon(async { tokio::join!(asking, killing) }).await;
    let refused = soon(client.request(&request, |_| true)).await;
    assert_eq!(refused, Err(RequestError::NotSent(PublishError::NotConnected)));
    assert!(soon(client.round_trip()).await.is_err());
    nats.restart().await;
    events.until("Connected { server", 2).await;
    soon(client.round_trip()).await.expect("a connection");
}

#[tokio::test]
async fn a_drained_subscription_loses_nothing_that_its_group_was_sent() {
    const MESSAGES: usize = 20_000;
    let nats = Nats::start().await;
    let (publisher, _) = connect(&nats.url()).await;
    let (other, _) = connect(&nats.url()).await;
    let mut kept = other.subscribe("calls.*", Some("group"));
    other.round_trip().await.expect("a connection");
    let publishing = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let payload = number.to_string();
            publisher.publish(&to("calls.x", payload.as_bytes())).await.expect("a connection");
            if number % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        publisher.round_trip().await.expect("a connection");
    });
    let (client, _) = connect(&nats.url()).await;
    let mut taken = 0;
    // A member of the group joins and leaves while messages are sent to the group.
    while !publishing.is_finished() {
        let mut subscription = client.subscribe("calls.*", Some("group"));
        client.round_trip().await.expect("a connection");
        let mut drained = std::pin::pin!(subscription.drain());
        let mut is_drained = false;
        loop {
            tokio::select! {
                message = subscription.next() => match message {
                    Some(_) => taken += 1,
                    None => break,
                },
                () = &mut drained, if !is_drained => is_drained = true,
            }
        }
        assert!(is_drained, "it has ended by itself");
    }
    publishing.await.expect("no panic");
    other.round_trip().await.expect("a connection");
    while kept.try_next().is_some() {
        taken += 1;
    }
    assert_eq!(taken, MESSAGES);
}

#[tokio::test]
async fn a_subscription_ends_after_so_many_messages() {
    let mut nats = Nats::start().await;
    let (client, events) = connect(&nats.url()).await;
    let mut subscription = client.subscribe("a", None);
    let payloads = async |range: std::ops::Range<u8>| {
        for number in range {
            client.publish(&to("a", &[number])).await.expect("a connection");
        }
        soon(client.round_trip()).await.expect("a connection");
    };
    payloads(0..2).await;
    subscription.end_after(5);
    payloads(2..3).await;
    nats.restart().await;
    events.until("Connected { server", 2).await;
    payloads(3..9).await;
    for number in 0..5 {
        let message = soon(subscription.next()).await.expect("a message");
        assert_eq!(message.payload[..], [number]);
    }
    assert_eq!(soon(subscription.next()).await, None);
}

#[tokio::test]
async fn a_frame_too_large_for_the_server_is_not_sent() {
    let (nats, _dir) = server("max_payload: 1000\n").await;
    let (client, events) = connect(&nats.url()).await;
    assert_eq!(client.max_payload(), 1000);
    assert_eq!(client.try_publish(&to("a", &[0; 1001])), Err(PublishError::TooLarge));
    client.try_publish(&to("a", &[0; 1000])).expect("as large as it may be");
    let reply = "r".repeat(4096);
    let long = Publish { reply: Some(reply.as_bytes()), ..to("a", b"") };
    assert_eq!(client.try_publish(&long), Err(PublishError::SubjectTooLong));
    // The longest line that the server accepts.
    let subject = "a".repeat(4096 - b"PUB  0".len());
    client.try_publish(&to(&subject[..subject.len() - 6], b"")).expect("a subject");
    soon(client.round_trip()).await.expect("a connection");
    assert_eq!(events.all().len(), 1, "{:?}", events.all());
}

#[tokio::test]
async fn a_subscription_that_is_not_read_drops_and_says_so() {
    let nats = Nats::start().await;
    let (mut options, events) = options(&nats.url());
    options.subscription_messages = 10;
    let client = peerd_dataplane::Client::connect(options).await.expect("a connection");
    let mut slow = client.subscribe("slow", None);
    let mut quick = client.subscribe("quick", None);
    for _ in 0..30 {
        client.publish(&to("slow", b"x")).await.expect("a connection");
    }
    client.publish(&to("quick", b"x")).await.expect("a connection");
    soon(quick.next()).await.expect("what others are sent is not held up");
    events.until("SlowConsumer { subject: \"slow\" }", 20).await;
    for _ in 0..10 {
        assert!(slow.try_next().is_some());
    }
    assert_eq!(slow.try_next(), None);
    client.publish(&to("slow", b"x")).await.expect("a connection");
    soon(slow.next()).await.expect("there is room again");
}

#[tokio::test]
async fn a_client_that_is_closed_has_written_everything() {
    let nats = Nats::start().await;
    let (other, _) = connect(&nats.url()).await;
    let mut subscription = other.subscribe("a", None);
    other.round_trip().await.expect("a connection");
    let (client, events) = connect(&nats.url()).await;
    let mut ends = client.subscribe("b", None);
    for _ in 0..1000 {
        client.publish(&to("a", &[0; 100])).await.expect("a connection");
    }
    soon(client.close()).await;
    assert_eq!(client.try_publish(&to("a", b"")), Err(PublishError::Closed));
    assert_eq!(soon(ends.next()).await, None);
    for _ in 0..1000 {
        soon(subscription.next()).await.expect("a message");
    }
    assert_eq!(events.count("Closed"), 1);
    // Dropping the last handle closes it, too.
    let (client, events) = connect(&nats.url()).await;
    drop(client);
    events.until("Closed", 1).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let nats = Nats::start().await;
    let (options, events) = options(&nats.url());
    let options = Options { ping_interval: Duration::from_millis(50), ..options };
    let client = peerd_dataplane::Client::connect(options).await.expect("a connection");
    let pid = nats.pid().to_string();
    let signal = |name: &str| {
        let status = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(status.success());
    };
    signal("-STOP");
    events.until("the server does not answer", 1).await;
    assert!(!client.is_connected());
    signal("-CONT");
    events.until("Connected { server", 2).await;
    until("connected", || client.is_connected()).await;
}
