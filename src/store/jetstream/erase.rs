//! Erasing a record: JetStream's secure erase, which overwrites its bytes.

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::publish::{ApiError, Backoff};
use super::{JetStream, NO_MESSAGE, NewestAnswer};
use crate::store::trouble::Resource;
use crate::store::{AppendError, StreamId};

/// The answer to a request to erase a record.
#[derive(Deserialize)]
struct EraseAnswer {
    #[serde(default)]
    success: bool,
    error: Option<ApiError>,
}

impl JetStream {
    /// See [`crate::store::Store::erase`].
    pub(super) async fn erase_record(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{}", self.names.of(stream));
        let body = Bytes::from(serde_json::json!({ "seq": seq, "no_erase": false }).to_string());
        let mut backoff = Backoff::until(deadline);
        loop {
            let answer = self.ask_api(subject.clone(), body.clone(), &mut backoff).await;
            let answer = answer.and_then(|answer| serde_json::from_slice(&answer.payload).ok());
            if let Some(EraseAnswer { success, error }) = answer {
                if success {
                    return Ok(());
                }
                // It may be gone since an earlier try, whose answer was lost: the leader knows.
                if !self.has_record(stream, seq, &mut backoff).await {
                    return Ok(());
                }
                tracing::debug!(?error, seq, "a record was not erased");
                self.troubles.suspect(Resource::Stream(stream));
            }
            // No leader at the moment, perhaps.
            if !backoff.wait().await {
                return Err(AppendError::Unknown);
            }
        }
    }

    /// Whether a record is there, as far as the stream's leader says so.
    async fn has_record(&self, stream: StreamId, seq: u64, backoff: &mut Backoff) -> bool {
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.names.of(stream));
        let body = Bytes::from(serde_json::json!({ "seq": seq }).to_string());
        let answer = self.ask_api(subject, body, backoff).await;
        let answer = answer.and_then(|answer| serde_json::from_slice(&answer.payload).ok());
        let is_gone = matches!(
            answer,
            Some(NewestAnswer { message: None, error: Some(error) }) if error.err_code == NO_MESSAGE
        );
        !is_gone
    }
}
