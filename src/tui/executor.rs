//! The effects, done with the API's client. What comes of them goes back as messages through one bounded channel.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::effect::{Effect, StreamKey, Target};
use super::looping::Execute;
use super::msg::{FeedMsg, LogsMsg, Msg, TerminalMsg};
use super::tty::Copier;
use crate::api::client::{Client, LogsRequest, Terminal, TerminalMessage};
use crate::api::types::{BayEvent, Frame, SessionRequest};
use crate::bay::session::TermSize;

/// Lines of history that a log begins with.
const TAIL: u64 = 2000;
/// Lines that are given on in one message.
const LINES: usize = 512;
/// Pieces of input that wait for a program to read.
const TYPED: usize = 256;

/// Does the effects. Everything it started ends with it.
pub struct Executor {
    client: Client,
    messages: mpsc::Sender<Msg>,
    copier: Copier,
    home: PathBuf,
    tasks: JoinSet<()>,
    feed: Option<AbortHandle>,
    logs: HashMap<StreamKey, AbortHandle>,
    terminals: HashMap<StreamKey, TerminalHandle>,
}

/// One attached terminal.
struct TerminalHandle {
    typed: mpsc::Sender<Bytes>,
    /// Only the latest size counts.
    size: watch::Sender<TermSize>,
    task: AbortHandle,
}

impl Executor {
    /// With nothing started.
    #[must_use]
    pub fn new(client: Client, messages: mpsc::Sender<Msg>, copier: Copier, home: PathBuf) -> Self {
        Self {
            client,
            messages,
            copier,
            home,
            tasks: JoinSet::new(),
            feed: None,
            logs: HashMap::new(),
            terminals: HashMap::new(),
        }
    }

    /// One request whose answer is one message.
    fn request<F, T>(&mut self, asked: impl FnOnce(Client) -> F, answered: impl FnOnce(T) -> Msg + Send + 'static)
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let future = asked(self.client.clone());
        let messages = self.messages.clone();
        self.tasks.spawn(async move {
            let answer = future.await;
            // The loop has ended: nobody waits for the answer.
            let _ = messages.send(answered(answer)).await;
        });
    }

    /// An answer that is there at once. The loop is the one that calls, so it must not wait for itself.
    fn answer(&mut self, msg: Msg) {
        let messages = self.messages.clone();
        self.tasks.spawn(async move {
            let _ = messages.send(msg).await;
        });
    }

    fn open_terminal(&mut self, key: StreamKey, target: Target, size: TermSize) {
        let (typed, input) = mpsc::channel(TYPED);
        let (sizes, changed) = watch::channel(size);
        let (client, messages) = (self.client.clone(), self.messages.clone());
        let task = self.tasks.spawn(async move {
            let opened = match &target {
                // With the size from the first: without, the program would be given another one for a moment.
                Target::Main(name) => client.main_terminal_at(name, Some(size)).await,
                Target::Shell(id) => client.terminal_at(*id, Some(size)).await,
            };
            let why = match opened {
                Ok(terminal) => talk(key, terminal, input, changed, &messages).await,
                Err(error) => error.to_string(),
            };
            let _ = messages.send(Msg::Terminal { key, msg: TerminalMsg::Lost(why) }).await;
        });
        self.terminals.insert(key, TerminalHandle { typed, size: sizes, task });
    }

    fn type_into(&mut self, key: StreamKey, bytes: Bytes) {
        let Some(terminal) = self.terminals.get(&key) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = terminal.typed.try_send(bytes) {
            self.answer(Msg::Terminal { key, msg: TerminalMsg::Full });
        }
    }

    fn open_logs(&mut self, key: StreamKey, name: String) {
        let (client, messages) = (self.client.clone(), self.messages.clone());
        let task = self.tasks.spawn(async move {
            let msg = follow(key, &client, &name, &messages).await;
            let _ = messages.send(Msg::Logs { key, msg }).await;
        });
        self.logs.insert(key, task);
    }

    fn connect(&mut self) {
        let (client, messages) = (self.client.clone(), self.messages.clone());
        if let Some(old) = self.feed.take() {
            old.abort();
        }
        self.feed = Some(self.tasks.spawn(async move {
            // A feed that failed in our own code is a lost one: it is tried again, too.
            let heard = AssertUnwindSafe(listen(&client, &messages)).catch_unwind().await;
            let why =
                heard.unwrap_or_else(|_| "the dashboard could not read the feed; podbay's log has more".to_owned());
            let _ = messages.send(Msg::Feed(FeedMsg::Lost(why))).await;
        }));
    }
}

impl Execute for Executor {
    fn execute(&mut self, effect: Effect) {
        // Ended tasks are let go, so that a long day does not collect them.
        while self.tasks.try_join_next().is_some() {}
        match effect {
            Effect::Connect => self.connect(),
            Effect::Act { name, verb } => {
                let of = name.clone();
                self.request(
                    |client| async move { client.act(&name, verb).await },
                    move |result| Msg::Acted { name: of, verb, result },
                );
            }
            Effect::Spawn(mut request) => {
                let project = request.overrides.project.take();
                request.overrides.project = project.map(|path| expanded(&path, &self.home));
                self.request(|client| async move { client.spawn(&request).await }, Msg::Spawned);
            }
            Effect::Why { name } => {
                let of = name.clone();
                self.request(
                    |client| async move { client.why(&name).await },
                    move |result| Msg::Why { name: of, result },
                );
            }
            Effect::Inspect { name } => {
                let of = name.clone();
                self.request(
                    |client| async move { client.container(&name).await.map(Box::new) },
                    move |result| Msg::Inspected { name: of, result },
                );
            }
            other => self.stream(other),
        }
    }
}

impl Executor {
    /// The effects on streams and on the user's terminal.
    fn stream(&mut self, effect: Effect) {
        match effect {
            Effect::OpenLogs { key, name } => self.open_logs(key, name),
            Effect::CloseLogs { key } => {
                if let Some(task) = self.logs.remove(&key) {
                    task.abort();
                }
            }
            Effect::OpenTerminal { key, target, size } => self.open_terminal(key, target, size),
            Effect::TypeInto { key, bytes } => self.type_into(key, bytes),
            Effect::ResizeTerminal { key, size } => {
                if let Some(terminal) = self.terminals.get(&key) {
                    terminal.size.send_replace(size);
                }
            }
            Effect::CloseTerminal { key } => {
                if let Some(terminal) = self.terminals.remove(&key) {
                    terminal.task.abort();
                }
            }
            Effect::OpenSession { name, size } => {
                let of = name.clone();
                let request = SessionRequest { command: Vec::new(), size };
                self.request(
                    |client| async move { client.open_session(&name, &request).await },
                    move |result| Msg::SessionOpened { name: of, result },
                );
            }
            Effect::CloseSession { id } => {
                self.request(|client| async move { client.close_session(id).await }, Msg::SessionClosed);
            }
            Effect::Copy(text) => {
                let result = self.copier.copy(&text);
                self.answer(Msg::Copied(result));
            }
            Effect::Suspend => {
                if let Err(error) = self.copier.suspend() {
                    tracing::warn!("the dashboard could not be suspended: {error}");
                }
            }
            _ => {}
        }
    }
}

/// A leading `~` as the user means it.
fn expanded(path: &Path, home: &Path) -> PathBuf {
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| home.join(rest))
}

/// Gives the supervisor's feed on; returns why it ended.
async fn listen(client: &Client, messages: &mpsc::Sender<Msg>) -> String {
    let mut events = match client.events().await {
        Ok(events) => events,
        Err(error) => return error.to_string(),
    };
    while let Some(event) = events.next().await {
        let msg = match event {
            Ok(BayEvent::Snapshot(snapshot)) => FeedMsg::Snapshot(snapshot),
            Ok(BayEvent::Change(change)) => FeedMsg::Change(change),
            Err(error) => return error.to_string(),
        };
        if messages.send(Msg::Feed(msg)).await.is_err() {
            break;
        }
    }
    "the supervisor closed the connection".to_owned()
}

/// Gives a log on, many lines at a time; returns how it ended.
async fn follow(key: StreamKey, client: &Client, name: &str, messages: &mpsc::Sender<Msg>) -> LogsMsg {
    let request = LogsRequest { follow: true, tail: Some(TAIL), since: None };
    let lines = match client.logs(name, &request).await {
        Ok(lines) => lines,
        Err(error) => return LogsMsg::Lost(error.to_string()),
    };
    // The stream is open, so that an empty log is known to be empty.
    let _ = messages.send(Msg::Logs { key, msg: LogsMsg::Lines(Vec::new()) }).await;
    let mut lines = lines.ready_chunks(LINES);
    while let Some(chunk) = lines.next().await {
        let mut good = Vec::with_capacity(chunk.len());
        let mut lost = None;
        for line in chunk {
            match line {
                Ok(line) => good.push(line),
                Err(error) => lost = Some(error.to_string()),
            }
        }
        if messages.send(Msg::Logs { key, msg: LogsMsg::Lines(good) }).await.is_err() {
            return LogsMsg::Ended;
        }
        if let Some(reason) = lost {
            return LogsMsg::Lost(reason);
        }
    }
    LogsMsg::Ended
}

/// Both directions of a terminal; returns why it ended.
async fn talk(
    key: StreamKey,
    mut terminal: Terminal,
    mut typed: mpsc::Receiver<Bytes>,
    mut size: watch::Receiver<TermSize>,
    messages: &mpsc::Sender<Msg>,
) -> String {
    // The size goes first, so that the program's first prompt has it.
    size.mark_changed();
    loop {
        tokio::select! {
            changed = size.changed() => {
                if changed.is_err() {
                    return "closed".to_owned();
                }
                let TermSize { rows, cols } = *size.borrow_and_update();
                let frame = TerminalMessage::Frame(Frame::Resize { rows, cols });
                if terminal.outgoing.send(frame).await.is_err() {
                    return "the connection was cut".to_owned();
                }
            }
            bytes = typed.recv() => {
                let Some(bytes) = bytes else { return "closed".to_owned() };
                if terminal.outgoing.send(TerminalMessage::Bytes(bytes)).await.is_err() {
                    return "the connection was cut".to_owned();
                }
            }
            message = terminal.incoming.recv() => {
                let msg = match message {
                    None => return "the connection was cut".to_owned(),
                    Some(TerminalMessage::Bytes(bytes)) => TerminalMsg::Bytes(bytes),
                    Some(TerminalMessage::Frame(frame)) => TerminalMsg::Frame(frame),
                };
                if messages.send(Msg::Terminal { key, msg }).await.is_err() {
                    return "closed".to_owned();
                }
            }
        }
    }
}
