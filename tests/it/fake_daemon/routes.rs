//! The routes of the fake, in the shapes of Docker 1.41.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Shared;
use super::http::{Reply, Request};
use super::program;
use super::store::{self, Container, Exec, Phase, Process};
use super::streams::{self, Session, Whose};

/// `METHOD /path` with ids and references as `*`.
pub fn route_key(method: &str, path: &str) -> String {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let path = match parts.as_slice() {
        ["containers", "json" | "create"] | ["images", "create"] => path.to_owned(),
        ["containers" | "exec", _, rest @ ..] => {
            let tail = if rest.is_empty() { String::new() } else { format!("/{}", rest.join("/")) };
            format!("/{}/*{tail}", parts[0])
        }
        ["images", .., "json"] => "/images/*/json".to_owned(),
        _ => path.to_owned(),
    };
    format!("{method} {path}")
}

pub async fn handle(shared: &Arc<Shared>, request: &Request) -> Reply {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => Reply::Empty(200),
        ("GET", ["version"]) => version(shared),
        ("GET", ["info"]) => info(shared),
        ("GET", ["events"]) => streams::events(shared, request),
        ("GET", ["containers", "json"]) => list(shared, request),
        ("POST", ["containers", "create"]) => create(shared, request),
        ("POST", ["images", "create"]) => import(shared, request),
        ("GET", ["images", reference @ .., "json"]) => {
            let reference = reference.join("/");
            if shared.store().has_image(&reference) {
                Reply::Json(200, json!({"Id": "sha256:00", "RepoTags": [reference]}))
            } else {
                Reply::error(404, format!("No such image: {reference}"))
            }
        }
        ("DELETE", ["containers", id]) => delete(shared, id, request),
        (_, ["containers", id, verb]) => of_container(shared, request, id, verb).await,
        (_, ["exec", id, verb]) => of_exec(shared, request, id, verb),
        _ => Reply::error(404, "page not found"),
    }
}

fn version(shared: &Shared) -> Reply {
    let (newest, oldest) = shared.store().api.clone().unwrap_or(("1.41".into(), "1.12".into()));
    let engine = json!({"Name": "Engine", "Version": "20.10.24"});
    let body = json!({"Version": "20.10.24", "ApiVersion": newest, "MinAPIVersion": oldest, "Components": [engine]});
    Reply::Json(200, body)
}

fn info(shared: &Shared) -> Reply {
    // The machine's own name and kernel: the fake is a local engine, so the host image can be used with it.
    let here = rustix::system::uname();
    let mut info = json!({
        "Name": here.nodename().to_string_lossy(), "KernelVersion": here.release().to_string_lossy(),
        "NCPU": 8, "MemTotal": 16u64 << 30, "MemoryLimit": true, "SwapLimit": true, "PidsLimit": true,
        "CpuCfsQuota": true, "CgroupVersion": "2", "CgroupDriver": "cgroupfs", "InitBinary": "docker-init",
        "SecurityOptions": ["name=seccomp,profile=default"]
    });
    for (key, value) in &shared.store().info {
        info[key] = value.clone();
    }
    Reply::Json(200, info)
}

fn list(shared: &Shared, request: &Request) -> Reply {
    let filters: Value = serde_json::from_str(request.param("filters").unwrap_or("{}")).unwrap_or(Value::Null);
    let labels: Vec<&str> = filters["label"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let store = shared.store();
    let fits = |container: &&Container| {
        let all = labels.iter().all(|label| {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            container.request["Labels"][key] == value
        });
        all && (request.flag("all") || container.phase == Phase::Running)
    };
    let rows: Vec<Value> = store.containers.values().filter(fits).map(row).collect();
    Reply::Json(200, rows.into())
}

fn row(container: &Container) -> Value {
    let ports: Vec<Value> = assigned(container)
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(port, bindings)| {
            let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
            let row = |binding: &Value| {
                json!({"IP": binding["HostIp"], "PrivatePort": number.parse::<u16>().unwrap(), "Type": kind,
                       "PublicPort": binding["HostPort"].as_str().unwrap().parse::<u16>().unwrap()})
            };
            bindings.as_array().into_iter().flatten().map(row).collect::<Vec<_>>()
        })
        .collect();
    json!({"Id": container.id, "Names": [format!("/{}", container.name)], "Labels": container.request["Labels"],
           "State": phase(container), "Status": "Up", "Ports": ports})
}

fn phase(container: &Container) -> &'static str {
    match container.phase {
        Phase::Created => "created",
        Phase::Running if container.paused => "paused",
        Phase::Running => "running",
        Phase::Exited => "exited",
    }
}

/// Ports of a running container, on IPv4 and IPv6 as the engine says it.
fn assigned(container: &Container) -> Value {
    if container.phase != Phase::Running {
        return json!({});
    }
    let mut ports = json!({});
    for (port, bindings) in container.request["HostConfig"]["PortBindings"].as_object().into_iter().flatten() {
        let rows = bindings.as_array().into_iter().flatten().flat_map(|binding| {
            match binding["HostIp"].as_str().filter(|ip| !ip.is_empty()) {
                Some(ip) => vec![json!({"HostIp": ip, "HostPort": binding["HostPort"]})],
                None => ["0.0.0.0", "::"].map(|ip| json!({"HostIp": ip, "HostPort": binding["HostPort"]})).to_vec(),
            }
        });
        ports[port] = rows.collect();
    }
    ports
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

fn inspect(container: &Container) -> Value {
    let mut config = container.request.clone();
    let mut host = config["HostConfig"].take();
    if let Some(keys) = config.as_object_mut() {
        keys.remove("HostConfig");
    }
    if !host.is_object() {
        host = json!({"NetworkMode": "default"});
    }
    let health = container.health.as_ref();
    json!({
        "Id": container.id, "Name": format!("/{}", container.name), "Created": container.created.to_string(),
        "Config": config, "HostConfig": host, "NetworkSettings": {"Ports": assigned(container)},
        "State": {
            "Status": phase(container), "Running": container.phase == Phase::Running, "Paused": container.paused,
            "Restarting": false, "OOMKilled": container.oom, "Dead": false, "Pid": container.pid,
            "ExitCode": container.code, "Error": container.error, "StartedAt": time(container.started),
            "FinishedAt": time(container.finished),
            "Health": health.map(|(status, streak)| json!({"Status": status, "FailingStreak": streak, "Log": []}))
        }
    })
}

fn create(shared: &Shared, request: &Request) -> Reply {
    let name = request.param("name").unwrap_or_default();
    match store::create(&mut shared.store(), name, request.json()) {
        Ok(id) => Reply::Json(201, json!({"Id": id, "Warnings": []})),
        Err((status, message)) => Reply::error(status, message),
    }
}

fn import(shared: &Shared, request: &Request) -> Reply {
    let reference =
        format!("{}:{}", request.param("repo").unwrap_or_default(), request.param("tag").unwrap_or("latest"));
    if tar_entries(&request.body).is_none() {
        return Reply::error(500, "archive/tar: invalid tar header");
    }
    shared.store().add_image(&reference);
    Reply::Json(200, json!({"status": "sha256:00"}))
}

fn tar_entries(bytes: &[u8]) -> Option<usize> {
    tar::Archive::new(bytes).entries().ok()?.map(Result::ok).collect::<Option<Vec<_>>>().map(|all| all.len())
}

fn delete(shared: &Shared, id: &str, request: &Request) -> Reply {
    let Some(container) = shared.store().find(id).cloned() else {
        return Reply::error(404, format!("No such container: {id}"));
    };
    if container.phase == Phase::Running && !request.flag("force") {
        let why = format!("You cannot remove a running container {id}. Stop the container before attempting removal");
        return Reply::error(409, why);
    }
    store::remove(shared, id);
    Reply::Empty(204)
}

async fn of_container(shared: &Arc<Shared>, request: &Request, id: &str, verb: &str) -> Reply {
    let Some(container) = shared.store().find(id).cloned() else {
        return Reply::error(404, format!("No such container: {id}"));
    };
    let running = container.phase == Phase::Running;
    match verb {
        "json" => Reply::Json(200, inspect(&container)),
        "start" => match store::start(shared, id) {
            Ok(()) => Reply::Empty(204),
            Err((304, _)) => Reply::Empty(304),
            Err((status, message)) => Reply::error(status, message),
        },
        "stop" if !running => Reply::Empty(304),
        "stop" => {
            stop(shared, &container, request).await;
            Reply::Empty(204)
        }
        "rename" => rename(shared, id, request.param("name").unwrap_or_default()),
        "resize" | "exec" if !running => Reply::error(409, format!("Container {id} is not running")),
        "resize" => {
            *container.main.size.lock().unwrap() = size(request);
            Reply::Empty(200)
        }
        "attach" => attach(shared, &container.id),
        "exec" => new_exec(shared, &container.id, request.json()),
        "logs" => streams::logs(shared, id, request),
        "stats" => Reply::Json(200, stats(&container)),
        _ => Reply::error(404, "page not found"),
    }
}

/// A pid 1 without an init takes no SIGTERM.
async fn stop(shared: &Shared, container: &Container, request: &Request) {
    let init = container.request["HostConfig"]["Init"] == true;
    if init {
        let code = if container.request["StopSignal"] == "SIGHUP" { 129 } else { 143 };
        return store::finish(shared, &container.id, code, false);
    }
    let grace = request.param("t").and_then(|text| text.parse().ok()).unwrap_or(10);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(grace);
    let ended = || shared.store().find(&container.id).is_none_or(|now| now.phase != Phase::Running);
    while tokio::time::Instant::now() < deadline && !ended() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store::finish(shared, &container.id, 137, false);
}

fn rename(shared: &Shared, id: &str, name: &str) -> Reply {
    let mut store = shared.store();
    if let Some(other) = store.containers.values().find(|other| other.name == name) {
        let why = format!("Conflict. The container name \"/{name}\" is already in use by container \"{}\".", other.id);
        return Reply::error(409, why);
    }
    if let Some(container) = store.find_mut(id) {
        name.clone_into(&mut container.name);
    }
    store.event(id, "rename");
    Reply::Empty(204)
}

fn size(request: &Request) -> (u16, u16) {
    let side = |key: &str| request.param(key).and_then(|text| text.parse().ok()).unwrap_or(0);
    (side("h"), side("w"))
}

fn attach(shared: &Shared, id: &str) -> Reply {
    let mut store = shared.store();
    let Some(container) = store.find_mut(id) else { return Reply::error(404, "gone") };
    if container.phase == Phase::Exited {
        return Reply::error(409, "You cannot attach to a stopped container, start it first");
    }
    let output = container.main.attach();
    Reply::Hijack(Session { whose: Whose::Main(id.to_owned()), tty: container.main.tty, output })
}

fn new_exec(shared: &Shared, container: &str, request: Value) -> Reply {
    let tty = request["Tty"].as_bool().unwrap_or(false);
    let id = store::new_id();
    let process = Process { tty, ..Process::default() };
    let exec = Exec { container: container.to_owned(), request, process, pid: 4242, started: false, code: None };
    shared.store().execs.insert(id.clone(), exec);
    Reply::Json(201, json!({"Id": id}))
}

fn of_exec(shared: &Arc<Shared>, request: &Request, id: &str, verb: &str) -> Reply {
    let mut store = shared.store();
    let Some(exec) = store.execs.get_mut(id) else {
        return Reply::error(404, format!("No such exec instance: {id}"));
    };
    match verb {
        "json" => {
            let running = exec.started && exec.code.is_none();
            Reply::Json(200, json!({"ID": id, "Running": running, "ExitCode": exec.code, "Pid": exec.pid}))
        }
        "resize" if !exec.started => Reply::error(500, "timeout waiting for exec session ready"),
        "resize" if exec.code.is_some() => Reply::error(404, format!("No such exec instance: {id}")),
        "resize" => {
            *exec.process.size.lock().unwrap() = size(request);
            Reply::Empty(200)
        }
        "start" => {
            if store::argv(&exec.request).first().is_some_and(|command| program::is_missing(command)) {
                exec.code = Some(126);
                return Reply::error(400, "OCI runtime exec failed: executable file not found in $PATH");
            }
            let session =
                Session { whose: Whose::Exec(id.to_owned()), tty: exec.process.tty, output: exec.process.attach() };
            drop(store);
            store::start_exec(shared, id);
            Reply::Hijack(session)
        }
        _ => Reply::error(404, "page not found"),
    }
}

fn stats(container: &Container) -> Value {
    let age = container.started.map_or(0, |at| Timestamp::now().as_nanosecond() - at.as_nanosecond());
    let running = u64::from(container.phase == Phase::Running);
    json!({
        "cpu_stats": {"cpu_usage": {"total_usage": u64::try_from(age / 10).unwrap() * running}},
        "memory_stats": {"usage": (3u64 << 20) * running, "limit": 64u64 << 20, "stats": {}},
        "pids_stats": {"current": running}, "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 20}}
    })
}
