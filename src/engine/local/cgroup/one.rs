//! Version 1: a hierarchy for each controller, where root alone makes groups.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{GROUP, PERIOD, Setting, made, quota};
use crate::bay::template::Limits;

/// Those that a container has a group in.
const ALL: [&str; 5] = ["memory", "cpu", "pids", "cpuacct", "blkio"];

/// Whether this user may make groups, and why not.
pub fn check(root: &Path) -> Result<(), String> {
    for name in ["memory", "cpu", "pids"] {
        let dir = root.join(name);
        if !dir.join("tasks").exists() {
            return Err(format!("no cgroup hierarchy of version 1 is mounted on {}", dir.display()));
        }
        made(&dir.join(GROUP))?;
    }
    Ok(())
}

/// What is written into a container's groups. Memory before swap: the kernel refuses the other order.
pub fn settings(limits: &Limits) -> Vec<(&'static str, Vec<Setting>)> {
    let memory = limits.memory.as_u64();
    let mut own = Vec::new();
    if memory > 0 {
        own.push(("memory.limit_in_bytes", memory.to_string()));
        own.push(("memory.memsw.limit_in_bytes", memory.to_string()));
    }
    if let Some(kept) = limits.memory_reservation.filter(|kept| kept.as_u64() > 0) {
        own.push(("memory.soft_limit_in_bytes", kept.as_u64().to_string()));
    }
    let mut cpu = Vec::new();
    if limits.cpus > 0.0 {
        cpu.push(("cpu.cfs_period_us", PERIOD.to_string()));
        cpu.push(("cpu.cfs_quota_us", quota(limits.cpus).to_string()));
    }
    let pids = if limits.pids > 0 { vec![("pids.max", limits.pids.to_string())] } else { Vec::new() };
    vec![("memory", own), ("cpu", cpu), ("pids", pids), ("cpuacct", Vec::new()), ("blkio", Vec::new())]
}

/// Where a process goes into a group by itself. For one with one thread that writes `0` there, the kernel stops nobody
/// else; for any other it waits until every process of the machine has been between two steps: 12 ms on two cores.
pub fn door(group: &Path) -> Option<OwnedFd> {
    File::options().write(true).open(group.join("tasks")).ok().map(OwnedFd::from)
}

/// A container's groups.
pub fn groups(root: &Path, id: &str) -> Vec<PathBuf> {
    ALL.map(|name| root.join(name).join(GROUP).join(id)).to_vec()
}

/// Whether the kernel had killed in one for its memory.
pub fn killed(root: &Path, id: &str) -> bool {
    let text = fs::read_to_string(root.join("memory").join(GROUP).join(id).join("memory.oom_control"));
    text.unwrap_or_default().lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
}
