//! How a container runs: one trait, capabilities as data, an implementation for each kind of engine.
//!
//! Knows nothing of bays, wishes or rules: it does what it is told and says what it sees. Every call has a deadline of
//! its own, so a caller may await it without one. Called by the supervisor's executor and by tests; `bollard` is named
//! only under [`docker`].

mod choose;
pub mod docker;
pub mod images;
pub mod listeners;
#[cfg(target_os = "linux")]
pub mod local;
#[cfg(target_os = "linux")]
pub mod podman;
pub mod timed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::bay::container::{ContainerId, ContainerSpec, ImageFacts, ImageRef, Observed};
use crate::bay::isolation::Isolation;
use crate::bay::name::Name;
use crate::bay::port::PortMapping;
use crate::bay::session::TermSize;

pub use choose::{Chosen, connect, find};

/// Whether an engine publishes ports on this machine: one behind a socket of it, or podbay's own.
#[must_use]
pub fn publishes_here(endpoint: &str) -> bool {
    ["unix://", "local://"].iter().any(|scheme| endpoint.starts_with(scheme))
}

/// Why a [`Wall`](crate::bay::container::Wall) can't be had.
pub const NO_WALLS: &str = "[network] allow is held by the local engine alone, and this one would let everything out: set \
                            [engine] kind = \"local\", or leave allow as it is by default";

/// What runs containers.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Where it is, as a URL for the header: `unix:///var/run/docker.sock`.
    fn endpoint(&self) -> &str;

    /// Who answers there, and what it can do.
    async fn identify(&self) -> Result<Identity, EngineError>;

    /// Whether it answers at all. Short deadline; no side effect.
    async fn ping(&self) -> Result<(), EngineError>;

    /// Every container with this bay's label, running or not. Complete or an error, never a part.
    async fn list(&self, bay: &Name) -> Result<Vec<Observed>, EngineError>;

    /// One container.
    async fn inspect(&self, id: &ContainerId) -> Result<Observed, EngineError>;

    /// Which container has this name, whoever's it is; `None`: nobody's.
    async fn named(&self, name: &str) -> Result<Option<ContainerId>, EngineError>;

    /// One container in the engine's own words, for the inspect tab.
    async fn describe(&self, id: &ContainerId) -> Result<serde_json::Value, EngineError>;

    /// Makes sure that the image is there; makes the host image when it is missing. Pulls nothing.
    async fn ensure_image(&self, image: &ImageRef) -> Result<(), EngineError>;

    /// What the engine knows of an image that is there.
    async fn image(&self, image: &ImageRef) -> Result<ImageFacts, EngineError>;

    /// What it can do with images of containers; `None`: nothing.
    fn images(&self) -> Option<&dyn images::ImageStore> {
        None
    }

    /// Makes a container, not started. A taken name is [`EngineError::NameTaken`].
    async fn create(&self, spec: &ContainerSpec) -> Result<Created, EngineError>;

    /// Starts it; already running counts as done.
    async fn start(&self, id: &ContainerId) -> Result<(), EngineError>;

    /// SIGTERM (SIGHUP where there is a tty), then SIGKILL after `grace`; already stopped counts as done.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), EngineError>;

    /// Removes it with its anonymous volumes, killing it first if need be; already gone counts as done.
    async fn remove(&self, id: &ContainerId) -> Result<(), EngineError>;

    /// Gives it another name.
    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), EngineError>;

    /// The main process's tty, both ways, live only. Works on a created container: then the first byte is not missed.
    async fn attach(&self, id: &ContainerId) -> Result<RawTty, EngineError>;

    /// One more process in a running container.
    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec, EngineError>;

    /// The size of the main process's tty.
    async fn resize(&self, id: &ContainerId, size: TermSize) -> Result<(), EngineError>;

    /// The size of an exec's tty.
    async fn resize_exec(&self, exec: &ExecId, size: TermSize) -> Result<(), EngineError>;

    /// How an exec stands. The end of its stream says nothing: this does.
    async fn exec_state(&self, exec: &ExecId) -> Result<ExecState, EngineError>;

    /// Output from the engine's log, oldest first. With `follow` it goes on until the container ends, and is complete
    /// at its end even where the engine's own follow is not.
    async fn logs(&self, id: &ContainerId, query: &LogQuery) -> Result<LogStream, EngineError>;

    /// One reading of a running container's figures.
    async fn stats(&self, id: &ContainerId) -> Result<Stats, EngineError>;

    /// Hints that something changed; events may be missed, doubled or reordered. Ends when the connection does.
    async fn events(&self, bay: &Name) -> Result<BoxStream<'static, Result<Hint, EngineError>>, EngineError>;

    /// A listener on the loopback of a running container with a [`Wall`](crate::bay::container::Wall): what its programs
    /// connect to there is accepted here. Asked for again, the same one: who connects meanwhile waits in its queue.
    async fn listen(&self, id: &ContainerId, port: u16) -> Result<std::net::TcpListener, EngineError> {
        let (what, message) = (format!("listen on port {port} of {}", id.short()), NO_WALLS.to_owned());
        Err(EngineError::Refused { what, message })
    }

    /// Ports that any container of this engine publishes, with that container's name.
    async fn published(&self) -> Result<Vec<(PortMapping, String)>, EngineError>;
}

/// An engine that many tasks share.
pub type SharedEngine = Arc<dyn Engine>;

/// Who answers, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `docker` or `podman`.
    pub kind: &'static str,
    /// The engine's own version.
    pub version: String,
    /// How far its containers are kept apart from its machine.
    pub isolation: Isolation,
    /// The version of the API that is spoken.
    pub api: String,
    /// What it can't do, and why; empty when it can do all.
    pub limits: Vec<Limitation>,
    /// Whether pids and cgroup files of its containers are this machine's.
    pub local: bool,
    /// CPUs of the engine's machine.
    pub cpus: u32,
    /// Memory of the engine's machine, in bytes.
    pub memory: u64,
}

/// A capability that is missing, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limitation {
    /// What is missing: `swap limit`.
    pub what: String,
    /// Why: `the kernel has no swap accounting`.
    pub why: String,
}

/// A container that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// What the engine did not apply, in its words.
    pub warnings: Vec<String>,
}

/// A raw terminal stream: bytes as the program writes and reads them.
pub struct RawTty {
    /// What the program writes.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// What the program reads. Dropping it must not type anything.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Identifies an exec in its engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecId(pub String);

/// One more process in a container.
#[derive(Clone, Debug, Default)]
pub struct ExecSpec {
    /// Its argv.
    pub command: Vec<String>,
    /// `Some`: with a tty of this size; `None`: with three pipes.
    pub tty: Option<TermSize>,
    /// Environment beside the container's.
    pub env: BTreeMap<String, String>,
    /// As whom; `None`: as the container's own user.
    pub user: Option<String>,
    /// Where; `None`: the container's own directory.
    pub workdir: Option<String>,
}

/// A started exec.
pub struct Exec {
    /// Its id.
    pub id: ExecId,
    /// Its streams.
    pub io: ExecIo,
}

/// The streams of an exec.
pub enum ExecIo {
    /// With a tty.
    Tty(RawTty),
    /// Without one.
    Pipes {
        /// What it writes, in order.
        output: BoxStream<'static, Result<Chunk, EngineError>>,
        /// What it reads; shutting it down closes its stdin.
        input: Box<dyn AsyncWrite + Send + Unpin>,
    },
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whether it came by stderr.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// How an exec stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecState {
    /// It runs, under this pid of the engine's machine.
    Running {
        /// The pid; 0 when the engine does not tell.
        pid: u32,
    },
    /// It has ended.
    Exited {
        /// The exit code.
        code: i64,
    },
}

/// Which log lines.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Go on with what comes.
    pub follow: bool,
    /// The last so many lines; `None`: all.
    pub tail: Option<u64>,
    /// Not before this time.
    pub since: Option<Timestamp>,
}

/// One line of a log; a line without an end is cut at [`MAX_LINE`](docker::MAX_LINE) bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When the engine took it.
    pub at: Option<Timestamp>,
    /// Whether it came by stderr.
    pub stderr: bool,
    /// The line, without its end. Any bytes.
    pub bytes: Bytes,
}

/// Log lines, bounded by what the reader takes.
pub type LogStream = BoxStream<'static, Result<LogLine, EngineError>>;

/// One reading of a container's figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// CPU time used since its start.
    pub cpu: Duration,
    /// CPU use over the last reading's interval, where 100 is one CPU; `None` at the first reading.
    pub cpu_percent: Option<f64>,
    /// Memory in use, caches that can be dropped not counted, in bytes.
    pub memory: u64,
    /// Its memory limit in bytes; `None` without one.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes received and sent by its namespace; `None` when it has none of its own.
    pub network: Option<(u64, u64)>,
    /// Bytes read from and written to block devices.
    pub block: (u64, u64),
}

/// Something about a container may have changed: look now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Which one.
    pub id: ContainerId,
    /// In the engine's words: `die`, `start`, `oom`.
    pub action: String,
}

/// Why an engine call failed. Fragments in lower case: what was attempted, on what, and what came back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// It can't be reached, and nothing was done; or the connection broke before the answer, then `why` says that the
    /// outcome is not known.
    #[error("{endpoint} can't be reached: {why}")]
    Away {
        /// Where.
        endpoint: String,
        /// The system's message, with a hint where there is one.
        why: String,
    },
    /// This machine refuses what keeps containers apart from it; something weaker could be had, by the user's word.
    #[error("{endpoint} can't be reached: {why}")]
    NoWalls {
        /// Where.
        endpoint: String,
        /// What is refused, and what would help.
        why: String,
        /// What could be had.
        weaker: Isolation,
    },
    /// It did not answer in time: what was asked for may or may not have happened.
    #[error("{what}: no answer within {}s", deadline.as_secs())]
    Deadline {
        /// What was attempted.
        what: String,
        /// The deadline.
        deadline: Duration,
    },
    /// No such container, image or exec.
    #[error("{what}: {message}")]
    NotFound {
        /// What was attempted.
        what: String,
        /// The engine's message.
        message: String,
    },
    /// Another container has the name.
    #[error("the name {0:?} is taken by another container")]
    NameTaken(String),
    /// The image is not there, and nothing may be pulled unasked.
    #[error("image {0:?} is not on this engine; pull or build it there first, or use \"host\"")]
    NoImage(String),
    /// Another holds the port.
    #[error("port {port} is taken{}", holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    PortTaken {
        /// The port, as the engine names it.
        port: String,
        /// Who holds it, when that can be seen.
        holder: Option<String>,
    },
    /// The state does not allow it (stopped, paused, being removed).
    #[error("{what}: {message}")]
    Conflict {
        /// What was attempted.
        what: String,
        /// The engine's message.
        message: String,
    },
    /// The engine refused the request as wrong.
    #[error("{what}: {message}")]
    Refused {
        /// What was attempted.
        what: String,
        /// The engine's message.
        message: String,
    },
    /// The engine failed, or what it said can't be read.
    #[error("{what}: {message}")]
    Failed {
        /// What was attempted.
        what: String,
        /// The engine's message.
        message: String,
    },
}

impl EngineError {
    /// Whether the engine itself is the trouble: then the same call may work later.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::NoWalls { .. } | Self::Deadline { .. })
    }
}

/// The process of this machine that holds a port, as `nginx (pid 42)`; `None`: nobody does. Blocking.
#[must_use]
pub fn port_holder(port: u16) -> Option<String> {
    listeners::holder_of(port, std::path::Path::new("/proc"))
}
