//! Seeing that warm workers wait, and what their images are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::bay::container::{ContainerId, HealthState, ImageRef, Status};
use crate::bay::gate;
use crate::bay::name::Name;
use crate::bay::template::WarmMode;
use crate::engine::{EngineError, SharedEngine};
use crate::supervisor::event::{Event, Waiting};
use crate::supervisor::session::{Peek, Sessions};

use super::Executor;

/// A gate has so long to show its line.
const GATE: Duration = Duration::from_secs(30);
/// An agent has so long to boot.
const BOOT: Duration = Duration::from_mins(5);
/// Between two looks at a terminal.
const LOOK: Duration = Duration::from_millis(25);
/// Looks at the engine are rarer.
const ASK: Duration = Duration::from_secs(1);
/// An agent whose terminal stood still for so long has booted.
const QUIET: Duration = Duration::from_secs(2);

impl Executor {
    pub(super) fn probe(&mut self, id: ContainerId, run: Timestamp, mode: WarmMode) {
        let Some(engine) = self.present_engine() else { return };
        let sessions = self.ground.sessions.clone();
        let link = self.link.clone();
        let never = Waiting::Never(super::broken("its probe").to_string());
        let broken = Event::Probed { id: id.clone(), run, answer: never };
        self.spawn_event(broken, async move {
            let waits = async {
                match mode {
                    WarmMode::Gate => gate_waits(&sessions, &engine, &id).await,
                    WarmMode::Running => agent_rests(&sessions, &engine, &id).await,
                }
            };
            // With the link goes all that is known of it; the next look asks anew.
            let answer = tokio::select! {
                result = waits => result.err().unwrap_or(Waiting::Ready),
                () = link.cancelled() => Waiting::Unknown,
            };
            Event::Probed { id, run, answer }
        });
    }

    /// Listed at once, so that nothing that is made from now on is among them; cleared off the task.
    pub(super) fn sweep_warm(&mut self, kept: &BTreeSet<Name>) {
        let left = crate::workspace::warm::left(&self.ground.paths, kept);
        for name in left {
            self.forget_worker(name, false);
        }
        let Some(engine) = self.present_engine() else { return };
        let ground = self.ground.clone();
        self.tasks.spawn(async move {
            let cleared = ground.prebuilt.clear_left_over(&engine, &ground.config.bay, &ground.key).await;
            if let Err(error) = cleared {
                tracing::warn!(%error, "what is left of builds could not be cleared; the next build of each does");
            }
        });
    }

    pub(super) fn look_at_images(&mut self, images: BTreeSet<String>) {
        let Some(engine) = self.present_engine() else { return };
        self.spawn_event(Event::Images(BTreeMap::new()), async move {
            let mut known = BTreeMap::new();
            for image in images {
                // One that is missing makes nobody stale: what was made of it still works.
                if let Ok(facts) = engine.image(&ImageRef::from(image.clone())).await {
                    known.insert(image, facts.id);
                }
            }
            Event::Images(known)
        });
    }
}

async fn gate_waits(sessions: &Sessions, engine: &SharedEngine, id: &ContainerId) -> Result<(), Waiting> {
    let deadline = Instant::now() + GATE;
    let mut asked = Instant::now();
    loop {
        if let Some(Peek { early, .. }) = sessions.peek(id).await
            && early.windows(gate::READY.len()).any(|bytes| bytes == gate::READY.as_bytes())
        {
            return Ok(());
        }
        runs_on(engine, id, &mut asked).await?;
        if Instant::now() >= deadline {
            return Err(Waiting::Never(format!("its gate did not show itself within {} s", GATE.as_secs())));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// An agent is ready when its health check says so; without one, when its terminal stands still.
async fn agent_rests(sessions: &Sessions, engine: &SharedEngine, id: &ContainerId) -> Result<(), Waiting> {
    let deadline = Instant::now() + BOOT;
    let mut asked = Instant::now();
    let (mut last, mut since) = (None, Instant::now());
    loop {
        let output = sessions.peek(id).await.map(|peek| peek.output);
        if output != last {
            (last, since) = (output, Instant::now());
        }
        match runs_on(engine, id, &mut asked).await? {
            Some(HealthState::Healthy) => return Ok(()),
            None if last.is_some() && since.elapsed() >= QUIET => return Ok(()),
            _ => {}
        }
        if Instant::now() >= deadline {
            return Err(Waiting::Never(format!("it was not ready within {} s", BOOT.as_secs())));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The engine's word for it, now and then; an error once it does not run any more, or nobody says.
async fn runs_on(engine: &SharedEngine, id: &ContainerId, asked: &mut Instant) -> Result<Option<HealthState>, Waiting> {
    if asked.elapsed() < ASK {
        return Ok(Some(HealthState::Starting));
    }
    *asked = Instant::now();
    match engine.inspect(id).await {
        Ok(seen) if matches!(seen.status, Status::Running { .. }) => Ok(seen.health),
        Ok(_) => Err(Waiting::Never("it ended before it was warm".to_owned())),
        Err(error) => Err(without_word(&error)),
    }
}

/// What a look means that the engine did not answer. One that was late or whose link was lost condemns nobody.
fn without_word(error: &EngineError) -> Waiting {
    if error.is_away() { Waiting::Unknown } else { Waiting::Never(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_condemns_nobody() {
        let late = EngineError::Deadline { what: "inspecting".to_owned(), deadline: Duration::from_secs(30) };
        let away = EngineError::Away { endpoint: "unix:///x".to_owned(), why: "refused".to_owned() };
        let gone = EngineError::NotFound { what: "inspecting".to_owned(), message: "no such container".to_owned() };
        assert_eq!(without_word(&late), Waiting::Unknown);
        assert_eq!(without_word(&away), Waiting::Unknown);
        assert!(matches!(without_word(&gone), Waiting::Never(_)));
    }
}
