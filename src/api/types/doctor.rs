//! What `doctor` finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One finding of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
