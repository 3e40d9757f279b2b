//! The screens: one task a session, which owns the emulator and talks to its clients.
//!
//! Owns the open terminals of a bay: the main tty of a container, and shells beside it. Decides nothing about
//! containers: it is told when one is opened, started, ended or gone, and asks the engine only how a stream's end is to
//! be read. Called by the executor (open, started, ended, forget) and by the API's server (attach, send, close).
//!
//! All channels are bounded. When full: commands wait, a client's output is resynced by a [`Sent::Reset`], a client's
//! input waits, input that the program does not read is dropped beyond 1 MiB and said in the title, notice of changed
//! rows is dropped because one is pending already.

mod claim;
mod clients;
mod link;
mod pace;
pub mod ring;
mod shell;
mod sizing;
mod table;
mod task;
mod typing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::api::types::SessionRow;
use crate::bay::container::ContainerId;
use crate::bay::idle::Activity;
use crate::bay::name::Name;
use crate::bay::session::{SessionId, SessionKind, TermSize};
use crate::engine::{EngineError, SharedEngine};

pub use pace::{Flood, Pace, RESET_PACE};
pub use shell::{Marked, ShellSpec};

use link::{Link, Target};
use ring::Ring;
use table::{Command, Fate, Table};

/// All sessions of a bay. Cheap to clone; when the last one is dropped the tasks end, the programs do not.
#[derive(Clone)]
pub struct Sessions {
    table: Arc<Table>,
    adopting: Arc<Semaphore>,
}

/// So many running containers are adopted at once: each asks the engine for its log, and two hundred at a time would cost
/// both sides memory for good.
const ADOPTING: usize = 8;

/// A client's hold on a session. Dropping it detaches; nothing is typed.
pub struct Attachment {
    /// What the session sends to this client. The first is a [`Sent::Reset`].
    pub output: mpsc::Receiver<Sent>,
    /// What this client does.
    pub input: mpsc::Sender<Typed>,
}

/// How a gate is woken.
#[derive(Clone, Debug)]
pub struct Waking {
    /// The size that the terminal has from now on; `None`: the one that it has.
    pub size: Option<TermSize>,
    /// What it prints first is timed since then; `None`: nobody waits for that.
    pub began: Option<Instant>,
    /// What is typed, once.
    pub line: Vec<u8>,
}

/// From a session to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Redraw all: the screen has this size, and these bytes bring a fresh terminal to it.
    Reset(TermSize, Bytes),
    /// Live bytes, harmless.
    Live(Bytes),
    /// The terminal has another size now.
    Size(TermSize),
    /// It has ended; nothing follows.
    Ended {
        /// In words.
        reason: String,
        /// The exit code, when known.
        code: Option<i64>,
    },
}

/// From a client to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Bytes for the program.
    Bytes(Bytes),
    /// A paste, bracketed if the program asked for it.
    Paste(String),
    /// The client's terminal has this size. It becomes the session's when this client types, or is alone.
    Size(TermSize),
}

/// What a main tty has shown so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// The first bytes since its stream was opened; of one with a history, the last of that.
    pub early: Vec<u8>,
    /// How many bytes in all.
    pub output: u64,
}

impl Sessions {
    /// No sessions yet. `changed` is notified when a row changes.
    #[must_use]
    pub fn new(changed: mpsc::Sender<()>) -> Self {
        Self { table: Arc::new(Table::new(changed)), adopting: Arc::new(Semaphore::new(ADOPTING)) }
    }

    /// Opens the main tty of a container, created or running. Its history is fetched from the engine's log first when
    /// `adopted`. One session a container: a second call returns the first's id, under the new name, and attaches anew
    /// when its stream has ended (the container is started again, or the engine is back). `size` only counts for a new
    /// session.
    ///
    /// # Errors
    /// The engine's.
    pub async fn open_main(
        &self,
        engine: &SharedEngine,
        id: &ContainerId,
        name: &Name,
        size: TermSize,
        adopted: bool,
    ) -> Result<SessionId, EngineError> {
        let known = self.table.main_of_container(id);
        if let Some(session) = known {
            self.table.rename(id, name);
            if self.table.is_linked(session, engine) {
                return Ok(session);
            }
        }
        // Never closed. A container that is being made waits for nobody.
        let _turn = if adopted { self.adopting.acquire().await.ok() } else { None };
        let history = if adopted { link::history(engine, id).await } else { Vec::new() };
        let tty = engine.attach(id).await?;
        let link = Link { engine: Arc::clone(engine), tty, history: adopted.then_some(history) };
        // Another call may have been faster.
        if let Some(session) = known.or_else(|| self.table.main_of_container(id)) {
            self.relink(session, link).await;
            return Ok(session);
        }
        let target = Target::Main(id.clone());
        let row = self.table.row(name, SessionKind::Main, name.as_str(), size);
        Ok(task::start(&self.table, row, target, link))
    }

    async fn relink(&self, session: SessionId, link: Link) {
        self.table.order_one(session, |orders| orders.fate = Fate::Alive);
        let (done, linked) = oneshot::channel();
        if self.table.command(session, Command::Link(Box::new(link), done)).await {
            // An error means that the session was closed meanwhile: then there is nothing to wait for.
            let _ = linked.await;
        }
    }

    /// The container was never started: what its main tty shows from now on is all of its log.
    pub fn begins(&self, id: &ContainerId) {
        self.table.ring(id).inspect(|ring| ring.begins());
    }

    /// The newest lines of a container's main tty; `None`: it has no session.
    #[must_use]
    pub fn ring(&self, id: &ContainerId) -> Option<Arc<Ring>> {
        self.table.ring(id)
    }

    /// The container's main process has just been started: its tty gets the size that its session has, at once.
    pub fn started(&self, id: &ContainerId) {
        self.table.order(id, |orders| orders.starts += 1);
    }

    /// The container is called otherwise inside the bay now. `claimed`: it is a warm worker without a gate, and has its
    /// claimer's name so long after the claim: its program speaks already.
    pub fn renamed(&self, id: &ContainerId, name: &Name, claimed: Option<Duration>) {
        self.table.rename(id, name);
        if let Some(took) = claimed {
            self.table.first_output(id, took);
        }
    }

    /// Gives a warm worker's terminal its claimer's size, where it has not got it already.
    ///
    /// # Errors
    /// The engine's.
    pub async fn fit(&self, engine: &SharedEngine, id: &ContainerId, size: TermSize) -> Result<(), EngineError> {
        self.table.set_usual(size);
        let told = self.table.told(id);
        if !told.as_ref().is_some_and(|told| told.is(size)) {
            engine.resize(id, size).await?;
        }
        told.inspect(|told| told.note(size));
        Ok(())
    }

    /// The size that a warm worker's terminal is best made with: that of whoever claimed last.
    #[must_use]
    pub fn usual_size(&self) -> Option<TermSize> {
        self.table.usual()
    }

    /// A warm worker was claimed: it has this name now, its screen is blank, and its gate is woken. `false`: there is no
    /// open stream to wake it by.
    pub async fn claim(&self, id: &ContainerId, name: &Name, waking: Waking) -> bool {
        self.table.rename(id, name);
        let Some(session) = self.table.main_of_container(id) else { return false };
        let (reply, woken) = oneshot::channel();
        self.table.command(session, Command::Claim(waking, reply)).await && woken.await.unwrap_or(false)
    }

    /// What a container's main tty has shown so far; `None`: it has no session.
    pub async fn peek(&self, id: &ContainerId) -> Option<Peek> {
        let session = self.table.main_of_container(id)?;
        let (reply, peek) = oneshot::channel();
        self.table.command(session, Command::Peek(reply)).await.then_some(())?;
        peek.await.ok()
    }

    /// What a container's main tty shows now, also after its program's end; `None`: it has no session.
    pub async fn screen(&self, id: &ContainerId) -> Option<String> {
        let session = self.table.main_of_container(id)?;
        let (reply, screen) = oneshot::channel();
        self.table.command(session, Command::Screen(reply)).await.then_some(())?;
        screen.await.ok()
    }

    /// First outputs of claimed workers since this was last asked, each with its time since the claim.
    #[must_use]
    pub fn first_outputs(&self) -> Vec<(ContainerId, Duration)> {
        self.table.take_first_outputs()
    }

    /// One more process in a container, on a tty of its own.
    ///
    /// # Errors
    /// The engine's; an image without a shell is [`EngineError::Refused`].
    pub async fn open_shell(
        &self,
        engine: &SharedEngine,
        id: &ContainerId,
        name: &Name,
        shell: ShellSpec<'_>,
    ) -> Result<SessionRow, EngineError> {
        let (target, link, title) = shell::open(engine, id, name, &shell).await?;
        let row = self.table.row(name, SessionKind::Shell, &title, shell.size);
        task::start(&self.table, row.clone(), target, link);
        Ok(row)
    }

    /// The main session of the container that is called so.
    #[must_use]
    pub fn main_of(&self, name: &str) -> Option<SessionId> {
        self.table.main_of_name(name)
    }

    /// Looks at a session. `None`: there is none of this id.
    pub async fn attach(&self, id: SessionId, size: TermSize, pace: Pace) -> Option<Attachment> {
        let (reply, attachment) = oneshot::channel();
        self.table.command(id, Command::Attach(size, pace, reply)).await.then_some(())?;
        attachment.await.ok()
    }

    /// Types into a session without looking at it: its size stays. `false`: there is none of this id, it has ended, or
    /// its program does not read.
    pub async fn send(&self, id: SessionId, typed: Typed) -> bool {
        let (reply, taken) = oneshot::channel();
        self.table.command(id, Command::Type(typed, reply)).await && taken.await.unwrap_or(false)
    }

    /// Ends a shell's process and forgets the screen. `false`: there is none of this id. The main session of a
    /// container that runs is left as it is: its process is ended with the container.
    pub async fn close(&self, id: SessionId) -> bool {
        let (reply, closed) = oneshot::channel();
        self.table.command(id, Command::Close(reply)).await && closed.await.is_ok()
    }

    /// The container has ended or is gone: its sessions end with this reason; the last screen stays to be looked at.
    pub fn container_ended(&self, id: &ContainerId, reason: &str, code: Option<i64>) {
        self.table.order(id, |orders| orders.fate = Fate::Ended { reason: reason.to_owned(), code });
    }

    /// The container is gone for good: its sessions are forgotten.
    pub fn forget(&self, id: &ContainerId) {
        self.table.order(id, |orders| orders.fate = Fate::Forgotten);
        self.table.remove_container(id);
    }

    /// What goes on at a container's terminals; `None`: none of them is open, so nothing is known.
    #[must_use]
    pub fn activity(&self, id: &ContainerId) -> Option<Activity> {
        self.table.activity(id)
    }

    /// All sessions, by id.
    #[must_use]
    pub fn rows(&self) -> Vec<SessionRow> {
        self.table.rows()
    }
}
