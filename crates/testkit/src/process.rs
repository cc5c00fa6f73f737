//! The resources of a process, from Linux's `/proc`.

use std::{collections::BTreeSet, io};

#[cfg(target_os = "linux")]
use procfs::{
    ProcError,
    process::{FDTarget, Process},
};

/// The resources of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Resident memory.
    pub rss_bytes: u64,
    /// Its threads.
    pub threads: u64,
    /// Its open files.
    pub open_files: u64,
    /// The local ports of its TCP connections.
    pub ports: BTreeSet<u16>,
}

/// Reads the resources of a process; an error if it has ended.
#[cfg(target_os = "linux")]
pub fn look(pid: u32) -> io::Result<Held> {
    held(pid).map_err(io::Error::other)
}

/// On other systems.
#[cfg(not(target_os = "linux"))]
pub fn look(_pid: u32) -> io::Result<Held> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn held(pid: u32) -> Result<Held, ProcError> {
    let process = Process::new(pid.try_into().map_err(|_| ProcError::NotFound(None))?)?;
    let (mut open_files, mut sockets) = (0, BTreeSet::new());
    for file in process.fd()? {
        open_files += 1;
        // A file that was closed meanwhile is skipped.
        if let Ok(file) = file
            && let FDTarget::Socket(inode) = file.target
        {
            sockets.insert(inode);
        }
    }
    let status = process.status()?;
    let rss_kib = status.vmrss.ok_or(ProcError::NotFound(None))?;
    let connections = process.tcp()?.into_iter();
    let own = connections.filter(|connection| sockets.contains(&connection.inode));
    Ok(Held {
        rss_bytes: rss_kib * 1024,
        threads: status.threads,
        open_files,
        ports: own.map(|connection| connection.local_address.port()).collect(),
    })
}

#[cfg(all(test, target_os = "linux"))]
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
    fn an_ended_member_is_a_problem() {
        // Above the largest process ID of Linux.
        assert!(look(4_194_305).is_err());
    }
}
