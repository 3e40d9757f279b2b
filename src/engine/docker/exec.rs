//! Raw terminals and execs.

use std::time::Duration;

use bollard::models::ExecConfig;
use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::codec::Decoder;

use super::error::{self, within};
use super::frames::{FrameError, Frames};
use super::hijack::{Hijacked, hijack};
use super::{DockerEngine, hex_id};
use crate::bay::container::ContainerId;
use crate::bay::session::TermSize;
use crate::engine::{Chunk, EngineError, Exec, ExecId, ExecIo, ExecSpec, ExecState, RawTty};

/// The engine holds back a byte that may begin the detach keys, and there is no way to have none. `0xff` is in no
/// UTF-8 text and on no keyboard. (In a URL it can be written as such.)
const ATTACH_KEYS: &str = "%FF%2C%FE%2C%FF%2C%FE%2C%FF%2C%FE%2C%FF%2C%FE";

/// In JSON no single byte above 127 can be written, so one key that can be typed waits for the next one. Ctrl-\ costs
/// least: vim and emacs wait after it anyway, shells and agents bind nothing to it, and as SIGQUIT it is pressed twice
/// (the second lets go of both). Ctrl-@ completes in editors, Ctrl-^ is vim's other file, Ctrl-] its tags, Ctrl-_ undo.
/// A key that comes together with others in one read waits for nothing.
const EXEC_KEYS: &str = r"ctrl-\,ctrl-@,ctrl-\,ctrl-_,ctrl-\,ctrl-@,ctrl-\,ctrl-_";

/// How often a new exec is told its size, while it is not ready for that.
const RESIZES: u32 = 5;

/// The main process's tty.
pub async fn attach(engine: &DockerEngine, id: &ContainerId) -> Result<RawTty, EngineError> {
    let what = format!("attach to {}", id.short());
    let call = async {
        let session = engine.session().await?;
        let path = format!(
            "/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=0&detachKeys={ATTACH_KEYS}",
            hex_id(id.as_str())?
        );
        hijack(&engine.wire.endpoint, &what, &session.path(&path), b"").await
    };
    within(&what, engine.deadlines.head, call).await.map(raw)
}

/// One more process.
pub async fn exec(engine: &DockerEngine, id: &ContainerId, spec: &ExecSpec) -> Result<Exec, EngineError> {
    let what = format!("exec in {}", id.short());
    let call = async {
        let session = engine.session().await?;
        let config = config(spec, session.minor);
        let made = session.docker.create_exec(hex_id(id.as_str())?, config).await;
        let made = made.map_err(|error| engine.said(&what, &error))?;
        let exec = ExecId(made.id);
        let body = serde_json::json!({"Detach": false, "Tty": spec.tty.is_some()}).to_string();
        let path = session.path(&format!("/exec/{}/start", hex_id(&exec.0)?));
        let streams = hijack(&engine.wire.endpoint, &what, &path, body.as_bytes()).await?;
        Ok((exec, streams))
    };
    let (exec, streams) = within(&what, engine.deadlines.act, call).await?;
    let io = if let Some(size) = spec.tty {
        first_size(engine, &exec, size).await;
        ExecIo::Tty(raw(streams))
    } else {
        let endpoint = engine.wire.endpoint.clone();
        let output = demux(streams.output, move |error| match error {
            FrameError::Io(error) => error::broken(&endpoint, &what, &error),
            other => error::unreadable(&what, &other),
        });
        ExecIo::Pipes { output, input: Box::new(streams.input) }
    };
    Ok(Exec { id: exec, io })
}

fn config(spec: &ExecSpec, minor: u32) -> ExecConfig {
    let mut env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if spec.tty.is_some() && !spec.env.contains_key("TERM") {
        env.push("TERM=xterm-256color".to_owned());
    }
    ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        console_size: spec.tty.filter(|_| minor >= 42).map(|size| vec![size.rows.into(), size.cols.into()]),
        detach_keys: spec.tty.map(|_| EXEC_KEYS.to_owned()),
        tty: Some(spec.tty.is_some()),
        env: Some(env),
        cmd: Some(spec.command.clone()),
        user: spec.user.clone(),
        working_dir: spec.workdir.clone(),
        ..Default::default()
    }
}

/// Old engines can't be told the size before the start; right after it they may not be ready yet.
async fn first_size(engine: &DockerEngine, exec: &ExecId, size: TermSize) {
    for attempt in 1..=RESIZES {
        match resize(engine, exec, size).await {
            // A process that has ended already needs no size.
            Ok(()) | Err(EngineError::NotFound { .. }) => return,
            Err(error) if attempt == RESIZES => tracing::debug!(%error, "a new exec has no size"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The size of an exec's tty.
pub async fn resize(engine: &DockerEngine, exec: &ExecId, size: TermSize) -> Result<(), EngineError> {
    let what = "resize an exec".to_owned();
    let call = async {
        let session = engine.session().await?;
        let options = bollard::query_parameters::ResizeExecOptions { h: size.rows.into(), w: size.cols.into() };
        let done = session.docker.resize_exec(hex_id(&exec.0)?, options).await;
        done.map_err(|error| engine.said(&what, &error))
    };
    within(&what, engine.deadlines.read, call).await
}

/// How an exec stands.
pub async fn state(engine: &DockerEngine, exec: &ExecId) -> Result<ExecState, EngineError> {
    let what = "look at an exec".to_owned();
    let call = async {
        let session = engine.session().await?;
        let seen = session.docker.inspect_exec(hex_id(&exec.0)?).await;
        seen.map_err(|error| engine.said(&what, &error))
    };
    let seen = within(&what, engine.deadlines.read, call).await?;
    if seen.running == Some(true) {
        let pid = seen.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        return Ok(ExecState::Running { pid });
    }
    // Between its making and its start it has neither.
    Ok(seen.exit_code.map_or(ExecState::Running { pid: 0 }, |code| ExecState::Exited { code }))
}

fn raw(streams: Hijacked) -> RawTty {
    RawTty { output: Box::new(streams.output), input: Box::new(streams.input) }
}

/// Multiplexed output as chunks. Bounded: nothing is read before it is asked for.
fn demux(
    output: impl AsyncRead + Send + Unpin + 'static,
    failed: impl Fn(FrameError) -> EngineError + Send + 'static,
) -> BoxStream<'static, Result<Chunk, EngineError>> {
    struct State<R> {
        output: R,
        frames: Frames,
        buf: BytesMut,
        ended: bool,
    }
    async fn next<R: AsyncRead + Unpin>(state: &mut State<R>) -> Result<Option<Chunk>, FrameError> {
        loop {
            if let Some(part) = state.frames.decode(&mut state.buf)? {
                return Ok(Some(Chunk { stderr: part.stderr, bytes: part.bytes }));
            }
            state.buf.reserve(16 * 1024);
            if state.output.read_buf(&mut state.buf).await? == 0 {
                let rest = state.frames.decode_eof(&mut state.buf)?;
                return Ok(rest.map(|part| Chunk { stderr: part.stderr, bytes: part.bytes }));
            }
        }
    }
    let state = State { output, frames: Frames::default(), buf: BytesMut::new(), ended: false };
    let chunks = futures_util::stream::unfold((state, failed), |(mut state, failed)| async move {
        if state.ended {
            return None;
        }
        let item = next(&mut state).await.map_err(&failed).transpose()?;
        state.ended = item.is_err();
        Some((item, (state, failed)))
    });
    chunks.boxed()
}
