//! Connects to an address: TCP, INFO, TLS, CONNECT and PING, until the server's PONG.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::address::Address;
use crate::auth;
use crate::error::ConnectError;
use crate::info::{Connect, ServerInfo};
use crate::options::Options;
use crate::parser::{Frame, Parser};
use crate::tls;

/// Words, in lower case, in the errors with which a server rejects the credentials.
const REFUSALS: [&str; 3] = ["authorization violation", "authentication", "account"];

/// A byte stream, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream to which TLS may still be added.
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection on which the server has answered.
pub(crate) struct Dialled {
    pub(crate) stream: Box<dyn Stream>,
    /// Bytes that were read and not parsed yet.
    pub(crate) buffer: BytesMut,
    pub(crate) parser: Parser,
    pub(crate) info: ServerInfo,
    pub(crate) address: Address,
}

/// Connects to a server, by the first of its IP addresses that accepts the connection.
pub(crate) async fn dial(options: &Options, address: &Address) -> Result<Dialled, ConnectError> {
    let server = || address.to_string();
    let dns = |error| ConnectError::Dns { server: server(), error };
    let found = timeout(
        options.connect_timeout,
        tokio::net::lookup_host((address.host.as_str(), address.port)),
    );
    let found = found.await.map_err(|_| ConnectError::Timeout { server: server() })?;
    let mut error = None;
    for socket in found.map_err(dns)? {
        let dialled = async {
            let stream = TcpStream::connect(socket).await;
            let stream = stream.map_err(|error| ConnectError::Io { server: server(), error })?;
            // Small writes are already batched before they reach the socket.
            let _ = stream.set_nodelay(true);
            shake_hands(options, address, stream).await
        };
        match timeout(options.connect_timeout, dialled).await {
            Ok(Ok(dialled)) => return Ok(dialled),
            Ok(Err(failed)) => error = Some(failed),
            Err(_) => error = Some(ConnectError::Timeout { server: server() }),
        }
    }
    let nothing = || dns(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    Err(error.unwrap_or_else(nothing))
}

async fn shake_hands(
    options: &Options,
    address: &Address,
    stream: TcpStream,
) -> Result<Dialled, ConnectError> {
    let protocol = |problem: &str| ConnectError::Protocol {
        server: address.to_string(),
        problem: problem.to_owned(),
    };
    let tls = &options.tls;
    let mut socket = if tls.first {
        Socket::Tls(Box::new(tls::connect(tls, address, stream).await?))
    } else {
        Socket::Plain(stream)
    };
    let (mut parser, mut buffer) = (Parser::default(), BytesMut::with_capacity(4096));
    let stream: &mut dyn Stream = match &mut socket {
        Socket::Plain(stream) => stream,
        Socket::Tls(stream) => stream,
    };
    let mut hands = Hands { address, stream, parser: &mut parser, buffer: &mut buffer };
    let Frame::Info(json) = hands.read().await? else {
        return Err(protocol("it does not begin with INFO, so it is not a nats-server"));
    };
    let mut info = read_info(&json).ok_or_else(|| protocol("cannot parse its INFO"))?;
    let wants_tls = tls.required || tls.first || address.is_tls;
    let mut stream: Box<dyn Stream> = match socket {
        Socket::Plain(plain) if wants_tls || info.tls_required => {
            if !info.tls_required && !info.tls_available {
                return Err(ConnectError::NoTls { server: address.to_string() });
            }
            if !buffer.is_empty() {
                // These bytes were not sent by the peer that TLS would authenticate, so they cannot
                // be trusted.
                return Err(protocol("it sends more than INFO before TLS"));
            }
            Box::new(tls::connect(tls, address, plain).await?)
        }
        Socket::Plain(plain) => Box::new(plain),
        Socket::Tls(stream) => stream,
    };
    let connect = Connect {
        tls_required: wants_tls,
        name: &options.name,
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        echo: true,
        headers: true,
        no_responders: true,
        identity: auth::identity(&options.credentials, address, &info.nonce).await?,
        ..Connect::default()
    };
    let json = serde_json::to_string(&connect).map_err(|error| protocol(&error.to_string()))?;
    let mut hands =
        Hands { address, stream: &mut *stream, parser: &mut parser, buffer: &mut buffer };
    hands.write(format!("CONNECT {json}\r\nPING\r\n").as_bytes()).await?;
    loop {
        match hands.read().await? {
            Frame::Pong => break,
            Frame::Ping => hands.write(b"PONG\r\n").await?,
            Frame::Info(json) => info = read_info(&json).unwrap_or(info),
            Frame::Error(text) => return Err(refused(address, text)),
            Frame::Ok => {}
            Frame::Message(..) => return Err(protocol("a message before any subscription")),
        }
    }
    if !info.headers {
        return Err(protocol("it does not support headers"));
    }
    Ok(Dialled { stream, buffer, parser, info, address: address.clone() })
}

/// Parses the JSON of an INFO.
pub(crate) fn read_info(json: &[u8]) -> Option<ServerInfo> {
    serde_json::from_slice(json).ok()
}

fn refused(address: &Address, text: String) -> ConnectError {
    let server = address.to_string();
    let lower = text.to_ascii_lowercase();
    if REFUSALS.iter().any(|refusal| lower.contains(refusal)) {
        ConnectError::Authentication { server, text }
    } else {
        ConnectError::Refused { server, text }
    }
}

/// The two sides of a handshake.
struct Hands<'h> {
    address: &'h Address,
    stream: &'h mut dyn Stream,
    parser: &'h mut Parser,
    buffer: &'h mut BytesMut,
}

impl Hands<'_> {
    async fn read(&mut self) -> Result<Frame, ConnectError> {
        loop {
            let frame = self.parser.next(self.buffer).map_err(|error| ConnectError::Protocol {
                server: self.address.to_string(),
                problem: error.to_string(),
            })?;
            if let Some(frame) = frame {
                return Ok(frame);
            }
            let read = self.stream.read_buf(self.buffer).await;
            if read.map_err(|error| self.failed(error))? == 0 {
                let end = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                );
                return Err(self.failed(end));
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> ConnectError {
        let server = self.address.to_string();
        // In TLS 1.3 the server's rejection of a client certificate arrives with the next read.
        if tls::is_tls(&error) {
            ConnectError::Tls { server, error }
        } else {
            ConnectError::Io { server, error }
        }
    }
}
