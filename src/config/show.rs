//! A configuration as TOML: what `podbay config show` prints, and what parses back to the same configuration.

use serde::Serialize;

use super::Config;
use super::check::service::{CONTAINER_ONLY, HOST_ONLY};
use super::file::{BayTable, File, ProbeTable, RunKind, ServiceTable};
use crate::bay::service::{Probe, ProbeTarget, ServiceConfig, ServiceRun};

impl Config {
    /// Everything that is in effect, as TOML that parses back to the same configuration.
    #[must_use]
    pub fn to_toml(&self) -> String {
        in_order(&self.table())
    }

    /// The same as a table; lists without an entry are not in it.
    #[must_use]
    pub fn table(&self) -> toml::Table {
        let file = File {
            bay: BayTable { name: self.bay.clone() },
            engine: self.engine.clone(),
            network: self.network.clone(),
            parent: self.parent.clone(),
            worker: self.worker.clone(),
            template: self.templates.clone(),
            service: self.services.iter().map(written).collect(),
            git: self.git.clone(),
            api: self.api.clone(),
            ui: self.ui.clone(),
        };
        let mut table = to_table(&file);
        if let Some(toml::Value::Table(worker)) = table.get_mut("worker") {
            worker.remove("name");
        }
        if let Some(toml::Value::Array(services)) = table.get_mut("service") {
            services.iter_mut().for_each(drop_foreign_keys);
        }
        for list in ["template", "service"] {
            if table.get(list).and_then(toml::Value::as_array).is_some_and(Vec::is_empty) {
                table.remove(list);
            }
        }
        table
    }
}

/// The tables in the order in which INTERFACE names them.
fn in_order(table: &toml::Table) -> String {
    let order = ["bay", "engine", "network", "parent", "worker", "template", "service", "git", "api", "ui"];
    let parts = order.into_iter().filter_map(|key| {
        let value = table.get(key)?.clone();
        let part = toml::Table::from_iter([(key.to_owned(), value)]);
        Some(part.to_string())
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// Plain data with string keys, every integer within TOML's range because it was read from TOML.
fn to_table<T: Serialize>(value: &T) -> toml::Table {
    toml::Table::try_from(value).unwrap_or_default()
}

fn drop_foreign_keys(service: &mut toml::Value) {
    let Some(table) = service.as_table_mut() else { return };
    let host = table.get("run").and_then(toml::Value::as_str) == Some("host");
    for key in if host { CONTAINER_ONLY } else { HOST_ONLY } {
        table.remove(key);
    }
}

fn written(service: &ServiceConfig) -> ServiceTable {
    let service = service.clone();
    let mut table = ServiceTable {
        name: service.name,
        run: RunKind::Container,
        reason: String::new(),
        image: String::new(),
        command: service.command,
        cwd: String::new(),
        network: crate::bay::template::NetworkMode::Shared,
        ports: service.ports,
        mounts: Vec::new(),
        user: service.user,
        env: service.env,
        env_file: service.env_file,
        secrets: service.secrets,
        restart: service.restart,
        success_exit_codes: service.success_exit_codes,
        depends_on: service.depends_on,
        ready: service.ready.map(probe),
        live: service.live.map(probe),
        stop: service.stop,
        backoff: service.backoff,
        start_limit: service.start_limit,
        tty: false,
    };
    match service.run {
        ServiceRun::Container { image, network, mounts } => {
            (table.image, table.network, table.mounts) = (image.to_string(), network, mounts);
        }
        ServiceRun::Host { reason, cwd, tty } => {
            table.run = RunKind::Host;
            (table.reason, table.cwd, table.tty) = (reason.to_string(), cwd, tty);
        }
    }
    table
}

fn probe(probe: Probe) -> ProbeTable {
    let Probe { target, interval, timeout, retries, start_period } = probe;
    let mut table = ProbeTable { interval, timeout, retries, start_period, ..ProbeTable::default() };
    match target {
        ProbeTarget::Http(url) => table.http = Some(url),
        ProbeTarget::Tcp(address) => table.tcp = Some(address),
        ProbeTarget::Exec(argv) => table.exec = Some(argv),
        ProbeTarget::Log(pattern) => table.log = Some(pattern),
    }
    table
}
