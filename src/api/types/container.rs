//! Containers: rows, details, figures, and what can be asked of one.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bay::attention::Attention;
use crate::bay::container::{HealthState, Role};
use crate::bay::isolation::Isolation;
use crate::bay::matching::Named;
use crate::bay::port::PortMapping;

/// Where a container is, in podbay's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Being made.
    Creating,
    /// Waiting in the pool.
    Warm,
    /// Its main process is there, and its network too.
    Running,
    /// Its main process has ended.
    Exited,
    /// It can't be brought to what is wanted.
    Failed,
    /// Its main process is there, its network is not.
    CutOff,
    /// It can't be seen at present.
    Unknown,
}

impl State {
    /// The word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Warm => "warm",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::CutOff => "cut-off",
            Self::Unknown => "unknown",
        }
    }
}

/// One container: a row of `ls --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerRow {
    /// The engine's full id, empty while it is being made.
    pub id: String,
    /// Its name inside the bay.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its template.
    pub template: String,
    /// Where it is.
    pub state: State,
    /// Its image.
    pub image: String,
    /// `shared`, `bridge` or `none`; `own` for the parent.
    pub network: String,
    /// The project directory or repository.
    pub project: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// The engine's health verdict.
    pub health: Option<HealthState>,
    /// How often podbay started it again.
    pub restarts: u32,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When its present run began.
    pub started_at: Option<Timestamp>,
    /// How far its present run is kept apart from the machine, where its engine can do that in several ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Whether and why it needs somebody.
    pub attention: Option<String>,
    /// Why it is not simply running; `null` when it is.
    pub reason: Option<String>,
    /// Of a worker that ended by itself, or that podbay failed to bring to what is wanted: what that calls for, and
    /// since when. Absent of all others; what running programs need, their sessions say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Attention>,
}

impl Named for ContainerRow {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        // A native service has no container; what it has instead begins with a word of its own.
        if self.id.contains(' ') { "" } else { &self.id }
    }

    fn called(&self) -> &str {
        self.name.strip_prefix("svc-").filter(|_| self.role == Role::Service).unwrap_or(&self.name)
    }

    fn kind(&self) -> &'static str {
        self.role.as_str()
    }
}

/// What can be asked of one container: `POST /api/containers/{id}/{verb}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Starts a stopped one.
    Start,
    /// SIGTERM, grace, SIGKILL.
    Stop,
    /// Stops and starts; of the parent: brings it up and repairs all that were cut off.
    Restart,
    /// Makes it anew by its template, workspace and agent home kept.
    Refresh,
    /// Removes it (`DELETE /api/containers/{id}`); refused when work in its clone would be lost.
    Remove,
    /// Removes it with all that is in its clone (`DELETE /api/containers/{id}?force=true`).
    Discard,
}

impl Verb {
    /// The word in a route.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Refresh => "refresh",
            Self::Remove => "remove",
            Self::Discard => "discard",
        }
    }
}

/// `GET /api/containers/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerDetail {
    /// The row of `ls`.
    #[serde(flatten)]
    pub row: ContainerRow,
    /// The first published port, if there is one.
    #[serde(rename = "hostPort", default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The engine's own words.
    pub inspect: Value,
}

/// One container's figures: a row of `stats --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsRow {
    /// Its name.
    pub name: String,
    /// CPU use, where 100 is one CPU; `null` before the second reading.
    pub cpu_percent: Option<f64>,
    /// Memory in use, in bytes.
    pub memory: u64,
    /// Its limit, in bytes.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes received and sent; `null` in a shared namespace, where they are the parent's.
    pub network: Option<(u64, u64)>,
    /// Bytes read and written.
    pub block: (u64, u64),
}
