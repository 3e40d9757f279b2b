//! Where the engine is: resolved as the docker CLI does it, then Podman's sockets.
//!
//! Pure over a snapshot of the environment and two closures that look at files.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::bay::owner::hex;
use crate::config::env::Env;
use crate::engine::EngineError;

/// A place where an engine may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As a URL: `unix:///var/run/docker.sock`.
    pub url: String,
    /// How to get there.
    pub address: Address,
    /// Who named it: `DOCKER_HOST`, `context "colima"`, `default socket`.
    pub source: String,
}

impl Endpoint {
    /// The socket, where nobody named an engine and it was found among those that are known.
    #[must_use]
    pub fn found(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) if [DEFAULT, PODMANS].contains(&self.source.as_str()) => Some(path),
            _ => None,
        }
    }

    /// Whether that is one of Podman's.
    #[must_use]
    pub fn is_podmans(&self) -> bool {
        self.source == PODMANS
    }
}

/// The source of a known socket of Docker's.
const DEFAULT: &str = "default socket";
/// The source of a known socket of Podman's.
const PODMANS: &str = "Podman's socket";

/// How to get to an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket of this machine.
    Unix(PathBuf),
    /// Plain HTTP over TCP.
    Tcp {
        /// A name or address, brackets removed.
        host: String,
        /// The port.
        port: u16,
    },
    /// `docker system dial-stdio` on another machine.
    Ssh(SshTarget),
}

/// Whom ssh is to call. No part begins with a dash or holds a blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshTarget {
    /// The login; `None`: as ssh's own configuration has it.
    pub user: Option<String>,
    /// The host, or an alias of ssh's configuration.
    pub host: String,
    /// The port; `None`: as ssh's own configuration has it.
    pub port: Option<u16>,
    /// The engine's socket on that machine; `None`: its docker CLI's own choice.
    pub socket: Option<String>,
}

/// What is found where a socket should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Nothing.
    Missing,
    /// A socket that this user may not open.
    Denied,
    /// A socket that nobody listens on: its engine has ended.
    Stale,
    /// A socket that somebody listens on.
    Usable,
}

/// How files are looked at.
pub struct Files<'a> {
    /// The text of a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// What is at a socket's path.
    pub socket: &'a dyn Fn(&Path) -> SocketState,
}

/// `config.json` of the docker CLI, as far as it matters here.
#[derive(Deserialize)]
struct CliConfig {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

/// `meta.json` of a context.
#[derive(Deserialize)]
struct ContextMeta {
    #[serde(rename = "Endpoints", default)]
    endpoints: std::collections::BTreeMap<String, ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

/// Finds the endpoint: `host` of the configuration, `DOCKER_HOST`, `DOCKER_CONTEXT`, the CLI's current context, the
/// default sockets, Podman's sockets.
///
/// # Errors
/// [`EngineError::Away`] that names who asked for what and what would be right.
pub fn resolve(host: &str, env: &Env, files: &Files<'_>) -> Result<Endpoint, EngineError> {
    if !host.is_empty() {
        return parse(host, "[engine] host", tls_wanted(env));
    }
    if let Some(host) = env.get("DOCKER_HOST") {
        return parse(host, "DOCKER_HOST", tls_wanted(env));
    }
    let folder = env.get("DOCKER_CONFIG").map_or_else(|| env.home.join(".docker"), PathBuf::from);
    let context = match env.get("DOCKER_CONTEXT") {
        Some(name) => name.to_owned(),
        None => current_context(&folder, files)?,
    };
    if !context.is_empty() && context != "default" {
        return of_context(&context, &folder, files);
    }
    of_sockets(env, files)
}

fn tls_wanted(env: &Env) -> bool {
    env.get("DOCKER_TLS_VERIFY").is_some() || env.get("DOCKER_TLS").is_some()
}

fn current_context(folder: &Path, files: &Files<'_>) -> Result<String, EngineError> {
    let path = folder.join("config.json");
    let text = match (files.read)(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(away(&path.display().to_string(), &format!("it can't be read: {error}"))),
    };
    let config: CliConfig = serde_json::from_str(&text)
        .map_err(|error| away(&path.display().to_string(), &format!("it is not the docker CLI's JSON: {error}")))?;
    Ok(config.current_context)
}

fn of_context(name: &str, folder: &Path, files: &Files<'_>) -> Result<Endpoint, EngineError> {
    let label = format!("context {name:?}");
    let id = hex(&Sha256::digest(name.as_bytes()));
    let path = folder.join("contexts/meta").join(&id).join("meta.json");
    let text = (files.read)(&path).map_err(|error| {
        away(&label, &format!("{} can't be read: {error}; see `docker context ls`", path.display()))
    })?;
    let meta: ContextMeta = serde_json::from_str(&text)
        .map_err(|error| away(&label, &format!("{} is not a context: {error}", path.display())))?;
    let host = meta.endpoints.get("docker").map(|endpoint| endpoint.host.as_str()).unwrap_or_default();
    if host.is_empty() {
        return Err(away(&label, &format!("{} names no docker endpoint", path.display())));
    }
    let keys = folder.join("contexts/tls").join(&id).join("docker");
    let tls = ["ca.pem", "cert.pem", "key.pem"].iter().any(|file| (files.read)(&keys.join(file)).is_ok());
    parse(host, &label, tls)
}

fn of_sockets(env: &Env, files: &Files<'_>) -> Result<Endpoint, EngineError> {
    let runtime = env.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let docker = [
        Some(PathBuf::from("/var/run/docker.sock")),
        Some(env.home.join(".docker/run/docker.sock")),
        Some(env.home.join(".colima/default/docker.sock")),
        Some(env.home.join(".orbstack/run/docker.sock")),
        runtime.as_ref().map(|dir| dir.join("docker.sock")),
    ];
    let podman = [runtime.map(|dir| dir.join("podman/podman.sock")), Some(PathBuf::from("/run/podman/podman.sock"))];
    let known = docker.into_iter().flatten().map(|path| (path, DEFAULT));
    let known: Vec<_> = known.chain(podman.into_iter().flatten().map(|path| (path, PODMANS))).collect();
    let seen: Vec<_> = known.iter().map(|(path, source)| (path, *source, (files.socket)(path))).collect();
    // One that can't be used is still a better answer than none: its own error says what is missing.
    let by_worth = [SocketState::Usable, SocketState::Denied, SocketState::Stale];
    let best = by_worth.iter().find_map(|worth| seen.iter().find(|(.., state)| state == worth));
    if let Some((path, source, _)) = best {
        Ok(unix(path, source))
    } else {
        let paths: Vec<String> = known.iter().map(|(path, _)| path.display().to_string()).collect();
        let why = format!(
            "no socket at {}; start the engine (systemctl start docker, colima start, Docker Desktop, \
             systemctl --user start podman.socket), or set DOCKER_HOST or [engine] host",
            paths.join(", ")
        );
        Err(away(NOWHERE, &why))
    }
}

/// What can't be reached where nobody named an engine and no known socket is there.
pub const NOWHERE: &str = "a container engine";

fn unix(path: &Path, source: &str) -> Endpoint {
    let url = format!("unix://{}", path.display());
    Endpoint { url, address: Address::Unix(path.to_owned()), source: source.to_owned() }
}

fn away(endpoint: &str, why: &str) -> EngineError {
    EngineError::Away { endpoint: endpoint.to_owned(), why: why.to_owned() }
}

/// Reads a host as the docker CLI writes it.
fn parse(text: &str, source: &str, tls: bool) -> Result<Endpoint, EngineError> {
    let wrong = |why: &str| Err(away(&format!("{source} {text:?}"), why));
    let address = match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => return Ok(unix(Path::new(path), source)),
        None if text.starts_with('/') => return Ok(unix(Path::new(text), source)),
        Some(("unix", _)) => return wrong("write unix:///the/path/of/the/socket"),
        Some(("https", _)) => return wrong(NO_TLS),
        Some(("tcp" | "http", _)) if tls => return wrong(NO_TLS),
        Some(("tcp" | "http", rest)) => tcp(rest),
        Some(("ssh", rest)) => ssh(rest).map(Address::Ssh),
        Some(("npipe", _)) => return wrong("named pipes are of Windows"),
        _ => None,
    };
    match address {
        Some(address) => Ok(Endpoint { url: text.to_owned(), address, source: source.to_owned() }),
        None => wrong("write unix:///path, tcp://host:port or ssh://[user@]host[:port]"),
    }
}

const NO_TLS: &str = "TLS to an engine is not spoken here; use ssh://user@host, which needs no certificates";

/// `host[:port]`, an IPv6 address in brackets; the docker CLI's port without one.
fn tcp(rest: &str) -> Option<Address> {
    let (host, port) = host_and_port(rest.trim_end_matches('/'))?;
    Some(Address::Tcp { host, port: port.unwrap_or(2375) })
}

fn ssh(rest: &str) -> Option<SshTarget> {
    let (login, socket) = match rest.find('/') {
        Some(at) => (rest.get(..at)?, rest.get(at..).filter(|path| *path != "/")),
        None => (rest, None),
    };
    let (user, place) = match login.rsplit_once('@') {
        Some((user, place)) => (Some(word(user)?), place),
        None => (None, login),
    };
    let (host, port) = host_and_port(place)?;
    let host = word(&host)?;
    let socket = match socket {
        // The remote shell reads it: letters that mean something there are refused.
        Some(path) if path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) => Some(path.to_owned()),
        Some(_) => return None,
        None => None,
    };
    Some(SshTarget { user, host, port, socket })
}

/// A word that ssh can't take for an option and no shell takes apart.
fn word(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
    (!text.is_empty() && !text.starts_with('-') && text.chars().all(plain)).then(|| text.to_owned())
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return None;
    }
    let port = if port.is_empty() { None } else { Some(port.parse().ok().filter(|port| *port != 0)?) };
    Some((host.to_owned(), port))
}
