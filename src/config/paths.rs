//! Where a bay's files lie.

use std::path::{Path, PathBuf};

use crate::bay::name::Name;

use super::env::Env;

/// The directories and files of one bay. Nothing is made until [`Paths::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `$XDG_STATE_HOME/podbay/<bay>`.
    pub state: PathBuf,
    /// The supervisor's socket; short enough for every system.
    pub socket: PathBuf,
    /// `$XDG_CONFIG_HOME/podbay`.
    pub config: PathBuf,
}

impl Paths {
    /// Where this bay's files lie.
    #[must_use]
    pub fn of(_bay: &Name, _env: &Env) -> Self {
        todo!()
    }

    /// Makes the directories, 0700, as INTERFACE.md names them.
    ///
    /// # Errors
    /// The system's, with the path in it.
    pub fn create(&self) -> std::io::Result<()> {
        todo!()
    }

    /// `workers/<name>`.
    #[must_use]
    pub fn worker(&self, name: &Name) -> PathBuf {
        self.state.join("workers").join(name)
    }

    /// The supervisor's log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Where a user puts secrets, one file a name.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.config.join("secrets")
    }

    /// The parent directory of the socket.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        self.socket.parent().unwrap_or(&self.state)
    }
}
