//! The shim: the process that owns one service.
//!
//! Owns the service's processes (it is what their orphans are given to), terminal or pipes, log, status and socket. One
//! thread, one task that decides; a task for each connection, which only carries lines and bytes. Called by the hidden
//! verb `shim`.
//!
//! When it is killed, the kernel kills the main process at once; what else is left carries a mark, and the next shim ends
//! it before it begins anything.

mod ending;
mod keep;
pub(crate) mod output;
mod rules;
mod running;
mod serve;
pub(crate) mod spawn;
mod takeover;

use std::path::PathBuf;
use std::process::ExitCode;

use super::ServiceError;
use super::protocol::{FirstWord, Place, line};

/// What a shim is given.
#[derive(Clone, Debug)]
pub struct Birth {
    /// Where its files are.
    pub place: Place,
    /// What it looks after, for people and for the mark: `<bay>/<service>`.
    pub label: String,
}

impl Birth {
    /// The arguments of the hidden verb: directory, socket, label.
    #[must_use]
    pub fn of_arguments(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<Self> {
        let mut next = || arguments.next();
        let (dir, socket, label) = (PathBuf::from(next()?), PathBuf::from(next()?), next()?.into_string().ok()?);
        arguments.next().is_none().then_some(Self { place: Place { dir, socket }, label })
    }
}

/// Another shim looks after it.
const HELD: u8 = 100;

/// Runs until it is told to end.
#[must_use]
pub fn run(birth: Birth, say: Say) -> ExitCode {
    match begin(birth, say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let held = matches!(error, ServiceError::Held);
            tell(say, &if held { FirstWord::Held } else { FirstWord::Refused(error.to_string()) });
            ExitCode::from(if held { HELD } else { 1 })
        }
    }
}

fn begin(birth: Birth, say: Say) -> Result<(), ServiceError> {
    // Away from the terminal and the group of whoever started it. It fails only for the leader of a session.
    let _ = rustix::process::setsid();
    // Who holds the lock is the one shim; it is let go of by the kernel.
    let lock = takeover::lock(&birth.place.shim_lock())?;
    let (past, run_lock) = takeover::take_over(&birth)?;
    // Without them a service's output goes through pipes, which end with this process.
    let keep = keep::Keep::begin(&birth.place, past.holder).ok();
    #[cfg(target_os = "linux")]
    {
        let name = |error: rustix::io::Errno| ServiceError::Shim(format!("can't become a subreaper: {error}"));
        // Any pid turns it on; the argument is only a flag.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(name)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ServiceError::Shim(format!("can't begin: {error}")))?;
    let result = runtime.block_on(running::run(birth, (past, run_lock, keep), say));
    drop(lock);
    result
}

/// Writes the first word, and leaves the streams of whoever started this process.
pub type Say = fn(&[u8]);

fn tell(say: Say, word: &FirstWord) {
    if let Ok(bytes) = line(word) {
        say(&bytes);
    }
}
