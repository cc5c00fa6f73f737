//! The owners of partitions, according to the bucket of owners.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::{Peerd, faults::failure::Failure, partition};

const BUCKET: &str = "PEER_OWNERS";
const READS_AT_ONCE: usize = 16;

/// Reads the bucket.
pub struct Owners {
    nats: async_nats::Client,
    partitions: u32,
}

/// The entry of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The member that owns it.
    pub holder: Option<String>,
    /// The member named as the next owner.
    pub next: Option<String>,
    /// The number of claims.
    pub epoch: u64,
}

/// The content of the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The entries of the partitions.
    pub owners: BTreeMap<u32, Owner>,
    /// The process IDs of the members with an entry.
    pub pids: HashMap<String, u32>,
}

impl Ownership {
    /// The process that owns a partition.
    pub fn pid_of(&self, partition: u32) -> Option<u32> {
        let holder = self.owners.get(&partition)?.holder.as_ref()?;
        self.pids.get(holder).copied()
    }

    /// The number of partitions of a process.
    pub fn held_by(&self, pid: u32) -> usize {
        self.owners.keys().filter(|partition| self.pid_of(**partition) == Some(pid)).count()
    }
}

impl Owners {
    /// Connects to the servers of a deployment with so many partitions.
    pub async fn connect(urls: &[String], partitions: u32) -> Result<Self, Failure> {
        let urls: Vec<async_nats::ServerAddr> =
            urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        Ok(Self { nats: async_nats::connect(urls).await?, partitions })
    }

    /// Reads all entries.
    pub async fn read(&self) -> Result<Ownership, Failure> {
        let mut ownership = Ownership::default();
        let reads = (0..self.partitions).map(|partition| async move {
            Ok::<_, Failure>((partition, self.entry(&format!("owner.{partition}")).await?))
        });
        let entries: Vec<_> =
            stream::iter(reads).buffer_unordered(READS_AT_ONCE).try_collect().await?;
        for (partition, entry) in entries {
            let Some(entry) = entry else { continue };
            let text = |field: &str| entry[field].as_str().map(str::to_owned);
            let epoch = entry["epoch"].as_u64().ok_or_else(|| format!("no epoch in {entry}"))?;
            let owner = Owner { holder: text("holder"), next: text("next"), epoch };
            ownership.owners.insert(partition, owner);
        }
        for key in self.keys("member.*").await? {
            let Some(entry) = self.entry(&key).await? else { continue };
            let id = key.trim_start_matches("member.").to_owned();
            let pid = entry["pid"].as_u64().ok_or_else(|| format!("no pid in {entry}"))?;
            ownership.pids.insert(id, u32::try_from(pid)?);
        }
        Ok(ownership)
    }

    /// The index of the instance that owns a user.
    pub async fn place_of(&self, user: &str, peerds: &[Peerd]) -> Result<usize, Failure> {
        let pid = self.read().await?.pid_of(partition(user, self.partitions));
        let place = peerds.iter().position(|peerd| Some(peerd.pid()) == pid);
        place.ok_or_else(|| format!("{user} is owned by {pid:?}").into())
    }

    async fn keys(&self, filter: &str) -> Result<Vec<String>, Failure> {
        let prefix = format!("$KV.{BUCKET}.");
        let body = json!({ "subjects_filter": format!("{prefix}{filter}") });
        let info = self.ask(&format!("STREAM.INFO.KV_{BUCKET}"), &body).await?;
        let subjects = info["state"]["subjects"].as_object();
        let keys = subjects.into_iter().flatten().map(|(subject, _)| subject);
        Ok(keys.filter_map(|subject| Some(subject.strip_prefix(&prefix)?.to_owned())).collect())
    }

    /// The entry of a key; `None` if it never existed, expired or was deleted.
    async fn entry(&self, key: &str) -> Result<Option<Value>, Failure> {
        let body = json!({ "last_by_subj": format!("$KV.{BUCKET}.{key}") });
        let answer = self.ask(&format!("STREAM.MSG.GET.KV_{BUCKET}"), &body).await?;
        let data = answer["message"]["data"].as_str().unwrap_or_default();
        // A deleted or expired entry leaves an empty one.
        Ok(serde_json::from_slice(&STANDARD.decode(data)?).ok())
    }

    async fn ask(&self, subject: &str, body: &Value) -> Result<Value, Failure> {
        let body = body.to_string().into();
        let answer = self.nats.request(format!("$JS.API.{subject}"), body).await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }
}
