//! Which engine a bay has: what the configuration and the environment name, or what there is.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use super::{EngineError, Limitation, SharedEngine, docker};
#[cfg(target_os = "linux")]
use super::{local, podman};
#[cfg(target_os = "linux")]
use crate::bay::isolation::{Isolation, IsolationRule};
use crate::config::env::Env;
use crate::config::{Config, EngineConfig, EngineKind};

/// The engine that the configuration and the environment name. Resolved anew by each call, so that a context that was
/// switched is followed. Where nothing is named, the first known socket that somebody listens on; else the engine need
/// not be up.
///
/// # Errors
/// [`EngineError::Away`] when there is no endpoint at all, with what would be right.
pub fn connect(config: &EngineConfig, env: &Env) -> Result<SharedEngine, EngineError> {
    if config.kind == EngineKind::Local {
        return local_engine(config, env, None);
    }
    let files = docker::Files { read: &|path| std::fs::read_to_string(path), socket: &socket_state };
    let endpoint = docker::resolve(&config.host, env, &files)?;
    Ok(Arc::new(docker::DockerEngine::new(endpoint, docker::Deadlines::default())))
}

/// The engine that a bay had before, where `auto` chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// One that speaks Docker's API.
    Docker,
    /// The same of Podman's, whose service may have ended for want of use.
    Podman,
    /// This machine's own namespaces.
    Local,
}

impl Chosen {
    /// What a bay has below its state directory says which one made it.
    #[must_use]
    pub fn of(state: &Path) -> Option<Self> {
        let holds = |part: &str| std::fs::read_dir(state.join(part)).is_ok_and(|mut entries| entries.next().is_some());
        let kept = std::fs::read_to_string(state.join(CHOICE)).unwrap_or_default();
        match kept.trim() {
            "local" => Some(Self::Local),
            "docker" => Some(Self::Docker),
            "podman" => Some(Self::Podman),
            // Never written, or by half.
            _ if holds("containers") => Some(Self::Local),
            // Of a podbay that knew no other.
            _ if holds("workers") => Some(Self::Docker),
            _ => None,
        }
    }

    /// Writes down which one a bay has.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(state: &Path, kind: &str) -> std::io::Result<()> {
        let (path, text) = (state.join(CHOICE), format!("{kind}\n"));
        if std::fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        // What is there stays whole: a full disk must not make a bay forget which engine it has.
        let fresh = state.join("engine.new");
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, path)
    }
}

/// Which engine `auto` chose, in a bay's state directory.
const CHOICE: &str = "engine";

/// The engine of a bay. By `auto`, the first that answers: one that is named, Docker, Podman, whose service is begun where
/// its program is there and the configuration names an image, else this machine's own namespaces. A bay stays with the one
/// that it has: one that is down for a moment must not be taken for one that never was there.
///
/// # Errors
/// Those of [`connect`].
pub async fn find(config: &Config, env: &Env, chosen: Option<Chosen>) -> Result<SharedEngine, EngineError> {
    let trouble = begin_podman(config, env, chosen).await.err();
    let files = docker::Files { read: &|path| std::fs::read_to_string(path), socket: &socket_state };
    match way(config, env, chosen, &files)? {
        Way::Docker(endpoint) => Ok(Arc::new(docker::DockerEngine::new(endpoint, docker::Deadlines::default()))),
        Way::Local(others) => local_engine(&config.engine, env, others.map(|others| (others, trouble))),
    }
}

/// What a bay's engine comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// One that speaks Docker's API.
    Docker(docker::Endpoint),
    /// This machine's own, and what was found of others where they were looked for.
    Local(Option<Nobody>),
}

/// Nobody named an engine, and nobody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nobody {
    /// What can't be reached, and why.
    why: String,
    /// One that is there and can't be used, with what would help.
    unused: Option<Limitation>,
}

fn way(config: &Config, env: &Env, chosen: Option<Chosen>, files: &docker::Files<'_>) -> Result<Way, EngineError> {
    let engine = &config.engine;
    if engine.kind == EngineKind::Local {
        return Ok(Way::Local(None));
    }
    let found = docker::resolve(&engine.host, env, files);
    if engine.kind == EngineKind::Docker || !cfg!(target_os = "linux") {
        return found.map(Way::Docker);
    }
    let nobody = nobody(&found, files);
    match (chosen, nobody) {
        (Some(Chosen::Local), nobody) => Ok(Way::Local(nobody.filter(|nobody| nobody.unused.is_some()))),
        // What names an image needs an engine of containers: what keeps from the one that is there is the better answer.
        (None, Some(nobody)) if nobody.unused.is_none() || !config.names_an_image() => Ok(Way::Local(Some(nobody))),
        _ => found.map(Way::Docker),
    }
}

/// `None`: one is named, or somebody listens.
fn nobody(found: &Result<docker::Endpoint, EngineError>, files: &docker::Files<'_>) -> Option<Nobody> {
    let endpoint = match found {
        Err(EngineError::Away { endpoint, why }) if endpoint == docker::NOWHERE => {
            return Some(Nobody { why: format!("{endpoint} can't be reached: {why}"), unused: None });
        }
        Ok(endpoint) => endpoint,
        Err(_) => return None,
    };
    let path = endpoint.found()?;
    let what = if endpoint.is_podmans() { "podman" } else { "docker" };
    let (trouble, help) = match ((files.socket)(path), endpoint.is_podmans()) {
        (docker::SocketState::Denied, false) => ("permission denied", "join the group docker"),
        (docker::SocketState::Denied, true) => ("permission denied", "`systemctl --user start podman.socket`"),
        (docker::SocketState::Stale, false) => ("nobody listens there", "`systemctl start docker`"),
        (docker::SocketState::Stale, true) => ("nobody listens there", "`systemctl --user start podman.socket`"),
        (docker::SocketState::Usable | docker::SocketState::Missing, _) => return None,
    };
    let why = format!(
        "{}: {trouble}; {help}, and set [engine] kind = \"docker\", to have containers of it in this bay",
        path.display()
    );
    let unused = Limitation { what: what.to_owned(), why: format!("not used, {why}") };
    Some(Nobody { why: format!("{} can't be reached: {trouble}; {help}", endpoint.url), unused: Some(unused) })
}

#[cfg(target_os = "linux")]
async fn begin_podman(config: &Config, env: &Env, chosen: Option<Chosen>) -> Result<(), String> {
    let free = config.engine.kind == EngineKind::Auto && matches!(chosen, None | Some(Chosen::Podman));
    let Some(program) = podman::program(env).filter(|_| free && config.names_an_image()) else { return Ok(()) };
    if !is_missing(&config.engine, env) {
        return Ok(());
    }
    podman::begin(&program, &podman::socket(env), |path| socket_state(path) == docker::SocketState::Usable).await
}

#[cfg(target_os = "linux")]
fn is_missing(engine: &EngineConfig, env: &Env) -> bool {
    let files = docker::Files { read: &|path| std::fs::read_to_string(path), socket: &socket_state };
    nobody(&docker::resolve(&engine.host, env, &files), &files).is_some()
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unused_async, reason = "elsewhere there is a service to begin")]
async fn begin_podman(_: &Config, _: &Env, _: Option<Chosen>) -> Result<(), String> {
    // There, it is in a virtual machine: `podman machine start` is the user's.
    Ok(())
}

/// Why nothing else is taken, and what came of trying Podman's service.
type Instead = (Nobody, Option<String>);

#[cfg(target_os = "linux")]
fn local_engine(config: &EngineConfig, env: &Env, instead: Option<Instead>) -> Result<SharedEngine, EngineError> {
    let level = config.isolation.level();
    if level == Isolation::Container {
        let own = "[engine] isolation = \"container\" leaves out what podbay can do without a daemon; \"ask\" allows \
                   namespaces";
        let why = instead.map_or_else(|| own.to_owned(), |(others, _)| format!("{}. {own}", others.why));
        return Err(EngineError::Away { endpoint: docker::NOWHERE.to_owned(), why });
    }
    let state = crate::config::paths::Paths::base(env);
    let asks = config.isolation == IsolationRule::Ask;
    let engine = local::LocalEngine::new(state, crate::service::link::own_program(), (env.uid, env.gid)).at(level);
    let engine = if asks { engine } else { engine.without_question() };
    Ok(Arc::new(match instead {
        Some((others, podman)) => {
            let podman = podman.map(|why| Limitation { what: "podman".to_owned(), why });
            engine.in_place_of(others.why).after(others.unused.into_iter().chain(podman).collect())
        }
        None => engine,
    }))
}

#[cfg(not(target_os = "linux"))]
fn local_engine(_: &EngineConfig, _: &Env, instead: Option<Instead>) -> Result<SharedEngine, EngineError> {
    let own = "it needs Linux; set [engine] kind = \"auto\" and start Docker, Podman, Colima or OrbStack";
    let why = instead.map_or_else(|| own.to_owned(), |(others, _)| format!("{}; {own}", others.why));
    Err(EngineError::Away { endpoint: "local://".to_owned(), why })
}

/// Whether somebody listens on a socket, and whether this user may open it. Waits for nothing.
fn socket_state(path: &Path) -> docker::SocketState {
    use docker::SocketState;
    use rustix::io::Errno;
    match knock(path) {
        // Those that wait for an answer are more than fit: a busy engine, or a frozen one.
        Ok(()) | Err(Errno::AGAIN) => SocketState::Usable,
        // Also where a directory above it is closed to this user.
        Err(Errno::ACCESS | Errno::PERM) => SocketState::Denied,
        Err(Errno::CONNREFUSED) if std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) => {
            SocketState::Stale
        }
        Err(_) => SocketState::Missing,
    }
}

fn knock(path: &Path) -> rustix::io::Result<()> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect};
    #[cfg(target_os = "linux")]
    let socket = {
        use rustix::net::{SocketFlags, socket_with};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?
    };
    // Elsewhere a socket gets them one by one.
    #[cfg(not(target_os = "linux"))]
    let socket = {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        socket
    };
    connect(&socket, &SocketAddrUnix::new(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use docker::SocketState;

    #[test]
    fn a_bay_stays_with_the_engine_that_it_has() {
        let state = tempfile::tempdir().unwrap();
        let at = |part: &str| std::fs::create_dir_all(state.path().join(part)).unwrap();
        assert_eq!(Chosen::of(state.path()), None);
        at("workers");
        assert_eq!(Chosen::of(state.path()), None, "the supervisor makes it before it has an engine");
        at("workers/fox");
        assert_eq!(Chosen::of(state.path()), Some(Chosen::Docker));
        at("containers/ab");
        assert_eq!(Chosen::of(state.path()), Some(Chosen::Local));
        for (kind, chosen) in [("podman", Chosen::Podman), ("docker", Chosen::Docker), ("local", Chosen::Local)] {
            Chosen::keep(state.path(), kind).unwrap();
            assert_eq!(Chosen::of(state.path()), Some(chosen), "{kind}");
        }
        std::fs::write(state.path().join(CHOICE), "").unwrap();
        assert_eq!(Chosen::of(state.path()), Some(Chosen::Local), "written by half: what there is decides");
    }

    const SOCKET: &str = "/var/run/docker.sock";

    /// The file, the engine that the bay had, the sockets; what it comes to, and how what is said of another begins.
    type Case = (&'static str, Option<Chosen>, Sockets, &'static str, Option<&'static str>);
    type Sockets = &'static [(&'static str, SocketState)];

    /// What a bay comes to, and what is said of one that is not used.
    fn comes_to(
        toml: &str,
        vars: &[(&str, &str)],
        chosen: Option<Chosen>,
        sockets: &[(&str, SocketState)],
    ) -> (String, Option<String>) {
        let config = Config::parse("podbay.toml", toml).unwrap();
        let vars = vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let env = Env { vars, home: "/home/ann".into(), ..Env::default() };
        let missing = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        let state = |path: &Path| {
            let known = sockets.iter().find(|(name, _)| Path::new(name) == path);
            known.map_or(SocketState::Missing, |(_, state)| *state)
        };
        match way(&config, &env, chosen, &docker::Files { read: &missing, socket: &state }) {
            Ok(Way::Docker(endpoint)) => (endpoint.url, None),
            Ok(Way::Local(others)) => {
                let unused = others.and_then(|others| others.unused);
                ("local".to_owned(), unused.map(|limit| format!("{}: {}", limit.what, limit.why)))
            }
            Err(error) => (error.to_string(), None),
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn auto_takes_the_first_that_answers_and_says_which_one_does_not() {
        use SocketState::{Denied, Stale, Usable};
        const PODMAN: &str = "/run/podman/podman.sock";
        const DOCKER: &str = "unix:///var/run/docker.sock";
        let named = "worker.image = 'agent:1'";
        let denied = Some("docker: not used, /var/run/docker.sock: permission denied; join the group docker");
        let stale = Some("docker: not used, /var/run/docker.sock: nobody listens there; `systemctl start docker`");
        let table: &[Case] = &[
            ("", None, &[], "local", None),
            ("", None, &[(SOCKET, Usable)], DOCKER, None),
            ("", None, &[(SOCKET, Denied)], "local", denied),
            ("", None, &[(SOCKET, Stale)], "local", stale),
            ("", None, &[(SOCKET, Denied), (PODMAN, Usable)], "unix:///run/podman/podman.sock", None),
            ("", None, &[(PODMAN, Stale)], "local", Some("podman: not used, /run/podman/podman.sock: nobody listens")),
            // A bay stays with the engine that it has.
            ("", Some(Chosen::Docker), &[(SOCKET, Stale)], DOCKER, None),
            ("", Some(Chosen::Docker), &[(SOCKET, Denied)], DOCKER, None),
            ("", Some(Chosen::Podman), &[(SOCKET, Denied)], DOCKER, None),
            ("", Some(Chosen::Local), &[(SOCKET, Usable)], "local", None),
            ("", Some(Chosen::Local), &[(SOCKET, Denied)], "local", denied),
            // Who named an engine gets that one, or its error.
            ("engine.kind = 'docker'", None, &[(SOCKET, Denied)], DOCKER, None),
            ("engine.host = 'unix:///var/run/docker.sock'", None, &[(SOCKET, Stale)], DOCKER, None),
            ("engine.kind = 'local'", None, &[(SOCKET, Denied)], "local", None),
            // What names an image can't run without an engine of containers.
            (named, None, &[(SOCKET, Denied)], DOCKER, None),
            (named, None, &[], "local", None),
        ];
        for (toml, chosen, sockets, way, unused) in table {
            let (came_to, said) = comes_to(toml, &[], *chosen, sockets);
            assert_eq!(came_to, *way, "{toml} {chosen:?} {sockets:?}");
            let begins = unused.is_none_or(|begins| said.as_ref().is_some_and(|said| said.starts_with(begins)));
            assert!(begins && said.is_some() == unused.is_some(), "{toml} {chosen:?} {sockets:?}: {said:?}");
        }
        let named = comes_to("", &[("DOCKER_HOST", DOCKER)], None, &[(SOCKET, Denied)]);
        assert_eq!(named, (DOCKER.to_owned(), None), "by the environment");
    }

    #[test]
    fn d04_a_socket_that_nobody_listens_on_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let live = std::os::unix::net::UnixListener::bind(at("live")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("stale")).unwrap());
        std::fs::write(at("file"), "").unwrap();
        let states = ["live", "stale", "file", "missing"].map(|name| socket_state(&at(name)));
        assert_eq!(states, [SocketState::Usable, SocketState::Stale, SocketState::Missing, SocketState::Missing]);
        drop(live);
        assert_eq!(socket_state(&at("live")), SocketState::Stale);
    }
}
