//! The shell around the machine: turns everything that happens into events, and effects into calls.
//!
//! One task owns the machine. Whatever takes time runs in tasks of its own and comes back as an event over one bounded
//! channel; the owner never waits for them, so the channel can't lock up.

mod claim;
mod contained;
mod create;
mod forget;
mod found;
mod gauge;
mod look;
mod native;
mod reads;
mod step;
mod survey;
mod terminals;
mod warm;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::types::Snapshot;
use crate::bay::container::ContainerId;
use crate::bay::name::Name;
use crate::config::Config;
use crate::config::env::Env;
use crate::config::paths::Paths;
use crate::engine::timed::Meter;
use crate::engine::{EngineError, SharedEngine};
use crate::workspace::cache::Repositories;

use super::event::{Command, CommandId, Effect, Event, Now, Reply};
use super::machine::{Birth, Machine};
use super::prebuilt::Prebuilt;
use super::session::Sessions;
use super::store::{Store, boot};

/// Events that may wait for the machine. Full: the task that has one waits.
const EVENTS: usize = 256;
/// Commands that may wait for the machine. Full: the server's request waits.
const COMMANDS: usize = 64;
/// The machine's own clock.
const TICK: Duration = Duration::from_secs(1);

/// A command with the place for its answer.
pub type Asked = (Command, oneshot::Sender<Reply>);

/// What the API's server holds of a running supervisor.
#[derive(Clone)]
pub struct Handle {
    /// Ask for something.
    pub commands: mpsc::Sender<Asked>,
    /// How things are.
    pub view: watch::Receiver<Arc<Snapshot>>,
    /// The engine, while there is one to talk to.
    pub engine: watch::Receiver<Option<SharedEngine>>,
    /// The terminals.
    pub sessions: Sessions,
    /// The bay's files.
    pub paths: Arc<Paths>,
    /// When the supervisor started.
    pub started: Instant,
    /// Cancelled when the supervisor ends.
    pub ending: CancellationToken,
    /// What is looked at by `doctor`.
    pub config: watch::Receiver<Arc<Config>>,
    /// The supervisor's environment.
    pub env: Arc<Env>,
    /// The caches, and what they know of workers' clones.
    pub repositories: Arc<Repositories>,
    /// Images of repositories.
    pub prebuilt: Arc<Prebuilt>,
    /// Calls to the engine.
    pub meter: Arc<Meter>,
}

/// What steps and looks need, whatever the machine does meanwhile.
struct Ground {
    config: Arc<Config>,
    env: Arc<Env>,
    paths: Arc<Paths>,
    key: crate::bay::owner::OwnerKey,
    sessions: Sessions,
    repositories: Arc<Repositories>,
    prebuilt: Arc<Prebuilt>,
    meter: Arc<Meter>,
    /// Workers whose directories were first made by a spawn of this supervisor.
    fresh: Arc<Mutex<BTreeSet<Name>>>,
    /// Host ports that were promised to containers, as long as there is one of that name.
    reserved: Arc<Mutex<BTreeMap<String, BTreeSet<u16>>>>,
    /// What is being read for native services.
    reads: Arc<reads::Reads>,
}

impl Ground {
    /// Held for a moment, never across an await. A panic elsewhere leaves the set as good as it was.
    fn fresh(&self) -> std::sync::MutexGuard<'_, BTreeSet<Name>> {
        self.fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Held for a moment, too.
    fn reserved(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, BTreeSet<u16>>> {
        self.reserved.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Owns the machine.
pub struct Executor {
    machine: Machine,
    ground: Arc<Ground>,
    store: Store,
    engine: watch::Sender<Option<SharedEngine>>,
    config: watch::Sender<Arc<Config>>,
    view: watch::Sender<Arc<Snapshot>>,
    events: mpsc::Sender<Event>,
    incoming: mpsc::Receiver<Event>,
    commands: mpsc::Receiver<Asked>,
    /// For those of its own tasks that ask as the API does.
    asking: mpsc::Sender<Asked>,
    sessions_changed: mpsc::Receiver<()>,
    answers: BTreeMap<CommandId, oneshot::Sender<Reply>>,
    next_command: u64,
    tasks: JoinSet<()>,
    /// Lives as long as the present connection to the engine.
    link: CancellationToken,
    /// Ends the filling of a workspace that nobody wants any more, by name.
    given_up: BTreeMap<String, CancellationToken>,
    /// Directories of removed workers that are being cleared, by name: who takes the name next waits until all of these
    /// are cancelled.
    forgetting: BTreeMap<String, Vec<CancellationToken>>,
    /// Terminals that are being opened, by container: cancelled when it has ended or is gone.
    opening: BTreeMap<ContainerId, CancellationToken>,
    /// Native services, by name.
    shims: native::Shims,
    started: Instant,
    /// When the event that is being handled was taken.
    turn_began: Instant,
    ending: CancellationToken,
    exit: bool,
    ticks: u64,
}

impl Executor {
    /// A supervisor over this state, which the caller has locked.
    ///
    /// # Errors
    /// What the store says.
    pub fn new(config: Config, env: Env, paths: Paths) -> Result<(Self, Handle), super::store::StoreError> {
        let store = Store::new(&paths.state);
        let (stored, troubles) = store.load()?;
        let key = store.key()?;
        let config = Arc::new(config);
        let env = Arc::new(env);
        let paths = Arc::new(paths);
        let (session_signal, sessions_changed) = mpsc::channel(1);
        let sessions = Sessions::new(session_signal);
        let started = Instant::now();
        let history = super::history::load(&paths.state);
        let (pid, boot) = (std::process::id(), boot());
        let birth = Birth { config: config.clone(), key: key.clone(), stored, boot, pid, troubles, history };
        let (machine, first) = Machine::new(birth, now(started));
        let (view, view_rx) = watch::channel(Arc::new(machine.snapshot(now(started))));
        let (engine, engine_rx) = watch::channel(None);
        let (config_tx, config_rx) = watch::channel(config.clone());
        let (events, incoming) = mpsc::channel(EVENTS);
        let (commands_tx, commands) = mpsc::channel(COMMANDS);
        let ending = CancellationToken::new();
        let repositories = Arc::new(Repositories::new(paths.state.join("repos"), env.clone()));
        let prebuilt = Arc::new(Prebuilt::new(&paths.state));
        let handle = Handle {
            commands: commands_tx.clone(),
            view: view_rx,
            engine: engine_rx,
            sessions: sessions.clone(),
            paths: paths.clone(),
            started,
            ending: ending.clone(),
            config: config_rx,
            env: env.clone(),
            repositories: repositories.clone(),
            prebuilt: prebuilt.clone(),
            meter: Arc::default(),
        };
        let ground = Arc::new(Ground {
            config,
            env,
            paths,
            key,
            sessions,
            repositories,
            prebuilt,
            meter: handle.meter.clone(),
            fresh: Arc::default(),
            reserved: Arc::default(),
            reads: Arc::default(),
        });
        let mut executor = Self {
            machine,
            ground,
            store,
            engine,
            config: config_tx,
            view,
            events,
            incoming,
            commands,
            asking: commands_tx,
            sessions_changed,
            answers: BTreeMap::new(),
            next_command: 0,
            tasks: JoinSet::new(),
            link: CancellationToken::new(),
            given_up: BTreeMap::new(),
            forgetting: BTreeMap::new(),
            opening: BTreeMap::new(),
            shims: native::Shims::default(),
            started,
            turn_began: started,
            ending,
            exit: false,
            ticks: 0,
        };
        executor.perform(first);
        Ok((executor, handle))
    }

    /// Runs until told to end. Containers are left as they are.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let history = Arc::new(super::history::Writer::new(&self.ground.paths.state));
        self.tasks.spawn(super::history::keep(self.view.subscribe(), history.clone(), self.ending.clone()));
        self.tasks.spawn(super::outgoing::keep(super::outgoing::Ground {
            view: self.view.subscribe(),
            engine: self.engine.subscribe(),
            config: self.config.subscribe(),
            machine: self.asking.clone(),
            ending: self.ending.clone(),
        }));
        while !self.exit {
            let due = self.machine.due().and_then(|due| self.started.checked_add(due));
            let event = tokio::select! {
                biased;
                () = self.ending.cancelled() => Event::Terminate,
                Some(event) = self.incoming.recv() => event,
                Some((command, answer)) = self.commands.recv() => self.asked(command, answer),
                Some(()) = self.sessions_changed.recv() => self.sessions_news(),
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => continue,
                () = until(due) => Event::Wake,
                _ = tick.tick() => self.tick(),
            };
            self.take(event);
        }
        self.link.cancel();
        self.ending.cancel();
        self.tasks.shutdown().await;
        // A full disk must not keep it from ending.
        drop(history.save(&self.machine.snapshot(now(self.started)).history));
    }

    fn asked(&mut self, command: Command, answer: oneshot::Sender<Reply>) -> Event {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.answers.retain(|_, answer| !answer.is_closed());
        self.answers.insert(id, answer);
        Event::Command(id, command)
    }

    /// New containers are made by the configuration that the machine has taken.
    fn adopt_config(&mut self) {
        if Arc::ptr_eq(self.machine.config(), &self.ground.config) {
            return;
        }
        let config = self.machine.config().clone();
        let ground = &self.ground;
        self.ground = Arc::new(Ground {
            config: config.clone(),
            env: ground.env.clone(),
            paths: ground.paths.clone(),
            key: ground.key.clone(),
            sessions: ground.sessions.clone(),
            repositories: ground.repositories.clone(),
            prebuilt: ground.prebuilt.clone(),
            meter: ground.meter.clone(),
            fresh: ground.fresh.clone(),
            reserved: ground.reserved.clone(),
            reads: ground.reads.clone(),
        });
        self.config.send_replace(config);
    }

    fn take(&mut self, event: Event) {
        if let Event::Stepped(stepped) = &event {
            self.given_up.remove(&stepped.target);
        }
        let before = self.machine.seq();
        let looked = matches!(event, Event::Looked { .. });
        self.turn_began = Instant::now();
        let effects = self.machine.handle(event, now(self.started));
        self.adopt_config();
        let changed = self.machine.seq() != before;
        // A claim's first call is on its way before anybody looks at it.
        let hurries = effects.iter().any(|effect| matches!(effect, Effect::Jot(_)))
            && effects.iter().all(|effect| matches!(effect, Effect::Jot(_) | Effect::Step(..)));
        if changed && !hurries {
            // Before any answer: who was told of a worker must find it.
            self.publish();
        }
        self.perform(effects);
        if changed && hurries {
            self.publish();
        }
        if looked {
            crate::service::heap::give_back();
        }
    }

    fn publish(&self) {
        self.view.send_replace(Arc::new(self.machine.snapshot(now(self.started))));
    }

    /// What sessions have to tell: rows at the next turn, and first outputs now.
    fn sessions_news(&mut self) -> Event {
        let outputs = self.ground.sessions.first_outputs();
        if !outputs.is_empty() {
            self.take(Event::FirstOutputs(outputs));
        }
        Event::Sessions(self.ground.sessions.rows())
    }

    fn tick(&mut self) -> Event {
        self.ticks += 1;
        self.watch_parent();
        Event::Tick(gauge::gauges(&self.ground))
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.perform_one(effect);
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Save(stored) => self.save(&stored, Store::save),
            Effect::Jot(stored) => self.save(&stored, Store::jot),
            Effect::Probe { id, run, mode } => self.probe(id, run, mode),
            Effect::LookAtImages(images) => self.look_at_images(images),
            Effect::SweepWarm(kept) => self.sweep_warm(&kept),
            Effect::Connect => self.connect(),
            Effect::Disconnect => {
                self.link.cancel();
                self.engine.send_replace(None);
            }
            Effect::Look(look) => self.look(look),
            Effect::Survey(workers) => self.survey_workers(workers),
            Effect::Ping => {
                let Some(engine) = self.present_engine() else { return };
                let broken = Event::Pinged(Err(broken("a ping")));
                self.spawn_event(broken, async move { Event::Pinged(engine.ping().await) });
            }
            Effect::Step(target, step) => self.step(target, step),
            Effect::GiveUp(target) => {
                if let Some(given_up) = self.given_up.get(&target) {
                    given_up.cancel();
                }
            }
            Effect::Reply(id, reply) => {
                if let Some(answer) = self.answers.remove(&id) {
                    // A client that is gone does not want it.
                    drop(answer.send(reply));
                }
            }
            Effect::Service(effect) => self.service(effect),
            Effect::OpenSession { id, name, size } => self.open_terminal(id, name, size),
            Effect::EndSessions { id, reason, code } => {
                self.stop_opening(&id);
                self.ground.sessions.container_ended(&id, &reason, code);
            }
            Effect::ForgetSessions(id) => {
                self.stop_opening(&id);
                self.ground.sessions.forget(&id);
            }
            Effect::ForgetWorker { name, failed, discard } => {
                let fresh = self.ground.fresh().remove(&name);
                // Those that a claim moved there are as new as if they had been made for it.
                if fresh || !failed || crate::workspace::warm::is_of_the_pool(&self.ground.paths, &name) {
                    self.forget_worker(name, discard);
                }
            }
            Effect::Exit => self.exit = true,
        }
    }

    /// Short and rare, and nothing may go on before it is on the disk: done here, not in a task.
    fn save(&mut self, stored: &super::store::Stored, write: fn(&Store, &super::store::Stored) -> std::io::Result<()>) {
        super::crash::point("before-save");
        let stored = super::store::Stored { version: super::store::VERSION, ..stored.clone() };
        let store = &self.store;
        let result = tokio::task::block_in_place(|| write(store, &stored)).map_err(|error| error.to_string());
        super::crash::point("after-save");
        if let Err(error) = &result {
            tracing::error!(%error, "the state can't be saved");
        }
        // Effects of this event are none: it changes only what is said.
        drop(self.machine.handle(Event::Saved(result), now(self.started)));
    }

    fn present_engine(&self) -> Option<SharedEngine> {
        self.engine.borrow().clone()
    }

    /// Runs something and hands its outcome to the machine: `broken` if it panics, so that nobody waits for ever.
    fn spawn_event(&mut self, broken: Event, work: impl Future<Output = Event> + Send + 'static) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let event = AssertUnwindSafe(work).catch_unwind().await.unwrap_or(broken);
            // Fails only when the supervisor has ended.
            drop(events.send(event).await);
        });
    }
}

/// Until something is due for which only time must pass.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// What is said of a task that panicked; the panic itself is in the log.
fn broken(what: &str) -> EngineError {
    EngineError::Failed { what: what.to_owned(), message: "podbay itself failed; its log says where".to_owned() }
}

/// Both clocks.
fn now(started: Instant) -> Now {
    Now { mono: started.elapsed(), wall: Timestamp::now() }
}
