//! The fake's containers, and what happens to them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::Shared;
use super::fault::{EventFault, Faults};
use super::program::{self, Io};

/// Everything in the daemon.
#[derive(Default)]
pub struct Store {
    pub containers: BTreeMap<String, Container>,
    pub execs: HashMap<String, Exec>,
    pub images: HashSet<String>,
    pub faults: Faults,
    pub calls: HashMap<String, usize>,
    pub event_fault: EventFault,
    /// What `/version` says: the newest and the oldest API.
    pub api: Option<(String, String)>,
    /// What `/info` says beside the defaults.
    pub info: serde_json::Map<String, Value>,
    /// Open connections.
    pub connections: usize,
    pub listeners: Vec<UnboundedSender<Value>>,
    held_event: Option<Value>,
    last_time: Timestamp,
    runtime: Option<Handle>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Created,
    Running,
    Exited,
}

/// A container.
#[derive(Clone)]
pub struct Container {
    pub id: String,
    pub name: String,
    /// The request that made it.
    pub request: Value,
    pub created: Timestamp,
    pub phase: Phase,
    pub paused: bool,
    pub pid: u32,
    pub code: i64,
    pub oom: bool,
    pub error: String,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub health: Option<(String, u32)>,
    pub main: Process,
}

/// A process with its output.
#[derive(Clone, Default)]
pub struct Process {
    pub tty: bool,
    pub typed: Vec<u8>,
    pub size: Arc<Mutex<(u16, u16)>>,
    /// What the engine's log holds.
    pub log: Vec<Message>,
    /// Not in the log yet: it waits for its line's end.
    pub partial: [Vec<u8>; 2],
    /// Who is attached.
    pub attached: Vec<UnboundedSender<(bool, Bytes)>>,
    /// Who follows the log.
    pub followers: Vec<UnboundedSender<Message>>,
    /// So many at once at most.
    pub most_followers: usize,
    pub input: Option<UnboundedSender<Bytes>>,
    pub task: Option<AbortHandle>,
}

/// A message of the log.
#[derive(Clone, Debug)]
pub struct Message {
    pub at: Timestamp,
    pub stderr: bool,
    pub bytes: Bytes,
}

/// An exec.
pub struct Exec {
    pub container: String,
    pub request: Value,
    pub process: Process,
    pub pid: u32,
    pub started: bool,
    pub code: Option<i64>,
}

/// A refusal: status and message.
pub type Refusal = (u16, String);

impl Store {
    pub fn add_image(&mut self, reference: &str) {
        let tagged = if reference.contains(':') { reference.to_owned() } else { format!("{reference}:latest") };
        self.images.insert(tagged);
    }

    pub fn has_image(&self, reference: &str) -> bool {
        self.images.contains(reference) || self.images.contains(&format!("{reference}:latest"))
    }

    /// By id, a prefix of it, or name.
    pub fn find(&self, key: &str) -> Option<&Container> {
        let id = self.resolve(key)?;
        self.containers.get(&id)
    }

    pub fn find_mut(&mut self, key: &str) -> Option<&mut Container> {
        let id = self.resolve(key)?;
        self.containers.get_mut(&id)
    }

    fn resolve(&self, key: &str) -> Option<String> {
        if self.containers.contains_key(key) {
            return Some(key.to_owned());
        }
        let fits = |c: &&Container| c.name == key || (key.len() >= 12 && c.id.starts_with(key));
        self.containers.values().find(fits).map(|c| c.id.clone())
    }

    /// The daemon's clock: never the same twice.
    pub fn now(&mut self) -> Timestamp {
        let next = self.last_time.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap();
        self.last_time = Timestamp::now().max(next);
        self.last_time
    }

    pub fn event(&mut self, id: &str, action: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let mut attributes = container.request["Labels"].clone();
        if !attributes.is_object() {
            attributes = json!({});
        }
        attributes["name"] = container.name.clone().into();
        let now = Timestamp::now();
        let event = json!({
            "status": action, "id": id, "Type": "container", "Action": action, "scope": "local",
            "Actor": {"ID": id, "Attributes": attributes}, "time": now.as_second(),
            "timeNano": i64::try_from(now.as_nanosecond()).unwrap()
        });
        let sent: Vec<Value> = match self.event_fault {
            EventFault::None => vec![event],
            EventFault::Lose => vec![],
            EventFault::Double => vec![event.clone(), event],
            EventFault::Garble => vec![Value::String("garbled".into()), event],
            EventFault::Reorder => {
                if let Some(held) = self.held_event.take() {
                    vec![event, held]
                } else {
                    self.held_event = Some(event);
                    vec![]
                }
            }
        };
        self.listeners.retain(|to| sent.iter().all(|event| to.send(event.clone()).is_ok()) && !to.is_closed());
    }
}

pub fn use_runtime(shared: &Shared, handle: Handle) {
    shared.store().runtime = Some(handle);
}

/// An id as Docker makes them.
pub fn new_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let words = [(); 4].map(|()| format!("{:016x}", RandomState::new().hash_one(0)));
    words.concat()
}

pub fn add_foreign(shared: &Shared, name: &str, labels: &[(&str, &str)]) -> String {
    let labels: serde_json::Map<_, _> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let request = json!({"Image": "img", "Cmd": ["sleep", "infinity"], "Labels": labels});
    create(&mut shared.store(), name, request).expect("the name is free")
}

pub fn create(store: &mut Store, name: &str, request: Value) -> Result<String, Refusal> {
    let image = request["Image"].as_str().unwrap_or_default().to_owned();
    if !store.has_image(&image) {
        return Err((404, format!("No such image: {image}")));
    }
    if let Some(other) = store.containers.values().find(|container| container.name == name) {
        return Err((
            409,
            format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove \
                 (or rename) that container to be able to reuse that name.",
                other.id
            ),
        ));
    }
    for mount in request["HostConfig"]["Mounts"].as_array().into_iter().flatten() {
        let source = mount["Source"].as_str().unwrap_or_default();
        if !std::path::Path::new(source).exists() {
            let why = format!("invalid mount config for type \"bind\": bind source path does not exist: {source}");
            return Err((400, why));
        }
    }
    let (id, created) = (new_id(), store.now());
    let tty = request["Tty"].as_bool().unwrap_or(false);
    let health = request["Healthcheck"]["Test"].is_array().then(|| ("starting".to_owned(), 0));
    let main = Process { tty, ..Process::default() };
    let container = Container {
        id: id.clone(),
        name: name.to_owned(),
        request,
        created,
        phase: Phase::Created,
        paused: false,
        pid: 0,
        code: 0,
        oom: false,
        error: String::new(),
        started: None,
        finished: None,
        health,
        main,
    };
    store.containers.insert(id.clone(), container);
    store.event(&id, "create");
    Ok(id)
}

/// Starts the main process.
pub fn start(shared: &Arc<Shared>, id: &str) -> Result<(), Refusal> {
    let mut store = shared.store();
    let container = store.find(id).ok_or_else(|| (404, format!("No such container: {id}")))?.clone();
    if container.phase == Phase::Running {
        return Err((304, String::new()));
    }
    if let Err((status, message, code)) = startable(&store, &container) {
        if let Some(container) = store.find_mut(id) {
            (container.error, container.code) = (message.clone(), code);
        }
        return Err((status, message));
    }
    let now = store.now();
    let runtime = store.runtime.clone().expect("the daemon runs");
    let container = store.find_mut(id).ok_or((404, "gone".to_owned()))?;
    let id = container.id.clone();
    container.phase = Phase::Running;
    (container.started, container.finished) = (Some(now), None);
    (container.code, container.oom, container.error) = (0, false, String::new());
    container.pid = 1_000_000 + u32::from_str_radix(&id[..4], 16).unwrap_or(0);
    let (input, typed) = unbounded_channel();
    container.main.input = Some(input);
    let argv = argv(&container.request);
    let (tty, size) = (container.main.tty, container.main.size.clone());
    let (on_task, task_id) = (shared.clone(), id.clone());
    let task = runtime.spawn(async move {
        let (to, out_id) = (on_task.clone(), task_id.clone());
        let out = Arc::new(move |stderr: bool, bytes: &[u8]| write_main(&to, &out_id, stderr, bytes));
        let code = program::run(&argv, &mut Io::new(out, typed, tty, size)).await;
        finish(&on_task, &task_id, code, false);
    });
    container.main.task = Some(task.abort_handle());
    store.event(&id, "start");
    Ok(())
}

fn startable(store: &Store, container: &Container) -> Result<(), (u16, String, i64)> {
    let host = &container.request["HostConfig"];
    if let Some(parent) = host["NetworkMode"].as_str().and_then(|mode| mode.strip_prefix("container:")) {
        match store.find(parent) {
            None => return Err((404, format!("No such container: {parent}"), 128)),
            Some(parent) if parent.phase != Phase::Running => {
                let why = format!("cannot join network of a non running container: {}", parent.id);
                return Err((409, why, 128));
            }
            Some(_) => {}
        }
    }
    let ours = host_ports(container);
    let running = store.containers.values().filter(|other| other.phase == Phase::Running);
    let taken = running.flat_map(host_ports).find(|port| ours.contains(port));
    if let Some(port) = taken {
        let why = format!(
            "driver failed programming external connectivity on endpoint {} ({}): Bind for 0.0.0.0:{port} failed: \
             port is already allocated",
            container.name, container.id
        );
        return Err((500, why, 128));
    }
    let argv = argv(&container.request);
    match argv.first() {
        Some(command) if program::is_missing(command) => {
            let why = format!(
                "failed to create shim task: OCI runtime create failed: exec: \"{command}\": executable file not \
                 found in $PATH: unknown"
            );
            Err((400, why, 127))
        }
        _ => Ok(()),
    }
}

pub fn argv(request: &Value) -> Vec<String> {
    let words = request["Cmd"].as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

fn host_ports(container: &Container) -> Vec<u16> {
    let bindings = container.request["HostConfig"]["PortBindings"].as_object();
    let bindings = bindings.into_iter().flat_map(|map| map.values()).filter_map(Value::as_array).flatten();
    bindings.filter_map(|binding| binding["HostPort"].as_str()?.parse().ok()).filter(|port| *port > 0).collect()
}

/// The main process has ended.
pub fn finish(shared: &Shared, id: &str, code: i64, oom: bool) {
    let mut store = shared.store();
    let now = store.now();
    let Some(container) = store.find_mut(id) else { return };
    if container.phase != Phase::Running {
        return;
    }
    let id = container.id.clone();
    container.main.flush(now);
    container.phase = Phase::Exited;
    (container.code, container.oom, container.pid, container.finished) = (code, oom, 0, Some(now));
    container.main.end();
    for exec in store.execs.values_mut().filter(|exec| exec.container == id && exec.code.is_none()) {
        exec.code = Some(137);
        exec.process.end();
    }
    if oom {
        store.event(&id, "oom");
    }
    store.event(&id, "die");
}

pub fn remove(shared: &Shared, id: &str) {
    finish(shared, id, 137, false);
    let mut store = shared.store();
    if let Some(id) = store.find(id).map(|container| container.id.clone()) {
        store.event(&id, "destroy");
        store.containers.remove(&id);
    }
}

/// The main process writes.
pub fn write_main(shared: &Shared, id: &str, stderr: bool, bytes: &[u8]) {
    let mut store = shared.store();
    let now = store.now();
    if let Some(container) = store.find_mut(id) {
        container.main.write(now, stderr, bytes);
    }
}

/// What an exec's process writes.
pub fn write_exec(shared: &Shared, id: &str, stderr: bool, bytes: &[u8]) {
    let mut store = shared.store();
    if let Some(exec) = store.execs.get_mut(id) {
        exec.process.attached.retain(|to| to.send((stderr, Bytes::copy_from_slice(bytes))).is_ok());
    }
}

/// Runs an exec's program; its streams are attached already.
pub fn start_exec(shared: &Arc<Shared>, id: &str) {
    let mut store = shared.store();
    let runtime = store.runtime.clone().expect("the daemon runs");
    let Some(exec) = store.execs.get_mut(id) else { return };
    let (input, typed) = unbounded_channel();
    exec.process.input = Some(input);
    exec.started = true;
    let argv = argv(&exec.request);
    let (tty, size) = (exec.process.tty, exec.process.size.clone());
    let (on_task, task_id) = (shared.clone(), id.to_owned());
    let task = runtime.spawn(async move {
        let (to, out_id) = (on_task.clone(), task_id.clone());
        let out = Arc::new(move |stderr: bool, bytes: &[u8]| write_exec(&to, &out_id, stderr, bytes));
        let code = program::run(&argv, &mut Io::new(out, typed, tty, size)).await;
        let mut store = on_task.store();
        if let Some(exec) = store.execs.get_mut(&task_id) {
            exec.code.get_or_insert(code);
            exec.process.end();
        }
    });
    exec.process.task = Some(task.abort_handle());
}

impl Process {
    /// Output goes to whoever is attached at once, and to the log by lines, or by 16 KiB.
    fn write(&mut self, now: Timestamp, stderr: bool, bytes: &[u8]) {
        self.attached.retain(|to| to.send((stderr, Bytes::copy_from_slice(bytes))).is_ok());
        let side = usize::from(stderr);
        self.partial[side].extend_from_slice(bytes);
        let whole = std::mem::take(&mut self.partial[side]);
        let mut rest = &whole[..];
        loop {
            let end = rest.iter().take(16 * 1024).position(|byte| *byte == b'\n').map(|at| at + 1);
            let Some(end) = end.or_else(|| (rest.len() >= 16 * 1024).then_some(16 * 1024)) else { break };
            self.note(now, stderr, rest[..end].to_vec());
            rest = &rest[end..];
        }
        self.partial[side] = rest.to_vec();
    }

    fn note(&mut self, at: Timestamp, stderr: bool, bytes: Vec<u8>) {
        let message = Message { at, stderr, bytes: bytes.into() };
        self.followers.retain(|to| to.send(message.clone()).is_ok());
        self.log.push(message);
    }

    fn flush(&mut self, now: Timestamp) {
        for (side, stderr) in [(0, false), (1, true)] {
            let rest = std::mem::take(&mut self.partial[side]);
            if !rest.is_empty() {
                self.note(now, stderr, rest);
            }
        }
    }

    fn end(&mut self) {
        self.attached.clear();
        self.followers.clear();
        self.input = None;
        self.task.take().inspect(AbortHandle::abort);
    }

    pub fn attach(&mut self) -> UnboundedReceiver<(bool, Bytes)> {
        let (to, from) = unbounded_channel();
        self.attached.push(to);
        from
    }
}
