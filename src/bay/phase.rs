//! How far a worker is on its way: said in the history, on the screen and to whoever called.

use std::fmt;

/// What is being done for a worker that is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its repository is fetched and cloned.
    Cloning,
    /// Its repository's setup command runs.
    Installing,
    /// Its container is made and started.
    Starting,
    /// Its main process is there.
    Ready,
}

impl Phase {
    /// The word for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloning => "cloning",
            Self::Installing => "installing",
            Self::Starting => "starting",
            Self::Ready => "ready",
        }
    }
}

/// A phase, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// In words, from podbay itself; empty: only the phase.
    pub detail: String,
}

impl Progress {
    /// A phase with its words.
    #[must_use]
    pub fn new(phase: Phase, detail: impl Into<String>) -> Self {
        Self { phase, detail: detail.into() }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phase.as_str())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}
