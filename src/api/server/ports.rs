//! The port table: what leads where, and who listens there, inside the bay too.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::App;
use super::error::ApiError;
use crate::api::types::{ContainerRow, PortRow};
use crate::bay::container::{ContainerId, Role, Status};
use crate::bay::port::PortMapping;
use crate::engine::listeners::{Listener, listeners};

/// Reading `/proc` of a machine with many processes takes a while, and never this long.
const LOOK: Duration = Duration::from_secs(5);

pub async fn ports(State(app): State<App>) -> Result<Json<Vec<PortRow>>, ApiError> {
    app.first_look().await;
    let containers = app.handle.view.borrow().containers.clone();
    let inside = inside(&app, &containers).await;
    Ok(Json(rows(&containers, inside.as_deref())))
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
    tokio::time::timeout(LOOK, look).await.ok()?.ok()
}

/// Every port of the bay, by its number on the machine and then by its number inside.
fn rows(containers: &[ContainerRow], inside: Option<&[Listener]>) -> Vec<PortRow> {
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
    rows.sort_by_key(|row| (row.port.is_none(), row.port, row.inside));
    rows
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
        let container = Some(ContainerId::new(container.repeat(4)));
        let holder = Some(Holder { pid: 7, command: "node".to_owned(), container });
        Listener { ip: ip.parse().unwrap(), port: port.parse().unwrap(), protocol: Protocol::Tcp, holder }
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
        let said: Vec<String> = rows(&bay, Some(&inside))
            .into_iter()
            .map(|row| {
                let port = row.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
                let (url, reason) = (row.url.unwrap_or_default(), row.reason.unwrap_or_default());
                format!("{port}:{} {} {} {url}{reason}", row.inside, row.name, row.process.unwrap_or_default())
            })
            .collect();
        assert_eq!(
            said,
            [
                "3000:3000 fox node http://127.0.0.1:3000",
                "3001:3001 owl node listens on 127.0.0.1 alone: nothing from outside reaches it",
                "3002:3002   nobody listens",
                "10000:80 owl  http://127.0.0.1:10000",
                "-:9000 fox node inside the bay only: [parent] ports publishes it",
            ]
        );
        let unseen = rows(&bay, None);
        assert_eq!(unseen.len(), 4);
        assert!(unseen[0].reason.as_deref().is_some_and(|reason| reason.contains("can't be seen")));
    }
}
