//! `[[service]]`: from the table as written to what can be run.

use std::collections::BTreeSet;

use crate::bay::name::Name;
use crate::bay::service::{ServiceConfig, ServicePort, ServiceRun};
use crate::bay::template::NetworkMode;

use super::super::error::Fault;
use super::super::file::{RunKind, ServiceTable};
use super::super::node::{Node, Path};
use super::template::is_user;
use super::{Checked, ensure, probe, words};

/// Keys that only a container takes.
pub const CONTAINER_ONLY: [&str; 3] = ["image", "network", "mounts"];
/// Keys that only a native service takes.
pub const HOST_ONLY: [&str; 3] = ["reason", "cwd", "tty"];

/// All services, each complete, no name twice.
pub fn services(tables: &[ServiceTable], tree: &Node) -> Result<Vec<ServiceConfig>, Fault> {
    let mut seen = BTreeSet::new();
    let items = tree.entry("service").map_or(&[][..], |entry| entry.node.items());
    let mut made = Vec::with_capacity(tables.len());
    for (index, (table, item)) in tables.iter().zip(items).enumerate() {
        let path = Path::of("service").item(index);
        if !seen.insert(&table.name) {
            let what = format!("there are two services named {:?}", table.name.as_str());
            return Err(Fault::new(path.key("name"), what));
        }
        made.push(service(table, item, &path)?);
    }
    Ok(made)
}

fn service(table: &ServiceTable, item: &Node, path: &Path) -> Result<ServiceConfig, Fault> {
    only_its_own_keys(table.run, item, path)?;
    let run = match table.run {
        RunKind::Container => container(table, path)?,
        RunKind::Host => host(table, path)?,
    };
    words::argv(&table.command, &path.key("command"))?;
    words::env(&table.env, &path.key("env"))?;
    words::paths(&table.env_file, &path.key("env_file"))?;
    who(table, path)?;
    pace(table, path)?;
    codes(table, path)?;
    never_by_log(table, path)?;
    let probe = |table: &Option<_>, key| table.as_ref().map(|t| probe::probe(t, &path.key(key))).transpose();
    Ok(ServiceConfig {
        name: table.name.clone(),
        run,
        command: table.command.clone(),
        ports: table.ports.clone(),
        env: table.env.clone(),
        env_file: table.env_file.clone(),
        user: table.user.clone(),
        secrets: table.secrets.clone(),
        restart: table.restart,
        success_exit_codes: table.success_exit_codes.clone(),
        depends_on: table.depends_on.clone(),
        ready: probe(&table.ready, "ready")?,
        live: probe(&table.live, "live")?,
        stop: table.stop,
        backoff: table.backoff,
        start_limit: table.start_limit,
    })
}

fn who(table: &ServiceTable, path: &Path) -> Checked {
    ensure(is_user(&table.user), || {
        let what = format!("{:?} is not a user: write UID, UID:GID or a name", table.user);
        Fault::new(path.key("user"), what)
    })?;
    let secrets: Vec<&str> = table.secrets.iter().map(Name::as_str).collect();
    words::each_once(&secrets, &path.key("secrets"))?;
    let hidden = table.run == RunKind::Host && !table.user.is_empty() && !table.secrets.is_empty();
    ensure(!hidden, || {
        let what =
            "are in a directory of podbay's own user, which another can't enter: leave out user, or use a container";
        Fault::new(path.key("secrets"), what)
    })
}

fn only_its_own_keys(run: RunKind, item: &Node, path: &Path) -> Checked {
    let (others, word) = match run {
        RunKind::Container => (HOST_ONLY, "host"),
        RunKind::Host => (CONTAINER_ONLY, "container"),
    };
    for key in others {
        if let Some(at) = item.entry(key).and_then(|entry| entry.key_at) {
            let fault = Fault::new(path.key(key), format_args!("is for services with run = {word:?}"));
            return Err(Fault { at: Some(at), ..fault });
        }
    }
    Ok(())
}

fn container(table: &ServiceTable, path: &Path) -> Result<ServiceRun, Fault> {
    ensure(!table.image.is_empty(), || {
        Fault::new(
            path.clone(),
            format_args!("service {:?} runs in a container and needs an image", table.name.as_str()),
        )
    })?;
    let image = table.image.clone().into();
    words::image(&image, &path.key("image"))?;
    words::mounts(&table.mounts, &path.key("mounts"))?;
    for (index, port) in table.ports.iter().enumerate() {
        let published = matches!(port, ServicePort::Published(_));
        ensure(!published || table.network == NetworkMode::Bridge, || {
            let what = "is published only with network = \"bridge\"; name the port alone, and publish it at the parent";
            Fault::new(path.key("ports").item(index), what)
        })?;
    }
    Ok(ServiceRun::Container { image, network: table.network, mounts: table.mounts.clone() })
}

fn host(table: &ServiceTable, path: &Path) -> Result<ServiceRun, Fault> {
    let named = table.name.as_str();
    ensure(!table.reason.is_empty(), || {
        let what = "needs a reason: gpu, display, audio, hardware, native-api, stdio or \"other: your sentence\"";
        Fault::new(path.clone(), format_args!("service {named:?} runs on the host and {what}"))
    })?;
    let reason = table.reason.parse().map_err(|error| Fault::new(path.key("reason"), error))?;
    ensure(!table.command.is_empty(), || {
        Fault::new(path.clone(), format_args!("service {named:?} runs on the host and needs a command"))
    })?;
    words::path(&table.cwd, &path.key("cwd"))?;
    for (index, port) in table.ports.iter().enumerate() {
        ensure(matches!(port, ServicePort::Listens(_)), || {
            Fault::new(
                path.key("ports").item(index),
                "must be a number, like 3002: a native service listens on the machine itself and publishes nothing",
            )
        })?;
    }
    Ok(ServiceRun::Host { reason, cwd: table.cwd.clone(), tty: table.tty })
}

fn codes(table: &ServiceTable, path: &Path) -> Checked {
    for (index, code) in table.success_exit_codes.iter().enumerate() {
        ensure((0..=255).contains(code), || {
            Fault::new(
                path.key("success_exit_codes").item(index),
                format_args!("{code} is no exit code: write 0 to 255"),
            )
        })?;
    }
    Ok(())
}

fn never_by_log(table: &ServiceTable, path: &Path) -> Checked {
    ensure(table.live.as_ref().is_none_or(|live| live.log.is_none()), || {
        let what = "a line that was written once says nothing of now; ask by http, tcp or exec";
        Fault::new(path.key("live").key("log"), what)
    })
}

fn pace(table: &ServiceTable, path: &Path) -> Checked {
    words::lasting(table.stop.timeout, &path.key("stop").key("timeout"))?;
    let backoff = path.key("backoff");
    ensure(table.backoff.max >= table.backoff.initial, || {
        let what = format!("{} is less than initial, {}", table.backoff.max, table.backoff.initial);
        Fault::new(backoff.key("max"), what)
    })?;
    words::counted(table.start_limit.burst, &path.key("start_limit").key("burst"))?;
    words::lasting(table.start_limit.interval, &path.key("start_limit").key("interval"))
}
