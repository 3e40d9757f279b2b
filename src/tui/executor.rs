//! The effects, done with the API's client. What comes of them goes back as messages through one bounded channel.

mod logs;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::effect::{Effect, StreamKey, Target};
use super::looping::Execute;
use super::memory::MemoryFile;
use super::msg::{FeedMsg, LogsMsg, Msg, TerminalMsg};
use super::notify::Way;
use super::tty::Copier;
use crate::api::client::{Client, Terminal, TerminalMessage};
use crate::api::types::{BayEvent, Frame, NetworkRequest, PoolOrder, PoolRequest, SessionRequest};
use crate::bay::session::TermSize;
use crate::terminal::safe::Safe;
use logs::LogSender;

/// How long the program that calls the user may take.
const NOTIFYING: Duration = Duration::from_secs(10);
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
    notifier: Notifier,
    memory: Option<MemoryFile>,
}

/// How the user is called.
#[derive(Debug)]
pub struct Notifier {
    /// By the terminal.
    pub way: Way,
    /// By a program; the text is its last argument. Empty: by none.
    pub command: Vec<String>,
    /// How long that may take.
    pub patience: Duration,
}

impl Notifier {
    /// With the usual patience.
    #[must_use]
    pub const fn new(way: Way, command: Vec<String>) -> Self {
        Self { way, command, patience: NOTIFYING }
    }
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
            notifier: Notifier::new(Way::Silent, Vec::new()),
            memory: None,
        }
    }

    /// The same, with a way to call the user.
    #[must_use]
    pub fn calling(self, notifier: Notifier) -> Self {
        Self { notifier, ..self }
    }

    /// The same, with a file to remember in.
    #[must_use]
    pub fn remembering(self, memory: MemoryFile) -> Self {
        Self { memory: Some(memory), ..self }
    }

    fn notify(&mut self, text: &str) {
        self.copier.notify(self.notifier.way, text);
        let Some((program, args)) = self.notifier.command.split_first() else { return };
        let text = Safe::new(text).into_string();
        let mut command = tokio::process::Command::new(program);
        command.args(args).arg(text).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (program, patience) = (program.clone(), self.notifier.patience);
        self.tasks.spawn(async move {
            // One that hangs would be joined by the next one, and so on.
            let ended = tokio::time::timeout(patience, command.kill_on_drop(true).status()).await;
            if !matches!(&ended, Ok(Ok(status)) if status.success()) {
                tracing::warn!("notify_command {program:?}: {ended:?}");
            }
        });
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
                Target::Main(name) => client.main_screen(name, size).await,
                Target::Shell(id) => client.screen(*id, size).await,
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

    /// A task whose messages are those of a log; its answer is the last of them.
    fn log_task<F>(&mut self, key: StreamKey, run: impl FnOnce(Client, LogSender) -> F)
    where
        F: Future<Output = LogsMsg> + Send + 'static,
    {
        let to = LogSender { key, messages: self.messages.clone() };
        let last = to.clone();
        let future = run(self.client.clone(), to);
        let task = self.tasks.spawn(async move {
            let msg = future.await;
            last.send(msg).await;
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
            Effect::AnswerName { name, answer } => {
                let request = NetworkRequest { name: name.clone(), answer };
                self.request(
                    |client| async move { client.answer_network(&request).await },
                    move |result| Msg::NameAnswered { name, result },
                );
            }
            Effect::Allow(level) => self.request(
                move |client| async move {
                    let done = client.allow(level).await?;
                    // What is missing of the bay waits for the engine; where it fails, the feed says so.
                    drop(client.up_gently().await);
                    Ok(done)
                },
                move |result| Msg::Allowed { level, result },
            ),
            Effect::ScalePool { template, target } => {
                let of = template.clone();
                let request = PoolRequest { template: template.parse().ok(), order: PoolOrder::Scale { target } };
                self.request(
                    |client| async move { client.order_pool(&request).await },
                    move |result| Msg::PoolScaled { template: of, result },
                );
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
            Effect::ReadPorts => self.request(|client| async move { client.ports().await }, Msg::Ports),
            Effect::ReadFigures { names } => {
                self.request(|client| async move { client.figures(&names).await }, Msg::Figures);
            }
            other => self.stream(other),
        }
    }
}

impl Executor {
    /// The effects on streams and on the user's terminal.
    fn stream(&mut self, effect: Effect) {
        match effect {
            Effect::OpenLogs { key, name, from } => {
                self.log_task(key, |client, to| async move { logs::follow(&client, &name, from, &to).await });
            }
            Effect::ReadLog { key, name } => {
                self.log_task(key, |client, to| async move { logs::read(&client, &name, &to).await });
            }
            Effect::SaveLog { path, lines } => {
                let path = expanded(&path, &self.home);
                self.request(|_| async move { logs::save(path, lines).await }, Msg::Saved);
            }
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
            Effect::Title(text) => self.copier.title(&text),
            Effect::CursorShape(shape) => self.copier.cursor(shape),
            Effect::Notify(text) => self.notify(&text),
            Effect::Remember(remembered) => {
                if let Some(memory) = self.memory.as_mut() {
                    memory.write(&remembered);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls the user by a shell's script, whose `$0` is the file and `$1` the text, and waits until all is done.
    async fn called(script: &str, file: &Path, patience: Duration) {
        let (messages, _kept) = mpsc::channel(1);
        let client = Client::new("/nowhere");
        let command = ["sh", "-c", script, &file.display().to_string()].map(str::to_owned).to_vec();
        let notifier = Notifier { patience, ..Notifier::new(Way::Silent, command) };
        let mut executor = Executor::new(client, messages, Copier::default(), PathBuf::new()).calling(notifier);
        executor.execute(Effect::Notify("fox asks\u{1b}]0;x\u{7}".to_owned()));
        while executor.tasks.join_next().await.is_some() {}
    }

    #[tokio::test]
    async fn the_program_that_calls_is_given_the_text_and_one_that_hangs_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("said");
        called("printf %s \"$1\" >\"$0\"", &file, NOTIFYING).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "fox asks\\u{1b}]0;x\\u{7}");
        called("echo $$ >\"$0\"; exec sleep 1000", &file, Duration::from_secs(2)).await;
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        // It was killed; who takes leave of it comes a moment later.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat", pid = pid.as_raw_nonzero()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        while runs() {
            assert!(std::time::Instant::now() < deadline, "it runs on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
