//! `login`: begins a session.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::replay::ReplayFrom;
use crate::store::Store;
use peerd_core::event::Event;
use peerd_core::id::OrderKey;
use peerd_core::limits::{DEVICE_MAX_BYTES, USER_NAME_MAX_BYTES};
use peerd_core::login::Login as AfterLogin;
use peerd_core::text::is_blank;
use peerd_core::user::Session;
use peerd_protocol::api::LoggedIn;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{Line, LineOrNumber};

/// Begins a session.
pub struct Login;

/// The client's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The name that other users see. The current name stays if this is empty.
    pub user_name: Option<UserName>,
    /// The platform of the client: the SDK's number, or a name.
    pub platform: Option<LineOrNumber<DEVICE_MAX_BYTES>>,
    /// The device. An earlier session of the same device ends.
    #[serde(rename = "deviceID")]
    pub device_id: Option<Line<DEVICE_MAX_BYTES>>,
    /// The order key of the newest message that the device has, 0 for none. The replay begins after
    /// it.
    pub replay_after: Option<u64>,
}

/// A user's name: empty, or not blank.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct UserName(pub Line<USER_NAME_MAX_BYTES>);

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        if !line.0.is_empty() && is_blank(&line.0) {
            return Err(de::Error::custom("must not be blank"));
        }
        Ok(Self(line))
    }
}

impl Command for Login {
    const NAME: &'static str = "login";
    const SUMMARY: &'static str = "Begins a session.";
    const KIND: Kind = Kind::Session;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"userName":"Alice","platform":"linux","deviceID":"d-1","replayAfter":9007199254740991}"#,
    ];
    type Request = Request;
    type Reply = LoggedIn;

    async fn run<S: Store, B: Bus>(
        request: Request,
        call: Call<'_, S, B>,
    ) -> Result<LoggedIn, CallError> {
        let Call { parts, cell, encoding, deadline, replay_from: replay } = call;
        let UserName(Line(name)) = request.user_name.unwrap_or_default();
        let replay_after = request.replay_after.map(OrderKey);
        let now_ms = parts.env.clock.wall_ms();
        let session = Session {
            id: (parts.env.options.new_session_id)(),
            since_ms: now_ms,
            platform: request.platform.unwrap_or_default().0,
            device_id: request.device_id.unwrap_or_default().0,
            encoding: Some(encoding),
        };
        let session_id = session.id.clone();
        let mut replay_from = None;
        let entries = &parts.entries;
        entries
            .commit(cell, deadline, |user, _| {
                replay_from = parts.replays.replay_from(user, replay_after);
                // A replay that a device asks for is not noted as due: the device would ask again.
                let replay_due_ms = match (replay_after, replay_from) {
                    (None, Some(ReplayFrom::Since(since_ms))) => Some(since_ms),
                    (None, _) => None,
                    (Some(_), _) => user.replay_due_ms,
                };
                let AfterLogin { mut account, kicked } =
                    user.login(session, &name, now_ms, parts.env.limits());
                account.last_seen_ms = Some(replay_due_ms.unwrap_or(now_ms));
                let expected_seq = user.account_seq;
                let kicked =
                    kicked.into_iter().map(|session| Event::KickedOut { session_id: session.id });
                Ok(Some(Change {
                    writes: vec![Write::Login { account, now_ms, replay_due_ms, expected_seq }],
                    events: Events::These(kicked.collect()),
                }))
            })
            .await?;
        *replay = replay_from;
        let user = cell.lock();
        Ok(LoggedIn {
            session_id,
            server_time_ms: now_ms,
            heartbeat_interval_ms: parts.env.options.heartbeat_interval_ms,
            total_unread_message_count: user.totals.unmuted,
            revision: user.revision.current,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_protocol::decode;
    use peerd_protocol::encoding::Encoding;

    #[test]
    fn every_field_may_be_left_out_and_a_name_is_none_or_not_blank() {
        let read = |body: &str| decode::request::<Request>(Encoding::Json, body.as_bytes(), 64);
        let nothing =
            Request { user_name: None, platform: None, device_id: None, replay_after: None };
        assert_eq!(read("{}"), Ok(nothing));
        let named = |body| read(body).map(|request| request.user_name.unwrap_or_default().0.0);
        assert_eq!(named(r#"{"userName":""}"#), Ok(String::new()));
        assert_eq!(named(r#"{"userName":" A "}"#), Ok(" A ".to_owned()));
        assert!(named(r#"{"userName":"\u3000"}"#).is_err());
    }
}
