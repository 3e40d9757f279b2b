//! What a supervisor and a shim say to each other: lines of JSON on the shim's unix socket.
//!
//! A client's first line is a [`Hello`]. After [`Ask::Control`] it may send [`Told`] orders, and the shim sends its [`Status`]
//! at once and after every change. After [`Ask::Attach`] both ways carry the terminal's bytes, the newest output first.
//! The same [`Status`] is kept in `status.json`, for whoever comes when no shim is there any more.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bay::lifecycle::{Exit, Memory, Phase, Rules};
use crate::bay::service::ProbeTarget;
use crate::bay::session::TermSize;
use crate::bay::template::Limits;
use crate::config::ServiceConfig;

use super::log::Position;
use super::oom::Clue;
use super::process::ProcessId;

/// The version of lines and file. A shim and a supervisor of different versions meet at every upgrade. New fields have
/// defaults, and unknown ones are passed over; an order that a shim does not know is refused by its number; a status that
/// a supervisor can't read leaves the service alone. A new meaning gets a new version.
pub const VERSION: u32 = 1;
/// A longer line is not one of ours. An environment may be large.
pub const MAX_LINE: usize = 4 << 20;

/// The first line of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// What the connection is for.
    pub ask: Ask,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Orders in, status out.
    Control,
    /// The terminal's bytes, both ways.
    Attach,
}

/// An order with its number, which the status repeats once it is carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The number: each has a greater one than the last.
    pub id: u64,
    /// The order.
    pub order: Order,
    /// The number of the run that it is about: a later run has no part in it. `None`: it is about no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// Beside rules: what becomes of the output. A shim of an older podbay keeps to what it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRules>,
}

impl Told {
    /// An order that is about no run.
    #[must_use]
    pub const fn new(id: u64, order: Order) -> Self {
        Self { id, order, run: None, output: None }
    }
}

/// What becomes of a service's output, of what may change while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRules {
    /// When a log file is full, in bytes.
    pub log_bytes: u64,
    /// How many of them are kept.
    pub log_files: u32,
    /// A line like this says that it is ready.
    pub ready_log: Option<String>,
}

impl OutputRules {
    /// As the configuration says.
    #[must_use]
    pub fn of(service: &ServiceConfig, limits: &Limits) -> Self {
        let ready_log = service.ready.as_ref().and_then(|probe| match &probe.target {
            ProbeTarget::Log(pattern) => Some(pattern.clone()),
            _ => None,
        });
        Self { log_bytes: limits.log_max_size.as_u64(), log_files: limits.log_max_files, ready_log }
    }
}

/// What a shim is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// It is to run, as this says.
    Start(Box<Spec>),
    /// The same, after its last shim was killed: the restart policy says whether.
    Resume(Box<Spec>),
    /// It is not to run.
    Stop,
    /// Its readiness probe passed, or does not any more.
    Ready(bool),
    /// Its liveness probe failed too often; why.
    Unhealthy(String),
    /// Other rules from now on; the run goes on.
    Rules(Rules),
    /// Its terminal has this size.
    Resize(TermSize),
    /// The shim may end once the service is at rest.
    Quit,
}

/// How a run is made. Holds the environment, so it is never written to a file and never in an argv.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Its argv, not empty.
    pub command: Vec<String>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// The size of its terminal, if it has one.
    pub tty: Option<TermSize>,
    /// User and group that it runs as; `None`: those of its shim.
    #[serde(default)]
    pub ids: Option<(u32, u32)>,
    /// All groups of that user.
    #[serde(default)]
    pub groups: Vec<u32>,
    /// What is taken from the modes of its new files.
    #[serde(default = "usual_umask")]
    pub umask: u32,
    /// What follows from its ends.
    pub rules: Rules,
    /// The hash of its definition.
    pub hash: String,
    /// When a log file is full, in bytes.
    pub log_bytes: u64,
    /// How many of them are kept.
    pub log_files: u32,
    /// A line like this says that it is ready.
    #[serde(default)]
    pub ready_log: Option<String>,
    /// It listens on these, so nobody else may when it begins.
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// What most systems begin with.
pub const USUAL_UMASK: u32 = 0o022;

const fn usual_umask() -> u32 {
    USUAL_UMASK
}

/// Where a service is, as its shim sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Not wanted.
    #[default]
    Idle,
    /// It is being started.
    Starting,
    /// Its main process is there.
    Running,
    /// It is being ended, or what its main process left behind is.
    Stopping,
    /// It can't be ended.
    Stuck,
    /// It is started again soon.
    Waiting,
    /// It ended with success, for good.
    Done,
    /// It ended without, for good.
    Ended,
    /// It was started too often.
    Failed,
}

impl RunState {
    /// Of a service that is there in its life.
    #[must_use]
    pub const fn of(phase: &Phase) -> Self {
        match phase {
            Phase::Idle => Self::Idle,
            Phase::Starting { .. } => Self::Starting,
            Phase::Running { .. } => Self::Running,
            Phase::Stopping(stopping) if stopping.is_stuck() => Self::Stuck,
            Phase::Stopping(_) => Self::Stopping,
            Phase::Waiting { .. } => Self::Waiting,
            Phase::Ended { success: true } => Self::Done,
            Phase::Ended { success: false } => Self::Ended,
            Phase::Failed => Self::Failed,
        }
    }

    /// Whether a process of it may be there.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping | Self::Stuck)
    }

    /// Whether nothing happens until somebody asks for it.
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        matches!(self, Self::Idle | Self::Done | Self::Ended | Self::Failed)
    }
}

/// How a service is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// [`VERSION`].
    pub version: u32,
    /// The boot of the machine that this is true in.
    pub boot: String,
    /// The shim.
    pub shim: ProcessId,
    /// What all processes of the service carry in their environment.
    pub mark: String,
    /// The main process, while there is one.
    pub main: Option<ProcessId>,
    /// Where it is.
    pub state: RunState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The number of the present or last run, counted from the first shim on.
    pub run: u64,
    /// What its rules remember.
    pub memory: Memory,
    /// When it last ended.
    pub ended_at: Option<Timestamp>,
    /// When it is started again.
    pub next_start_at: Option<Timestamp>,
    /// The hash of the definition that it runs by.
    pub hash: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Where the log of the present run begins.
    pub log_start: Position,
    /// Lines that could not be written to the log.
    pub dropped: u64,
    /// Processes that can't be ended.
    pub stuck: Vec<u32>,
    /// The greatest number of an order that was carried out.
    pub last_order: u64,
    /// A line of the present run was one that says that it is ready.
    pub ready_log: bool,
    /// How the main process of the present run ended by itself; `None`: it has not, or somebody wanted it.
    pub exit: Option<Exit>,
    /// Processes of its own session that a main process left which ended well: it ran in the background.
    pub left: u32,
    /// What makes it likely that the last end was one for memory.
    pub memory_clue: Option<Clue>,
    /// The port that somebody else had when the last run was to begin.
    pub port_taken: Option<u16>,
    /// Who holds the streams of its runs open.
    pub holder: Option<ProcessId>,
    /// The last order that was not understood.
    pub refused: Option<RefusedOrder>,
}

/// An order that a shim can't carry out: it is of another version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedOrder {
    /// Its number.
    pub id: u64,
    /// Why.
    pub why: String,
}

/// What is read of a line that can't be read otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Outline {
    /// The version of who wrote it.
    pub version: u32,
    /// The number of an order.
    pub id: u64,
    /// The shim that wrote it.
    pub shim: OutlineShim,
}

/// A shim, as far as it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OutlineShim {
    /// Its pid.
    pub pid: u32,
}

/// What can be told of a status that can't be read.
#[must_use]
pub fn unreadable(line: &[u8], error: &serde_json::Error) -> String {
    let outline: Outline = serde_json::from_slice(line).unwrap_or_default();
    let (pid, theirs) = (outline.shim.pid, outline.version);
    if theirs == VERSION || theirs == 0 {
        return format!("what it says can't be read: {error}");
    }
    format!(
        "it is of another podbay (pid {pid}, protocol {theirs}; this one speaks {VERSION}): go back to that podbay, or end \
         it with its service by `kill {pid}`"
    )
}

/// One line.
///
/// # Errors
/// serde's; none of these types gives any.
pub fn line(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The first word of a shim, on its stdout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstWord {
    /// It listens.
    Ready,
    /// Another one looks after the service.
    Held,
    /// It can't.
    Refused(String),
}

/// The files of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `services/<name>`.
    pub dir: PathBuf,
    /// The shim's socket; short enough for every system.
    pub socket: PathBuf,
}

impl Place {
    /// The shim's status, for when there is none.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.dir.join("status.json")
    }

    /// Held by the shim as long as it lives.
    #[must_use]
    pub fn shim_lock(&self) -> PathBuf {
        self.dir.join("shim.lock")
    }

    /// Held by every process of a run that keeps what it inherits.
    #[must_use]
    pub fn run_lock(&self) -> PathBuf {
        self.dir.join("run.lock")
    }

    /// Its log files.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}
