//! Before anything begins: no other shim, and nothing of an earlier run.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Birth;
use crate::service::ServiceError;
use crate::service::process::{self, ProcessId};
use crate::service::protocol::Status;

/// How long what is left of an earlier run may take to go after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// A lock that the kernel lets go of with its last holder.
pub(super) fn lock(path: &Path) -> Result<File, ServiceError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(path).map_err(ServiceError::at("can't open the lock", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServiceError::Held),
        Err(TryLockError::Error(error)) => Err(ServiceError::at("can't take the lock", path)(error)),
    }
}

/// What the last shim wrote down. Whatever it left of its run is ended first: a main process that lost its shim lost its
/// output, too, and can't be waited for.
pub(super) fn take_over(birth: &Birth) -> Result<Status, ServiceError> {
    let past = read(&birth.place.status()).unwrap_or_default();
    let same_boot = past.boot == process_boot();
    if !same_boot {
        return Ok(Status { main: None, ..past });
    }
    let left = || {
        let mut left: Vec<ProcessId> = past.main.into_iter().filter(|main| main.is_alive()).collect();
        if !past.mark.is_empty() {
            left.extend(process::marked(&past.mark));
        }
        left
    };
    let begun = Instant::now();
    loop {
        let there = left();
        if there.is_empty() {
            return Ok(past);
        }
        if begun.elapsed() > PATIENCE {
            let pids: Vec<String> = there.iter().map(|id| id.pid.to_string()).collect();
            return Err(ServiceError::Leftovers(format!("pid {}", pids.join(", "))));
        }
        for id in there {
            id.signal(Signal::KILL);
        }
        std::thread::sleep(POLL);
    }
}

/// The status that a shim left; `None`: none that can be read.
fn read(path: &Path) -> Option<Status> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes it. Not synced: after a power failure nothing in it is true any longer, and its boot says so; and the next run
/// must not wait for a disk.
pub(super) fn write(path: &Path, status: &Status) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    serde_json::to_writer(&mut file, status)?;
    drop(file);
    std::fs::rename(&fresh, path)
}

/// The present boot; empty where the kernel does not tell.
pub(super) fn process_boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
