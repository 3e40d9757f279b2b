//! The screens: one task a session, which owns the emulator and talks to its clients.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::api::types::SessionRow;
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::bay::session::{SessionId, TermSize};
use crate::engine::{EngineError, SharedEngine};

/// All sessions of a bay. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {}

/// A client's hold on a session. Dropping it detaches; nothing is typed.
pub struct Attachment {
    /// What the session sends to this client. The first is a [`Sent::Reset`].
    pub output: mpsc::Receiver<Sent>,
    /// What this client does.
    pub input: mpsc::Sender<Typed>,
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

impl Sessions {
    /// No sessions yet. `changed` is notified when a row changes.
    #[must_use]
    pub fn new(_changed: mpsc::Sender<()>) -> Self {
        todo!()
    }

    /// Opens the main tty of a container, created or running. Its history is fetched from the engine's log first when
    /// `adopted`. One session a container: a second call returns the first's id.
    ///
    /// # Errors
    /// The engine's.
    pub async fn open_main(
        &self,
        _engine: &SharedEngine,
        _id: &ContainerId,
        _name: &Name,
        _size: TermSize,
        _adopted: bool,
    ) -> Result<SessionId, EngineError> {
        todo!()
    }

    /// One more process in a container, on a tty of its own. Empty command: the best shell there is.
    ///
    /// # Errors
    /// The engine's.
    pub async fn open_shell(
        &self,
        _engine: &SharedEngine,
        _id: &ContainerId,
        _name: &Name,
        _command: &[String],
        _size: TermSize,
    ) -> Result<SessionRow, EngineError> {
        todo!()
    }

    /// The main session of the container that is called so.
    #[must_use]
    pub fn main_of(&self, _name: &str) -> Option<SessionId> {
        todo!()
    }

    /// Looks at a session. `None`: there is none of this id.
    pub async fn attach(&self, _id: SessionId, _size: TermSize) -> Option<Attachment> {
        todo!()
    }

    /// Ends a shell's process and forgets the screen. `false`: there is none of this id.
    pub async fn close(&self, _id: SessionId) -> bool {
        todo!()
    }

    /// The container has ended or is gone: its sessions end with this reason; the last screen stays to be looked at.
    pub fn container_ended(&self, _id: &ContainerId, _reason: &str, _code: Option<i64>) {
        todo!()
    }

    /// The container is gone for good: its sessions are forgotten.
    pub fn forget(&self, _id: &ContainerId) {
        todo!()
    }

    /// All sessions, by id.
    #[must_use]
    pub fn rows(&self) -> Vec<SessionRow> {
        todo!()
    }
}
