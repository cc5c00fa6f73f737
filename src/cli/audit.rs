//! `peerd audit`

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::{Client, StatusCode};
use futures::stream::{self, StreamExt as _};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::connection::with_client;
use super::{
    EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_UNAVAILABLE, STORE_TIMEOUT, complain, counted, print,
    print_json,
};
use crate::runtime::daemon::Settings;
use crate::storage::account;
use crate::storage::owners::{self, Key, MemberId, Owner};
use crate::store::jetstream::StreamNames;
use crate::store::survey::{self, Unseen};
use crate::wire::owner_request::{Audit, Audited, OwnerRequest as _, decode_answer};
use peerd_core::audit::Difference;
use peerd_core::id::{Partition, UserId};
use peerd_protocol::subject::{Subjects, Token};

pub(super) const HELP: &str = "\
The owner of each user compares its state of that user with a recount of the log: the messages \
that others sent, which of them count as unread, read marks, deletions and totals. All users who \
ever logged in are audited. Where retention or an operator removed messages from the log, the \
counts are corrected; the corrections are reported and are not differences.

The NATS user needs the permissions of the operator in deploy/nats/users.conf.

Exit codes: 0 no differences; 1 differences or unreadable messages, one line each; 64 a wrong \
configuration or an invalid userID; 69 NATS cannot be used, no peerd ever ran with this subject \
prefix, or some user could not be audited.";

/// How long an owner may take to recount one user. The shipped permissions do not let peerd reply
/// later.
const OWNER_ANSWERS: Duration = Duration::from_secs(60);
/// Users that are audited at the same time: few, so that the owners have time for their users.
const CONCURRENT: usize = 4;
const NO_OWNER: &str = "no instance owns its partition";
/// Accounts that are requested at the same time.
const ACCOUNTS: usize = 256;

/// The result of the audit.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    users: u64,
    conversations: u64,
    messages: u64,
    /// Conversations whose counts were corrected, because the store no longer has some of their
    /// messages.
    corrected: u64,
    differences: Vec<Line>,
    /// Users of whom nothing is stored: they never existed.
    unknown: Vec<UserName>,
    /// Messages that are stored and cannot be read.
    unreadable: Vec<Unreadable>,
    /// Users that were not audited, and why.
    not_audited: Vec<NotAudited>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    user: UserName,
    /// The other user of the conversation; `null`: the difference is about all conversations.
    conversation: Option<String>,
    what: &'static str,
    expected: u64,
    found: u64,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    user: UserName,
    /// Its subject and its sequence in the log.
    record: String,
}

#[derive(Debug, Serialize)]
struct NotAudited {
    user: UserName,
    why: String,
}

type UserName = String;

pub(super) async fn run(settings: Settings, user: Option<String>, as_json: bool) -> ExitCode {
    let user = match user.map(|user| UserId::new(&user, "USER")).transpose() {
        Ok(user) => user,
        Err(rejection) => return complain(EXIT_CONFIGURATION, &rejection),
    };
    let report = |client| report(client, &settings, user, as_json);
    with_client(&settings, "peerd audit", report).await
}

async fn report(
    client: Client,
    settings: &Settings,
    user: Option<UserId>,
    as_json: bool,
) -> ExitCode {
    let names = StreamNames::new(&settings.subject_prefix);
    let partitions = match partitions(&client, &names, settings).await {
        Ok(partitions) => partitions,
        Err(problem) => return complain(EXIT_UNAVAILABLE, &problem),
    };
    let subjects = Subjects::new(&settings.subject_prefix, partitions);
    let owners = Owners::read(&client, &names).await;
    let mut report = Report::default();
    match user {
        Some(user) if is_unknown(&client, &names, &subjects, &user).await => {
            report.unknown.push(user.as_str().to_owned());
        }
        Some(user) => report.add(audit(&client, &subjects, &owners, user).await),
        None => {
            if let Err(problem) = audit_all(&client, &names, &subjects, &owners, &mut report).await
            {
                return complain(EXIT_UNAVAILABLE, &problem);
            }
        }
    }
    if as_json {
        if let Err(error) = print_json(&report) {
            return complain(EXIT_FAILURE, &error);
        }
    } else {
        print(&report.text());
    }
    if !report.differences.is_empty() || !report.unreadable.is_empty() {
        ExitCode::from(EXIT_FAILURE)
    } else if report.not_audited.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_UNAVAILABLE)
    }
}

/// The number of partitions, as the store has it.
async fn partitions(
    client: &Client,
    names: &StreamNames,
    settings: &Settings,
) -> Result<u16, String> {
    match survey::stream(client, &names.owners(), Instant::now() + STORE_TIMEOUT).await {
        Ok(bucket) => Ok(bucket.partitions.unwrap_or(settings.partitions)),
        Err(Unseen::Missing) => {
            let prefix = &settings.subject_prefix;
            Err(format!("no peerd ever ran with subject_prefix {prefix:?}"))
        }
        Err(error @ (Unseen::Silent(_) | Unseen::Refused { .. })) => {
            Err(format!("bucket {} {error}", names.owners_bucket()))
        }
    }
}

/// Whether nothing is stored about a user. False if the store does not answer: the audit may find
/// out.
async fn is_unknown(
    client: &Client,
    names: &StreamNames,
    subjects: &Subjects,
    user: &UserId,
) -> bool {
    let deadline = Instant::now() + STORE_TIMEOUT;
    let known = survey::is_known(client, names, subjects, user, deadline).await;
    known.is_ok_and(|is_known| !is_known)
}

/// The partitions that have an owner, according to the bucket. The server does not show that: it
/// reports no responders only if the subject has no subscriber at all, observers included.
struct Owners {
    /// `None`: it could not be read.
    owned: Option<BTreeSet<Partition>>,
}

impl Owners {
    async fn read(client: &Client, names: &StreamNames) -> Self {
        let entries = owners::entries(client, names, Instant::now() + STORE_TIMEOUT).await;
        let Ok(entries) = entries else { return Self { owned: None } };
        let is_member = |id: &MemberId| {
            entries.iter().any(|(key, _)| matches!(key, Key::Member(member) if member == id))
        };
        let owned = entries.iter().filter_map(|(key, record)| {
            let Key::Owner(partition) = key else { return None };
            // An entry of a later version counts as owned: the request shows whether there is an
            // owner.
            let Ok(owner) = owners::decode::<Owner>(&record.payload) else {
                return Some(*partition);
            };
            owner.holder.or(owner.next).is_some_and(|id| is_member(&id)).then_some(*partition)
        });
        Self { owned: Some(owned.collect()) }
    }

    fn is_without(&self, partition: Partition) -> bool {
        self.owned.as_ref().is_some_and(|owned| !owned.contains(&partition))
    }
}

/// Audits all users, partition by partition.
async fn audit_all(
    client: &Client,
    names: &StreamNames,
    subjects: &Subjects,
    owners: &Owners,
    report: &mut Report,
) -> Result<(), String> {
    for number in 0..subjects.partitions() {
        let partition = Partition(number);
        let mut next = Some(1);
        while let Some(from) = next {
            let deadline = Instant::now() + STORE_TIMEOUT;
            let all = account::all(subjects, partition);
            let page = survey::accounts(client, names, all, (partition, from), ACCOUNTS, deadline);
            let page = page.await.map_err(|error| {
                format!("the users of partition {partition} could not be read: {error}")
            })?;
            next = page.next;
            let audits = stream::iter(page.users).map(|user| audit(client, subjects, owners, user));
            let mut audits = audits.buffer_unordered(CONCURRENT);
            while let Some(audited) = audits.next().await {
                report.add(audited);
            }
        }
    }
    Ok(())
}

/// Requests a recount of a user from its owner.
async fn audit(
    client: &Client,
    subjects: &Subjects,
    owners: &Owners,
    user: UserId,
) -> (UserId, Result<Audited, String>) {
    if owners.is_without(subjects.partition_of_user(&user)) {
        return (user, Err(NO_OWNER.to_owned()));
    }
    let answer = match timeout(OWNER_ANSWERS, ask(client, subjects.ask(&Token::of(&user)))).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(format!("the request to its owner failed: {error}")),
        Err(_) => Err("its owner does not answer in time".to_owned()),
    };
    (user, answer)
}

/// Sends a request to an owner. Answers of others may arrive, too, since every subscriber that sees
/// the request can reply to it.
async fn ask(
    client: &Client,
    subject: String,
) -> Result<Result<Audited, String>, async_nats::Error> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(subject, inbox, Audit.encode()?).await?;
    while let Some(answer) = answers.next().await {
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Ok(Err(NO_OWNER.to_owned()));
        }
        // Which partition it is does not matter to this answer.
        match decode_answer(&Audit, &answer.payload, Partition(0)) {
            Ok(Ok(audited)) => return Ok(audited),
            Ok(Err(_)) => return Ok(Err("its owner runs no audits at the moment".to_owned())),
            Err(_) => {}
        }
    }
    Err("the connection closed".into())
}

impl Report {
    fn add(&mut self, (user, audited): (UserId, Result<Audited, String>)) {
        let name = user.as_str();
        let audited = match audited {
            Ok(audited) => audited,
            Err(why) => {
                self.not_audited.push(NotAudited { user: name.to_owned(), why });
                return;
            }
        };
        self.users += 1;
        self.conversations += audited.conversations;
        self.messages += audited.messages;
        let unreadable = audited.unreadable.into_iter();
        self.unreadable
            .extend(unreadable.map(|record| Unreadable { user: name.to_owned(), record }));
        self.corrected += audited.corrected;
        self.differences.extend(audited.differences.into_iter().map(|difference| {
            let Difference { other, subject, expected, found } = difference;
            Line {
                user: name.to_owned(),
                conversation: other.map(|other| other.as_str().to_owned()),
                what: subject.name(),
                expected,
                found,
            }
        }));
    }

    fn text(&self) -> String {
        let Self {
            users,
            conversations,
            messages,
            corrected,
            differences,
            unreadable,
            unknown,
            not_audited,
        } = self;
        if let Some(user) = unknown.first() {
            return format!("{user}: there is no such user: no login, no conversation");
        }
        let mut lines = vec![format!(
            "{}, {}, {}: {}",
            counted(*users, "user"),
            counted(*conversations, "conversation"),
            counted(*messages, "message"),
            counted(differences.len(), "difference")
        )];
        if *corrected > 0 {
            lines.push(format!(
                "{} corrected: the store no longer has some of their messages",
                counted(*corrected, "conversation")
            ));
        }
        lines.extend(differences.iter().map(|line| {
            let Line { user, conversation, what, expected, found } = line;
            let with =
                conversation.as_ref().map_or(String::new(), |other| format!(" with {other}"));
            format!("{user}{with}: {what} is {found}, the log says {expected}")
        }));
        let text = |Unreadable { user, record }: &_| format!("{user}: {record} cannot be read");
        lines.extend(unreadable.iter().map(text));
        lines.extend(
            not_audited
                .iter()
                .map(|NotAudited { user, why }| format!("{user}: not audited, {why}")),
        );
        lines.join("\n")
    }
}
