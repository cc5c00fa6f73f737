//! A client for the pages that peerd serves by HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
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
