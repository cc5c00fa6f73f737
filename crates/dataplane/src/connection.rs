//! The task of a connection: connects, reads, writes, and reconnects.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::address::Address;
use crate::dial::{Dialled, dial};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::event::Event;
use crate::reader::Reader;
use crate::servers::{Servers, delay};
use crate::shared::Shared;

/// How many of the connection's own PINGs may be unanswered.
const PINGS_MISSED_MAX: usize = 2;
/// How long a closed client may take to write what is buffered.
const CLOSING: Duration = Duration::from_secs(1);
/// The time over which the clients of a server in lame duck mode move to another. By default such a
/// server begins to close connections after ten seconds.
const MOVING: Duration = Duration::from_secs(2);
/// How long draining the connection to a server in lame duck mode may take.
const LEAVING: Duration = Duration::from_secs(2);
/// A batch buffer with more capacity than this is not kept.
const BATCH_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// The connection, and the servers to reconnect to.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    servers: Mutex<Servers>,
}

/// How a connection ended.
enum End {
    /// The client was closed.
    Closed,
    /// It was lost, with the reason.
    Lost(String),
    /// Another connection replaced it.
    Moved(Box<Dialled>),
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>) -> Result<Self, ConnectError> {
        let servers = Mutex::new(Servers::new(&shared.options.servers)?);
        Ok(Self { shared, servers })
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries each server once.
    pub(crate) async fn dial_any(&self) -> Result<Dialled, ConnectError> {
        let addresses = self.servers().in_order();
        self.dial_one_of(addresses).await
    }

    async fn dial_one_of(&self, addresses: Vec<Address>) -> Result<Dialled, ConnectError> {
        let mut error = None;
        for address in addresses {
            match dial(&self.shared.options, &address).await {
                Ok(dialled) => {
                    self.servers().worked(&address);
                    return Ok(dialled);
                }
                Err(failed) if failed.kind() == ConnectErrorKind::Settings => return Err(failed),
                Err(failed) => {
                    self.servers().failed(&address);
                    error = Some(failed);
                }
            }
        }
        Err(error.unwrap_or_else(|| ConnectError::Protocol {
            server: String::new(),
            problem: "there is no other server".to_owned(),
        }))
    }

    /// Begins to use a connection.
    pub(crate) fn begin(&self, dialled: &Dialled) {
        self.discovered(&dialled.info.connect_urls, &dialled.address);
        self.shared.set_info(dialled.info.clone());
        self.shared.open();
        self.shared.event(&Event::Connected { server: &dialled.address.to_string() });
    }

    /// Serves the connection, and reconnects when it is lost, until the client is closed.
    pub(crate) async fn run(self, first: Dialled) {
        let shared = self.shared.clone();
        let mut dialled = first;
        loop {
            let end = self.serve(dialled).await;
            shared.lost();
            let (reason, next) = match end {
                End::Closed => ("closed".to_owned(), None),
                End::Lost(reason) => (reason, None),
                End::Moved(other) => ("the server is shutting down".to_owned(), Some(*other)),
            };
            shared.event(&Event::Disconnected { reason: &reason });
            if shared.outbox.is_closed() {
                break;
            }
            dialled = tokio::select! {
                dialled = self.next(next) => dialled,
                () = shared.closing.notified() => break,
            };
            self.begin(&dialled);
        }
        shared.outbox.close();
        shared.lost();
        shared.subscriptions().clear();
        shared.event(&Event::Closed);
        shared.ended.send_replace(true);
    }

    /// The given connection, or else a new one as soon as a server accepts it.
    async fn next(&self, ready: Option<Dialled>) -> Dialled {
        if let Some(dialled) = ready {
            return dialled;
        }
        for round in 0_u32.. {
            sleep(delay(round, self.shared.options.reconnect_delay_max)).await;
            match self.dial_any().await {
                Ok(dialled) => return dialled,
                Err(error) => self.shared.event(&Event::NotConnected { error: &error }),
            }
        }
        // Unreachable: that many rounds take centuries.
        std::future::pending().await
    }

    /// Notes the other servers that a server names.
    pub(crate) fn discovered(&self, urls: &[String], by: &Address) {
        if self.shared.options.uses_discovered_servers {
            self.servers().discovered(urls, by);
        }
    }

    /// Reads and writes until the connection ends.
    async fn serve(&self, dialled: Dialled) -> End {
        let Dialled { stream, buffer, parser, address, .. } = dialled;
        let (from_server, to_server) = tokio::io::split(stream);
        let reader = Reader::new(&self.shared, parser, buffer, |info| {
            self.discovered(&info.connect_urls, &address);
        });
        let mut reading = pin!(reader.run(from_server));
        let mut writing = pin!(self.write(to_server));
        let every = self.shared.options.ping_interval;
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut moving = pin!(self.move_from(&address));
        let (mut has_moved, mut is_closing) = (None, pin!(None));
        loop {
            tokio::select! {
                reason = &mut reading => break End::Lost(reason),
                written = &mut writing => break match (written, has_moved.take()) {
                    (_, Some(other)) => End::Moved(other),
                    (Ok(()), None) => End::Closed,
                    (Err(error), None) => End::Lost(error.to_string()),
                },
                _ = ticks.tick() => {
                    if self.shared.outbox.ping_own() >= PINGS_MISSED_MAX {
                        break End::Lost("the server does not answer".to_owned());
                    }
                }
                other = &mut moving, if has_moved.is_none() => {
                    has_moved = Some(Box::new(other));
                    // The writer ends once everything is written.
                    self.shared.outbox.end();
                    is_closing.set(Some(sleep(LEAVING)));
                }
                () = self.shared.closing.notified() => is_closing.set(Some(sleep(CLOSING))),
                () = wait(is_closing.as_mut().as_pin_mut()), if is_closing.is_some() => {
                    break has_moved.map_or(End::Closed, End::Moved);
                }
            }
        }
    }

    /// Writes what is buffered, each time the whole buffer.
    async fn write(&self, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut batch = Vec::new();
        while self.shared.outbox.take(&mut batch).await {
            to.write_all(&batch).await?;
            to.flush().await?;
            batch.clear();
            if batch.capacity() > BATCH_BYTES_KEPT {
                batch = Vec::new();
            }
        }
        // Best effort: tells the server that nothing more follows.
        let _ = to.shutdown().await;
        Ok(())
    }

    /// Waits until the server is in lame duck mode, connects to another one, and drains this
    /// connection: messages that arrive until then are handled.
    async fn move_from(&self, address: &Address) -> Dialled {
        // This cannot fail: `self` holds the sender.
        let _ = self.shared.is_lame_duck.subscribe().wait_for(|is_lame_duck| *is_lame_duck).await;
        self.shared.event(&Event::LameDuck);
        sleep(MOVING.mul_f64(fastrand::f64())).await;
        let other = loop {
            let others = self.servers().others(address);
            match self.dial_one_of(others).await {
                Ok(other) => break other,
                // There may be no other server, and this one has a while left.
                Err(_) => sleep(MOVING).await,
            }
        };
        let frames = self.shared.subscriptions().leave();
        if let Ok(answered) = self.shared.outbox.ping(frames.as_bytes()) {
            let _ = timeout(LEAVING, answered).await;
        }
        other
    }
}

/// Waits for the future, if there is one.
async fn wait(future: Option<std::pin::Pin<&mut impl Future<Output = ()>>>) {
    if let Some(future) = future {
        future.await;
    }
}
