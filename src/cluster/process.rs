//! Whether a process of the same machine has ended.
//!
//! Only a process on the same machine can tell a dead instance from a slow one. So an instance that
//! is started again after a crash need not wait until its predecessor's entry expires.

use crate::storage::owners::Process;

/// This process. Its realm is empty if the machine does not provide it.
#[must_use]
pub fn this() -> Process {
    let pid = std::process::id();
    let host = proc::host().unwrap_or_default();
    let known = proc::realm().zip(proc::began(pid));
    let (realm, began) = known.unwrap_or_default();
    Process { host, pid, realm, began }
}

/// Whether `other` ran on this machine and has certainly ended.
#[must_use]
pub fn has_ended(other: &Process) -> bool {
    let is_here = !other.realm.is_empty() && proc::realm().as_deref() == Some(other.realm.as_str());
    // A process that began at another time is another process with the same ID.
    is_here && proc::began(other.pid) != Some(other.began)
}

/// On Linux.
#[cfg(target_os = "linux")]
mod proc {
    use std::ffi::OsStr;

    use procfs::process::Process;
    use procfs::sys::kernel::random::boot_id;

    /// The name of this machine.
    pub(super) fn host() -> Option<String> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    }

    /// The boot of this machine, the process-ID namespace (a container has its own), and the user,
    /// since processes of other users may be hidden.
    pub(super) fn realm() -> Option<String> {
        let this = Process::myself().ok()?;
        let spaces = this.namespaces().ok()?;
        let space = spaces.0.get(OsStr::new("pid"))?.identifier;
        // In the system's form. Releases that meet in an update must agree on it.
        Some(format!("{} pid:[{space}] {}", boot_id().ok()?.trim(), this.uid().ok()?))
    }

    /// When a process began, in ticks since the boot; `None` if it does not exist.
    pub(super) fn began(pid: u32) -> Option<u64> {
        let stat = Process::new(pid.try_into().ok()?).ok()?.stat().ok()?;
        // A killed process exists as a zombie until its parent has waited for it.
        (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
    }
}

/// On other systems.
#[cfg(not(target_os = "linux"))]
mod proc {
    pub(super) fn host() -> Option<String> {
        None
    }

    pub(super) fn realm() -> Option<String> {
        None
    }

    pub(super) const fn began(_pid: u32) -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_ended_when_it_is_gone_or_another_has_its_id() {
        let this = this();
        let space = std::fs::read_link("/proc/self/ns/pid").expect("a link");
        assert!(this.realm.contains(&format!(" {} ", space.display())), "{}", this.realm);
        assert!(!this.host.is_empty());
        assert!(!has_ended(&this), "it runs");
        assert!(has_ended(&Process { began: this.began + 1, ..this.clone() }), "another's ID");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
        let other = Process {
            pid: child.id(),
            began: proc::began(child.id()).expect("it runs"),
            ..this.clone()
        };
        assert!(!has_ended(&other));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(has_ended(&other));
        assert!(!has_ended(&Process { realm: "elsewhere".to_owned(), ..other.clone() }));
        assert!(!has_ended(&Process { realm: String::new(), ..other }));
    }
}
