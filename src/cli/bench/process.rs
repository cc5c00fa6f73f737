//! What processes of this machine use: CPU time and memory, as Linux tells them below `/proc`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use async_nats::{Client, ServerAddr};
use serde::Serialize;

use super::numbers::{count, float, micros};
use crate::cluster::process::this;
use crate::storage::owners::{Key, Member, decode};
use crate::store::Record;

/// A tick of `/proc/<pid>/stat` (`USER_HZ`): the same on every machine that Rust's tokio runs on,
/// whatever the kernel's own clock is.
const TICK: Duration = Duration::from_millis(10);
/// How the kernel's list of sockets names one that listens.
const LISTENS: &str = "0A";

/// Processes that do one thing together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Processes(BTreeSet<u32>);

/// What processes have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Since they began.
    pub(super) cpu: Duration,
    /// In memory now.
    pub(super) memory_bytes: u64,
}

/// What processes used while messages were measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Used {
    pub(super) processes: u64,
    /// CPU time for each message that was accepted; `null` when none was.
    pub(super) cpu_us_per_message: Option<f64>,
    /// Cores that were busy, on average.
    pub(super) cores: f64,
    pub(super) memory_bytes_first: u64,
    pub(super) memory_bytes_most: u64,
    pub(super) memory_bytes_last: u64,
}

impl Processes {
    pub(super) fn of(ids: impl IntoIterator<Item = u32>) -> Self {
        Self(ids.into_iter().collect())
    }

    /// What they have used; `None` when one of them is not there, or there are none.
    pub(super) fn usage(&self) -> Option<Usage> {
        let mut all = Usage::default();
        for id in &self.0 {
            all.cpu += cpu(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?;
            all.memory_bytes +=
                memory(&std::fs::read_to_string(format!("/proc/{id}/status")).ok()?)?;
        }
        (!self.0.is_empty()).then_some(all)
    }
}

/// Follows what processes use, from before what is measured to after it.
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

    /// Looks again; memory may rise and fall in between.
    pub(super) fn look(&mut self) {
        self.last = self.processes.usage();
        let memory_bytes = self.last.map_or(0, |usage| usage.memory_bytes);
        self.memory_bytes_most = self.memory_bytes_most.max(memory_bytes);
    }

    /// What was used over `duration`, in which `messages` were accepted.
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

/// User and system time in `/proc/<pid>/stat`.
fn cpu(stat: &str) -> Option<Duration> {
    // The command's name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * ticks()?.checked_add(ticks()?)?)
}

/// Resident memory in `/proc/<pid>/status`.
fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The peerds that are members, where all of them run on this machine; none otherwise.
pub(super) fn peerds(entries: &[(Key, Record)]) -> Processes {
    let mut ids = BTreeSet::new();
    for (key, record) in entries {
        let Key::Member(_) = key else { continue };
        let Ok(member) = decode::<Member>(&record.payload) else { return Processes::default() };
        if !is_here(&member.process.realm) {
            return Processes::default();
        }
        ids.insert(member.process.pid);
    }
    Processes(ids)
}

/// Whether a process ID of that realm is one of this machine; the user does not matter.
fn is_here(realm: &str) -> bool {
    let machine = |realm: &str| realm.rsplit_once(' ').map(|(machine, _)| machine.to_owned());
    machine(realm).is_some_and(|there| machine(&this().realm) == Some(there))
}

/// The nats-servers that are known of, where all of them listen on this machine's loopback and may be
/// seen; none otherwise.
pub(super) fn nats_servers(client: &Client, configured: &[String]) -> Processes {
    let discovered = client.server_info().connect_urls;
    let mut ids = BTreeSet::new();
    for url in configured.iter().chain(&discovered) {
        let Ok(address) = url.parse::<ServerAddr>() else { return Processes::default() };
        if !is_loopback(address.host()) {
            return Processes::default();
        }
        match listener(address.port()) {
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

/// The process that listens on a TCP port of the loopback.
fn listener(port: u16) -> Option<u32> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .filter_map(|table| Some(format!("socket:[{}]", socket(&table, port)?)))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|id| {
        // Others' files are hidden.
        let Ok(files) = std::fs::read_dir(format!("/proc/{id}/fd")) else { return false };
        files.filter_map(Result::ok).any(|file| {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            sockets.iter().any(|socket| target.to_str() == Some(socket))
        })
    })
}

/// The inode of the socket that listens on a port, on the loopback or everywhere.
fn socket(table: &str, port: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (address, local_port) = local.rsplit_once(':')?;
        let is_it = state == LISTENS
            && u16::from_str_radix(local_port, 16) == Ok(port)
            && is_local(address);
        if is_it { fields.nth(5) } else { None }
    })
}

/// Whether the kernel's spelling of an address is any, or the loopback of version 4 or 6.
fn is_local(address: &str) -> bool {
    let loopback = format!("{:08X}", u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()));
    let loopback_6 = format!("{:024X}{:08X}", 0, u32::from_be(1));
    address.bytes().all(|digit| digit == b'0') || address == loopback || address == loopback_6
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
    fn proc_is_read_as_the_kernel_writes_it() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 6 7 20 0 9 0 100 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("7 (a"), None);
        assert_eq!(memory("VmPeak:\t 9 kB\nVmRSS:\t    12 kB\n"), Some(12 * 1024));
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1092 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
             1: 0200007F:1092 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1\n\
             2: 0100007F:1092 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 33 1\n";
        assert_eq!(socket(table, 0x1092), Some("33"));
        assert_eq!(socket(table, 0x1093), None);
    }

    #[test]
    fn who_listens_is_found() {
        let listener_here = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener_here.local_addr().expect("bound").port();
        assert_eq!(listener(port), Some(std::process::id()));
        drop(listener_here);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn a_realm_is_of_this_machine_whoever_the_user_is() {
        let realm = this().realm;
        let (machine, _) = realm.rsplit_once(' ').expect("a user");
        assert!(is_here(&realm) && is_here(&format!("{machine} 4711")));
        assert!(!is_here("") && !is_here("elsewhere pid:[1] 0"));
        assert!(is_loopback("127.0.0.1") && is_loopback("[::1]") && is_loopback("localhost"));
        assert!(!is_loopback("10.0.0.1") && !is_loopback("nats.example.com"));
    }
}
