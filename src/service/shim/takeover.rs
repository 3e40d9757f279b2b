//! Before anything begins: no other shim, and nothing of an earlier run.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Birth;
use crate::service::ServiceError;
use crate::service::process::{self, Holder, ProcessId};
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

/// What the last shim wrote down, and the lock of its runs. Whatever it left of a run is ended first: a main process that
/// lost its shim lost its output, too, and can't be waited for.
pub(super) fn take_over(birth: &Birth) -> Result<(Status, File), ServiceError> {
    let past = read(&birth.place.status()).unwrap_or_default();
    let boot = process::boot();
    let same_boot = !boot.is_empty() && past.boot == boot;
    let path = birth.place.run_lock();
    let begun = Instant::now();
    let mut held = None;
    let mut known = Vec::new();
    loop {
        if held.is_none() {
            held = match lock(&path) {
                Ok(file) => Some(file),
                Err(ServiceError::Held) => None,
                Err(error) => return Err(error),
            };
        }
        let ours = if same_boot { left_of(&past, &mut known) } else { Vec::new() };
        // Without a mark: whoever has the lock from the last shim is of its run, by the kernel's word.
        let holders = if held.is_none() { process::holders(&path) } else { Vec::new() };
        let (heirs, others): (Vec<Holder>, Vec<Holder>) =
            holders.into_iter().partition(|holder| same_boot && holder.locked_by == Some(past.shim.pid));
        match held.take() {
            Some(file) if ours.is_empty() => {
                let past = if same_boot { past } else { Status { main: None, ..past } };
                return Ok((past, file));
            }
            taken => held = taken,
        }
        if begun.elapsed() > PATIENCE {
            let found = heirs.iter().chain(&others).map(Holder::to_string);
            let known = ours.iter().filter(|id| !heirs.iter().any(|heir| heir.id == **id));
            let pids: Vec<String> = found.chain(known.map(|id| id.pid.to_string())).collect();
            return Err(ServiceError::Leftovers(match pids.as_slice() {
                [] => match past.main {
                    // Where there is no process table, its pid may be another's by now.
                    Some(main) if !main.is_certain() => {
                        let path = path.display();
                        format!("{path} is held by a process that can't be seen from here; it had pid {}", main.pid)
                    }
                    _ => format!("{} is held by a process that can't be seen from here", path.display()),
                },
                pids => format!("pid {}", pids.join(", ")),
            }));
        }
        for id in ours.into_iter().chain(heirs.into_iter().map(|heir| heir.id)) {
            id.signal(Signal::KILL);
        }
        std::thread::sleep(POLL);
    }
}

/// What is left of a run, also of what was `known` to be: once their parent is gone, those that hide are nobody's.
fn left_of(past: &Status, known: &mut Vec<ProcessId>) -> Vec<ProcessId> {
    known.extend(past.main);
    if !past.mark.is_empty() {
        known.extend(process::marked(&past.mark));
    }
    known.retain(|id| id.is_alive());
    let children = process::started_by(known.iter().map(|id| id.pid)).into_iter().map(|child| child.id);
    // A service may have begun the supervisor that began this one.
    known.extend(children.filter(|child| child.pid != std::process::id()));
    known.sort_unstable();
    known.dedup();
    known.clone()
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
    // In one call: it is written while the next run begins.
    file.write_all(&serde_json::to_vec(status)?)?;
    drop(file);
    std::fs::rename(&fresh, path)
}
