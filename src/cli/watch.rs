//! `peerd watch`

use std::process::ExitCode;

use async_nats::{Client, Message};
use futures::stream::{self, StreamExt as _};
use tokio::signal::unix::{SignalKind, signal};

use super::connection::with_client;
use super::readable::event_lines;
use super::{EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_UNAVAILABLE, complain, print};
use crate::runtime::daemon::Settings;
use peerd_core::id::UserId;
use peerd_protocol::encoding::CONTENT_TYPE;
use peerd_protocol::subject::{Subjects, Token};

pub(super) async fn run(settings: Settings, users: Vec<String>) -> ExitCode {
    let users: Result<Vec<UserId>, _> =
        users.iter().map(|user| UserId::new(user, "USER")).collect();
    let users = match users {
        Ok(users) => users,
        Err(rejection) => return complain(EXIT_CONFIGURATION, &rejection),
    };
    with_client(&settings, "peerd watch", |client| watch(client, &settings, users)).await
}

async fn watch(client: Client, settings: &Settings, users: Vec<UserId>) -> ExitCode {
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let mut events = Vec::new();
    for user in users {
        match client.subscribe(subjects.all_events(&Token::of(&user))).await {
            Ok(subscriber) => events.push(subscriber.map(move |message| (user.clone(), message))),
            Err(error) => return complain(EXIT_UNAVAILABLE, &error),
        }
    }
    let mut events = stream::select_all(events);
    // Created before the loop, so that an interrupt that arrives while a line is printed is not
    // lost.
    let mut interrupts = match signal(SignalKind::interrupt()) {
        Ok(interrupts) => interrupts,
        Err(error) => return complain(EXIT_FAILURE, &error),
    };
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some((user, message)) => {
                    if !print(&lines(&user, &message)) {
                        return ExitCode::SUCCESS;
                    }
                }
                None => return complain(EXIT_UNAVAILABLE, &"the connection to NATS was closed"),
            },
            _ = interrupts.recv() => return ExitCode::SUCCESS,
        }
    }
}

fn lines(user: &UserId, message: &Message) -> String {
    let content_type = message.headers.as_ref().and_then(|headers| headers.get(CONTENT_TYPE));
    let content_type = content_type.map(async_nats::HeaderValue::as_str);
    event_lines(user.as_str(), &message.subject, content_type, &message.payload).join("\n")
}
