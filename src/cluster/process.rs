//! Whether a process of the same machine has ended.
//!
//! Nobody else can tell an instance that has died from one that is slow. A process on the same
//! machine can, so an instance that is started again after a crash need not wait until the entry of
//! the one before expires.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::storage::owners::Process;

/// This process. Where the machine does not say enough, its realm is empty.
#[must_use]
pub fn this() -> Process {
    let pid = std::process::id();
    let host = read("/proc/sys/kernel/hostname").unwrap_or_default();
    let known = realm().zip(began(pid));
    let (realm, began) = known.unwrap_or_default();
    Process { host, pid, realm, began }
}

/// Whether `other` ran on this machine and has certainly ended.
#[must_use]
pub fn has_ended(other: &Process) -> bool {
    let is_here = !other.realm.is_empty() && realm().as_deref() == Some(other.realm.as_str());
    // A process that began at another time is another process with the same ID.
    is_here && began(other.pid) != Some(other.began)
}

/// The boot of this machine, the space that process IDs belong to (a container has its own), and the
/// user: processes of other users may be hidden.
fn realm() -> Option<String> {
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let space = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let user = std::fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{boot} {} {user}", space.display()))
}

/// When a process began, in ticks since the boot; `None` where there is no such process.
fn began(pid: u32) -> Option<u64> {
    let stat = read(format!("/proc/{pid}/stat"))?;
    // The command's name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    // A process that was killed is still there until its parent has noticed.
    let is_dead = matches!(fields.next(), Some("Z" | "X"));
    let began = fields.nth(18)?.parse().ok();
    began.filter(|_| !is_dead)
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_ended_when_it_is_gone_or_another_has_its_id() {
        let this = this();
        assert!(!this.realm.is_empty());
        assert!(!has_ended(&this), "it runs");
        assert!(has_ended(&Process { began: this.began + 1, ..this.clone() }), "another's ID");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
        let other =
            Process { pid: child.id(), began: began(child.id()).expect("it runs"), ..this.clone() };
        assert!(!has_ended(&other));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(has_ended(&other));
        assert!(!has_ended(&Process { realm: "elsewhere".to_owned(), ..other.clone() }));
        assert!(!has_ended(&Process { realm: String::new(), ..other }));
    }
}
