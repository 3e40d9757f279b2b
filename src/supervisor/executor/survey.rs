//! How workers fare: memory, disk, what is said at their terminals, whether their ssh agent is still there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use crate::engine::SharedEngine;
use crate::supervisor::event::{AgentSocket, Event, Surveyed, Vitals};
use crate::workspace::SSH_AGENT;

use super::{Executor, Ground};

/// Workers that are looked at at once.
const AT_ONCE: usize = 8;

impl Executor {
    pub(super) fn survey_workers(&mut self, workers: Vec<Surveyed>) {
        let Some(engine) = self.present_engine() else { return };
        let ground = self.ground.clone();
        let local = self.machine.is_local();
        let broken = Event::Surveyed(BTreeMap::new());
        self.spawn_event(broken, async move {
            let vitals = stream::iter(workers).map(|worker| {
                let (engine, ground) = (engine.clone(), ground.clone());
                async move { (worker.name.clone(), vitals(&engine, &ground, worker, local).await) }
            });
            Event::Surveyed(vitals.buffer_unordered(AT_ONCE).collect().await)
        });
    }
}

async fn vitals(engine: &SharedEngine, ground: &Arc<Ground>, worker: Surveyed, local: bool) -> Vitals {
    let stats = engine.stats(&worker.id).await.ok();
    // Where nothing holds it, what was asked for says what is too much all the same.
    let memory = stats.and_then(|stats| percent(stats.memory, stats.memory_limit.or(worker.memory)?));
    let agent = if worker.ssh_agent && local { agent_socket(engine, &worker).await } else { AgentSocket::Fine };
    let project = worker.project.and_then(|project| ground.env.expand(&project).ok()).map(PathBuf::from);
    let own = worker.name.parse().map_or_else(|_| ground.paths.state.clone(), |name| ground.paths.worker(&name));
    // A directory that does not answer, of a network that is away, holds up this survey and nothing else.
    let disk = tokio::task::spawn_blocking(move || project.iter().chain([&own]).find_map(|dir| disk_percent(dir)));
    Vitals { memory, disk: disk.await.ok().flatten(), activity: ground.sessions.activity(&worker.id), agent }
}

/// As `df` counts: what only root could use counts for nobody.
fn disk_percent(dir: &Path) -> Option<u8> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    percent(used, used + stat.f_bavail)
}

fn percent(part: u64, whole: u64) -> Option<u8> {
    u8::try_from(part.saturating_mul(100).checked_div(whole)?).ok()
}

/// A socket that its agent made anew under the same name is another file: the worker still holds the old one, where
/// nobody listens.
async fn agent_socket(engine: &SharedEngine, worker: &Surveyed) -> AgentSocket {
    let Ok(words) = engine.describe(&worker.id).await else { return AgentSocket::Fine };
    let text = |mount: &Value, key: &str| mount.get(key).and_then(Value::as_str).map(str::to_owned);
    let mounts = words.get("Mounts").and_then(Value::as_array).into_iter().flatten();
    let mut held = mounts.filter(|mount| text(mount, "Destination").as_deref() == Some(SSH_AGENT));
    let source = held.find_map(|mount| text(mount, "Source"));
    let Some(source) = source.map(PathBuf::from) else { return AgentSocket::Fine };
    let inside = PathBuf::from(format!("/proc/{}/root{SSH_AGENT}", worker.pid));
    let compared = tokio::task::spawn_blocking(move || {
        let Ok(now) = std::fs::metadata(&source) else { return AgentSocket::Gone };
        match std::fs::metadata(inside) {
            Ok(held) if (held.dev(), held.ino()) != (now.dev(), now.ino()) => AgentSocket::Another,
            // Where this user may not look into the container, nothing is known.
            _ => AgentSocket::Fine,
        }
    });
    compared.await.unwrap_or(AgentSocket::Fine)
}
