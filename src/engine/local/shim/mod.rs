//! A container's shim: the process that a container belongs to. It outlives the supervisor.
//!
//! Owns the container's first process, the near ends of its streams, its log, its state and a socket. One thread: it
//! enters the user namespace that the container lives in, and has its first child begin a pid namespace. One shim a run:
//! it ends with the run. When it is killed, the kernel ends the container with it.

mod client;
mod health;
mod inside;
mod output;
mod ports;
mod running;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, UnshareFlags};
use serde::{Deserialize, Serialize};

use super::opener;
use super::place::{self, Place};
use super::wire::{line, read};

/// What a shim is told first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The first process of the container whose network is joined.
    pub join: Option<u32>,
    /// It stays in the machine's own world.
    #[serde(default)]
    pub bare: bool,
    /// Who opens its user namespace, where it may not.
    #[serde(default)]
    pub opener: Option<PathBuf>,
}

/// What a shim says before it listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Its user namespace wants its numbers: nobody inside may give them.
    Map,
    /// It listens.
    Ready,
    /// Another one looks after this container.
    Held,
    /// It can't.
    Refused(String),
}

/// Runs until the container has ended.
#[must_use]
pub fn run(dir: &Path) -> ExitCode {
    let Ok(mut parent) = parent() else { return ExitCode::FAILURE };
    match begin(&Place::new(dir), &mut parent) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            say(&parent, &Word::Held);
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(&parent, &Word::Refused(why));
            ExitCode::FAILURE
        }
    }
}

/// The engine that started this, by standard input, out of the way of it.
fn parent() -> io::Result<UnixStream> {
    let parent = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(parent.into())
}

fn say(parent: &UnixStream, word: &Word) {
    // Whoever does not listen any more looks at the socket.
    let _ = line(word).and_then(|bytes| super::wire::send(parent, &bytes, &[]));
}

/// `false`: another one has it.
fn begin(place: &Place, parent: &mut UnixStream) -> Result<bool, String> {
    // Away from the terminal and the group of whoever started it. It fails only for the leader of a session.
    let _ = rustix::process::setsid();
    let birth: Birth = first_line(parent).map_err(|error| format!("it is not told what to do: {error}"))?;
    let lock = place::lock(&place.lock()).map_err(|error| format!("lock {}: {error}", place.lock().display()))?;
    let Some(lock) = lock else { return Ok(false) };
    let record = place.record().map_err(|error| format!("read what it is: {error}"))?;
    let ports = ports::hold(&record.spec.network);
    let listener = listen(place).map_err(|error| format!("listen in {}: {error}", place.dir().display()))?;
    if birth.bare {
        stay(birth.join)?;
    } else {
        enter(&birth, parent)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("begin: {error}"))?;
    let ready = || say(parent, &Word::Ready);
    let result = runtime.block_on(running::run(place, (&record.spec, birth.bare), (listener, ports), ready));
    drop(lock);
    result.map(|()| true)
}

fn first_line(parent: &mut UnixStream) -> io::Result<Birth> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while bytes.last() != Some(&b'\n') && parent.read(&mut byte)? == 1 {
        bytes.extend(byte);
    }
    read(&bytes)
}

fn listen(place: &Place) -> io::Result<std::os::unix::net::UnixListener> {
    place.at_socket(|path| {
        // The lock says that nobody listens there any more.
        let _ = std::fs::remove_file(path);
        // Nobody else comes as far as its directory.
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })
}

/// Into the user namespace, and the network that is joined. What is begun from here on is the first process of a pid
/// namespace, and has every capability in that user namespace.
fn enter(birth: &Birth, parent: &mut UnixStream) -> Result<(), String> {
    let root = rustix::process::geteuid().is_root();
    let joined = birth.join.filter(|pid| differs(*pid, "net"));
    match joined {
        // Only who is in its user namespace may enter the network of another, unless it is root.
        Some(pid) if !root => {
            join_one(pid, "user", LinkNameSpaceType::User)?;
            join_one(pid, "net", LinkNameSpaceType::Network)?;
        }
        _ => {
            if let Some(pid) = joined {
                join_one(pid, "net", LinkNameSpaceType::Network)?;
            }
            if let Some(program) = &birth.opener {
                let opened = opener::open(program)?;
                join_one(opened.pid, "user", LinkNameSpaceType::User)?;
                drop(opened);
                return apart();
            }
            unshare(UnshareFlags::NEWUSER).map_err(|error| format!("make a user namespace: {error}"))?;
            say(parent, &Word::Map);
            let mut byte = [0];
            let mapped = parent.read(&mut byte).map_err(|error| format!("wait for its user's number: {error}"))?;
            if mapped == 0 {
                return Err("nobody gives its user a number".to_owned());
            }
        }
    }
    apart()
}

/// In the machine's own world: what loses its parent comes to this process.
fn stay(join: Option<u32>) -> Result<(), String> {
    if join.is_some_and(|pid| differs(pid, "net")) {
        return Err("join a network of its own: without namespaces there is the machine's alone".to_owned());
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("look after what is left behind: {error}"))
}

/// In the user namespace: keeps what it can there, and has its first child begin a pid namespace.
fn apart() -> Result<(), String> {
    keep_capabilities().map_err(|error| format!("keep its capabilities: {error}"))?;
    unshare(UnshareFlags::NEWPID).map_err(|error| format!("make a pid namespace: {error}"))
}

fn differs(pid: u32, name: &str) -> bool {
    let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{name}")).ok();
    of(&pid.to_string()) != of("self")
}

fn join_one(pid: u32, name: &str, kind: LinkNameSpaceType) -> Result<(), String> {
    let told = |error: io::Error| format!("enter the {name} namespace of process {pid}: {error}");
    let file = File::open(format!("/proc/{pid}/ns/{name}")).map_err(told)?;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind)).map_err(|error| told(error.into()))
}

#[expect(unsafe_code, reason = "unsafe only where a thread could see another's descriptors, which this never asks for")]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors are not unshared, and this process has one thread.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Over the next exec, also where the user is not root inside.
fn keep_capabilities() -> io::Result<()> {
    let sets = rustix::thread::capabilities(None)?;
    rustix::thread::set_capabilities(None, CapabilitySets { inheritable: sets.permitted, ..sets })?;
    for capability in CapabilitySet::all().iter().filter(|one| sets.permitted.contains(*one)) {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// The arguments of the hidden verb.
#[must_use]
pub fn directory(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Option<PathBuf> {
    let dir = PathBuf::from(arguments.next()?);
    arguments.next().is_none().then_some(dir)
}
