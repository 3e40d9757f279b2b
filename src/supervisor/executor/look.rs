//! Finding the engine and looking at it.

use std::time::Duration;

use crate::bay::backoff::Backoff;
use crate::bay::container::{Observed, Status};
use crate::engine::timed::Timed;
use crate::engine::{self, Chosen, SharedEngine};
use crate::supervisor::event::Event;
use crate::supervisor::guard::Namespaces;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Executor;

impl Executor {
    pub(super) fn connect(&mut self) {
        self.link.cancel();
        self.link = CancellationToken::new();
        let ground = self.ground.clone();
        let slot = self.engine.clone();
        let events = self.events.clone();
        let link = self.link.clone();
        let broken = Event::Connected { endpoint: None, answer: Err(super::broken("connecting")) };
        self.spawn_event(broken, async move {
            let chosen = Chosen::of(&ground.paths.state);
            let engine = match engine::find(&ground.config, &ground.env, chosen).await {
                Ok(engine) => Timed::watch(engine, ground.meter.clone()),
                Err(error) => return Event::Connected { endpoint: None, answer: Err(error) },
            };
            let answer = engine.identify().await;
            if let Ok(identity) = &answer {
                if let Err(error) = Chosen::keep(&ground.paths.state, identity.kind) {
                    tracing::warn!(%error, "which engine this bay has can't be written down");
                }
                slot.send_replace(Some(engine.clone()));
                tokio::spawn(follow_events(engine.clone(), ground.config.bay.clone(), events, link));
            }
            Event::Connected { endpoint: Some(engine.endpoint().to_owned()), answer }
        });
    }

    pub(super) fn look(&mut self, look: u64) {
        let Some(engine) = self.present_engine() else { return };
        let bay = self.ground.config.bay.clone();
        let local = self.machine.is_local();
        let broken = Event::Looked { look, seen: Err(super::broken("looking")), namespaces: Namespaces::new() };
        self.spawn_event(broken, async move {
            let seen = engine.list(&bay).await;
            let namespaces = match &seen {
                // The pids of another machine's containers mean something else here.
                Ok(seen) if local => namespaces_of(seen),
                _ => Namespaces::new(),
            };
            Event::Looked { look, seen, namespaces }
        });
    }

    /// The parent is watched between looks, so that a lost event does not hide its end for long.
    pub(super) fn watch_parent(&mut self) {
        if let Some(pid) = self.machine.parent_pid() {
            let gone = std::fs::metadata(format!("/proc/{pid}")).is_err();
            if gone && self.ticks.is_multiple_of(2) {
                // The channel is never full for long, and the next tick asks again.
                drop(self.events.try_send(Event::Hinted(None)));
            }
            return;
        }
        let Some((id, since)) = self.machine.remote_parent() else { return };
        let Some(engine) = self.present_engine() else { return };
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let changed = match engine.inspect(&id).await {
                Ok(seen) => seen.status.since() != since,
                Err(engine::EngineError::NotFound { .. }) => true,
                Err(_) => false,
            };
            if changed {
                drop(events.send(Event::Hinted(None)).await);
            }
        });
    }
}

/// Hints until the link is lost. A stream's end says nothing: it is opened again.
async fn follow_events(
    engine: SharedEngine,
    bay: crate::bay::name::Name,
    events: mpsc::Sender<Event>,
    link: CancellationToken,
) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let stream = tokio::select! {
            () = link.cancelled() => return,
            stream = engine.events(&bay) => stream,
        };
        if let Ok(mut stream) = stream {
            // What happened while nobody listened is seen by a look.
            drop(events.send(Event::Hinted(None)).await);
            loop {
                let hint = tokio::select! {
                    () = link.cancelled() => return,
                    hint = stream.next() => hint,
                };
                match hint {
                    Some(Ok(hint)) => {
                        backoff.reset();
                        drop(events.send(Event::Hinted(Some(hint))).await);
                    }
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the event stream broke");
                        break;
                    }
                    None => break,
                }
            }
            drop(events.send(Event::Hinted(None)).await);
        }
        let wait = backoff.fail(u64::from(std::process::id()));
        tokio::select! {
            () = link.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Which namespace each running container is in, where this machine shows it.
fn namespaces_of(seen: &[Observed]) -> Namespaces {
    let running = seen.iter().filter_map(|container| match container.status {
        Status::Running { pid, .. } if pid != 0 => Some((container.id.clone(), pid)),
        _ => None,
    });
    let containers = running.filter_map(|(id, pid)| Some((id, namespace_of(pid)?)));
    Namespaces::of(containers.collect(), namespace_of(std::process::id()))
}

fn namespace_of(pid: u32) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}
