//! From a template and what was prepared for it to what the engine is asked to make. Pure.

use std::collections::BTreeMap;

use crate::bay::container::{ContainerSpec, NetworkSpec};
use crate::bay::gate;
use crate::bay::name::{ContainerName, Name};
use crate::bay::template::{Hardening, ParentSpec, Template};

use super::Prepared;

/// What a worker's container is made from.
pub struct WorkerArgs<'a> {
    /// The bay.
    pub bay: &'a Name,
    /// The worker.
    pub name: &'a Name,
    /// Its template, with the user's overrides laid over it.
    pub template: &'a Template,
    /// What was prepared for it.
    pub prepared: Prepared,
    /// Its network: the parent's id or its ports are known only now.
    pub network: NetworkSpec,
    /// Its labels, complete.
    pub labels: BTreeMap<String, String>,
    /// It waits at the gate in place of its command.
    pub gated: bool,
}

/// What the parent's container is made from.
pub struct ParentArgs<'a> {
    /// The bay.
    pub bay: &'a Name,
    /// `[parent]`.
    pub parent: &'a ParentSpec,
    /// Its network, with what it publishes.
    pub network: NetworkSpec,
    /// `[worker]`: the parent has its limits and walls.
    pub worker: &'a Template,
    /// What was prepared for it.
    pub prepared: Prepared,
    /// Its labels, complete.
    pub labels: BTreeMap<String, String>,
}

/// A worker: its main process has a tty.
#[must_use]
pub fn worker_spec(args: WorkerArgs<'_>) -> ContainerSpec {
    let WorkerArgs { bay, name, template, prepared, network, labels, gated } = args;
    let claim = prepared.home.join(gate::CLAIM);
    let entrypoint = if gated { gate::argv(&claim.to_string_lossy()) } else { Vec::new() };
    ContainerSpec {
        // In a shared namespace the name is the parent's, and the engine refuses another.
        hostname: (!matches!(network, NetworkSpec::Join(_))).then(|| name.to_string()),
        name: ContainerName::worker(bay, name),
        image: template.image.clone(),
        entrypoint,
        command: if gated { Vec::new() } else { template.command.clone() },
        user: prepared.user,
        workdir: prepared.workdir,
        env: prepared.env,
        labels,
        network,
        mounts: prepared.mounts,
        tty: true,
        stop_signal: None,
        limits: template.limits.clone(),
        hardening: template.hardening.clone(),
        health: (!template.health.test.is_empty()).then(|| template.health.clone()),
    }
}

/// The parent: a namespace of its own, its ports published, no tty. Without a command it sleeps.
#[must_use]
pub fn parent_spec(args: ParentArgs<'_>) -> ContainerSpec {
    let ParentArgs { bay, parent, network, worker, prepared, labels } = args;
    let holds = parent.command.is_empty();
    let command = if holds { vec!["sleep".to_owned(), "infinity".to_owned()] } else { parent.command.clone() };
    // `sleep` as process 1 would not hear SIGTERM, and every stop would wait for SIGKILL.
    let hardening = Hardening { init: worker.hardening.init || holds, ..worker.hardening.clone() };
    ContainerSpec {
        // What every prompt in the bay shows.
        hostname: Some(bay.to_string()),
        name: ContainerName::parent(bay),
        image: parent.image.clone(),
        entrypoint: Vec::new(),
        command,
        user: prepared.user,
        workdir: prepared.workdir,
        env: prepared.env,
        labels,
        network,
        mounts: prepared.mounts,
        tty: false,
        stop_signal: None,
        limits: worker.limits.clone(),
        hardening,
        health: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn args<'a>(config: &'a Config, name: &'a Name) -> WorkerArgs<'a> {
        let labels = [("podbay.bay".to_owned(), "podbay".to_owned())].into();
        let prepared = Prepared { user: Some("7:7".to_owned()), ..Prepared::default() };
        WorkerArgs {
            bay: &config.bay,
            name,
            template: &config.worker,
            prepared,
            network: NetworkSpec::None,
            labels,
            gated: false,
        }
    }

    #[test]
    fn a_worker_has_a_tty_and_what_its_template_says() {
        let config = Config::defaults().unwrap();
        let name = "fox".parse().unwrap();
        let spec = worker_spec(args(&config, &name));
        assert_eq!((spec.name.as_str(), spec.tty, spec.user.as_deref()), ("podbay-fox", true, Some("7:7")));
        assert_eq!((spec.limits, spec.hardening), (config.worker.limits.clone(), config.worker.hardening.clone()));
        assert_eq!((spec.health, spec.labels.len()), (None, 1));
        let mut probed = config.clone();
        probed.worker.health.test = vec!["true".to_owned()];
        assert_eq!(worker_spec(args(&probed, &name)).health, Some(probed.worker.health.clone()));
    }

    #[test]
    fn a_gated_worker_waits_in_place_of_its_command_and_of_the_images() {
        let config = Config::defaults().unwrap();
        let name = "warm-1".parse().unwrap();
        let mut args = args(&config, &name);
        args.prepared.home = "/home/ann".into();
        let spec = worker_spec(WorkerArgs { gated: true, ..args });
        assert_eq!((spec.entrypoint[0].as_str(), spec.command.len()), ("sh", 0));
        assert_eq!(spec.entrypoint.last().unwrap(), "/home/ann/.podbay-claim");
    }

    #[test]
    fn a_parent_sleeps_unless_told_otherwise() {
        let config = Config::defaults().unwrap();
        let made = |parent: &ParentSpec, worker: &Template| {
            let prepared = Prepared::default();
            parent_spec(ParentArgs {
                bay: &config.bay,
                parent,
                network: config.parent_network(config.parent_ports(true).0),
                worker,
                prepared,
                labels: BTreeMap::new(),
            })
        };
        let mut worker = config.worker.clone();
        worker.hardening.init = false;
        let spec = made(&config.parent, &worker);
        assert_eq!((spec.command.join(" ").as_str(), spec.hardening.init, spec.tty), ("sleep infinity", true, false));
        assert!(matches!(spec.network, NetworkSpec::Bridge(ports) if ports.len() == 10));
        let own = ParentSpec { command: vec!["nginx".to_owned()], ..config.parent.clone() };
        let spec = made(&own, &worker);
        assert_eq!((spec.command.join(" ").as_str(), spec.hardening.init), ("nginx", false));
    }
}
