//! From the engine's words for a container to [`Observed`]. Lenient in what it does not need: Podman leaves things out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;

use super::host_image;
use crate::bay::container::{ContainerId, HealthState, Observed, ObservedNetwork, Status};
use crate::bay::port::{PortMapping, Protocol};
use crate::engine::EngineError;

/// An answer of `inspect`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspect {
    id: String,
    name: String,
    created: String,
    state: State,
    config: Config,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    network_settings: NetworkSettings,
}

/// Of such an answer, what says whose a name is: somebody else's container may be like none of ours.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Holder {
    id: String,
    name: String,
}

impl Holder {
    /// Its id, if this is its name: the engine takes the beginning of an id for one, too.
    pub fn of(self, name: &str) -> Option<ContainerId> {
        (self.name.trim_start_matches('/') == name).then(|| ContainerId::new(self.id))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    exit_code: i64,
    #[serde(default, rename = "OOMKilled")]
    oom_killed: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    started_at: String,
    #[serde(default)]
    finished_at: String,
    // Old Podman calls it Healthcheck.
    #[serde(default, alias = "Healthcheck")]
    health: Option<HealthShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthShape {
    #[serde(default)]
    status: String,
    #[serde(default)]
    failing_streak: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    tty: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
    port_bindings: Option<Ports>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    ports: Option<Ports>,
}

type Ports = BTreeMap<String, Option<Vec<Binding>>>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Binding {
    #[serde(alias = "HostIP")]
    host_ip: String,
    host_port: String,
}

/// A row of a list.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    /// The full id.
    pub id: String,
    /// With a leading slash.
    #[serde(default)]
    pub names: Vec<String>,
    /// The reference that it was made from.
    #[serde(default)]
    image: String,
    /// When, in seconds since 1970.
    #[serde(default)]
    created: i64,
    /// Its labels.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    /// What it publishes now.
    #[serde(default)]
    pub ports: Option<Vec<RowPort>>,
    #[serde(default)]
    state: String,
    /// For people: `Up 3 minutes (healthy)`.
    #[serde(default)]
    status: String,
}

/// A port in a row.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RowPort {
    #[serde(default, rename = "IP")]
    ip: String,
    private_port: u16,
    #[serde(default)]
    public_port: Option<u16>,
    #[serde(default, rename = "Type")]
    kind: String,
}

impl Row {
    /// The container as far as a list tells, when the engine fails to say more.
    pub fn unclear(self, error: &EngineError) -> Observed {
        Observed {
            name: self.name(),
            ports: self.published(),
            image: super::host_image::spoken(&self.image),
            id: ContainerId::new(self.id),
            labels: self.labels.unwrap_or_default(),
            status: Status::Unclear { error: error.to_string() },
            created_at: jiff::Timestamp::from_second(self.created).unwrap_or_default(),
            network: ObservedNetwork::Own,
            health: None,
            failed_probes: 0,
            tty: false,
            isolation: None,
        }
    }

    /// It runs, and is not paused: that stands in brackets.
    pub fn runs(&self) -> bool {
        self.state == "running" && !self.status.contains('(')
    }

    pub fn without_labels(self) -> Self {
        Self { labels: None, ..self }
    }

    /// Nothing but its age has changed.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.names == other.names && self.ports == other.ports && self.image == other.image
    }

    /// The container's name.
    pub fn name(&self) -> String {
        self.names.first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default()
    }

    /// What it publishes now.
    pub fn published(&self) -> Vec<PortMapping> {
        let ports = self.ports.iter().flatten();
        let mappings = ports.filter_map(|port| {
            let protocol = protocol(&port.kind)?;
            Some(PortMapping { ip: address(&port.ip), host: port.public_port?, container: port.private_port, protocol })
        });
        tidy(mappings.collect())
    }
}

/// In podbay's words.
///
/// # Errors
/// Names the field that can't be read.
pub fn observed(shape: Inspect) -> Result<Observed, String> {
    let created_at = time(&shape.created).ok_or_else(|| format!("its Created is {:?}", shape.created))?;
    let health = shape.state.health.as_ref();
    let assigned = mappings(shape.network_settings.ports.as_ref());
    // Before a start nothing is assigned yet: then what was asked for (host port 0: the engine will choose).
    let ports = if assigned.is_empty() { mappings(shape.host_config.port_bindings.as_ref()) } else { assigned };
    let network = match shape.host_config.network_mode.strip_prefix("container:") {
        Some(id) => ObservedNetwork::Of(ContainerId::new(id)),
        None => ObservedNetwork::Own,
    };
    Ok(Observed {
        status: status(&shape.state, created_at)?,
        health: health.and_then(|health| verdict(&health.status)),
        failed_probes: health.map_or(0, |health| health.failing_streak),
        id: ContainerId::new(shape.id),
        name: shape.name.trim_start_matches('/').to_owned(),
        image: host_image::spoken(&shape.config.image),
        labels: shape.config.labels.unwrap_or_default(),
        created_at,
        network,
        ports,
        tty: shape.config.tty,
        isolation: None,
    })
}

fn status(state: &State, created_at: Timestamp) -> Result<Status, String> {
    let exited = || Status::Exited {
        code: state.exit_code,
        oom: state.oom_killed,
        at: time(&state.finished_at),
        error: state.error.clone(),
    };
    Ok(match state.status.as_str() {
        "created" | "configured" | "initialized" => Status::Created { error: state.error.clone() },
        "running" | "paused" | "stopping" => Status::Running {
            pid: state.pid,
            since: time(&state.started_at).unwrap_or(created_at),
            paused: state.status == "paused",
        },
        // Somebody gave it a restart policy: between two runs there is no process.
        "exited" | "stopped" | "restarting" => exited(),
        "removing" | "dead" => Status::Removing,
        other => return Err(format!("its status is {other:?}")),
    })
}

fn verdict(text: &str) -> Option<HealthState> {
    match text {
        "starting" => Some(HealthState::Starting),
        "healthy" => Some(HealthState::Healthy),
        "unhealthy" => Some(HealthState::Unhealthy),
        _ => None,
    }
}

/// A time; Go's zero time is none.
pub fn time(text: &str) -> Option<Timestamp> {
    if text.starts_with("0001-01-01") { None } else { text.parse().ok() }
}

fn mappings(ports: Option<&Ports>) -> Vec<PortMapping> {
    let mut found = Vec::new();
    for (port, bindings) in ports.into_iter().flatten() {
        let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
        let (Ok(container), Some(protocol)) = (number.parse(), protocol(kind)) else { continue };
        for binding in bindings.iter().flatten() {
            let host = binding.host_port.parse().unwrap_or(0);
            found.push(PortMapping { ip: address(&binding.host_ip), host, container, protocol });
        }
    }
    tidy(found)
}

/// An engine names a port on all addresses twice, for IPv4 and IPv6.
fn tidy(mut ports: Vec<PortMapping>) -> Vec<PortMapping> {
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified())
}

fn protocol(text: &str) -> Option<Protocol> {
    match text {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(state: &serde_json::Value, rest: &serde_json::Value) -> Result<Observed, String> {
        let mut shape = json!({
            "Id": "ab12", "Name": "/bay-fox", "Created": "2024-01-02T03:04:05.123456789Z",
            "State": state.clone(), "Config": {"Image": "img", "Labels": null, "Tty": true}
        });
        for (key, value) in rest.as_object().unwrap() {
            shape[key] = value.clone();
        }
        observed(serde_json::from_value(shape).unwrap())
    }

    #[test]
    fn every_state_has_its_word() {
        let started = "2024-01-02T03:05:00.5+02:00";
        let state = |status: &str| {
            json!({"Status": status, "Pid": 7, "ExitCode": 137, "OOMKilled": true, "StartedAt": started,
                   "FinishedAt": "0001-01-01T00:00:00Z", "Error": "why"})
        };
        let status = |word: &str| read(&state(word), &json!({})).map(|observed| observed.status);
        let since = "2024-01-02T01:05:00.5Z".parse().unwrap();
        assert_eq!(status("running"), Ok(Status::Running { pid: 7, since, paused: false }));
        assert_eq!(status("paused"), Ok(Status::Running { pid: 7, since, paused: true }));
        assert_eq!(status("created"), Ok(Status::Created { error: "why".into() }));
        let exited = Status::Exited { code: 137, oom: true, at: None, error: "why".into() };
        assert_eq!(status("exited"), Ok(exited.clone()));
        assert_eq!(status("stopped"), Ok(exited));
        assert_eq!(status("dead"), Ok(Status::Removing));
        assert!(status("levitating").unwrap_err().contains("levitating"));
    }

    #[test]
    fn networks_ports_and_health() {
        let state = json!({"Status": "running", "Health": {"Status": "unhealthy", "FailingStreak": 4}});
        let seen = read(
            &state,
            &json!({
                "HostConfig": {"NetworkMode": "container:ff00", "PortBindings": {"1/tcp": [{"HostPort": "9"}]}},
                "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"},
                    {"HostIp": "::", "HostPort": "8080"}], "53/udp": null}}
            }),
        )
        .unwrap();
        assert_eq!(seen.network, ObservedNetwork::Of(ContainerId::new("ff00")));
        assert_eq!(seen.ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["8080:80"]);
        assert_eq!((seen.health, seen.failed_probes), (Some(HealthState::Unhealthy), 4));
        let waiting = read(
            &json!({"Status": "created", "Health": {"Status": "none"}}),
            &json!({"HostConfig": {"NetworkMode": "default", "PortBindings": {"1/tcp": [{"HostPort": "9"}],
                "2/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}}, "NetworkSettings": {"Ports": {}}}),
        )
        .unwrap();
        assert_eq!(waiting.network, ObservedNetwork::Own);
        let ports: Vec<_> = waiting.ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["9:1", "127.0.0.1:0:2/udp"]);
        assert_eq!(waiting.health, None);
    }
}
