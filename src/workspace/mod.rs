//! What a worker finds: its workspace, home, agent settings, mounts and secrets, as directories of this machine.
//!
//! Makes directories and files below the state directory and nowhere else; never removes what a user put there without
//! being told to. Knows no engine. Called by the supervisor's executor, off its task.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::bay::mount::Mount;
use crate::bay::name::Name;
use crate::bay::template::{ParentSpec, Template};
use crate::config::env::Env;
use crate::config::paths::Paths;

/// What a container is given of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// `uid:gid` or a name, as the engine takes it; `None`: the image's own.
    pub user: Option<String>,
    /// Where it starts.
    pub workdir: Option<PathBuf>,
    /// Environment: the template's, the files', and what the mounts need (`HOME`, `SSH_AUTH_SOCK`).
    pub env: BTreeMap<String, String>,
    /// Bind mounts, sources canonical and checked.
    pub mounts: Vec<Mount>,
    /// What was skipped or done otherwise, in words for the user.
    pub notes: Vec<String>,
}

/// Why a worker can't be given what its template says.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct WorkspaceError {
    /// A sentence that names the path and what would be right.
    pub text: String,
}

/// Where a worker's things come from.
pub struct Ground<'a> {
    /// The bay's files.
    pub paths: &'a Paths,
    /// The supervisor's environment.
    pub env: &'a Env,
    /// The engine's endpoint, when it is a socket of this machine: never mounted.
    pub engine_socket: Option<PathBuf>,
}

/// Makes a worker's directories and says what to mount. Idempotent: what is there is kept.
///
/// # Errors
/// [`WorkspaceError`]; then nothing new is left behind.
pub fn prepare(_ground: &Ground<'_>, _name: &Name, _template: &Template) -> Result<Prepared, WorkspaceError> {
    todo!()
}

/// What the parent is given.
///
/// # Errors
/// [`WorkspaceError`].
pub fn prepare_parent(_ground: &Ground<'_>, _parent: &ParentSpec) -> Result<Prepared, WorkspaceError> {
    todo!()
}

/// Forgets a removed worker: its private home goes; its private workspace too if it is empty, else it is kept and the
/// answer says where.
///
/// # Errors
/// The system's.
pub fn forget(_paths: &Paths, _name: &Name) -> std::io::Result<Vec<String>> {
    todo!()
}
