//! Services, and what can be asked of one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bay::container::Role;
use crate::bay::matching::Named;

use super::container::{ContainerRow, State};

/// One service, in `status` and `service ls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

    fn kind(&self) -> &'static str {
        "service"
    }
}

impl ServiceRow {
    /// The same as a row among containers, under the name that a container of it has: what shows one shows the other.
    #[must_use]
    pub fn as_container(&self) -> ContainerRow {
        let state = match self.state.as_str() {
            "running" | "stopping" => State::Running,
            "stopped" | "exited" => State::Exited,
            // One that is started again after its end is not being made: it failed, and its reason says what comes.
            "failed" | "stuck" | "backoff" => State::Failed,
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
            isolation: None,
            attention: None,
            reason: self.reason.clone(),
            call: None,
        }
    }
}

/// What can be asked of a service: `POST /api/services/{name}/{verb}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
