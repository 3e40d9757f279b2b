//! Figures of the machine that podbay runs on, read at each tick.

use super::Ground;
use crate::api::types::Disk;
use crate::supervisor::event::Gauges;

pub(super) fn gauges(ground: &Ground) -> Gauges {
    let disk = rustix::fs::statvfs(&ground.paths.state).map_or_else(
        |_| Disk::default(),
        |stat| Disk { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize },
    );
    // Of the kernel's own making: it never waits for anything.
    let memory = std::fs::read_to_string("/proc/meminfo").ok();
    Gauges { disk, memory_free: memory.and_then(|text| available(&text)), calls: ground.meter.calls() }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
