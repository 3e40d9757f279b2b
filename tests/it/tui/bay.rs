//! Bays as the supervisor would tell of them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use podbay::api::types::{
    Capacity, ContainerRow, Counts, Disk, EngineStatus, HistoryLine, LinkState, NetworkStatus, Percentiles, PoolRow,
    SessionRow, Snapshot, State, Status, Why,
};
use podbay::bay::container::Role;
use podbay::bay::port::PortMapping;
use podbay::bay::session::{SessionId, SessionKind, TermSize};

/// The time at which every test begins.
pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn row(name: &str, role: Role, state: State, reason: Option<&str>) -> ContainerRow {
    let alive = matches!(state, State::Running | State::CutOff);
    ContainerRow {
        id: format!("{name}0123456789ab"),
        name: name.to_owned(),
        role,
        template: "default".to_owned(),
        state,
        image: "host".to_owned(),
        network: if role == Role::Parent { "own".to_owned() } else { "shared".to_owned() },
        project: None,
        branch: None,
        ports: Vec::new(),
        health: None,
        restarts: 0,
        created_at: Some(now() - Duration::from_secs(7300)),
        started_at: alive.then(|| now() - Duration::from_secs(190)),
        isolation: None,
        attention: None,
        reason: reason.map(str::to_owned),
        call: None,
    }
}

pub fn parent(state: State, reason: Option<&str>) -> ContainerRow {
    let port = |host| PortMapping {
        ip: Some("127.0.0.1".parse().unwrap()),
        host,
        container: host,
        protocol: podbay::bay::port::Protocol::Tcp,
    };
    ContainerRow { ports: (3000..=3009).map(port).collect(), ..row("parent", Role::Parent, state, reason) }
}

pub fn worker(name: &str, state: State, reason: Option<&str>) -> ContainerRow {
    row(name, Role::Worker, state, reason)
}

pub fn main_session(id: u64, name: &str) -> SessionRow {
    session(id, name, SessionKind::Main, "bash")
}

pub fn session(id: u64, name: &str, kind: SessionKind, title: &str) -> SessionRow {
    SessionRow {
        id: SessionId(id),
        name: name.to_owned(),
        kind,
        title: title.to_owned(),
        size: TermSize::default(),
        clients: 0,
        ended: None,
        attention: None,
    }
}

pub fn status() -> Status {
    Status {
        bay: "podbay".to_owned(),
        version: "0.1.0".to_owned(),
        pid: 4711,
        network: NetworkStatus::default(),
        engine: EngineStatus {
            kind: "docker".to_owned(),
            isolation: Some(podbay::bay::isolation::Isolation::Container),
            wanted: Some(podbay::bay::isolation::Isolation::Container),
            weaker: None,
            endpoint: "unix:///var/run/docker.sock".to_owned(),
            version: "20.10.24".to_owned(),
            state: LinkState::Up,
            reason: None,
            next_try_at: None,
            limits: Vec::new(),
        },
        parent: None,
        workers: BTreeMap::new(),
        pool: Vec::new(),
        services: Vec::new(),
        disk: Disk::default(),
        capacity: Capacity::default(),
        uptime_s: 10,
        templates: vec!["default".to_owned(), "claude".to_owned()],
        troubles: Vec::new(),
        alerts: Vec::new(),
    }
}

pub fn snapshot(containers: Vec<ContainerRow>, sessions: Vec<SessionRow>) -> Snapshot {
    Snapshot { seq: 1, status: status(), containers, sessions, history: Vec::new(), counts: Counts::default() }
}

/// A parent and no workers.
pub fn empty() -> Snapshot {
    snapshot(vec![parent(State::Running, None)], Vec::new())
}

/// Bare processes of this machine, and what that leaves out.
pub fn bare() -> Snapshot {
    let mut snapshot = running();
    let engine = &mut snapshot.status.engine;
    let none = podbay::bay::isolation::Isolation::None;
    (engine.kind, engine.version) = ("local".to_owned(), "0.1.0".to_owned());
    (engine.isolation, engine.wanted) = (Some(none), Some(none));
    "local://none".clone_into(&mut engine.endpoint);
    engine.limits = vec![
        "walls: none: a worker is a process of the user's, with all that the user may do".to_owned(),
        "limit of CPU: not enforced, cgroups are not delegated to this user".to_owned(),
    ];
    snapshot.containers[1].reason = Some("runs with isolation landlock until it is restarted".to_owned());
    snapshot
}

/// What is said of the parent there.
pub fn why_bare() -> Why {
    let engine = bare().status.engine;
    Why {
        kind: "parent".to_owned(),
        name: "parent".to_owned(),
        observed: "running".to_owned(),
        reason: None,
        isolation: engine.isolation,
        limits: engine.limits,
        last_error: None,
        attempts: 0,
        hint: None,
        history: Vec::new(),
        ..why()
    }
}

/// Three workers that run.
pub fn running() -> Snapshot {
    let names = ["badger", "fox", "owl"];
    let mut containers = vec![parent(State::Running, None)];
    containers.extend(names.map(|name| worker(name, State::Running, None)));
    let sessions = (1..).zip(names).map(|(id, name)| main_session(id, name)).collect();
    snapshot(containers, sessions)
}

/// Two pools: one that is claimed from, one that is in trouble.
pub fn pooled() -> Snapshot {
    let mut snapshot = running();
    let claude = PoolRow {
        template: "claude".to_owned(),
        target: 3,
        min: 1,
        max_creating: 2,
        warm: 2,
        claimed: 4,
        creating: 1,
        hits: 40,
        misses: 2,
        claim_ms: Percentiles { p50: Some(4.17), p95: Some(21.4) },
        last_error: None,
        probing: 0,
        draining: 0,
        next_try_at: None,
    };
    let error = Some("the engine has no image \"agent:1\"".to_owned());
    let empty = PoolRow {
        template: "agent".to_owned(),
        warm: 0,
        claimed: 0,
        creating: 0,
        hits: 0,
        misses: 0,
        ..claude.clone()
    };
    snapshot.status.pool = vec![claude, PoolRow { claim_ms: Percentiles::default(), last_error: error, ..empty }];
    snapshot
}

/// One that runs, one that ended, one that lost its network.
pub fn mixed() -> Snapshot {
    let cut = "the parent restarted after this worker joined it: the worker is alone in the old network; \
               `podbay restart parent` repairs it";
    snapshot(
        vec![
            parent(State::Running, None),
            worker("badger", State::Running, None),
            worker("fox", State::Exited, Some("exited with code 127 (the command was not found)")),
            worker("owl", State::CutOff, Some(cut)),
        ],
        vec![main_session(1, "badger"), main_session(3, "owl")],
    )
}

/// The engine does not answer.
pub fn away() -> Snapshot {
    let reason = "connect to /var/run/docker.sock: no such file or directory";
    let seen = format!("not seen since the engine went away: {reason}");
    let mut snapshot =
        snapshot(vec![parent(State::Unknown, Some(&seen)), worker("badger", State::Unknown, Some(&seen))], Vec::new());
    snapshot.status.engine.state = LinkState::Away;
    snapshot.status.engine.reason = Some(reason.to_owned());
    snapshot.status.engine.next_try_at = Some(now() + Duration::from_millis(7200));
    snapshot
}

pub fn why() -> Why {
    let line = |seq, seconds, text: &str| HistoryLine {
        seq,
        at: now() - Duration::from_secs(seconds),
        name: Some("fox".to_owned()),
        text: text.to_owned(),
    };
    Why {
        kind: "worker".to_owned(),
        last_exit: None,
        name: "fox".to_owned(),
        wanted: "running".to_owned(),
        observed: "exited".to_owned(),
        reason: Some("exited with code 127 (the command was not found)".to_owned()),
        attention: None,
        isolation: None,
        limits: Vec::new(),
        waits_for: None,
        last_error: Some(
            "OCI runtime create failed: runc create failed: unable to start container process: exec: \"claude\": \
             executable file not found in $PATH"
                .to_owned(),
        ),
        attempts: 2,
        next_try_at: None,
        hint: Some("give the template a command that the image has, then `podbay restart fox`".to_owned()),
        history: vec![
            line(1, 60, "created from template default"),
            line(2, 59, "started"),
            line(3, 58, "exited with code 127"),
        ],
    }
}
