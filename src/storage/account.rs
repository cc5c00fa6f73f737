//! An account: a user's profile, custom status and sessions, when the user was last seen, and a revision that no
//! order key shows. Key: `peer.state.<p>.<user>.account`. A load takes the newer one.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::fields::{FieldsIn, FieldsOut};
use super::{Kind, read};
use crate::wire::packed::{EncodeError, RecordError, check_numbers, version};
use peerd_core::encoding::Encoding;
use peerd_core::id::{OrderKey, Partition};
use peerd_core::privacy::Privacy;
use peerd_core::user::{Account, Session};
use peerd_core::user_info::Profile;
use peerd_core::user_status::CustomStatus;
use peerd_protocol::subject::{Subjects, Token};

const KIND: &str = Kind::Account.name();

/// A user's entry.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, user: &Token) -> String {
    format!("{}{user}.account", subjects.state_prefix(partition))
}

/// The subjects of the entries of all users of a partition.
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
    last_seen_ms: Option<u64>,
    revision: u64,
}

#[derive(Deserialize)]
struct AccountV2 {
    #[serde(rename = "version")]
    _version: u8,
    name: String,
    sessions: Vec<SessionV2>,
    last_seen_ms: Option<u64>,
    revision: u64,
}

/// ID, since (ms since 1970), platform, device ID, whether it logged in with JSON; nil if unknown.
#[derive(PartialEq, Serialize, Deserialize)]
struct SessionV2(String, u64, String, String, Option<bool>);

/// The fields of version 3. Additions to sessions are fields of their own, by session ID.
const NAME: u8 = 1;
const SESSIONS: u8 = 2;
const LAST_SEEN_MS: u8 = 3;
const REVISION: u8 = 4;
const AVATAR_URL: u8 = 5;
const EXTENDED_DATA: u8 = 6;
/// A bit for each part that the user hides.
const PRIVACY: u8 = 7;
const CUSTOM_STATUS: u8 = 8;
/// An order key.
const REPORTED_UP_TO: u8 = 9;

/// A custom status: text, when it was set, when it expires (ms since 1970, 0 for never).
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct CustomStatusV1(String, u64, u64);

/// Writes an account.
pub fn encode(account: &Account) -> Result<Bytes, EncodeError> {
    let session = |session: &Session| {
        let Session { id, since_ms, platform, device_id, encoding } = session.clone();
        let is_json = encoding.map(|encoding| encoding == Encoding::Json);
        SessionV2(id, since_ms, platform, device_id, is_json)
    };
    let Account { profile, extended_data, privacy, custom_status, .. } = account;
    let Account { sessions, last_seen_ms, revision, reported_up_to, later, .. } = account;
    let Profile { name, avatar_url } = profile;
    let mut fields = FieldsOut::default();
    fields.put(NAME, name)?;
    fields.put(SESSIONS, &sessions.iter().map(session).collect::<Vec<_>>())?;
    fields.put(LAST_SEEN_MS, last_seen_ms)?;
    fields.put(REVISION, revision)?;
    fields.put(AVATAR_URL, &avatar_url.as_deref().unwrap_or_default())?;
    fields.put(EXTENDED_DATA, &extended_data.as_deref().unwrap_or_default())?;
    fields.put(PRIVACY, &privacy.bits())?;
    let status = custom_status
        .as_deref()
        .map(|status| CustomStatusV1(status.text.clone(), status.since_ms, status.until_ms));
    fields.put(CUSTOM_STATUS, &status)?;
    fields.put(REPORTED_UP_TO, &reported_up_to.0)?;
    fields.entry(3, later)
}

/// Reads an account.
pub fn decode(bytes: &[u8]) -> Result<Account, RecordError> {
    let account = match version(bytes, KIND)? {
        1 => {
            let AccountV1 { name, sessions, last_seen_ms, revision, .. } = read(bytes, KIND, 1)?;
            let session =
                |(id, since_ms, platform, device)| SessionV2(id, since_ms, platform, device, None);
            let sessions = sessions.into_iter().map(session).collect();
            early(name, sessions, last_seen_ms, revision)
        }
        2 => {
            let AccountV2 { name, sessions, last_seen_ms, revision, .. } = read(bytes, KIND, 2)?;
            early(name, sessions, last_seen_ms, revision)
        }
        _ => {
            let fields = FieldsIn::read(bytes, KIND, 3, REPORTED_UP_TO)?;
            let sessions: Vec<SessionV2> = fields.get(SESSIONS)?;
            let text = |number| Ok::<_, RecordError>(shared(fields.get(number)?));
            Account {
                profile: Profile { name: fields.get(NAME)?, avatar_url: text(AVATAR_URL)? },
                extended_data: text(EXTENDED_DATA)?,
                privacy: Privacy::from_bits(fields.get(PRIVACY)?),
                custom_status: custom_status(fields.get(CUSTOM_STATUS)?)?,
                sessions: sessions.into_iter().map(session).collect(),
                last_seen_ms: fields.get(LAST_SEEN_MS)?,
                revision: fields.get(REVISION)?,
                reported_up_to: OrderKey(fields.get(REPORTED_UP_TO)?),
                later: fields.later(),
            }
        }
    };
    check_numbers(KIND, &[account.revision, account.last_seen_ms.unwrap_or_default()])?;
    check_numbers(KIND, &[account.reported_up_to.0])?;
    Ok(account)
}

/// An account without the fields of later versions.
fn early(
    name: String,
    sessions: Vec<SessionV2>,
    last_seen_ms: Option<u64>,
    revision: u64,
) -> Account {
    let profile = Profile { name, avatar_url: None };
    let sessions = sessions.into_iter().map(session).collect();
    Account { profile, sessions, last_seen_ms, revision, ..Account::default() }
}

fn custom_status(stored: Option<CustomStatusV1>) -> Result<Option<Arc<CustomStatus>>, RecordError> {
    let Some(CustomStatusV1(text, since_ms, until_ms)) = stored else { return Ok(None) };
    check_numbers(KIND, &[since_ms, until_ms])?;
    Ok(Some(Arc::new(CustomStatus { text, since_ms, until_ms })))
}

/// A text; `None` if it is empty.
fn shared(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| Arc::from(text))
}

fn session(SessionV2(id, since_ms, platform, device_id, is_json): SessionV2) -> Session {
    let encoding = |is_json| if is_json { Encoding::Json } else { Encoding::MessagePack };
    Session { id, since_ms, platform, device_id, encoding: is_json.map(encoding) }
}
