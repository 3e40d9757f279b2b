//! The port table: what leads where, and who listens there, inside the bay too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::App;
use super::error::ApiError;
use crate::api::types::{ContainerRow, PortRow};
use crate::bay::clash;
use crate::bay::container::{ContainerId, Role, Status};
use crate::bay::port::PortMapping;
use crate::engine::SharedEngine;
use crate::engine::listeners::{Listener, listeners};

/// Reading `/proc` of a machine with many processes takes a while, and never this long.
const LOOK: Duration = Duration::from_secs(5);

pub async fn ports(State(app): State<App>) -> Result<Json<Vec<PortRow>>, ApiError> {
    app.first_look().await;
    let containers = app.handle.view.borrow().containers.clone();
    let (inside, screens) = tokio::join!(inside(&app, &containers), screens(&app, &containers));
    Ok(Json(rows(&containers, inside.as_deref(), &screens)))
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
    if pid == 0 || !engine.identify().await.ok()?.local {
        return None;
    }
    let look = tokio::task::spawn_blocking(move || listeners(Path::new("/proc"), Some(pid), |_| true));
    let all = tokio::time::timeout(LOOK, look).await.ok()?.ok()?;
    Some(if shares_ours(pid) { of_the_bay(&engine, containers, all).await } else { all })
}

/// Every port of the bay, by its number on the machine and then by its number inside.
fn rows(containers: &[ContainerRow], inside: Option<&[Listener]>, screens: &BTreeMap<String, String>) -> Vec<PortRow> {
    let own = containers.iter().filter(|row| row.role != Role::Parent);
    let mut rows: Vec<PortRow> = own.flat_map(|row| row.ports.iter().map(|port| published(port, &row.name))).collect();
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
    for mapping in through {
        if !known.iter().any(|(port, protocol, _)| (*port, *protocol) == (mapping.container, mapping.protocol)) {
            let reason =
                if inside.is_some() { "nobody listens" } else { "who listens can't be seen from this machine" };
            rows.push(PortRow { url: None, reason: Some(reason.to_owned()), ..published(mapping, "") });
        }
    }
    note_sharing(&mut rows);
    rows.extend(refused(&rows, screens));
    rows.sort_by_key(|row| (row.port.is_none(), row.port, row.inside, row.process.is_none()));
    rows
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
        url: (mapping.protocol == crate::bay::port::Protocol::Tcp).then(|| format!("http://{host}:{}", mapping.host)),
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
    use crate::bay::port::Protocol;
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
        let unseen = rows(&bay, None, &BTreeMap::new());
        assert_eq!(unseen.len(), 4);
        assert!(unseen[0].reason.as_deref().is_some_and(|reason| reason.contains("can't be seen")));
    }
}
