//! One supervisor a bay: whoever holds the lock on the state directory.
//!
//! The kernel lets go of the lock when the process ends, however it ends, so there is no stale one. The pid in the file
//! is for people; nothing is ever signalled by it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why this process is not the bay's supervisor.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another one is.
    #[error("a supervisor of this bay runs already (pid {pid}); its socket is {}", socket.display())]
    Held {
        /// What it wrote down; `?` when it had not yet.
        pid: String,
        /// Where it answers.
        socket: PathBuf,
    },
    /// The system says no.
    #[error("{}: {error}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

impl Lock {
    /// Takes the lock in this state directory, or says who has it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(state: &Path, socket: &Path) -> Result<Self, LockError> {
        let path = state.join("lock");
        let at = |error| LockError::Io { path: path.clone(), error };
        // Not followed: a link here would lock, and write to, some other file.
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(&path)
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                drop(file.take(32).read_to_string(&mut pid));
                let pid = if pid.trim().is_empty() { "?".to_owned() } else { pid.trim().to_owned() };
                return Err(LockError::Held { pid, socket: socket.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        // A full disk must not keep the bay from being looked after.
        if let Err(error) = write(&mut file) {
            tracing::warn!(%error, "the pid could not be written to the lock file");
        }
        Ok(Self { _file: file })
    }
}
