//! Figures of a running container: from its control groups, else from its processes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bay::container::ContainerId;
use crate::engine::Stats;
use crate::service::process;

/// A container that nobody asked about for so long is forgotten.
const FORGET: Duration = Duration::from_mins(10);
/// The kernel's clock in `/proc`, the same on every machine of today: `sysconf(_SC_CLK_TCK)`.
const TICKS: u64 = 100;

/// The last reading of each container: when, and the CPU time until then.
#[derive(Default)]
pub struct Readings(Mutex<HashMap<ContainerId, (Instant, Duration)>>);

impl Readings {
    /// Says what share of a CPU was used since the last reading, and keeps this one.
    pub fn share(&self, id: &ContainerId, mut stats: Stats) -> Stats {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| now.saturating_duration_since(*at) < FORGET);
        let last = kept.insert(id.clone(), (now, stats.cpu));
        // A smaller figure is that of a new run.
        stats.cpu_percent = last.filter(|(_, cpu)| *cpu <= stats.cpu).and_then(|(at, cpu)| {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            (passed > 0.0).then(|| stats.cpu.saturating_sub(cpu).as_secs_f64() / passed * 100.0)
        });
        stats
    }
}

/// One reading of the container whose first process is `pid`. Without control groups nothing holds the memory of all of
/// its processes, whatever was asked for.
#[must_use]
pub fn read(id: &ContainerId, pid: u32, own_network: bool) -> Stats {
    if let Some(stats) = crate::engine::docker::cgroup::read(Path::new("/"), pid, id, own_network) {
        return stats;
    }
    let ids = process::descendants(pid).into_iter().map(|process| process.id.pid).chain([pid]);
    let mut stats = Stats::default();
    for pid in ids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some(one) = of_process(&text) else { continue };
        stats.cpu += one.cpu;
        stats.pids += one.threads;
        stats.memory += one.resident;
    }
    stats
}

struct One {
    cpu: Duration,
    threads: u64,
    resident: u64,
}

/// A line of `/proc/PID/stat`. CPU time is that of the process and of those that it took leave of.
fn of_process(stat: &str) -> Option<One> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks: u64 = [11, 12, 13, 14].into_iter().filter_map(number).sum();
    let page = rustix::param::page_size() as u64;
    Some(One {
        cpu: Duration::from_millis(ticks * 1000 / TICKS),
        threads: number(17)?,
        resident: number(21)?.saturating_mul(page),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processes_line_is_read() {
        let stat = "42 (a) R (b) S 7 8 9 0 -1 4194560 1 2 3 4 100 50 30 20 20 0 3 0 12345 9999 5 0";
        let one = of_process(stat).unwrap();
        assert_eq!((one.cpu, one.threads), (Duration::from_secs(2), 3));
        assert_eq!(one.resident, 5 * rustix::param::page_size() as u64);
        assert!(of_process("").is_none());
    }

    #[test]
    fn a_share_needs_two_readings_of_one_run() {
        let (readings, id) = (Readings::default(), ContainerId::new("ab"));
        let at = |seconds| Stats { cpu: Duration::from_secs(seconds), ..Stats::default() };
        assert_eq!(readings.share(&id, at(5)).cpu_percent, None);
        assert!(readings.share(&id, at(6)).cpu_percent.is_some_and(|percent| percent > 0.0));
        assert_eq!(readings.share(&id, at(1)).cpu_percent, None, "a new run");
    }
}
