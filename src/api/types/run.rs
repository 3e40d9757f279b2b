//! One command in a container, from its beginning to its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /api/containers/{id}/exec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunRequest {
    /// What is run.
    pub command: Script,
    /// Milliseconds that it may take; absent: a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// What is run in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Script {
    /// A line for the container's shell.
    Line(String),
    /// An argv.
    Argv(Vec<String>),
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunReply {
    /// What it ended with; `null`: it was ended, or nobody knows.
    pub exit_code: Option<i64>,
    /// What it printed, invalid UTF-8 replaced.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// It took too long, and was killed.
    pub timed_out: bool,
    /// More was printed than is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}
