//! Making a container: what it is given of this machine, its labels, its ports, and the one call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::bay::container::{ContainerSpec, NetworkSpec, Role, label};
use crate::bay::name::Name;
use crate::bay::phase::{Phase, Progress};
use crate::bay::pool::warm_template;
use crate::bay::port::{PortMapping, Protocol};
use crate::bay::session::TermSize;
use crate::bay::template::{NetworkMode, Template, WarmMode};
use crate::engine::SharedEngine;
use crate::supervisor::crash;
use crate::supervisor::event::{NoPorts, StepError, StepNotes};
use crate::supervisor::goal::{CreateNetwork, Make, What};
use crate::supervisor::prebuilt::Order;
use crate::workspace::spec::{ParentArgs, WorkerArgs, parent_spec, worker_spec};
use crate::workspace::warm::WarmPlace;
use crate::workspace::{self, Ground as Place, Prepared, WorkspaceError, prepare, prepare_parent};

use super::Ground;
use super::step::size_of;

/// The first size of a worker's terminal, `ROWSxCOLS`: it must outlive a supervisor that dies between create and start.
pub(super) const SIZE_LABEL: &str = "podbay.size";

/// Host ports that are not to be had.
pub(super) struct PortChoice {
    /// In use by containers of this bay, or promised to ones that are being made.
    pub(super) used: BTreeSet<u16>,
    /// Those of the container that is made anew: it gets them again.
    pub(super) kept: Vec<PortMapping>,
}

/// What a step has on its way.
pub(super) struct Way {
    /// Host ports that are not to be had.
    pub(super) ports: PortChoice,
    /// Hears how far it is.
    pub(super) report: Box<workspace::git::Report>,
    /// Cancelled when nobody wants it any more.
    pub(super) given_up: CancellationToken,
    /// The engine's processes are this machine's.
    pub(super) local: bool,
}

pub(super) async fn create(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    (target, make): (&str, &Make),
    network: &CreateNetwork,
    way: &Way,
) -> Result<StepNotes, StepError> {
    let (spec, mut notes) = match &make.what {
        What::Parent => parent(ground, engine, make).await?,
        What::Service { service } => super::contained::spec(ground, engine, (service, make), network).await?,
        What::Worker { template, overrides, .. } => {
            let base = known(ground, template)?;
            let (name, made) = (name_of(target)?, overrides.over(base));
            let mut labels = labels(ground, Role::Worker, make, (base.name.as_str(), &base.hash()));
            labels.insert(label::REQUEST.to_owned(), serde_json::to_string(overrides).unwrap_or_default());
            label_size(&mut labels, size_of(make));
            let plan = Plan { name: name.clone(), made: made.clone(), labels, gated: false };
            let (spec, mut notes) = worker(ground, engine, plan, (network, &way.ports)).await?;
            notes.extend(fill(ground, &name, (&made, overrides.branch.as_deref()), way).await?);
            set_up(ground, engine, (&made, overrides.rebuild), (spec, notes), way).await?
        }
        What::Warm { template } => {
            let mut plan = warm(ground, engine, (target, make), known(ground, template)?).await?;
            // The next claimer sits before the same screen, most often: then it need not be given another size.
            label_size(&mut plan.labels, ground.sessions.usual_size());
            worker(ground, engine, plan, (network, &way.ports)).await?
        }
    };
    engine.ensure_image(&spec.image).await?;
    crash::point("before-create");
    let created = engine.create(&spec).await?;
    crash::point("after-create");
    notes.extend(created.warnings);
    Ok(StepNotes { notes, made: Some((make.nonce.clone(), created.id)) })
}

fn label_size(labels: &mut BTreeMap<String, String>, size: Option<TermSize>) {
    if let Some(size) = size {
        labels.insert(SIZE_LABEL.to_owned(), format!("{}x{}", size.rows, size.cols));
    }
}

/// Clones the repository that the template or the request names into the worker's directory.
pub(super) async fn fill(
    ground: &Ground,
    name: &Name,
    (template, branch): (&Template, Option<&str>),
    way: &Way,
) -> Result<Vec<String>, StepError> {
    let Some(source) = workspace::source(template, branch)? else { return Ok(Vec::new()) };
    let worker = ground.paths.worker(name);
    let place = workspace::clone::Place { worker: &worker, owner: workspace::owner(&ground.env, template) };
    if workspace::clone::is_there(&place, &source)? {
        // Before the token is asked for: one that was taken away since stops nobody whose clone is there.
        return Ok(Vec::new());
    }
    let token = workspace::token(&ground.paths, &ground.config.git.tokens, &source.remote)?;
    crash::point("before-fill");
    let filling = workspace::clone::Filling { token: token.as_deref(), report: &*way.report, given_up: &way.given_up };
    let notes = ground.repositories.fill(&place, &source, &filling).await?;
    crash::point("after-fill");
    if template.setup.is_empty() {
        (way.report)(Progress::new(Phase::Starting, ""));
    }
    Ok(notes)
}

/// Has the repository's setup command run: once for its image, and then before each worker's own command.
async fn set_up(
    ground: &Ground,
    engine: &SharedEngine,
    (template, rebuild): (&Template, bool),
    (spec, mut notes): (ContainerSpec, Vec<String>),
    way: &Way,
) -> Result<(ContainerSpec, Vec<String>), StepError> {
    let Some(source) = workspace::source(template, None)?.filter(|_| !template.setup.is_empty()) else {
        return Ok((spec, notes));
    };
    engine.ensure_image(&spec.image).await?;
    let order = Order {
        bay: &ground.config.bay,
        key: &ground.key,
        remote: &source.remote,
        setup: &template.setup,
        rebuild,
        report: &*way.report,
        given_up: &way.given_up,
    };
    let (spec, more) = ground.prebuilt.prepare(engine, &order, spec).await?;
    notes.extend(more);
    (way.report)(Progress::new(Phase::Starting, ""));
    Ok((spec, notes))
}

async fn parent(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    make: &Make,
) -> Result<(ContainerSpec, Vec<String>), StepError> {
    let labels = labels(ground, Role::Parent, make, ("", &ground.config.parent_hash()));
    let ground = ground.clone();
    let (socket, here) = (socket_of(engine), crate::engine::publishes_here(engine.endpoint()));
    blocking(move || {
        let place = Place { paths: &ground.paths, env: &ground.env, engine_socket: socket };
        let mut prepared = prepare_parent(&place, &ground.config.parent)?;
        let mut notes = std::mem::take(&mut prepared.notes);
        let config = &ground.config;
        let (ports, left) = config.parent_ports(here);
        notes.extend(left.into_iter().map(|(port, service)| {
            format!("the parent does not publish port {port}: it is that of service {service} on this machine")
        }));
        let (parent, worker) = (&config.parent, &config.worker);
        let network = config.parent_network(ports);
        let args = ParentArgs { bay: &config.bay, parent, network, worker, prepared, labels };
        Ok((parent_spec(args), notes))
    })
    .await
}

/// A worker that is about to be made.
struct Plan {
    name: Name,
    made: Template,
    labels: BTreeMap<String, String>,
    /// It waits at the gate.
    gated: bool,
}

fn known<'a>(ground: &'a Ground, template: &Name) -> Result<&'a Template, StepError> {
    let known = ground.config.template(template);
    known.ok_or_else(|| wrong(format!("the configuration has no template {template}")))
}

fn name_of(target: &str) -> Result<Name, StepError> {
    target.parse().map_err(|_| wrong(format!("{target:?} is not a name")))
}

/// One for the pool: what a claim needs of it later is in its labels.
async fn warm(
    ground: &Ground,
    engine: &SharedEngine,
    (target, make): (&str, &Make),
    base: &Template,
) -> Result<Plan, StepError> {
    engine.ensure_image(&base.image).await?;
    let facts = engine.image(&base.image).await?;
    let gated = base.warm == WarmMode::Gate;
    if gated && crate::bay::gate::command(base, &facts.entrypoint, &facts.command).is_empty() {
        return Err(wrong("neither the template nor its image names a command".to_owned()));
    }
    if gated && let Some(why) = workspace::locked_out(&ground.env, base) {
        let text = format!("its claim could not be read: {why}; give the template's user as uid:gid");
        return Err(wrong(text));
    }
    let mut labels = labels(ground, Role::Worker, make, (base.name.as_str(), &base.hash()));
    for (key, text) in [
        (label::REQUEST, "{}".to_owned()),
        (label::WARM, if gated { "gate" } else { "running" }.to_owned()),
        (label::WARM_NAME, target.to_owned()),
        (label::IMAGE, serde_json::to_string(&facts).unwrap_or_default()),
    ] {
        labels.insert(key.to_owned(), text);
    }
    Ok(Plan { name: name_of(target)?, made: warm_template(base), labels, gated })
}

async fn worker(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    plan: Plan,
    (network, ports): (&CreateNetwork, &PortChoice),
) -> Result<(ContainerSpec, Vec<String>), StepError> {
    let Plan { name, made, labels, gated } = plan;
    let network = match network {
        CreateNetwork::Join(parent) => NetworkSpec::Join(parent.clone()),
        CreateNetwork::Own if made.network == NetworkMode::None => NetworkSpec::None,
        CreateNetwork::Own => NetworkSpec::Bridge(free_ports(ground, engine, (name.as_str(), &made), ports).await?),
    };
    let ground = ground.clone();
    let socket = socket_of(engine);
    blocking(move || {
        if !ground.paths.worker(&name).exists() {
            ground.fresh().insert(name.clone());
        }
        let place = Place { paths: &ground.paths, env: &ground.env, engine_socket: socket };
        let mut prepared: Prepared = prepare(&place, &name, &made)?;
        let notes = std::mem::take(&mut prepared.notes);
        if gated {
            WarmPlace { paths: &ground.paths, made_as: &name, name: &name }.lay_out((&made.user, &ground.env))?;
        }
        let bay = &ground.config.bay;
        let args = WorkerArgs { bay, name: &name, template: &made, prepared, network, labels, gated };
        Ok((worker_spec(args), notes))
    })
    .await
}

/// Directories are made and files copied off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkspaceError> + Send + 'static,
) -> Result<T, StepError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(StepError::Workspace),
        Err(error) => Err(wrong(format!("preparing its directories failed: {error}"))),
    }
}

pub(super) fn wrong(text: String) -> StepError {
    StepError::Workspace(WorkspaceError { text, hint: None, by_request: true })
}

pub(super) fn labels(
    ground: &Ground,
    role: Role,
    make: &Make,
    (template, hash): (&str, &str),
) -> BTreeMap<String, String> {
    let bay = &ground.config.bay;
    [
        (label::BAY, bay.to_string()),
        (label::ROLE, role.as_str().to_owned()),
        (label::TEMPLATE, template.to_owned()),
        (label::TEMPLATE_HASH, hash.to_owned()),
        (label::OWNER, ground.key.sign(bay, role, &make.nonce)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

pub(super) fn socket_of(engine: &SharedEngine) -> Option<PathBuf> {
    engine.endpoint().strip_prefix("unix://").map(PathBuf::from)
}

/// A host port for each container port: one that no container of the engine publishes and nobody here listens on.
async fn free_ports(
    ground: &Ground,
    engine: &SharedEngine,
    (target, template): (&str, &Template),
    choice: &PortChoice,
) -> Result<Vec<PortMapping>, StepError> {
    if template.ports.is_empty() {
        return Ok(Vec::new());
    }
    let published: BTreeSet<u16> = engine.published().await?.into_iter().map(|(mapping, _)| mapping.host).collect();
    // Chosen and promised in one go, after all that is awaited: of two that are made at once, the second sees what the
    // first was promised.
    let mut reserved = ground.reserved();
    let promised: BTreeSet<u16> =
        reserved.iter().filter(|(name, _)| name.as_str() != target).flat_map(|(_, ports)| ports).copied().collect();
    let used = &(&choice.used | &published) | &promised;
    let kept: Vec<PortMapping> =
        choice.kept.iter().filter(|mapping| !promised.contains(&mapping.host)).copied().collect();
    let chosen = choose_ports(template, &used, &kept, is_free).map_err(StepError::Ports)?;
    reserved.insert(target.to_owned(), chosen.iter().map(|mapping| mapping.host).collect());
    Ok(chosen)
}

/// Whether nobody of this machine listens there, on whatever address. A family that the machine does not have, or a port
/// that only root may take, says nothing.
fn is_free(port: u16) -> bool {
    let taken = |ip: IpAddr| matches!(TcpListener::bind((ip, port)), Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
    !taken(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) && !taken(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

/// For each container port the one it had before, else the lowest that nobody uses and that `is_free`.
fn choose_ports(
    template: &Template,
    used: &BTreeSet<u16>,
    kept: &[PortMapping],
    is_free: impl Fn(u16) -> bool,
) -> Result<Vec<PortMapping>, NoPorts> {
    let mut used = used.clone();
    let mut mappings = Vec::new();
    for container in &template.ports {
        let known = kept.iter().find(|mapping| mapping.container == *container).map(|mapping| mapping.host);
        let host = if let Some(known) = known.filter(|known| is_free(*known)) {
            known
        } else {
            loop {
                let Some(candidate) = template.port_range.first_free(&used) else {
                    let free = mappings.iter().map(|mapping: &PortMapping| mapping.host).collect();
                    return Err(NoPorts { range: template.port_range, wanted: template.ports.len(), free });
                };
                used.insert(candidate);
                if is_free(candidate) {
                    break candidate;
                }
            }
        };
        mappings.push(PortMapping { ip: None, host, container: *container, protocol: Protocol::Tcp });
    }
    Ok(mappings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn ports_are_the_lowest_that_nobody_has() {
        let template = Template { ports: vec![80, 443], ..Config::defaults().unwrap().worker };
        let template = Template { port_range: "10000-10003".to_owned().try_into().unwrap(), ..template };
        let kept = [PortMapping { ip: None, host: 10_003, container: 443, protocol: Protocol::Tcp }];
        let hosts = |used: &[u16], kept: &[PortMapping], busy: &[u16]| {
            let used = used.iter().copied().collect();
            let chosen = choose_ports(&template, &used, kept, |port| !busy.contains(&port));
            chosen.map(|chosen| chosen.iter().map(|mapping| mapping.host).collect::<Vec<_>>()).map_err(|none| none.free)
        };
        assert_eq!(hosts(&[], &[], &[]), Ok(vec![10_000, 10_001]));
        assert_eq!(hosts(&[10_000], &[], &[10_001]), Ok(vec![10_002, 10_003]));
        assert_eq!(hosts(&[10_000, 10_003], &kept, &[]), Ok(vec![10_001, 10_003]), "what it had goes first");
        assert_eq!(hosts(&[], &kept, &[10_003]), Ok(vec![10_000, 10_001]), "unless somebody took it");
        assert_eq!(hosts(&[10_000, 10_001], &[], &[10_002]), Err(vec![10_003]), "one is not two");
        assert_eq!(hosts(&[10_000, 10_001, 10_003], &[], &[10_002]), Err(vec![]));
    }

    #[test]
    fn a_port_is_taken_by_whoever_listens_on_any_address() {
        let any: [IpAddr; 4] = [
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::LOCALHOST.into(),
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::LOCALHOST.into(),
        ];
        for ip in any {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind((ip, 0)) else { continue };
            let port = listener.local_addr().unwrap().port();
            assert!(!is_free(port), "{ip}");
            drop(listener);
            assert!(is_free(port), "{ip}");
        }
    }
}
