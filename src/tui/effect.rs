//! What `update` wants done. Data: the executor does it, the answer comes back as a [`Msg`](super::msg::Msg).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::model::logs::store::Block;
use super::model::memory::Remembered;

use crate::api::types::{NetworkAnswer, SpawnRequest, Verb};
use crate::bay::isolation::Isolation;
use crate::bay::session::{SessionId, TermSize};

/// Tells one stream from the next, so that late answers of a closed one are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// Which terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The main tty of the container that is called so.
    Main(String),
    /// One more shell.
    Shell(SessionId),
}

/// Where a followed log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogsFrom {
    /// With its newest lines.
    Tail,
    /// With the lines of this time, in milliseconds since 1970.
    Since(i64),
    /// With what comes after the line of this id.
    After(String),
}

/// Lines for a file.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedLines {
    /// All that there are.
    pub blocks: Vec<Arc<Block>>,
    /// The numbers of those that are meant, in their order; `None`: all.
    pub only: Option<Vec<u64>>,
    /// The containers' names, where there are several.
    pub names: Vec<String>,
}

impl fmt::Debug for SavedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedLines").field("names", &self.names).finish_non_exhaustive()
    }
}

/// One thing to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the supervisor for its feed.
    Connect,
    /// A verb on a container.
    Act {
        /// Its name.
        name: String,
        /// The verb.
        verb: Verb,
    },
    /// The user's word for weaker walls; then the bay is brought up.
    Allow(Isolation),
    /// A new worker.
    Spawn(Box<SpawnRequest>),
    /// Answer what was asked for outside of the bay.
    AnswerName {
        /// Which.
        name: String,
        /// How.
        answer: NetworkAnswer,
    },
    /// Keep so many warm.
    ScalePool {
        /// Whose pool.
        template: String,
        /// So many.
        target: u32,
    },
    /// Why is it so?
    Why {
        /// Its name.
        name: String,
    },
    /// The engine's words.
    Inspect {
        /// Its name.
        name: String,
    },
    /// What the machine and these containers use.
    ReadFigures {
        /// Their names.
        names: Vec<String>,
    },
    /// What leads where.
    ReadPorts,
    /// Follow a container's logs.
    OpenLogs {
        /// The stream.
        key: StreamKey,
        /// The container's name.
        name: String,
        /// Where it begins.
        from: LogsFrom,
    },
    /// Read all that the engine has of a container's log.
    ReadLog {
        /// The stream.
        key: StreamKey,
        /// The container's name.
        name: String,
    },
    /// Write lines to a new file.
    SaveLog {
        /// Where; `~` is the user's home.
        path: PathBuf,
        /// What.
        lines: SavedLines,
    },
    /// No more of these.
    CloseLogs {
        /// The stream.
        key: StreamKey,
    },
    /// Look at a terminal.
    OpenTerminal {
        /// The stream.
        key: StreamKey,
        /// Which.
        target: Target,
        /// The pane's size.
        size: TermSize,
    },
    /// Bytes for the program.
    TypeInto {
        /// The stream.
        key: StreamKey,
        /// The bytes.
        bytes: Bytes,
    },
    /// The pane has another size.
    ResizeTerminal {
        /// The stream.
        key: StreamKey,
        /// The pane's size.
        size: TermSize,
    },
    /// Look no more.
    CloseTerminal {
        /// The stream.
        key: StreamKey,
    },
    /// One more shell.
    OpenSession {
        /// The container's name.
        name: String,
        /// The pane's size.
        size: TermSize,
    },
    /// End a shell.
    CloseSession {
        /// Its id.
        id: SessionId,
    },
    /// Into the clipboard of the user's terminal.
    Copy(String),
    /// The title of the user's window.
    Title(String),
    /// The cursor's shape, as DECSCUSR numbers it; 0: the terminal's own.
    CursorShape(u8),
    /// Calls the user.
    Notify(String),
    /// Remember this until the next time.
    Remember(Box<Remembered>),
    /// To the shell, until `fg`.
    Suspend,
    /// The end.
    Quit,
}
