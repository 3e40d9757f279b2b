//! What comes into the machine and what goes out of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::types::{Disk, Done, DownRequest, ErrorDetail, SessionRow, SpawnReply, SpawnRequest, Verb, Why};
use crate::bay::container::{ContainerId, Observed};
use crate::bay::name::Name;
use crate::bay::owner::Nonce;
use crate::bay::session::TermSize;
use crate::config::Config;
use crate::engine::{EngineError, Hint, Identity};

use super::goal::Step;
use super::guard::Namespaces;
use super::store::Stored;

/// The two clocks, read once for each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the supervisor started; never jumps. All waiting is measured by it.
    pub mono: Duration,
    /// The time of day, for people only.
    pub wall: Timestamp,
}

/// Pairs a command with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make a worker.
    Spawn(Box<SpawnRequest>),
    /// Do this to that container, by its name inside the bay or its id.
    Act {
        /// Which.
        target: String,
        /// What.
        verb: Verb,
    },
    /// Bring the bay to its configuration.
    Up {
        /// Only what is missing: nothing that runs is restarted, nothing that the user stopped is started.
        gently: bool,
    },
    /// Stop the bay.
    Down(DownRequest),
    /// Take this configuration from now on.
    Reload(Arc<Config>),
    /// Explain one name.
    Why(String),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a spawn.
    Spawned(SpawnReply),
    /// To everything that is done.
    Done(Done),
    /// To a why.
    Why(Box<Why>),
    /// It could not be done.
    Refused(ErrorDetail),
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// Somebody asks.
    Command(CommandId, Command),
    /// The engine answered, or did not.
    Connected {
        /// Where it was looked for; `None` when no place was found.
        endpoint: Option<String>,
        /// Who answered.
        answer: Result<Identity, EngineError>,
    },
    /// A full look, begun when the machine asked for look number `look`.
    Looked {
        /// Which look.
        look: u64,
        /// All containers with the bay's label; `Err`: nothing is known.
        seen: Result<Vec<Observed>, EngineError>,
        /// Namespaces that could be read.
        namespaces: Namespaces,
    },
    /// A ping's answer.
    Pinged(Result<(), EngineError>),
    /// The engine says that something changed; `None`: its event stream has ended, or something else looks odd.
    Hinted(Option<Hint>),
    /// A step has ended, and what its container looks like now.
    Stepped(Box<Stepped>),
    /// Sessions changed.
    Sessions(Vec<SessionRow>),
    /// Time has passed.
    Tick(Disk),
    /// The state could not be written, or could again.
    Saved(Result<(), String>),
    /// End now; containers stay.
    Terminate,
}

/// What came of a step.
#[derive(Debug)]
pub struct Stepped {
    /// The name inside the bay.
    pub target: String,
    /// The step.
    pub step: Step,
    /// What it answered.
    pub result: Result<StepNotes, StepError>,
    /// The container as it is now; `None`: it is not there, or can't be seen.
    pub seen: Option<Observed>,
    /// Whether `seen` can be relied on: the engine answered.
    pub certain: bool,
}

/// What is said beside a step that worked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StepNotes {
    /// In words, for the user.
    pub notes: Vec<String>,
    /// The id of a container that was made.
    pub made: Option<(Nonce, ContainerId)>,
}

/// Why a step did not work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// The engine says so.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What the template asks for is not to be had on this machine.
    #[error("{0}")]
    Workspace(String),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Write this to the state file, before anything after it in the list.
    Save(Box<Stored>),
    /// Find the engine and ask who it is.
    Connect,
    /// The engine is away: end what hangs on it.
    Disconnect,
    /// Look at all containers.
    Look(u64),
    /// See whether it answers.
    Ping,
    /// Take a step for this name.
    Step(String, Step),
    /// Answer.
    Reply(CommandId, Reply),
    /// Have a session on this running container's tty.
    OpenSession {
        /// The container.
        id: ContainerId,
        /// Its name inside the bay.
        name: Name,
        /// The first size.
        size: TermSize,
    },
    /// The container's main process has ended.
    EndSessions {
        /// The container.
        id: ContainerId,
        /// In words.
        reason: String,
        /// The exit code.
        code: Option<i64>,
    },
    /// The container is gone.
    ForgetSessions(ContainerId),
    /// Nothing is left of this worker: its private directories go.
    ForgetWorker {
        /// Which.
        name: Name,
        /// It could not be made: only what was made for it now goes, not what an earlier one of that name left.
        failed: bool,
    },
    /// End the supervisor once all answers are out.
    Exit,
}
