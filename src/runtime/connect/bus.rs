//! The bus's connection.

use std::sync::Arc;

use peerd_dataplane::{Client, Credentials, Event, Options, Tls};

use super::judge::judge_bus;
use super::log::Log;
use super::{ConnectError, NatsOptions, wait};
use crate::link::{DataConnection, Link, Violation};
use crate::runtime::patience::Patience;
use crate::runtime::permissions::Permissions;
use crate::runtime::tuning::{CONNECT_TIMEOUT, PING_INTERVAL};

/// Connects, retrying for as long as `patience` allows. The server's monitoring shows `name`.
pub(in crate::runtime) async fn connect(
    options: &NatsOptions,
    name: &str,
    permissions: &Permissions,
    patience: &mut Patience,
) -> Result<DataConnection, ConnectError> {
    options.check_files()?;
    loop {
        let link = Link::new();
        let judged = match Client::connect(client_options(options, name, permissions, &link)?).await
        {
            Ok(client) => return Ok(DataConnection { client, link }),
            Err(error) => judge_bus(&error),
        };
        wait(options, patience, judged).await?;
    }
}

fn client_options(
    options: &NatsOptions,
    name: &str,
    permissions: &Permissions,
    link: &Link,
) -> Result<Options, ConnectError> {
    let (link, log) = (link.clone(), Log::new(name, permissions.clone()));
    Ok(Options {
        servers: options.servers.clone(),
        credentials: credentials(options)?,
        tls: Tls {
            required: options.tls_required,
            first: options.tls_first,
            ca_files: options.tls_ca_file.iter().cloned().collect(),
            certificate: options.tls_certificate.clone(),
        },
        name: name.to_owned(),
        inbox_prefix: options.inbox_prefix.clone(),
        connect_timeout: CONNECT_TIMEOUT,
        ping_interval: PING_INTERVAL,
        on_event: Arc::new(move |event| {
            note(&link, event);
            log.note_bus(event);
        }),
        ..Options::default()
    })
}

fn credentials(options: &NatsOptions) -> Result<Credentials, ConnectError> {
    if let Some(file) = &options.credentials_file {
        return Ok(Credentials::File(file.clone()));
    }
    if let Some(seed) = options.nkey_seed()? {
        return Ok(Credentials::Nkey(seed));
    }
    if let Some((user, password)) = options.user_and_password.clone() {
        return Ok(Credentials::UserAndPassword(user, password));
    }
    Ok(options.token.clone().map_or(Credentials::None, Credentials::Token))
}

fn note(link: &Link, event: &Event<'_>) {
    match event {
        Event::Connected { .. } => link.note_up(),
        Event::Disconnected { reason } => {
            link.note_problem((*reason).to_string());
            link.note_down();
        }
        Event::NotConnected { error } => link.note_problem(judge_bus(error).1),
        Event::Closed => link.note_down(),
        Event::PermissionViolation { text, .. } => {
            if let Some(violation) = Violation::parse(text) {
                link.note_violation(violation);
            }
        }
        Event::LameDuck | Event::ServerError { .. } | Event::SlowConsumer { .. } => {}
    }
}
