//! The shell around the machine: turns everything that happens into events, and effects into calls.
//!
//! One task owns the machine. Whatever takes time runs in tasks of its own and comes back as an event over one bounded
//! channel; the owner never waits for them, so the channel can't lock up.

mod create;
mod look;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::types::{Disk, Snapshot};
use crate::bay::backoff::Backoff;
use crate::bay::name::Name;
use crate::config::Config;
use crate::config::env::Env;
use crate::config::paths::Paths;
use crate::engine::{EngineError, SharedEngine};

use super::event::{Command, CommandId, Effect, Event, Now, Reply};
use super::machine::{Birth, Machine};
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
}

/// What steps and looks need, whatever the machine does meanwhile.
struct Ground {
    config: Arc<Config>,
    env: Arc<Env>,
    paths: Arc<Paths>,
    key: crate::bay::owner::OwnerKey,
    sessions: Sessions,
    /// Workers whose directories were first made by a spawn of this supervisor.
    fresh: Arc<Mutex<BTreeSet<Name>>>,
}

impl Ground {
    /// Held for a moment, never across an await. A panic elsewhere leaves the set as good as it was.
    fn fresh(&self) -> std::sync::MutexGuard<'_, BTreeSet<Name>> {
        self.fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
    sessions_changed: mpsc::Receiver<()>,
    answers: BTreeMap<CommandId, oneshot::Sender<Reply>>,
    next_command: u64,
    tasks: JoinSet<()>,
    /// Lives as long as the present connection to the engine.
    link: CancellationToken,
    /// Host ports of containers that are being made.
    reserved: BTreeMap<String, Vec<u16>>,
    /// Directories of removed workers that are being cleared, by name: who takes the name next waits for the end.
    forgetting: BTreeMap<String, Vec<oneshot::Receiver<()>>>,
    started: Instant,
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
        let birth =
            Birth { config: config.clone(), key: key.clone(), stored, boot: boot(), pid: std::process::id(), troubles };
        let (machine, first) = Machine::new(birth, now(started));
        let (view, view_rx) = watch::channel(Arc::new(machine.snapshot(now(started))));
        let (engine, engine_rx) = watch::channel(None);
        let (config_tx, config_rx) = watch::channel(config.clone());
        let (events, incoming) = mpsc::channel(EVENTS);
        let (commands_tx, commands) = mpsc::channel(COMMANDS);
        let ending = CancellationToken::new();
        let handle = Handle {
            commands: commands_tx,
            view: view_rx,
            engine: engine_rx,
            sessions: sessions.clone(),
            paths: paths.clone(),
            started,
            ending: ending.clone(),
            config: config_rx,
            env: env.clone(),
        };
        let ground = Arc::new(Ground { config, env, paths, key, sessions, fresh: Arc::default() });
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
            sessions_changed,
            answers: BTreeMap::new(),
            next_command: 0,
            tasks: JoinSet::new(),
            link: CancellationToken::new(),
            reserved: BTreeMap::new(),
            forgetting: BTreeMap::new(),
            started,
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
        while !self.exit {
            let event = tokio::select! {
                biased;
                () = self.ending.cancelled() => Event::Terminate,
                Some(event) = self.incoming.recv() => event,
                Some((command, answer)) = self.commands.recv() => self.asked(command, answer),
                Some(()) = self.sessions_changed.recv() => Event::Sessions(self.ground.sessions.rows()),
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => continue,
                _ = tick.tick() => self.tick(),
            };
            self.take(event);
        }
        self.link.cancel();
        self.ending.cancel();
        self.tasks.shutdown().await;
    }

    fn asked(&mut self, command: Command, answer: oneshot::Sender<Reply>) -> Event {
        if let Command::Reload(config) = &command {
            self.adopt_config(config.clone());
        }
        self.next_command += 1;
        let id = CommandId(self.next_command);
        self.answers.retain(|_, answer| !answer.is_closed());
        self.answers.insert(id, answer);
        Event::Command(id, command)
    }

    /// New containers are made by the new configuration; a bay's name never changes under a supervisor.
    fn adopt_config(&mut self, config: Arc<Config>) {
        if config.bay != self.ground.config.bay {
            return;
        }
        let ground = &self.ground;
        self.ground = Arc::new(Ground {
            config: config.clone(),
            env: ground.env.clone(),
            paths: ground.paths.clone(),
            key: ground.key.clone(),
            sessions: ground.sessions.clone(),
            fresh: ground.fresh.clone(),
        });
        self.config.send_replace(config);
    }

    fn take(&mut self, event: Event) {
        if let Event::Stepped(stepped) = &event
            && let super::goal::Step::Create(..) = stepped.step
        {
            self.reserved.remove(&stepped.target);
        }
        let before = self.machine.seq();
        let effects = self.machine.handle(event, now(self.started));
        self.perform(effects);
        if self.machine.seq() != before {
            self.view.send_replace(Arc::new(self.machine.snapshot(now(self.started))));
        }
    }

    fn tick(&mut self) -> Event {
        self.ticks += 1;
        self.watch_parent();
        Event::Tick(disk(&self.ground.paths))
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.perform_one(effect);
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Save(stored) => self.save(&stored),
            Effect::Connect => self.connect(),
            Effect::Disconnect => {
                self.link.cancel();
                self.engine.send_replace(None);
            }
            Effect::Look(look) => self.look(look),
            Effect::Ping => {
                let Some(engine) = self.present_engine() else { return };
                let broken = Event::Pinged(Err(broken("a ping")));
                self.spawn_event(broken, async move { Event::Pinged(engine.ping().await) });
            }
            Effect::Step(target, step) => self.step(target, step),
            Effect::Reply(id, reply) => {
                if let Some(answer) = self.answers.remove(&id) {
                    // A client that is gone does not want it.
                    drop(answer.send(reply));
                }
            }
            Effect::OpenSession { id, name, size } => {
                let Some(engine) = self.present_engine() else { return };
                let sessions = self.ground.sessions.clone();
                let link = self.link.clone();
                let opening = async move { open_session(&sessions, &engine, (&id, &name), size).await };
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = opening => {}
                        () = link.cancelled() => {}
                    }
                });
            }
            Effect::EndSessions { id, reason, code } => self.ground.sessions.container_ended(&id, &reason, code),
            Effect::ForgetSessions(id) => self.ground.sessions.forget(&id),
            Effect::ForgetWorker { name, failed } => {
                let fresh = self.ground.fresh().remove(&name);
                if fresh || !failed {
                    self.forget_worker(name);
                }
            }
            Effect::Exit => self.exit = true,
        }
    }

    /// Short and rare, and nothing may go on before it is on the disk: done here, not in a task.
    fn save(&mut self, stored: &super::store::Stored) {
        super::crash::point("before-save");
        let stored = super::store::Stored { version: super::store::VERSION, ..stored.clone() };
        let store = &self.store;
        let result = tokio::task::block_in_place(|| store.save(&stored)).map_err(|error| error.to_string());
        super::crash::point("after-save");
        if let Err(error) = &result {
            tracing::error!(%error, "the state can't be saved");
        }
        // Effects of this event are none: it changes only what is said.
        drop(self.machine.handle(Event::Saved(result), now(self.started)));
    }

    fn forget_worker(&mut self, name: Name) {
        let paths = self.ground.paths.clone();
        self.forgetting.retain(|_, ends| {
            ends.retain_mut(|end| matches!(end.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
            !ends.is_empty()
        });
        let (done, end) = oneshot::channel();
        self.forgetting.entry(name.to_string()).or_default().push(end);
        self.tasks.spawn_blocking(move || {
            match crate::workspace::forget(&paths, &name) {
                Ok(kept) => kept.iter().for_each(|kept| tracing::info!(%name, kept, "kept")),
                Err(error) => tracing::warn!(%name, %error, "its directories could not be removed"),
            }
            // Nobody waits, most of the time.
            let _ = done.send(());
        });
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

/// Opens a running container's terminal, again and again if need be: nobody else would.
async fn open_session(
    sessions: &Sessions,
    engine: &SharedEngine,
    (id, name): (&crate::bay::container::ContainerId, &Name),
    size: crate::bay::session::TermSize,
) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        match sessions.open_main(engine, id, name, size, true).await {
            Ok(_) | Err(EngineError::NotFound { .. }) => return,
            Err(error) => {
                tracing::warn!(%name, %error, "its terminal could not be opened");
                tokio::time::sleep(backoff.fail(u64::from(std::process::id()))).await;
            }
        }
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

fn disk(paths: &Paths) -> Disk {
    rustix::fs::statvfs(&paths.state).map_or_else(
        |_| Disk::default(),
        |stat| Disk { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize },
    )
}
