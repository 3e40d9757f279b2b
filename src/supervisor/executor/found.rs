//! Whether the program of what was just started is there at all.
//!
//! An engine refuses to start a program that does not exist, but not where an init stands in between: that one starts,
//! does not find the program, and ends a moment later, when everybody was told that it runs. So for a moment it is looked
//! at: nothing is waited for once the program is seen, and one that can't be seen counts as there.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bay::container::{ContainerId, Status};
use crate::bay::gate;
use crate::engine::SharedEngine;
use crate::supervisor::event::StepError;
use crate::supervisor::refusal;
use crate::supervisor::session::Sessions;
use crate::workspace::WorkspaceError;

/// A program is seen to run, or to be missing, within so long.
const MOMENT: Duration = Duration::from_millis(300);
/// An init that has ended is known to the engine within so long.
const TOLD: Duration = Duration::from_secs(3);
/// Where processes can't be seen, the engine is asked once more after so long.
const UNSEEN: Duration = Duration::from_millis(100);
/// Between two looks at a process, and at the engine.
const LOOK: Duration = Duration::from_millis(2);
const ASK: Duration = Duration::from_millis(10);
/// What engines put before a program to reap what it leaves behind, as the kernel names it.
const INITS: [&str; 4] = ["docker-init", "podman-init", "catatonit", "tini"];

/// What can be seen of a program from its container's first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It runs, or there is no init that could have missed it.
    Program,
    /// An init, alone so far.
    InitAlone,
    /// No such process any more.
    Nothing,
}

/// A container that was just started has its program; `local`: its processes are this machine's.
///
/// # Errors
/// Its init did not find it, and has ended.
pub(super) async fn program(
    engine: &SharedEngine,
    sessions: &Sessions,
    id: &ContainerId,
    local: bool,
) -> Result<(), StepError> {
    let began = Instant::now();
    let mut ended = false;
    loop {
        // What the engine does not tell here, the look after the step does.
        let Ok(container) = engine.inspect(id).await else { return Ok(()) };
        let patience = match container.status {
            Status::Exited { code: 126 | 127, .. } => return said_missing(sessions, id).await,
            Status::Running { pid, .. } if local && pid != 0 => match watched(pid, began).await {
                Seen::Program | Seen::InitAlone => return Ok(()),
                Seen::Nothing => {
                    ended = true;
                    ASK
                }
            },
            Status::Running { .. } => UNSEEN,
            _ => return Ok(()),
        };
        if began.elapsed() >= if ended { TOLD } else { UNSEEN } {
            return Ok(());
        }
        tokio::time::sleep(patience).await;
    }
}

/// Looks at a container's first process until its program is seen, or a moment is over.
async fn watched(pid: u32, began: Instant) -> Seen {
    loop {
        let seen = look(Path::new("/proc"), pid);
        if seen != Seen::InitAlone || began.elapsed() >= MOMENT {
            return seen;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Names and children of a process are for everybody to read.
fn look(proc: &Path, pid: u32) -> Seen {
    let name = |pid: u32| std::fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok();
    let Some(first) = name(pid) else { return Seen::Nothing };
    if !INITS.contains(&first.trim()) {
        return Seen::Program;
    }
    let children = proc.join(pid.to_string()).join("task").join(pid.to_string()).join("children");
    let children = match std::fs::read_to_string(children) {
        Ok(children) => children,
        Err(_) if name(pid).is_none() => return Seen::Nothing,
        // A kernel that does not tell.
        Err(_) => return Seen::Program,
    };
    // Before it becomes the program, a child is called like its parent.
    let another = |child: u32| name(child).is_some_and(|name| name != first);
    let runs = children.split_whitespace().filter_map(|child| child.parse().ok()).any(another);
    if runs { Seen::Program } else { Seen::InitAlone }
}

/// A program of its own may end with 127, too: only the init's own words say that there was none.
async fn said_missing(sessions: &Sessions, id: &ContainerId) -> Result<(), StepError> {
    let Some(peek) = sessions.peek(id).await else { return Ok(()) };
    let early = String::from_utf8_lossy(&peek.early).into_owned();
    missing(&early).map_or(Ok(()), |text| Err(StepError::Workspace(refused(text))))
}

/// What an init says of a program that it can't run: `[FATAL tini (7)] exec nosuch failed: No such file or directory`.
fn missing(early: &str) -> Option<String> {
    early.lines().find_map(|line| {
        let (said, why) = line.trim_end().rsplit_once(": ")?;
        if said.contains("catatonit") && said.ends_with("failed to exec pid1") {
            return Some(format!("its program can't be run: {why}"));
        }
        let (_, program) = said.split_once(" exec ").filter(|(who, _)| who.contains("tini") || who.contains("init"))?;
        Some(format!("its program {:?} can't be run: {why}", program.strip_suffix(" failed")?))
    })
}

/// A gate that was woken has found its command; waits until it says so, or a moment is over.
///
/// # Errors
/// It says that there is none.
pub(super) async fn command(sessions: &Sessions, id: &ContainerId) -> Result<(), StepError> {
    let began = Instant::now();
    loop {
        let last = began.elapsed() >= MOMENT;
        let Some(peek) = sessions.peek(id).await else { return Ok(()) };
        let early = String::from_utf8_lossy(&peek.early).into_owned();
        if early.contains(gate::OPENED) {
            return Ok(());
        }
        if let Some(program) = unfound(&early, last) {
            // Made anew it would not be there either.
            return Err(StepError::Fill(refused(format!("its program {program:?} can't be run: there is none"))));
        }
        if last {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The program that a gate did not find. What was read so far may end within its name: only a whole line is believed, or
/// what there is when nothing more is waited for.
fn unfound(early: &str, last: bool) -> Option<&str> {
    let (_, program) = early.split_once(gate::MISSING)?;
    match program.split_once('\n') {
        Some((program, _)) => Some(program.trim_end()),
        None => last.then(|| program.trim_end()),
    }
}

fn refused(text: String) -> WorkspaceError {
    WorkspaceError { text, hint: Some(refusal::PROGRAM.to_owned()), by_request: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_inits_own_words_say_that_a_program_is_missing() {
        for (early, said) in [
            (
                "[FATAL tini (8)] exec nosuch failed: No such file or directory\r\n",
                Some("its program \"nosuch\" can't be run: No such file or directory"),
            ),
            (
                "x\r\n[FATAL tini (8)] exec /workspace/a b failed: Permission denied\r\n",
                Some("its program \"/workspace/a b\" can't be run: Permission denied"),
            ),
            (
                "ERROR (catatonit:2): failed to exec pid1: No such file or directory\n",
                Some("its program can't be run: No such file or directory"),
            ),
            ("sh: 1: nosuch: not found\r\n", None),
            ("exec nosuch failed: No such file or directory", None),
            ("", None),
        ] {
            assert_eq!(missing(early).as_deref(), said, "{early:?}");
        }
    }

    #[test]
    fn a_program_that_a_gate_did_not_find_is_named_by_a_whole_line() {
        let said = format!("\r\n{}nosuch-agent\r\n", gate::MISSING);
        for end in 0..said.len() {
            assert_eq!(unfound(&said[..end], false), None, "{:?}", &said[..end]);
        }
        assert_eq!(unfound(&said, false), Some("nosuch-agent"));
        assert_eq!(unfound(&said[..said.len() - 8], true), Some("nosuch"), "nothing more is waited for");
        assert_eq!(unfound("\r\n", true), None);
    }

    #[test]
    fn a_program_is_seen_behind_its_init() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: u32, name: &str, children: Option<&str>| {
            let task = proc.path().join(format!("{pid}/task/{pid}"));
            std::fs::create_dir_all(&task).unwrap();
            std::fs::write(proc.path().join(format!("{pid}/comm")), format!("{name}\n")).unwrap();
            match children {
                Some(children) => std::fs::write(task.join("children"), children).unwrap(),
                None => drop(std::fs::remove_file(task.join("children"))),
            }
        };
        let seen = || look(proc.path(), 7);
        assert_eq!(seen(), Seen::Nothing);
        process(7, "docker-init", Some(""));
        assert_eq!(seen(), Seen::InitAlone, "it has not begun it yet, or has lost it");
        process(8, "docker-init", None);
        process(7, "docker-init", Some("8 "));
        assert_eq!(seen(), Seen::InitAlone, "its child is not the program yet");
        process(8, "agent", None);
        assert_eq!(seen(), Seen::Program);
        process(7, "docker-init", None);
        assert_eq!(seen(), Seen::Program, "a kernel that does not tell of children");
        process(7, "sh", Some(""));
        assert_eq!(seen(), Seen::Program, "without an init the engine itself looks");
    }
}
