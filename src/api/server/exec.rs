//! One more process in a container, for the length of a WebSocket. Its first text frame is the [`ExecRequest`].

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{BoxStream, SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::extract::{Segment, Upgrade};
use super::terminal::{binary, text};
use super::{ApiError, App};
use crate::api::types::{ExecRequest, Frame};
use crate::bay::container::ContainerId;
use crate::bay::session::TermSize;
use crate::engine::{Chunk, EngineError, Exec, ExecId, ExecIo, ExecSpec, ExecState, SharedEngine};

/// The request must come within this time.
const REQUEST: Duration = Duration::from_secs(10);
/// Between two questions whether the process still runs.
const ASK: Duration = Duration::from_secs(1);
/// How long the output of a process that has ended must have been quiet, when the engine is on this machine.
const DRAIN: Duration = Duration::from_millis(400);
/// And when a network lies between.
const FAR_DRAIN: Duration = Duration::from_secs(3);
/// How long the engine may take to know the exit code after the streams have ended.
const EXIT: Duration = Duration::from_secs(2);

type ToClient = SplitSink<WebSocket, Message>;

pub async fn exec(
    State(app): State<App>,
    Segment(id): Segment<String>,
    Upgrade(upgrade): Upgrade,
) -> Result<Response, ApiError> {
    let (row, id, engine) = app.worked_in(&id).await?;
    let env = app.given_env(&row).await;
    let near = app.handle.view.borrow().status.engine.is_here();
    let drain = if near { DRAIN } else { FAR_DRAIN };
    let place = app.stream()?;
    Ok(upgrade.on_upgrade(async move |socket| {
        let _place = place;
        run(socket, (engine, id, env), drain).await;
    }))
}

/// Where it runs, and with what.
type Inside = (SharedEngine, ContainerId, BTreeMap<String, String>);

async fn run(socket: WebSocket, inside: Inside, drain: Duration) {
    let (mut to_client, mut from_client) = socket.split();
    let ended = match begin(&inside, &mut from_client).await {
        Ok(exec) => {
            let exec_id = exec.id.clone();
            let quiet = Quiet::new(drain);
            carry(exec, (&inside.0, &quiet), &mut to_client, from_client).await;
            exit_of(&inside.0, &exec_id).await
        }
        Err(reason) => Frame::Ended { reason, code: None },
    };
    // A client that is gone does not need to know.
    drop(to_client.send(text(&ended)).await);
    drop(to_client.close().await);
}

async fn begin((engine, id, env): &Inside, from_client: &mut SplitStream<WebSocket>) -> Result<Exec, String> {
    let first = tokio::time::timeout(REQUEST, from_client.next()).await;
    let Ok(Some(Ok(Message::Text(request)))) = first else { return Err("no request came".to_owned()) };
    let request: ExecRequest = serde_json::from_str(&request).map_err(|error| format!("not a request: {error}"))?;
    if request.command.is_empty() {
        return Err("no command was given".to_owned());
    }
    let tty = request.tty.map(|size| TermSize::new(size.rows, size.cols));
    let mut spec = ExecSpec { command: request.command, tty, env: env.clone(), ..ExecSpec::default() };
    if tty.is_some() {
        spec.env.insert("TERM".to_owned(), "xterm-256color".to_owned());
    }
    engine.exec(id, &spec).await.map_err(|error| error.to_string())
}

async fn carry(
    exec: Exec,
    (engine, quiet): (&SharedEngine, &Quiet),
    to_client: &mut ToClient,
    from_client: SplitStream<WebSocket>,
) {
    let gone = gone_quiet(engine, &exec.id, quiet);
    match exec.io {
        ExecIo::Tty(tty) => {
            let resize = Some((engine, &exec.id));
            tokio::select! {
                () = show_tty(tty.output, to_client, quiet) => {}
                () = feed(from_client, tty.input, resize) => {}
                () = gone => {}
            }
        }
        ExecIo::Pipes { output, input } => {
            tokio::select! {
                () = show_pipes(output, to_client, quiet) => {}
                () = feed(from_client, input, None) => {}
                () = gone => {}
            }
        }
    }
}

/// How long nothing has come, and whether something is on its way to the client.
struct Quiet {
    began: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
    sending: AtomicBool,
    /// How long is long enough.
    drain: Duration,
}

impl Quiet {
    fn new(drain: Duration) -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0), sending: AtomicBool::new(false), drain }
    }

    async fn send(&self, to_client: &mut ToClient, message: Message) -> bool {
        self.sending.store(true, Relaxed);
        let sent = to_client.send(message).await.is_ok();
        self.last.store(self.now(), Relaxed);
        self.sending.store(false, Relaxed);
        sent
    }

    fn is_over(&self) -> bool {
        let quiet = Duration::from_millis(self.now().saturating_sub(self.last.load(Relaxed)));
        !self.sending.load(Relaxed) && quiet >= self.drain
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Ends once the process has ended and its output is quiet: a child in the background may hold the streams open for as
/// long as it likes.
async fn gone_quiet(engine: &SharedEngine, id: &ExecId, quiet: &Quiet) {
    loop {
        tokio::time::sleep(ASK).await;
        if matches!(engine.exec_state(id).await, Ok(ExecState::Exited { .. })) {
            break;
        }
    }
    while !quiet.is_over() {
        tokio::time::sleep(quiet.drain / 4).await;
    }
}

async fn show_pipes(
    mut output: BoxStream<'static, Result<Chunk, EngineError>>,
    to_client: &mut ToClient,
    quiet: &Quiet,
) {
    while let Some(Ok(chunk)) = output.next().await {
        let mut tagged = BytesMut::with_capacity(chunk.bytes.len() + 1);
        tagged.put_u8(if chunk.stderr { 2 } else { 1 });
        tagged.put(chunk.bytes);
        if !quiet.send(to_client, binary(tagged.freeze())).await {
            break;
        }
    }
}

async fn show_tty(mut output: Box<dyn AsyncRead + Send + Unpin>, to_client: &mut ToClient, quiet: &Quiet) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    while let Ok(count) = output.read_buf(&mut buffer).await {
        if count == 0 || !quiet.send(to_client, binary(buffer.split().freeze())).await {
            break;
        }
        buffer.reserve(16 * 1024);
    }
}

/// Ends only when the client is gone: a closed stdin is no reason to stop reading the output.
async fn feed(
    mut from_client: SplitStream<WebSocket>,
    mut input: Box<dyn AsyncWrite + Send + Unpin>,
    resize: Option<(&SharedEngine, &ExecId)>,
) {
    while let Some(Ok(message)) = from_client.next().await {
        match message {
            Message::Binary(bytes) => write(&mut input, &bytes).await,
            Message::Text(frame) => match (serde_json::from_str(&frame), resize) {
                (Ok(Frame::Resize { rows, cols }), Some((engine, id))) => {
                    // The process may have just ended.
                    drop(engine.resize_exec(id, TermSize::new(rows, cols)).await);
                }
                (Ok(Frame::Eof), _) => drop(input.shutdown().await),
                _ => {}
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

async fn write(input: &mut Box<dyn AsyncWrite + Send + Unpin>, bytes: &Bytes) {
    // A process that has closed its stdin goes on writing.
    if input.write_all(bytes).await.is_ok() {
        drop(input.flush().await);
    }
}

/// The end of a stream says nothing; the engine knows.
async fn exit_of(engine: &SharedEngine, id: &ExecId) -> Frame {
    let deadline = tokio::time::Instant::now() + EXIT;
    loop {
        match engine.exec_state(id).await {
            Ok(ExecState::Exited { code }) => {
                return Frame::Ended { reason: format!("exited with code {code}"), code: Some(code) };
            }
            Ok(ExecState::Running { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(ExecState::Running { .. }) => {
                return Frame::Ended { reason: "its output ended, but it still runs".to_owned(), code: None };
            }
            Err(error) => return Frame::Ended { reason: error.to_string(), code: None },
        }
    }
}
