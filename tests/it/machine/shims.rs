//! Shims in memory: each follows the real rules of a service's life, answers like the real one, and may be killed.
//!
//! Statuses are told only once nothing else is to be done, and only the newest: as over the real connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use podbay::bay::lifecycle::{Act, Event as Life, Exit, Lifecycle, Memory, Rules};
use podbay::bay::name::Name;
use podbay::service::process::ProcessId;
use podbay::service::protocol::{Order, RunState, Status};
use podbay::supervisor::event::{Event, Found, ServiceEffect, ServiceEvent, Sighting};

use super::world::World;

/// The services' directories, and the shims that live there.
#[derive(Default)]
pub struct Shims {
    pub by_name: BTreeMap<String, Shim>,
    /// What is to be told, in order.
    news: VecDeque<String>,
    /// Every shim that begins finds this, and does not begin.
    pub leftovers: BTreeMap<String, String>,
    /// What a probe of this service says.
    pub probes: BTreeMap<String, String>,
    /// Ports that somebody else has when these services are to begin.
    pub taken: BTreeMap<String, u16>,
    /// Shims that live and can't be spoken with: why.
    pub mute: BTreeMap<String, String>,
    /// Shims that take orders and carry none out.
    pub deaf: BTreeSet<String>,
    /// Orders, as they were carried out.
    pub orders: Vec<(String, &'static str)>,
}

/// One of them, alive or not, and what it wrote down.
#[derive(Default)]
pub struct Shim {
    pub alive: bool,
    pub status: Status,
    pub rules: Option<Rules>,
    connected: bool,
    quit: bool,
    life: Option<Lifecycle>,
    hash: String,
    taken: Option<u16>,
}

impl Shim {
    fn live(&mut self, event: Life, now: Duration) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(life) = &mut self.life else { return };
            for act in life.handle(event, now, 7) {
                match act {
                    Act::Begin if self.taken.is_some() => {
                        self.status.run += 1;
                        self.status.port_taken = self.taken;
                        events.push_back(Life::NotBegun("the port is held by another process".to_owned()));
                    }
                    Act::Begin => {
                        self.status.run += 1;
                        self.status.port_taken = None;
                        self.status.hash.clone_from(&self.hash);
                        self.status.main = Some(ProcessId { pid: 4000, start: self.status.run });
                        events.push_back(Life::Began);
                    }
                    // Sent to what is gone already when only leftovers are meant.
                    Act::Signal(_) | Act::Kill => events.extend([Life::Ended(Exit::Signal(15)), Life::Emptied]),
                }
            }
        }
        self.show();
    }

    fn show(&mut self) {
        let Some(life) = &self.life else { return };
        self.status.memory = life.memory().clone();
        self.status.state = RunState::of(life.phase());
        if !self.status.state.is_live() {
            self.status.main = None;
        }
    }

    fn obey(&mut self, order: Order, now: Duration) {
        match order {
            Order::Start(spec) | Order::Resume(spec) => unreachable!("made by the executor: {spec:?}"),
            Order::Stop => self.live(Life::Stop, now),
            Order::Ready(yes) => self.live(Life::Ready(yes), now),
            Order::Unhealthy(why) => self.live(Life::Unhealthy(why), now),
            Order::Rules(rules) => {
                if let Some(life) = &mut self.life {
                    life.set_rules(rules.clone());
                    self.rules = Some(rules);
                }
            }
            Order::Resize(_) => {}
            Order::Quit => self.quit = true,
        }
    }
}

impl World {
    fn boot_id(&self) -> String {
        format!("boot-{}", self.boot)
    }

    pub fn shim(&mut self, name: &str) -> &mut Shim {
        self.shims.by_name.get_mut(name).unwrap_or_else(|| panic!("{name} never had a shim"))
    }

    /// Whatever it is told from now on is heard after everything else.
    fn has_news(&mut self, name: &str) {
        if !self.shims.news.iter().any(|known| known == name) {
            self.shims.news.push_back(name.to_owned());
        }
    }

    /// One shim says how it is; `false`: none has anything to say.
    pub fn hear_a_shim(&mut self) -> bool {
        let Some(name) = self.shims.news.pop_front() else { return false };
        let key: Name = name.parse().unwrap();
        let shim = self.shims.by_name.get_mut(&name).unwrap();
        if !shim.connected {
            return true;
        }
        let status = Box::new(shim.status.clone());
        if shim.alive && shim.quit && shim.status.state.is_at_rest() {
            (shim.alive, shim.life) = (false, None);
        }
        if shim.alive {
            self.event(Event::Service(ServiceEvent::Shim { name: key, status }));
        } else {
            shim.connected = false;
            self.event(Event::Service(ServiceEvent::ShimGone { name: key, status: Some(status) }));
        }
        true
    }

    pub fn serve(&mut self, effect: ServiceEffect) {
        match effect {
            ServiceEffect::Survey => {
                let found = self.shims.by_name.iter_mut().map(|(name, shim)| {
                    let sighting = match self.shims.mute.get(name).filter(|_| shim.alive) {
                        Some(why) => Sighting::Mute(why.clone()),
                        None if shim.alive => Sighting::Alive,
                        None => Sighting::Dead,
                    };
                    shim.connected = sighting == Sighting::Alive;
                    Found { name: name.parse().unwrap(), status: Box::new(shim.status.clone()), shim: sighting }
                });
                let found = found.collect();
                self.event(Event::Service(ServiceEvent::Surveyed(found)));
            }
            ServiceEffect::Open(name) => drop(self.open_shim(&name)),
            ServiceEffect::Start { id, service, resume } => {
                if !self.open_shim(&service.name) {
                    return;
                }
                let now = self.mono;
                let name = service.name.to_string();
                self.shims.orders.push((name.clone(), if resume { "resume" } else { "start" }));
                if self.shims.deaf.contains(&name) {
                    return;
                }
                let shim = self.shim(&name);
                shim.quit = false;
                shim.hash = service.hash();
                let rules = Rules::of(&service);
                let memory = shim.status.memory.clone();
                shim.rules = Some(rules.clone());
                shim.life.get_or_insert_with(|| Lifecycle::new(rules.clone(), memory)).set_rules(rules);
                shim.live(if resume { Life::Lost(Exit::Lost) } else { Life::Start }, now);
                shim.status.last_order = id;
                self.has_news(&name);
            }
            ServiceEffect::Tell { name, told } => {
                let (now, name) = (self.mono, name.to_string());
                if self.shims.by_name.get(&name).is_none_or(|shim| !shim.alive || !shim.connected) {
                    let status = self.shims.by_name.get(&name).map(|shim| Box::new(shim.status.clone()));
                    let name = name.parse().unwrap();
                    return self.event(Event::Service(ServiceEvent::ShimGone { name, status }));
                }
                if self.shims.deaf.contains(&name) {
                    return;
                }
                self.shims.orders.push((name.clone(), word(&told.order)));
                let shim = self.shim(&name);
                if told.run.is_none_or(|run| run == shim.status.run) {
                    shim.obey(told.order, now);
                }
                // Whatever the number is: also a shim of an earlier podbay is to be understood.
                shim.status.last_order = told.id;
                self.has_news(&name);
            }
            ServiceEffect::FindHolder { name, run, port } => {
                let holder = format!("port {port} is held by nc (pid 7003)");
                self.event(Event::Service(ServiceEvent::Holder { name, run, holder }));
            }
            ServiceEffect::Probe { service, status, which, .. } => {
                let result = self.shims.probes.get(service.name.as_str()).cloned().map_or(Ok(()), Err);
                let (name, run) = (service.name, status.run);
                self.event(Event::Service(ServiceEvent::Probed { name, run, which, result }));
            }
        }
    }

    /// Has a shim there; a new one ends what the last one left, or does not begin.
    fn open_shim(&mut self, name: &Name) -> bool {
        let boot = self.boot_id();
        let mute = self.shims.mute.get(name.as_str()).cloned();
        let shim = self.shims.by_name.entry(name.to_string()).or_default();
        if let Some(why) = mute.filter(|_| shim.alive) {
            self.event(Event::Service(ServiceEvent::ShimMute { name: name.clone(), why }));
            return false;
        }
        if shim.alive {
            // What it says first is where its service is.
            if !std::mem::replace(&mut shim.connected, true) {
                let status = Box::new(shim.status.clone());
                self.event(Event::Service(ServiceEvent::Shim { name: name.clone(), status }));
            }
            return true;
        }
        if let Some(error) = self.shims.leftovers.get(name.as_str()).cloned() {
            self.event(Event::Service(ServiceEvent::Unprepared { name: name.clone(), error }));
            return false;
        }
        let memory = if shim.status.boot == boot { shim.status.memory.clone() } else { Memory::default() };
        let status = Status { boot, run: shim.status.run, memory, ..Status::default() };
        *shim = Shim { alive: true, connected: true, status, ..Shim::default() };
        let status = Box::new(shim.status.clone());
        self.event(Event::Service(ServiceEvent::Shim { name: name.clone(), status }));
        true
    }

    /// SIGKILL to a shim: its main process goes with it, and nothing is written down.
    pub fn kill_shim(&mut self, name: &str) {
        let shim = self.shim(name);
        (shim.alive, shim.life) = (false, None);
        self.has_news(name);
    }

    /// SIGTERM to a shim: it stops its service, and ends.
    pub fn terminate_shim(&mut self, name: &str) {
        let now = self.mono;
        let shim = self.shim(name);
        shim.quit = true;
        shim.live(Life::Stop, now);
        self.has_news(name);
    }

    /// The main process of a service ends.
    pub fn end_service(&mut self, name: &str, code: i64) {
        let now = self.mono;
        self.shim(name).live(Life::Ended(Exit::Code(code)), now);
        self.has_news(name);
    }

    /// Time passes for them, too.
    pub fn tick_shims(&mut self) {
        let now = self.mono;
        let names: Vec<String> = self.shims.by_name.keys().cloned().collect();
        for name in names {
            let taken = self.shims.taken.get(&name).copied();
            let shim = self.shim(&name);
            shim.taken = taken;
            let before = shim.status.clone();
            shim.live(Life::Tick, now);
            if shim.status != before {
                self.has_news(&name);
            }
        }
    }

    /// Nobody hears them any more.
    pub fn lose_shims(&mut self, with_the_machine: bool) {
        self.shims.news.clear();
        for shim in self.shims.by_name.values_mut() {
            shim.connected = false;
            if with_the_machine {
                (shim.alive, shim.life) = (false, None);
            }
        }
    }

    pub fn service(&self, name: &str) -> podbay::api::types::ServiceRow {
        let rows = self.view().status.services;
        let found = rows.iter().find(|row| row.name == name).cloned();
        found.unwrap_or_else(|| panic!("no service {name} in {rows:#?}"))
    }
}

const fn word(order: &Order) -> &'static str {
    match order {
        Order::Start(_) => "start",
        Order::Resume(_) => "resume",
        Order::Stop => "stop",
        Order::Ready(_) => "ready",
        Order::Unhealthy(_) => "unhealthy",
        Order::Rules(_) => "rules",
        Order::Resize(_) => "resize",
        Order::Quit => "quit",
    }
}
