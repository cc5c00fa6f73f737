//! Somebody who listens to subjects that are none of his business, and perhaps replies to what he
//! receives. With him the server never says that nobody is there.

use async_nats::{Client, ConnectOptions};
use futures::StreamExt as _;
use tokio::task::JoinSet;

/// Listens until dropped.
pub struct Observer {
    client: Client,
    tasks: JoinSet<()>,
}

impl Observer {
    /// What an observer of everything may subscribe to: each matches subjects of peerd's own.
    pub const EVERYTHING: [&str; 10] = [
        ">",
        "peer.>",
        "peer.part.>",
        "*.*",
        "*.*.*",
        "*.*.*.*",
        "_INBOX.>",
        "$JS.>",
        "$KV.>",
        "$SRV.>",
    ];

    /// Connects, and listens to nothing yet.
    pub async fn connect(url: &str) -> Self {
        let client = ConnectOptions::new().connect(url).await.unwrap();
        Self { client, tasks: JoinSet::new() }
    }

    /// Listens to these subjects, each by itself and in a queue group of its own.
    pub async fn listen(&mut self, subjects: &[&'static str]) {
        for subject in subjects {
            let mut alone = self.client.subscribe(*subject).await.unwrap();
            let group = "observers".to_owned();
            let mut in_a_group = self.client.queue_subscribe(*subject, group).await.unwrap();
            self.tasks.spawn(async move { while alone.next().await.is_some() {} });
            self.tasks.spawn(async move { while in_a_group.next().await.is_some() {} });
        }
        self.client.flush().await.unwrap();
    }

    /// Replies to every message on that subject that asks for it: nothing, and what it said.
    pub async fn reply_to(&mut self, subject: &'static str) {
        let mut received = self.client.subscribe(subject).await.unwrap();
        let client = self.client.clone();
        self.tasks.spawn(async move {
            while let Some(message) = received.next().await {
                if let Some(reply) = message.reply {
                    client.publish(reply.clone(), "".into()).await.unwrap();
                    client.publish(reply.clone(), "ok".into()).await.unwrap();
                    client.publish(reply, message.payload).await.unwrap();
                }
            }
        });
        self.client.flush().await.unwrap();
    }
}
