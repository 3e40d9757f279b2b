//! What is known of an engine that has answered: its kind, its API, its machine.

use bollard::Docker;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::endpoint::Address;
use super::transport::{Wire, under};
use crate::engine::{EngineError, Identity, Limitation};

/// The oldest API that is spoken.
const OLDEST: u32 = 24;
/// The newest API that is spoken: that of bollard's shapes.
const NEWEST: u32 = 53;

/// An engine with its negotiated API.
pub struct Session {
    /// Typed calls.
    pub docker: Docker,
    /// The minor version of the API: 41 for 1.41.
    pub minor: u32,
    /// Whether it is Podman.
    pub podman: bool,
    version: String,
    machine: OnceCell<Machine>,
}

/// The engine's machine, from `/info`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub struct Machine {
    name: String,
    kernel_version: String,
    /// CPUs.
    #[serde(rename = "NCPU")]
    pub cpus: u32,
    mem_total: u64,
    memory_limit: Option<bool>,
    swap_limit: Option<bool>,
    pids_limit: Option<bool>,
    #[serde(rename = "CpuCfsQuota")]
    cpu_quota: Option<bool>,
    cgroup_version: String,
    cgroup_driver: String,
    init_binary: Option<String>,
    security_options: Option<Vec<String>>,
}

/// An answer of `/version`.
#[derive(Deserialize)]
pub struct Version {
    #[serde(rename = "Version")]
    engine: String,
    #[serde(rename = "ApiVersion")]
    newest: String,
    #[serde(rename = "MinAPIVersion", default)]
    oldest: String,
    #[serde(rename = "Components", default)]
    components: Option<Vec<Component>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    #[serde(default)]
    name: String,
}

impl Session {
    /// Asks who answers, and agrees on an API.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when there is no API that both speak.
    pub async fn open(wire: &Wire) -> Result<Self, EngineError> {
        let what = "ask for the engine's version";
        let version: Version = wire.json(what, "/version").await?;
        let minor = negotiate(&version)
            .map_err(|message| EngineError::Refused { what: "agree on an API".to_owned(), message })?;
        let podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
        let docker = wire.bollard(minor)?;
        Ok(Self { docker, minor, podman, version: version.engine, machine: OnceCell::new() })
    }

    /// A path under the negotiated API.
    pub fn path(&self, path: &str) -> String {
        under(self.minor, path)
    }

    /// The engine's machine, asked once.
    pub async fn machine(&self, wire: &Wire) -> Result<&Machine, EngineError> {
        let path = self.path("/info");
        self.machine.get_or_try_init(async || wire.json("ask for the engine's machine", &path).await).await
    }

    /// Who answers, asked anew.
    pub async fn identity(&self, wire: &Wire) -> Result<Identity, EngineError> {
        let machine: Machine = wire.json("ask for the engine's machine", &self.path("/info")).await?;
        Ok(Identity {
            isolation: crate::bay::isolation::Isolation::Container,
            kind: if self.podman { "podman" } else { "docker" },
            version: self.version.clone(),
            api: format!("1.{}", self.minor),
            limits: limits(&machine, self.podman),
            local: is_local(&wire.endpoint.address, &machine),
            cpus: machine.cpus,
            memory: machine.mem_total,
        })
    }
}

/// Whether the engine's processes and files are this machine's: it is reached by a unix socket, and says the host name
/// and the kernel that this machine has. The socket of a virtual machine (Docker Desktop, Colima) fails by both, the
/// host's socket inside a container by the name.
pub fn is_local(address: &Address, machine: &Machine) -> bool {
    let here = rustix::system::uname();
    cfg!(target_os = "linux")
        && matches!(address, Address::Unix(_))
        && here.nodename().to_bytes() == machine.name.as_bytes()
        && here.release().to_bytes() == machine.kernel_version.as_bytes()
}

fn negotiate(version: &Version) -> Result<u32, String> {
    let newest =
        minor(&version.newest).ok_or_else(|| format!("the engine says that its API is {:?}", version.newest))?;
    // Old engines do not say what they still speak.
    let oldest = minor(&version.oldest).unwrap_or(0);
    if newest < OLDEST {
        return Err(format!(
            "the engine ({}) speaks API 1.{newest}, podbay needs 1.{OLDEST} or newer: update the engine",
            version.engine
        ));
    }
    if oldest > NEWEST {
        return Err(format!(
            "the engine ({}) speaks API 1.{oldest} and newer, podbay speaks up to 1.{NEWEST}: update podbay",
            version.engine
        ));
    }
    Ok(newest.min(NEWEST))
}

fn minor(text: &str) -> Option<u32> {
    text.strip_prefix("1.")?.parse().ok()
}

fn limits(machine: &Machine, podman: bool) -> Vec<Limitation> {
    let mut limits = Vec::new();
    let mut missing = |what: &str, why: &str| {
        limits.push(Limitation { what: what.to_owned(), why: why.to_owned() });
    };
    if machine.cgroup_driver == "none" {
        missing("resource limits", "the engine has no cgroups to write to (rootless needs cgroup v2 and systemd)");
    }
    if machine.memory_limit == Some(false) {
        missing("memory limit", "the kernel has no memory cgroup (boot with cgroup_enable=memory)");
    }
    if machine.swap_limit == Some(false) {
        missing("swap limit", "the kernel has no swap accounting (boot with swapaccount=1)");
    }
    if machine.cpu_quota == Some(false) {
        missing("CPU limit", "the kernel has no CFS quota");
    }
    if machine.pids_limit == Some(false) {
        missing("pids limit", "the kernel has no pids cgroup");
    }
    if machine.cgroup_version == "1" {
        missing("memory reservation under pressure", "cgroup v1 treats it as a soft hint");
    }
    // Podman never names its own.
    if !podman && machine.init_binary.as_deref() == Some("") {
        missing("init", "the engine has no init binary (docker-init)");
    }
    let options = machine.security_options.as_deref();
    if options.is_some_and(|options| !options.iter().any(|option| option.contains("seccomp"))) {
        missing("seccomp", "the engine was built or started without it");
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(api: &str, min: &str) -> Version {
        Version { engine: "20.10".into(), newest: api.into(), oldest: min.into(), components: None }
    }

    #[test]
    fn d03_versions_are_negotiated_or_refused_in_words() {
        assert_eq!(negotiate(&version("1.24", "1.12")), Ok(24));
        assert_eq!(negotiate(&version("1.41", "1.12")), Ok(41));
        assert_eq!(negotiate(&version("1.53", "1.44")), Ok(53));
        assert_eq!(negotiate(&version("1.60", "")), Ok(53));
        for (api, min, words) in
            [("1.23", "1.12", "update the engine"), ("1.99", "1.54", "update podbay"), ("one", "", "\"one\"")]
        {
            let error = negotiate(&version(api, min)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let machine: Machine =
            serde_json::from_str(r#"{"SwapLimit": false, "CgroupVersion": "2", "InitBinary": "", "NCPU": 2}"#).unwrap();
        let named = |podman| limits(&machine, podman).into_iter().map(|limit| limit.what).collect::<Vec<_>>();
        assert_eq!(named(false), ["swap limit", "init"]);
        assert_eq!(named(true), ["swap limit"]);
    }
}
