//! The way out of the bay: what can't be held together with it.

use super::super::EngineKind;
use super::super::file::{File, RunKind};
use super::super::node::Path;
use super::{Checked, ensure, words};
use crate::bay::outgoing::{Outgoing, Rule, outgoing};
use crate::bay::template::NetworkMode;
use crate::config::error::Fault;

/// Whoever has a network of his own on the machine's is not held by the list.
const BRIDGE: &str = "\"bridge\" is a network that [network] allow does not hold: write \"shared\" or \"none\", or leave \
                      allow as it is by default";

pub fn network(file: &File) -> Checked {
    let allow = &file.network.allow;
    let path = Path::of("network").key("allow");
    words::each_once(allow, &path)?;
    ensure(allow.len() <= 1 || !allow.contains(&Rule::Everything), || {
        Fault::new(path.clone(), "\"*\" is everything: write it alone, or the names without it")
    })?;
    if outgoing(allow) == Outgoing::Open {
        return Ok(());
    }
    ensure(file.engine.kind != EngineKind::Docker, || {
        let what = "can't be held by engine.kind = \"docker\", which would let everything out: write kind = \"local\"";
        Fault::new(path.clone(), what)
    })?;
    let templates = file.template.iter().enumerate();
    let templates = templates.map(|(index, one)| (one.network, Path::of("template").item(index)));
    let services = file.service.iter().enumerate().filter(|(_, one)| one.run == RunKind::Container);
    let services = services.map(|(index, one)| (one.network, Path::of("service").item(index)));
    let worker = std::iter::once((file.worker.network, Path::of("worker")));
    for (mode, path) in worker.chain(templates).chain(services) {
        ensure(mode != NetworkMode::Bridge, || Fault::new(path.key("network"), BRIDGE))?;
    }
    Ok(())
}
