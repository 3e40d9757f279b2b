//! Why a thing is not as it should be, in words.
//!
//! One enum for the whole house, so that `ls`, `why`, the dashboard and the API say the same.

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
    /// The parent was made anew with a network of its own, and this worker has the machine's.
    #[error(
        "the parent has a network of its own since: this worker still has the machine's, past all that `[network]` says; `podbay restart parent` makes it anew, workspace kept"
    )]
    ParentWalled,
    /// The parent itself: it is not there any more.
    #[error("it was removed; `podbay restart parent` makes it anew and repairs its workers")]
    ParentRemoved,
    /// Its main process ended.
    #[error("exited with code {code}{}", hint(*code))]
    Exited {
        /// The exit code.
        code: i64,
    },
    /// The kernel ended the main process for its memory.
    #[error("killed by the kernel: it ran out of memory")]
    OutOfMemory,
    /// The kernel ended another process of it for its memory; it runs on.
    #[error("a process in it was killed by the kernel: it ran out of memory")]
    ChildOutOfMemory,
    /// The user stopped it.
    #[error("stopped by request")]
    Stopped,
    /// Somebody else stopped it.
    #[error("stopped outside podbay (exit code {code}); `podbay restart parent` brings it back")]
    StoppedOutside {
        /// The exit code.
        code: i64,
    },
    /// The engine could not start it.
    #[error("the engine could not start it: {0}")]
    StartFailed(String),
    /// Made, but nobody started it.
    #[error("made but never started; `podbay start` does")]
    NeverStarted,
    /// It is past a criterion of its template, and would be made anew.
    #[error("due to be made anew: {why}; {waits}")]
    Due {
        /// Which criterion.
        why: String,
        /// What it waits for.
        waits: &'static str,
    },
    /// It is on its way, so far.
    #[error("{0}")]
    Progress(super::phase::Progress),
    /// The last thing tried on it failed, and is tried again.
    #[error("{what}, but: {error}; try {attempt} comes soon")]
    Retrying {
        /// What is under way.
        what: &'static str,
        /// The last error.
        error: String,
        /// Number of the next try.
        attempt: u32,
    },
    /// The last thing tried on it failed for good.
    #[error("{0}")]
    Fault(String),
    /// Something else comes first.
    #[error("waits for {0}")]
    WaitsFor(String),
    /// It runs since before the bay had its present level of isolation.
    #[error("runs with isolation {0} until it is restarted")]
    OtherWalls(super::isolation::Isolation),
    /// The engine's health check says so.
    #[error("unhealthy: {0} probes in a row failed")]
    Unhealthy(u32),
    /// Frozen by somebody.
    #[error("paused outside podbay; `docker unpause` brings it back")]
    Paused,
    /// The engine has it and fails to say more.
    #[error("the engine can't say how it is: {0}")]
    Unclear(String),
    /// It can't be seen at present.
    #[error("not seen since the engine went away: {0}")]
    EngineAway(String),
    /// An operation is under way.
    #[error("{0}")]
    Working(&'static str),
}

/// What the shell's exit codes mean.
fn hint(code: i64) -> String {
    super::exit::word(code).map(|word| format!(" ({word})")).unwrap_or_default()
}
