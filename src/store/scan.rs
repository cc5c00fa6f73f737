//! Reads a whole stream once, for `peerd verify`.

use async_nats::Client;
use tokio::time::{Instant, sleep, timeout_at};

use super::direct_get::{self, Failed, Request};
use super::names::StreamNames;
use super::survey;
use super::tuning::{SCAN_RECORDS_PER_READ, SCAN_RETRY_DELAY};
use super::{ReadError, Record, Start, StreamId};

/// Passes every record of a stream that matches `filter` to `take`, in order, up to the end that
/// its leader reports.
pub async fn records(
    client: &Client,
    names: &StreamNames,
    stream: StreamId,
    filter: &str,
    deadline: Instant,
    mut take: impl FnMut(Record),
) -> Result<(), ReadError> {
    let name = names.of(stream);
    let state = survey::stream(client, &name, deadline).await;
    let end = state.map_err(|unseen| ReadError(format!("{name} {unseen}")))?.last_seq;
    let mut next = 1;
    while next <= end {
        let request = Request::next(filter.to_owned(), Start::Seq(next), SCAN_RECORDS_PER_READ);
        let asked = direct_get::collect(client, &name, &request);
        let answer = timeout_at(deadline, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(Failed::Other("timed out".to_owned())));
        let batch = match answer {
            Ok(answer) => answer.batch,
            Err(Failed::NoResponders) => direct_get::Answer::default().batch,
            Err(failed) => return Err(failed.into()),
        };
        if batch.records.is_empty() {
            // The replica that answered lags behind.
            if Instant::now() + SCAN_RETRY_DELAY >= deadline {
                return Err(ReadError(format!(
                    "{name} ends at {end}, and no copy goes beyond {next}"
                )));
            }
            sleep(SCAN_RETRY_DELAY).await;
        }
        for record in batch.records {
            next = record.stream_seq + 1;
            take(record);
        }
    }
    Ok(())
}
