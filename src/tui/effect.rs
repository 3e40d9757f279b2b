//! What `update` wants done. Data: the executor does it, the answer comes back as a [`Msg`](super::msg::Msg).

use bytes::Bytes;

use crate::api::types::{SpawnRequest, Verb};
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
    /// A new worker.
    Spawn(Box<SpawnRequest>),
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
    /// Follow a container's logs.
    OpenLogs {
        /// The stream.
        key: StreamKey,
        /// The container's name.
        name: String,
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
    /// To the shell, until `fg`.
    Suspend,
    /// The end.
    Quit,
}
