//! A client for the pages that peerd serves by HTTP, and a server for pages that it fetches.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Reads a page. An error is a listener that is not there, or that closes without an answer.
pub async fn get(address: &str, path: &str) -> std::io::Result<Page> {
    let reading = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        let page = status.zip(body).map(|(status, body)| Page { status, body });
        page.ok_or_else(|| std::io::Error::other(format!("no answer: {answer:?}")))
    };
    timeout(DEADLINE, reading).await?
}

/// The samples of metrics: each series and its value, as written.
pub fn samples(metrics: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' '))
}

/// The sum of the samples of a metric whose labels contain all of these texts. They are integers.
pub fn sum(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let is_its = |series: &str| {
        let rest = series.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            && labels.iter().all(|label| series.contains(label))
    };
    let its = samples(metrics).filter(|(series, _)| is_its(series));
    its.map(|(_, value)| value.parse::<u64>().expect("an integer")).sum()
}

/// A server of pages by their paths. A path without a page is answered with 404.
pub struct Pages {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    pages: Vec<(String, String)>,
    served: usize,
}

impl Pages {
    /// Starts a server without pages.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let shared = state.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                // A client that breaks off gets no answer.
                tokio::spawn(async move { drop(timeout(DEADLINE, serve(stream, state)).await) });
            }
        });
        Self { address, state, serving }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the page of a path.
    pub fn set(&self, path: &str, body: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pages.retain(|(known, _)| known != path);
        state.pages.push((path.to_owned(), body.to_owned()));
    }

    /// How many requests were answered.
    pub fn served(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).served
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let page = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.served += 1;
        state.pages.iter().find(|(known, _)| known == path).map(|(_, body)| body.clone())
    };
    let (status, body) = page.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await
}
