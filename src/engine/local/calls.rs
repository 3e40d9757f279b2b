//! What the engine's calls do: files of a place, questions to its shim.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::link;
use super::place::{self, Place, Record, Stand};
use super::plan::Plan;
use super::shim::Birth;
use super::spare::{Depth, Warm};
use super::wire::{Answer, Ask};
use super::{LocalEngine, cgroup, containers, left};
use crate::bay::container::{ContainerId, ImageRef, NetworkSpec, Observed, ObservedNetwork, Status, label};
use crate::bay::isolation::Isolation;
use crate::bay::mount::Mount;
use crate::bay::name::Name;
use crate::bay::port::PortMapping;
use crate::bay::service::StopSignal;
use crate::engine::EngineError;
use crate::engine::docker::host_image::Layout;
use crate::service::process::signal_of;

/// How long the shim of a run that is over may take to end.
const SETTLE: Duration = Duration::from_secs(5);
/// Between two looks, meanwhile.
const LOOK: Duration = Duration::from_millis(5);
/// A bay's directory of containers that have none.
pub(super) const NO_BAY: &str = ".none";

/// Whether its files can be had.
///
/// # Errors
/// [`EngineError::Away`] with what would help.
pub fn ready(state: &Path, level: Isolation) -> Result<(), EngineError> {
    crate::config::paths::private_dir(state)
        .map(drop)
        .map_err(|error| EngineError::Away { endpoint: super::endpoint(level).to_owned(), why: error.to_string() })
}

/// # Errors
/// [`EngineError::NoImage`] for every image but the machine's own.
pub fn host_alone(image: &ImageRef) -> Result<(), EngineError> {
    match image {
        ImageRef::Host => Ok(()),
        ImageRef::Named(name) => Err(EngineError::NoImage(name.clone())),
    }
}

/// Whose directory a container lies in.
pub fn bay_of(record: &Record) -> String {
    record.spec.labels.get(label::BAY).cloned().unwrap_or_else(|| NO_BAY.to_owned())
}

pub fn missing(what: &str, id: &ContainerId) -> EngineError {
    EngineError::NotFound { what: what.to_owned(), message: format!("No such container: {id}") }
}

/// As the trait tells it; `None`: it is gone meanwhile.
pub fn observed(place: &Place, record: Record) -> Option<Observed> {
    let Record { id, created_at, spec } = record;
    let network = match &spec.network {
        NetworkSpec::Join(parent) => ObservedNetwork::Of(parent.clone()),
        _ => ObservedNetwork::Own,
    };
    let ports = spec.network.published().to_vec();
    let status = place.status();
    // Without a run, what is still written is of the one before.
    let verdict = if status.is_running() { place.verdict() } else { None };
    let isolation = if status.is_running() { place.isolation() } else { None };
    Some(Observed {
        id: ContainerId::new(id),
        name: place.name()?,
        image: spec.image.to_string(),
        labels: spec.labels,
        status,
        created_at,
        network,
        ports,
        health: verdict.map(|verdict| verdict.state),
        failed_probes: verdict.map_or(0, |verdict| verdict.failed),
        tty: spec.tty,
        isolation,
    })
}

/// In its own words, without what may be secret: what was asked for, and what came of it.
pub fn described(place: &Place, record: &Record) -> serde_json::Value {
    let plan = place.planned();
    // In the words of other engines, which are looked for.
    let mount = |mount: &Mount| serde_json::json!({"Source": mount.source, "Destination": mount.target, "RW": !mount.read_only});
    let mounts: Vec<_> = plan.iter().flat_map(|plan| &plan.binds).map(mount).collect();
    let memory: Vec<_> = plan.iter().flat_map(|plan| &plan.memory).map(|(target, _)| target).collect();
    let command: Vec<_> = record.spec.entrypoint.iter().chain(&record.spec.command).collect();
    let mut spec = serde_json::to_value(&record.spec).unwrap_or_default();
    if let Some(env) = spec.get_mut("env") {
        *env = serde_json::json!(record.spec.env.keys().collect::<Vec<_>>());
    }
    if let Some(request) = spec.pointer_mut(&format!("/labels/{}", label::REQUEST)) {
        *request = "not shown: the values of variables are in it".into();
    }
    serde_json::json!({
        "Id": record.id,
        "Name": place.name(),
        "Created": record.created_at,
        "State": place.stand(),
        "Health": place.verdict(),
        "Isolation": place.isolation().filter(|_| place.status().is_running()),
        "Config": {"Cmd": command},
        "Mounts": mounts,
        "Memory": memory,
        "ReadOnly": record.spec.hardening.read_only,
        "Directory": place.dir(),
        "Spec": spec,
    })
}

/// Whether a shim ended at this moment.
fn is_ending(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// What a failed call to a shim means.
pub(super) fn failed(what: &str) -> impl Fn(io::Error) -> EngineError {
    let what = what.to_owned();
    move |error| {
        if is_ending(&error) {
            return EngineError::Conflict { what: what.clone(), message: "it is not running".to_owned() };
        }
        EngineError::Failed { what: what.clone(), message: error.to_string() }
    }
}

pub(super) fn conflict(what: &str, message: impl Into<String>) -> EngineError {
    EngineError::Conflict { what: what.to_owned(), message: message.into() }
}

pub(super) fn refused(what: &str, message: impl Into<String>) -> EngineError {
    EngineError::Refused { what: what.to_owned(), message: message.into() }
}

/// An answer that was not the one that was waited for.
pub(super) fn other(what: &str, answer: Answer) -> EngineError {
    match answer {
        Answer::Refused(message) => refused(what, message),
        Answer::Conflict(message) => conflict(what, message),
        Answer::Unknown => EngineError::NotFound { what: what.to_owned(), message: "no such exec".to_owned() },
        answer => EngineError::Failed { what: what.to_owned(), message: format!("its shim answers {answer:?}") },
    }
}

/// Files and system calls off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

impl LocalEngine {
    /// Every container of every bay.
    pub(super) fn all(&self) -> Vec<Place> {
        let bays = std::fs::read_dir(&self.state).into_iter().flatten().flatten();
        bays.flat_map(|bay| place::all(&bay.path().join("containers"))).collect()
    }

    /// Takes away what a supervisor that ended was about to.
    pub(super) async fn sweep(&self) {
        let state = self.state.clone();
        let sweep = move || {
            let bays = std::fs::read_dir(&state).into_iter().flatten().flatten();
            for containers in bays.map(|bay| bay.path().join("containers")) {
                place::sweep(&containers);
                place::all(&containers).iter().filter(|place| place.is_torn()).for_each(left::end);
            }
        };
        // What is left is tried again by the next one.
        drop(blocking(sweep).await);
    }

    /// Processes that wait for the start of their container.
    pub(super) fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, Warm>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Where it lies, and what it is.
    pub(super) fn find(&self, id: &ContainerId, doing: &str) -> Result<(Place, Record), EngineError> {
        let what = format!("{doing} {}", id.short());
        if id.as_str().len() != 64 || !id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused(&what, "that is no id"));
        }
        let bays = std::fs::read_dir(&self.state).into_iter().flatten().flatten();
        let dirs = bays.map(|bay| bay.path().join("containers").join(id.as_str()));
        let found = dirs.map(Place::new).find_map(|place| Some((place.record().ok()?, place)));
        found.map(|(record, place)| (place, record)).ok_or_else(|| missing(&what, id))
    }

    pub(super) async fn list_now(&self, bay: &Name) -> Result<Vec<Observed>, EngineError> {
        let dir = containers(&self.state, bay.as_str());
        let read = move || {
            let seen = place::all(&dir).into_iter().filter_map(|place| observed(&place, place.record().ok()?));
            let mut seen: Vec<Observed> = seen.collect();
            seen.sort_by_key(|seen| seen.created_at);
            seen
        };
        blocking(read).await.map_err(failed(&format!("list the containers of bay {bay}")))
    }

    pub(super) fn is_taken(&self, name: &str, but: Option<&Place>) -> bool {
        self.all().iter().any(|place| Some(place) != but && place.name().as_deref() == Some(name))
    }

    /// The container whose network is joined, and its first process.
    pub(super) fn joined(&self, what: &str, network: &NetworkSpec) -> Result<Option<(Record, u32)>, EngineError> {
        let NetworkSpec::Join(id) = network else { return Ok(None) };
        let gone = || conflict(what, format!("cannot join network of a container that is not there: {id}"));
        let (place, record) = self.find(id, "join").map_err(|_| gone())?;
        match place.status() {
            Status::Running { pid, .. } => Ok(Some((record, pid))),
            _ => Err(conflict(what, format!("cannot join network of a non running container: {id}"))),
        }
    }

    /// Has its shim begin.
    pub(super) async fn wake(&self, what: &str, place: &Place, record: &Record) -> Result<(), EngineError> {
        let joined = self.joined(what, &record.spec.network)?;
        let (parent, join) = joined.as_ref().map(|(record, pid)| (record, *pid)).unzip();
        let mut waiting = self.waiting().remove(&record.id);
        if let Some(warm) = waiting.take_if(|warm| warm.is_told()) {
            // What it was told holds: were nobody to ask for it for long, it would be gone by now.
            if warm.listens(place).await {
                return Ok(());
            }
        }
        let layout = Layout::of(Path::new("/"));
        let plan = self.plan(place, record, (&layout, parent)).map_err(|why| refused(what, why))?;
        if let Some(mut warm) = waiting {
            if !self.fits(&warm, &plan, join) {
                warm.dismiss(place).await;
            } else if Place::write(&place.plan(), &plan).and_then(|()| warm.tell(place)).is_ok()
                && warm.listens(place).await
            {
                return Ok(());
            }
        }
        left::unlink(place);
        Place::write(&place.plan(), &plan).map_err(failed(what))?;
        // Of a run whose shim was killed.
        cgroup::leave(place);
        left::end(place);
        let bare = plan.bare.is_some();
        let birth = Birth { join, bare, opener: self.opener().filter(|_| !bare), ahead: false };
        if let Err(why) = self.launch.start(place, &birth).await {
            // Told again by whoever looks at it; the call says it anyway.
            let _ = place.set_stand(&Stand::Failed(why.clone()));
            return Err(EngineError::Failed { what: what.to_owned(), message: why });
        }
        Ok(())
    }

    /// Whether what was made ahead can be what is wanted, in the network of this process if of another's.
    pub(super) fn fits(&self, warm: &Warm, plan: &Plan, join: Option<u32>) -> bool {
        join.is_none_or(|pid| !link::differs(pid))
            && warm.fits(plan, &Birth { opener: self.opener(), ..Birth::default() })
    }

    /// Whether processes wait for its start.
    pub(super) fn is_awaited(&self, record: &Record) -> bool {
        self.waiting().contains_key(&record.id)
    }

    pub(super) async fn start_now(&self, id: &ContainerId) -> Result<(), EngineError> {
        let (place, record) = self.find(id, "start")?;
        let what = format!("start {}", record.spec.name);
        if place.status().is_running() {
            return Ok(());
        }
        let joined = self.joined(&what, &record.spec.network)?;
        let alone = record.spec.network.is_alone() || joined.is_some_and(|(_, pid)| link::differs(pid));
        self.check_ports(id, &record.spec.network).await?;
        if self.is_awaited(&record) {
            self.wake(&what, &place, &record).await?;
        }
        let begun = tokio::time::Instant::now();
        let mut woken = 0;
        while woken < 2 {
            let asked = match link::ask(&place, &Ask::Start).await {
                // The shim of the run before has ended between the question and the answer.
                Err(error) if is_ending(&error) && begun.elapsed() < SETTLE => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                asked => asked.map_err(failed(&what))?,
            };
            match asked {
                Some((_, Answer::Done, _)) => {
                    self.listen_first(&place, &record.spec.network).await;
                    self.tell(&record, &place, "start");
                    if bay_of(&record) != NO_BAY {
                        let dir = containers(&self.state, &bay_of(&record));
                        self.spares.prepare(dir, self.depth(alone));
                    }
                    return Ok(());
                }
                Some((_, Answer::PortTaken(port), _)) => return Err(self.port_taken(port).await),
                Some((_, answer, _)) => return Err(other(&what, answer)),
                None => self.wake(&what, &place, &record).await?,
            }
            woken += 1;
        }
        Err(EngineError::Failed { what, message: "its shim ends as soon as it has begun".to_owned() })
    }

    /// How much of the next container is made ahead, where the one before has its network alone or not.
    fn depth(&self, alone: bool) -> Depth {
        match self.level {
            Isolation::Namespaces if alone => Depth::Mounted,
            Isolation::Namespaces => Depth::Processes { launch: self.launch.clone(), opener: self.opener() },
            _ => Depth::Files,
        }
    }

    /// Two containers of one port: nobody need listen there yet.
    async fn check_ports(&self, id: &ContainerId, network: &NetworkSpec) -> Result<(), EngineError> {
        let wanted = network.published();
        if wanted.is_empty() {
            return Ok(());
        }
        let alone = network.is_alone();
        let places = self.all();
        let others = places.iter().filter_map(|place| observed(place, place.record().ok()?));
        let running = others.filter(|seen| seen.id != *id && seen.status.is_running());
        for seen in running {
            for port in &seen.ports {
                if let Some(wanted) = wanted.iter().find(|wanted| overlaps(wanted, port)) {
                    return Err(self.port_taken(wanted.host).await);
                }
                // All of them listen in the machine's one network: the second of them would be given the first one's.
                let same = |wanted: &&PortMapping| {
                    !alone
                        && seen.label(label::ROLE) == "worker"
                        && (wanted.container, wanted.protocol) == (port.container, port.protocol)
                };
                if let Some(wanted) = wanted.iter().find(same) {
                    let holder = Some(format!("container {}, with which it shares this machine's network", seen.name));
                    return Err(EngineError::PortTaken { port: wanted.container.to_string(), holder });
                }
            }
        }
        Ok(())
    }

    async fn port_taken(&self, port: u16) -> EngineError {
        let places = self.all();
        let seen = places.iter().filter_map(|place| observed(place, place.record().ok()?));
        let running = seen.filter(|seen| seen.status.is_running());
        let mut containers = running.filter(|seen| seen.ports.iter().any(|mapping| mapping.host == port));
        let holder = match containers.next() {
            Some(seen) => Some(format!("container {}", seen.name)),
            None => blocking(move || crate::engine::port_holder(port)).await.ok().flatten(),
        };
        EngineError::PortTaken { port: port.to_string(), holder }
    }

    pub(super) async fn stop_now(&self, id: &ContainerId, what: &str, grace: Duration) -> Result<(), EngineError> {
        let (place, record) = self.find(id, "stop")?;
        if !place.status().is_running() {
            return Ok(());
        }
        let usual = if record.spec.tty { StopSignal::SIGHUP } else { StopSignal::SIGTERM };
        let signal = signal_of(record.spec.stop_signal.unwrap_or(usual)).as_raw();
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX / 2);
        match link::ask(&place, &Ask::Stop { signal, grace }).await {
            Ok(Some((_, Answer::Done, _)) | None) => Ok(()),
            Ok(Some((_, answer, _))) => Err(other(what, answer)),
            // It ended meanwhile.
            Err(_) if !place.status().is_running() => Ok(()),
            Err(error) => Err(failed(what)(error)),
        }
    }

    pub(super) async fn remove_now(&self, id: &ContainerId) -> Result<(), EngineError> {
        let (place, record) = match self.find(id, "remove") {
            Ok(found) => found,
            Err(EngineError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let what = format!("remove {}", record.spec.name);
        let waiting = self.waiting().remove(&record.id);
        if let Some(warm) = waiting {
            warm.dismiss(&place).await;
        }
        let kill = Ask::Stop { signal: Signal::KILL.as_raw(), grace: 0 };
        // Also one that only waits to be told to start.
        match link::ask(&place, &kill).await {
            Ok(_) => {}
            Err(_) if !place.status().is_running() => {}
            Err(error) => return Err(failed(&what)(error)),
        }
        let gone = place.clone();
        let removed = blocking(move || {
            left::end(&gone);
            cgroup::leave(&gone);
            gone.remove()
        });
        removed.await.and_then(|removed| removed).map_err(failed(&what))?;
        self.spares.leave(&containers(&self.state, &bay_of(&record))).await;
        self.tell(&record, &place, "destroy");
        Ok(())
    }

    pub(super) async fn rename_now(&self, id: &ContainerId, name: &str) -> Result<(), EngineError> {
        let (place, record) = self.find(id, "rename")?;
        let what = format!("rename {}", record.spec.name);
        if !crate::engine::docker::is_name(name) {
            return Err(refused(&what, format!("{name:?} is no name for a container")));
        }
        let _turn = self.naming.lock().await;
        if self.is_taken(name, Some(&place)) {
            return Err(EngineError::NameTaken(name.to_owned()));
        }
        place.set_name(name).map_err(failed(&what))?;
        self.tell(&record, &place, "rename");
        Ok(())
    }
}

/// Whether two containers want the same.
fn overlaps(one: &PortMapping, other: &PortMapping) -> bool {
    let anywhere = |mapping: &PortMapping| mapping.ip.is_none_or(|ip| ip.is_unspecified());
    let address = one.ip == other.ip || anywhere(one) || anywhere(other);
    one.host == other.host && one.protocol == other.protocol && address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bay::port::Protocol;

    #[test]
    fn ports_of_different_addresses_are_two() {
        let mapping = |ip: Option<&str>, host| PortMapping {
            ip: ip.map(|ip| ip.parse().unwrap()),
            host,
            container: 80,
            protocol: Protocol::Tcp,
        };
        let (one, two) = (Some("127.0.0.1"), Some("127.0.0.2"));
        for (a, b, expected) in [
            (mapping(one, 3000), mapping(one, 3000), true),
            (mapping(one, 3000), mapping(two, 3000), false),
            (mapping(one, 3000), mapping(None, 3000), true),
            (mapping(Some("0.0.0.0"), 3000), mapping(two, 3000), true),
            (mapping(one, 3000), mapping(one, 3001), false),
        ] {
            assert_eq!(overlaps(&a, &b), expected, "{a:?} {b:?}");
        }
        let udp = PortMapping { protocol: Protocol::Udp, ..mapping(one, 3000) };
        assert!(!overlaps(&udp, &mapping(one, 3000)));
    }
}
