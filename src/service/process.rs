//! Processes of this machine: who they are, what they started, and how they are signalled without hitting another.
//!
//! A pid alone proves nothing: it is always taken together with its start time, and a signal goes by a pidfd that was
//! checked after it was opened.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// One process of this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid.
    pub pid: u32,
    /// When it began, in the kernel's ticks since the boot; 0 where the kernel does not tell.
    pub start: u64,
}

pub use crate::bay::service::MARK;
use crate::bay::service::StopSignal;

/// The system's signal for a stop signal.
#[must_use]
pub const fn signal_of(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::SIGTERM => Signal::TERM,
        StopSignal::SIGINT => Signal::INT,
        StopSignal::SIGQUIT => Signal::QUIT,
        StopSignal::SIGHUP => Signal::HUP,
        StopSignal::SIGUSR1 => Signal::USR1,
        StopSignal::SIGUSR2 => Signal::USR2,
        StopSignal::SIGKILL => Signal::KILL,
    }
}

/// One line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Who it is.
    pub id: ProcessId,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// It has ended and waits for its parent to notice.
    pub zombie: bool,
}

impl ProcessId {
    /// The process that has this pid now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        look(pid).map(|process| process.id)
    }

    /// This process.
    #[must_use]
    pub fn own() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, start: 0 })
    }

    /// Whether it is known so well that no other process can be taken for it: a pid alone may be anybody's by now.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        self.pid > 1 && self.start != 0
    }

    /// Whether it is still there and has not ended. Never of one that is not certain.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.is_certain() && look(self.pid).is_some_and(|process| process.id == self && !process.zombie)
    }

    /// Sends it a signal; nothing happens when it is gone, whoever may have its pid by then, or when it is not certain.
    pub fn signal(self, signal: Signal) {
        if !self.is_certain() {
            return;
        }
        let Some(pid) = i32::try_from(self.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw) else { return };
        send(self, pid, signal);
    }
}

#[cfg(target_os = "linux")]
fn send(id: ProcessId, pid: Pid, signal: Signal) {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => {
            if ProcessId::of(id.pid) == Some(id) {
                // Gone since is what was wanted.
                let _ = pidfd_send_signal(handle, signal);
            }
        }
        Err(rustix::io::Errno::NOSYS) if ProcessId::of(id.pid) == Some(id) => {
            let _ = rustix::process::kill_process(pid, signal);
        }
        Err(_) => {}
    }
}

#[cfg(not(target_os = "linux"))]
fn send(id: ProcessId, pid: Pid, signal: Signal) {
    if ProcessId::of(id.pid) == Some(id) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// One process by its pid.
#[cfg(target_os = "linux")]
#[must_use]
pub fn look(pid: u32) -> Option<Process> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Where there is no `/proc`: whether the pid is there is all that can be told.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn look(pid: u32) -> Option<Process> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    rustix::process::test_kill_process(raw).ok()?;
    let group = rustix::process::getpgid(Some(raw)).map_or(0, |group| group.as_raw_nonzero().get().unsigned_abs());
    Some(Process { id: ProcessId { pid, start: 0 }, parent: 0, group, session: 0, zombie: false })
}

/// `/proc/PID/stat`: the name in parentheses may hold anything, so fields count from the last one.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no /proc"))]
fn parse(pid: u32, stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let small = |at: usize| u32::try_from(number(at)?).ok();
    Some(Process {
        id: ProcessId { pid, start: number(19)? },
        parent: small(1)?,
        group: small(2)?,
        session: small(3)?,
        zombie: matches!(fields.first(), Some(&("Z" | "X"))),
    })
}

/// All processes. Empty where there is no `/proc`.
#[must_use]
pub fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| look(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Everything that `root` started and what those started, zombies left out.
#[must_use]
pub fn descendants(root: u32) -> Vec<Process> {
    started_by([root])
}

/// Everything that these started and what those started, zombies left out.
#[must_use]
pub fn started_by(roots: impl IntoIterator<Item = u32>) -> Vec<Process> {
    let mut next: Vec<u32> = roots.into_iter().collect();
    if next.is_empty() {
        return Vec::new();
    }
    let mut children: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            next.push(child.id.pid);
            if !child.zombie {
                found.push(child);
            }
        }
    }
    found
}

/// Processes that carry this mark in the environment that they began with.
#[must_use]
pub fn marked(mark: &str) -> Vec<ProcessId> {
    with_variable(MARK, mark)
}

/// Processes that began with this variable.
#[must_use]
pub fn with_variable(name: &str, value: &str) -> Vec<ProcessId> {
    let wanted = format!("{name}={value}");
    let carries = |id: &ProcessId| {
        let environ = std::fs::read(format!("/proc/{}/environ", id.pid)).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let own = std::process::id();
    let living = all().into_iter().filter(|process| !process.zombie && process.id.pid != own);
    living.map(|process| process.id).filter(carries).collect()
}

/// A process that has a file open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub id: ProcessId,
    /// Its program, as the kernel names it.
    pub command: String,
    /// Who took the lock that this open file holds: the process itself, or the one that it has the open file from.
    pub locked_by: Option<u32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id.pid, self.command)
    }
}

/// Processes that have this file open, this one left out. Those of other users can't be seen, unless one is root.
#[must_use]
pub fn holders(path: &Path) -> Vec<Holder> {
    let Ok(path) = path.canonicalize() else { return Vec::new() };
    let own = std::process::id();
    let living = all().into_iter().filter(|process| !process.zombie && process.id.pid != own);
    living.filter_map(|process| holder(process.id, &path)).collect()
}

fn holder(id: ProcessId, path: &Path) -> Option<Holder> {
    let home = PathBuf::from(format!("/proc/{}", id.pid));
    let open = std::fs::read_dir(home.join("fd")).ok()?.flatten();
    let of_file: Vec<_> = open.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to == path)).collect();
    let locks = of_file.iter().map(|entry| std::fs::read_to_string(home.join("fdinfo").join(entry.file_name())));
    let locked_by = locks.flatten().find_map(|facts| facts.lines().find_map(taker));
    let command = || std::fs::read_to_string(home.join("comm")).unwrap_or_default().trim().to_owned();
    (!of_file.is_empty()).then(|| Holder { id, command: command(), locked_by })
}

/// `lock: 1: FLOCK  ADVISORY  WRITE 1234 08:01:567 0 EOF`: the pid in it.
fn taker(line: &str) -> Option<u32> {
    let mut words = line.strip_prefix("lock:")?.split_ascii_whitespace().skip(1);
    (words.next()? == "FLOCK").then(|| words.nth(2)?.parse().ok())?
}

/// The present boot; empty where the kernel does not tell.
#[must_use]
pub fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Time since the boot that never jumps, the same for every process of it.
#[must_use]
pub fn monotonic() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    std::time::Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_read() {
        let stat = "42 (a) R (b) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0";
        let process = parse(42, stat).unwrap();
        assert_eq!(process.id, ProcessId { pid: 42, start: 12345 });
        assert_eq!((process.parent, process.group, process.session, process.zombie), (7, 8, 9, false));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn h15_a_pid_that_another_has_now_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(id.is_alive());
        let former = ProcessId { start: id.start + 1, ..id };
        former.signal(Signal::KILL);
        assert!(!former.is_alive());
        // The first signal that it was sent is the one that it dies of.
        id.signal(Signal::TERM);
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15), "a foreign process was signalled");
        assert!(!id.is_alive());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn h15_a_pid_without_a_start_time_is_nobody() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let vague = ProcessId { pid: child.id(), start: 0 };
        assert!(!vague.is_alive());
        vague.signal(Signal::KILL);
        // A signal that was sent is there by now: one that is asked for later comes after it.
        ProcessId::of(child.id()).unwrap().signal(Signal::TERM);
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_has_a_lock_open_is_found_with_who_took_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = std::fs::File::create(&path).unwrap();
        file.lock().unwrap();
        // Not closed on exec: as a service's processes have theirs.
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "read line"]).stdin(std::process::Stdio::piped()).stdout(file);
        let mut child = command.spawn().unwrap();
        drop(command);
        let found = holders(&path);
        let [holder] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((holder.id.pid, holder.locked_by), (child.id(), Some(std::process::id())));
        assert_eq!(holder.to_string(), format!("{} (sh)", child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(taker("lock:\t1: FLOCK  ADVISORY  WRITE 77 08:01:5 0 EOF"), Some(77));
        assert_eq!(taker("lock:\t1: POSIX  ADVISORY  WRITE 77 08:01:5 0 EOF"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_process_started_is_found_by_descent_and_by_mark() {
        let mark = format!("test:{}", std::process::id());
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "setsid sleep 30 & wait"]).env(MARK, &mark);
        let mut child = command.spawn().unwrap();
        let begun = std::time::Instant::now();
        while marked(&mark).len() < 2 || descendants(child.id()).is_empty() {
            assert!(begun.elapsed().as_secs() < 10, "{:?}", marked(&mark));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let found: Vec<u32> = descendants(child.id()).iter().map(|process| process.id.pid).collect();
        assert!(marked(&mark).iter().any(|id| found.contains(&id.pid)));
        for id in marked(&mark) {
            id.signal(Signal::KILL);
        }
        child.wait().unwrap();
    }
}
