//! `peerd watch`

use std::process::ExitCode;

use async_nats::Message;
use futures::stream::{self, StreamExt as _};

use super::readable::event_line;
use super::{EXIT_CONFIGURATION, EXIT_UNAVAILABLE, complain, print};
use crate::domain::id::UserId;
use crate::runtime::connect::connect_once;
use crate::runtime::daemon::Settings;
use crate::wire::encoding::CONTENT_TYPE;
use crate::wire::subject::{Subjects, Token};

pub(super) async fn run(settings: Settings, users: Vec<String>) -> ExitCode {
    let users: Result<Vec<UserId>, _> =
        users.iter().map(|user| UserId::new(user, "USER")).collect();
    let users = match users {
        Ok(users) => users,
        Err(rejection) => return complain(EXIT_CONFIGURATION, &rejection),
    };
    let client = match connect_once(&settings.nats, "peerd watch").await {
        Ok(client) => client,
        Err(error) => return complain(EXIT_UNAVAILABLE, &error),
    };
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let mut events = Vec::new();
    for user in users {
        match client.subscribe(subjects.all_events(&Token::of(&user))).await {
            Ok(subscriber) => events.push(subscriber.map(move |message| (user.clone(), message))),
            Err(error) => return complain(EXIT_UNAVAILABLE, &error),
        }
    }
    let mut events = stream::select_all(events);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some((user, message)) => {
                    if !print(&line(&user, &message)) {
                        return ExitCode::SUCCESS;
                    }
                }
                None => return complain(EXIT_UNAVAILABLE, &"the connection to NATS was closed"),
            },
            _ = tokio::signal::ctrl_c() => return ExitCode::SUCCESS,
        }
    }
}

fn line(user: &UserId, message: &Message) -> String {
    let content_type = message.headers.as_ref().and_then(|headers| headers.get(CONTENT_TYPE));
    let content_type = content_type.map(async_nats::HeaderValue::as_str);
    event_line(user.as_str(), &message.subject, content_type, &message.payload)
}
