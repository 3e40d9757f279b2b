//! Figures of the machine and of the containers that somebody looks at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::error::ApiError;
use super::extract::Asked;
use super::{App, actions};
use crate::api::types::{Figures, MachineRow};

/// A tick of `/proc/stat` in milliseconds: the kernel shows a hundred a second whatever it counts in.
const TICK: u64 = 10;
/// A sector of `/proc/diskstats` in bytes, whatever the disk's own are.
const SECTOR: u64 = 512;

/// `?of=fox,parent`; absent: all that run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FiguresQuery {
    of: Option<String>,
}

pub async fn figures(State(app): State<App>, Asked(query): Asked<FiguresQuery>) -> Result<Json<Figures>, ApiError> {
    app.first_look().await;
    let wanted: Option<BTreeSet<&str>> = query.of.as_deref().map(|names| names.split(',').collect());
    let containers = match app.engine() {
        Ok(engine) => {
            actions::readings(&app, &engine, |row| wanted.as_ref().is_none_or(|w| w.contains(&*row.name))).await
        }
        // The machine is there all the same.
        Err(_) => Vec::new(),
    };
    // Where the engine's memory can be seen, its machine is this one.
    let here = app.handle.view.borrow().status.capacity.memory_free.is_some();
    let machine = if here { machine(Path::new("/proc")) } else { None };
    Ok(Json(Figures { machine, containers }))
}

/// The machine's counters; `None` where there are none to be read.
fn machine(proc: &Path) -> Option<MachineRow> {
    let read = |file: &str| fs::read_to_string(proc.join(file)).unwrap_or_default();
    let (busy, total) = cpu(&read("stat"))?;
    let memory = read("meminfo");
    let figure = |key: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let memory_total = figure("MemTotal")?;
    let load = read("loadavg");
    Some(MachineRow {
        cpus: available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        busy_ms: busy * TICK,
        total_ms: total * TICK,
        memory: memory_total.saturating_sub(figure("MemAvailable").unwrap_or(0)),
        memory_total,
        load: load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        network: network(&read("net/dev")),
        block: block(&read("diskstats"), |name| Path::new("/sys/block").join(name).is_dir()),
    })
}

/// Ticks of work, and all ticks, of all CPUs together.
fn cpu(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // The guests' ticks at the end are counted among the users' already.
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|tick| tick.parse().ok()).collect();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    let total: u64 = ticks.iter().sum();
    (ticks.len() >= 4).then(|| (total.saturating_sub(idle), total))
}

/// Bytes received and sent by what leads outside: the loopback and the engine's own bridges would count all twice.
fn network(dev: &str) -> Option<(u64, u64)> {
    let mut sums = None;
    for line in dev.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let name = name.trim();
        if name == "lo" || ["veth", "br-", "docker", "podman", "virbr"].iter().any(|own| name.starts_with(own)) {
            continue;
        }
        let fields: Vec<u64> = rest.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let (received, sent) = sums.unwrap_or((0, 0));
        sums = Some((received + fields.first().unwrap_or(&0), sent + fields.get(8).unwrap_or(&0)));
    }
    sums
}

/// Bytes read and written by whole disks: their partitions are in them.
fn block(stats: &str, is_disk: impl Fn(&str) -> bool) -> Option<(u64, u64)> {
    let mut sums = None;
    for line in stats.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, name, _, _, read, _, _, _, written, ..] = fields.as_slice() else { continue };
        let virtual_disk = ["loop", "ram", "dm-", "zram", "md"].iter().any(|own| name.starts_with(own));
        if virtual_disk || !is_disk(name) {
            continue;
        }
        let bytes = |sectors: &str| sectors.parse::<u64>().unwrap_or(0) * SECTOR;
        let (before, after) = sums.unwrap_or((0, 0));
        sums = Some((before + bytes(read), after + bytes(written)));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_the_kernels_files() {
        assert_eq!(cpu("cpu  10 1 5 80 4 0 0 0 3 0\ncpu0 1 2 3\n"), Some((16, 100)));
        assert_eq!(cpu("intr 1\n"), None);
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 9 0 0 0 0 0 0 9 9\n  eth0: 100 1 0 0 0 0 0 0 50 1\n\
                   veth12: 7 1 0 0 0 0 0 0 7 1\n  wlan0:1 1 0 0 0 0 0 0 2 1\n";
        assert_eq!(network(dev), Some((101, 52)));
        assert_eq!(network(""), None);
        let disks = "   8       0 sda 1 0 10 0 1 0 20 0 0 0 0\n   8 1 sda1 1 0 10 0 1 0 20 0 0 0 0\n\
                     7 0 loop0 1 0 99 0 1 0 99 0 0 0 0\n";
        assert_eq!(block(disks, |name| name == "sda"), Some((5120, 10240)));
    }
}
