//! A container's figures from the kernel's own files: cgroup v1 and v2, `/proc/<pid>/net/dev`. A few small reads.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bay::container::ContainerId;
use crate::engine::Stats;

/// Reads the figures of the container whose main process is `pid`; `None` when they are not to be found here, or when
/// the pid is not (or no longer) this container's. `root` is `/` but in tests.
pub fn read(root: &Path, pid: u32, id: &ContainerId, own_network: bool) -> Option<Stats> {
    let process = root.join("proc").join(pid.to_string());
    let table = fs::read_to_string(process.join("cgroup")).ok()?;
    if !table.contains(id.as_str()) {
        return None;
    }
    let groups = Groups::of(root, &table);
    let mut stats = groups.unified().or_else(|| groups.legacy())?;
    stats.network = if own_network { network(&process) } else { None };
    Some(stats)
}

/// Where each controller's files of one process are.
struct Groups {
    folders: HashMap<String, PathBuf>,
    unified: Option<PathBuf>,
}

impl Groups {
    fn of(root: &Path, table: &str) -> Self {
        let base = root.join("sys/fs/cgroup");
        let (mut folders, mut unified) = (HashMap::new(), None);
        for line in table.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
            let path = path.trim_start_matches('/');
            if names.is_empty() {
                unified = Some(base.join(path));
                continue;
            }
            for name in names.split(',') {
                // Mounted under the list of names, or under each.
                let together = base.join(names).join(path);
                let folder = if together.is_dir() { together } else { base.join(name).join(path) };
                folders.insert(name.to_owned(), folder);
            }
        }
        Self { folders, unified }
    }

    fn unified(&self) -> Option<Stats> {
        let folder = self.unified.as_ref()?;
        let cpu = keyed(&folder.join("cpu.stat"))?;
        let memory = keyed(&folder.join("memory.stat")).unwrap_or_default();
        let inactive = memory.get("inactive_file").copied().unwrap_or(0);
        Some(Stats {
            cpu: Duration::from_micros(*cpu.get("usage_usec")?),
            cpu_percent: None,
            memory: number(&folder.join("memory.current"))?.saturating_sub(inactive),
            // "max" is no number, and no limit.
            memory_limit: number(&folder.join("memory.max")),
            pids: number(&folder.join("pids.current")).unwrap_or(0),
            network: None,
            block: unified_block(&folder.join("io.stat")),
        })
    }

    fn legacy(&self) -> Option<Stats> {
        let file = |controller: &str, name: &str| Some(self.folders.get(controller)?.join(name));
        let read = |controller: &str, name: &str| number(&file(controller, name)?);
        let memory = keyed(&file("memory", "memory.stat")?).unwrap_or_default();
        let inactive = memory.get("total_inactive_file").copied().unwrap_or(0);
        let limit = read("memory", "memory.limit_in_bytes");
        Some(Stats {
            cpu: Duration::from_nanos(read("cpuacct", "cpuacct.usage")?),
            cpu_percent: None,
            memory: read("memory", "memory.usage_in_bytes")?.saturating_sub(inactive),
            // No limit is the largest number of pages.
            memory_limit: limit.filter(|limit| *limit < 1 << 60),
            pids: read("pids", "pids.current").unwrap_or(0),
            network: None,
            block: file("blkio", "blkio.throttle.io_service_bytes_recursive")
                .map(|f| legacy_block(&f))
                .unwrap_or_default(),
        })
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A file of `key value` lines.
fn keyed(path: &Path) -> Option<HashMap<String, u64>> {
    let text = fs::read_to_string(path).ok()?;
    let rows = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    });
    Some(rows.collect())
}

/// Lines like `8:0 rbytes=1 wbytes=2 rios=3`.
fn unified_block(path: &Path) -> (u64, u64) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let sum = |key: &str| {
        let values = text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
        values.sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

/// Lines like `8:0 Read 1`.
fn legacy_block(path: &Path) -> (u64, u64) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let sum = |kind: &str| {
        let values = text.lines().filter_map(|line| line.split_once(kind)?.1.trim().parse::<u64>().ok());
        values.sum()
    };
    (sum(" Read "), sum(" Write "))
}

/// What its interfaces but the loopback received and sent.
fn network(process: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(process.join("net/dev")).ok()?;
    let interfaces = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    let own = interfaces.filter(|(name, _)| name.trim() != "lo");
    let figures = own.map(|(_, row)| {
        let mut columns = row.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
        (columns.next().unwrap_or(0), columns.nth(7).unwrap_or(0))
    });
    Some(figures.fold((0, 0), |(rx, tx), (one_rx, one_tx)| (rx + one_rx, tx + one_tx)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    const NET: &str = "Inter-| Receive | Transmit\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 \
                       200 2\n";

    #[test]
    fn version_one() {
        let group = "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n2:pids:/docker/abc\n1:blkio:/docker/abc\n0::/";
        let dir = tree(&[
            ("proc/7/cgroup", group),
            ("proc/7/net/dev", NET),
            ("sys/fs/cgroup/cpuacct/docker/abc/cpuacct.usage", "5000000000\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "100\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.stat", "cache 1\ntotal_inactive_file 40\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/pids/docker/abc/pids.current", "3\n"),
            (
                "sys/fs/cgroup/blkio/docker/abc/blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 10\n8:0 Write 20\n8:16 Read 1\nTotal 31\n",
            ),
        ]);
        let stats = read(dir.path(), 7, &ContainerId::new("abc"), true).unwrap();
        let expected = Stats {
            cpu: Duration::from_secs(5),
            cpu_percent: None,
            memory: 60,
            memory_limit: None,
            pids: 3,
            network: Some((100, 200)),
            block: (11, 20),
        };
        assert_eq!(stats, expected);
        assert_eq!(read(dir.path(), 7, &ContainerId::new("other"), true), None);
        assert_eq!(read(dir.path(), 8, &ContainerId::new("abc"), true), None);
    }

    #[test]
    fn version_two() {
        let dir = tree(&[
            ("proc/7/cgroup", "0::/system.slice/docker-abc.scope\n"),
            ("proc/7/net/dev", NET),
            ("sys/fs/cgroup/system.slice/docker-abc.scope/cpu.stat", "usage_usec 1500000\nuser_usec 1\n"),
            ("sys/fs/cgroup/system.slice/docker-abc.scope/memory.current", "100\n"),
            ("sys/fs/cgroup/system.slice/docker-abc.scope/memory.stat", "inactive_file 40\n"),
            ("sys/fs/cgroup/system.slice/docker-abc.scope/memory.max", "1000\n"),
            ("sys/fs/cgroup/system.slice/docker-abc.scope/pids.current", "3\n"),
            ("sys/fs/cgroup/system.slice/docker-abc.scope/io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n"),
        ]);
        let stats = read(dir.path(), 7, &ContainerId::new("abc"), false).unwrap();
        assert_eq!((stats.cpu, stats.memory), (Duration::from_millis(1500), 60));
        assert_eq!((stats.memory_limit, stats.pids, stats.block), (Some(1000), 3, (10, 20)));
        assert_eq!(stats.network, None);
    }
}
