//! The bay as a whole, its engine, and how much room there is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alert::AlertRow;
use super::container::ContainerRow;
use super::network::NetworkStatus;
use super::pool::PoolRow;
use super::service::ServiceRow;
use crate::bay::isolation::Isolation;

/// How the supervisor stands with its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Trying for the first time.
    Connecting,
    /// It answers.
    Up,
    /// It does not answer; podbay tries again.
    Away,
}

/// The engine, in `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineStatus {
    /// `docker`, `podman`, `local`; empty while it has never answered.
    pub kind: String,
    /// How far its containers are kept apart from its machine; `null` while it has never answered.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// The level that is wanted: that of its containers once it answers.
    #[serde(default)]
    pub wanted: Option<Isolation>,
    /// Something weaker that could be had, where that is all that is missing: by the user's word alone.
    #[serde(default)]
    pub weaker: Option<Isolation>,
    /// Where it is.
    pub endpoint: String,
    /// Its version; empty while it has never answered.
    pub version: String,
    /// Whether it answers.
    pub state: LinkState,
    /// Why it does not.
    pub reason: Option<String>,
    /// When podbay tries again.
    pub next_try_at: Option<Timestamp>,
    /// What it can't do, each with its reason.
    pub limits: Vec<String>,
}

impl EngineStatus {
    /// Its level in words: while it has never answered, the one that is wanted.
    #[must_use]
    pub fn level(&self) -> Option<String> {
        let wanted = || self.wanted.map(|level| format!("{level} wanted"));
        self.isolation.map(|level| level.to_string()).or_else(wanted)
    }

    /// Whether its containers are, or would be, kept apart by less than namespaces: never without being shown.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.isolation.or(self.wanted).is_some_and(|level| level < Isolation::Namespaces)
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_here(&self) -> bool {
        ["unix://", "local://"].iter().any(|scheme| self.endpoint.starts_with(scheme))
    }
}

/// Bytes on the state directory's file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// In all.
    pub total: u64,
    /// To be had.
    pub free: u64,
}

/// What the engine's machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// CPUs.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Memory that could be had at this moment; `null` where it can't be seen.
    #[serde(default)]
    pub memory_free: Option<u64>,
    /// Memory that running workers may take by their limits, warm ones too.
    #[serde(default)]
    pub memory_promised: u64,
    /// How many more workers of the default template fit; `null` when nothing ends it.
    pub workers: Option<u64>,
    /// The same for each template, the default first.
    #[serde(default)]
    pub templates: Vec<TemplateRoom>,
}

/// How many more workers of one template fit, if each takes what it may; `null`: that one does not end it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateRoom {
    /// The template.
    pub template: String,
    /// The least of the three.
    pub workers: Option<u64>,
    /// Which of the three that is: `memory`, `cpu` or `disk`.
    pub ends_first: Option<String>,
    /// By memory.
    pub by_memory: Option<u64>,
    /// By CPUs, none shared.
    pub by_cpu: Option<u64>,
    /// By disk.
    pub by_disk: Option<u64>,
}

impl std::fmt::Display for TemplateRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Some(count), Some(first)) = (self.workers, self.ends_first.as_deref()) else {
            return write!(f, "{}: no limit ends its number", self.template);
        };
        let all = [("memory", self.by_memory), ("cpu", self.by_cpu), ("disk", self.by_disk)];
        let others: Vec<String> = all
            .into_iter()
            .filter(|(word, _)| *word != first)
            .filter_map(|(word, count)| Some(format!("{word} {}", count?)))
            .collect();
        let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
        let past = if first == "cpu" { "; past that they share CPUs" } else { "" };
        write!(f, "{}: room for {count} more, {first} ends first{others}{past}", self.template)
    }
}

/// `status --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The bay's name.
    pub bay: String,
    /// podbay's version.
    pub version: String,
    /// The supervisor's pid.
    pub pid: u32,
    /// The engine.
    pub engine: EngineStatus,
    /// The way out of the bay.
    #[serde(default)]
    pub network: NetworkStatus,
    /// The parent, when there is one.
    pub parent: Option<ContainerRow>,
    /// Workers by state.
    pub workers: BTreeMap<String, u64>,
    /// Pools.
    pub pool: Vec<PoolRow>,
    /// Services.
    pub services: Vec<ServiceRow>,
    /// The state directory's file system.
    pub disk: Disk,
    /// The engine's machine.
    pub capacity: Capacity,
    /// Seconds since the supervisor started.
    pub uptime_s: u64,
    /// Templates by name, the default first.
    pub templates: Vec<String>,
    /// Troubles of the supervisor itself, in words: a state file that can't be written, a configuration that is not read.
    pub troubles: Vec<String>,
    /// Alerts that fire.
    #[serde(default)]
    pub alerts: Vec<AlertRow>,
}

impl Status {
    /// Equal but for what changes by itself with time.
    pub(super) fn same_but_for_time(&self, other: &Self) -> bool {
        let timeless = |status: &Self| Self {
            uptime_s: 0,
            disk: Disk::default(),
            capacity: Capacity { memory_free: None, ..status.capacity.clone() },
            ..status.clone()
        };
        timeless(self) == timeless(other)
    }
}

/// `GET /health`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Always `ok`: who can't answer says nothing.
    pub status: String,
    /// Containers of the bay.
    pub container_count: u64,
    /// Seconds since the supervisor started.
    pub uptime: f64,
}
