//! Native services: a task for each that has its shim's connection, and what a start needs of this machine.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::bay::lifecycle::Rules;
use crate::bay::name::Name;
use crate::bay::service::{ServiceConfig, ServicePort, ServiceRun};
use crate::bay::session::TermSize;
use crate::engine::SharedEngine;
use crate::service::link::{self, Link};
use crate::service::probe::{self, LogProbes};
use crate::service::protocol::{Order, Place, RunState, Spec, Status, Told, USUAL_UMASK};
use crate::supervisor::event::{Event, Found, ServiceEffect, ServiceEvent};

use super::{Executor, Ground};

/// Orders that wait for one shim's task. Full: the machine's owner gives the order up, and is told that it failed.
const ORDERS: usize = 64;
/// How long the engine may take to say who holds a port.
const HOLDER: Duration = Duration::from_secs(2);

/// The tasks of all native services.
#[derive(Default)]
pub(super) struct Shims {
    tasks: BTreeMap<Name, mpsc::Sender<Ask>>,
    logs: Arc<LogProbes>,
}

/// What a service's task is asked.
enum Ask {
    Start {
        id: u64,
        service: Box<ServiceConfig>,
        resume: bool,
        engine: Option<SharedEngine>,
    },
    Open,
    Tell(Told),
    /// A connection that was made already, and what was said on it.
    Link(Box<Link>, RunState),
}

/// One service's task.
struct Keeper {
    name: Name,
    place: Place,
    ground: Arc<Ground>,
    events: mpsc::Sender<Event>,
    link: Option<Link>,
    /// What was last heard.
    state: RunState,
}

pub(super) fn place(ground: &Ground, name: &Name) -> Place {
    Place { dir: ground.paths.service(name), socket: ground.paths.service_socket(name) }
}

impl Executor {
    pub(super) fn service(&mut self, effect: ServiceEffect) {
        match effect {
            ServiceEffect::Survey => self.survey(),
            ServiceEffect::Start { id, service, resume } => {
                let (name, engine) = (service.name.clone(), self.present_engine());
                self.ask_shim(&name, Ask::Start { id, service, resume, engine });
            }
            ServiceEffect::Open(name) => self.ask_shim(&name, Ask::Open),
            ServiceEffect::Tell { name, id, order } => self.ask_shim(&name, Ask::Tell(Told { id, order })),
            ServiceEffect::Probe { service, status, which, container: Some(container), ports } => {
                let ready = which == crate::supervisor::machine::Which::Ready;
                let (name, run) = (service.name.clone(), status.run);
                let (engine, local) = (self.present_engine(), self.machine.is_local());
                let asked = super::contained::Asked { service, status, ready, container, ports, local };
                let answer = move |result| Event::Service(ServiceEvent::Probed { name, run, which, result });
                let broken = answer.clone()(Err("podbay itself failed; its log says where".to_owned()));
                self.spawn_event(broken, async move { answer(super::contained::ask(engine, asked).await) });
            }
            ServiceEffect::Probe { service, status, which, container: None, .. } => {
                let logs = self.shims.logs.clone();
                let ground = self.ground.clone();
                let (name, run) = (service.name.clone(), status.run);
                let answer = move |result| Event::Service(ServiceEvent::Probed { name, run, which, result });
                let broken = answer.clone()(Err("podbay itself failed; its log says where".to_owned()));
                self.spawn_event(broken, async move {
                    let place = place(&ground, &service.name);
                    let asked = probe::Asked { service: &service, status: &status, env: &ground.env, place: &place };
                    answer(probe::ask(&asked, which == crate::supervisor::machine::Which::Ready, &logs).await)
                });
            }
        }
    }

    fn ask_shim(&mut self, name: &Name, ask: Ask) {
        let sender = self.shims.tasks.get(name).filter(|sender| !sender.is_closed()).cloned();
        let sender = sender.unwrap_or_else(|| self.keep(name));
        if let Err(error) = sender.try_send(ask) {
            tracing::error!(%name, %error, "an order could not be given");
            let event = ServiceEvent::Unprepared { name: name.clone(), error: "too many orders wait".to_owned() };
            // The machine's own queue is longer than its services' orders.
            drop(self.events.try_send(Event::Service(event)));
        }
    }

    fn keep(&mut self, name: &Name) -> mpsc::Sender<Ask> {
        let (sender, asks) = mpsc::channel(ORDERS);
        let keeper = Keeper {
            name: name.clone(),
            place: place(&self.ground, name),
            ground: self.ground.clone(),
            events: self.events.clone(),
            link: None,
            state: RunState::Idle,
        };
        self.tasks.spawn(keeper.run(asks));
        self.shims.tasks.insert(name.clone(), sender.clone());
        sender
    }

    /// Every directory of a service: is there a shim, and what did the last one write down?
    fn survey(&mut self) {
        let ground = self.ground.clone();
        let dir = ground.paths.state.join("services");
        let names: Vec<Name> = std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        let keepers: Vec<(Name, mpsc::Sender<Ask>)> =
            names.into_iter().map(|name| (name.clone(), self.keep(&name))).collect();
        let broken = Event::Service(ServiceEvent::Surveyed(Vec::new()));
        self.spawn_event(broken, async move {
            let looks = keepers.into_iter().map(|(name, keeper)| {
                let place = place(&ground, &name);
                async move { look(name, keeper, &place).await }
            });
            let found = futures_util::future::join_all(looks).await.into_iter().flatten().collect();
            Event::Service(ServiceEvent::Surveyed(found))
        });
    }
}

async fn look(name: Name, keeper: mpsc::Sender<Ask>, place: &Place) -> Option<Found> {
    match Link::connect(place).await {
        Ok(Some((link, status))) => {
            // Its task is new and has an empty queue.
            drop(keeper.send(Ask::Link(Box::new(link), status.state)).await);
            Some(Found { name, status: Box::new(status), alive: true })
        }
        Ok(None) => Some(Found { status: Box::new(link::last_status(place)?), name, alive: false }),
        Err(error) => {
            tracing::warn!(%name, %error, "its shim is taken as lost");
            Some(Found { status: Box::new(link::last_status(place)?), name, alive: false })
        }
    }
}

impl Keeper {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        loop {
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.obey(ask).await,
                    None => return,
                },
                status = heard(&mut self.link) => match status {
                    Some(status) => self.say(status).await,
                    None => self.gone().await,
                },
            }
        }
    }

    async fn tell_machine(&self, event: ServiceEvent) {
        // Fails only when the supervisor has ended.
        drop(self.events.send(Event::Service(event)).await);
    }

    async fn say(&mut self, status: Status) {
        self.state = status.state;
        self.tell_machine(ServiceEvent::Shim { name: self.name.clone(), status: Box::new(status) }).await;
    }

    async fn gone(&mut self) {
        self.link = None;
        self.state = RunState::Idle;
        let status = link::last_status(&self.place).map(Box::new);
        self.tell_machine(ServiceEvent::ShimGone { name: self.name.clone(), status }).await;
    }

    async fn unprepared(&self, error: String) {
        self.tell_machine(ServiceEvent::Unprepared { name: self.name.clone(), error }).await;
    }

    async fn obey(&mut self, ask: Ask) {
        match ask {
            Ask::Link(link, state) => (self.link, self.state) = (Some(*link), state),
            Ask::Open => drop(self.open().await),
            Ask::Tell(told) => self.tell(told).await,
            Ask::Start { id, service, resume, engine } => {
                // First: it ends what an earlier run left, which may hold the port.
                let Some(state) = self.open().await else { return };
                match self.spec_of(&service, state, engine).await {
                    Ok(spec) => {
                        let spec = Box::new(spec);
                        let order = if resume { Order::Resume(spec) } else { Order::Start(spec) };
                        self.tell(Told { id, order }).await;
                    }
                    Err(error) => self.unprepared(error).await,
                }
            }
        }
    }

    async fn tell(&mut self, told: Told) {
        let told_to = match &mut self.link {
            Some(link) => link.tell(&told).await.is_ok(),
            None => false,
        };
        if !told_to {
            self.gone().await;
        }
    }

    /// Has a connection; what is said first is where the service is.
    async fn open(&mut self) -> Option<RunState> {
        if self.link.is_some() {
            // Still there, as far as is known; its end is heard of in any case.
            return Some(self.state);
        }
        let label = format!("{}/{}", self.ground.config.bay, self.name);
        match Link::open(&self.place, &link::own_program(), &label).await {
            Ok((link, status)) => {
                let state = status.state;
                self.link = Some(link);
                self.say(status).await;
                Some(state)
            }
            Err(error) => {
                self.unprepared(error.to_string()).await;
                None
            }
        }
    }

    async fn spec_of(
        &self,
        service: &ServiceConfig,
        state: RunState,
        engine: Option<SharedEngine>,
    ) -> Result<Spec, String> {
        if !state.is_live() {
            let ports = service.ports.iter().filter_map(|port| match port {
                ServicePort::Listens(port) => Some(*port),
                ServicePort::Published(_) => None,
            });
            for port in ports {
                free(port, engine.as_ref()).await?;
            }
        }
        spec(&self.ground, service)
    }
}

async fn heard(link: &mut Option<Link>) -> Option<Status> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

/// How a service is run: complete, nothing of it is looked up later.
fn spec(ground: &Ground, service: &ServiceConfig) -> Result<Spec, String> {
    let ServiceRun::Host { cwd, tty, .. } = &service.run else { return Err("it runs in a container".to_owned()) };
    let cwd = if cwd.is_empty() { ground.env.home.clone() } else { ground.env.cwd.join(ground.env.expand(cwd)?) };
    let own = crate::workspace::env_file::environment(&ground.env, &service.env_file, &service.env);
    let mut env = ground.env.vars.clone();
    env.extend(own.map_err(|error| error.to_string())?);
    let limits = &ground.config.worker.limits;
    Ok(Spec {
        command: service.command.clone(),
        cwd,
        env,
        tty: tty.then(TermSize::default),
        umask: ground.env.umask.unwrap_or(USUAL_UMASK),
        rules: Rules::of(service),
        hash: service.hash(),
        log_bytes: limits.log_max_size.as_u64(),
        log_files: limits.log_max_files,
    })
}

/// Whether a port can be listened on, or who holds it.
async fn free(port: u16, engine: Option<&SharedEngine>) -> Result<(), String> {
    if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
        return Ok(());
    }
    if port < 1024 && TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_ok() && !is_taken(port) {
        // Only root may listen there; whether the service may is its own matter.
        return Ok(());
    }
    let container = async {
        let published = engine?.published().await.ok()?;
        let holder = published.into_iter().find(|(mapping, _)| mapping.host == port)?;
        Some(format!("container {}", holder.1))
    };
    let container = tokio::time::timeout(HOLDER, container).await.ok().flatten();
    let process = tokio::task::spawn_blocking(move || crate::engine::port_holder(port)).await.ok().flatten();
    match container.or(process) {
        Some(holder) => Err(format!("port {port} is held by {holder}")),
        None => Err(format!("port {port} is held by somebody who can't be seen from here")),
    }
}

fn is_taken(port: u16) -> bool {
    crate::engine::port_holder(port).is_some()
}
