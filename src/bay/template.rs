//! How a worker is made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::container::ImageRef;
use super::graph::Needs;
use super::mount::MountRule;
use super::name::Name;
use super::port::{PortRange, PortRule};
use super::size::{ByteSize, Span};
use super::volume::{VolumeName, VolumeRule};

pub use super::hardening::Hardening;

/// Which network namespace a worker is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The parent's.
    Shared,
    /// Its own, with ports from the range.
    Bridge,
    /// Its own, loopback only.
    None,
}

impl NetworkMode {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Bridge => "bridge",
            Self::None => "none",
        }
    }
}

/// What stands at `/workspace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceMode {
    /// A directory of this machine, or the worker's own empty one when no project is named.
    Bind,
    /// A clone of a repository.
    Clone,
}

/// How a worker reaches git over ssh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SshMode {
    /// The agent's socket is forwarded.
    Agent,
    /// `~/.ssh`, read-only.
    Keys,
    /// Not at all.
    None,
}

/// How a pool warms its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WarmMode {
    /// Waiting at the gate, before the command.
    Gate,
    /// With the command running.
    Running,
}

/// The per-worker directory of the agent's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentHome {
    /// Where settings are copied from, on this machine.
    pub from: String,
    /// Where the directory stands in the worker.
    pub to: String,
    /// The files to copy, by name; missing ones are passed over.
    pub copy: Vec<String>,
}

/// Limits of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// CPUs, in whole and parts; 0: no limit.
    pub cpus: f64,
    /// Memory, swap included; 0: no limit.
    pub memory: ByteSize,
    /// Memory that the kernel tries to leave it; empty: none.
    #[serde(with = "optional_size")]
    pub memory_reservation: Option<ByteSize>,
    /// Processes and threads; 0: no limit.
    pub pids: u32,
    /// Open files, soft and hard.
    pub nofile: (u64, u64),
    /// Size of one log file in the engine.
    pub log_max_size: ByteSize,
    /// Log files kept in the engine.
    pub log_max_files: u32,
}

impl Eq for Limits {}

mod optional_size {
    use super::ByteSize;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde's `with` hands out this shape")]
    pub fn serialize<S: Serializer>(size: &Option<ByteSize>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&size.map(|s| s.to_string()).unwrap_or_default())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ByteSize>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
    }
}

/// The engine's health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The probe's argv; empty: no check.
    pub test: Vec<String>,
    /// Time between probes.
    pub interval: Span,
    /// Time for one probe.
    pub timeout: Span,
    /// Failures in a row until it counts as unhealthy.
    pub retries: u32,
}

/// When a refresh may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefreshWhen {
    /// Nobody attached, no agent at work.
    Idle,
    /// As soon as it is due.
    Always,
    /// Only by the user's word.
    Ask,
}

/// When a worker is made anew, its workspace and agent home kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// Off: only by `podbay refresh`.
    pub enabled: bool,
    /// Age since it was made; 0: never by age.
    pub max_age: Span,
    /// Percent of the workspace's file system in use.
    pub max_disk_percent: u8,
    /// Percent of the memory limit in use.
    pub max_memory_percent: u8,
    /// Failed probes in a row.
    pub failed_health_checks: u32,
    /// Whether it waits for an idle moment.
    pub when: RefreshWhen,
}

/// How many warm workers of a template are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    /// Warm workers to keep.
    pub target: u32,
    /// Below this, refilling is urgent.
    pub min: u32,
    /// Workers made at the same time, at most.
    pub max_creating: u32,
    /// When nobody has asked for a worker for so long, only `min` are kept until somebody does; 0: never.
    pub idle_timeout: Span,
}

/// How a worker is made: the `[worker]` table with one `[[template]]` laid over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The template's name; `default` for the `[worker]` table itself.
    pub name: Name,
    /// The image.
    pub image: ImageRef,
    /// The main process, on the worker's tty.
    pub command: Vec<String>,
    /// `uid:gid` or a name; empty: the invoking user.
    pub user: String,
    /// The network namespace.
    pub network: NetworkMode,
    /// Container ports to publish (bridge only).
    pub ports: Vec<u16>,
    /// Where their host ports are drawn from.
    pub port_range: PortRange,
    /// What stands at `/workspace`.
    pub workspace: WorkspaceMode,
    /// The directory to bind, or the repository to clone; empty: none.
    pub project: String,
    /// Mounts beside the workspace.
    pub mounts: Vec<MountRule>,
    /// Directories that the clones of one repository share.
    pub volumes: Vec<VolumeRule>,
    /// A shell command that installs what a clone's repository needs; empty: none.
    pub setup: String,
    /// Git over ssh.
    pub ssh: SshMode,
    /// The agent's settings.
    pub agent_home: AgentHome,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Files of `KEY=VALUE` lines, under `env` in precedence.
    pub env_file: Vec<String>,
    /// Names of secrets, each a file under `/run/secrets`.
    pub secrets: Vec<Name>,
    /// Removed by podbay once its main process ends.
    pub remove_on_exit: bool,
    /// Services that come before its workers. Never a name that is not configured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub depends_on: Needs,
    /// Limits.
    pub limits: Limits,
    /// Walls.
    pub hardening: Hardening,
    /// The engine's health check.
    pub health: Health,
    /// When it is made anew.
    pub refresh: Refresh,
    /// Its pool, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSpec>,
    /// How the pool warms it.
    pub warm: WarmMode,
    /// One more volume, that a request asked for by its name; never of the configuration.
    #[serde(skip)]
    pub named_volume: Option<VolumeName>,
}

impl Template {
    /// Twelve hex digits over the whole definition but the pool's size and what comes before: a warm worker of another
    /// hash is stale.
    #[must_use]
    pub fn hash(&self) -> String {
        let definition = Self { pool: None, depends_on: Needs::new(), ..self.clone() };
        // Serialising plain data with string keys can't fail; an empty hash would only mean "stale".
        let json = serde_json::to_vec(&definition).unwrap_or_default();
        short_hash(&json)
    }
}

/// Twelve hex digits of SHA-256.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    let mut text = super::owner::hex(&Sha256::digest(bytes));
    text.truncate(12);
    text
}

/// The parent: it holds the namespace and publishes the ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentSpec {
    /// The image.
    pub image: ImageRef,
    /// Empty: hold the namespace, nothing more.
    pub command: Vec<String>,
    /// Published ports.
    pub ports: Vec<PortRule>,
    /// Mounts.
    pub volumes: Vec<MountRule>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// What happens when the parent is lost.
    pub repair: Repair,
}

impl ParentSpec {
    /// Twelve hex digits over what the container is made of: a parent of another hash is not as the configuration says.
    #[must_use]
    pub fn hash(&self) -> String {
        let made = Self { repair: Repair::Ask, ..self.clone() };
        short_hash(&serde_json::to_vec(&made).unwrap_or_default())
    }
}

/// What podbay does when the parent is lost and its workers are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    /// Says so and waits for the user's key or verb.
    Ask,
    /// Brings the parent back and its workers after it.
    Auto,
}

/// What a user asks for beyond the template. Kept in a label, so a refresh makes the same worker again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// A project directory, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<PathBuf>,
    /// A repository's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// A branch of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Its repository's image is made anew first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rebuild: bool,
    /// Another image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub image: Option<ImageRef>,
    /// Another memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub memory: Option<ByteSize>,
    /// Another CPU limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Another process limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// More environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Another network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// Container ports to publish (bridge only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// A volume for its packages, at `/workspace/node_modules`: all workers that name the same one share it.
    #[serde(rename = "volumeName", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub volume: Option<VolumeName>,
    /// Removed when it ends.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rm: bool,
    /// Another command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

impl Overrides {
    /// The template with what the user asked for laid over it.
    #[must_use]
    pub fn over(&self, template: &Template) -> Template {
        let mut made = template.clone();
        if let Some(project) = &self.project {
            made.project = project.to_string_lossy().into_owned();
            made.workspace = WorkspaceMode::Bind;
        }
        if let Some(repo) = &self.repo {
            made.project.clone_from(repo);
            made.workspace = WorkspaceMode::Clone;
        }
        if let Some(image) = &self.image {
            made.image = image.clone();
        }
        made.limits.memory = self.memory.unwrap_or(made.limits.memory);
        made.limits.cpus = self.cpus.unwrap_or(made.limits.cpus);
        made.limits.pids = self.pids.unwrap_or(made.limits.pids);
        made.env.extend(self.env.clone());
        made.network = self.network.unwrap_or(made.network);
        if !self.ports.is_empty() {
            made.ports.clone_from(&self.ports);
        }
        made.named_volume.clone_from(&self.volume);
        made.remove_on_exit |= self.rm;
        if !self.command.is_empty() {
            made.command.clone_from(&self.command);
        }
        made
    }
}
