//! A repository for a worker that is there already.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /api/containers/{id}/setup`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SetupRequest {
    /// `owner/repo` on GitHub, or a repository's URL.
    pub repo: String,
    /// A branch of it, or a new one; absent: its default branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Opens a private repository on GitHub; kept nowhere longer than it takes to clone it, for the image, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github_token: Option<String>,
    /// Told of each phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Signs what it is told. Of 32 or more characters, it also opens this container's terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_secret: Option<String>,
    /// The container was made from the repository's image: what the setup command installs is there already.
    pub has_main_image: bool,
    /// Makes the repository's image, `<owner>-<repo>:main`, once the setup is done and there is none.
    pub build_main_image: bool,
    /// Environment of the setup command, and of all that is run in the container from then on beside its program.
    pub env_vars: BTreeMap<String, String>,
}

impl fmt::Debug for SetupRequest {
    /// Without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetupRequest").field("repo", &self.repo).field("branch", &self.branch).finish_non_exhaustive()
    }
}

/// The answer to a setup, which has only begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupReply {
    /// The engine's id.
    pub id: String,
    /// The worker's name.
    pub name: String,
    /// Its first phase.
    pub status: SetupPhase,
    /// What is done otherwise than asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How far a setup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SetupPhase {
    /// The repository is fetched and cloned.
    Cloning,
    /// The template's setup command runs.
    Installing,
    /// All is there; the worker's program goes on with it.
    Ready,
    /// It could not be done.
    Failed,
}

impl SetupPhase {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloning => "cloning",
            Self::Installing => "installing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// What a callback is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetupReport {
    /// The id that the setup was answered with.
    pub container_id: String,
    /// The worker's name.
    pub name: String,
    /// How far it is.
    pub status: SetupPhase,
    /// In words; of a failure: why.
    pub message: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}
