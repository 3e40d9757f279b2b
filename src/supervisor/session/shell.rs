//! Shells: one more process in a container.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::link::{Link, Shell, Target};
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::bay::session::TermSize;
use crate::engine::{EngineError, ExecIo, ExecSpec, ExecState, SharedEngine};

pub(super) const NO_SHELL: &str = "the image has no shell (neither bash nor sh)";

/// Where a shell's processes carry their mark.
const MARKER: &str = "PODBAY_SESSION";
/// `bash` where there is one. `$0` is set so that prompts and titles say what runs.
const BEST: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";
/// Signals all processes that carry a mark, by their environment: the engine's pid is of another namespace, and the
/// processes that a shell left in the background are its own too.
const SIGNAL: &str = r#"for p in /proc/[0-9]*; do
  case "$(tr '\0' '\n' 2>/dev/null <"$p/environ")" in *"$2"*) kill -"$1" "${p##*/}" 2>/dev/null;; esac
done"#;
/// How long a process may take to end itself after SIGHUP.
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

/// One more process in a container, on a tty of its own.
#[derive(Clone, Debug)]
pub struct ShellSpec<'a> {
    /// Its argv; empty: the best shell there is, `bash` before `sh`.
    pub command: &'a [String],
    /// Environment beside the container's.
    pub env: BTreeMap<String, String>,
    /// The size of its terminal.
    pub size: TermSize,
}

/// Starts the process. The title is the program's name.
pub(super) async fn open(
    engine: &SharedEngine,
    id: &ContainerId,
    name: &Name,
    shell: &ShellSpec<'_>,
) -> Result<(Target, Link, String), EngineError> {
    let ShellSpec { command, env: given, size } = shell;
    let best = command.is_empty();
    let marker = format!("{:016x}", std::hash::RandomState::new().build_hasher().finish());
    let command = if best { ["sh", "-c", BEST].map(str::to_owned).to_vec() } else { command.to_vec() };
    let title = if best { "shell" } else { command.first().map_or("", String::as_str) };
    let title = crate::terminal::safe::Safe::new(title.rsplit('/').next().unwrap_or(title)).cut(256).into_string();
    let env = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), (MARKER, &marker)];
    let own = env.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let env: BTreeMap<String, String> = given.clone().into_iter().chain(own).collect();
    let spec = ExecSpec { command, tty: Some(*size), env, user: None, workdir: None };
    let what = || format!("open a shell in {name}");
    let started = engine.exec(id, &spec).await.map_err(|error| if best { no_shell(error, what()) } else { error })?;
    let ExecIo::Tty(tty) = started.io else {
        return Err(EngineError::Failed { what: what(), message: "the engine gave it no tty".to_owned() });
    };
    let shell = Shell { container: id.clone(), exec: started.id, marker, best };
    Ok((Target::Shell(shell), Link { engine: Arc::clone(engine), tty, history: None }, title))
}

/// The engine says at length that `sh` is not there.
fn no_shell(error: EngineError, what: String) -> EngineError {
    match error {
        EngineError::Refused { message, .. }
        | EngineError::Failed { message, .. }
        | EngineError::NotFound { message, .. }
            if message.contains("executable file not found") || message.contains("no such file") =>
        {
            EngineError::Refused { what, message: NO_SHELL.to_owned() }
        }
        error => error,
    }
}

/// A process that can be ended with all that it starts, wherever that goes inside the container.
pub struct Marked {
    container: ContainerId,
    marker: String,
}

impl Marked {
    /// A new one, in this container.
    #[must_use]
    pub fn new(container: ContainerId) -> Self {
        Self { container, marker: format!("{:016x}", std::hash::RandomState::new().build_hasher().finish()) }
    }

    /// One that another supervisor began.
    #[must_use]
    pub const fn again(container: ContainerId, marker: String) -> Self {
        Self { container, marker }
    }

    /// What tells its processes from others.
    #[must_use]
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// What it must have in its environment.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(MARKER.to_owned(), self.marker.clone())])
    }

    /// Ends it.
    pub async fn end(self, engine: &SharedEngine, exec: &crate::engine::ExecId) {
        end(engine, &Shell { container: self.container, exec: exec.clone(), marker: self.marker, best: false }).await;
    }
}

/// Ends a shell with all that it started: SIGHUP as a terminal that is closed sends it, SIGKILL after two seconds.
/// Closing the stream would end nothing, and the engine has no call for it; so the signals are sent from inside the
/// container, which needs a `sh`, `tr` and `kill` there. Without them the process lives on, and that is logged.
pub(super) async fn end(engine: &SharedEngine, shell: &Shell) {
    for signal in ["HUP", "KILL"] {
        signal_all(engine, shell, signal).await;
        let ended = tokio::time::timeout(GRACE, async {
            while let Ok(ExecState::Running { .. }) = engine.exec_state(&shell.exec).await {
                tokio::time::sleep(POLL).await;
            }
        });
        if ended.await.is_ok() {
            // What stays behind of a shell that is gone ignores SIGHUP, or does not hear it.
            if signal == "HUP" {
                signal_all(engine, shell, "KILL").await;
            }
            return;
        }
    }
    tracing::warn!(container = %shell.container, "a closed shell's process can't be ended and runs on");
}

async fn signal_all(engine: &SharedEngine, shell: &Shell, signal: &str) {
    let mark = format!("{MARKER}={}", shell.marker);
    let command = ["sh", "-c", SIGNAL, "sh", signal, mark.as_str()].map(str::to_owned).to_vec();
    let spec = ExecSpec { command, ..ExecSpec::default() };
    let run = async {
        match engine.exec(&shell.container, &spec).await {
            // Its end is the end of its output.
            Ok(started) => {
                if let ExecIo::Pipes { mut output, .. } = started.io {
                    while output.next().await.is_some() {}
                }
            }
            Err(error) => tracing::debug!(%error, "a shell can't be signalled"),
        }
    };
    if tokio::time::timeout(GRACE, run).await.is_err() {
        tracing::debug!(container = %shell.container, "signalling a shell takes too long");
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    /// The script by itself, on this machine: it ends all that carry the mark and nobody else.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_signal_reaches_what_was_left_in_the_background_and_nobody_else() {
        let mark = |text: &str| format!("{text}{:x}", std::process::id());
        let spawn = |marker: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", "sleep 100 & exec sleep 100"]).env(MARKER, marker).stdout(Stdio::null());
            command.spawn().unwrap()
        };
        let (mut ours, mut other) = (spawn(&mark("ours")), spawn(&mark("other")));
        let signal = |which: &str, marker: &str| {
            Command::new("sh").args(["-c", SIGNAL, "sh", which, &format!("{MARKER}={marker}")]).status().unwrap();
        };
        until("both have begun", || marked(&mark("ours")) == 2 && marked(&mark("other")) == 2);
        signal("HUP", &mark("ours"));
        until("ours is gone", || ours.try_wait().unwrap().is_some() && marked(&mark("ours")) == 0);
        let spared = marked(&mark("other"));
        signal("KILL", &mark("other"));
        let _ = other.wait();
        until("the other one is gone", || marked(&mark("other")) == 0);
        assert_eq!(spared, 2, "a foreign process was signalled");
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Living processes of this machine that carry a mark.
    #[cfg(target_os = "linux")]
    fn marked(marker: &str) -> usize {
        let wanted = format!("{MARKER}={marker}");
        let environ = |entry: &std::fs::DirEntry| std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let carries = |bytes: &[u8]| bytes.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes());
        std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| carries(&environ(entry))).count()
    }
}
