//! An account: a user's name and sessions, when the user was last heard from, and a revision that no
//! order key shows. Key: `peer.state.<p>.<user>.account`. A load takes the newer one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Kind, read, read_newest};
use crate::domain::encoding::Encoding;
use crate::domain::id::Partition;
use crate::domain::user::{Account, Session};
use crate::wire::block;
use crate::wire::packed::{EncodeError, RecordError, check_numbers, version};
use crate::wire::subject::{Subjects, Token};

const KIND: &str = Kind::Account.name();

/// A user's entry.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, user: &Token) -> String {
    format!("{}{user}.account", subjects.state_prefix(partition))
}

/// The entries of all users of a partition.
#[must_use]
pub fn all(subjects: &Subjects, partition: Partition) -> String {
    format!("{}*.account", subjects.state_prefix(partition))
}

#[derive(Deserialize)]
struct AccountV1 {
    #[serde(rename = "version")]
    _version: u8,
    name: String,
    /// ID, since (ms since 1970), platform, device ID.
    sessions: Vec<(String, u64, String, String)>,
    heard_ms: Option<u64>,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct AccountV2 {
    version: u8,
    name: String,
    sessions: Vec<SessionV2>,
    heard_ms: Option<u64>,
    revision: u64,
}

/// ID, since (ms since 1970), platform, device ID, whether it logged in with JSON; nil where that is
/// not known.
#[derive(Serialize, Deserialize)]
struct SessionV2(String, u64, String, String, Option<bool>);

impl From<AccountV1> for AccountV2 {
    fn from(entry: AccountV1) -> Self {
        let AccountV1 { name, sessions, heard_ms, revision, .. } = entry;
        let session =
            |(id, since_ms, platform, device)| SessionV2(id, since_ms, platform, device, None);
        let sessions = sessions.into_iter().map(session).collect();
        Self { version: 2, name, sessions, heard_ms, revision }
    }
}

/// Writes an account.
pub fn encode(account: &Account) -> Result<Bytes, EncodeError> {
    let session = |session: &Session| {
        let Session { id, since_ms, platform, device_id, encoding } = session.clone();
        let is_json = encoding.map(|encoding| encoding == Encoding::Json);
        SessionV2(id, since_ms, platform, device_id, is_json)
    };
    let entry = AccountV2 {
        version: 2,
        name: account.name.clone(),
        sessions: account.sessions.iter().map(session).collect(),
        heard_ms: account.heard_ms,
        revision: account.revision,
    };
    block::written(|out| rmp_serde::encode::write(out, &entry))
}

/// Reads an account.
pub fn decode(bytes: &[u8]) -> Result<Account, RecordError> {
    let entry = if version(bytes, KIND)? == 1 {
        read::<AccountV1>(bytes, KIND, 1)?.into()
    } else {
        read_newest(bytes, KIND, 2)?
    };
    let AccountV2 { name, sessions, heard_ms, revision, .. } = entry;
    check_numbers(KIND, &[revision, heard_ms.unwrap_or_default()])?;
    let session = |SessionV2(id, since_ms, platform, device_id, is_json)| {
        let encoding = |is_json| if is_json { Encoding::Json } else { Encoding::MessagePack };
        Session { id, since_ms, platform, device_id, encoding: is_json.map(encoding) }
    };
    Ok(Account { name, sessions: sessions.into_iter().map(session).collect(), heard_ms, revision })
}
