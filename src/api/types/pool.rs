//! Pools, and what can be asked of them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bay::name::Name;

/// One template's pool, in `status` and `pool status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolRow {
    /// The template.
    pub template: String,
    /// Warm workers to keep.
    pub target: u32,
    /// Urgent below this.
    pub min: u32,
    /// Made at once, at most.
    pub max_creating: u32,
    /// Ready to be claimed.
    pub warm: u32,
    /// Handed out.
    pub claimed: u32,
    /// Being made.
    pub creating: u32,
    /// Claims that found a warm worker.
    pub hits: u64,
    /// Claims that did not.
    pub misses: u64,
    /// Claim to first output.
    pub claim_ms: Percentiles,
    /// The last error, or why the pool stands still.
    pub last_error: Option<String>,
    /// Made, and not known to wait yet.
    #[serde(default)]
    pub probing: u32,
    /// Of no use any more, or being removed.
    #[serde(default)]
    pub draining: u32,
    /// When the pool tries again; `null` while it need not.
    #[serde(default)]
    pub next_try_at: Option<Timestamp>,
}

/// `POST /api/pool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolRequest {
    /// Which pool; absent: the only one to scale, all to drain or clean up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub template: Option<Name>,
    /// What to do.
    #[serde(flatten)]
    pub order: PoolOrder,
}

/// What a pool can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "order", rename_all = "lowercase")]
pub enum PoolOrder {
    /// Keep so many warm, until the configuration is read anew.
    Scale {
        /// So many.
        target: u32,
    },
    /// Let all go, and make no more until it is scaled.
    Drain,
    /// Let go what is of no use, forget errors and try again now.
    Cleanup,
}

/// Two percentiles in milliseconds; `null` before the first claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
}
