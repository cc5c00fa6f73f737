//! The samples of a run.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

/// One sample of one process.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Since the load began.
    pub(crate) at: Duration,
    /// The index of the instance.
    pub(crate) instance: usize,
    /// The number of earlier processes of that instance.
    pub(crate) life: u32,
    pub(crate) pid: u32,
    pub(crate) rss_bytes: u64,
    pub(crate) open_files: u64,
    pub(crate) threads: u64,
    /// The count of its nats-servers; unknown while one of them is dead.
    pub(crate) subscriptions: Option<u64>,
    /// The statistics of the instance; `None` while it is paused.
    pub(crate) gauges: Option<Value>,
}

/// A line of the plot, and of the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    OpenFiles,
    Threads,
    Subscriptions,
    Tasks,
    Users,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Memory,
        Self::OpenFiles,
        Self::Threads,
        Self::Subscriptions,
        Self::Tasks,
        Self::Users,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Memory => "resident memory, MiB",
            Self::OpenFiles => "open files",
            Self::Threads => "threads",
            Self::Subscriptions => "subscriptions",
            Self::Tasks => "tasks",
            Self::Users => "users in memory",
        }
    }

    /// The allowed rise of a line regardless of its height, for the calls of the moment and for one
    /// partition more or less. `None`: any rise is allowed.
    pub(crate) const fn slack(self) -> Option<f64> {
        match self {
            Self::Memory => Some(0.0),
            Self::OpenFiles | Self::Threads => Some(1.0),
            Self::Subscriptions => Some(3.0),
            Self::Tasks => Some(10.0),
            // Users arrive with partitions that others had, and stay while there is room.
            Self::Users => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn of(self, sample: &Sample) -> Option<f64> {
        let gauge = |field: &str| sample.gauges.as_ref()?[field].as_u64();
        let value = match self {
            Self::Memory => return Some(sample.rss_bytes as f64 / 1_048_576.0),
            Self::OpenFiles => Some(sample.open_files),
            Self::Threads => Some(sample.threads),
            Self::Subscriptions => sample.subscriptions,
            Self::Tasks => gauge("tasks"),
            Self::Users => gauge("usersInMemory"),
        };
        value.map(|value| value as f64)
    }
}

const COLUMNS: &str = "seconds,instance,life,pid,rssBytes,openFiles,threads,subscriptions,tasks,\
                       usersInMemory,partitions,callsUnderWay,deliveriesUnderWay,outgoing,\
                       usersAudited,auditDifferences\n";
const GAUGES: [&str; 8] = [
    "tasks",
    "usersInMemory",
    "partitions",
    "callsUnderWay",
    "deliveriesUnderWay",
    "outgoing",
    "usersAudited",
    "auditDifferences",
];

/// All samples as CSV, with empty cells for unknown values.
pub(crate) fn csv(samples: &[Sample]) -> String {
    let mut text = COLUMNS.to_owned();
    for sample in samples {
        let Sample { instance, life, pid, rss_bytes, open_files, threads, .. } = sample;
        let shown = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{:.1},{},{life},{pid},{rss_bytes},{open_files},{threads},{}",
            sample.at.as_secs_f64(),
            instance + 1,
            shown(sample.subscriptions),
        );
        for field in GAUGES {
            let gauge = sample.gauges.as_ref().and_then(|gauges| gauges[field].as_u64());
            let _ = write!(text, ",{}", shown(gauge));
        }
        text.push('\n');
    }
    text
}
