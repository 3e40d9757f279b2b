//! Which engine a bay has: what the configuration and the environment name, or what there is.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use super::{EngineError, SharedEngine, docker};
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

/// Like [`choose`], and Podman's service is begun where that is all that is missing: nothing listens anywhere, its program
/// is there, and the configuration names an image.
///
/// # Errors
/// Those of [`connect`].
pub async fn find(config: &Config, env: &Env, chosen: Option<Chosen>) -> Result<SharedEngine, EngineError> {
    let trouble = begin_podman(config, env, chosen).await.err();
    choose(&config.engine, env, chosen, trouble)
}

#[cfg(target_os = "linux")]
async fn begin_podman(config: &Config, env: &Env, chosen: Option<Chosen>) -> Result<(), String> {
    let free = config.engine.kind == EngineKind::Auto && matches!(chosen, None | Some(Chosen::Podman));
    let Some(program) = podman::program(env).filter(|_| free && config.names_an_image()) else { return Ok(()) };
    if !is_missing(config, env) {
        return Ok(());
    }
    podman::begin(&program, &podman::socket(env), |path| socket_state(path) == docker::SocketState::Usable).await
}

/// Nobody listens anywhere, and nothing else was named.
#[cfg(target_os = "linux")]
fn is_missing(config: &Config, env: &Env) -> bool {
    let files = docker::Files { read: &|path| std::fs::read_to_string(path), socket: &socket_state };
    match docker::resolve(&config.engine.host, env, &files) {
        Err(EngineError::Away { endpoint, .. }) => endpoint == docker::NOWHERE,
        // A socket that its service left when it ended.
        Ok(endpoint) => {
            podman::is_own(&endpoint, env) && socket_state(&podman::socket(env)) == docker::SocketState::Stale
        }
        Err(_) => false,
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unused_async, reason = "elsewhere there is a service to begin")]
async fn begin_podman(_: &Config, _: &Env, _: Option<Chosen>) -> Result<(), String> {
    // There, it is in a virtual machine: `podman machine start` is the user's.
    Ok(())
}

/// Like [`connect`], and this machine's own namespaces where `auto` finds nothing else. A bay stays with the engine that it
/// has: one that is down for a moment must not be taken for one that never was there.
///
/// # Errors
/// Those of [`connect`].
fn choose(
    config: &EngineConfig,
    env: &Env,
    chosen: Option<Chosen>,
    podman: Option<String>,
) -> Result<SharedEngine, EngineError> {
    let free = config.kind == EngineKind::Auto && cfg!(target_os = "linux");
    if free && chosen == Some(Chosen::Local) {
        return local_engine(config, env, None);
    }
    match connect(config, env) {
        Err(EngineError::Away { endpoint, why }) if free && chosen.is_none() && endpoint == docker::NOWHERE => {
            local_engine(config, env, Some((format!("{endpoint} can't be reached: {why}"), podman)))
        }
        other => other,
    }
}

/// What can't be reached, and what came of trying Podman's service.
type Instead = (String, Option<String>);

#[cfg(target_os = "linux")]
fn local_engine(config: &EngineConfig, env: &Env, instead: Option<Instead>) -> Result<SharedEngine, EngineError> {
    let level = config.isolation.level();
    if level == Isolation::Container {
        let own = "[engine] isolation = \"container\" leaves out what podbay can do without a daemon; \"ask\" allows \
                   namespaces";
        let why = instead.map_or_else(|| own.to_owned(), |(others, _)| format!("{others}. {own}"));
        return Err(EngineError::Away { endpoint: docker::NOWHERE.to_owned(), why });
    }
    let state = crate::config::paths::Paths::base(env);
    let asks = config.isolation == IsolationRule::Ask;
    let engine = local::LocalEngine::new(state, crate::service::link::own_program(), (env.uid, env.gid)).at(level);
    let engine = if asks { engine } else { engine.without_question() };
    Ok(Arc::new(match instead {
        Some((others, podman)) => engine.in_place_of(others).after(podman),
        None => engine,
    }))
}

#[cfg(not(target_os = "linux"))]
fn local_engine(_: &EngineConfig, _: &Env, instead: Option<Instead>) -> Result<SharedEngine, EngineError> {
    let own = "it needs Linux; set [engine] kind = \"auto\" and start Docker, Podman, Colima or OrbStack";
    let why = instead.map_or_else(|| own.to_owned(), |(others, _)| format!("{others}; {own}"));
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
