//! The notes of clients: one file for each client, with one JSON object per line; `at` is in
//! microseconds since 1970. `docs/verify.md` has the format.

use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::Value;

/// The notes of all clients.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// In the order of the files.
    pub calls: Vec<Call>,
    /// The events of one file are in the order of arrival.
    pub events: Vec<Event>,
    /// When each file's client listened to which users.
    pub listening: Vec<Listening>,
    /// When peerd or NATS was disturbed.
    pub disturbed: Vec<Disturbed>,
    files: usize,
}

/// One attempt at a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The file.
    pub client: usize,
    /// Attempts of one file with the same number are repeats of one operation.
    pub operation: u64,
    /// When it began.
    pub at: u64,
    /// The caller.
    pub user: String,
    /// The method's name.
    pub method: String,
    /// The body.
    pub body: Value,
    /// The time of the answer, and the answer.
    pub answer: Option<(u64, Answer)>,
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Success.
    Reply(Value),
    /// An error; the reason.
    Error(String),
}

/// An event that was received.
#[derive(Clone, Debug)]
pub struct Event {
    /// The file.
    pub client: usize,
    /// When.
    pub at: u64,
    /// The user on whose subject it arrived.
    pub user: String,
    /// Its name.
    pub event: String,
    /// Its body.
    pub body: Value,
}

/// A time for which a client listened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The file.
    pub client: usize,
    /// The user; `None`: all users.
    pub user: Option<String>,
    /// Since when.
    pub since: u64,
    /// Until when.
    pub until: u64,
}

/// The target of a disturbance, which determines which events may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// Instances of peerd.
    Peerd,
    /// nats-servers, or the network to them: events may be lost.
    Nats,
}

/// The time of a disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbed {
    /// The target.
    pub what: What,
    /// Since when.
    pub since: u64,
    /// Until when.
    pub until: u64,
}

/// A note that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is no note.
    #[error("line {line} is no note: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The problem.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Call {
        at: u64,
        call: u64,
        #[serde(default)]
        operation: Option<u64>,
        user: String,
        method: String,
        body: Value,
    },
    Reply {
        at: u64,
        answer: u64,
        body: Value,
    },
    Error {
        at: u64,
        answer: u64,
        error: String,
    },
    Event {
        at: u64,
        event: String,
        user: String,
        body: Value,
    },
    Listening {
        at: u64,
        listening: String,
    },
    Deaf {
        at: u64,
        #[serde(rename = "deaf")]
        _deaf: bool,
    },
    Disturbed {
        at: u64,
        disturbed: What,
        #[serde(default, rename = "what")]
        _what: String,
    },
    Calm {
        at: u64,
        #[serde(rename = "calm")]
        _calm: bool,
    },
}

impl Notes {
    /// Reads the notes of one more client.
    pub fn read(&mut self, file: impl BufRead) -> Result<(), NotesError> {
        let client = self.files;
        self.files += 1;
        let mut open = std::collections::HashMap::new();
        for (number, line) in file.lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let broken = |problem: String| NotesError::Line { line: number + 1, problem };
            let line: Line =
                serde_json::from_str(&line).map_err(|error| broken(error.to_string()))?;
            self.take(client, line, &mut open).map_err(broken)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        client: usize,
        line: Line,
        open: &mut std::collections::HashMap<u64, usize>,
    ) -> Result<(), String> {
        match line {
            Line::Call { at, call, operation, user, method, body } => {
                if open.insert(call, self.calls.len()).is_some() {
                    return Err(format!("call {call} is there twice"));
                }
                let operation = operation.unwrap_or(call);
                let answer = None;
                self.calls.push(Call { client, operation, at, user, method, body, answer });
            }
            Line::Reply { at, answer, body } => {
                self.answered(open, answer, at, Answer::Reply(body))?;
            }
            Line::Error { at, answer, error } => {
                self.answered(open, answer, at, Answer::Error(error))?;
            }
            Line::Event { at, event, user, body } => {
                self.events.push(Event { client, at, user, event, body });
            }
            Line::Listening { at, listening } => {
                let user = (listening != "*").then_some(listening);
                self.listening.push(Listening { client, user, since: at, until: u64::MAX });
            }
            Line::Deaf { at, .. } => {
                let own = self.listening.iter_mut().filter(|listening| listening.client == client);
                own.for_each(|listening| listening.until = listening.until.min(at));
            }
            Line::Disturbed { at, disturbed, .. } => {
                self.disturbed.push(Disturbed { what: disturbed, since: at, until: u64::MAX });
            }
            Line::Calm { at, .. } => {
                self.disturbed.iter_mut().for_each(|span| span.until = span.until.min(at));
            }
        }
        Ok(())
    }

    fn answered(
        &mut self,
        open: &std::collections::HashMap<u64, usize>,
        call: u64,
        at: u64,
        answer: Answer,
    ) -> Result<(), String> {
        let index = open.get(&call).ok_or_else(|| format!("there was no call {call}"))?;
        let call = self.calls.get_mut(*index).ok_or("there was no such call")?;
        call.answer = Some((at, answer));
        Ok(())
    }

    /// Whether there was a disturbance between the two times.
    #[must_use]
    pub fn was_disturbed(&self, what: Option<What>, from: u64, to: u64) -> bool {
        let spans = self.disturbed.iter().filter(|span| what.is_none_or(|what| what == span.what));
        spans.into_iter().any(|span| span.since <= to && span.until >= from)
    }

    /// Whether a client listened to a user for the whole time between the two.
    #[must_use]
    pub fn was_seen(&self, user: &str, from: u64, to: u64) -> bool {
        self.listening.iter().any(|listening| {
            listening.user.as_deref().is_none_or(|it| it == user)
                && listening.since <= from
                && listening.until >= to
        })
    }
}
