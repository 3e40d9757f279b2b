//! Container services: how each is made, and how it is asked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use crate::bay::container::{ContainerId, ContainerSpec, NetworkSpec, Role};
use crate::bay::name::{ContainerName, Name, in_bay};
use crate::bay::port::PortMapping;
use crate::bay::service::{Probe, ProbeTarget, ServiceConfig, ServicePort, ServiceRun};
use crate::bay::template::{NetworkMode, ParentSpec};
use crate::engine::{ExecIo, ExecSpec, ExecState, LogQuery, SharedEngine};
use crate::service::probe::{http, in_time, tcp};
use crate::service::protocol::Status;
use crate::supervisor::event::StepError;
use crate::supervisor::goal::{CreateNetwork, Make};
use crate::workspace::env_file::environment;
use crate::workspace::{Ground as Place, prepare_service};

use super::Ground;
use super::create::{blocking, labels, socket_of, wrong};

/// What is asked of a container's service.
pub(super) struct Asked {
    pub service: Box<ServiceConfig>,
    pub status: Box<Status>,
    pub ready: bool,
    pub container: ContainerId,
    pub ports: Vec<PortMapping>,
    /// The engine's processes are this machine's.
    pub local: bool,
}

/// What the engine is asked to make: the same walls and limits as a worker's, no terminal, no workspace.
pub(super) async fn spec(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    (name, make): (&Name, &Make),
    network: &CreateNetwork,
) -> Result<(ContainerSpec, Vec<String>), StepError> {
    let known = ground.config.services.iter().find(|service| service.name == *name);
    let service = known.cloned().ok_or_else(|| wrong(missing(name)))?;
    let ServiceRun::Container { image, network: mode, mounts } = service.run.clone() else {
        return Err(wrong(missing(name)));
    };
    let network = match network {
        CreateNetwork::Join(parent) => NetworkSpec::Join(parent.clone()),
        CreateNetwork::Own if mode == NetworkMode::None => NetworkSpec::None,
        CreateNetwork::Own => NetworkSpec::Bridge(published(&service)),
    };
    let labels = labels(ground, Role::Service, make, ("", &service.hash()));
    let socket = socket_of(engine);
    let ground = ground.clone();
    blocking(move || {
        let place = Place { paths: &ground.paths, env: &ground.env, engine_socket: socket };
        let env = environment(&ground.env, &service.env_file, &service.env)?;
        let like_parent =
            ParentSpec { image, command: service.command, volumes: mounts, env, ..ground.config.parent.clone() };
        let asked = (service.user.as_str(), service.secrets.as_slice());
        let prepared = prepare_service(&place, &service.name, &like_parent, asked)?;
        let worker = &ground.config.worker;
        let spec = ContainerSpec {
            hostname: (!matches!(network, NetworkSpec::Join(_))).then(|| service.name.to_string()),
            name: ContainerName::service(&ground.config.bay, &service.name),
            image: like_parent.image,
            entrypoint: Vec::new(),
            command: like_parent.command,
            user: prepared.user,
            workdir: prepared.workdir,
            env: prepared.env,
            labels,
            network,
            mounts: prepared.mounts,
            tty: false,
            stop_signal: service.stop.asked_for(),
            limits: worker.limits.clone(),
            hardening: worker.hardening.clone(),
            health: None,
        };
        Ok((spec, prepared.notes))
    })
    .await
}

fn missing(name: &Name) -> String {
    format!("the configuration has no container service {name}")
}

fn published(service: &ServiceConfig) -> Vec<PortMapping> {
    let rules = service.ports.iter().filter_map(|port| match port {
        ServicePort::Published(rule) => Some(rule.mappings()),
        ServicePort::Listens(_) => None,
    });
    rules.flatten().copied().collect()
}

/// How long a container may take to end by itself: what its service says, else as long as every other.
pub(super) fn grace(ground: &Ground, container: &str, otherwise: Duration) -> Duration {
    let name = in_bay(&ground.config.bay, container).and_then(|name| name.strip_prefix("svc-"));
    let service = name.and_then(|name| ground.config.services.iter().find(|service| service.name.as_str() == name));
    service.map_or(otherwise, |service| service.stop.timeout.get())
}

/// Asks one of its probes; `Err` says why it did not pass.
pub(super) async fn ask(engine: Option<SharedEngine>, asked: Asked) -> Result<(), String> {
    let probe = if asked.ready { &asked.service.ready } else { &asked.service.live };
    let Some(Probe { target, timeout, .. }) = probe.clone() else { return Ok(()) };
    let limit = timeout.get();
    let engine = || engine.clone().ok_or_else(|| "the engine is away".to_owned());
    match target {
        ProbeTarget::Exec(argv) => exec(&engine()?, &asked.container, argv, limit).await,
        ProbeTarget::Log(pattern) => in_time(limit, log(&engine()?, &asked, &pattern)).await,
        ProbeTarget::Http(url) => {
            let at = Address::of_url(&url)?;
            in_time(limit, async { asked.reach(at, Question::Http(url)).await }).await
        }
        ProbeTarget::Tcp(address) => {
            let at = Address::of(&address)?;
            in_time(limit, async { asked.reach(at, Question::Tcp).await }).await
        }
    }
}

/// Where a probe goes, in the service's own network.
struct Address {
    host: String,
    port: u16,
}

enum Question {
    Tcp,
    Http(String),
}

impl Address {
    fn of(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} is no address"))?;
        let port = port.parse().map_err(|_| format!("{text:?} is no address"))?;
        Ok(Self { host: host.to_owned(), port })
    }

    fn of_url(url: &str) -> Result<Self, String> {
        let uri: ::http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        Ok(Self { host: uri.host().unwrap_or_default().to_owned(), port: uri.port_u16().unwrap_or(80) })
    }

    fn is_loopback(&self) -> bool {
        matches!(self.host.as_str(), "127.0.0.1" | "localhost" | "[::1]" | "::1" | "0.0.0.0")
    }
}

impl Question {
    async fn ask(self, host: &str, port: u16) -> Result<(), String> {
        match self {
            Self::Tcp => tcp(&format!("{host}:{port}")).await,
            Self::Http(url) => {
                let uri: ::http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
                let path = uri.path_and_query().map_or("/", ::http::uri::PathAndQuery::as_str);
                http(&format!("http://{host}:{port}{path}")).await
            }
        }
    }
}

impl Asked {
    /// Loopback is the service's own: asked from inside its network where that can be entered, else by the port that is
    /// published for it.
    async fn reach(&self, at: Address, question: Question) -> Result<(), String> {
        if !at.is_loopback() {
            return question.ask(&at.host, at.port).await;
        }
        let pid = self.status.main.map(|main| main.pid).filter(|_| self.local);
        if let Some(network) = pid.and_then(|pid| std::fs::File::open(format!("/proc/{pid}/ns/net")).ok()) {
            match inside(network, &at, question).await {
                Inside::Answer(answer) => return answer,
                Inside::NotAllowed(question) => return self.by_published(&at, question).await,
            }
        }
        self.by_published(&at, question).await
    }

    async fn by_published(&self, at: &Address, question: Question) -> Result<(), String> {
        let Some(mapping) = self.ports.iter().find(|mapping| mapping.container == at.port) else {
            return Err(format!(
                "port {} is not published, and podbay may not enter the service's network: publish it, or ask by exec",
                at.port
            ));
        };
        let host =
            mapping.ip.filter(|ip| !ip.is_unspecified()).map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string());
        question.ask(&host, mapping.host).await
    }
}

enum Inside {
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there, nobody enters a network"))]
    Answer(Result<(), String>),
    NotAllowed(Question),
}

/// Asks from a thread that lives in this network for as long as it takes.
#[cfg(target_os = "linux")]
async fn inside(network: std::fs::File, at: &Address, question: Question) -> Inside {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let (host, port) = (at.host.clone(), at.port);
    let (sender, answer) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        // The whole thread is given up afterwards: nothing else ever runs in that network.
        let entered = move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), Some(LinkNameSpaceType::Network));
        let answer = if entered.is_err() {
            Inside::NotAllowed(question)
        } else {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                // The caller's deadline is this thread's, too: nobody hears a later answer.
                Ok(runtime) => Inside::Answer(runtime.block_on(async {
                    let limit = Duration::from_mins(1);
                    in_time(limit, question.ask(&host, port)).await
                })),
                Err(error) => Inside::Answer(Err(error.to_string())),
            }
        };
        // Too late: the deadline was said.
        drop(sender.send(answer));
    });
    match thread {
        Ok(_) => answer.await.unwrap_or_else(|_| Inside::Answer(Err("the probe failed".to_owned()))),
        Err(error) => Inside::Answer(Err(error.to_string())),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unused_async, reason = "where there is no network to enter")]
async fn inside(_: std::fs::File, _: &Address, question: Question) -> Inside {
    Inside::NotAllowed(question)
}

/// A command in the container that ends with 0. One that does not end in time is ended with all that it started.
async fn exec(engine: &SharedEngine, id: &ContainerId, argv: Vec<String>, limit: Duration) -> Result<(), String> {
    let program = argv.first().cloned().unwrap_or_default();
    let marked = crate::supervisor::session::Marked::new(id.clone());
    let spec = ExecSpec { command: argv, env: marked.env(), ..ExecSpec::default() };
    let started = engine.exec(id, &spec).await.map_err(|error| error.to_string())?;
    let ExecIo::Pipes { mut output, .. } = started.io else { return Err("it has a terminal".to_owned()) };
    let mut said = String::new();
    let heard = tokio::time::timeout(limit, async {
        while let Some(chunk) = output.next().await {
            if let Ok(chunk) = chunk
                && said.len() < 400
            {
                said.push_str(&String::from_utf8_lossy(&chunk.bytes));
            }
        }
    });
    if heard.await.is_err() {
        marked.end(engine, &started.id).await;
        return Err(format!("{program} did not end within {limit:?} and was killed"));
    }
    let said = said.lines().next().unwrap_or_default().trim().to_owned();
    match engine.exec_state(&started.id).await.map_err(|error| error.to_string())? {
        ExecState::Exited { code: 0 } => Ok(()),
        ExecState::Exited { code } if said.is_empty() => Err(format!("{program} exited with code {code}")),
        ExecState::Exited { code } => Err(format!("{program} exited with code {code}: {said}")),
        ExecState::Running { .. } => Err(format!("{program} closed its output and runs on")),
    }
}

/// A line of its present run that matches.
async fn log(engine: &SharedEngine, asked: &Asked, pattern: &str) -> Result<(), String> {
    let pattern = regex::bytes::Regex::new(pattern).map_err(|error| error.to_string())?;
    // From the end of the run before: what a quick program says first is older than the start that the engine tells.
    let query = LogQuery { follow: false, tail: None, since: asked.status.ended_at };
    let mut lines = engine.logs(&asked.container, &query).await.map_err(|error| error.to_string())?;
    while let Some(line) = lines.next().await {
        if pattern.is_match(&line.map_err(|error| error.to_string())?.bytes) {
            return Ok(());
        }
    }
    Err(format!("no line like {:?} yet", pattern.as_str()))
}
