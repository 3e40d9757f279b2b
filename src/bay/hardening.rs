//! The walls around a container.

use serde::{Deserialize, Serialize};

/// Capabilities and other walls of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardening {
    /// Capabilities taken away, `ALL` for all.
    pub cap_drop: Vec<String>,
    /// Capabilities given back.
    pub cap_add: Vec<String>,
    /// No setuid program gains anything.
    pub no_new_privileges: bool,
    /// The root file system can't be written; `/tmp` and `/run` are memory.
    pub read_only: bool,
    /// `default`, or a profile's path.
    pub seccomp: String,
    /// A small init reaps what the main process leaves behind.
    pub init: bool,
}
