//! An observer that subscribes to foreign subjects, and may reply to messages on them. With it, the
//! server never reports "no responders".

use async_nats::{Client, ConnectOptions};
use futures::StreamExt as _;
use tokio::task::JoinSet;

/// Listens until dropped.
pub struct Observer {
    client: Client,
    tasks: JoinSet<()>,
}

impl Observer {
    /// The subjects of an observer of everything: each matches some of peerd's own.
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

    /// Connects, without a subscription.
    pub async fn connect(url: &str) -> Self {
        let client = ConnectOptions::new().connect(url).await.unwrap();
        Self { client, tasks: JoinSet::new() }
    }

    /// Subscribes to these subjects, to each plainly and in a queue group of its own.
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

    /// Replies to every request on the subject with an empty message and with an echo.
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
