//! One command in a container: run, waited for, and killed when it takes too long.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

use super::actions::Answer;
use super::extract::{Body, Segment};
use super::{ApiError, App};
use crate::api::types::{RunReply, RunRequest, Script};
use crate::bay::container::ContainerId;
use crate::engine::{Exec, ExecId, ExecIo, ExecSpec, ExecState, SharedEngine};

/// Where no time is said.
const USUAL: Duration = Duration::from_mins(1);
/// The longest.
const LONGEST: Duration = Duration::from_hours(1);
/// What is kept of each of its outputs.
const KEPT: usize = 1 << 20;
/// Until the engine knows its exit code, and what was killed has gone.
const LAST: Duration = Duration::from_secs(3);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a command and answers with all of it.
pub async fn run(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Body(request): Body<RunRequest>,
) -> Answer<RunReply> {
    let time = request.timeout.map_or(USUAL, Duration::from_millis);
    if time.is_zero() || time > LONGEST {
        let most = LONGEST.as_millis();
        return Err(ApiError::new("invalid", format!("a timeout is between 1 and {most} ms")).field("timeout"));
    }
    let command = argv(&request.command).map_err(|why| ApiError::new("invalid", why).field("command"))?;
    let (row, id, engine) = app.worked_in(&id).await?;
    let spec = ExecSpec { command, env: app.given_env(&row).await, ..ExecSpec::default() };
    let Exec { id: exec, io } = engine.exec(&id, &spec).await?;
    let mut output = Output::default();
    let deadline = Instant::now() + time;
    let whole = timeout_at(deadline, output.read(io)).await.is_ok();
    let code = if whole { exit_code(&engine, &exec, deadline).await } else { None };
    let timed_out = code.is_none() && Instant::now() >= deadline;
    if timed_out {
        kill(&engine, &id, output.pid).await;
    }
    Ok(Json(output.reply(code, timed_out)))
}

/// A line goes to the shell, which first tells its own pid: by it the whole of it is killed.
fn argv(script: &Script) -> Result<Vec<String>, String> {
    let line = match script {
        Script::Line(line) => line.clone(),
        Script::Argv(words) if words.first().is_none_or(String::is_empty) => String::new(),
        Script::Argv(words) => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    if line.trim().is_empty() {
        return Err("there is no command".to_owned());
    }
    if line.contains('\0') {
        return Err("a command has no NUL in it".to_owned());
    }
    Ok(vec!["sh".to_owned(), "-c".to_owned(), format!("echo $$; {line}")])
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What a command has printed.
#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The shell's own.
    pid: Option<u32>,
    /// The first line, which is not the command's, has come.
    begun: bool,
    truncated: bool,
}

impl Output {
    async fn read(&mut self, io: ExecIo) {
        let ExecIo::Pipes { mut output, mut input } = io else { return };
        // Whoever reads its stdin finds its end.
        drop(input.shutdown().await);
        while let Some(Ok(chunk)) = output.next().await {
            self.take(chunk.stderr, &chunk.bytes);
        }
    }

    fn take(&mut self, stderr: bool, bytes: &[u8]) {
        let kept = if stderr { &mut self.stderr } else { &mut self.stdout };
        let room = KEPT.saturating_sub(kept.len());
        self.truncated |= bytes.len() > room;
        kept.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        if !self.begun
            && let Some(end) = self.stdout.iter().position(|byte| *byte == b'\n')
        {
            let line: Vec<u8> = self.stdout.drain(..=end).collect();
            self.pid = std::str::from_utf8(&line).ok().and_then(|line| line.trim().parse().ok());
            self.begun = true;
        }
    }

    fn reply(self, exit_code: Option<i64>, timed_out: bool) -> RunReply {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        RunReply {
            exit_code,
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            timed_out,
            truncated: self.truncated,
        }
    }
}

/// The end of a stream says nothing; the engine knows. A command that has closed its outputs may go on.
async fn exit_code(engine: &SharedEngine, exec: &ExecId, deadline: Instant) -> Option<i64> {
    let deadline = deadline.max(Instant::now() + LAST);
    loop {
        match engine.exec_state(exec).await {
            Ok(ExecState::Exited { code }) => return Some(code),
            Ok(ExecState::Running { .. }) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            Ok(ExecState::Running { .. }) | Err(_) => return None,
        }
    }
}

/// The engine can't end an exec: another one inside the container does, the whole group and what is left of it.
async fn kill(engine: &SharedEngine, id: &ContainerId, pid: Option<u32>) {
    let Some(pid) = pid.filter(|pid| *pid > 1) else { return };
    let script = format!("kill -KILL -{pid} 2>/dev/null; kill -KILL {pid} 2>/dev/null");
    let spec = ExecSpec { command: vec!["sh".to_owned(), "-c".to_owned(), script], ..ExecSpec::default() };
    let killed = async {
        if let Ok(Exec { io, .. }) = engine.exec(id, &spec).await {
            Output::default().read(io).await;
        }
    };
    if tokio::time::timeout(LAST, killed).await.is_err() {
        tracing::warn!(%id, "a command that took too long could not be killed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_and_nothing_is_no_command() {
        let of = |script: Script| argv(&script).map(|mut argv| argv.pop().unwrap());
        assert_eq!(of(Script::Line("ls -la /app".to_owned())), Ok("echo $$; ls -la /app".to_owned()));
        let words = ["printf", "%s", "it's $HOME; x", ""].map(str::to_owned).to_vec();
        assert_eq!(of(Script::Argv(words)), Ok(r"echo $$; 'printf' '%s' 'it'\''s $HOME; x' ''".to_owned()));
        for nothing in [Script::Line(" \n".to_owned()), Script::Argv(vec![]), Script::Argv(vec![String::new()])] {
            assert!(of(nothing).is_err());
        }
        assert!(of(Script::Line("a\0b".to_owned())).is_err());
    }

    #[test]
    fn the_first_line_is_not_the_commands() {
        let mut output = Output::default();
        for (stderr, part) in [(false, "12"), (true, "oh\n"), (false, "34\na\nb"), (false, "\n")] {
            output.take(stderr, part.as_bytes());
        }
        assert_eq!(output.pid, Some(1234));
        let reply = output.reply(Some(0), false);
        assert_eq!((reply.stdout.as_str(), reply.stderr.as_str()), ("a\nb\n", "oh\n"));
    }

    #[test]
    fn what_is_too_much_is_cut_and_said() {
        let mut output = Output::default();
        output.take(false, b"7\n");
        for _ in 0..3 {
            output.take(false, &vec![b'x'; KEPT / 2 + 1]);
        }
        let reply = output.reply(None, true);
        assert!(reply.truncated && reply.timed_out && reply.stdout.len() <= KEPT);
    }
}
