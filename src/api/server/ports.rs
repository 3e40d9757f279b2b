//! The port table: what leads where, and who listens there, inside the bay too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::App;
use super::error::ApiError;
use crate::api::types::{ContainerRow, PortRow, ServiceRow, State as RowState};
use crate::bay::clash;
use crate::bay::container::{ContainerId, Role, Status};
use crate::bay::port::{PortMapping, Protocol};
use crate::config::Config;
use crate::engine::SharedEngine;
use crate::engine::listeners::{Listener, listeners};

/// Reading `/proc` of a machine with many processes takes a while, and never this long.
const LOOK: Duration = Duration::from_secs(5);

pub async fn ports(State(app): State<App>) -> Result<Json<Vec<PortRow>>, ApiError> {
    app.first_look().await;
    let containers = app.handle.view.borrow().containers.clone();
    let services: Vec<ServiceRow> = app.handle.view.borrow().status.services.clone();
    let (inside, screens, here) =
        tokio::join!(inside(&app, &containers), screens(&app, &containers), of_services(&services));
    let mut all = rows(&containers, inside.as_deref(), &screens);
    all.extend(native(&services, here.as_deref()));
    all.sort_by_key(place);
    Ok(Json(all))
}

/// The order of the table.
fn place(row: &PortRow) -> impl Ord + use<> {
    (row.port.is_none(), row.port, row.inside, row.process.is_none())
}

/// What listens on this machine where native services are to.
async fn of_services(services: &[ServiceRow]) -> Option<Vec<Listener>> {
    let wanted: BTreeSet<u16> = ports_of_native(services).map(|(_, port)| port).collect();
    if wanted.is_empty() {
        return Some(Vec::new());
    }
    let look = tokio::task::spawn_blocking(move || listeners(Path::new("/proc"), None, |port| wanted.contains(&port)));
    tokio::time::timeout(LOOK, look).await.ok()?.ok()
}

fn ports_of_native(services: &[ServiceRow]) -> impl Iterator<Item = (&ServiceRow, u16)> {
    let native = services.iter().filter(|service| service.run == "host");
    native.flat_map(|service| service.ports.iter().map(move |port| (service, *port)))
}

/// A line for each port of a native service: who listens there, or why it is not the service.
fn native(services: &[ServiceRow], here: Option<&[Listener]>) -> Vec<PortRow> {
    let line = |(service, port): (&ServiceRow, u16)| {
        let mapping = PortMapping { ip: None, host: port, container: port, protocol: Protocol::Tcp };
        let row = published(&mapping, &format!("svc-{}", service.name));
        let is = || service.reason.as_ref().map_or(service.state.clone(), |why| format!("{}: {why}", service.state));
        let Some(here) = here else {
            return PortRow { reason: Some("who listens can't be seen from this machine".to_owned()), ..row };
        };
        let listener = here.iter().find(|listener| (listener.port, listener.protocol) == (port, Protocol::Tcp));
        let holder = listener.and_then(|listener| listener.holder.as_ref());
        let refused = service.reason.as_ref().filter(|why| why.contains(&format!("port {port} ")));
        match (listener, service.pid) {
            (Some(_), Some(_)) => PortRow {
                process: holder.map(|holder| holder.command.clone()),
                pid: holder.map(|holder| holder.pid),
                ..row
            },
            (None, Some(_)) => PortRow { url: None, reason: Some("it runs, and does not listen".to_owned()), ..row },
            (_, None) if let Some(why) = refused => {
                PortRow { url: None, reason: Some(format!("in conflict: {why}")), ..row }
            }
            (Some(_), None) => {
                let who = holder.map_or_else(|| "another process".to_owned(), ToString::to_string);
                PortRow { url: None, reason: Some(format!("{who} listens there; the service is {}", is())), ..row }
            }
            (None, None) => PortRow { url: None, reason: Some(format!("nobody listens: {}", is())), ..row },
        }
    };
    ports_of_native(services).map(line).collect()
}

/// What the terminals of workers in the parent's namespace show, by name: a program that was refused a port says so there
/// and nowhere else. Where it does, its command stands below it: which port it wanted may stand there alone.
async fn screens(app: &App, containers: &[ContainerRow]) -> BTreeMap<String, String> {
    let sharing =
        containers.iter().filter(|row| row.role == Role::Worker && row.network == "shared" && !row.id.is_empty());
    let screens = sharing.map(|row| async {
        let id = ContainerId::new(row.id.clone());
        let screen = app.handle.sessions.screen(&id).await.filter(|screen| clash::is_said(screen))?;
        let command = match app.engine() {
            Ok(engine) => engine.describe(&id).await.map(|words| command_of(&words)).unwrap_or_default(),
            Err(_) => String::new(),
        };
        Some((row.name.clone(), format!("{screen}\n{command}")))
    });
    let screens = tokio::time::timeout(LOOK, futures_util::future::join_all(screens)).await;
    screens.unwrap_or_default().into_iter().flatten().collect()
}

/// A container's command as the engine tells it; of a worker that was claimed it is not known there.
fn command_of(words: &Value) -> String {
    let argv = words.pointer("/Config/Cmd").and_then(Value::as_array);
    argv.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

/// Of what listens in a namespace that is the machine's own, that which is the bay's: told by the pid namespace of who
/// listens.
async fn of_the_bay(engine: &SharedEngine, containers: &[ContainerRow], all: Vec<Listener>) -> Vec<Listener> {
    let space = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let mut known = BTreeMap::new();
    for row in containers.iter().filter(|row| row.started_at.is_some()) {
        let id = ContainerId::new(row.id.clone());
        if let Ok(Status::Running { pid, .. }) = engine.inspect(&id).await.map(|seen| seen.status) {
            known.extend(space(pid).map(|space| (space, id)));
        }
    }
    let ours = all.into_iter().filter_map(|mut listener| {
        let holder = listener.holder.as_mut()?;
        holder.container = Some(known.get(&space(holder.pid)?)?.clone());
        Some(listener)
    });
    ours.collect()
}

/// Whether a process lives in the network namespace of this one.
fn shares_ours(pid: u32) -> bool {
    let space = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
    let theirs = space(&pid.to_string());
    theirs.is_some() && theirs == space("self")
}

/// What listens in the parent's namespace; `None` where its processes are not this machine's.
async fn inside(app: &App, containers: &[ContainerRow]) -> Option<Vec<Listener>> {
    let parent = containers.iter().find(|row| row.role == Role::Parent && row.started_at.is_some())?;
    let engine = app.engine().ok()?;
    let seen = engine.inspect(&ContainerId::new(parent.id.clone())).await.ok()?;
    let Status::Running { pid, .. } = seen.status else { return None };
    let identity = engine.identify().await.ok()?;
    if pid == 0 || !identity.local {
        return None;
    }
    let look = tokio::task::spawn_blocking(move || listeners(Path::new("/proc"), Some(pid), |_| true));
    let all = tokio::time::timeout(LOOK, look).await.ok()?.ok()?;
    if shares_ours(pid) {
        return Some(of_the_bay(&engine, containers, all).await);
    }
    Some(if identity.kind == "local" { behind_the_wall(all, &app.handle.config.borrow()) } else { all })
}

/// What programs of the bay have in a network with a wall: without what podbay itself listens on there, and with what is
/// published arriving at the loopback.
fn behind_the_wall(all: Vec<Listener>, config: &Config) -> Vec<Listener> {
    let own: Vec<u16> = config.native_ports().into_iter().chain(config.proxy_port()).collect();
    let theirs = all.into_iter().filter(|listener| listener.holder.is_some() || !own.contains(&listener.port));
    let reached = |ip: IpAddr| if ip == Ipv4Addr::LOCALHOST { Ipv4Addr::UNSPECIFIED.into() } else { ip };
    theirs.map(|listener| Listener { ip: reached(listener.ip), ..listener }).collect()
}

/// Every port of the bay, by its number on the machine and then by its number inside.
fn rows(containers: &[ContainerRow], inside: Option<&[Listener]>, screens: &BTreeMap<String, String>) -> Vec<PortRow> {
    let own = containers.iter().filter(|row| row.role != Role::Parent);
    let mut rows: Vec<PortRow> = own.flat_map(|row| row.ports.iter().map(|port| of_container(port, row))).collect();
    let parent = containers.iter().find(|row| row.role == Role::Parent);
    let through: &[PortMapping] = parent.map_or(&[], |row| &row.ports);
    let mut known = BTreeSet::new();
    for listener in inside.unwrap_or_default() {
        let holder = listener.holder.as_ref();
        if !known.insert((listener.port, listener.protocol, holder.map(|holder| holder.pid))) {
            continue;
        }
        let container = holder.and_then(|holder| holder.container.as_ref());
        let name = containers.iter().find(|row| container.is_some_and(|id| id.as_str() == row.id));
        let mapping = through.iter().find(|port| (port.container, port.protocol) == (listener.port, listener.protocol));
        let mut row = match mapping {
            Some(mapping) => published(mapping, ""),
            None => PortRow { reason: Some(UNPUBLISHED.to_owned()), ..bare(listener) },
        };
        if listener.ip.is_loopback() && mapping.is_some() {
            // What is published arrives at the namespace's own address.
            row.url = None;
            row.reason = Some(format!("listens on {} alone: nothing from outside reaches it", listener.ip));
        }
        row.name = name.map(|row| row.name.clone()).unwrap_or_default();
        row.process = holder.map(|holder| holder.command.clone());
        row.pid = holder.map(|holder| holder.pid);
        rows.push(row);
    }
    let rests = parent.and_then(rests);
    for mapping in through {
        if !known.iter().any(|(port, protocol, _)| (*port, *protocol) == (mapping.container, mapping.protocol)) {
            let reason = match (&rests, inside) {
                (Some(why), _) => why,
                (None, Some(_)) => "nobody listens",
                (None, None) => "who listens can't be seen from this machine",
            };
            rows.push(PortRow { url: None, reason: Some(reason.to_owned()), ..published(mapping, "") });
        }
    }
    note_sharing(&mut rows);
    rows.extend(refused(&rows, screens));
    rows.sort_by_key(place);
    rows
}

/// Why nothing leads into the bay, when its parent does not run.
fn rests(parent: &ContainerRow) -> Option<String> {
    match parent.state {
        RowState::Running | RowState::CutOff | RowState::Unknown => None,
        state => {
            let why = parent.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            Some(format!("nobody listens: the parent is {}{why}", state.as_str()))
        }
    }
}

/// One port of the namespace that two have, at different addresses of it or by agreement: each is told of the other.
fn note_sharing(rows: &mut [PortRow]) {
    let held: Vec<PortRow> = rows.iter().filter(|row| row.process.is_some() && !row.name.is_empty()).cloned().collect();
    for row in rows.iter_mut().filter(|row| row.process.is_some()) {
        let same =
            |other: &&PortRow| (other.inside, other.protocol, other.port) == (row.inside, row.protocol, row.port);
        let others: BTreeSet<String> =
            held.iter().filter(same).filter(|other| other.name != row.name).map(who).collect();
        if !others.is_empty() {
            let others = others.into_iter().collect::<Vec<_>>().join(", ");
            let reason = row.reason.take().map(|reason| format!("{reason}; ")).unwrap_or_default();
            row.reason = Some(format!("{reason}{others} listens on it, too"));
        }
    }
}

/// A line for each worker that wanted a port which another one has.
fn refused(rows: &[PortRow], screens: &BTreeMap<String, String>) -> Vec<PortRow> {
    let held = |name: &str, port: u16| {
        let mut holders = rows.iter().filter(|row| row.inside == port && row.process.is_some());
        let own = |row: &PortRow| row.name == name;
        // Who has it after all was refused once.
        if holders.clone().any(own) { None } else { holders.find(|row| !own(row)) }
    };
    let lines = screens.iter().flat_map(|(name, screen)| {
        let ports = clash::refused(screen, |port| held(name, port).is_some());
        ports.into_iter().filter_map(move |port| {
            let holder = held(name, port)?;
            let reason = Some(format!("in conflict: {} has it, and was there first", who(holder)));
            Some(PortRow { name: name.clone(), process: None, pid: None, url: None, reason, ..holder.clone() })
        })
    });
    lines.collect()
}

/// `fox (node 7)`.
fn who(row: &PortRow) -> String {
    let process = match (&row.process, row.pid) {
        (Some(process), Some(pid)) => format!("{process} {pid}"),
        (process, _) => process.clone().unwrap_or_default(),
    };
    if row.name.is_empty() { process } else { format!("{} ({process})", row.name) }
}

const UNPUBLISHED: &str = "inside the bay only: [parent] ports publishes it";

/// A port of its own; of a service that does not run, why.
fn of_container(mapping: &PortMapping, row: &ContainerRow) -> PortRow {
    let port = published(mapping, &row.name);
    if row.role != Role::Service || matches!(row.state, RowState::Running | RowState::Unknown) {
        return port;
    }
    let is = row
        .reason
        .as_ref()
        .map_or_else(|| row.state.as_str().to_owned(), |why| format!("{}: {why}", row.state.as_str()));
    PortRow { url: None, reason: Some(format!("nobody listens: {is}")), ..port }
}

fn published(mapping: &PortMapping, name: &str) -> PortRow {
    let host = match mapping.ip {
        Some(IpAddr::V6(ip)) if !ip.is_unspecified() => format!("[{ip}]"),
        Some(IpAddr::V4(ip)) if !ip.is_unspecified() => ip.to_string(),
        _ => "127.0.0.1".to_owned(),
    };
    PortRow {
        port: Some(mapping.host),
        inside: mapping.container,
        protocol: mapping.protocol,
        name: name.to_owned(),
        process: None,
        pid: None,
        url: (mapping.protocol == Protocol::Tcp).then(|| format!("http://{host}:{}", mapping.host)),
        reason: None,
    }
}

fn bare(listener: &Listener) -> PortRow {
    PortRow {
        port: None,
        inside: listener.port,
        protocol: listener.protocol,
        name: String::new(),
        process: None,
        pid: None,
        url: None,
        reason: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::listeners::Holder;

    fn container(name: &str, role: &str, ports: &[&str]) -> ContainerRow {
        let ports: Vec<PortMapping> = ports
            .iter()
            .flat_map(|text| text.parse::<crate::bay::port::PortRule>().unwrap().mappings().to_vec())
            .collect();
        serde_json::from_value(serde_json::json!({
            "id": name.repeat(4), "name": name, "role": role, "template": "", "state": "running", "image": "host",
            "network": "shared", "project": null, "branch": null, "ports": ports, "health": null, "restarts": 0,
            "created_at": null, "started_at": "2026-01-01T00:00:00Z", "attention": null, "reason": null
        }))
        .unwrap()
    }

    fn listener(address: &str, container: &str) -> Listener {
        let (ip, port) = address.rsplit_once(':').unwrap();
        // One process a container.
        let pid = if container == "elk" { 8 } else { 7 };
        let container = Some(ContainerId::new(container.repeat(4)));
        let holder = Some(Holder { pid, command: "node".to_owned(), container });
        Listener { ip: ip.parse().unwrap(), port: port.parse().unwrap(), protocol: Protocol::Tcp, holder }
    }

    fn said(rows: Vec<PortRow>) -> Vec<String> {
        let line = |row: PortRow| {
            let port = row.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
            let (url, reason) = (row.url.unwrap_or_default(), row.reason.unwrap_or_default());
            format!("{port}:{} {} {} {url}{reason}", row.inside, row.name, row.process.unwrap_or_default())
        };
        rows.into_iter().map(line).collect()
    }

    #[test]
    fn n09_two_that_want_one_port_are_named_with_its_holder() {
        let bay = [
            container("parent", "parent", &["127.0.0.1:3000:3000"]),
            container("fox", "worker", &[]),
            container("owl", "worker", &[]),
            container("elk", "worker", &[]),
        ];
        let inside = [listener("0.0.0.0:3000", "fox"), listener("127.0.0.1:9000", "fox"), listener("::1:9000", "elk")];
        let screens = [
            ("owl", "Error: listen EADDRINUSE: address already in use :::3000"),
            // It has it; an earlier try was refused. And one that nobody has is no conflict.
            ("fox", "Port 3000 is in use, trying again\nlisten tcp :4000: address already in use"),
            ("elk", "$ curl localhost:3000"),
            ("ape", "OSError: [Errno 98] Address already in use\npython3 -m http.server 9000"),
        ];
        let screens = screens.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let unpublished = "inside the bay only: [parent] ports publishes it";
        assert_eq!(
            said(rows(&bay, Some(&inside), &screens)),
            [
                "3000:3000 fox node http://127.0.0.1:3000".to_owned(),
                "3000:3000 owl  in conflict: fox (node 7) has it, and was there first".to_owned(),
                format!("-:9000 fox node {unpublished}; elk (node 8) listens on it, too"),
                format!("-:9000 elk node {unpublished}; fox (node 7) listens on it, too"),
                "-:9000 ape  in conflict: fox (node 7) has it, and was there first".to_owned(),
            ]
        );
        let words = serde_json::json!({"Config": {"Cmd": ["python3", "-m", "http.server", "9000"]}});
        assert_eq!(command_of(&words), "python3 -m http.server 9000");
        assert_eq!(command_of(&serde_json::json!({"Config": {"Cmd": null}})), "");
    }

    #[test]
    fn a_port_of_a_native_service_says_who_has_it_or_why_the_service_has_not() {
        let service = |name: &str, port: u16, state: &str, pid: Option<u32>, reason: Option<&str>| -> ServiceRow {
            serde_json::from_value(serde_json::json!({
                "name": name, "run": "host", "reason_for_host": "gpu", "state": state, "pid": pid, "ports": [port],
                "ready": null, "restarts": 0, "last_exit": null, "next_start_at": null, "depends_on": {},
                "reason": reason
            }))
            .unwrap()
        };
        let services = [
            service("web", 3000, "running", Some(7), None),
            service("mute", 3001, "running", Some(9), None),
            service("late", 3002, "backoff", None, Some("port 3002 is held by nc (pid 7)")),
            service("off", 3003, "stopped", None, Some("stopped by request")),
            service("out", 3004, "stopped", None, None),
        ];
        let here =
            [listener("127.0.0.1:3000", "fox"), listener("0.0.0.0:3002", "fox"), listener("0.0.0.0:3004", "fox")];
        assert_eq!(
            said(native(&services, Some(&here))),
            [
                "3000:3000 svc-web node http://127.0.0.1:3000",
                "3001:3001 svc-mute  it runs, and does not listen",
                "3002:3002 svc-late  in conflict: port 3002 is held by nc (pid 7)",
                "3003:3003 svc-off  nobody listens: stopped: stopped by request",
                "3004:3004 svc-out  node (pid 7) listens there; the service is stopped",
            ]
        );
    }

    #[test]
    fn every_port_says_who_has_it_or_why_nobody_does() {
        let bay = [
            container("parent", "parent", &["127.0.0.1:3000-3002:3000-3002"]),
            container("fox", "worker", &[]),
            container("owl", "worker", &["10000:80"]),
        ];
        let inside = [
            listener("0.0.0.0:3000", "fox"),
            listener("::0:3000", "fox"),
            listener("127.0.0.1:3001", "owl"),
            listener("::0:9000", "fox"),
        ];
        assert_eq!(
            said(rows(&bay, Some(&inside), &BTreeMap::new())),
            [
                "3000:3000 fox node http://127.0.0.1:3000",
                "3001:3001 owl node listens on 127.0.0.1 alone: nothing from outside reaches it",
                "3002:3002   nobody listens",
                "10000:80 owl  http://127.0.0.1:10000",
                "-:9000 fox node inside the bay only: [parent] ports publishes it",
            ]
        );
        let mut rests = container("parent", "parent", &["127.0.0.1:3000:3000"]);
        (rests.state, rests.reason) = (RowState::Exited, Some("stopped by request".to_owned()));
        assert_eq!(
            said(rows(&[rests], None, &BTreeMap::new())),
            ["3000:3000   nobody listens: the parent is exited (stopped by request)"]
        );
        let unseen = rows(&bay, None, &BTreeMap::new());
        assert_eq!(unseen.len(), 4);
        assert!(unseen[0].reason.as_deref().is_some_and(|reason| reason.contains("can't be seen")));
    }
}
