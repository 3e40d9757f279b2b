//! Whether the kernel ended a process for memory: what its counters and its log say.
//!
//! A process that is ended so dies of SIGKILL like any other, and the kernel tells its parent no more. But it counts such
//! kills for each control group and for the machine, and writes down the pid. The log alone is proof; a counter that rose
//! since the process began only makes it likely, and is told as that. Everything is read, nothing is set.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bay::lifecycle::Exit;

/// A record of the kernel's log, at most.
const RECORD: usize = 16 << 10;
/// The log's clock may go so far from the one that the process's beginning was taken by.
const DRIFT: Duration = Duration::from_mins(1);
/// Records that are looked through: more than any log holds.
const RECORDS: usize = 200_000;

/// What makes it likely, where it is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clue {
    /// Since it began, the kernel has ended a process of its control group for memory.
    Group,
    /// Since it began, the kernel has ended a process of this machine for memory.
    Machine,
}

impl Clue {
    /// An end that it speaks of, in words; others stand for themselves.
    #[must_use]
    pub fn said_of(self, exit: &Exit) -> String {
        match self {
            _ if !may_be(exit) => exit.to_string(),
            Self::Group => format!(
                "{exit}: out of memory, most likely (the kernel has killed a process of its control group for memory \
                 since it began)"
            ),
            Self::Machine => format!(
                "{exit}: maybe out of memory (the kernel has killed a process of this machine for memory since it began)"
            ),
        }
    }
}

/// What is known of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks for it.
    No,
    /// Something does.
    Likely(Clue),
    /// The kernel's log names it.
    Certain,
}

/// Where to read. Real files, but for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The process table.
    pub processes: PathBuf,
    /// Control groups.
    pub groups: PathBuf,
    /// The kernel's log, a record a read.
    pub log: PathBuf,
}

impl Default for Ground {
    fn default() -> Self {
        Self { processes: "/proc".into(), groups: "/sys/fs/cgroup".into(), log: "/dev/kmsg".into() }
    }
}

/// Kills for memory, as far as the kernel tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    group: Option<u64>,
    machine: Option<u64>,
}

/// One process, from its beginning on.
#[derive(Debug, Default)]
pub struct Watch {
    ground: Ground,
    pid: u32,
    /// The counter of its control group.
    group: Option<PathBuf>,
    before: Counts,
    /// By the clock since the boot.
    since: Duration,
}

impl Watch {
    /// Notes the counters as they are now, at this time since the boot.
    #[must_use]
    pub fn begin(ground: Ground, pid: u32, now: Duration) -> Self {
        let group = counter_of(&ground, pid);
        let before = counts(&ground, group.as_deref());
        Self { ground, pid, group, before, since: now }
    }

    /// What is known of this end of it.
    #[must_use]
    pub fn verdict(&self, exit: &Exit) -> Verdict {
        if !may_be(exit) {
            return Verdict::No;
        }
        let after = counts(&self.ground, self.group.as_deref());
        // Its own end; a program that is told of one that it started says so by a code.
        let named = || *exit == Exit::Signal(KILL) && is_named(&self.ground.log, self.pid, self.since);
        judge(self.before, after, named)
    }
}

const KILL: i32 = 9;

/// Whether an end looks like one for memory: SIGKILL, or a shell's word for it.
const fn may_be(exit: &Exit) -> bool {
    matches!(exit, Exit::Signal(KILL) | Exit::Code(137))
}

fn judge(before: Counts, after: Counts, named: impl FnOnce() -> bool) -> Verdict {
    let rose = |before: Option<u64>, after: Option<u64>| Some(after? > before?);
    let (group, machine) = (rose(before.group, after.group), rose(before.machine, after.machine));
    // Where nothing is counted, the log may still be read.
    let counted = group.is_some() || machine.is_some();
    if (group == Some(true) || machine == Some(true) || !counted) && named() {
        return Verdict::Certain;
    }
    match (group, machine) {
        (Some(true), _) => Verdict::Likely(Clue::Group),
        (None, Some(true)) => Verdict::Likely(Clue::Machine),
        // Whoever it may have been, it was not of this group.
        (Some(false) | None, _) => Verdict::No,
    }
}

fn counts(ground: &Ground, group: Option<&Path>) -> Counts {
    let count = |path: &Path| counted(&std::fs::read_to_string(path).ok()?);
    Counts { group: group.and_then(count), machine: count(&ground.processes.join("vmstat")) }
}

/// `oom_kill N` in a line of its own, which all of these files have.
fn counted(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// The file that counts kills in a process's control group, of either version.
fn counter_of(ground: &Ground, pid: u32) -> Option<PathBuf> {
    let text = std::fs::read_to_string(ground.processes.join(pid.to_string()).join("cgroup")).ok()?;
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let first = lines().find(|(controllers, _)| controllers.split(',').any(|one| one == "memory"));
    let second = lines().find(|(controllers, _)| controllers.is_empty());
    let (root, path, files): (_, _, &[&str]) = match (first, second) {
        (Some((_, path)), _) => (ground.groups.join("memory"), path, &["memory.oom_control"]),
        // The first one counts this group alone, the other one those below it, too.
        (None, Some((_, path))) => (ground.groups.clone(), path, &["memory.events.local", "memory.events"]),
        (None, None) => return None,
    };
    // In a container the path may be the machine's, and what is mounted the container's own group.
    let homes = [root.join(path.trim_start_matches('/')), root];
    let all = homes.iter().flat_map(|home| files.iter().map(|file| home.join(file)));
    all.into_iter().find(|file| std::fs::read_to_string(file).is_ok_and(|text| counted(&text).is_some()))
}

/// Whether the kernel's log says that it ended this process for memory, later than `since` after the boot. Only root may
/// read it on many machines.
fn is_named(log: &Path, pid: u32, since: Duration) -> bool {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let Ok(mut log) = File::options().read(true).custom_flags(nonblocking).open(log) else { return false };
    let mut record = vec![0; RECORD];
    for _ in 0..RECORDS {
        match log.read(&mut record) {
            Ok(count @ 1..) => {
                let text = String::from_utf8_lossy(record.get(..count).unwrap_or_default());
                if text.lines().any(|line| names(line, pid, since)) {
                    return true;
                }
            }
            // It was written over while it was read: the next one is there.
            Err(error)
                if matches!(
                    error.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                    Some(rustix::io::Errno::PIPE)
                ) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return false,
        }
    }
    false
}

/// `PRIORITY,NUMBER,MICROSECONDS,FLAGS;[Memory cgroup out|Out] of memory: Killed process PID (NAME) …`.
fn names(line: &str, pid: u32, since: Duration) -> bool {
    let Some((head, text)) = line.split_once(';') else { return false };
    let at = head.split(',').nth(2).and_then(|at| at.parse().ok()).map(Duration::from_micros);
    at.is_some_and(|at| at + DRIFT >= since)
        && text.contains("ut of memory")
        && text.contains(&format!("Killed process {pid} ("))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine in a directory, with one process in group `/a/b`.
    struct Made {
        _dir: tempfile::TempDir,
        ground: Ground,
    }

    impl Made {
        fn new(cgroup: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let ground = Ground { processes: at("proc"), groups: at("groups"), log: at("log") };
            let made = Self { ground, _dir: dir };
            made.write("proc/42/cgroup", cgroup);
            made
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.ground.log.parent().unwrap().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn begin(&self) -> Watch {
            Watch::begin(self.ground.clone(), 42, Duration::from_secs(70))
        }
    }

    const FIRST: &str = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/elsewhere\n";
    const V1: &str = "groups/memory/a/b/memory.oom_control";
    const KILLED: Exit = Exit::Signal(9);

    fn v1(count: u64) -> String {
        format!("oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n")
    }

    fn vmstat(count: u64) -> String {
        format!("pgfault 77\noom_kill {count}\nother 3\n")
    }

    #[test]
    fn the_log_is_proof_and_a_counter_is_a_clue() {
        let made = Made::new(FIRST);
        made.write(V1, &v1(3));
        made.write("proc/vmstat", &vmstat(5));
        let watch = made.begin();
        assert_eq!(watch.verdict(&KILLED), Verdict::No, "nothing was counted since");
        made.write(V1, &v1(4));
        made.write("proc/vmstat", &vmstat(6));
        assert_eq!(watch.verdict(&KILLED), Verdict::Likely(Clue::Group));
        assert_eq!(watch.verdict(&Exit::Code(137)), Verdict::Likely(Clue::Group), "a shell's word for it");
        for other in [Exit::Code(1), Exit::Code(0), Exit::Signal(15), Exit::Signal(11)] {
            assert_eq!(watch.verdict(&other), Verdict::No, "{other:?}");
        }
        let record = |micros: u64, pid: u32| {
            format!(
                "6,1,1,-;hello\n3,900,{micros},-;Memory cgroup out of memory: Killed process {pid} (node) total-vm:9kB\n SUBSYSTEM=x\n"
            )
        };
        for (text, verdict) in [
            (record(10_000_001, 42), Verdict::Certain),
            (record(9_999_999, 42), Verdict::Likely(Clue::Group)),
            (record(10_000_001, 4), Verdict::Likely(Clue::Group)),
            (record(10_000_001, 421), Verdict::Likely(Clue::Group)),
        ] {
            made.write("log", &text);
            assert_eq!(watch.verdict(&KILLED), verdict, "{text}");
        }
        made.write("log", "3,900,10000001,-;Out of memory: Killed process 42 (node) total-vm:9kB\n");
        assert_eq!(watch.verdict(&KILLED), Verdict::Certain, "of the whole machine");
        assert_eq!(watch.verdict(&Exit::Code(137)), Verdict::Likely(Clue::Group), "it ended by itself");
    }

    #[test]
    fn what_another_group_lost_is_no_clue() {
        let made = Made::new(FIRST);
        made.write(V1, &v1(3));
        made.write("proc/vmstat", &vmstat(5));
        let watch = made.begin();
        made.write("proc/vmstat", &vmstat(6));
        assert_eq!(watch.verdict(&KILLED), Verdict::No);
        // It went into another group by itself.
        made.write("log", "3,900,10000001,-;Memory cgroup out of memory: Killed process 42 (node) x\n");
        assert_eq!(watch.verdict(&KILLED), Verdict::Certain);
    }

    #[test]
    fn each_way_of_counting_is_read() {
        let events = |count: u64| format!("low 0\nhigh 9\nmax 9\noom 2\noom_kill {count}\noom_group_kill 0\n");
        for (cgroup, file, text) in [
            ("0::/a/b\n", "groups/a/b/memory.events.local", events as fn(u64) -> String),
            ("0::/a/b\n", "groups/a/b/memory.events", events),
            ("0::/a/b\n", "groups/memory.events", events),
            (FIRST, V1, v1),
            (FIRST, "groups/memory/memory.oom_control", v1),
        ] {
            let made = Made::new(cgroup);
            made.write(file, &text(0));
            let watch = made.begin();
            assert_eq!(watch.group.as_deref(), Some(made.ground.log.with_file_name(file).as_path()));
            made.write(file, &text(1));
            assert_eq!(watch.verdict(&KILLED), Verdict::Likely(Clue::Group), "{file}");
        }
        // An old kernel counts nothing in a group.
        let made = Made::new(FIRST);
        made.write(V1, "oom_kill_disable 0\nunder_oom 0\n");
        made.write("proc/vmstat", &vmstat(5));
        let watch = made.begin();
        made.write("proc/vmstat", &vmstat(6));
        assert_eq!(watch.verdict(&KILLED), Verdict::Likely(Clue::Machine));
        // One that counts nothing at all has a log.
        let made = Made::new("");
        let watch = made.begin();
        assert_eq!(watch.verdict(&KILLED), Verdict::No);
        made.write("log", "3,900,10000001,-;Out of memory: Killed process 42 (node) x\n");
        assert_eq!(watch.verdict(&KILLED), Verdict::Certain);
    }

    #[test]
    fn a_clue_is_told_as_one() {
        let said = Clue::Group.said_of(&KILLED);
        assert!(said.starts_with("ended by SIGKILL: out of memory, most likely ("), "{said}");
        let said = Clue::Machine.said_of(&Exit::Code(137));
        assert!(said.starts_with("exited with code 137 (SIGKILL): maybe out of memory ("), "{said}");
        assert_eq!(Clue::Machine.said_of(&Exit::Code(3)), "exited with code 3");
    }

    /// The real files can be read, whatever they say.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_somebody_kills_is_not_taken_for_one() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let watch = Watch::begin(Ground::default(), child.id(), crate::service::process::monotonic());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ne!(watch.verdict(&KILLED), Verdict::Certain);
    }
}
