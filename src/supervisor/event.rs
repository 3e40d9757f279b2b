//! What comes into the machine and what goes out of it.

mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::types::{
    Disk, Done, DownRequest, ErrorDetail, NetworkRequest, PoolRequest, Reloaded, ServiceVerb, SessionRow, SpawnReply,
    SpawnRequest, Verb, Why,
};
use crate::bay::alert::Calls;
use crate::bay::container::{ContainerId, Observed};
use crate::bay::idle::Activity;
use crate::bay::name::Name;
use crate::bay::outgoing::Host;
use crate::bay::owner::Nonce;
use crate::bay::phase::Progress;
use crate::bay::port::PortRange;
use crate::bay::session::TermSize;
use crate::bay::template::WarmMode;
use crate::config::Config;
use crate::engine::{EngineError, Hint, Identity};
use crate::workspace::WorkspaceError;

use super::goal::Step;
use super::guard::Namespaces;
use super::machine::Knock;
use super::store::Stored;

pub use service::{Found, ServiceEffect, ServiceEvent, Sighting};

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
    /// Do this to pools.
    Pool(PoolRequest),
    /// Do this to that service, by its name or a unique prefix.
    Service {
        /// Which.
        target: String,
        /// What.
        verb: ServiceVerb,
    },
    /// Bring the bay to its configuration.
    Up {
        /// Only what is missing: nothing that runs is restarted, nothing that the user stopped is started.
        gently: bool,
    },
    /// Stop the bay.
    Down(DownRequest),
    /// Take this configuration from now on; or, if it could not be read, say so for as long as that is true.
    Reload(Result<Arc<Config>, String>),
    /// Explain one name.
    Why(String),
    /// Write a line of history.
    Note {
        /// About which worker; `None`: about the bay.
        name: Option<Name>,
        /// In words.
        text: String,
    },
    /// May a program of the bay have this connection?
    Knock(Knock),
    /// A name that is let through leads where nothing is let through.
    Strayed {
        /// Which.
        host: Host,
        /// In words.
        why: String,
    },
    /// An answer to what was asked for.
    Network(NetworkRequest),
    /// The API listens on TCP as it should, or can't for this reason.
    Listens(Option<String>),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a spawn.
    Spawned(SpawnReply),
    /// To everything that is done.
    Done(Done),
    /// To a reload.
    Reloaded(Reloaded),
    /// To a why.
    Why(Box<Why>),
    /// To a knock.
    Open(bool),
    /// It could not be done.
    Refused(ErrorDetail),
}

/// What is read of this machine at each tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// The state directory's file system.
    pub disk: Disk,
    /// Memory that could be had, in bytes; `None` where the system does not tell.
    pub memory_free: Option<u64>,
    /// Calls to the engine so far.
    pub calls: Calls,
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
    /// A step that takes long tells how far it is.
    Progressed {
        /// The name inside the bay.
        target: String,
        /// How far.
        progress: Progress,
    },
    /// A warm worker shows that it waits, or does not in time.
    Probed {
        /// Which.
        id: ContainerId,
        /// The run that was looked at.
        run: Timestamp,
        /// Whether it does.
        answer: Waiting,
    },
    /// An opened gate has taken its claim.
    Taken {
        /// Whose.
        id: ContainerId,
        /// Of which run.
        run: Timestamp,
    },
    /// An opened gate has not taken its claim in time.
    Shut {
        /// Whose.
        id: ContainerId,
        /// Of which run.
        run: Timestamp,
    },
    /// The images of pooled templates, as far as the engine has them.
    Images(BTreeMap<String, String>),
    /// Claimed workers have printed something, so long after the claim.
    FirstOutputs(Vec<(ContainerId, Duration)>),
    /// Something about a service.
    Service(ServiceEvent),
    /// How workers fare, by name.
    Surveyed(BTreeMap<String, Vitals>),
    /// What was kept of a removed worker, in words; nothing, when all of it went.
    Kept {
        /// Which.
        name: Name,
        /// In words.
        notes: Vec<String>,
    },
    /// Sessions changed.
    Sessions(Vec<SessionRow>),
    /// Time has passed.
    Tick(Gauges),
    /// What the machine said was due is.
    Wake,
    /// The state could not be written, or could again.
    Saved(Result<(), String>),
    /// End now; containers stay.
    Terminate,
}

/// What a look at a warm worker has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It waits for a claim.
    Ready,
    /// It will not; in words, why.
    Never(String),
    /// The engine did not answer: nothing is known of it.
    Unknown,
}

/// A worker that is looked at closely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Its name inside the bay.
    pub name: String,
    /// Its container.
    pub id: ContainerId,
    /// Its main process; 0 when the engine does not tell.
    pub pid: u32,
    /// The project directory that it works in, as written; `None`: its own.
    pub project: Option<String>,
    /// It was given the socket of an ssh agent, and that can be looked at.
    pub ssh_agent: bool,
    /// The memory that it asked for, in bytes; `None`: as much as there is.
    pub memory: Option<u64>,
}

/// How a worker fares. `None`: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Percent of its memory limit in use.
    pub memory: Option<u8>,
    /// Percent of its workspace's file system in use.
    pub disk: Option<u8>,
    /// What goes on at its terminals.
    pub activity: Option<Activity>,
    /// The socket of its ssh agent.
    pub agent: AgentSocket,
}

/// The socket of an ssh agent that a worker holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentSocket {
    /// As it was, or not known.
    #[default]
    Fine,
    /// Nothing is there any more.
    Gone,
    /// Another agent listens there now.
    Another,
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

/// Fewer host ports are free than are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPorts {
    /// Where they are drawn from.
    pub range: PortRange,
    /// So many are asked for.
    pub wanted: usize,
    /// These are free.
    pub free: Vec<u16>,
}

impl std::fmt::Display for NoPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { range, wanted, free } = self;
        let ports = if *wanted == 1 { "port" } else { "ports" };
        write!(f, "{wanted} {ports} of {range} asked for, ")?;
        let free: Vec<String> = free.iter().map(u16::to_string).collect();
        if free.is_empty() { f.write_str("none is free") } else { write!(f, "free: {}", free.join(", ")) }
    }
}

/// Why a step did not work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// The engine says so.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What the template asks for is not to be had on this machine.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The range of host ports has too few left.
    #[error("{}", .0)]
    Ports(NoPorts),
    /// What was asked for can't be put into the workspace: another container would not change that.
    #[error(transparent)]
    Fill(WorkspaceError),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Write this to the state file, before anything after it in the list.
    Save(Box<Stored>),
    /// The same, but without waiting for the disk: a save follows soon.
    Jot(Box<Stored>),
    /// Find out how these running workers fare.
    Survey(Vec<Surveyed>),
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
    /// Nobody wants what is being made for this name any more: filling its workspace is broken off.
    GiveUp(String),
    /// Answer.
    Reply(CommandId, Reply),
    /// See whether a warm worker waits.
    Probe {
        /// Which.
        id: ContainerId,
        /// Its present run.
        run: Timestamp,
        /// What it waits with.
        mode: WarmMode,
    },
    /// Clear what warm workers left that are gone: those that are not named here. A supervisor may end before it has.
    SweepWarm(BTreeSet<Name>),
    /// Look at the images of pooled templates, by their references.
    LookAtImages(BTreeSet<String>),
    /// Something about a service.
    Service(ServiceEffect),
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
        /// Also what is in its clone and nowhere else: its user said so.
        discard: bool,
    },
    /// End the supervisor once all answers are out.
    Exit,
}
