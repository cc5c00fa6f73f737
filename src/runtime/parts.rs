//! The composition of an instance. Each part has one job, its own state, and references to the
//! parts that it uses, all of which are above it in this list:
//!
//! | part | job |
//! | --- | --- |
//! | [`Env`] | the store, the bus, the options, the time, the work in progress |
//! | [`Users`] | users of owned partitions in memory; loading them; writing their entries |
//! | [`InFlight`] | messages that may cross others |
//! | [`Publisher`], [`Pushes`] | events to users; offline pushes |
//! | [`History`], [`Conversations`] | reading conversations; previews |
//! | [`Ageing`] | counts that follow aged-out messages |
//! | [`Sessions`], [`Entries`] | the account as it is stored; changes of a user's entries |
//! | [`Replays`], [`Redelivery`] | missed messages; events that a dead owner left unpublished |
//! | [`Router`], [`Replies`] | the owners of partitions, and requests to them; replies and refusals |
//! | [`Presences`] | the status of users, and its changes for those who follow them |
//! | [`DeliveryReports`] | delivered receipts |
//! | [`SendPath`] | messages, from the sender's call to both sides' events |
//!
//! Calls, owner requests, the audit and the take-over of partitions use these; `node` composes all
//! of it.

use std::sync::Arc;

use super::ageing::Ageing;
use super::commit::Entries;
use super::conversations::Conversations;
use super::crossing::InFlight;
use super::delivery_reports::DeliveryReports;
use super::env::{Env, Options};
use super::history::History;
use super::presence::Presences;
use super::publisher::Publisher;
use super::pushes::Pushes;
use super::redelivery::Redelivery;
use super::replay::Replays;
use super::replies::Replies;
use super::router::Router;
use super::send::SendPath;
use super::session::Sessions;
use super::users::Users;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::cluster::table::Table;
use crate::store::Store;
use peerd_protocol::subject::Subjects;

/// The parts that calls use.
pub(super) struct Parts<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) publisher: Arc<Publisher<S, B>>,
    pub(super) pushes: Arc<Pushes<S, B>>,
    pub(super) history: Arc<History<S, B>>,
    pub(super) conversations: Arc<Conversations<S, B>>,
    pub(super) ageing: Arc<Ageing<S, B>>,
    pub(super) sessions: Arc<Sessions<S, B>>,
    pub(super) entries: Arc<Entries<S, B>>,
    pub(super) replays: Arc<Replays<S, B>>,
    pub(super) redelivery: Arc<Redelivery<S, B>>,
    pub(super) router: Arc<Router<S, B>>,
    pub(super) replies: Arc<Replies<S, B>>,
    pub(super) presences: Arc<Presences<S, B>>,
    pub(super) delivery_reports: Arc<DeliveryReports<S, B>>,
    pub(super) send_path: Arc<SendPath<S, B>>,
}

/// A part from those that it shares with others, and its own fields.
macro_rules! part {
    ($part:ident { $($shared:ident),+ } $(with { $($field:ident: $value:expr),+ })?) => {
        Arc::new($part { $($shared: $shared.clone(),)+ $($($field: $value,)+)? })
    };
}

impl<S: Store, B: Bus> Parts<S, B> {
    pub(super) fn new(
        (store, bus): (S, B),
        subjects: Subjects,
        options: Options,
        clock: Clock,
        table: Arc<Table>,
    ) -> Self {
        let env = Arc::new(Env::new(store, bus, subjects, options, clock));
        let users = Arc::new(Users::new(env.clone()));
        let in_flight: Arc<InFlight> = Arc::default();
        let publisher = Arc::new(Publisher::new(env.clone()));
        let pushes = Arc::new(Pushes::new(env.clone()));
        let history = Arc::new(History::new(env.clone(), users.clone()));
        let conversations = part!(Conversations { env, history, in_flight });
        let ageing = part!(Ageing { env, users, publisher, conversations });
        let sessions = Arc::new(Sessions::new(env.clone(), users.clone()));
        let entries = part!(Entries { users, publisher, conversations, sessions });
        let replays = Arc::new(Replays::new(env.clone(), publisher.clone(), history.clone()));
        let redelivery = Arc::new(Redelivery::new(
            env.clone(),
            users.clone(),
            publisher.clone(),
            conversations.clone(),
            ageing.clone(),
        ));
        let router = Arc::new(Router::new(env.clone(), users.clone(), table));
        let replies = Arc::new(Replies::new(env.clone()));
        let presences = part!(Presences { env, users, publisher, router });
        let delivery_reports = part!(DeliveryReports { env, history, ageing, entries, router }
            with { reporting: DeliveryReports::<S, B>::permits() });
        let send_path = part!(
            SendPath {
                env, users, in_flight, publisher, pushes, conversations, ageing, sessions, entries,
                redelivery, router, delivery_reports
            }
            with { notices: SendPath::<S, B>::notices(), counts: SendPath::<S, B>::counts() }
        );
        Self {
            env,
            users,
            in_flight,
            publisher,
            pushes,
            history,
            conversations,
            ageing,
            sessions,
            entries,
            replays,
            redelivery,
            router,
            replies,
            presences,
            delivery_reports,
            send_path,
        }
    }
}
