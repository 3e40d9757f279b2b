//! The end of a run: signals to all of it, and taking leave of what has ended.

use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, WaitOptions};

use super::running::Shim;
use crate::bay::lifecycle::{Event, Exit, Phase};
use crate::service::oom::Verdict;
use crate::service::process::{self, ProcessId, monotonic};

/// A program that goes into the background leaves its session only after its first process has ended: looked at so long
/// after that.
const BACKGROUND: Duration = Duration::from_millis(100);

impl Shim {
    /// Everything of the service: its main process's group, and what left that.
    pub(super) fn signal_all(&self, signal: Signal) {
        let Some(main) = self.status.main.filter(|_| !self.empty) else { return };
        let all = process::descendants(std::process::id());
        // Only while it has a member: later, another group may have the number.
        let has_member = all.iter().any(|process| process.group == main.pid) || !cfg!(target_os = "linux");
        if let Some(group) = i32::try_from(main.pid).ok().and_then(Pid::from_raw).filter(|_| has_member) {
            // Gone since is what was wanted.
            let _ = rustix::process::kill_process_group(group, signal);
        }
        let escaped = all.into_iter().filter(|process| process.group != main.pid);
        escaped.for_each(|process| process.id.signal(signal));
    }

    pub(super) fn kill_all(&self) {
        self.signal_all(Signal::KILL);
    }

    /// Takes leave of everything that has ended.
    pub(super) fn reap(&mut self) {
        let mut main_ended = None;
        let mut empty = false;
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => main_ended = self.exit_of_main(pid, status).or(main_ended),
                Ok(None) => break,
                Err(rustix::io::Errno::INTR) => {}
                // No children: what was started is gone, and so is what those started, or it would be a child now.
                Err(_) => {
                    empty = true;
                    break;
                }
            }
        }
        // Known before anything is signalled: a search through all processes costs more than the next run.
        self.empty = empty && cfg!(target_os = "linux");
        if let Some(exit) = main_ended {
            self.main_ended(exit, empty);
        }
        if empty {
            self.part();
        }
        let ended = self.status.main.is_none_or(|main| !main.is_alive());
        if empty && ended && self.life.as_ref().is_some_and(|life| matches!(life.phase(), Phase::Stopping(_))) {
            self.output.finish();
            self.status.main = None;
            self.killing = false;
            self.live(Event::Emptied);
        }
    }

    /// How the main process ended, if it is the one that did.
    fn exit_of_main(&self, pid: Pid, status: rustix::process::WaitStatus) -> Option<Exit> {
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        self.status.main.filter(|main| main.pid == pid)?;
        let code = status.exit_status().map(|code| Exit::Code(i64::from(code)));
        code.or_else(|| status.terminating_signal().map(Exit::Signal))
    }

    fn main_ended(&mut self, exit: Exit, empty: bool) {
        self.status.ended_at = Some(Timestamp::now());
        let running = self.life.as_ref().is_some_and(|life| matches!(life.phase(), Phase::Running { .. }));
        let exit = self.explained(exit, running);
        self.status.exit = running.then(|| exit.clone());
        if running && exit == Exit::Code(0) && !empty {
            self.parting = Some((exit, monotonic() + BACKGROUND));
        } else {
            self.live(Event::Ended(exit));
        }
    }

    /// The kernel's word on an end that nobody here wanted.
    fn explained(&mut self, exit: Exit, running: bool) -> Exit {
        let verdict = if running { self.watch.verdict(&exit) } else { Verdict::No };
        self.status.memory_clue = match verdict {
            Verdict::Likely(clue) => Some(clue),
            Verdict::No | Verdict::Certain => None,
        };
        if verdict == Verdict::Certain { Exit::OutOfMemory } else { exit }
    }

    /// Tells of an end that was held back.
    pub(super) fn part(&mut self) {
        let Some((exit, _)) = self.parting.take() else { return };
        let exit = match self.status.main.filter(|_| !self.empty).map(left_by) {
            Some((away, _)) if away > 0 => Exit::Daemonised(away),
            // A shell's `&`: what a script leaves is no failure of it, and who looks for a server that is gone must be told.
            Some((_, here)) => {
                self.status.left = here;
                exit
            }
            None => exit,
        };
        self.status.exit = Some(exit.clone());
        self.live(Event::Ended(exit));
    }
}

/// What a main process left that ended by itself: in sessions of their own, for good, and in its own.
fn left_by(main: ProcessId) -> (u32, u32) {
    let left = process::descendants(std::process::id());
    let (away, here): (Vec<_>, Vec<_>) = left.into_iter().partition(|process| process.session != main.pid);
    let count = |left: Vec<_>| u32::try_from(left.len()).unwrap_or(u32::MAX);
    (count(away), count(here))
}
