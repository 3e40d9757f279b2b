//! What fires.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An alert that fires, in `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertRow {
    /// Its rule.
    pub name: String,
    /// `critical` or `warning`.
    pub severity: String,
    /// A service or a pool; empty: the bay.
    pub subject: String,
    /// What it means.
    pub summary: String,
    /// Since when.
    pub since: Timestamp,
}

/// What `[api] alert_url` is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertReport {
    /// The alert.
    pub alert: AlertRow,
    /// It fires; else it is over.
    pub firing: bool,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}
