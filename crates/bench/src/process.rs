//! CPU time and memory of processes of this machine, from Linux's `/proc`. On other systems they
//! are unknown.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use async_nats::{Client, ServerAddr};
use serde::Serialize;

use super::numbers::{count, float, micros};

/// A group of processes that are measured together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Processes(BTreeSet<u32>);

/// The resources that processes have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Since they began.
    pub(super) cpu: Duration,
    /// In memory now.
    pub(super) memory_bytes: u64,
}

/// The resources that processes used during a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Used {
    pub(super) processes: u64,
    /// CPU time for each accepted message; `null` without any.
    pub(super) cpu_us_per_message: Option<f64>,
    /// The average number of busy cores.
    pub(super) cores: f64,
    pub(super) memory_bytes_first: u64,
    pub(super) memory_bytes_most: u64,
    pub(super) memory_bytes_last: u64,
}

impl Processes {
    pub(super) fn of(ids: impl IntoIterator<Item = u32>) -> Self {
        Self(ids.into_iter().collect())
    }

    /// Their usage; `None` if one of them has ended, or there are none.
    pub(super) fn usage(&self) -> Option<Usage> {
        let mut all = Usage::default();
        for id in &self.0 {
            let one = proc::usage(*id)?;
            all.cpu += one.cpu;
            all.memory_bytes += one.memory_bytes;
        }
        (!self.0.is_empty()).then_some(all)
    }
}

/// Follows the usage of processes during a measurement.
#[derive(Debug)]
pub(super) struct Watch {
    processes: Processes,
    first: Option<Usage>,
    last: Option<Usage>,
    memory_bytes_most: u64,
}

impl Watch {
    pub(super) fn begin(processes: &Processes) -> Self {
        let first = processes.usage();
        let mut watch =
            Self { processes: processes.clone(), first, last: None, memory_bytes_most: 0 };
        watch.look();
        watch
    }

    /// Takes another sample; memory may rise and fall between samples.
    pub(super) fn look(&mut self) {
        self.last = self.processes.usage();
        let memory_bytes = self.last.map_or(0, |usage| usage.memory_bytes);
        self.memory_bytes_most = self.memory_bytes_most.max(memory_bytes);
    }

    /// The usage over `duration`, in which `messages` were accepted.
    pub(super) fn end(mut self, duration: Duration, messages: u64) -> Option<Used> {
        self.look();
        let (first, last) = (self.first?, self.last?);
        let cpu = last.cpu.saturating_sub(first.cpu);
        Some(Used {
            processes: count(self.processes.0.len()),
            cpu_us_per_message: (messages > 0).then(|| float(micros(cpu)) / float(messages)),
            cores: cpu.as_secs_f64() / duration.as_secs_f64(),
            memory_bytes_first: first.memory_bytes,
            memory_bytes_most: self.memory_bytes_most,
            memory_bytes_last: last.memory_bytes,
        })
    }
}

/// The known nats-servers, if all of them listen on this machine's loopback interface and are
/// visible; otherwise none.
pub(super) fn nats_servers(client: &Client, configured: &[String]) -> Processes {
    let discovered = client.server_info().connect_urls;
    let mut ids = BTreeSet::new();
    for url in configured.iter().chain(&discovered) {
        let Ok(address) = url.parse::<ServerAddr>() else { return Processes::default() };
        if !is_loopback(address.host()) {
            return Processes::default();
        }
        match proc::listener(address.port()) {
            Some(id) => _ = ids.insert(id),
            None => return Processes::default(),
        }
    }
    Processes(ids)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// On Linux.
#[cfg(target_os = "linux")]
mod proc {
    use std::time::Duration;

    use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
    use procfs::process::{FDTarget, Process, all_processes};

    use super::Usage;

    /// The usage of a process so far; `None` if it has ended.
    pub(super) fn usage(id: u32) -> Option<Usage> {
        let process = Process::new(id.try_into().ok()?).ok()?;
        let (stat, status) = (process.stat().ok()?, process.status().ok()?);
        let ticks = u32::try_from(stat.utime.checked_add(stat.stime)?).ok()?;
        let ticks_per_second = u32::try_from(procfs::ticks_per_second()).ok()?;
        let cpu = Duration::from_secs(1) * ticks / ticks_per_second;
        Some(Usage { cpu, memory_bytes: status.vmrss?.checked_mul(1024)? })
    }

    /// The process that listens on a TCP port, on the loopback interface or on all.
    pub(super) fn listener(port: u16) -> Option<u32> {
        let entries = [tcp(), tcp6()].into_iter().filter_map(Result::ok).flatten();
        let inodes: Vec<u64> =
            entries.filter(|entry| is_it(entry, port)).map(|entry| entry.inode).collect();
        // The files of other users' processes are hidden.
        let holds = |process: &Process| {
            let mut files = process.fd().ok()?.filter_map(Result::ok);
            files.find(
                |file| matches!(file.target, FDTarget::Socket(inode) if inodes.contains(&inode)),
            )
        };
        let mut processes = all_processes().ok()?.filter_map(Result::ok);
        processes.find(|process| holds(process).is_some())?.pid.try_into().ok()
    }

    fn is_it(entry: &TcpNetEntry, port: u16) -> bool {
        let (address, state) = (entry.local_address, &entry.state);
        let is_local = address.ip().is_loopback() || address.ip().is_unspecified();
        *state == TcpState::Listen && address.port() == port && is_local
    }
}

/// On other systems.
#[cfg(not(target_os = "linux"))]
mod proc {
    pub(super) const fn usage(_id: u32) -> Option<super::Usage> {
        None
    }

    pub(super) const fn listener(_port: u16) -> Option<u32> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let this = Processes::of([std::process::id()]);
        let watch = Watch::begin(&this);
        let used = watch.end(Duration::from_secs(1), 1).expect("this process is there");
        assert_eq!(used.processes, 1);
        assert!(used.memory_bytes_first > 100_000, "{used:?}");
        assert!(used.memory_bytes_most >= used.memory_bytes_last, "{used:?}");
        assert_eq!(Processes::default().usage(), None);
        assert_eq!(Processes::of([u32::MAX]).usage(), None);
    }

    #[test]
    fn subscribers_are_found() {
        let listener_here = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener_here.local_addr().expect("bound").port();
        assert_eq!(proc::listener(port), Some(std::process::id()));
        drop(listener_here);
        assert_eq!(proc::listener(port), None);
    }

    #[test]
    fn a_loopback_address_is_recognized() {
        assert!(is_loopback("127.0.0.1") && is_loopback("[::1]") && is_loopback("localhost"));
        assert!(!is_loopback("10.0.0.1") && !is_loopback("nats.example.com"));
    }
}
