//! Why a thing is not as it should be, in words.
//!
//! One enum for the whole house, so that `ls`, `why`, the dashboard and the API say the same.

use jiff::Timestamp;

use super::size::ByteSize;

/// Why a container is not simply running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The parent does not run, so the namespace that this worker joined is gone.
    #[error("the parent is {0}: this worker has only its loopback interface; `podbay restart parent` repairs it")]
    ParentDown(String),
    /// The parent was started again after this worker joined it.
    #[error(
        "the parent restarted after this worker joined it: the worker is alone in the old network; `podbay restart parent` repairs it"
    )]
    ParentRestarted,
    /// The parent was made anew; this worker is bound to one that is gone and can't be started again as it is.
    #[error(
        "the parent was replaced: this worker is bound to one that is gone; `podbay restart parent` makes it anew, workspace kept"
    )]
    ParentReplaced,
    /// Its main process ended.
    #[error("exited with code {code}{}", hint(*code))]
    Exited {
        /// The exit code.
        code: i64,
    },
    /// The kernel ended the main process for its memory.
    #[error("killed by the kernel: it ran out of memory{}", limit_text(*.limit))]
    OutOfMemory {
        /// The limit it had, if it had one.
        limit: Option<ByteSize>,
    },
    /// The user stopped it.
    #[error("stopped by request")]
    Stopped,
    /// Somebody else stopped it.
    #[error("stopped outside podbay (exit code {code}); `podbay start` brings it back")]
    StoppedOutside {
        /// The exit code.
        code: i64,
    },
    /// The engine could not start it.
    #[error("the engine could not start it: {0}")]
    StartFailed(String),
    /// The last thing tried on it failed, and is tried again.
    #[error("{what} failed: {error}; try {attempt} comes at {next}")]
    Retrying {
        /// What was tried.
        what: &'static str,
        /// The engine's error.
        error: String,
        /// Number of the next try.
        attempt: u32,
        /// When it comes.
        next: Timestamp,
    },
    /// The last thing tried on it failed for good.
    #[error("{what} failed: {error}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The engine's error.
        error: String,
    },
    /// The engine's health check says so.
    #[error("unhealthy: {0} probes in a row failed")]
    Unhealthy(u32),
    /// Frozen by somebody.
    #[error("paused outside podbay; `docker unpause` brings it back")]
    Paused,
    /// It can't be seen at present.
    #[error("not seen since the engine went away: {0}")]
    EngineAway(String),
    /// A later version of podbay does this.
    #[error("{0}")]
    NotYet(&'static str),
    /// An operation is under way.
    #[error("{0}")]
    Working(&'static str),
}

/// What the shell's exit codes mean.
fn hint(code: i64) -> String {
    let word = match code {
        0 => " (done)",
        126 => " (the command can't be executed)",
        127 => " (the command was not found)",
        129 => " (SIGHUP)",
        130 => " (SIGINT)",
        134 => " (SIGABRT)",
        137 => " (SIGKILL)",
        139 => " (SIGSEGV)",
        143 => " (SIGTERM)",
        _ => "",
    };
    word.to_owned()
}

fn limit_text(limit: Option<ByteSize>) -> String {
    limit.map(|size| format!(" (limit {size})")).unwrap_or_default()
}
