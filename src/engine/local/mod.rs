//! Containers without a daemon: namespaces of this machine, each under a shim of its own.
//!
//! [`plan`] says what a container's world is, [`shim`] owns a run of it, [`init`] is its first process and makes that
//! world; both are forked from the [`zygote`], ahead of time where that can be ([`spare`], [`ahead`]). [`place`] has its files, which are all that a killed supervisor needs to find everything again. This module
//! fulfils the trait with them. Linux alone; needs user namespaces, and no root.
//!
//! What is shown of the machine is what the host image shows with any other engine: `/usr` and parts of `/etc`, not to
//! be written. The rest of its root is the container's own directory.

mod ahead;
mod bare;
mod calls;
mod cgroup;
mod create;
mod events;
mod exec;
mod filter;
mod init;
mod inside;
mod ladder;
pub mod landlock;
mod left;
mod limits;
mod link;
mod logs;
mod opener;
mod place;
mod plan;
mod probe;
mod shim;
mod spare;
mod stats;
mod stream;
mod title;
mod wire;
mod zygote;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::sync::broadcast;

use crate::bay::container::{ContainerId, ContainerSpec, ImageFacts, ImageRef, Observed, Status};
use crate::bay::isolation::Isolation;
use crate::bay::name::Name;
use crate::bay::port::PortMapping;
use crate::bay::session::TermSize;
use crate::engine::{
    Created, Engine, EngineError, Exec, ExecId, ExecSpec, ExecState, Hint, Identity, Limitation, LogQuery, LogStream,
    RawTty, Stats,
};

/// The hidden verb of the process that shims are forked from.
pub const ZYGOTE_VERB: &str = "container-zygote";
/// What a shim is called.
pub const SHIM_VERB: &str = "container-shim";
/// What a container's first process is called.
pub const INIT_VERB: &str = "container-init";
/// What both are called as long as they have no container.
pub const SPARE_VERB: &str = "container-spare";

/// Where it is, and how far its containers are apart from the machine.
const fn endpoint(level: Isolation) -> &'static str {
    match level {
        Isolation::Landlock => "local://landlock",
        Isolation::None => "local://none",
        Isolation::Namespaces | Isolation::Container => "local://namespaces",
    }
}

/// For what only looks.
const READ: Duration = Duration::from_secs(5);
/// For what changes something.
const ACT: Duration = Duration::from_secs(30);
/// Beside the grace of a stop.
const STOP: Duration = Duration::from_secs(10);

/// Runs the hidden verb if that is what the arguments ask for. Told apart before anything else of the program is set up.
pub fn run_if_asked(arguments: &[OsString]) -> Option<ExitCode> {
    let (verb, rest) = arguments.get(1..)?.split_first()?;
    if verb != ZYGOTE_VERB {
        return None;
    }
    Some(rest.first().map_or(ExitCode::from(2), |state| zygote::run(Path::new(state))))
}

/// An engine of this machine's own namespaces.
pub struct LocalEngine {
    /// `$XDG_STATE_HOME/podbay`: each bay's directory is below it.
    state: PathBuf,
    /// How far its containers are kept apart from the machine.
    level: Isolation,
    launch: Arc<link::Launch>,
    done: broadcast::Sender<events::Done>,
    readings: stats::Readings,
    /// Terminals of processes that this engine began, for their size. Nobody else has them open.
    terminals: Mutex<HashMap<ExecId, Weak<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>>>,
    /// Who opens user namespaces, where this process itself may not.
    opener: Mutex<Option<PathBuf>>,
    /// It was seen that containers can be had here.
    proved: tokio::sync::OnceCell<()>,
    /// Why nothing else is taken, where it was not asked for by name.
    instead: Option<String>,
    /// The user is asked for something weaker where its level is refused.
    asks: bool,
    /// What was tried or passed over in its place, and why.
    tried: Vec<Limitation>,
    /// What is made ahead of the next container.
    spares: spare::Spares,
    /// The same of those that are made and were not started yet, by id.
    waiting: Mutex<HashMap<String, spare::Warm>>,
    /// A name is looked for and taken in one go.
    naming: Arc<tokio::sync::Mutex<()>>,
}

impl LocalEngine {
    /// An engine whose containers lie below the state directory of all bays. `program` is podbay's own; `own` is the user
    /// and group of this process.
    #[must_use]
    pub fn new(state: PathBuf, program: PathBuf, own: (u32, u32)) -> Self {
        Self {
            launch: Arc::new(link::Launch::new(program, state.clone(), own)),
            state,
            level: Isolation::Namespaces,
            done: events::channel(),
            readings: stats::Readings::default(),
            terminals: Mutex::default(),
            opener: Mutex::default(),
            proved: tokio::sync::OnceCell::new(),
            instead: None,
            asks: true,
            tried: Vec::new(),
            spares: spare::Spares::default(),
            waiting: Mutex::default(),
            naming: Arc::default(),
        }
    }

    /// The same, taken though there is something else; what came of that.
    #[must_use]
    pub fn after(self, tried: Vec<Limitation>) -> Self {
        Self { tried, ..self }
    }

    /// The same, and nobody is asked for anything weaker.
    #[must_use]
    pub fn without_question(self) -> Self {
        Self { asks: false, ..self }
    }

    /// The same at this level, which the user has named.
    #[must_use]
    pub fn at(self, level: Isolation) -> Self {
        Self { level, ..self }
    }

    /// The same, taken because there is nothing else; why there is not.
    #[must_use]
    pub fn in_place_of(self, others: String) -> Self {
        Self { instead: Some(others), ..self }
    }

    /// The same by a namespace that this program opens, as where podbay is refused one of its own.
    #[must_use]
    pub fn opened_by(self, program: PathBuf) -> Self {
        self.set_opener(Some(program));
        self
    }

    fn opener(&self) -> Option<PathBuf> {
        self.opener.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set_opener(&self, program: Option<PathBuf>) {
        *self.opener.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = program;
    }

    fn limitations(&self) -> Vec<Limitation> {
        let landlock = landlock::version().unwrap_or_default();
        limits::limitations(self.level, self.opener().as_deref(), &cgroup::available(), landlock)
    }

    fn tell(&self, record: &place::Record, place: &place::Place, action: &'static str) {
        let id = ContainerId::new(record.id.clone());
        // Nobody listens, most of the time.
        let _ = self.done.send(events::Done { bay: calls::bay_of(record), id, action, place: place.clone() });
    }
}

/// Gives a call its deadline.
async fn within<T>(
    what: &str,
    deadline: Duration,
    call: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let late = || EngineError::Deadline { what: what.to_owned(), deadline };
    tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| Err(late()))
}

#[async_trait]
impl Engine for LocalEngine {
    fn endpoint(&self) -> &str {
        endpoint(self.level)
    }

    async fn identify(&self) -> Result<Identity, EngineError> {
        calls::ready(&self.state, self.level)?;
        self.sweep().await;
        self.proved.get_or_try_init(|| self.prove()).await?;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let system = rustix::system::sysinfo();
        Ok(Identity {
            kind: "local",
            isolation: self.level,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api: "1".to_owned(),
            limits: self.tried.iter().cloned().chain(self.limitations()).collect(),
            local: true,
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            memory: u64::from(system.mem_unit).saturating_mul(system.totalram),
        })
    }

    async fn ping(&self) -> Result<(), EngineError> {
        calls::ready(&self.state, self.level)
    }

    async fn list(&self, bay: &Name) -> Result<Vec<Observed>, EngineError> {
        within(&format!("list the containers of bay {bay}"), READ, self.list_now(bay)).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Observed, EngineError> {
        let (place, record) = self.find(id, "inspect")?;
        calls::observed(&place, record).ok_or_else(|| calls::missing(&format!("inspect {}", id.short()), id))
    }

    async fn named(&self, name: &str) -> Result<Option<ContainerId>, EngineError> {
        let holder = self.all().into_iter().find(|place| place.name().as_deref() == Some(name));
        Ok(holder.and_then(|place| place.record().ok()).map(|record| ContainerId::new(record.id)))
    }

    async fn describe(&self, id: &ContainerId) -> Result<serde_json::Value, EngineError> {
        let (place, record) = self.find(id, "inspect")?;
        Ok(calls::described(&place, &record))
    }

    async fn ensure_image(&self, image: &ImageRef) -> Result<(), EngineError> {
        calls::host_alone(image)
    }

    async fn image(&self, image: &ImageRef) -> Result<ImageFacts, EngineError> {
        calls::host_alone(image)?;
        Ok(ImageFacts { id: "host".to_owned(), ..ImageFacts::default() })
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<Created, EngineError> {
        within(&format!("create {}", spec.name), ACT, self.create_now(spec)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), EngineError> {
        within(&format!("start {}", id.short()), ACT, self.start_now(id)).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), EngineError> {
        let what = format!("stop {}", id.short());
        within(&what, grace.saturating_add(STOP), self.stop_now(id, &what, grace)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), EngineError> {
        within(&format!("remove {}", id.short()), ACT, self.remove_now(id)).await
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), EngineError> {
        within(&format!("rename {}", id.short()), READ, self.rename_now(id, name)).await
    }

    async fn attach(&self, id: &ContainerId) -> Result<RawTty, EngineError> {
        within(&format!("attach to {}", id.short()), ACT, self.attach_now(id)).await
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec, EngineError> {
        let what = format!("run {:?} in {}", spec.command.first().map_or("", String::as_str), id.short());
        within(&what, ACT, self.exec_now(id, &what, spec)).await
    }

    async fn resize(&self, id: &ContainerId, size: TermSize) -> Result<(), EngineError> {
        let what = format!("resize the terminal of {}", id.short());
        within(&what, READ, self.resize_now(id, &what, size)).await
    }

    async fn resize_exec(&self, exec: &ExecId, size: TermSize) -> Result<(), EngineError> {
        self.resize_exec_now(exec, size)
    }

    async fn exec_state(&self, exec: &ExecId) -> Result<ExecState, EngineError> {
        within("look at an exec", READ, self.exec_state_now(exec)).await
    }

    async fn logs(&self, id: &ContainerId, query: &LogQuery) -> Result<LogStream, EngineError> {
        let (place, record) = self.find(id, "read the log of")?;
        let what = format!("read the log of {}", record.spec.name);
        within(&what.clone(), READ, logs::open(place, what, query)).await
    }

    async fn stats(&self, id: &ContainerId) -> Result<Stats, EngineError> {
        let (place, record) = self.find(id, "read the figures of")?;
        let what = format!("read the figures of {}", record.spec.name);
        let Status::Running { pid, .. } = place.status() else {
            return Err(EngineError::Conflict { what, message: "it is not running".to_owned() });
        };
        let own = record.spec.network.is_alone();
        Ok(self.readings.share(id, stats::read(id, pid, own)))
    }

    async fn events(&self, bay: &Name) -> Result<BoxStream<'static, Result<Hint, EngineError>>, EngineError> {
        let done = self.done.subscribe();
        let running = self.list_now(bay).await?.into_iter().filter(|seen| seen.status.is_running());
        let places = running.filter_map(|seen| self.find(&seen.id, "follow").ok().map(|(place, _)| (seen.id, place)));
        Ok(events::follow(bay, done, places.collect()))
    }

    async fn listen(&self, id: &ContainerId, port: u16) -> Result<std::net::TcpListener, EngineError> {
        let what = format!("listen on port {port} of {}", id.short());
        within(&what, READ, self.listen_now(id, &what, port)).await
    }

    async fn published(&self) -> Result<Vec<(PortMapping, String)>, EngineError> {
        let places = self.all();
        let seen = places.iter().filter_map(|place| calls::observed(place, place.record().ok()?));
        let running = seen.filter(|seen| seen.status.is_running());
        Ok(running.flat_map(|seen| seen.ports.into_iter().map(move |port| (port, seen.name.clone()))).collect())
    }
}

/// The directory of one bay's containers.
fn containers(state: &Path, bay: &str) -> PathBuf {
    state.join(bay).join("containers")
}
