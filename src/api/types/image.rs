//! Images that podbay made.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One image that podbay made: a row of `image ls --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
