//! Making a container: what it is given of this machine, its labels, its ports, and the one call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use crate::bay::container::{ContainerSpec, NetworkSpec, Role, label};
use crate::bay::name::Name;
use crate::bay::port::{PortMapping, Protocol};
use crate::bay::template::{NetworkMode, Overrides, Template};
use crate::config::Config;
use crate::engine::{EngineError, SharedEngine};
use crate::supervisor::crash;
use crate::supervisor::event::{StepError, StepNotes};
use crate::supervisor::goal::{CreateNetwork, Make, What};
use crate::workspace::spec::{ParentArgs, WorkerArgs, parent_spec, worker_spec};
use crate::workspace::{Ground as Place, Prepared, WorkspaceError, prepare, prepare_parent};

use super::Ground;
use super::step::size_of;

/// The first size of a worker's terminal, `ROWSxCOLS`: it must outlive a supervisor that dies between create and start.
pub(super) const SIZE_LABEL: &str = "podbay.size";

/// Host ports that are not to be had.
pub(super) struct PortChoice {
    /// In use by containers of this bay, or promised to ones that are being made.
    pub(super) used: BTreeSet<u16>,
}

/// The host ports that a container would get.
pub(super) fn wanted_ports(config: &Config, make: &Make, choice: &PortChoice) -> Vec<u16> {
    let What::Worker { template, overrides, .. } = &make.what else { return Vec::new() };
    let Some(template) = config.template(template) else { return Vec::new() };
    let mappings = choose_ports(&overrides.over(template), &choice.used).unwrap_or_default();
    mappings.into_iter().map(|mapping| mapping.host).collect()
}

pub(super) async fn create(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    (target, make): (&str, &Make),
    network: &CreateNetwork,
    ports: &PortChoice,
) -> Result<StepNotes, StepError> {
    let (spec, mut notes) = match &make.what {
        What::Parent => parent(ground, engine, make).await?,
        What::Worker { template, overrides, .. } => {
            let name: Name = target.parse().map_err(|_| wrong(format!("{target:?} is not a name")))?;
            let known = ground.config.template(template);
            let base = known.ok_or_else(|| wrong(format!("the configuration has no template {template}")))?;
            let made = overrides.over(base);
            let network = match network {
                CreateNetwork::Join(parent) => NetworkSpec::Join(parent.clone()),
                CreateNetwork::Own if made.network == NetworkMode::None => NetworkSpec::None,
                CreateNetwork::Own => NetworkSpec::Bridge(free_ports(engine, &made, ports).await?),
            };
            worker(ground, engine, (name, base, overrides), make, network).await?
        }
    };
    engine.ensure_image(&spec.image).await?;
    crash::point("before-create");
    let created = engine.create(&spec).await?;
    crash::point("after-create");
    notes.extend(created.warnings);
    Ok(StepNotes { notes, made: Some((make.nonce.clone(), created.id)) })
}

async fn parent(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    make: &Make,
) -> Result<(ContainerSpec, Vec<String>), StepError> {
    let labels = labels(ground, Role::Parent, make, ("", ""));
    let ground = ground.clone();
    let socket = socket_of(engine);
    blocking(move || {
        let place = Place { paths: &ground.paths, env: &ground.env, engine_socket: socket };
        let mut prepared = prepare_parent(&place, &ground.config.parent)?;
        let notes = std::mem::take(&mut prepared.notes);
        let config = &ground.config;
        let args = ParentArgs { bay: &config.bay, parent: &config.parent, worker: &config.worker, prepared, labels };
        Ok((parent_spec(args), notes))
    })
    .await
}

async fn worker(
    ground: &Arc<Ground>,
    engine: &SharedEngine,
    (name, template, overrides): (Name, &Template, &Overrides),
    make: &Make,
    network: NetworkSpec,
) -> Result<(ContainerSpec, Vec<String>), StepError> {
    let request = serde_json::to_string(overrides).unwrap_or_default();
    let mut labels = labels(ground, Role::Worker, make, (template.name.as_str(), &template.hash()));
    labels.insert(label::REQUEST.to_owned(), request);
    if let Some(size) = size_of(make) {
        labels.insert(SIZE_LABEL.to_owned(), format!("{}x{}", size.rows, size.cols));
    }
    let made = overrides.over(template);
    let ground = ground.clone();
    let socket = socket_of(engine);
    blocking(move || {
        if !ground.paths.worker(&name).exists() {
            ground.fresh().insert(name.clone());
        }
        let place = Place { paths: &ground.paths, env: &ground.env, engine_socket: socket };
        let mut prepared: Prepared = prepare(&place, &name, &made)?;
        let notes = std::mem::take(&mut prepared.notes);
        let bay = &ground.config.bay;
        let args = WorkerArgs { bay, name: &name, template: &made, prepared, network, labels };
        Ok((worker_spec(args), notes))
    })
    .await
}

/// Directories are made and files copied off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkspaceError> + Send + 'static,
) -> Result<T, StepError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| wrong(error.to_string())),
        Err(error) => Err(wrong(format!("preparing its directories failed: {error}"))),
    }
}

const fn wrong(text: String) -> StepError {
    StepError::Workspace(text)
}

fn labels(ground: &Ground, role: Role, make: &Make, (template, hash): (&str, &str)) -> BTreeMap<String, String> {
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

fn socket_of(engine: &SharedEngine) -> Option<PathBuf> {
    engine.endpoint().strip_prefix("unix://").map(PathBuf::from)
}

/// A host port for each container port: one that no container of the engine publishes and nobody here listens on.
async fn free_ports(
    engine: &SharedEngine,
    template: &Template,
    choice: &PortChoice,
) -> Result<Vec<PortMapping>, StepError> {
    if template.ports.is_empty() {
        return Ok(Vec::new());
    }
    let mut used = choice.used.clone();
    used.extend(engine.published().await?.into_iter().map(|(mapping, _)| mapping.host));
    choose_ports(template, &used).ok_or_else(|| {
        let port = template.port_range.to_string();
        EngineError::PortTaken { port: format!("each of {port}"), holder: None }.into()
    })
}

fn choose_ports(template: &Template, used: &BTreeSet<u16>) -> Option<Vec<PortMapping>> {
    let mut used = used.clone();
    let mut mappings = Vec::new();
    for container in &template.ports {
        let host = loop {
            let candidate = template.port_range.first_free(&used)?;
            used.insert(candidate);
            if TcpListener::bind((Ipv4Addr::UNSPECIFIED, candidate)).is_ok() {
                break candidate;
            }
        };
        mappings.push(PortMapping { ip: None, host, container: *container, protocol: Protocol::Tcp });
    }
    Some(mappings)
}
