//! Native services: a task for each that has its shim's connection, and what a start needs of this machine.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::bay::lifecycle::Rules;
use crate::bay::name::{ContainerName, Name};
use crate::bay::service::{ServiceConfig, ServicePort, ServiceRun};
use crate::bay::session::TermSize;
use crate::engine::SharedEngine;
use crate::service::ServiceError;
use crate::service::link::{self, Link, Silence};
use crate::service::probe::{self, RunAs};
use crate::service::protocol::{Order, OutputRules, Place, RunState, Spec, Status, Told, USUAL_UMASK};
use crate::supervisor::event::{Event, Found, ServiceEffect, ServiceEvent, Sighting};

use crate::workspace::{Account, account, service_secrets};

use super::{Executor, Ground};

/// Orders that wait for one shim's task. Full: the machine's owner gives the order up, and is told that it failed.
const ORDERS: usize = 64;
/// How long the engine may take to say who holds a port.
const HOLDER: Duration = Duration::from_secs(2);

const CONTAINED: &str = "it runs in a container";

/// The tasks of all native services.
#[derive(Default)]
pub(super) struct Shims {
    tasks: BTreeMap<Name, mpsc::Sender<Ask>>,
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
            ServiceEffect::Tell { name, told } => self.ask_shim(&name, Ask::Tell(*told)),
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
                let ground = self.ground.clone();
                let (name, run) = (service.name.clone(), status.run);
                let answer = move |result| Event::Service(ServiceEvent::Probed { name, run, which, result });
                let broken = answer.clone()(Err("podbay itself failed; its log says where".to_owned()));
                self.spawn_event(broken, async move {
                    let asks_ready = which == crate::supervisor::machine::Which::Ready;
                    let probe = if asks_ready { &service.ready } else { &service.live };
                    let Some(probe) = probe else { return answer(Ok(())) };
                    let of = service.clone();
                    let read = ground.reads.of(&of);
                    let run_as = read.done(move || run_as(&ground, &of));
                    answer(probe::ask(probe, &status, run_as).await)
                });
            }
            ServiceEffect::FindHolder { name, run, port } => {
                let engine = self.present_engine();
                let told = move |holder| Event::Service(ServiceEvent::Holder { name, run, holder });
                let broken = told.clone()(format!("port {port} is held by another process"));
                let bay = self.ground.config.bay.clone();
                self.spawn_event(broken, async move { told(holder(port, engine.as_ref(), &bay).await) });
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
        let asker = asker(&self.ground);
        self.spawn_event(broken, async move {
            // None is asked by this one before the survey is over.
            drop(tokio::task::spawn_blocking(move || probe::sweep(&asker)).await);
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
            Some(Found { name, status: Box::new(status), shim: Sighting::Alive })
        }
        Ok(None) => Some(Found { status: Box::new(link::last_status(place)?), name, shim: Sighting::Dead }),
        Err(error) => {
            tracing::warn!(%name, %error, "a shim can't be spoken with");
            let status = Box::new(link::last_status(place).unwrap_or_default());
            Some(Found { status, name, shim: Sighting::Mute(error.to_string()) })
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
                    Ok(status) => self.say(status).await,
                    Err(Silence::Closed) => self.look_again().await,
                    Err(Silence::Unreadable(why)) => self.mute(ServiceError::Mute(why)).await,
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

    /// The connection broke: is the shim dead?
    async fn look_again(&mut self) {
        self.link = None;
        match Link::connect(&self.place).await {
            Ok(Some((link, status))) => {
                self.link = Some(link);
                self.say(status).await;
            }
            Ok(None) => self.gone().await,
            Err(error) => self.mute(error).await,
        }
    }

    async fn mute(&mut self, error: ServiceError) {
        self.link = None;
        let why = error.to_string();
        self.tell_machine(ServiceEvent::ShimMute { name: self.name.clone(), why }).await;
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
                        self.tell(Told::new(id, order)).await;
                    }
                    Err(error) => self.unprepared(error).await,
                }
            }
        }
    }

    async fn tell(&mut self, told: Told) {
        let told_to = match &mut self.link {
            Some(link) => link.tell(&told).await,
            // It was mute when it was last heard of, or is dead.
            None => Err(ServiceError::Shim("there is no connection".to_owned())),
        };
        match told_to {
            Ok(()) => {}
            Err(error @ ServiceError::Mute(_)) => self.mute(error).await,
            Err(_) => {
                self.look_again().await;
                // Given once more only to one that was found.
                if let Some(link) = &mut self.link
                    && link.tell(&told).await.is_err()
                {
                    self.look_again().await;
                }
            }
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
            Err(error @ ServiceError::Mute(_)) => {
                self.mute(error).await;
                None
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
            for port in listens(service) {
                free(port, engine.as_ref(), &self.ground.config.bay).await?;
            }
        }
        let (ground, service) = (self.ground.clone(), service.clone());
        ground.reads.of(&service).done(move || spec(&ground, &service)).await
    }
}

async fn heard(link: &mut Option<Link>) -> Result<Status, Silence> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

fn listens(service: &ServiceConfig) -> impl Iterator<Item = u16> {
    service.ports.iter().filter_map(|port| match port {
        ServicePort::Listens(port) => Some(*port),
        ServicePort::Published(_) => None,
    })
}

/// Where a service runs, with which environment; its probes, too.
fn run_as(ground: &Ground, service: &ServiceConfig) -> Result<RunAs, String> {
    let ServiceRun::Host { cwd, .. } = &service.run else { return Err(CONTAINED.to_owned()) };
    let own = crate::workspace::env_file::environment(&ground.env, &service.env_file, &service.env);
    let mut env = ground.env.vars.clone();
    let account = other_user(ground, &service.user)?;
    let mut home = ground.env.home.clone();
    if let Some((name, its)) = account.as_ref().and_then(|account| account.known.clone()) {
        env.insert("HOME".to_owned(), its.display().to_string());
        env.extend(["USER", "LOGNAME"].map(|key| (key.to_owned(), name.clone())));
        home = its;
    }
    if !service.secrets.is_empty() {
        let dir = ground.paths.service(&service.name).join("secrets");
        env.insert("CREDENTIALS_DIRECTORY".to_owned(), dir.display().to_string());
    }
    env.extend(own.map_err(|error| error.to_string())?);
    let cwd = if cwd.is_empty() { home } else { ground.env.cwd.join(ground.env.expand(cwd)?) };
    let groups = account.as_ref().map(crate::workspace::groups).unwrap_or_default();
    let ids = account.map(|account| (account.uid, account.gid));
    Ok(RunAs { cwd, env, ids, groups, umask: ground.env.umask.unwrap_or(USUAL_UMASK), asker: asker(ground) })
}

/// Whom a service runs as, when that is not who podbay runs as.
fn other_user(ground: &Ground, user: &str) -> Result<Option<Account>, String> {
    if user.is_empty() {
        return Ok(None);
    }
    let account = account(user).map_err(|error| error.to_string())?;
    let own = ground.env.uid;
    match (account.uid == own, own) {
        (true, _) => Ok(None),
        (false, 0) => Ok(Some(account)),
        (false, _) => Err(format!("it is to run as user {user}, and only root can do that; podbay runs as user {own}")),
    }
}

/// By this, the commands of probes are found again.
fn asker(ground: &Ground) -> String {
    ground.paths.state.display().to_string()
}

/// How a service is run: complete, nothing of it is looked up later.
fn spec(ground: &Ground, service: &ServiceConfig) -> Result<Spec, String> {
    let ServiceRun::Host { tty, .. } = &service.run else { return Err(CONTAINED.to_owned()) };
    let RunAs { cwd, env, ids, groups, umask, .. } = run_as(ground, service)?;
    service_secrets(&ground.paths, &service.name, &service.secrets).map_err(|error| error.to_string())?;
    let OutputRules { log_bytes, log_files, ready_log } = OutputRules::of(service, &ground.config.worker.limits);
    Ok(Spec {
        command: service.command.clone(),
        cwd,
        env,
        tty: tty.then(TermSize::default),
        ids,
        groups,
        umask,
        rules: Rules::of(service),
        hash: service.hash(),
        log_bytes,
        log_files,
        ready_log,
        ports: listens(service).collect(),
    })
}

/// Whether a port can be listened on, or who holds it.
async fn free(port: u16, engine: Option<&SharedEngine>, bay: &Name) -> Result<(), String> {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        // What else may be in the way, as of ports that only root has, is the service's own matter.
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(holder(port, engine, bay).await),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Who holds a port, in a sentence.
async fn holder(port: u16, engine: Option<&SharedEngine>, bay: &Name) -> String {
    let parent = ContainerName::parent(bay).to_string();
    let container = async {
        let published = engine?.published().await.ok()?;
        let holder = published.into_iter().find(|(mapping, _)| mapping.host == port)?;
        // Made before the service was there: one that is made now leaves the port out.
        let own = if holder.1 == parent { ": `podbay refresh parent` makes it anew without it" } else { "" };
        Some(format!("container {}{own}", holder.1))
    };
    let container = tokio::time::timeout(HOLDER, container).await.ok().flatten();
    let process = tokio::task::spawn_blocking(move || crate::engine::port_holder(port)).await.ok().flatten();
    match container.or(process) {
        Some(holder) => format!("port {port} is held by {holder}"),
        None => format!("port {port} is held by somebody who can't be seen from here"),
    }
}
