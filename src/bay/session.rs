//! Sessions: what a terminal shows, and how large it is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows and columns of a terminal. Never zero: a terminal that reports 0x0 is taken as 24x80.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TermSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// Larger terminals than this are clipped, so that a hostile resize can't take the memory.
const MAX_SIDE: u16 = 1000;

impl TermSize {
    /// A size that every part of podbay can draw.
    #[must_use]
    pub fn new(rows: u16, cols: u16) -> Self {
        if rows == 0 || cols == 0 {
            return Self::default();
        }
        Self { rows: rows.min(MAX_SIDE), cols: cols.clamp(2, MAX_SIDE) }
    }
}

impl Default for TermSize {
    fn default() -> Self {
        Self { rows: 24, cols: 80 }
    }
}

/// Identifies a session within its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a session is of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionKind {
    /// The main process's own tty.
    Main,
    /// One more process with a tty of its own.
    Shell,
}
