//! What an engine is asked to make, and what it says it has.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::isolation::Isolation;
use super::mount::Mount;
use super::name::ContainerName;
use super::port::PortMapping;
use super::service::StopSignal;
use super::template::{Hardening, Health, Limits};

/// The engine's full id of a container. Everything that is changed is addressed by it, never by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes the engine's word for it.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The full id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, as `docker ps` prints it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a container is to its bay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Owns the network namespace.
    Parent,
    /// Runs an agent or a shell.
    Worker,
    /// A shared service in a container.
    Service,
}

impl Role {
    /// The word in labels and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Worker => "worker",
            Self::Service => "service",
        }
    }

    /// Reads the word in a label.
    #[must_use]
    pub fn from_label(text: &str) -> Option<Self> {
        [Self::Parent, Self::Worker, Self::Service].into_iter().find(|role| role.as_str() == text)
    }
}

/// Label keys on everything that podbay makes in an engine.
pub mod label {
    /// The bay's name.
    pub const BAY: &str = "podbay.bay";
    /// [`Role`](super::Role).
    pub const ROLE: &str = "podbay.role";
    /// The template's name.
    pub const TEMPLATE: &str = "podbay.template";
    /// The hash of the template's definition when the container was made.
    pub const TEMPLATE_HASH: &str = "podbay.template-hash";
    /// `<nonce>:<hmac>`, see [`owner`](crate::bay::owner).
    pub const OWNER: &str = "podbay.owner";
    /// What the user asked for beyond the template, as JSON: a refresh makes the same worker again.
    pub const REQUEST: &str = "podbay.request";
    /// Of a worker that was made for the pool: `gate` or `running`.
    pub const WARM: &str = "podbay.warm";
    /// Of a worker that was made for the pool: the name that it was made under, and its private directories.
    pub const WARM_NAME: &str = "podbay.warm-name";
    /// Of a worker that was made for the pool: its image as the engine then knew it, as JSON.
    pub const IMAGE: &str = "podbay.image";
}

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ImageRef {
    /// The built-in image over the machine's own `/usr`.
    Host,
    /// An image that the engine knows by this reference.
    Named(String),
}

impl From<String> for ImageRef {
    fn from(text: String) -> Self {
        if text == "host" { Self::Host } else { Self::Named(text) }
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Named(name) => f.pad(name),
        }
    }
}

/// What an image says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The engine's id of what the reference means now.
    pub id: String,
    /// What is run before the command, or with it.
    pub entrypoint: Vec<String>,
    /// The command where none is given.
    pub command: Vec<String>,
}

/// Which network namespace a container is to live in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkSpec {
    /// The namespace of this running container.
    Join(ContainerId),
    /// Its own, on the engine's default bridge, with these ports published.
    Bridge(Vec<PortMapping>),
    /// Its own, with a loopback interface only.
    None,
    /// The same, but for what podbay itself passes in and out.
    Walled(Wall),
}

/// A network with nothing but a loopback, and what podbay passes through its wall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// Published ports: passed in.
    pub ports: Vec<PortMapping>,
    /// Ports of its loopback that podbay listens on before any program of it does.
    pub listen: Vec<u16>,
    /// The one of them that is a proxy: programs are told of it by their environment.
    pub proxy: Option<u16>,
}

impl NetworkSpec {
    /// The ports that are published.
    #[must_use]
    pub fn published(&self) -> &[PortMapping] {
        match self {
            Self::Bridge(ports) | Self::Walled(Wall { ports, .. }) => ports,
            Self::Join(_) | Self::None => &[],
        }
    }

    /// Whether there is nothing but a loopback.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        matches!(self, Self::None | Self::Walled(_))
    }
}

/// A container as the engine is asked to make it. Complete: the engine adds nothing of its own choosing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The engine's name for it.
    pub name: ContainerName,
    /// The image.
    pub image: ImageRef,
    /// In place of the image's entrypoint; empty: the image's own.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// The main process; empty: the image's own.
    pub command: Vec<String>,
    /// `uid:gid` or a user of the image; `None`: the image's own.
    pub user: Option<String>,
    /// What it calls itself; only where it has a network namespace of its own. `None`: the engine's choice.
    pub hostname: Option<String>,
    /// The working directory; `None`: the image's own.
    pub workdir: Option<PathBuf>,
    /// Environment of the main process.
    pub env: BTreeMap<String, String>,
    /// Labels, podbay's own included.
    pub labels: BTreeMap<String, String>,
    /// The network namespace.
    pub network: NetworkSpec,
    /// Bind mounts; sources are canonical, checked paths.
    pub mounts: Vec<Mount>,
    /// Whether the main process has a tty, open for attaching.
    pub tty: bool,
    /// What asks it to end; `None`: what its image says, SIGHUP where there is a tty.
    #[serde(default)]
    pub stop_signal: Option<StopSignal>,
    /// Limits of CPU, memory, processes, files and log size.
    pub limits: Limits,
    /// Capabilities and other walls.
    pub hardening: Hardening,
    /// The engine's own health check.
    pub health: Option<Health>,
}

/// The life of a container as the engine tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Made, never started (or its start failed: then `error` says why).
    Created {
        /// The engine's message of the failed start, empty when none was tried.
        error: String,
    },
    /// Its main process is there.
    Running {
        /// The pid on the engine's machine; 0 when the engine does not tell.
        pid: u32,
        /// When this run began, by the engine's clock.
        since: Timestamp,
        /// Frozen by `pause`.
        paused: bool,
    },
    /// Its main process has ended.
    Exited {
        /// The exit code; 128 + n after signal n.
        code: i64,
        /// The kernel killed the main process for its memory.
        oom: bool,
        /// When it ended, by the engine's clock.
        at: Option<Timestamp>,
        /// The engine's own message, empty when it has none.
        error: String,
    },
    /// On its way out, or stuck there.
    Removing,
    /// The engine has it, but can't say how it is. Nothing may be concluded from it.
    Unclear {
        /// What the engine said instead.
        error: String,
    },
}

impl Status {
    /// Whether the main process is there.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Whether its main process is there for all that is known.
    #[must_use]
    pub const fn may_run(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Unclear { .. })
    }

    /// When the current run began.
    #[must_use]
    pub const fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Running { since, .. } => Some(*since),
            _ => None,
        }
    }
}

/// The network namespace that a container is bound to, as the engine tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedNetwork {
    /// One of its own.
    Own,
    /// That of the container with this id (which need not exist any more).
    Of(ContainerId),
}

/// The engine's health verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Not judged yet.
    Starting,
    /// The last probe passed.
    Healthy,
    /// As many probes in a row failed as `retries` says.
    Unhealthy,
}

/// A container as the engine tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The full id.
    pub id: ContainerId,
    /// The engine's name, without a leading slash.
    pub name: String,
    /// The image reference it was made from.
    pub image: String,
    /// All labels, as found: whoever can make containers can write them.
    pub labels: BTreeMap<String, String>,
    /// Where it is in its life.
    pub status: Status,
    /// When it was made, by the engine's clock.
    pub created_at: Timestamp,
    /// The namespace it is bound to.
    pub network: ObservedNetwork,
    /// Ports published on the engine's machine.
    pub ports: Vec<PortMapping>,
    /// `None` without a health check.
    pub health: Option<HealthState>,
    /// Failed probes in a row.
    pub failed_probes: u32,
    /// Whether its main process has a tty.
    pub tty: bool,
    /// How far its present run is kept apart from the machine, where an engine can do that in several ways.
    pub isolation: Option<Isolation>,
}

impl Observed {
    /// The role in its label, if that can be read.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.labels.get(label::ROLE).and_then(|text| Role::from_label(text))
    }

    /// One label's text, empty when missing.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }
}
