//! A listener for HTTP: GET and HEAD of a few pages, for monitoring.
//!
//! It has a thread and a runtime of its own. So it answers even if the tasks of the daemon make no
//! progress, and whatever its clients do takes a bounded share of one processor and of memory: few
//! connections, of which the oldest is closed for a new one, short headers, one request for each
//! connection, a few seconds for all of it, and a pause after each connection.

pub(crate) mod client;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

/// The most connections at a time. Slow clients are the oldest ones.
const CONNECTIONS_MAX: usize = 64;
/// The pause after each new connection: at most a thousand requests a second are answered.
const CONNECTION_PAUSE: Duration = Duration::from_millis(1);
/// The pause after a connection that could not be accepted, as when no file can be opened.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may take, from its beginning to its end.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The most bytes of a request line with its headers. hyper accepts no smaller number.
const HEADER_BYTES_MAX: usize = 8192;

/// The type of a page of plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// The pages of a server.
pub trait Pages: Send + Sync + 'static {
    /// The page of a path; `None`: there is none.
    fn page(&self, path: &str) -> Option<Page>;
}

/// A server in a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on an address, and serves pages.
    pub fn start(address: SocketAddr, pages: Arc<dyn Pages>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serve = move || {
            let served = stopped.run_until_cancelled_owned(accept(listener, pages));
            if let Some(Err(error)) = runtime.block_on(served) {
                tracing::error!(%error, "metrics and health cannot be served");
            }
        };
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(serve)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// The address on which it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It waits for nothing but a page that is being written.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, pages: Arc<dyn Pages>) -> std::io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = VecDeque::with_capacity(CONNECTIONS_MAX);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(FAILURE_PAUSE).await;
            continue;
        };
        connections.retain(|connection: &AbortOnDrop<()>| !connection.is_finished());
        if connections.len() >= CONNECTIONS_MAX {
            connections.pop_front();
        }
        let serving = serve(stream, pages.clone());
        connections.push_back(AbortOnDrop::new(tokio::spawn(serving)));
        sleep(CONNECTION_PAUSE).await;
    }
}

async fn serve(stream: TcpStream, pages: Arc<dyn Pages>) {
    let answer = service_fn(|request| ready(Ok::<_, Infallible>(answer(&request, &*pages))));
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that breaks off, sends no HTTP or takes too long gets no answer.
    let _ = timeout(CONNECTION_TIMEOUT, serving).await;
}

fn answer(request: &Request<Incoming>, pages: &dyn Pages) -> Response<String> {
    let text = |status, body: &str| Page { status, content_type: TEXT, body: body.to_owned() };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let page = if is_read {
        let page = pages.page(request.uri().path());
        page.unwrap_or_else(|| text(StatusCode::NOT_FOUND, "no such page\n"))
    } else {
        text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
    };
    let mut response = Response::new(page.body);
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(page.content_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    if !is_read {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests;
