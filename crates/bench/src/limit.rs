//! The limit: does the work of the baseline without a client library. One thread reads and writes
//! one plain TCP connection, with one write for each read. Costs of a message beyond that are those
//! of a library, of peerd's own work, or of nats-server.
//!
//! It implements the part of the NATS client protocol that this work needs, over TCP without TLS,
//! with or without a user and a password.

mod frame;

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use self::frame::{Frame, Message, parse};
use super::load::RECEIVED;
use super::places::{Places, number_of};
use super::responder::{
    Arguments, OVERLOADED, OVERLOADED_CODE, Streams, input_ended, is_stored, say_ready, users,
};
use peerd_protocol::discovery::QUEUE_GROUP;
use peerd_protocol::encoding::{SERVICE_ERROR, SERVICE_ERROR_CODE};
use peerd_protocol::subject::Subjects;

/// The size of one read.
const READ_BYTES: usize = 256 * 1024;
/// How long a server may take to accept the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The subscriptions: acknowledgements, and requests.
const ACKS: &str = "1";
const REQUESTS: &str = "2";

/// A NATS that is reached over plain TCP.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host and port of each server, which are tried in turn.
    pub addresses: Vec<(String, u16)>,
    /// User and password.
    pub user: Option<(String, String)>,
    /// The prefix of reply subjects.
    pub inbox_prefix: String,
}

/// The means of the limit.
#[derive(Debug)]
pub struct Service {
    /// Its streams, on any connection.
    pub streams: Streams,
    /// The server to which it connects.
    pub server: Server,
    /// The most requests in progress, as configured for peerd.
    pub calls_under_way: usize,
}

/// Serves until the standard input ends; then its streams are gone.
pub async fn serve(service: Service, arguments: Arguments) -> Result<(), String> {
    let Service { streams, server, calls_under_way } = service;
    let subjects = streams.subjects(&arguments.prefix)?;
    let (prefix, inbox) = (subjects.prefix().to_owned(), inbox(&server));
    let limit = Limit::new(subjects.clone(), &inbox, calls_under_way, &arguments);
    let work = async {
        let mut connection = Connection::open(&server)?;
        connection.subscribe(&format!("{prefix}.api.*.*"), &format!("{inbox}.*"))?;
        let socket = connection.socket.try_clone().map_err(|error| error.to_string())?;
        let mut serving = tokio::task::spawn_blocking(move || connection.serve(limit));
        say_ready()?;
        tokio::select! {
            served = &mut serving => served.unwrap_or_else(|error| Err(error.to_string())),
            () = input_ended() => {
                // It fails if the server has closed the connection, which ends the thread too.
                let _ = socket.shutdown(Shutdown::Both);
                let _ = serving.await;
                Ok(())
            }
        }
    };
    streams.around(&subjects, work).await
}

fn inbox(server: &Server) -> String {
    format!("{}.{}", server.inbox_prefix, nuid::next())
}

/// A connection, and the bytes read that are no complete frame yet.
struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    /// Connects to the first server that accepts.
    fn open(server: &Server) -> Result<Self, String> {
        let mut problem = "no server is configured".to_owned();
        for (host, port) in &server.addresses {
            match Self::open_one((host, *port), server.user.as_ref()) {
                Ok(connection) => return Ok(connection),
                Err(met) => problem = format!("{host}:{port}: {met}"),
            }
        }
        Err(problem)
    }

    fn open_one(address: (&str, u16), user: Option<&(String, String)>) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        let socket = TcpStream::connect(address).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_read_timeout(Some(CONNECT)).map_err(failed)?;
        let mut connection = Self { socket, buffer: vec![0; READ_BYTES], filled: 0 };
        let mut options = serde_json::json!({
            "verbose": false,
            "pedantic": false,
            "headers": true,
            "no_responders": true,
            "protocol": 1,
            "lang": "rust",
            "version": env!("CARGO_PKG_VERSION"),
            "name": "peerd bench limit",
        });
        if let Some((name, password)) = user {
            options["user"] = name.as_str().into();
            options["pass"] = password.as_str().into();
        }
        connection.round_trip(&format!("CONNECT {options}\r\n"))?;
        Ok(connection)
    }

    fn subscribe(&mut self, requests: &str, acks: &str) -> Result<(), String> {
        let acks = format!("SUB {acks} {ACKS}\r\n");
        self.round_trip(&format!("{acks}SUB {requests} {QUEUE_GROUP} {REQUESTS}\r\n"))?;
        // From now on, reads wait without a limit.
        self.socket.set_read_timeout(None).map_err(|error| error.to_string())
    }

    /// Writes lines and waits until the server has handled them. Nothing else is in progress.
    fn round_trip(&mut self, lines: &str) -> Result<(), String> {
        let written = self.socket.write_all(format!("{lines}PING\r\n").as_bytes());
        written.map_err(|error| error.to_string())?;
        let mut is_answered = false;
        while !is_answered {
            self.read(|frame| {
                is_answered |= frame == Frame::Pong;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Reads once, and calls `take` with each complete frame.
    fn read(
        &mut self,
        mut take: impl FnMut(Frame<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.filled == self.buffer.len() {
            // A frame that is longer than the buffer; `parse` bounds it.
            self.buffer.resize(2 * self.filled, 0);
        }
        let read = self.socket.read(&mut self.buffer[self.filled..]);
        let read = read.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection".to_owned());
        }
        self.filled += read;
        let mut at = 0;
        while let Some((frame, length)) = parse(&self.buffer[at..self.filled])? {
            if let Frame::Error(text) = frame {
                return Err(format!("the server says {text}"));
            }
            take(frame)?;
            at += length;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    /// Answers requests as long as there is a connection.
    fn serve(mut self, mut limit: Limit) -> Result<(), String> {
        let mut out = Vec::with_capacity(READ_BYTES);
        loop {
            let mut now = None;
            self.read(|frame| {
                let now = *now.get_or_insert_with(Instant::now);
                limit.take(frame, now, &mut out);
                Ok(())
            })?;
            self.socket.write_all(&out).map_err(|error| error.to_string())?;
            out.clear();
        }
    }
}

/// A request whose record is not acknowledged yet.
struct Request {
    /// Its subject, then its reply subject.
    subjects: String,
    subject_bytes: usize,
    payload: Vec<u8>,
}

/// An event without the user's token, which goes between `head` and `tail`.
struct Event {
    is_senders: bool,
    head: String,
    tail: Vec<u8>,
    /// The bytes of the request's body to insert; `None` if the tail has the whole body.
    marked_bytes: Option<usize>,
}

/// The work without the connection: [`Limit::take`] gets incoming frames and writes outgoing ones
/// into a buffer.
struct Limit {
    subjects: Subjects,
    log_head: String,
    log_tail: String,
    record_bytes: usize,
    record_line: String,
    events: Vec<Event>,
    reply_tail: Vec<u8>,
    refusal_tail: String,
    under_way: Places<Request>,
}

impl Limit {
    fn new(subjects: Subjects, inbox: &str, places: usize, arguments: &Arguments) -> Self {
        let Arguments { record, reply, events, .. } = arguments;
        let prefix = subjects.prefix().to_owned();
        let body = |line: String, bytes: usize| {
            let mut body = line.into_bytes();
            body.resize(body.len() + bytes, b'.');
            body.extend_from_slice(b"\r\n");
            body
        };
        let event = |event: &super::sizes::EventSize| {
            let line = format!(".{} {}\r\n", event.name, event.bytes);
            let is_marked = event.name == RECEIVED;
            Event {
                is_senders: event.is_senders,
                head: format!("PUB {prefix}.event."),
                tail: if is_marked { line.into_bytes() } else { body(line, event.bytes) },
                marked_bytes: is_marked.then_some(event.bytes),
            }
        };
        let headers = format!(
            "NATS/1.0\r\n{SERVICE_ERROR}: overloaded\r\n\
             {SERVICE_ERROR_CODE}: {OVERLOADED_CODE}\r\n\r\n"
        );
        let (header_bytes, bytes) = (headers.len(), headers.len() + OVERLOADED.len());
        Self {
            log_head: format!("PUB {prefix}.log."),
            log_tail: format!(" {inbox}."),
            record_bytes: *record,
            record_line: format!(" {record}\r\n"),
            events: events.iter().map(event).collect(),
            reply_tail: body(format!(" {reply}\r\n"), *reply),
            refusal_tail: format!(" {header_bytes} {bytes}\r\n{headers}{OVERLOADED}\r\n"),
            under_way: Places::new(places),
            subjects,
        }
    }

    /// Handles a frame and adds the bytes to send to `out`.
    fn take(&mut self, frame: Frame<'_>, now: Instant, out: &mut Vec<u8>) {
        match frame {
            Frame::Message(message) if message.subscription == ACKS => {
                self.acknowledged(&message, out);
            }
            Frame::Message(message) => self.append(&message, now, out),
            Frame::Ping => out.extend_from_slice(b"PONG\r\n"),
            Frame::Pong | Frame::Error(_) | Frame::Other => {}
        }
    }

    /// Appends the record of a request.
    fn append(&mut self, message: &Message<'_>, now: Instant, out: &mut Vec<u8>) {
        let Message { subject, reply_to: Some(reply_to), payload, .. } = *message else { return };
        let Some((sender, receiver)) = users(subject) else { return };
        if !self.under_way.has_room(now) {
            write(out, &["HPUB ", reply_to, &self.refusal_tail]);
            return;
        }
        let partition = self.subjects.partition_of(receiver);
        let request = Request {
            subjects: [subject, reply_to].concat(),
            subject_bytes: subject.len(),
            payload: payload.to_owned(),
        };
        let number = self.under_way.take(now, request);
        write(out, &[&self.log_head]);
        // Writing into memory cannot fail.
        let _ = write!(out, "{partition}.{receiver}.{sender}{}{number}", self.log_tail);
        write(out, &[&self.record_line]);
        write_resized(out, payload, self.record_bytes);
    }

    /// Publishes the events of a request and answers it. A request whose record is not stored gets
    /// no answer.
    fn acknowledged(&mut self, ack: &Message<'_>, out: &mut Vec<u8>) {
        let request = number_of(ack.subject).and_then(|number| self.under_way.finish(number));
        let Some(Request { subjects, subject_bytes, payload }) = request else { return };
        let (subject, reply_to) = subjects.split_at(subject_bytes);
        let Some((sender, receiver)) = users(subject).filter(|_| is_stored(ack.payload)) else {
            return;
        };
        for Event { is_senders, head, tail, marked_bytes } in &self.events {
            write(out, &[head, if *is_senders { sender } else { receiver }]);
            out.extend_from_slice(tail);
            // The load generator reads its marker from this one.
            if let Some(bytes) = marked_bytes {
                write_resized(out, &payload, *bytes);
            }
        }
        write(out, &["PUB ", reply_to]);
        out.extend_from_slice(&self.reply_tail);
    }
}

fn write(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes a body of the given size that begins like this one, and the end of its frame.
fn write_resized(out: &mut Vec<u8>, body: &[u8], bytes: usize) {
    let end = out.len() + bytes;
    out.extend_from_slice(&body[..bytes.min(body.len())]);
    out.resize(end, b'.');
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::sizes::EventSize;
    use super::*;

    fn limit(places: usize) -> Limit {
        let event =
            |is_senders, name: &str, bytes| EventSize { is_senders, name: name.to_owned(), bytes };
        let arguments = Arguments {
            prefix: "b".to_owned(),
            record: 5,
            reply: 2,
            events: vec![event(false, RECEIVED, 4), event(true, "conversation_changed", 3)],
            like: "peer".to_owned(),
        };
        Limit::new(Subjects::new("b", 1), "_INBOX.i", places, &arguments)
    }

    /// The bytes that the limit sends after these bytes of a server.
    fn sent(limit: &mut Limit, mut read: &[u8]) -> String {
        let mut out = Vec::new();
        while let Some((frame, length)) = parse(read).expect("frames") {
            limit.take(frame, Instant::now(), &mut out);
            read = &read[length..];
        }
        assert_eq!(read, b"", "all of it is taken");
        String::from_utf8(out).expect("text")
    }

    const REQUEST: &[u8] = b"HMSG b.api.al.bo 2 _INBOX.load.1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n";

    #[test]
    fn a_request_is_appended_and_answered_with_its_events_once_it_is_stored() {
        let mut limit = limit(8);
        let appended = sent(&mut limit, REQUEST);
        assert_eq!(appended, "PUB b.log.0.bo.al _INBOX.i.0 5\r\nabc..\r\n");
        let ack = b"MSG _INBOX.i.0 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n";
        let published = sent(&mut limit, ack);
        let expected = "PUB b.event.bo.peer_message_received 4\r\nabc.\r\n\
                        PUB b.event.al.conversation_changed 3\r\n...\r\n\
                        PUB _INBOX.load.1 2\r\n..\r\n";
        assert_eq!(published, expected);
        assert_eq!(sent(&mut limit, ack), "", "once");
        assert_eq!(sent(&mut limit, b"PING\r\n"), "PONG\r\n");
    }

    #[test]
    fn a_message_without_ack_or_place_is_not_answered_with_success() {
        let mut limit = limit(1);
        sent(&mut limit, REQUEST);
        let refused = sent(&mut limit, REQUEST);
        let headers = "NATS/1.0\r\nNats-Service-Error: overloaded\r\n\
                       Nats-Service-Error-Code: 6000007\r\n\r\n";
        let bytes = headers.len() + OVERLOADED.len();
        let head = format!("HPUB _INBOX.load.1 {} {bytes}\r\n", headers.len());
        assert_eq!(refused, format!("{head}{headers}{OVERLOADED}\r\n"));
        // No responders: the stream has no leader.
        let nobody = b"HMSG _INBOX.i.0 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
        assert_eq!(sent(&mut limit, nobody), "");
        assert!(sent(&mut limit, REQUEST).starts_with("PUB b.log.0.bo.al _INBOX.i.1 "));
    }
}
