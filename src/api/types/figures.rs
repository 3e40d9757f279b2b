//! What the machine and containers use, to be drawn over time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StatsRow;

/// `GET /api/figures?of=NAME,NAME`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// The engine's machine; `null` where it is another one than the supervisor's.
    pub machine: Option<MachineRow>,
    /// The containers that were asked for and run.
    pub containers: Vec<StatsRow>,
}

/// The machine's counters. Those of work, network and disks count from its start: two readings make a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineRow {
    /// CPUs.
    pub cpus: u32,
    /// Milliseconds of work, of all CPUs together.
    pub busy_ms: u64,
    /// Milliseconds in all, of all CPUs together.
    pub total_ms: u64,
    /// Memory in use, in bytes.
    pub memory: u64,
    /// Memory in all, in bytes.
    pub memory_total: u64,
    /// Processes that ran or waited for a CPU, over the last minute.
    pub load: f64,
    /// Bytes received and sent by what leads outside.
    pub network: Option<(u64, u64)>,
    /// Bytes read and written.
    pub block: Option<(u64, u64)>,
}
