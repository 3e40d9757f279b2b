//! What the supervisor can look at for `doctor`: everything that could keep a worker from starting.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

use axum::Json;
use axum::extract::State;
use rustix::fs::{Access, access};

use super::App;
use crate::api::types::{ContainerRow, Finding, LinkState, State as Is, Status, Verdict};
use crate::bay::container::Role;
use crate::bay::port::PortRule;

/// Below this, a worker may not find space.
const LOW_DISK: u64 = 1 << 30;

pub async fn doctor(State(app): State<App>) -> Json<Vec<Finding>> {
    app.first_look().await;
    let snapshot = app.snapshot();
    let status = &snapshot.status;
    let mut findings = vec![engine(status), context(&app), permissions(&app, status), cgroups(status), disk(status)];
    findings.extend(status.engine.limits.iter().map(|limit| finding("engine limits", Verdict::Warn, limit.clone())));
    findings.extend(ports(&app, status).await);
    findings.push(image(&app).await);
    findings.push(sharing(&snapshot.containers));
    findings.extend(status.troubles.iter().map(|trouble| finding("supervisor", Verdict::Warn, trouble.clone())));
    Json(findings)
}

fn finding(check: &str, verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), verdict, text: text.into(), hint: None }
}

fn engine(status: &Status) -> Finding {
    let engine = &status.engine;
    match engine.state {
        LinkState::Up => {
            finding("engine", Verdict::Ok, format!("{} {} answers at {}", engine.kind, engine.version, engine.endpoint))
        }
        LinkState::Connecting => {
            finding("engine", Verdict::Skipped, format!("{} has not answered yet", engine.endpoint))
        }
        LinkState::Away => Finding {
            hint: Some("start it, or name another in [engine] host, DOCKER_HOST or a docker context".to_owned()),
            ..finding("engine", Verdict::Fail, engine.reason.clone().unwrap_or_default())
        },
    }
}

/// How the endpoint was chosen, in the order in which it is looked for.
fn context(app: &App) -> Finding {
    let env = &app.handle.env;
    let config = app.handle.config.borrow().clone();
    let text = if !config.engine.host.is_empty() {
        "the endpoint is that of [engine] host".to_owned()
    } else if env.get("DOCKER_HOST").is_some() {
        "the endpoint is that of $DOCKER_HOST".to_owned()
    } else if let Some(name) = env.get("DOCKER_CONTEXT") {
        format!("the endpoint is that of $DOCKER_CONTEXT, {name:?}")
    } else {
        "the endpoint is the docker CLI's current context, or the first default socket that answers".to_owned()
    };
    finding("context", Verdict::Ok, text)
}

/// Whether the state can be written and the engine's socket opened.
fn permissions(app: &App, status: &Status) -> Finding {
    let state = &app.handle.paths.state;
    if let Err(error) = access(state, Access::WRITE_OK | Access::EXEC_OK) {
        return finding("permissions", Verdict::Fail, format!("{} can't be written: {error}", state.display()));
    }
    let Some(socket) = status.engine.endpoint.strip_prefix("unix://") else {
        return finding("permissions", Verdict::Ok, format!("{} can be written", state.display()));
    };
    match access(socket, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => finding("permissions", Verdict::Ok, format!("{} and {socket} can be written", state.display())),
        Err(error) => Finding {
            hint: Some("join the group that owns the socket, or use a rootless engine".to_owned()),
            ..finding("permissions", Verdict::Fail, format!("{socket} can't be opened: {error}"))
        },
    }
}

/// Which cgroups enforce the limits, where that is this machine's business.
fn cgroups(status: &Status) -> Finding {
    if !status.engine.endpoint.starts_with("unix://") {
        return finding("cgroups", Verdict::Skipped, "the engine is on another machine");
    }
    let root = std::path::Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return finding("cgroups", Verdict::Ok, "version 2");
    }
    if root.join("memory").is_dir() && root.join("pids").is_dir() {
        return finding("cgroups", Verdict::Ok, "version 1, with memory and pids");
    }
    finding("cgroups", Verdict::Warn, "no memory and pids controllers are to be seen: limits may not be enforced")
}

fn disk(status: &Status) -> Finding {
    let free = status.disk.free >> 30;
    let verdict = if status.disk.free < LOW_DISK { Verdict::Warn } else { Verdict::Ok };
    finding("disk", verdict, format!("{free} GiB free for the state directory"))
}

/// Ports that the parent wants, and who has them.
async fn ports(app: &App, status: &Status) -> Vec<Finding> {
    let runs = status.parent.as_ref().is_some_and(|parent| parent.started_at.is_some());
    if runs {
        return vec![finding("ports", Verdict::Ok, "the parent runs and publishes its ports")];
    }
    let Ok(engine) = app.engine() else {
        return vec![finding("ports", Verdict::Skipped, "the engine is away")];
    };
    let published = match engine.published().await {
        Ok(published) => published,
        Err(error) => return vec![finding("ports", Verdict::Skipped, error.to_string())],
    };
    let config = app.handle.config.borrow().clone();
    let mut taken: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mapping in config.parent.ports.iter().flat_map(PortRule::mappings) {
        let by_container = published.iter().find(|(other, _)| other.host == mapping.host).map(|(_, name)| name);
        let holder = match by_container {
            Some(name) => format!("container {name}"),
            None if TcpListener::bind((Ipv4Addr::UNSPECIFIED, mapping.host)).is_err() => {
                "a process of this machine".to_owned()
            }
            None => continue,
        };
        taken.entry(holder).or_default().push(mapping.host.to_string());
    }
    if taken.is_empty() {
        return vec![finding("ports", Verdict::Ok, "the parent's ports are free")];
    }
    let held = |(holder, ports): (String, Vec<String>)| Finding {
        hint: Some("free them, or name others in [parent] ports".to_owned()),
        ..finding("ports", Verdict::Fail, format!("{} held by {holder}", ports.join(", ")))
    };
    taken.into_iter().map(held).collect()
}

async fn image(app: &App) -> Finding {
    let Ok(engine) = app.engine() else {
        return finding("image", Verdict::Skipped, "the engine is away");
    };
    let config = app.handle.config.borrow().clone();
    match engine.ensure_image(&config.worker.image).await {
        Ok(()) => {
            finding("image", Verdict::Ok, format!("the workers' image {:?} is there", config.worker.image.to_string()))
        }
        Err(error) => finding("image", Verdict::Fail, error.to_string()),
    }
}

fn sharing(rows: &[ContainerRow]) -> Finding {
    let workers = rows.iter().filter(|row| row.role == Role::Worker && row.network == "shared");
    let running: Vec<&ContainerRow> = workers.filter(|row| row.started_at.is_some()).collect();
    let cut_off: Vec<&str> =
        running.iter().filter(|row| row.state == Is::CutOff).map(|row| row.name.as_str()).collect();
    if !cut_off.is_empty() {
        return Finding {
            hint: Some("`podbay restart parent` repairs them".to_owned()),
            ..finding("namespace sharing", Verdict::Fail, format!("cut off: {}", cut_off.join(", ")))
        };
    }
    match running.len() {
        0 => finding("namespace sharing", Verdict::Skipped, "no worker runs in the shared network"),
        count => finding("namespace sharing", Verdict::Ok, format!("{count} in the parent's network")),
    }
}
