//! `set_conversation_mark`: puts a mark on conversations or takes it away.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::parts::Parts;
use crate::store::Store;
use peerd_core::id::UserId;
use peerd_core::limits::{MARK_BATCH_MAX, MARK_MAX};
use peerd_core::marks::ConversationMark;
use peerd_core::preferences::MarkChange;
use peerd_protocol::api::{ConversationId, FailedConversations};
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{List, OfConversation, User};
use peerd_protocol::reply::{Reply, Shown};

/// Puts a mark on conversations, or removes it.
pub struct SetConversationMark;

/// The mark and the conversations.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The mark.
    pub mark_type: MarkNumber,
    /// Whether to put it on.
    pub enable: bool,
    /// The conversations; duplicates count once.
    pub conversation_infos: List<OfConversation, MARK_BATCH_MAX>,
}

/// A mark, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkNumber(pub ConversationMark);

impl<'de> Deserialize<'de> for MarkNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mark = ConversationMark::new(u64::deserialize(deserializer)?);
        let problem = format_args!("must be a whole number from 1 to {MARK_MAX}");
        mark.map(Self).ok_or_else(|| de::Error::custom(problem))
    }
}

impl JsonSchema for MarkNumber {
    fn schema_name() -> Cow<'static, str> {
        "ConversationMark".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MARK_MAX })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The conversations were marked, except for these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// The other users of the conversations.
    pub refused: Vec<UserId>,
}

impl Reply for Marked {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        let failed_conversation_infos = self.refused.iter().map(ConversationId::of).collect();
        FailedConversations { failed_conversation_infos }
    }
}

impl Command for SetConversationMark {
    const NAME: &'static str = "set_conversation_mark";
    const SUMMARY: &'static str = "Puts a mark on conversations, or removes it.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"markType":20,"enable":true,"conversationInfos":[{"conversationID":"bob","conversationType":0},{"conversationID":"carol"}]}"#,
    ];
    type Request = Request;
    type Reply = Marked;

    async fn run<S: Store, B: Bus>(
        Request { mark_type: MarkNumber(mark), enable, conversation_infos: List(of) }: Request,
        Call { parts: Parts { entries, .. }, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Marked, CallError> {
        let others = of.into_iter().map(|of| {
            let User(other) = of.conversation_id;
            other
        });
        let mut others: Vec<UserId> = others.collect();
        others.sort_unstable();
        others.dedup();
        let mut reply = Marked::default();
        entries
            .commit(cell, deadline, |user, keys| {
                let key = keys.change(user);
                let MarkChange { writes, refused } = user.set_mark(&others, mark, enable, key);
                reply.refused = refused;
                let seq = |other: &UserId| {
                    user.conversations.get(other).map_or(0, |known| known.settings_seq)
                };
                let write = |(other, settings)| {
                    let expected_seq = seq(&other);
                    Write::entry(other, settings, expected_seq)
                };
                let writes = writes.into_iter().map(write).collect();
                Ok(Some(Change { writes, events: Events::Conversations { key, first: None } }))
            })
            .await?;
        Ok(reply)
    }
}
