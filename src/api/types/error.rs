//! Errors: one shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What every failed request answers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// The error inside an [`ErrorBody`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// A word for programs. What was asked: `invalid`, `impossible` (understood, and can't be had here), `not-found`,
    /// `no-method`, `too-large`. Who asks: `unauthorized` (no token, or not the right one), `forbidden` (another host or
    /// origin). What is: `name-taken`, `busy`, `unsaved` (work would be lost: a line of the message each), `refused`,
    /// `port-taken`, `capacity` (too much at once), `engine-away`, `internal`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The field of the request that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
