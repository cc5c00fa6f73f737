//! What the system says of a process: Linux's `/proc`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// What a process holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) rss_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) open_files: u64,
    /// The local ports of its TCP connections.
    pub(crate) ports: BTreeSet<u16>,
}

/// Looks at a process; an error when it has ended.
pub(crate) fn look(pid: u32) -> io::Result<Held> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(folder.join("status"))?;
    let (mut open_files, mut sockets) = (0, BTreeSet::new());
    for file in fs::read_dir(folder.join("fd"))? {
        open_files += 1;
        // One that was closed meanwhile is none of its sockets.
        let Ok(target) = fs::read_link(file?.path()) else { continue };
        sockets.extend(socket_inode(&target));
    }
    let tcp = fs::read_to_string(folder.join("net/tcp"))?;
    Ok(Held {
        rss_bytes: field(&status, "VmRSS:")? * 1024,
        threads: field(&status, "Threads:")?,
        open_files,
        ports: local_ports(&tcp, &sockets),
    })
}

/// A number of `/proc/<pid>/status`.
fn field(status: &str, name: &str) -> io::Result<u64> {
    let number = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name} of the process")))
}

fn socket_inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The local ports of those sockets, from `/proc/<pid>/net/tcp`.
fn local_ports(tcp: &str, sockets: &BTreeSet<u64>) -> BTreeSet<u16> {
    let lines = tcp.lines().skip(1);
    let ports = lines.filter_map(|line| {
        let mut fields = line.split_whitespace();
        let address = fields.nth(1)?;
        let inode: u64 = fields.nth(7)?.parse().ok()?;
        let port = u16::from_str_radix(address.rsplit(':').next()?, 16).ok()?;
        sockets.contains(&inode).then_some(port)
    });
    ports.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_with_its_connections() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = look(std::process::id()).unwrap();
        assert!(held.rss_bytes > 100_000, "{held:?}");
        assert!(held.threads >= 1 && held.open_files >= 3, "{held:?}");
        assert!(held.ports.contains(&port), "{port} is not in {held:?}");
    }

    #[test]
    fn who_has_ended_is_an_error() {
        // Above the largest process ID of Linux.
        assert!(look(4_194_305).is_err());
    }
}
