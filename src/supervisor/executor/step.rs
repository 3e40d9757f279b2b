//! Taking a step: the calls, and one look at the container afterwards.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bay::container::{ContainerId, Observed, Status, label};
use crate::bay::name::{Name, WARM};
use crate::bay::session::TermSize;
use crate::engine::{EngineError, SharedEngine};
use crate::supervisor::crash;
use crate::supervisor::event::{Event, StepError, StepNotes, Stepped};
use crate::supervisor::goal::{Make, Step, What};

use crate::workspace::warm::WarmPlace;

use super::{Executor, Ground, claim, create, found};

/// Time between the polite signal and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// Who takes the name of a worker that was removed waits so long until its directories are cleared.
const CLEARING: Duration = Duration::from_mins(1);

impl Executor {
    pub(super) fn step(&mut self, target: String, step: Step) {
        let engine = self.present_engine();
        let ground = self.ground.clone();
        let used = self.machine.host_ports();
        let way = self.way(&target, create::PortChoice { used, kept: self.machine.kept_ports(&target) });
        if let Step::Create(..) = &step {
            // A promise ends with its container: who is choosing at this moment may have looked before it was there.
            ground.reserved().retain(|name, _| self.machine.is_known(name));
        }
        let before = match &step {
            Step::Create(..) | Step::Open(..) => self.forgetting.get(&target).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        // A claim stands in the state file or nowhere.
        let unsaved = match &step {
            Step::Open(_, opening) if opening.nonce.is_some() => self.machine.save_trouble().map(str::to_owned),
            _ => None,
        };
        let (events, began) = (self.events.clone(), self.turn_began);
        let broken = Event::Stepped(Box::new(Stepped {
            target: target.clone(),
            step: step.clone(),
            result: Err(super::broken(step.what()).into()),
            seen: None,
            certain: false,
        }));
        self.spawn_event(broken, async move {
            let ready = match unsaved {
                Some(why) => Err(create::wrong(why)),
                None => cleared(before, &way).await,
            };
            if let Err(error) = ready {
                return Event::Stepped(Box::new(Stepped {
                    target,
                    step,
                    result: Err(error),
                    seen: None,
                    certain: false,
                }));
            }
            let Some(engine) = engine else { return Event::Stepped(Box::new(unreachable_engine(target, step))) };
            if let Step::Open(id, opening) = &step {
                // What it looks like now is known without asking, and somebody waits.
                let hall = claim::Hall { ground: &ground, engine: &engine, events: &events, way: &way, began };
                let result = claim::open(&hall, &target, id, opening).await;
                let (seen, certain) = if result.is_err() { see(&engine, &step, &result).await } else { (None, false) };
                return Event::Stepped(Box::new(Stepped { target, step, result, seen, certain }));
            }
            let result = take(&ground, &engine, &target, &step, &way).await;
            let (seen, certain) = see(&engine, &step, &result).await;
            Event::Stepped(Box::new(Stepped { target, step, result, seen, certain }))
        });
    }
}

impl Executor {
    /// What a step has on its way: ports that are taken, who hears how far it is, and who may break it off.
    fn way(&mut self, target: &str, ports: create::PortChoice) -> create::Way {
        let events = self.events.clone();
        let name = target.to_owned();
        let report = move |progress| {
            // A courtesy: when the machine has much to do, the next one will tell.
            drop(events.try_send(Event::Progressed { target: name.clone(), progress }));
        };
        let given_up = CancellationToken::new();
        self.given_up.insert(target.to_owned(), given_up.clone());
        create::Way { ports, report: Box::new(report), given_up, local: self.machine.is_local() }
    }
}

/// Waits until the directories of an earlier worker of the name are nobody's.
async fn cleared(before: Vec<CancellationToken>, way: &create::Way) -> Result<(), StepError> {
    let all = async {
        for end in before {
            end.cancelled().await;
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(CLEARING, all) => ended.map_err(|_| {
            let text = "the directories of an earlier worker of that name are still being cleared; `podbay events` says when";
            create::wrong(text.to_owned())
        }),
        () = way.given_up.cancelled() => Err(create::wrong("it was given up".to_owned())),
    }
}

fn unreachable_engine(target: String, step: Step) -> Stepped {
    let error = EngineError::Away { endpoint: "the engine".to_owned(), why: "it went away".to_owned() };
    Stepped { target, step, result: Err(error.into()), seen: None, certain: false }
}

async fn take(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    target: &str,
    step: &Step,
    way: &create::Way,
) -> Result<StepNotes, StepError> {
    match step {
        Step::Create(make, network) => create::create(ground, engine, (target, make), network, way).await,
        Step::Start(id) => start(ground, engine, (target, id), way).await,
        Step::Stop(id) => {
            crash::point("before-stop");
            engine.stop(id, grace(ground, engine, id).await).await?;
            crash::point("after-stop");
            Ok(StepNotes::default())
        }
        Step::Restart(id) => {
            engine.stop(id, grace(ground, engine, id).await).await?;
            crash::point("between-stop-and-start");
            start(ground, engine, (target, id), way).await
        }
        Step::Remove(id) => {
            crash::point("before-remove");
            if target.starts_with(WARM) {
                // Nobody works in it, and a frozen one would only take the grace.
                engine.remove(id).await?;
                crash::point("after-remove");
                return Ok(StepNotes::default());
            }
            // Asked to end first: an agent saves its session on the way out.
            match engine.stop(id, grace(ground, engine, id).await).await {
                Err(error) if error.is_away() => return Err(error.into()),
                // One that can't be stopped can still be removed by force.
                _ => engine.remove(id).await?,
            }
            crash::point("after-remove");
            Ok(StepNotes::default())
        }
        Step::Open(..) => Ok(StepNotes::default()),
        Step::Rename(id, name) => {
            crash::point("before-rename");
            engine.rename(id, name).await?;
            crash::point("after-rename");
            Ok(StepNotes::default())
        }
    }
}

/// How long it may take to end by itself.
async fn grace(ground: &Ground, engine: &SharedEngine, id: &ContainerId) -> Duration {
    match engine.inspect(id).await {
        Ok(container) => super::contained::grace(ground, &container.name, GRACE),
        // The stop itself says what is wrong.
        Err(_) => GRACE,
    }
}

/// The terminal is attached before the start: not a byte is missed, and the size is right before the first prompt.
async fn start(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    (target, id): (&str, &ContainerId),
    way: &create::Way,
) -> Result<StepNotes, StepError> {
    let container = engine.inspect(id).await?;
    if container.tty
        && let Ok(name) = target.parse::<Name>()
    {
        let size = first_size(&container);
        match ground.sessions.open_main(engine, id, &name, size, false).await {
            Ok(_) if matches!(container.status, Status::Created { .. }) => ground.sessions.begins(id),
            Ok(_) => {}
            Err(error) => tracing::warn!(%name, %error, "its terminal could not be attached before the start"),
        }
    }
    // Its mounts have the name that it was made under.
    if let Ok(made_as) = container.label(label::WARM_NAME).parse::<Name>()
        && let Ok(name) = target.parse::<Name>()
        && made_as != name
    {
        WarmPlace { paths: &ground.paths, made_as: &made_as, name: &name }.give_name()?;
    }
    crash::point("before-start");
    engine.start(id).await?;
    ground.sessions.started(id);
    crash::point("after-start");
    // A warm worker shows by itself whether it waits, and its pool says why one does not.
    if container.tty && !target.starts_with(WARM) {
        found::program(engine, &ground.sessions, id, way.local).await?;
    }
    Ok(StepNotes::default())
}

/// The size that the client gave with its spawn, by way of a label.
fn first_size(container: &Observed) -> TermSize {
    let (rows, cols) = container.label(create::SIZE_LABEL).split_once('x').unwrap_or_default();
    match (rows.parse(), cols.parse()) {
        (Ok(rows), Ok(cols)) => TermSize::new(rows, cols),
        _ => TermSize::default(),
    }
}

/// The container as it is now.
async fn see(engine: &SharedEngine, step: &Step, result: &Result<StepNotes, StepError>) -> (Option<Observed>, bool) {
    let made = result.as_ref().ok().and_then(|notes| notes.made.as_ref()).map(|(_, id)| id);
    let Some(id) = step.id().or(made) else { return (None, false) };
    match engine.inspect(id).await {
        Ok(container) => (Some(container), true),
        Err(EngineError::NotFound { .. }) => (None, true),
        Err(_) => (None, false),
    }
}

/// What a spawn's client looks at it with.
pub(super) const fn size_of(make: &Make) -> Option<TermSize> {
    match &make.what {
        What::Worker { size, .. } => *size,
        What::Parent | What::Warm { .. } | What::Service { .. } => None,
    }
}
