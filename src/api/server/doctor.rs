//! What the supervisor can look at for `doctor`: everything that could keep a worker from starting.
//!
//! All checks run at once, each with a deadline: the answer comes before any client gives up, however many of them hang.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use rustix::fs::{Access, access};

use super::App;
use crate::api::types::{ContainerRow, Finding, LinkState, ServiceRow, State as Is, Status, Verdict};
use crate::bay::container::{ImageRef, Role};
use crate::bay::isolation::Isolation;
use crate::bay::limit::what;
use crate::bay::template::Template;
use crate::config::{Config, EngineKind, HostReason, ServicePort, ServiceRun};
use crate::engine::{listeners, publishes_here};

/// For a supervisor that has just started.
const FIRST_LOOK: Duration = Duration::from_secs(4);
/// For each check. Together with the first look this is less than any client waits.
const EACH: Duration = Duration::from_secs(4);
/// Below this, a worker may not find space.
const LOW_DISK: u64 = 1 << 30;
/// Below this, nothing can be made.
const NO_DISK: u64 = 64 << 20;

pub async fn doctor(State(app): State<App>) -> Json<Vec<Finding>> {
    drop(tokio::time::timeout(FIRST_LOOK, app.first_look()).await);
    let snapshot = app.snapshot();
    let (status, config) = (&snapshot.status, app.handle.config.borrow().clone());
    let (permissions, cgroups, ports, services, images, missing) = tokio::join!(
        within("permissions", blocking(permissions(&app, status))),
        within("cgroups", blocking(cgroups(status))),
        within("ports", ports(&app, status, &config)),
        within("services", blocking(service_ports(status, &config))),
        within("image", images(&app, &config)),
        within("configuration", blocking(missing(&app, &config))),
    );
    let mut findings = vec![engine(status), context(&app, &config, status)];
    findings.extend([permissions, cgroups].concat());
    findings.push(disk(status));
    findings.extend(status.engine.limits.iter().map(|limit| warn("engine limits", limit, help_with(limit))));
    findings.extend(capacity(status));
    findings.extend([ports, services, images, missing].concat());
    findings.push(sharing(&snapshot.containers));
    findings.extend(status.services.iter().filter_map(|row| troubled(row, &config)));
    findings.extend(config.services.iter().filter_map(could_be_a_container));
    findings.extend(
        status.troubles.iter().map(|trouble| warn("supervisor", trouble, "its log says more: `podbay events`")),
    );
    Json(findings)
}

/// What is to be done about a limit, or that nothing need be.
fn help_with(limit: &str) -> &'static str {
    match limit.split(": ").next().unwrap_or_default() {
        what::CPU | what::MEMORY | what::RESERVATION | what::PROCESSES if limit.contains("delegated") => {
            "workers run all the same; have cgroups delegated to hold them: `systemd-run --user --scope -p Delegate=yes \
             podbay up`"
        }
        what::WALLS
        | what::SHARED
        | what::MOUNTS
        | what::SOCKETS
        | "processes"
        | "hostname"
        | "terminals of its own"
        | "shared memory"
        | "/tmp"
        | "modes of files"
        | "32-bit programs"
        | "signals" => "it comes with the level: `podbay --isolation namespaces up` has stronger walls",
        what::IMAGES => "an engine of containers has them: start one, and set [engine] kind = \"docker\"",
        what::BRIDGE => "`--network none` stands alone, and [network] allow gives the bay a network of its own",
        what::SECCOMP => "an engine of containers filters them, and so does isolation landlock",
        "user namespace" => "nothing need be done: the walls are the same",
        "docker" | "podman" => "nothing need be done as long as the host image is enough",
        _ => "what needs it is not enforced; workers run all the same",
    }
}

fn good(check: &str, text: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), verdict: Verdict::Ok, text: text.into(), hint: None }
}

fn skipped(check: &str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Skipped, ..good(check, text) }
}

/// Works, with a limit; never without saying what to do.
fn warn(check: &str, text: impl Into<String>, hint: &str) -> Finding {
    Finding { verdict: Verdict::Warn, hint: Some(hint.to_owned()), ..good(check, text) }
}

/// Would stop a worker; never without saying what to do.
fn fail(check: &str, text: impl Into<String>, hint: &str) -> Finding {
    Finding { verdict: Verdict::Fail, ..warn(check, text, hint) }
}

async fn within(check: &str, work: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = |_| {
        let text = format!("no answer within {}s", EACH.as_secs());
        vec![warn(check, text, "something below it hangs: the engine, or a file system that is not there any more")]
    };
    tokio::time::timeout(EACH, work).await.unwrap_or_else(late)
}

/// What asks the system may hang on a file system of another machine: off the runtime's threads.
async fn blocking(work: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Vec<Finding> {
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

fn engine(status: &Status) -> Finding {
    let engine = &status.engine;
    match engine.state {
        LinkState::Up => {
            let level = engine.isolation.unwrap_or(Isolation::Container);
            let text = format!("{} {} answers at {}, isolation {level}", engine.kind, engine.version, engine.endpoint);
            if level < Isolation::Namespaces {
                return warn(
                    "engine",
                    text,
                    "weaker than namespaces, by your word; `podbay status` says what it leaves open",
                );
            }
            good("engine", text)
        }
        LinkState::Connecting => fail("engine", format!("{} does not answer", engine.endpoint), START_IT),
        LinkState::Away => {
            let reason = engine.reason.clone().unwrap_or_default();
            match engine.weaker {
                Some(level) => {
                    let hint =
                        format!("do what it says, or `podbay --isolation {level} up` for less. {}", level.gives_up());
                    fail("engine", reason, &hint)
                }
                None if is_own(status) => fail("engine", reason, OTHERWISE),
                None => fail("engine", reason, START_IT),
            }
        }
    }
}

/// Whether it is podbay's own, as far as that is known.
fn is_own(status: &Status) -> bool {
    status.engine.kind == "local" || status.engine.endpoint.starts_with("local://")
}

const OTHERWISE: &str = "this machine refuses what podbay's own engine needs: do what it says, or start an engine of \
                         containers and set [engine] kind = \"docker\"";

const START_IT: &str = "start it, or name another in [engine] host, DOCKER_HOST or a docker context";

/// How the endpoint was chosen, in the order in which it is looked for.
fn context(app: &App, config: &Config, status: &Status) -> Finding {
    let env = &app.handle.env;
    let text = if config.engine.kind == EngineKind::Local {
        "the engine is podbay's own, as [engine] kind says".to_owned()
    } else if is_own(status) {
        "the engine is podbay's own: [engine] kind = \"auto\" found no other that answers when the bay was new, and the bay \
         stays with it"
            .to_owned()
    } else if !config.engine.host.is_empty() {
        "the endpoint is that of [engine] host".to_owned()
    } else if env.get("DOCKER_HOST").is_some() {
        "the endpoint is that of $DOCKER_HOST".to_owned()
    } else if let Some(name) = env.get("DOCKER_CONTEXT") {
        format!("the endpoint is that of $DOCKER_CONTEXT, {name:?}")
    } else {
        "the endpoint is the docker CLI's current context, or the first default socket that answers".to_owned()
    };
    good("context", text)
}

/// Whether the state can be written and the engine's socket opened.
fn permissions(app: &App, status: &Status) -> impl FnOnce() -> Vec<Finding> + Send + 'static {
    const CHECK: &str = "permissions";
    let state = app.handle.paths.state.clone();
    let socket = status.engine.endpoint.strip_prefix("unix://").map(str::to_owned);
    move || {
        let shown = state.display();
        if let Err(error) = access(&state, Access::WRITE_OK | Access::EXEC_OK) {
            let hint = "make it yours with chown and chmod 700, or name another place in XDG_STATE_HOME";
            return vec![fail(CHECK, format!("{shown} can't be written: {error}"), hint)];
        }
        let Some(socket) = socket else {
            return vec![good(CHECK, format!("{shown} can be written"))];
        };
        match access(socket.as_str(), Access::READ_OK | Access::WRITE_OK) {
            Ok(()) => vec![good(CHECK, format!("{shown} and {socket} can be written"))],
            Err(rustix::io::Errno::NOENT) => vec![fail(CHECK, format!("there is no {socket}"), START_IT)],
            Err(error) => {
                let hint = "join the group that owns the socket, or use a rootless engine";
                vec![fail(CHECK, format!("{socket} can't be opened: {error}"), hint)]
            }
        }
    }
}

/// Which cgroups enforce the limits, where that is this machine's business.
fn cgroups(status: &Status) -> impl FnOnce() -> Vec<Finding> + Send + 'static {
    let here = status.engine.is_here() && cfg!(target_os = "linux");
    // Whether there are any says nothing of whether this user may make some.
    let mut limits = status.engine.limits.iter().filter(|_| is_own(status));
    let not_held = limits.find_map(|limit| limit.strip_prefix(what::CPU)?.strip_prefix(": "));
    let not_held = not_held.map(|why| warn("cgroups", why.to_owned(), help_with(&format!("{}: {why}", what::CPU))));
    move || {
        if let Some(not_held) = not_held {
            return vec![not_held];
        }
        let root = Path::new("/sys/fs/cgroup");
        vec![if !here {
            skipped("cgroups", "the engine is on another machine")
        } else if root.join("cgroup.controllers").exists() {
            good("cgroups", "version 2")
        } else if root.join("memory").is_dir() && root.join("pids").is_dir() {
            good("cgroups", "version 1, with memory and pids")
        } else {
            warn(
                "cgroups",
                "no memory and pids controllers are to be seen",
                "limits may not be enforced: enable them in the kernel",
            )
        }]
    }
}

fn disk(status: &Status) -> Finding {
    let free = status.disk.free;
    let tenths = free / (LOW_DISK / 10);
    let text = format!("{}.{} GiB free for the state directory", tenths / 10, tenths % 10);
    let hint = "`podbay init --clean` removes logs and caches, `docker system df` shows what the engine has";
    match free {
        _ if status.disk.total == 0 => skipped("disk", "the file system does not say"),
        0..NO_DISK => fail("disk", text, hint),
        // The second, so that this and the alarm say the same.
        _ if free < LOW_DISK || free.saturating_mul(10) < status.disk.total => warn("disk", text, hint),
        _ => good("disk", text),
    }
}

/// How many more workers fit. Too few is no failure: limits are what a worker may take, not what it takes.
fn capacity(status: &Status) -> Vec<Finding> {
    let hint = "stop a worker, or give the template smaller limits; one more starts all the same";
    let finding = |room: &crate::api::types::TemplateRoom| match room.workers {
        Some(0) => warn("capacity", room.to_string(), hint),
        _ => good("capacity", room.to_string()),
    };
    status.capacity.templates.iter().map(finding).collect()
}

/// Ports that the parent wants, and who has them.
async fn ports(app: &App, status: &Status, config: &Config) -> Vec<Finding> {
    let runs = status.parent.as_ref().is_some_and(|parent| parent.started_at.is_some());
    if runs {
        return vec![good("ports", "the parent runs and publishes its ports")];
    }
    let Ok(engine) = app.engine() else {
        return vec![skipped("ports", "the engine is away")];
    };
    let published = match engine.published().await {
        Ok(published) => published,
        Err(error) => return vec![skipped("ports", error.to_string())],
    };
    let (wanted, _) = config.parent_ports(publishes_here(&status.engine.endpoint));
    blocking(move || {
        let mut taken: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for mapping in wanted {
            let by_container = published.iter().find(|(other, _)| other.host == mapping.host).map(|(_, name)| name);
            let holder = match by_container {
                Some(name) => Some(format!("container {name}")),
                None => holder(mapping.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), mapping.host),
            };
            if let Some(holder) = holder {
                taken.entry(holder).or_default().push(mapping.host.to_string());
            }
        }
        if taken.is_empty() {
            return vec![good("ports", "the parent's ports are free")];
        }
        let held = |(holder, ports): (String, Vec<String>)| {
            fail(
                "ports",
                format!("{} held by {holder}", ports.join(", ")),
                "free them, or name others in [parent] ports",
            )
        };
        taken.into_iter().map(held).collect()
    })
    .await
}

/// Who has a port of this machine; `None`: it is free.
fn holder(ip: IpAddr, port: u16) -> Option<String> {
    let error = TcpListener::bind((ip, port)).err()?;
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let seen = listeners::holder_of(port, Path::new("/proc"));
            Some(seen.unwrap_or_else(|| "a process that can't be seen from here".to_owned()))
        }
        // Of a low port only the engine, which is root, can say more.
        _ => None,
    }
}

/// Ports of native services that do not run, and who has them.
fn service_ports(status: &Status, config: &Config) -> impl FnOnce() -> Vec<Finding> + Send + 'static {
    let idle = |name: &str| !status.services.iter().any(|row| row.name == name && row.pid.is_some());
    let native = config.services.iter().filter(|service| matches!(service.run, ServiceRun::Host { .. }));
    let wanted: Vec<(String, u16)> = native
        .filter(|service| idle(service.name.as_str()))
        .flat_map(|service| {
            let port = |port: &ServicePort| match port {
                ServicePort::Listens(port) => Some((service.name.to_string(), *port)),
                ServicePort::Published(_) => None,
            };
            service.ports.iter().filter_map(port).collect::<Vec<_>>()
        })
        .collect();
    let published: BTreeSet<u16> =
        status.parent.iter().flat_map(|parent| &parent.ports).map(|mapping| mapping.host).collect();
    move || {
        let held = |(name, port): (String, u16)| {
            if published.contains(&port) {
                let text = format!("port {port} of service {name} is published by the parent");
                return Some(warn("ports", text, "`podbay refresh parent` makes it anew without that port"));
            }
            let holder = holder(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?;
            let text = format!("port {port} of service {name} is held by {holder}");
            Some(warn("ports", text, "end that one, or give the service another port"))
        };
        wanted.into_iter().filter_map(held).collect()
    }
}

/// The images of all templates, each once.
async fn images(app: &App, config: &Config) -> Vec<Finding> {
    let Ok(engine) = app.engine() else {
        return vec![skipped("image", "the engine is away")];
    };
    let mut users: BTreeMap<String, (ImageRef, Vec<String>)> = BTreeMap::new();
    for template in std::iter::once(&config.worker).chain(&config.templates) {
        let (_, names) =
            users.entry(template.image.to_string()).or_insert_with(|| (template.image.clone(), Vec::new()));
        names.push(template.name.to_string());
    }
    let asked = users.into_values().map(|(image, templates)| {
        let engine = engine.clone();
        async move {
            let templates = templates.join(", ");
            match engine.ensure_image(&image).await {
                Ok(()) => good("image", format!("{:?}, of template {templates}, is there", image.to_string())),
                Err(error) => {
                    fail("image", format!("{error} (template {templates})"), "pull or build it, or name another image")
                }
            }
        }
    });
    futures_util::future::join_all(asked).await
}

fn sharing(rows: &[ContainerRow]) -> Finding {
    const CHECK: &str = "namespace sharing";
    let workers = rows.iter().filter(|row| row.role == Role::Worker && row.network == "shared");
    let running: Vec<&ContainerRow> = workers.filter(|row| row.started_at.is_some()).collect();
    let cut_off: Vec<&str> =
        running.iter().filter(|row| row.state == Is::CutOff).map(|row| row.name.as_str()).collect();
    if !cut_off.is_empty() {
        return fail(CHECK, format!("cut off: {}", cut_off.join(", ")), "`podbay restart parent` repairs them");
    }
    match running.len() {
        0 => skipped(CHECK, "no worker runs in the shared network"),
        count => good(CHECK, format!("{count} in the parent's network")),
    }
}

/// What the configuration names that is not there.
fn missing(app: &App, config: &Config) -> impl FnOnce() -> Vec<Finding> + Send + 'static {
    let (env, paths, config) = (app.handle.env.clone(), app.handle.paths.clone(), config.clone());
    move || {
        let hint = "make it, or take it out of the configuration; what failed for it is tried again by `podbay up`";
        let finding = |missing: crate::config::Missing| {
            let verdict = if missing.stops_workers { fail } else { warn };
            verdict("configuration", missing.text, hint)
        };
        config.missing(&env, &paths).into_iter().map(finding).collect()
    }
}

/// A service that does not run and should. It stops those workers that wait for it.
fn troubled(row: &ServiceRow, config: &Config) -> Option<Finding> {
    if !matches!(row.state.as_str(), "failed" | "backoff" | "stuck") {
        return None;
    }
    let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let text = format!("service {} is {}{reason}", row.name, row.state);
    let hint = format!("`podbay why {0}` says more, `podbay service logs {0}` shows what it said", row.name);
    let needs = |template: &Template| template.depends_on.keys().any(|name| name.as_str() == row.name);
    let needed = std::iter::once(&config.worker).chain(&config.templates).find(|template| needs(template));
    Some(match needed {
        Some(template) => fail("services", format!("{text}; template {} waits for it", template.name), &hint),
        None => warn("services", text, &hint),
    })
}

/// A reason of the user's own is none that containers are known not to do.
fn could_be_a_container(service: &crate::config::ServiceConfig) -> Option<Finding> {
    let ServiceRun::Host { reason: HostReason::Other(sentence), .. } = &service.run else { return None };
    let text = format!("service {} runs on the host ({sentence}) and could perhaps be a container", service.name);
    Some(warn(
        "services",
        text,
        "give it run = \"container\" and an image; gpu, display, audio, hardware, native-api and stdio are good reasons",
    ))
}
