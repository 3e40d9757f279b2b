//! Terminals: sessions, what is typed, and the frames of their streams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bay::attention::Attention;
use crate::bay::session::{SessionId, SessionKind, TermSize};

/// One terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// The container's name inside the bay.
    pub name: String,
    /// Main tty or one more shell.
    pub kind: SessionKind,
    /// The program, as a title.
    pub title: String,
    /// Its present size.
    pub size: TermSize,
    /// Clients that look at it.
    pub clients: u32,
    /// Ended: the last screen is kept until the session is closed.
    pub ended: Option<String>,
    /// Whether its program waits for somebody; absent: it never gave a sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
}

/// `POST /api/containers/{id}/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionRequest {
    /// The program; empty: the best shell there is.
    pub command: Vec<String>,
    /// The size of the terminal that asks.
    pub size: TermSize,
}

/// A text that is typed may have so many bytes.
pub const SEND_MAX: usize = 256 << 10;

/// `POST /api/containers/{id}/send`: types a text into the main tty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SendRequest {
    /// The text; it goes in as a paste where the program asked for that.
    pub text: String,
    /// Press Enter after it.
    pub enter: bool,
}

/// First text frame of the `/api/containers/{id}/exec` WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExecRequest {
    /// Its argv.
    pub command: Vec<String>,
    /// With a tty of this size.
    pub tty: Option<TermSize>,
}

/// Text frames of the `terminal` and `exec` streams. Binary frames are the program's bytes, both ways (`exec` without a
/// tty: the first byte of a frame from the server is 1 for stdout, 2 for stderr).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Frame {
    /// Client: my terminal has this size.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Client: no more input (exec without a tty).
    Eof,
    /// Server: the next binary frame redraws the whole screen, at this size. Comes first, and whenever this client was
    /// too slow for the live bytes.
    Reset {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Server: the terminal now has this size (another client typed last).
    Size {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Server: the program has ended; nothing follows.
    Ended {
        /// In words: `exited with code 0`.
        reason: String,
        /// The exit code, when known.
        code: Option<i64>,
    },
}
