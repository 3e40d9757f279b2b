//! The shapes on the wire. INTERFACE's JSON and this file are the same thing; a field here is a promise.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bay::attention::Attention;
use crate::bay::container::{HealthState, Role};
use crate::bay::matching::Named;
use crate::bay::name::Name;
use crate::bay::port::{PortMapping, Protocol};
use crate::bay::session::{SessionId, SessionKind, TermSize};
use crate::bay::template::Overrides;

/// Where a container is, in podbay's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Whether and why it needs somebody.
    pub attention: Option<String>,
    /// Why it is not simply running; `null` when it is.
    pub reason: Option<String>,
}

impl Named for ContainerRow {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// How the supervisor stands with its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// `docker`, `podman`; empty while it has never answered.
    pub kind: String,
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

/// One template's pool, in `status` and `pool status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolRow {
    /// The template.
    pub template: String,
    /// Warm workers to keep.
    pub target: u32,
    /// Urgent below this.
    pub min: u32,
    /// Made at once, at most.
    pub max_creating: u32,
    /// Ready to be claimed.
    pub warm: u32,
    /// Handed out.
    pub claimed: u32,
    /// Being made.
    pub creating: u32,
    /// Claims that found a warm worker.
    pub hits: u64,
    /// Claims that did not.
    pub misses: u64,
    /// Claim to first output.
    pub claim_ms: Percentiles,
    /// The last error, or why the pool stands still.
    pub last_error: Option<String>,
    /// Made, and not known to wait yet.
    #[serde(default)]
    pub probing: u32,
    /// Of no use any more, or being removed.
    #[serde(default)]
    pub draining: u32,
    /// When the pool tries again; `null` while it need not.
    #[serde(default)]
    pub next_try_at: Option<Timestamp>,
}

/// `POST /api/pool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRequest {
    /// Which pool; absent: the only one to scale, all to drain or clean up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Name>,
    /// What to do.
    #[serde(flatten)]
    pub order: PoolOrder,
}

/// What a pool can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "lowercase")]
pub enum PoolOrder {
    /// Keep so many warm, until the configuration is read anew.
    Scale {
        /// So many.
        target: u32,
    },
    /// Let all go, and make no more until it is scaled.
    Drain,
    /// Let go what is of no use, forget errors and try again now.
    Cleanup,
}

/// Two percentiles in milliseconds; `null` before the first claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
}

/// One service, in `status` and `service ls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// Its name.
    pub name: String,
    /// `container` or `host`.
    pub run: String,
    /// Why it can't live in a container.
    pub reason_for_host: Option<String>,
    /// Its state.
    pub state: String,
    /// Its main process.
    pub pid: Option<u32>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// Whether it is ready; `null` when not known.
    pub ready: Option<bool>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it last ended.
    pub last_exit: Option<String>,
    /// When it is started next.
    pub next_start_at: Option<Timestamp>,
    /// What it waits for.
    pub depends_on: BTreeMap<String, String>,
    /// Why it is not simply running.
    pub reason: Option<String>,
    /// When its present run began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Whether its terminal can be looked at.
    #[serde(default)]
    pub tty: bool,
}

impl Named for ServiceRow {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &'static str {
        ""
    }
}

impl ServiceRow {
    /// The same as a row among containers, under the name that a container of it has: what shows one shows the other.
    #[must_use]
    pub fn as_container(&self) -> ContainerRow {
        let state = match self.state.as_str() {
            "running" => State::Running,
            "stopped" | "exited" => State::Exited,
            "failed" | "stuck" => State::Failed,
            "unknown" => State::Unknown,
            _ => State::Creating,
        };
        ContainerRow {
            // Constant: its log goes on from one run to the next.
            id: format!("service {}", self.name),
            name: format!("svc-{}", self.name),
            role: Role::Service,
            template: String::new(),
            state,
            image: String::new(),
            network: self.run.clone(),
            project: None,
            branch: None,
            ports: Vec::new(),
            health: None,
            restarts: self.restarts,
            created_at: None,
            started_at: self.started_at,
            attention: None,
            reason: self.reason.clone(),
        }
    }
}

/// What can be asked of a service: `POST /api/services/{name}/{verb}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceVerb {
    /// Starts it and what it waits for; earlier failures are forgiven.
    Start,
    /// Stops it, until it is started by hand.
    Stop,
    /// Stops and starts it.
    Restart,
}

impl ServiceVerb {
    /// The word in a route.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// The word once it is done.
    #[must_use]
    pub const fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Restart => "restarted",
        }
    }
}

/// One image that podbay made: a row of `image ls --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRow {
    /// `<owner>-<repo>:main`.
    pub reference: String,
    /// The engine's id.
    pub id: String,
    /// Which repository it is of.
    pub repository: String,
    /// The image that it was made from.
    pub base: String,
    /// `ready`, `replaced` (another has its name now) or `gone` (removed by somebody).
    pub state: String,
    /// Bytes, layers of the base counted; `null` when it is gone.
    pub size: Option<u64>,
    /// When it was made.
    pub built_at: Timestamp,
}

/// Bytes on the state directory's file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// In all.
    pub total: u64,
    /// To be had.
    pub free: u64,
}

/// What the engine's machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// CPUs.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Memory that could be had at this moment; `null` where it can't be seen.
    #[serde(default)]
    pub memory_free: Option<u64>,
    /// How many more workers of the default template fit; `null` when nothing ends it.
    pub workers: Option<u64>,
    /// The same for each template, the default first.
    #[serde(default)]
    pub templates: Vec<TemplateRoom>,
}

/// How many more workers of one template fit, if each takes what it may; `null`: that one does not end it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The bay's name.
    pub bay: String,
    /// podbay's version.
    pub version: String,
    /// The supervisor's pid.
    pub pid: u32,
    /// The engine.
    pub engine: EngineStatus,
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
}

/// One terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// The container's name inside the bay.
    pub name: String,
    /// Main tty or one more shell.
    pub kind: SessionKind,
    /// The program, as a title.
    pub title: String,
    /// Its present size.
    pub size: TermSize,
    /// Clients that look at it.
    pub clients: u32,
    /// Ended: the last screen is kept until the session is closed.
    pub ended: Option<String>,
    /// Whether its program waits for somebody; absent: it never gave a sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
}

/// One line of the bay's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Its number, counted from the supervisor's start.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What it is about; `null`: the bay itself.
    pub name: Option<String>,
    /// What happened, in words.
    pub text: String,
}

/// All that the dashboard shows, in one piece: the first event of `/api/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Number of the last change that is in it.
    pub seq: u64,
    /// The bay.
    pub status: Status,
    /// Parent, workers and services that are containers, in the order of `ls`.
    pub containers: Vec<ContainerRow>,
    /// Open terminals.
    pub sessions: Vec<SessionRow>,
    /// The newest lines of the history, oldest first.
    pub history: Vec<HistoryLine>,
}

/// What changed since the last event of this stream. Absent means unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Number of this change.
    pub seq: u64,
    /// The bay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Rows that are new or changed, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerRow>,
    /// Names of rows that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// All sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<SessionRow>>,
    /// New lines of the history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryLine>,
}

/// One event of `/api/events`.
#[derive(Clone, Debug, PartialEq)]
pub enum BayEvent {
    /// `event: snapshot`.
    Snapshot(Box<Snapshot>),
    /// `event: change`.
    Change(Box<Change>),
}

impl Snapshot {
    /// Lays a change over it. Rows keep their order; new ones are put where `ls` would have them.
    pub fn apply(&mut self, change: Change) {
        self.seq = change.seq;
        if let Some(status) = change.status {
            self.status = status;
        }
        self.containers.retain(|row| !change.removed.contains(&row.name));
        for row in change.containers {
            match self.containers.iter_mut().find(|known| known.name == row.name) {
                Some(known) => *known = row,
                None => self.containers.push(row),
            }
        }
        self.containers.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
        if let Some(sessions) = change.sessions {
            self.sessions = sessions;
        }
        self.history.extend(change.history);
        let surplus = self.history.len().saturating_sub(HISTORY_KEPT);
        self.history.drain(..surplus);
    }

    /// What a client that has `older` must be told; `None` when nothing changed.
    #[must_use]
    pub fn since(&self, older: &Self) -> Option<Change> {
        let known = |name: &str| older.containers.iter().find(|row| row.name == name);
        let status = (!self.status.same_but_for_time(&older.status)).then(|| self.status.clone());
        let containers: Vec<ContainerRow> =
            self.containers.iter().filter(|row| known(&row.name) != Some(row)).cloned().collect();
        let gone = |row: &&ContainerRow| !self.containers.iter().any(|now| now.name == row.name);
        let removed: Vec<String> = older.containers.iter().filter(gone).map(|row| row.name.clone()).collect();
        let sessions = (self.sessions != older.sessions).then(|| self.sessions.clone());
        let last = older.history.last().map_or(0, |line| line.seq);
        let history: Vec<HistoryLine> = self.history.iter().filter(|line| line.seq > last).cloned().collect();
        let change = Change { seq: self.seq, status, containers, removed, sessions, history };
        let empty = Change { seq: self.seq, ..Change::default() };
        (change != empty).then_some(change)
    }
}

impl Status {
    /// Equal but for what changes by itself with time.
    fn same_but_for_time(&self, other: &Self) -> bool {
        let timeless = |status: &Self| Self {
            uptime_s: 0,
            disk: Disk::default(),
            capacity: Capacity { memory_free: None, ..status.capacity.clone() },
            ..status.clone()
        };
        timeless(self) == timeless(other)
    }
}

/// Lines of history that a snapshot holds.
pub const HISTORY_KEPT: usize = 500;

/// `POST /api/containers`. Also the seed's request: there `volumeName` and `pool` are read, too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpawnRequest {
    /// The worker's name; absent: podbay finds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The template; absent: the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Name>,
    /// What differs from it.
    #[serde(flatten)]
    pub overrides: Overrides,
    /// The size of the terminal that will look at it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<TermSize>,
}

/// The answer to a spawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnReply {
    /// The engine's id.
    pub id: String,
    /// The worker's name.
    pub name: String,
    /// The first published port, if there is one.
    #[serde(rename = "hostPort", default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// It was warm, and claimed.
    #[serde(default)]
    pub claimed: bool,
    /// What was done otherwise than asked, in words: why it was a cold start although there is a pool, an optional mount that is missing, a limit that is not enforced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What can be asked of one container: `POST /api/containers/{id}/{verb}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The answer to a verb.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What was done, in words: `repaired 3 workers`.
    pub text: String,
    /// What the user should know beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The answer to `POST /api/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// In words: `the configuration is unchanged`.
    pub text: String,
    /// The file that was read, absolute; `null`: there is none, and the defaults are in effect.
    pub source: Option<PathBuf>,
    /// A line for each part that changed: `~ parent: ports [] -> ["3000:3000"]`; `+` new, `-` gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// What does not follow by itself, and what would do it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Some of it is in effect only in a new supervisor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_restart: bool,
}

/// `POST /api/up`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpRequest {
    /// Only what is missing: nothing that runs is restarted, nothing that the user stopped is started.
    pub gently: bool,
}

/// `POST /api/down`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DownRequest {
    /// Stop the workers too.
    pub workers: bool,
    /// End the supervisor, leave every container as it is.
    pub supervisor_only: bool,
}

/// `GET /api/why/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What was asked about.
    pub name: String,
    /// What that is: `parent`, `worker`, `service` or `pool`.
    #[serde(default)]
    pub kind: String,
    /// What is wanted of it.
    pub wanted: String,
    /// What is seen of it.
    pub observed: String,
    /// Why the two differ; `null` when they do not.
    pub reason: Option<String>,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// What went wrong last, in words.
    pub last_error: Option<String>,
    /// How it last ended, in words; `null` when it runs, or never did.
    #[serde(default)]
    pub last_exit: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next.
    pub next_try_at: Option<Timestamp>,
    /// What a user can do about it.
    pub hint: Option<String>,
    /// Its newest lines of history, oldest first.
    pub history: Vec<HistoryLine>,
}

/// `GET /api/containers/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerDetail {
    /// The row of `ls`.
    #[serde(flatten)]
    pub row: ContainerRow,
    /// The engine's own words.
    pub inspect: Value,
}

/// One container's figures: a row of `stats --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// One port of the bay: a row of `GET /api/ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRow {
    /// On the engine's machine; `null`: it leads nowhere outside of the bay.
    pub port: Option<u16>,
    /// In the container's namespace.
    pub inside: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Whose it is, by its name in the bay; empty when that is nobody's, or can't be seen.
    pub name: String,
    /// The program that listens, when that can be seen.
    pub process: Option<String>,
    /// Its pid on this machine.
    pub pid: Option<u32>,
    /// Where it is reached from the engine's machine.
    pub url: Option<String>,
    /// Why it is not reached.
    pub reason: Option<String>,
}

/// One line of `GET /api/containers/{id}/logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The line, invalid UTF-8 replaced; control characters are still in it.
    pub line: String,
    /// Milliseconds since 1970; `null` when the engine does not tell.
    pub timestamp: Option<i64>,
    /// `true` when it came by stderr.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stderr: bool,
}

/// `POST /api/containers/{id}/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionRequest {
    /// The program; empty: the best shell there is.
    pub command: Vec<String>,
    /// The size of the terminal that asks.
    pub size: TermSize,
}

/// A text that is typed may have so many bytes.
pub const SEND_MAX: usize = 256 << 10;

/// `POST /api/containers/{id}/send`: types a text into the main tty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendRequest {
    /// The text; it goes in as a paste where the program asked for that.
    pub text: String,
    /// Press Enter after it.
    pub enter: bool,
}

/// First text frame of the `/api/containers/{id}/exec` WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecRequest {
    /// Its argv.
    pub command: Vec<String>,
    /// With a tty of this size.
    pub tty: Option<TermSize>,
}

/// Text frames of the `terminal` and `exec` streams. Binary frames are the program's bytes, both ways (`exec` without a
/// tty: the first byte of a frame from the server is 1 for stdout, 2 for stderr).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Frame {
    /// Client: my terminal has this size.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Client: no more input (exec without a tty).
    Eof,
    /// Server: the next binary frame redraws the whole screen, at this size. Comes first, and whenever this client was
    /// too slow for the live bytes.
    Reset {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Server: the terminal now has this size (another client typed last).
    Size {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Server: the program has ended; nothing follows.
    Ended {
        /// In words: `exited with code 0`.
        reason: String,
        /// The exit code, when known.
        code: Option<i64>,
    },
}

/// One finding of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `engine`, `namespace sharing`.
    pub check: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, in words.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How a finding of `doctor` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, with a limit.
    Warn,
    /// Would stop a worker.
    Fail,
    /// Could not be looked at.
    Skipped,
}

/// What every failed request answers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// The error inside an [`ErrorBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A word for programs: `not-found`, `name-taken`, `busy`, `unsaved` (work would be lost: a line of the message each), `invalid`, `engine-away`, `port-taken`, `refused`, `internal`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
