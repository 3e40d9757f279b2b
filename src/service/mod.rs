//! How a native service runs: under a shim, a small process of its own that outlives the supervisor.
//!
//! Owns the shim (its process, log, protocol), the supervisor's link to one, probes, and the kernel's word on memory.
//! Decides nothing about when a service is wanted: [`crate::bay::lifecycle`] has the rules of its runs, the supervisor
//! those of its place among the others. Called by the hidden verb `shim` and by the supervisor's executor.
//!
//! One shim a service, not one a run: it follows the restart policy by itself, so that a service that dies is started
//! again in a fork's time and also while no supervisor is there. The supervisor tells it what is wanted and what the
//! probes say, and reads its status.

pub mod heap;
pub mod link;
pub mod log;
pub mod oom;
pub mod probe;
pub mod process;
pub mod protocol;
pub mod shim;
mod user;

/// Why a shim or its log can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A file or directory of the service.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The path.
        path: std::path::PathBuf,
        /// The system's message.
        error: std::io::Error,
    },
    /// Another shim looks after the service.
    #[error("another shim runs this service already")]
    Held,
    /// Processes of an earlier run can't be ended.
    #[error("processes of an earlier run can't be ended: {0}")]
    Leftovers(String),
    /// A shim is there, and can't be spoken with: busy, stopped, or of another version. Nothing may take its place.
    #[error("its shim can't be spoken with, and the service goes on under it: {0}")]
    Mute(String),
    /// The shim could not be started, or said something else than it should.
    #[error("its shim: {0}")]
    Shim(String),
}

impl ServiceError {
    /// A closure that names a file's error.
    pub(crate) fn at(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { what, path, error }
    }
}
