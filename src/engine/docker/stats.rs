//! Figures of a running container: from cgroup files where they are this machine's, else from the engine, which takes
//! a second for each reading.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::cgroup;
use super::error::within;
use super::{DockerEngine, hex_id};
use crate::bay::container::{ContainerId, ObservedNetwork, Status};
use crate::engine::{Engine, EngineError, Stats};

/// A container that nobody asked about for so long is forgotten.
const FORGET: Duration = Duration::from_mins(10);

/// The last reading of each container.
#[derive(Default)]
pub struct Readings(Mutex<HashMap<ContainerId, Reading>>);

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    cpu: Duration,
    /// The main process and whether it has a network of its own, when the engine is local.
    here: Option<(u32, bool)>,
}

impl Readings {
    fn last(&self, id: &ContainerId) -> Option<Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    fn keep(&self, id: &ContainerId, reading: Reading) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, old| reading.at.saturating_duration_since(old.at) < FORGET);
        kept.insert(id.clone(), reading);
    }
}

/// One reading.
pub async fn stats(engine: &DockerEngine, id: &ContainerId) -> Result<Stats, EngineError> {
    let last = engine.readings.last(id);
    let (mut stats, here) = read(engine, id, last.and_then(|last| last.here)).await?;
    let now = Reading { at: Instant::now(), cpu: stats.cpu, here };
    // A smaller figure is that of a new run.
    stats.cpu_percent = last.filter(|last| last.cpu <= now.cpu).and_then(|last| {
        let passed = now.at.saturating_duration_since(last.at).as_secs_f64();
        (passed > 0.0).then(|| now.cpu.saturating_sub(last.cpu).as_secs_f64() / passed * 100.0)
    });
    engine.readings.keep(id, now);
    Ok(stats)
}

type Here = Option<(u32, bool)>;

async fn read(engine: &DockerEngine, id: &ContainerId, known: Here) -> Result<(Stats, Here), EngineError> {
    if !engine.is_local().await? {
        return Ok((of_engine(engine, id).await?, None));
    }
    if let Some((pid, own)) = known
        && let Some(stats) = cgroup::read(Path::new("/"), pid, id, own)
    {
        return Ok((stats, known));
    }
    let seen = engine.inspect(id).await?;
    let Status::Running { pid, .. } = seen.status else {
        let what = format!("read the figures of {}", seen.name);
        return Err(EngineError::Conflict { what, message: "it is not running".to_owned() });
    };
    let own = seen.network == ObservedNetwork::Own;
    match cgroup::read(Path::new("/"), pid, id, own) {
        Some(stats) => Ok((stats, Some((pid, own)))),
        None => Ok((of_engine(engine, id).await?, None)),
    }
}

async fn of_engine(engine: &DockerEngine, id: &ContainerId) -> Result<Stats, EngineError> {
    let what = format!("read the figures of {}", id.short());
    let call = async {
        let session = engine.session().await?;
        let path = session.path(&format!("/containers/{}/stats?stream=false&one-shot=true", hex_id(id.as_str())?));
        let shape: Shape = engine.wire.json(&what, &path).await?;
        if shape.pids_stats.current.unwrap_or(0) == 0 && shape.cpu_stats.cpu_usage.total_usage == 0 {
            let message = "it is not running".to_owned();
            return Err(EngineError::Conflict { what: what.clone(), message });
        }
        Ok(of_shape(&shape))
    };
    within(&what, engine.deadlines.read, call).await
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Shape {
    cpu_stats: CpuShape,
    memory_stats: MemoryShape,
    pids_stats: PidsShape,
    networks: Option<HashMap<String, NetShape>>,
    blkio_stats: BlockShape,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CpuShape {
    cpu_usage: UsageShape,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct UsageShape {
    total_usage: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MemoryShape {
    usage: u64,
    limit: u64,
    stats: HashMap<String, serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PidsShape {
    current: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NetShape {
    rx_bytes: u64,
    tx_bytes: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BlockShape {
    io_service_bytes_recursive: Option<Vec<BlockRow>>,
}

#[derive(Deserialize)]
struct BlockRow {
    op: String,
    value: u64,
}

fn of_shape(shape: &Shape) -> Stats {
    // As `docker stats`: pages that the kernel can drop at once are not in use.
    let memory = &shape.memory_stats;
    let figure = |key: &str| memory.stats.get(key).and_then(serde_json::Value::as_u64);
    let inactive = figure("total_inactive_file").or_else(|| figure("inactive_file")).unwrap_or(0);
    let rows = shape.blkio_stats.io_service_bytes_recursive.as_deref().unwrap_or_default();
    let block = |op: &str| rows.iter().filter(|row| row.op.eq_ignore_ascii_case(op)).map(|row| row.value).sum();
    let network = shape
        .networks
        .as_ref()
        .map(|interfaces| interfaces.values().fold((0, 0), |(rx, tx), one| (rx + one.rx_bytes, tx + one.tx_bytes)));
    Stats {
        cpu: Duration::from_nanos(shape.cpu_stats.cpu_usage.total_usage),
        cpu_percent: None,
        memory: memory.usage.saturating_sub(inactive),
        memory_limit: Some(memory.limit).filter(|limit| *limit > 0),
        pids: shape.pids_stats.current.unwrap_or(0),
        network,
        block: (block("read"), block("write")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_figures_are_read() {
        let shape = serde_json::from_value(serde_json::json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 5_000_000_000u64}},
            "memory_stats": {"usage": 100, "limit": 1000, "stats": {"total_inactive_file": 30, "x": "text"}},
            "pids_stats": {"current": 3},
            "networks": {"eth0": {"rx_bytes": 7, "tx_bytes": 8}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 4}, {"op": "write", "value": 5},
                {"op": "Total", "value": 9}]}
        }))
        .unwrap();
        let expected = Stats {
            cpu: Duration::from_secs(5),
            cpu_percent: None,
            memory: 70,
            memory_limit: Some(1000),
            pids: 3,
            network: Some((8, 9)),
            block: (4, 5),
        };
        assert_eq!(of_shape(&shape), expected);
        assert_eq!(of_shape(&serde_json::from_str("{}").unwrap()), Stats::default());
    }
}
