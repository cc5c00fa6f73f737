//! Who hears what users are told, on each of the nats-servers at once: an event that any of them
//! heard was told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt as _;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::faults::caller::Failure;

const RECEIVED: &str = "peer.event.*.peer_message_received";

/// How often each of the listeners heard of a message, by its ID.
type Heard = HashMap<String, Vec<u32>>;

/// The listeners. They end when dropped.
pub(crate) struct Listeners {
    heard: Arc<Mutex<Heard>>,
    _tasks: JoinSet<()>,
}

impl Listeners {
    pub(crate) async fn start(servers: &[String]) -> Result<Self, Failure> {
        let heard = Arc::<Mutex<Heard>>::default();
        let mut tasks = JoinSet::new();
        for (place, server) in servers.iter().enumerate() {
            let client = async_nats::connect(server).await?;
            let mut events = client.subscribe(RECEIVED).await?;
            client.flush().await?;
            let (heard, listeners) = (Arc::clone(&heard), servers.len());
            tasks.spawn(async move {
                while let Some(event) = events.next().await {
                    let body: Value = serde_json::from_slice(&event.payload).unwrap_or_default();
                    let mut heard = lock(&heard);
                    for message in body["messageList"].as_array().into_iter().flatten() {
                        let id = message["messageID"].as_str().unwrap_or_default().to_owned();
                        heard.entry(id).or_insert_with(|| vec![0; listeners])[place] += 1;
                    }
                }
            });
        }
        Ok(Self { heard, _tasks: tasks })
    }

    /// How many of these messages were told, and how many of them more than once.
    pub(crate) fn told<'a>(&self, ids: impl Iterator<Item = &'a str>) -> (usize, usize) {
        let heard = lock(&self.heard);
        let times = |id| heard.get(id).and_then(|times| times.iter().max().copied());
        let times: Vec<u32> = ids.filter_map(times).collect();
        (times.len(), times.iter().filter(|times| **times > 1).count())
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
