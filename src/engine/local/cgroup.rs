//! Limits by the kernel's control groups, where this user may make some.

use std::fs;
use std::path::{Path, PathBuf};

use super::place::Place;
use crate::bay::container::ContainerSpec;
use crate::bay::template::Limits;

/// The group of all local containers; each has one below it, by its id.
const GROUP: &str = "podbay";
/// Where the kernel shows them.
const ROOT: &str = "/sys/fs/cgroup";
/// The time that a share of the CPUs is measured over, in microseconds.
const PERIOD: u64 = 100_000;

/// A hierarchy of version 1, and what is written into a container's group there.
type Setting = (&'static str, Vec<(&'static str, String)>);

/// What version 1 is told. Memory before swap: the kernel refuses the other order.
fn settings(limits: &Limits) -> Vec<Setting> {
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

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of CPUs times 1e5 fits")]
fn quota(cpus: f64) -> u64 {
    // The kernel takes no less than a millisecond.
    ((cpus * 1e5).round() as u64).max(1000)
}

fn groups(id: &str) -> Vec<PathBuf> {
    let all = ["memory", "cpu", "pids", "cpuacct", "blkio"];
    all.map(|name| Path::new(ROOT).join(name).join(GROUP).join(id)).to_vec()
}

fn id_of(place: &Place) -> Option<&str> {
    place.dir().file_name()?.to_str()
}

/// Whether this user may make groups of version 1, and why not.
///
/// # Errors
/// What is missing, in words.
pub fn available() -> Result<(), String> {
    for name in ["memory", "cpu", "pids"] {
        let dir = Path::new(ROOT).join(name);
        if !dir.join("tasks").exists() {
            return Err(format!("no cgroup hierarchy of version 1 is mounted on {}", dir.display()));
        }
        let group = dir.join(GROUP);
        let made = fs::create_dir_all(&group);
        let may = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        let usable = made.and_then(|()| Ok(rustix::fs::access(&group, may)?));
        if let Err(error) = usable {
            return Err(format!("cgroups are not delegated to this user ({}: {error})", group.display()));
        }
    }
    Ok(())
}

/// Puts a container's first process under its limits. What can't be set is not, and [`available`] says so.
pub fn enter(spec: &ContainerSpec, place: &Place, pid: u32) {
    let Some(id) = id_of(place) else { return };
    for (hierarchy, values) in settings(&spec.limits) {
        let group = Path::new(ROOT).join(hierarchy).join(GROUP).join(id);
        if fs::create_dir_all(&group).is_err() {
            continue;
        }
        for (file, value) in values {
            // Swap accounting may be missing; then memory alone is limited.
            let _ = fs::write(group.join(file), value);
        }
        let _ = fs::write(group.join("cgroup.procs"), pid.to_string());
    }
}

/// Takes a container's groups away, once nothing is in them; whether the kernel had killed in it for memory.
pub fn leave(place: &Place) -> bool {
    let Some(id) = id_of(place) else { return false };
    let groups = groups(id);
    let killed = groups.first().is_some_and(|memory| {
        let text = fs::read_to_string(memory.join("memory.oom_control")).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    });
    for group in groups {
        // Already gone, or not ours to remove.
        let _ = fs::remove_dir(group);
    }
    killed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn limits_become_what_the_kernel_takes() {
        let mut limits = Config::defaults().unwrap().worker.limits;
        (limits.cpus, limits.pids) = (1.5, 100);
        limits.memory = crate::bay::size::ByteSize::bytes(1 << 20);
        let all = settings(&limits);
        let find = |name: &str| all.iter().find(|(hierarchy, _)| *hierarchy == name).unwrap().1.clone();
        assert_eq!(find("cpu")[1], ("cpu.cfs_quota_us", "150000".to_owned()));
        assert_eq!(find("pids"), [("pids.max", "100".to_owned())]);
        let memory: Vec<_> = find("memory").into_iter().map(|(file, _)| file).collect();
        assert_eq!(memory, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]);
        (limits.cpus, limits.pids) = (0.0, 0);
        limits.memory = crate::bay::size::ByteSize::bytes(0);
        assert!(settings(&limits).iter().all(|(_, values)| values.is_empty()), "0 is no limit");
        assert_eq!(quota(0.001), 1000);
    }
}
