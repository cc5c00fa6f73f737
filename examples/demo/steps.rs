//! The steps of the demo. Each returns what it has shown, or the check that failed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    screen::{Look, Side},
    stage::{
        CHANGED, DELETED, EDITED, READ, RECEIVED, REVOKED, Shown, Stage, TOTAL, TYPING, content,
        message, same, show, success,
    },
    support::{faults::failure::Failure, login},
};

const CONVERSATION: &str = include_str!("conversation.jsonl");
const PER_SECOND: usize = 10;
const RATE_LIMITED: i64 = 6_000_005;

/// Two users talk; the lines come from a file.
pub(crate) async fn conversation(stage: &mut Stage) -> Shown {
    for user in ["alice", "bob"] {
        login(&stage.client, user).await;
    }
    stage.screen.names("alice", "bob");
    // The events of the login are not part of the conversation.
    stage.alice.events.drain().await;
    stage.bob.events.drain().await;
    let mut lines = 0;
    for line in CONVERSATION.lines() {
        let line: Value =
            serde_json::from_str(line).map_err(|error| format!("conversation.jsonl: {error}"))?;
        let from = if line["from"] == "alice" { Side::Left } else { Side::Right };
        let message = message(&line)?;
        let expected: &[&str] =
            if line["command"].is_string() { &[RECEIVED] } else { &[RECEIVED, CHANGED, TOTAL] };
        stage.send(from, &message, expected).await?;
        lines += 1;
    }
    let unread = number(stage.alice.said.len());
    same("bob's total", &stage.totals("bob").await?, &(unread, unread))?;
    Ok(format!(
        "{lines} messages were stored, counted and delivered, each once; the command was only \
         delivered"
    ))
}

/// One user reads: the count falls to 0, and the other gets no event.
pub(crate) async fn read(stage: &mut Stage) -> Shown {
    let screen = stage.screen;
    screen.say(Side::Right, Look::Plain, "(reads everything)");
    let body = json!({ "conversationID": "alice", "conversationType": 0 });
    let method = "clear_conversation_unread_message_count";
    stage.ask("bob", method, body).await?;
    let events = stage.bob.expect_events(screen, &[CHANGED, TOTAL]).await?;
    let unread = &events[0].body["infoList"][0]["conversation"]["unreadMessageCount"];
    same("unread after reading", &unread.as_u64(), &Some(0))?;
    let total = &events[1].body["totalUnreadMessageCount"];
    same("total after reading", &total.as_u64(), &Some(0))?;
    stage.alice.expect_nothing(screen).await?;
    Ok("bob's unread count is 0, and alice received no event".to_owned())
}

/// A muted conversation: messages arrive and are counted, but the total stays.
pub(crate) async fn mute(stage: &mut Stage) -> Shown {
    let screen = stage.screen;
    screen.say(Side::Right, Look::Plain, "(turns on Do Not Disturb)");
    set_notification(stage, 2).await?;
    stage.bob.expect_events(screen, &[CHANGED]).await?;
    for text in ["I am early, the café is still empty.", "Got the corner table!"] {
        let message = json!({ "type": 1, "message": text });
        stage.send(Side::Left, &message, &[RECEIVED, CHANGED]).await?;
    }
    stage.bob.expect_nothing(screen).await?;
    let totals = stage.totals("bob").await?;
    same("the totals, without and with muted", &totals, &(Some(0), Some(2)))?;
    screen.say(Side::Right, Look::Plain, "(turns it off again)");
    set_notification(stage, 1).await?;
    stage.bob.expect_events(screen, &[CHANGED, TOTAL]).await?;
    same("the totals", &stage.totals("bob").await?, &(Some(2), Some(2)))?;
    Ok("both messages arrived and were counted; the total stayed at 0 while the conversation was muted".to_owned())
}

async fn set_notification(stage: &Stage, status: u64) -> Result<(), Failure> {
    let body = json!({ "status": status, "conversationID": "alice", "conversationType": 0 });
    let method = "set_conversation_notification_status";
    stage.ask("bob", method, body).await?;
    Ok(())
}

/// The eleventh message of one second is refused, and accepted after the wait.
pub(crate) async fn rate(stage: &mut Stage) -> Shown {
    let screen = stage.screen;
    login(&stage.client, "carol").await;
    screen.say(Side::Left, Look::Plain, "(carol sends bob eleven messages at once)");
    let body = |number: usize| {
        let text = format!("carol's number {number}");
        json!({ "message": { "type": 1, "message": text }, "toUserID": "bob" })
    };
    let sends = (0..=PER_SECOND)
        .map(|number| stage.client.call("carol", "send_peer_message", body(number)));
    let replies = futures::future::join_all(sends).await;
    let mut refused = replies.iter().enumerate().filter(|(_, reply)| reply.code.is_some());
    let (Some((number, reply)), None) = (refused.next(), refused.next()) else {
        let codes: Vec<_> = replies.iter().map(|reply| reply.code).collect();
        let what = format!("one of eleven should be refused: {codes:?}");
        return Err(what.into());
    };
    same("the code", &reply.code, &Some(RATE_LIMITED))?;
    let wait = reply.body["retryAfterMs"].as_u64().unwrap_or_default();
    let events = stage.bob.events.drain().await;
    let came = events.iter().filter(|event| event.name == RECEIVED).count();
    same("messages that came", &came, &PER_SECOND)?;
    screen.say(Side::Right, Look::Plain, &format!("← {came} messages from carol"));
    let refusal = format!("  one refused: {} {}", RATE_LIMITED, reply.err().1);
    screen.say(Side::Left, Look::Dim, &refusal);
    screen.say(Side::Left, Look::Plain, &format!("(carol tries again {wait} ms later)"));
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let again = stage.client.call("carol", "send_peer_message", body(number)).await;
    success(&again)?;
    stage.bob.expect_events(screen, &[RECEIVED, CHANGED, TOTAL]).await?;
    Ok("ten messages in a second are accepted; the refusal of the eleventh says when to retry"
        .to_owned())
}

/// A user who was away receives the missed messages, oldest first.
pub(crate) async fn away(stage: &mut Stage) -> Shown {
    let screen = stage.screen;
    screen.say(Side::Right, Look::Plain, "(logs out)");
    stage.ask("bob", "logout", json!({})).await?;
    stage.bob.events_so_far(screen).await;
    let texts = ["Where are you?", "Ich bestelle schon mal.", "你的咖啡要凉了 ☕"];
    for text in texts {
        let message = json!({ "type": 1, "message": text });
        stage.send(Side::Left, &message, &[]).await?;
    }
    // Bob had no subscription while he was away, and missed the live events.
    stage.bob.events = stage.client.events("bob").await;
    screen.say(Side::Right, Look::Plain, "(logs in again)");
    login(&stage.client, "bob").await;
    let mut missed = Vec::new();
    while missed.len() < texts.len() {
        let event = stage.bob.events.next().await;
        show(screen, Side::Right, &event);
        if event.name == RECEIVED {
            let offline = event.body["info"]["isOfflineMessage"].as_bool();
            same("isOfflineMessage", &offline, &Some(true))?;
            let messages = event.body["messageList"].as_array();
            missed.extend(messages.into_iter().flatten().map(content));
        }
    }
    same("what was missed", &missed, &texts.map(str::to_owned).to_vec())?;
    let rest = stage.bob.events_so_far(screen).await;
    if rest.iter().any(|event| event.name == RECEIVED) {
        return Err("bob was given more than he missed".to_owned().into());
    }
    Ok("the login replayed the messages that bob missed, oldest first, marked as missed".to_owned())
}

/// Two pages of the history, beginning with the newest.
pub(crate) async fn history(stage: &mut Stage) -> Shown {
    const COUNT: usize = 5;
    let screen = stage.screen;
    screen.say(Side::Right, Look::Plain, &format!("(scrolls back: two pages of {COUNT})"));
    let config = json!({ "count": COUNT, "reverse": true });
    let newest = stage.page("bob", "alice", config).await?;
    let config = json!({ "count": COUNT, "reverse": true, "nextMessage": newest.first() });
    let older = stage.page("bob", "alice", config).await?;
    let config = json!({ "count": 100, "reverse": false });
    let all = stage.page("bob", "alice", config).await?;
    let pages = [older, newest].concat();
    for message in &pages {
        let side = if message["senderUserID"] == "alice" { Side::Left } else { Side::Right };
        screen.say(side, Look::Plain, &content(message));
    }
    same("messages on two pages", &pages.len(), &(2 * COUNT))?;
    same("the pages", &pages, &all[all.len().saturating_sub(pages.len())..].to_vec())?;
    let keys: Vec<_> = all.iter().map(|message| message["orderKey"].as_u64()).collect();
    if !keys.is_sorted_by(|one, next| one < next) {
        return Err(format!("order keys do not rise: {keys:?}").into());
    }
    for person in [&stage.alice, &stage.bob] {
        let from = |message: &&Value| message["senderUserID"] == person.name;
        let said: Vec<_> = all.iter().filter(from).map(content).collect();
        same(&format!("what {} said", person.name), &said, &person.said)?;
    }
    Ok(format!("the pages join without gap or overlap; all {} messages are in order", all.len()))
}

/// A message that one user deletes stays visible to the other.
pub(crate) async fn delete(stage: &mut Stage) -> Shown {
    let screen = stage.screen;
    let whole = json!({ "count": 100, "reverse": true });
    let before = stage.page("alice", "bob", whole.clone()).await?;
    let image = before.iter().find(|message| message["type"] == 11);
    let image = image.ok_or_else(|| "no image in alice's history".to_owned())?;
    let id = &image["messageID"];
    screen.say(Side::Left, Look::Plain, &format!("(deletes {})", content(image)));
    let body = json!({
        "messageList": [{ "messageID": id }], "conversationID": "bob", "conversationType": 0,
    });
    stage.ask("alice", "delete_messages", body).await?;
    let events = stage.alice.events_so_far(screen).await;
    for name in [DELETED, CHANGED, TOTAL] {
        if !events.iter().any(|event| event.name == name) {
            return Err(format!("alice received no {name}").into());
        }
    }
    stage.bob.expect_nothing(screen).await?;
    let ids = |page: &[Value]| -> Vec<_> {
        page.iter().map(|message| message["messageID"].clone()).collect()
    };
    let alices = ids(&stage.page("alice", "bob", whole.clone()).await?);
    let bobs = ids(&stage.page("bob", "alice", whole).await?);
    same("bob's history", &bobs, &ids(&before))?;
    let without: Vec<_> = bobs.iter().filter(|other| *other != id).cloned().collect();
    same("alice's history", &alices, &without)?;
    let unread = number(stage.bob.said.len() - 1);
    same("alice's total", &stage.totals("alice").await?, &(unread, unread))?;
    Ok("the image is gone from alice's history and unread count; bob keeps his copy".to_owned())
}

/// Bob types, corrects what he sent, learns that it was read, and takes another message back.
pub(crate) async fn amend(stage: &mut Stage) -> Shown {
    let screen = stage.screen;
    screen.say(Side::Right, Look::Plain, "(is typing)");
    let body = json!({ "conversationID": "alice", "conversationType": 0, "isTyping": true });
    stage.ask("bob", "send_typing", body).await?;
    stage.alice.expect_events(screen, &[TYPING]).await?;

    let slip = json!({ "type": 1, "message": "Tomorrow at elevn?" });
    let mut slip = stage.send(Side::Right, &slip, &[RECEIVED, CHANGED, TOTAL]).await?;
    slip["message"] = json!("Tomorrow at eleven?");
    screen.say(Side::Right, Look::Plain, &format!("(edits: {})", content(&slip)));
    let edited = stage.ask("bob", "edit_message", json!({ "message": slip })).await?;
    let edited = content(&edited["message"]);
    let events = stage.alice.expect_events(screen, &[EDITED, CHANGED]).await?;
    same("what was edited", &content(&events[0].body["messageList"][0]), &edited)?;
    stage.bob.expect_events(screen, &[EDITED, CHANGED]).await?;

    let secret = json!({ "type": 1, "message": "My PIN is 4711." });
    let secret = stage.send(Side::Right, &secret, &[RECEIVED, CHANGED, TOTAL]).await?;
    screen.say(Side::Left, Look::Plain, "(confirms that she has read it)");
    let with_bob = json!({ "conversationID": "bob", "conversationType": 0 });
    stage.ask("alice", "send_conversation_message_receipt_read", with_bob).await?;
    stage.alice.expect_events(screen, &[READ]).await?;
    stage.bob.expect_events(screen, &[READ]).await?;
    let newest = stage.page("bob", "alice", json!({ "count": 1, "reverse": true })).await?;
    let status = newest.first().map(|message| message["receiptStatus"].clone());
    same("the status of the receipt", &status, &Some(json!(2)))?;

    let unread = stage.totals("alice").await?.0.unwrap_or_default();
    screen.say(Side::Right, Look::Plain, "(revokes it)");
    stage.ask("bob", "revoke_message", json!({ "message": secret })).await?;
    stage.alice.expect_events(screen, &[REVOKED, CHANGED, TOTAL]).await?;
    same("alice's total", &stage.totals("alice").await?.0, &Some(unread - 1))?;
    stage.bob.expect_events(screen, &[REVOKED, CHANGED]).await?;
    let page = stage.page("alice", "bob", json!({ "count": 2, "reverse": true })).await?;
    same("the edited message", &page.first().map(content), &Some(edited))?;
    same(
        "the type of the revoked one",
        &page.last().map(|last| last["type"].clone()),
        &Some(json!(31)),
    )?;
    Ok("both see the new text; of the revoked message nothing is left, in no file of the store"
        .to_owned())
}

/// peerd is killed; nothing is lost.
pub(crate) async fn kill(stage: &mut Stage) -> Shown {
    let screen = stage.screen;
    let before = stage.all_seen().await?;
    screen.line(Look::Bad, &format!("kill -9 {}", stage.peerd.pid()));
    let took = stage.kill_and_restart().await?;
    let back = format!("peerd is back (pid {}), answering after", stage.peerd.pid());
    screen.line(Look::Plain, &format!("{back} {:.1} s", took.as_secs_f64()));
    same("what both see", &stage.all_seen().await?, &before)?;
    // Like a client that has lost its server: subscribe again and continue.
    stage.alice.events = stage.client.events("alice").await;
    stage.bob.events = stage.client.events("bob").await;
    (stage.alice.accepts_redelivery, stage.bob.accepts_redelivery) = (true, true);
    let message = json!({ "type": 1, "message": "Still here? ¡Aquí seguimos! 🎉" });
    stage.send(Side::Left, &message, &[RECEIVED, CHANGED, TOTAL]).await?;
    let message = json!({ "type": 1, "message": "Als wäre nichts gewesen." });
    stage.send(Side::Right, &message, &[RECEIVED, CHANGED, TOTAL]).await?;
    Ok("history, counts and sessions are unchanged, and the numbering continues. peerd published again \
        the events that may have been lost when it died; clients recognize them by messageID".to_owned())
}

fn number(count: usize) -> Option<u64> {
    u64::try_from(count).ok()
}
