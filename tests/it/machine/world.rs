//! A world for the machine: an engine in memory that does what effects say, can be late, can fail, can lose answers,
//! and on which anybody may do anything behind the supervisor's back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use podbay::api::types::{Snapshot, SpawnRequest, Verb};
use podbay::bay::container::{ContainerId, ImageFacts, Observed, ObservedNetwork, Role, Status, label};
use podbay::bay::owner::OwnerKey;
use podbay::bay::template::WarmMode;
use podbay::config::Config;
use podbay::engine::{EngineError, Identity};
use podbay::supervisor::event::{
    Command, CommandId, Effect, Event, Gauges, Now, Reply, StepError, StepNotes, Stepped, Vitals, Waiting,
};
use podbay::supervisor::goal::{CreateNetwork, Make, Step, What};
use podbay::supervisor::guard::Namespaces;
use podbay::supervisor::machine::{Birth, Machine};
use podbay::supervisor::store::Stored;
use podbay::workspace::WorkspaceError;

use super::gates::Gate;
use super::shims::Shims;

pub struct World {
    pub machine: Machine,
    pub containers: BTreeMap<ContainerId, Observed>,
    pub answers: BTreeMap<u64, Reply>,
    pub effects: VecDeque<Effect>,
    /// What is on the disk.
    pub disk: Stored,
    pub config: Arc<Config>,
    pub mono: Duration,
    /// The wall clock was set by so much.
    pub jump: jiff::SignedDuration,
    pub exited: bool,
    /// Every step that was carried out, in order.
    pub steps: Vec<(String, &'static str)>,
    /// The next steps of this kind fail so.
    pub failures: VecDeque<(&'static str, EngineError)>,
    /// The engine, as it says of itself.
    pub engine: Identity,
    /// The engine answers nothing.
    pub away: bool,
    /// Whatever is started ends at once.
    pub short_lived: bool,
    /// How every worker fares.
    pub vitals: Vitals,
    /// Containers whose sessions were forgotten.
    pub forgotten: Vec<ContainerId>,
    /// The gates of warm workers, by container.
    pub gates: BTreeMap<ContainerId, Gate>,
    /// The supervisor is killed after so many acts of the next claim.
    pub dies_in_claim: Option<usize>,
    /// The next claim's workspace can't be filled.
    pub fails_to_fill: Option<WorkspaceError>,
    /// The next claim file can't be written.
    pub fails_to_write: Option<StepError>,
    /// Woken gates take their time.
    pub slow_gates: bool,
    /// The next line for a gate is lost on the way.
    pub loses_wakes: bool,
    /// Woken gates, and until when they have time to take their claim.
    pub watched: Vec<(Duration, ContainerId, Timestamp)>,
    /// Probes are not answered.
    pub no_probes: bool,
    /// A list can't be had.
    pub no_lists: bool,
    /// Ids of images, by reference.
    pub images: BTreeMap<String, String>,
    /// Native services.
    pub shims: Shims,
    next_id: u64,
    next_command: u64,
    pub boot: u32,
}

/// The name inside the bay: the engine's, but of a claimed worker that has the pool's there.
pub fn inside(disk: &Stored, container: &Observed) -> String {
    let name = container.name.trim_start_matches("podbay-");
    let claimed = disk.claims.get(&container.id).and_then(|claim| claim.name.as_ref());
    claimed.filter(|_| name.starts_with("warm-")).map_or(name, |name| name.as_str()).to_owned()
}

fn key() -> OwnerKey {
    OwnerKey::new([7; 32])
}

pub fn wall(mono: Duration) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + mono
}

impl World {
    pub fn new(toml: &str) -> Self {
        let config = Arc::new(Config::parse("podbay.toml", toml).unwrap());
        // Somebody has brought the bay up once: pools fill.
        Self::begun(config, Stored { pools_up: true, ..Stored::default() })
    }

    /// A bay that nobody has asked for anything yet.
    pub fn untouched(toml: &str) -> Self {
        Self::begun(Arc::new(Config::parse("podbay.toml", toml).unwrap()), Stored::default())
    }

    fn begun(config: Arc<Config>, disk: Stored) -> Self {
        let (machine, effects) = born(&config, disk.clone(), 0, Duration::ZERO);
        Self {
            machine,
            containers: BTreeMap::new(),
            answers: BTreeMap::new(),
            effects: effects.into(),
            disk,
            config,
            mono: Duration::ZERO,
            jump: jiff::SignedDuration::ZERO,
            exited: false,
            steps: Vec::new(),
            failures: VecDeque::new(),
            engine: identity(),
            away: false,
            short_lived: false,
            vitals: Vitals::default(),
            forgotten: Vec::new(),
            gates: BTreeMap::new(),
            dies_in_claim: None,
            fails_to_fill: None,
            fails_to_write: None,
            slow_gates: false,
            loses_wakes: false,
            watched: Vec::new(),
            no_probes: false,
            no_lists: false,
            images: BTreeMap::new(),
            shims: Shims::default(),
            next_id: 0,
            next_command: 0,
            boot: 0,
        }
    }

    pub fn now(&self) -> Now {
        Now { mono: self.mono, wall: wall(self.mono) + self.jump }
    }

    pub fn event(&mut self, event: Event) {
        let effects = self.machine.handle(event, self.now());
        self.effects.extend(effects);
    }

    /// The supervisor is killed and another one starts from what is on the disk.
    pub fn crash(&mut self) {
        self.effects.clear();
        self.watched.clear();
        self.lose_shims(false);
        let (machine, effects) = born(&self.config, self.disk.clone(), self.boot, self.mono);
        self.machine = machine;
        self.effects = effects.into();
    }

    /// The machine under everything was restarted: all containers ended, by the order of nobody.
    pub fn reboot(&mut self) {
        self.boot += 1;
        self.end_all(137);
        self.lose_shims(true);
        self.crash();
    }

    pub fn end_all(&mut self, code: i64) {
        let at = wall(self.mono);
        for container in self.containers.values_mut().filter(|container| container.status.is_running()) {
            container.status = Status::Exited { code, oom: false, at: Some(at), error: String::new() };
        }
    }

    pub fn command(&mut self, command: Command) -> u64 {
        self.next_command += 1;
        let id = self.next_command;
        self.event(Event::Command(CommandId(id), command));
        id
    }

    pub fn spawn(&mut self, name: &str) -> u64 {
        self.spawn_with(SpawnRequest { name: Some(name.to_owned()), ..SpawnRequest::default() })
    }

    pub fn spawn_with(&mut self, request: SpawnRequest) -> u64 {
        self.command(Command::Spawn(Box::new(request)))
    }

    pub fn act(&mut self, target: &str, verb: Verb) -> u64 {
        self.command(Command::Act { target: target.to_owned(), verb })
    }

    /// Carries out one effect; `false`: there was none.
    pub fn perform_one(&mut self) -> bool {
        let Some(effect) = self.effects.pop_front() else { return self.hear_a_shim() };
        match effect {
            Effect::Save(stored) | Effect::Jot(stored) => self.disk = *stored,
            Effect::Connect => {
                let answer = if self.away { Err(away()) } else { Ok(self.engine.clone()) };
                self.event(Event::Connected { endpoint: Some("memory".to_owned()), answer });
            }
            Effect::Look(look) => {
                let seen = match () {
                    () if self.away => Err(away()),
                    () if self.no_lists => Err(late("list")),
                    () => Ok(self.containers.values().cloned().collect()),
                };
                self.event(Event::Looked { look, seen, namespaces: Namespaces::new() });
            }
            Effect::Probe { id, run, .. } => {
                let running = self.containers.get(&id).is_some_and(|seen| seen.status.since() == Some(run));
                let answer = match () {
                    () if self.away => Waiting::Unknown,
                    () if running => Waiting::Ready,
                    () => Waiting::Never("it ended".to_owned()),
                };
                if !self.no_probes {
                    self.event(Event::Probed { id, run, answer });
                }
            }
            Effect::SweepWarm(kept) => {
                for container in self.containers.values() {
                    let made_as = container.label(label::WARM_NAME);
                    assert!(made_as.is_empty() || kept.iter().any(|name| name.as_str() == made_as), "{made_as}");
                }
            }
            Effect::LookAtImages(images) => {
                let known = |name: &String| (name.clone(), self.images.get(name).cloned().unwrap_or_default());
                let known = images.iter().map(known).collect();
                self.event(Event::Images(known));
            }
            Effect::Ping => self.event(Event::Pinged(if self.away { Err(away()) } else { Ok(()) })),
            Effect::Step(target, step) => self.step(target, step),
            Effect::Survey(workers) => {
                let vitals = workers.into_iter().map(|worker| (worker.name, self.vitals.clone())).collect();
                self.event(Event::Surveyed(vitals));
            }
            Effect::Reply(id, reply) => {
                assert!(self.answers.insert(id.0, reply).is_none(), "command {} was answered twice", id.0);
            }
            Effect::Exit => self.exited = true,
            Effect::ForgetSessions(id) => self.forgotten.push(id),
            Effect::Service(effect) => self.serve(effect),
            Effect::Disconnect | Effect::GiveUp(_) | Effect::OpenSession { .. } | Effect::EndSessions { .. } => {}
            Effect::ForgetWorker { name, .. } => self.event(Event::Kept { name, notes: Vec::new() }),
        }
        true
    }

    /// Until nothing is left to do at this moment.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.perform_one() {
                return;
            }
        }
        panic!("the machine does not come to rest: {:?}", self.effects);
    }

    /// Time passes, a second at a time.
    pub fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.settle();
            let gates: Vec<ContainerId> = self.gates.keys().cloned().collect();
            for id in gates {
                self.stir(&id);
            }
            self.mono += Duration::from_secs(1);
            self.watch_gates();
            self.tick_shims();
            self.event(Event::Tick(Gauges::default()));
        }
        self.settle();
    }

    /// Something happens in the engine, and it says so.
    pub fn hint(&mut self) {
        self.event(Event::Hinted(None));
        self.settle();
    }

    pub fn view(&self) -> Snapshot {
        self.machine.snapshot(self.now())
    }

    pub fn named(&mut self, name: &str) -> Option<&mut Observed> {
        let disk = &self.disk;
        self.containers.values_mut().find(|container| inside(disk, container) == name)
    }

    pub fn row(&self, name: &str) -> podbay::api::types::ContainerRow {
        let view = self.view();
        let found = view.containers.iter().find(|row| row.name == name).cloned();
        found.unwrap_or_else(|| panic!("no row {name} in {:#?}", view.containers))
    }

    pub fn count(&self, what: &str) -> usize {
        self.steps.iter().filter(|(_, step)| *step == what).count()
    }

    fn step(&mut self, target: String, step: Step) {
        let what = word(&step);
        let failure = match self.failures.front() {
            Some((kind, _)) if *kind == what => self.failures.pop_front().map(|(_, error)| error),
            _ => None,
        };
        if self.away {
            return self.stepped(target, step, Err(away()), false);
        }
        if let Step::Open(id, opening) = &step {
            let (id, opening) = (id.clone(), opening.clone());
            return self.open(&target, &id, &opening, failure);
        }
        match failure {
            // An answer that was lost: the engine has done it all the same.
            Some(error @ EngineError::Deadline { .. }) => {
                drop(self.carry_out(&target, &step));
                self.stepped(target, step, Err(error), false);
            }
            Some(error) => self.stepped(target, step, Err(error), true),
            None => {
                let result = self.carry_out(&target, &step);
                self.steps.push((target.clone(), what));
                self.stepped(target, step, result, true);
            }
        }
    }

    pub fn stepped(&mut self, target: String, step: Step, result: Result<StepNotes, EngineError>, certain: bool) {
        let id = match (&step, &result) {
            (Step::Create(..), Ok(notes)) => notes.made.as_ref().map(|(_, id)| id.clone()),
            (Step::Create(..), Err(_)) => None,
            (step, _) => step.id().cloned(),
        };
        let seen = id.filter(|_| certain).and_then(|id| self.containers.get(&id).cloned());
        let certain = certain && !(matches!(step, Step::Create(..)) && result.is_err());
        let result = result.map_err(StepError::from);
        self.event(Event::Stepped(Box::new(Stepped { target, step, result, seen, certain })));
    }

    pub fn stepped_with(&mut self, target: String, step: Step, result: Result<StepNotes, StepError>, certain: bool) {
        let seen = step.id().and_then(|id| self.containers.get(id).cloned());
        self.event(Event::Stepped(Box::new(Stepped { target, step, result, seen, certain })));
    }

    pub fn carry_out(&mut self, target: &str, step: &Step) -> Result<StepNotes, EngineError> {
        match step {
            Step::Create(make, network) => self.create(target, make, network),
            Step::Start(id) => self.start(id),
            Step::Stop(id) => self.end(id, 143),
            Step::Restart(id) => self.end(id, 143).and_then(|_| self.start(id)),
            Step::Remove(id) => {
                assert!(!self.is_used(id) || !target.starts_with("warm-"), "{target}: a used one was in the pool");
                self.containers.remove(id);
                Ok(StepNotes::default())
            }
            Step::Open(..) => unreachable!("a claim is carried out act by act"),
            Step::Rename(id, name) => {
                if self.containers.values().any(|other| other.name == *name && other.id != *id) {
                    return Err(EngineError::NameTaken(name.clone()));
                }
                let container = self.containers.get_mut(id).ok_or_else(|| not_found("renaming"))?;
                container.name.clone_from(name);
                Ok(StepNotes::default())
            }
        }
    }

    fn create(&mut self, target: &str, make: &Make, network: &CreateNetwork) -> Result<StepNotes, EngineError> {
        let name = format!("podbay-{target}");
        if self.containers.values().any(|other| other.name == name) {
            return Err(EngineError::NameTaken(name));
        }
        self.next_id += 1;
        let id = ContainerId::new(format!("{:064x}", self.next_id));
        let (role, template, request) = match &make.what {
            What::Parent => (Role::Parent, String::new(), String::new()),
            What::Service { .. } => (Role::Service, String::new(), String::new()),
            What::Worker { template, overrides, .. } => {
                (Role::Worker, template.to_string(), serde_json::to_string(overrides).unwrap())
            }
            What::Warm { template } => (Role::Worker, template.to_string(), "{}".to_owned()),
        };
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        if let What::Warm { template } = &make.what {
            let template = self.config.template(template).unwrap();
            let mode = if template.warm == WarmMode::Gate { "gate" } else { "running" };
            let facts = ImageFacts {
                id: self.images.get(&template.image.to_string()).cloned().unwrap_or_default(),
                ..ImageFacts::default()
            };
            labels.insert(label::WARM.to_owned(), mode.to_owned());
            labels.insert(label::WARM_NAME.to_owned(), target.to_owned());
            labels.insert(label::IMAGE.to_owned(), serde_json::to_string(&facts).unwrap());
            labels.insert(label::TEMPLATE_HASH.to_owned(), template.hash());
            self.gates.insert(id.clone(), Gate::default());
        }
        if role == Role::Parent {
            labels.insert(label::TEMPLATE_HASH.to_owned(), self.config.parent.hash());
        }
        let own = [
            (label::BAY, "podbay".to_owned()),
            (label::ROLE, role.as_str().to_owned()),
            (label::TEMPLATE, template),
            (label::REQUEST, request),
            (label::OWNER, key().sign(&self.config.bay, role, &make.nonce)),
        ];
        labels.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let container = Observed {
            id: id.clone(),
            name,
            image: "host".to_owned(),
            labels,
            status: Status::Created { error: String::new() },
            created_at: wall(self.mono),
            network: match network {
                CreateNetwork::Join(parent) => ObservedNetwork::Of(parent.clone()),
                CreateNetwork::Own => ObservedNetwork::Own,
            },
            ports: vec![],
            health: None,
            failed_probes: 0,
            tty: role == Role::Worker,
            isolation: None,
        };
        self.containers.insert(id.clone(), container);
        Ok(StepNotes { notes: vec![], made: Some((make.nonce.clone(), id)) })
    }

    /// As Docker does it: a worker whose parent does not run ends for good.
    pub fn start(&mut self, id: &ContainerId) -> Result<StepNotes, EngineError> {
        let container = self.containers.get(id).ok_or_else(|| not_found("starting"))?;
        if container.status.is_running() {
            return Ok(StepNotes::default());
        }
        if let ObservedNetwork::Of(parent) = &container.network
            && !self.containers.get(parent).is_some_and(|parent| parent.status.is_running())
        {
            let at = Some(wall(self.mono));
            let error = "cannot join network of a non running container".to_owned();
            let status = Status::Exited { code: 128, oom: false, at, error: error.clone() };
            self.containers.get_mut(id).unwrap().status = status;
            return Err(EngineError::Conflict { what: "starting".to_owned(), message: error });
        }
        // Starts have times of their own, as on a real engine.
        self.mono += Duration::from_millis(1);
        let since = wall(self.mono);
        let local = self.engine.kind == "local" && !self.short_lived;
        self.containers.get_mut(id).unwrap().isolation = local.then_some(self.engine.isolation);
        self.containers.get_mut(id).unwrap().status = if self.short_lived {
            Status::Exited { code: 1, oom: false, at: Some(since), error: String::new() }
        } else {
            Status::Running { pid: 0, since, paused: false }
        };
        Ok(StepNotes::default())
    }

    pub fn end(&mut self, id: &ContainerId, code: i64) -> Result<StepNotes, EngineError> {
        let at = Some(wall(self.mono));
        let container = self.containers.get_mut(id).ok_or_else(|| not_found("stopping"))?;
        if container.status.is_running() {
            container.status = Status::Exited { code, oom: false, at, error: String::new() };
        }
        Ok(StepNotes::default())
    }

    pub fn id(&mut self, name: &str) -> ContainerId {
        self.named(name).map_or_else(|| panic!("no container {name}"), |container| container.id.clone())
    }

    /// At most one container a name, and every one under a name that stands for itself.
    pub fn assert_no_doubles(&self) {
        let mut running: BTreeMap<String, usize> = BTreeMap::new();
        for container in self.containers.values().filter(|container| container.status.is_running()) {
            let name = container.name.trim_end_matches(".old").to_owned();
            *running.entry(name).or_default() += 1;
        }
        assert!(running.values().all(|count| *count == 1), "two run under one name: {running:?}");
    }
}

fn born(config: &Arc<Config>, stored: Stored, boot: u32, mono: Duration) -> (Machine, Vec<Effect>) {
    let birth = Birth {
        config: config.clone(),
        key: key(),
        stored,
        boot: format!("boot-{boot}"),
        pid: 4711,
        troubles: vec![],
        history: vec![],
    };
    Machine::new(birth, Now { mono, wall: wall(mono) })
}

pub fn away() -> EngineError {
    EngineError::Away { endpoint: "memory".to_owned(), why: "nobody is there".to_owned() }
}

pub fn late(what: &str) -> EngineError {
    EngineError::Deadline { what: what.to_owned(), deadline: Duration::from_secs(30) }
}

pub fn not_found(what: &str) -> EngineError {
    EngineError::NotFound { what: what.to_owned(), message: "no such container".to_owned() }
}

fn identity() -> Identity {
    Identity {
        isolation: podbay::bay::isolation::Isolation::Container,
        kind: "memory",
        version: "1".to_owned(),
        api: "1".to_owned(),
        limits: vec![],
        local: false,
        cpus: 2,
        memory: 24 << 30,
    }
}

pub fn word(step: &Step) -> &'static str {
    match step {
        Step::Create(..) => "create",
        Step::Start(_) => "start",
        Step::Stop(_) => "stop",
        Step::Restart(_) => "restart",
        Step::Remove(_) => "remove",
        Step::Rename(..) => "rename",
        Step::Open(..) => "open",
    }
}
