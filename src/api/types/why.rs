//! One answer for anything that is not as it should be.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::HistoryLine;
use crate::bay::isolation::Isolation;

/// `GET /api/why/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// What a worker that runs needs of somebody, how that is known, and since when; `null`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// How far its present run is kept apart from the machine; `null` when it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// What its engine can't do of what it asked for, each with its reason; of the parent, all that it can't do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
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
