//! Lines of logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line of `GET /api/containers/{id}/logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogEntry {
    /// The line, invalid UTF-8 replaced; control characters are still in it.
    pub line: String,
    /// Milliseconds since 1970; `null` when the engine does not tell.
    pub timestamp: Option<i64>,
    /// `true` when it came by stderr.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stderr: bool,
}
