//! Runs a case: each step on the node and on the model.

use std::time::Duration;

use peerd_protocol::encoding::Encoding;
use serde_json::{Value, json};

use crate::model::conversations::NO_MESSAGE;
use crate::model::flaw::Flaw;
use crate::model::request::{ListOption, Request};
use crate::model::sending::{extended_data, local_id, push};
use crate::model::state::merge;
use crate::model::{Model, Wrong, user_name};
use crate::names::NAMES;
use crate::single::calls::{
    AT_HOME, CALLERS, Call, Case, Config as SendConfig, DRAFTS, Draft, INVALID, PROFILES,
    REACTIONS, STATUSES, Step, content,
};
use crate::single::world::{MESSAGES_PER_SECOND, World};

/// The shortest duration of a restart.
const RESTART_MS: u64 = 1;
/// The interval between the texts of a chat.
const CHAT_MS: u64 = 1000 / MESSAGES_PER_SECOND as u64 + 1;
/// The messages of a page when all histories are read at the end.
const PAGE: usize = 7;

/// Runs a case to its end; returns the first difference between node and model.
pub fn drive(case: &Case, flaw: Flaw) -> Result<(), String> {
    let Case { setup, steps } = case;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut driver =
            Driver { world: World::start(setup).await, model: Model::new(setup, flaw) };
        for user in 0..AT_HOME {
            driver.call(user, &Call::LOGIN).await?;
        }
        for (index, step) in steps.iter().enumerate() {
            let done = driver.step(step).await;
            done.map_err(|wrong| format!("step {index}, {step:?}:\n{wrong}"))?;
        }
        driver.read_everything().await.map_err(|wrong| format!("at the end: {wrong}"))
    })
}

/// How often the daemon shows changes in a step.
const ROUNDS: usize = 3;
/// The time between two of them.
const ROUND_MS: u64 = 1100;

struct Driver {
    world: World,
    model: Model,
}

impl Driver {
    async fn step(&mut self, step: &Step) -> Result<(), Wrong> {
        match step {
            Step::Call { user, call } => self.call(*user, call).await.map(drop),
            Step::Pass { ms } => {
                tokio::time::advance(Duration::from_millis(*ms)).await;
                Ok(())
            }
            Step::Chat { from, to, count } => {
                for text in 0..*count {
                    let local = None;
                    let (kind, variant, extended, original) = (0, text % 2, false, None);
                    let draft = Draft { kind, variant, local, extended, original };
                    let (config, into_conversation) = (SendConfig::default(), false);
                    let call = Call::Send { to: *to, draft, config, into_conversation };
                    self.call(*from, &call).await?;
                    tokio::time::advance(Duration::from_millis(CHAT_MS)).await;
                }
                Ok(())
            }
            Step::Follow => self.follow().await,
            Step::PinSeveral { user, other, count } => {
                for pick in 0..*count {
                    let (other, on, replaces) = (*other, true, true);
                    self.call(*user, &Call::PinMessage { other, pick, on, replaces }).await?;
                }
                Ok(())
            }
            Step::Restart => {
                tokio::time::advance(Duration::from_millis(RESTART_MS)).await;
                self.world.restart().await;
                self.model.restart(self.world.now_ms());
                Ok(())
            }
        }
    }

    /// Lets the daemon show changes of the status of users, a few times. What has not changed since
    /// the first time is shown at the end. A daemon that evicts users all the time forgets whom it
    /// has shown what.
    async fn follow(&mut self) -> Result<(), Wrong> {
        let mut before = Vec::new();
        for _ in 0..ROUNDS {
            tokio::time::advance(Duration::from_millis(ROUND_MS)).await;
            if self.model.is_forgetful() {
                continue;
            }
            let observed = self.world.follow().await;
            let now_ms = self.world.now_ms();
            self.model.check_following(now_ms, &observed)?;
            if before.is_empty() {
                before = self.model.statuses(now_ms);
            }
        }
        if before.is_empty() { Ok(()) } else { self.model.all_shown(self.world.now_ms(), &before) }
    }

    async fn call(&mut self, user: usize, call: &Call) -> Result<Value, Wrong> {
        let request = self.request(user, call);
        let (method, body) = match (&request, call) {
            (Some(request), _) => (request.method(), request.body().to_string()),
            (None, Call::Invalid { which }) => (INVALID[*which].0, INVALID[*which].1.to_owned()),
            (None, _) => unreachable!("every other call has a request"),
        };
        let is_packed = matches!(call, Call::Login { packed: true, .. });
        let encoding = if is_packed { Encoding::MessagePack } else { Encoding::Json };
        let observed = self.world.call_as(encoding, NAMES[user], method, body.clone()).await;
        let checked =
            self.model.check(user, (call, request.as_ref()), self.world.now_ms(), &observed);
        checked.map_err(|wrong| format!("{method} by {} {body}\n{wrong}", NAMES[user]))?;
        Ok(observed.reply)
    }

    /// Reads all conversations of all callers in pages. Each page is compared with the model, and
    /// all pages together must hold every visible message.
    async fn read_everything(&mut self) -> Result<(), Wrong> {
        tokio::time::advance(Duration::from_secs(1)).await;
        for user in 0..CALLERS {
            self.call(user, &Call::LOGIN).await?;
            self.call(user, &Call::Totals).await?;
            let everything = Call::List {
                count: NAMES.len(),
                anchor: None,
                with_key: false,
                option: ListOption::default(),
            };
            self.call(user, &everything).await?;
            for other in 0..NAMES.len() {
                self.call(user, &Call::Conversation { other }).await?;
                self.call(user, &Call::PinnedMessages { other }).await?;
                for reverse in [true, false] {
                    self.read_history(user, other, reverse).await?;
                }
            }
        }
        Ok(())
    }

    async fn read_history(
        &mut self,
        user: usize,
        other: usize,
        reverse: bool,
    ) -> Result<(), Wrong> {
        let mut ids: Vec<Value> = Vec::new();
        let mut anchor = None;
        loop {
            let call = Call::History { other, reverse, count: PAGE, anchor };
            let reply = self.call(user, &call).await?;
            let page = reply["messageList"].as_array().cloned().unwrap_or_default();
            let page: Vec<Value> =
                page.iter().map(|message| message["messageID"].clone()).collect();
            let Some(last) = (if reverse { page.first() } else { page.last() }).cloned() else {
                break;
            };
            let all = self.model.state.between(user, other);
            anchor = all.iter().position(|message| message.id == last);
            let at = if reverse { 0 } else { ids.len() };
            ids.splice(at..at, page);
        }
        let visible = self.model.state.visible(user, other);
        let visible: Vec<Value> = visible.iter().map(|message| json!(message.id)).collect();
        if ids != visible {
            return Err(format!("the pages together show {ids:?}, expected {visible:?}"));
        }
        Ok(())
    }

    /// The request of a call, with the selected messages and sessions; `None` for an invalid call.
    #[expect(clippy::too_many_lines, reason = "an arm for each call")]
    fn request(&self, user: usize, call: &Call) -> Option<Request> {
        let model = &self.model;
        let id = |other: &usize, pick: &usize| picked_id(model, user, *other, *pick);
        let ids = |other: &usize, picks: &[usize]| model.picked(user, *other, picks, false);
        let request = match call {
            Call::Login { name, device, after, packed: _ } => Request::Login {
                name: name.map(user_name),
                device: device.map(|device| format!("device {device}")),
                after: after.map(|after| model.newest_of_device(user, after)),
            },
            Call::Logout { session } => {
                Request::Logout { session: session.map(|session| model.session(user, session)) }
            }
            Call::Heartbeat => Request::Heartbeat,
            Call::Send { to, draft, config, into_conversation } => {
                send_request(*to, draft, config, *into_conversation)
            }
            Call::History { other, reverse, count, anchor } => {
                let anchor = model.anchor(user, *other, *anchor).map(|it| it.id.clone());
                Request::History { other: *other, reverse: *reverse, count: *count, anchor }
            }
            Call::Delete { other, picks, foreign } => {
                let ids = model.picked(user, *other, picks, *foreign);
                Request::Delete { other: *other, ids }
            }
            Call::DeleteAll { other } => Request::DeleteAll { other: *other },
            Call::List { count, anchor, with_key, option } => {
                let anchor = model.list_anchor(user, *anchor);
                let after = anchor.map(|(other, then)| (other, with_key.then_some(then)));
                Request::List { count: *count, after, option: option.clone() }
            }
            Call::Conversation { other } => Request::Conversation { other: *other },
            Call::Clear { other, up_to } => {
                let up_to = model.anchor(user, *other, *up_to).map(|message| message.id.clone());
                Request::Clear { other: *other, up_to }
            }
            Call::MarkUnread { other, on } => Request::MarkUnread { other: *other, on: *on },
            Call::DeleteConversation { other } => Request::DeleteConversation { other: *other },
            Call::DeleteConversations => Request::DeleteConversations,
            Call::DeleteAllMessages => Request::DeleteAllMessages,
            Call::Numbered { other, seqs, sender } => {
                let sender = sender.map(|is_own| if is_own { user } else { *other });
                Request::Numbered { other: *other, seqs: seqs.clone(), sender }
            }
            Call::Combine { other, pick } => {
                Request::Combine { other: *other, id: ids(other, &[*pick]).remove(0) }
            }
            Call::Changes { other } => {
                Request::Changes { revision: model.state.settings(user, *other).revision }
            }
            Call::ClearAll => Request::ClearAll,
            Call::Totals => Request::Totals,
            Call::Mute { other, mute } => Request::Mute { other: *other, on: *mute },
            Call::Block { others, block } => Request::Block { others: others.clone(), on: *block },
            Call::Blacklist { count, goes_on } => {
                let place = model.block_place(user, *goes_on);
                Request::Blacklist { count: *count, place }
            }
            Call::IsBlocked { other } => Request::IsBlocked { other: *other },
            Call::Typing { other, on } => Request::Typing { other: *other, on: *on },
            Call::PinnedList { count } => Request::PinnedList { count: *count },
            Call::Pin { other, on } => Request::Pin { other: *other, on: *on },
            Call::Draft { other, text } => {
                Request::Draft { other: *other, text: DRAFTS[*text].to_owned() }
            }
            Call::SetMark { mark, on, others } => {
                Request::SetMark { mark: *mark, on: *on, others: others.clone() }
            }
            Call::Profile { part, text } => {
                Request::Profile { part: *part, text: PROFILES[*text].to_owned() }
            }
            Call::UsersInfo { others } => Request::UsersInfo { others: others.clone() },
            Call::SelfInfo => Request::SelfInfo,
            Call::CustomStatus { text, seconds } => {
                Request::CustomStatus { text: STATUSES[*text].to_owned(), seconds: *seconds }
            }
            Call::Follow { others, minutes } => {
                Request::Follow { others: others.clone(), minutes: *minutes }
            }
            Call::Unfollow { others } => Request::Unfollow { others: others.clone() },
            Call::Followed { others } => Request::Followed { others: others.clone() },
            Call::UsersStatus { others } => Request::UsersStatus { others: others.clone() },
            Call::Privacy { what, on } => Request::Privacy { what: *what, on: *on },
            Call::Revoke { other, pick } => Request::Revoke { other: *other, id: id(other, pick) },
            Call::Edit { other, pick, kind, variant } => {
                let content = content(*kind, *variant);
                Request::Edit { other: *other, id: id(other, pick), content }
            }
            Call::Receipts { other, picks } => {
                Request::Receipts { other: *other, ids: ids(other, picks) }
            }
            Call::ReceiptsRead { other, picks } => {
                Request::ReceiptsRead { other: *other, ids: ids(other, picks) }
            }
            Call::ReceiptRead { other } => Request::ReceiptRead { other: *other },
            Call::React { other, pick, kind, increase } => {
                let (id, kind) = (id(other, pick), REACTIONS[*kind].into());
                Request::React { other: *other, id, kind, increase: *increase }
            }
            Call::Unreact { other, pick, kind } => {
                let kind = kind.map(|kind| REACTIONS[kind].to_owned());
                Request::Unreact { other: *other, id: id(other, pick), kind }
            }
            Call::Reactors { other, pick, kind } => {
                let (id, kind) = (id(other, pick), REACTIONS[*kind].into());
                Request::Reactors { other: *other, id, kind }
            }
            Call::PinMessage { other, pick, on, replaces } => {
                let id = id(other, pick);
                Request::PinMessage { other: *other, id, on: *on, replaces: *replaces }
            }
            Call::PinnedMessages { other } => Request::PinnedMessages { other: *other },
            Call::Reply { other, pick, draft, config } => {
                let (message, config) = message_of(draft, config);
                Request::Reply { other: *other, id: id(other, pick), message, config }
            }
            Call::RepliedList { other, pick, after, count } => {
                let after = model.anchor(user, *other, *after).map_or(0, |message| message.key);
                Request::RepliedList { other: *other, id: id(other, pick), after, count: *count }
            }
            Call::Invalid { .. } => return None,
        };
        Some(request)
    }
}

/// The ID of a message of a conversation, or of none.
fn picked_id(model: &Model, user: usize, other: usize, pick: usize) -> String {
    let message = model.anchor(user, other, Some(pick));
    message.map_or_else(|| NO_MESSAGE.to_owned(), |found| found.id.clone())
}

fn send_request(to: usize, draft: &Draft, config: &SendConfig, into_conversation: bool) -> Request {
    let (message, config) = message_of(draft, config);
    Request::Send { to, message, config, into_conversation }
}

/// The message and the options of a send.
fn message_of(draft: &Draft, config: &SendConfig) -> (Value, Value) {
    let mut message = content(draft.kind, draft.variant);
    let mine = json!({
        "localMessageID": draft.local.map(|_| local_id(draft)),
        "extendedData": extended_data(draft),
        // A caller cannot set this field.
        "messageSeq": 999,
    });
    merge(&mut message, mine);
    let config = json!({
        "disableUnreadMessageCount": config.not_counted,
        "hasReceipt": config.receipt,
        "isRetrySend": config.retry,
        "pushConfig": config.push.map(push),
    });
    (message, config)
}
