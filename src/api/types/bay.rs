//! What is asked of the whole bay, and what was done.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bay::isolation::Isolation;

/// The answer to a verb.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// What was done, in words: `repaired 3 workers`.
    pub text: String,
    /// What the user should know beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The answer to `POST /api/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The isolation of what this supervisor makes without a daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// `POST /api/up`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UpRequest {
    /// Only what is missing: nothing that runs is restarted, nothing that the user stopped is started.
    pub gently: bool,
}

/// `POST /api/isolation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IsolationRequest {
    /// How far containers without a daemon are to be kept apart.
    pub level: Isolation,
}

/// `POST /api/down`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DownRequest {
    /// Stop the workers too.
    pub workers: bool,
    /// End the supervisor, leave every container as it is.
    pub supervisor_only: bool,
}
