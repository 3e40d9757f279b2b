//! The stream between a session and its program, and how its end is to be read.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, ReadBuf};

use crate::bay::container::{ContainerId, Status};
use crate::engine::{EngineError, ExecId, ExecState, LogQuery, RawTty, SharedEngine};

/// Lines of history that an adopted session begins with.
const HISTORY_LINES: u64 = 1000;
/// And how many bytes at most.
const HISTORY_BYTES: usize = 512 * 1024;
const HISTORY_TIME: Duration = Duration::from_secs(5);
/// Read at once.
const CHUNK: usize = 16 * 1024;
/// Read before anything else is done, of a program that floods.
const MANY: usize = 256 * 1024;
/// How often a shell is asked whether it still runs: a background process may hold its tty open.
const CHECK: Duration = Duration::from_secs(1);
/// So many times a shell is asked after its stream's end, before it is taken as lost.
const SHELL_TRIES: u32 = 5;

/// What a session shows.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Main(ContainerId),
    Shell(Shell),
}

/// One more process in a container.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    pub container: ContainerId,
    pub exec: ExecId,
    /// In the environment of all its processes.
    pub marker: String,
    /// podbay chose the command.
    pub best: bool,
}

/// An open stream.
pub(super) struct Link {
    pub engine: SharedEngine,
    pub tty: RawTty,
    /// What the screen was before; `None`: the screen goes on from what it is.
    pub history: Option<Vec<u8>>,
}

/// What the engine says about a stream that ended, or seems to have.
pub(super) enum Look {
    /// The program runs: here is another stream.
    Back(Box<Link>),
    /// It has ended.
    Ended { reason: String, code: Option<i64> },
    /// The engine does not answer.
    Away,
    /// Not to be told yet.
    Again,
}

impl Target {
    pub const fn container(&self) -> &ContainerId {
        match self {
            Self::Main(id) => id,
            Self::Shell(shell) => &shell.container,
        }
    }
}

/// The reading side.
#[derive(Default)]
pub(super) struct Line {
    output: Option<Box<dyn AsyncRead + Send + Unpin>>,
}

impl Line {
    pub fn open(&mut self, output: Box<dyn AsyncRead + Send + Unpin>) {
        self.output = Some(output);
    }

    pub fn close(&mut self) {
        *self = Self::default();
    }

    pub const fn is_open(&self) -> bool {
        self.output.is_some()
    }

    /// What came; empty at the end. Pending while there is no stream. May be dropped at any time.
    pub async fn read(&mut self) -> io::Result<Bytes> {
        let Some(output) = &mut self.output else {
            return std::future::pending().await;
        };
        // On the stack, and only while there is something to read: most terminals are silent.
        std::future::poll_fn(|cx| {
            let mut space = [MaybeUninit::uninit(); CHUNK];
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *output).poll_read(cx, &mut buffer))?;
            if buffer.remaining() > 0 {
                return Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())));
            }
            let mut bytes = BytesMut::with_capacity(4 * CHUNK);
            bytes.extend_from_slice(buffer.filled());
            while bytes.len() < MANY && buffer.remaining() == 0 {
                buffer.clear();
                // An end or an error is there for the next read, too.
                if !matches!(Pin::new(&mut *output).poll_read(cx, &mut buffer), Poll::Ready(Ok(()))) {
                    break;
                }
                bytes.extend_from_slice(buffer.filled());
            }
            Poll::Ready(Ok(bytes.freeze()))
        })
        .await
    }
}

/// The newest lines of the engine's log, as the tty had them. Empty when there is no log to be had: a screen without
/// history is better than none.
pub(super) async fn history(engine: &SharedEngine, id: &ContainerId) -> Vec<u8> {
    let mut lines: VecDeque<Bytes> = VecDeque::new();
    let mut size = 0;
    let collect = async {
        let query = LogQuery { follow: false, tail: Some(HISTORY_LINES), since: None };
        let mut stream = engine.logs(id, &query).await?;
        while let Some(line) = stream.next().await {
            let line = line?.bytes;
            size += line.len() + 2;
            lines.push_back(line);
            while size > HISTORY_BYTES
                && let Some(oldest) = lines.pop_front()
            {
                size -= oldest.len() + 2;
            }
        }
        Ok::<(), EngineError>(())
    };
    match tokio::time::timeout(HISTORY_TIME, collect).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, %id, "the history is not whole"),
        Err(_) => tracing::debug!(%id, "the history is not whole: no end in time"),
    }
    let texts: Vec<&[u8]> = lines.iter().map(|line| whole_characters(line)).collect();
    let mut text = texts.join(&b"\r\n"[..]);
    // The return of a whole line is in the log, its end is not: what the program writes next stands below it, not over it.
    if text.ends_with(b"\r") {
        text.push(b'\n');
    }
    text
}

/// A line that was cut inside a character begins with the rest of it, which reads as 8-bit controls.
fn whole_characters(line: &[u8]) -> &[u8] {
    let rest = line.iter().take(3).take_while(|b| (0x80..0xc0).contains(*b)).count();
    line.get(rest..).unwrap_or_default()
}

/// Asks the engine, after `wait`, what the end of a stream means.
pub(super) async fn look(engine: SharedEngine, target: Target, wait: Duration, tries: u32) -> Look {
    tokio::time::sleep(wait).await;
    let result = match &target {
        Target::Main(id) => look_at_main(&engine, id).await,
        Target::Shell(shell) => look_at_shell(&engine, shell, tries).await,
    };
    result.unwrap_or_else(|error| match error {
        EngineError::NotFound { .. } => Look::Ended { reason: "the container is gone".to_owned(), code: None },
        error if error.is_away() => Look::Away,
        error => {
            tracing::debug!(%error, "a stream's end can't be read");
            Look::Again
        }
    })
}

async fn look_at_main(engine: &SharedEngine, id: &ContainerId) -> Result<Look, EngineError> {
    let seen = engine.inspect(id).await?;
    let history = match seen.status {
        Status::Exited { code, oom, .. } => {
            let reason = if oom { "killed: out of memory".to_owned() } else { format!("exited with code {code}") };
            return Ok(Look::Ended { reason, code: Some(code) });
        }
        Status::Unclear { error } => {
            return Err(EngineError::Failed { what: "looking at it".to_owned(), message: error });
        }
        Status::Removing => return Ok(Look::Ended { reason: "the container is being removed".to_owned(), code: None }),
        Status::Running { .. } => Some(history(engine, id).await),
        Status::Created { .. } => None,
    };
    let tty = engine.attach(id).await?;
    Ok(Look::Back(Box::new(Link { engine: SharedEngine::clone(engine), tty, history })))
}

async fn look_at_shell(engine: &SharedEngine, shell: &Shell, tries: u32) -> Result<Look, EngineError> {
    Ok(match engine.exec_state(&shell.exec).await? {
        ExecState::Exited { code } => shell.ended(code),
        ExecState::Running { .. } if tries < SHELL_TRIES => Look::Again,
        // An exec's stream can't be opened again. Its work is not thrown away for that: closing the session ends it.
        ExecState::Running { .. } => {
            Look::Ended { reason: "the engine closed its stream; the program runs on, unseen".to_owned(), code: None }
        }
    })
}

/// Ends when the shell's process has, even where its stream does not.
pub(super) async fn watch_shell(engine: SharedEngine, shell: Shell) -> Look {
    loop {
        tokio::time::sleep(CHECK).await;
        match tokio::time::timeout(CHECK, engine.exec_state(&shell.exec)).await {
            Ok(Ok(ExecState::Exited { code })) => return shell.ended(code),
            Ok(Err(EngineError::NotFound { .. })) => {
                return Look::Ended { reason: "the container is gone".to_owned(), code: None };
            }
            // It runs, or this can't be told now.
            _ => {}
        }
    }
}

impl Shell {
    fn ended(&self, code: i64) -> Look {
        // What runc and the shell itself say of a program that is not there.
        let reason = if self.best && (code == 126 || code == 127) {
            super::shell::NO_SHELL.to_owned()
        } else {
            format!("exited with code {code}")
        };
        Look::Ended { reason, code: Some(code) }
    }
}
