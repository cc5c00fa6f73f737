//! Messages whose size differs between request and reply, with regard to nats-server's
//! `max_payload`.

use std::path::PathBuf;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::world::{
    CHANGED, DELETED, FAST, INVALID, RECEIVED, TOTAL, World, as_received, keys, number, of, string,
    text_to,
};
use crate::support::{Client, Encoding, Event, Nats, Peerd, Reply, Store, bin, run_cli_env};

/// A nats-server's configuration with this `max_payload`, in a folder of its own.
pub(super) struct Config {
    dir: TempDir,
}

impl Config {
    pub(super) fn new(max_payload: &str) -> Self {
        let config = Self { dir: tempfile::tempdir().unwrap() };
        config.set(max_payload);
        config
    }

    fn set(&self, max_payload: &str) {
        std::fs::write(self.path(), format!("max_payload: {max_payload}\n")).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("nats.conf")
    }
}

/// A world whose nats-server has that configuration.
pub(super) async fn world_of(config: &Config, envs: &[(&str, &str)]) -> World {
    let nats = Nats::start_with_config(config.path(), &[]).await;
    let peerd = Peerd::start_with(&nats.url(), envs).await;
    let client = Client::connect(&nats.url()).await;
    let store = Store::new(&client);
    World { peerd, client, store, nats }
}

/// Sends a message in that encoding; answers the reply.
async fn send(world: &World, encoding: Encoding, message: Value) -> Reply {
    let body = json!({ "message": message, "toUserID": "bob" });
    world.client.call_as(encoding, "alice", "send_peer_message", body).await
}

/// The newest message in bob's list and in his history.
async fn read_back(world: &World, encoding: Encoding) -> [Value; 2] {
    let call = async |method, body| world.client.call_as(encoding, "bob", method, body).await.ok();
    let list = call("query_conversation_list", json!({ "config": { "count": 10 } })).await;
    let page = json!({ "conversationID": "alice", "config": { "count": 100, "reverse": true } });
    let page = call("query_history_message", page).await;
    [
        list["conversationList"][0]["lastMessage"].clone(),
        page["messageList"].as_array().unwrap().last().unwrap().clone(),
    ]
}

/// All messages or conversations of events with that name.
fn entries(events: &[Event], name: &str, field: &str) -> Vec<Value> {
    let of_name = events.iter().filter(|event| event.name == name);
    of_name.flat_map(|event| event.body[field].as_array().unwrap().clone()).collect()
}

#[tokio::test]
async fn messages_left_out_of_a_page_stay_left_out() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let mut events = world.events("bob").await;
    let url = "https://files.example/f";
    for (kind, own) in [
        (11, json!({ "fileDownloadUrl": url })),
        (12, json!({ "fileDownloadUrl": url })),
        (13, json!({ "fileDownloadUrl": url })),
        (14, json!({ "fileDownloadUrl": url, "fileSize": 7 })),
        (200, json!({ "message": "m" })),
        (
            10,
            json!({ "messageInfoList": [
                { "type": 11, "fileDownloadUrl": url }, { "type": 200, "message": "m" },
            ] }),
        ),
        (
            100,
            json!({ "messageList": [
                { "type": 14, "fileDownloadUrl": url },
                { "type": 100, "messageList": [{ "type": 11, "fileDownloadUrl": url }] },
            ] }),
        ),
    ] {
        for encoding in Encoding::BOTH {
            let mut message = own.clone();
            message["type"] = json!(kind);
            let sent = send(&world, encoding, message).await.ok()["message"].clone();
            let published = events.drain().await;
            let [received] = &entries(&published, RECEIVED, "messageList")[..] else {
                panic!("{published:?}")
            };
            let [changed] = &entries(&published, CHANGED, "infoList")[..] else {
                panic!("{published:?}")
            };
            let [listed, read] = read_back(&world, encoding).await;
            let last = &changed["conversation"]["lastMessage"];
            for shown in [&as_received(&sent), received, last, &listed, &read] {
                let own_fields: Vec<_> = keys(shown)
                    .into_iter()
                    .filter(|name| *name != "type" && own.get(*name).is_some())
                    .collect();
                assert_eq!(own_fields, keys(&own), "{shown}");
                assert_eq!(keys(shown).len(), 14 + keys(&own).len(), "{shown}");
                for name in keys(&own) {
                    assert_eq!(shown[name], own[name], "{name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_empty_field_is_as_good_as_none() {
    let world = World::of(&["alice", "bob"]).await;
    let image = json!({
        "type": 11, "fileDownloadUrl": "u", "fileName": "", "fileSize": 0, "thumbnailWidth": 0,
        "localMessageID": "l",
    });
    let sent =
        world.ok("alice", "send_peer_message", json!({ "message": image, "toUserID": "bob" }));
    let sent = sent.await["message"].clone();
    for name in ["fileName", "fileSize", "thumbnailWidth"] {
        assert!(sent.get(name).is_none(), "{name} in {sent}");
    }
    let image = json!({ "type": 11, "fileDownloadUrl": "u", "localMessageID": "l" });
    let again = send(&world, Encoding::MessagePack, image).await;
    assert!(again.is_duplicate());
}

#[tokio::test]
async fn a_combine_of_very_many_small_messages_can_be_read_in_both_encodings() {
    let world = World::of(&["alice", "bob"]).await;
    let image = json!({ "type": 11, "fileDownloadUrl": "u" });
    let inner = json!({ "type": 100, "messageList": vec![image; 190] });
    let combine = json!({ "type": 100, "messageList": vec![inner; 20] });
    for encoding in Encoding::BOTH {
        let reply = send(&world, encoding, combine.clone()).await;
        let (size, sent) = (reply.payload.len(), reply.ok()["message"].clone());
        let body = serde_json::to_vec(&combine).unwrap().len();
        assert!(size < body + 1000, "{size} bytes out, {body} in");
        for encoding in Encoding::BOTH {
            for shown in read_back(&world, encoding).await {
                assert_eq!(shown, as_received(&sent));
            }
        }
    }
}

#[tokio::test]
async fn control_characters_fit_or_are_refused_with_their_size() {
    let config = Config::new("64KB");
    let world = world_of(&config, &[FAST, ("PEERD__EVENTS__ENCODING", "json")]).await;
    assert!(world.peerd.log().contains("limits.combine_bytes"), "warned at the start");
    world.login(&["alice", "bob"]).await;
    let mut events = world.events("bob").await;
    let text = |count: usize| json!({ "type": 1, "message": "\u{1}".repeat(count) });
    let multiple = |count: usize| json!({ "type": 10, "messageInfoList": vec![text(2000); count] });
    for message in [
        text(2048),
        json!({ "type": 200, "message": "\u{7}".repeat(2048), "searchedContent": "\u{1}".repeat(64) }),
        json!({ "type": 1, "message": "x", "extendedData": "\u{1}".repeat(1024) }),
        multiple(4),
    ] {
        let sent = send(&world, Encoding::MessagePack, message).await.ok()["message"].clone();
        let published = events.drain().await;
        assert_eq!(entries(&published, RECEIVED, "messageList"), [as_received(&sent)]);
        for encoding in Encoding::BOTH {
            for shown in read_back(&world, encoding).await {
                assert_eq!(shown, as_received(&sent));
            }
        }
    }
    let command = json!({ "type": 2, "message": bin(&[0xff; 5120]) });
    send(&world, Encoding::MessagePack, command).await.ok();
    let writes = world.store.writes().await;
    for (message, size) in [(multiple(6), "72"), (multiple(16), "192")] {
        let reply = send(&world, Encoding::MessagePack, message).await;
        assert_eq!(reply.code, Some(INVALID), "{}", reply.body);
        let (text, size) = (reply.message(), format!("message is {size}"));
        assert!(text.starts_with(&size) && text.contains("max_payload"), "{text}");
    }
    let push = json!({
        "message": { "type": 1, "message": "x" }, "toUserID": "bob",
        "config": { "pushConfig": {
            "content": "\u{1}".repeat(4096), "payload": "\u{1}".repeat(4096),
            "title": "x".repeat(4096), "threadID": "\"".repeat(4096),
        } },
    });
    let push =
        world.client.call_as(Encoding::MessagePack, "alice", "send_peer_message", push).await;
    assert_eq!(push.code, Some(INVALID), "{}", push.body);
    assert!(push.message().contains("config.pushConfig"), "{}", push.body);
    assert_eq!(world.store.writes().await, writes);
    assert!(!world.peerd.log().contains("cannot send a message"));
}

#[tokio::test]
async fn a_message_that_no_longer_fits_is_shown_without_its_content() {
    let config = Config::new("1MB");
    let envs = [FAST, ("PEERD__LIMITS__TEXT_BYTES", "32768")];
    let mut world = world_of(&config, &envs).await;
    world.login(&["alice", "bob"]).await;
    let mut sent = Vec::new();
    for text in ["before", &"\u{1}".repeat(32_768), "between", &"\u{2}".repeat(20_000), "after"] {
        let message = json!({ "type": 1, "message": text, "extendedData": "e" });
        sent.push(send(&world, Encoding::MessagePack, message).await.ok()["message"].clone());
    }
    let large = json!({ "type": 1, "message": "\u{3}".repeat(20_000), "localMessageID": "l" });
    let to_carol = json!({ "message": large, "toUserID": "carol" });
    world.login(&["carol"]).await;
    world
        .client
        .call_as(Encoding::MessagePack, "alice", "send_peer_message", to_carol.clone())
        .await
        .ok();
    world.ok("bob", "logout", json!({})).await;
    world.peerd.kill9();
    config.set("64KB");
    world.nats.restart().await;
    world.peerd = Peerd::start_with(&world.nats.url(), &envs).await;
    world.client = Client::connect(&world.nats.url()).await;

    let read = async |encoding| {
        let mut read: Vec<Value> = Vec::new();
        loop {
            let mut config = json!({ "count": 100, "reverse": true });
            if let Some(first) = read.first() {
                config["nextMessage"] = json!({ "messageID": first["messageID"] });
            }
            let page = json!({ "conversationID": "alice", "config": config });
            let page =
                world.client.call_as(encoding, "bob", "query_history_message", page).await.ok();
            let mut page = page["messageList"].as_array().unwrap().clone();
            if page.is_empty() {
                return read;
            }
            page.append(&mut read);
            read = page;
        }
    };
    let shortened = |message: &Value| {
        let mut message = as_received(message);
        message.as_object_mut().unwrap().remove("message");
        message["extendedData"] = json!("");
        message["isContentOmitted"] = json!(true);
        message
    };
    let whole: Vec<_> = sent.iter().map(as_received).collect();
    let mut cut = whole.clone();
    for place in [1, 3] {
        cut[place] = shortened(&sent[place]);
    }
    world.login(&["bob"]).await;
    assert_eq!(read(Encoding::MessagePack).await, whole, "it fits as MessagePack");
    assert_eq!(read(Encoding::Json).await, cut);
    // A list, a conversation, an event, a repeat.
    let list = world.conversations("carol");
    world.login(&["carol"]).await;
    let [carols] = &list.await[..] else { panic!("one conversation") };
    assert_eq!(carols["lastMessage"]["isContentOmitted"], true);
    let again =
        world.client.call_as(Encoding::MessagePack, "alice", "send_peer_message", to_carol).await;
    assert_eq!(again.code, Some(INVALID), "what is sent now must fit: {}", again.body);
    let mut events = world.events("bob").await;
    let all: Vec<_> = sent.iter().map(|one| json!({ "messageID": one["messageID"] })).collect();
    let delete = json!({ "conversationID": "alice", "messageList": all });
    world.ok("bob", "delete_messages", delete).await;
    // Events have the encoding of the login.
    let published = events.drain().await;
    assert_eq!(entries(&published, DELETED, "messageList"), cut);
}

#[tokio::test]
async fn a_hundred_large_messages_are_deleted_with_an_event_for_each() {
    let envs = [FAST, ("PEERD__LIMITS__TEXT_BYTES", "32768")];
    let world = World::with(&envs).await;
    world.login(&["alice", "bob"]).await;
    let sent = stream::iter(0..100).map(|number| {
        let text = json!({ "type": 1, "message": format!("{number:02}").repeat(16_384) });
        let world = &world;
        async move { send(world, Encoding::MessagePack, text).await.ok()["message"].clone() }
    });
    let mut sent: Vec<_> = sent.buffer_unordered(8).collect().await;
    sent.sort_by_key(|message| number(message, "orderKey"));
    let mut events = world.events("bob").await;
    let all: Vec<_> = sent.iter().map(|one| json!({ "messageID": one["messageID"] })).collect();
    let delete = json!({ "conversationID": "alice", "messageList": all });
    world.ok("bob", "delete_messages", delete).await;
    // `Events` checks that the revisions have no gap.
    let published = events.drain().await;
    let deleted = entries(&published, DELETED, "messageList");
    assert_eq!(deleted, sent.iter().map(as_received).collect::<Vec<_>>());
    let names: Vec<_> = published.iter().map(|event| event.name.as_str()).collect();
    let split = names.iter().filter(|name| **name == DELETED).count();
    assert!((4..=8).contains(&split), "{names:?}");
    assert_eq!(names[split..], [CHANGED, TOTAL]);
    let revisions: Vec<_> = published.iter().map(|event| number(&event.body, "revision")).collect();
    assert!(revisions.windows(2).all(|pair| pair[0] == pair[1]), "{revisions:?}");
}

#[tokio::test]
async fn three_thousand_conversations_are_cleared_in_one_call() {
    const USERS: usize = 3000;
    let config = Config::new("64KB");
    let envs = [("PEERD__LIMITS__CALL_DEADLINE_MS", "60000")];
    let world = world_of(&config, &envs).await;
    world.login(&["bob"]).await;
    let sends = stream::iter(0..USERS).map(|number| {
        let (world, user) = (&world, format!("user{number}"));
        async move {
            world.login(&[&user]).await;
            world.ok(&user, "send_peer_message", text_to("bob", &"x".repeat(2048))).await;
        }
    });
    sends.buffer_unordered(64).collect::<Vec<()>>().await;
    assert_eq!(world.totals("bob").await.0, USERS as u64);
    let mut events = world.events("bob").await;
    world.ok("bob", "clear_conversation_total_unread_message_count", json!({})).await;
    let published = events.drain().await;
    let changed = entries(&published, CHANGED, "infoList");
    let mut ids: Vec<_> =
        changed.iter().map(|change| string(&change["conversation"], "conversationID")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((changed.len(), ids.len()), (USERS, USERS));
    for change in &changed {
        assert_eq!(number(&change["conversation"], "unreadMessageCount"), 0);
    }
    let last = published.last().unwrap();
    assert_eq!(last.name, TOTAL);
    assert_eq!(number(&last.body, "totalUnreadMessageCount"), 0);
}

#[tokio::test]
async fn a_max_payload_that_is_too_small_is_refused_at_the_start() {
    let config = Config::new("1KB");
    let nats = Nats::start_with_config(config.path(), &[]).await;
    let output = run_cli_env(&["serve"], &[("PEERD__NATS__SERVERS", &nats.url())]).await;
    assert_eq!(output.code, Some(64), "{output:?}");
    let text = output.stdout + &output.stderr;
    assert!(text.contains("max_payload of the nats-server is 1024 bytes"), "{text}");
    assert!(text.contains("set max_payload"), "{text}");
}

#[tokio::test]
async fn a_max_payload_that_is_small_is_a_warning_of_the_status() {
    let world = world_of(&Config::new("64KB"), &[FAST]).await;
    let url = world.nats.url();
    let envs = [("PEERD__NATS__SERVERS", url.as_str())];
    let warning = "limits.combine_bytes: a Combine or Multiple message can take";
    let output = run_cli_env(&["status", "--json"], &envs).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|text| text.as_str().unwrap().starts_with(warning)), "{report}");
    let output = run_cli_env(&["status"], &envs).await;
    assert!(output.stdout.contains(warning), "{output:?}");
}

#[tokio::test]
async fn a_call_as_large_as_the_server_takes_is_answered_by_whichever_instance() {
    let config = Config::new("64KB");
    let world = world_of(&config, &[FAST]).await;
    let _second = Peerd::start_with(&world.nats.url(), &[]).await;
    let users: Vec<String> = (0..16).map(|number| format!("u{number}")).collect();
    for user in &users {
        world.login(&[user]).await;
        for fill in [60_000, 63_000, 64_700, 65_400] {
            let mut body = br#"{"unknown":""#.to_vec();
            body.resize(fill, b'x');
            body.extend(b"\"}");
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Content-Type", "application/json");
            // Several times, since either instance may take the call.
            for _ in 0..4 {
                let (headers, body) = (Some(headers.clone()), body.clone().into());
                let reply = world.client.call_raw(user, "heartbeat", headers, body).await;
                let expected = if fill < 64_000 { None } else { Some(INVALID) };
                assert_eq!(reply.code, expected, "{fill}: {}", reply.body);
            }
        }
    }
    world.ok("u0", "query_conversation_list", json!({ "config": { "count": 1 } })).await;
    assert_eq!(world.conversations("u0").await, Vec::<Value>::new(), "{}", of("u0"));
}
