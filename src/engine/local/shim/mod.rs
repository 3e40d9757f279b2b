//! A container's shim: the process that a container belongs to. It outlives the supervisor.
//!
//! Owns the container's first process, the near ends of its streams, its log, its state and a socket. One thread, forked
//! from the zygote: it enters the user namespace that the container lives in, and has its first child begin a pid namespace. One shim a run:
//! it ends with the run. When it is killed, the kernel ends the container with it.

mod ahead;
mod client;
mod first;
mod health;
mod inside;
mod output;
mod ports;
mod running;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use first::{First, Itself, Side};

use super::opener;
use super::place::{self, Place};
use super::wire::{line, read};
use crate::bay::container::ContainerSpec;

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
    /// It is not known yet which container's it is: that is told when it is wanted.
    #[serde(default)]
    pub ahead: bool,
}

/// The container's directory, told to a shim that was made ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted(pub PathBuf);

/// What a shim says before it listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The user namespace of this process, which says it, wants its numbers: nobody inside may give them.
    Map(u32),
    /// It listens.
    Ready,
    /// Another one looks after this container.
    Held,
    /// It can't.
    Refused(String),
}

/// Runs until the container has ended. `parent` is the engine that wanted it.
#[must_use]
pub fn run(place: &Place, mut parent: UnixStream) -> ExitCode {
    match begin(place, &mut parent) {
        Ok(Begun::Shim(ready)) => {
            say(&parent, &Word::Ready);
            drop(parent);
            running::run(*ready).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Ok(Begun::First(first)) => {
            drop(parent);
            first.run(place)
        }
        Ok(Begun::Held) => {
            say(&parent, &Word::Held);
            ExitCode::SUCCESS
        }
        Ok(Begun::Unwanted) => ExitCode::SUCCESS,
        Err(why) => {
            refuse(&parent, why);
            ExitCode::FAILURE
        }
    }
}

/// Which of two this process has become.
enum Begun {
    /// The shim.
    Shim(Box<Ready>),
    /// The container's first process: nothing that the shim has is its own.
    First(Itself),
    /// None: another shim has it.
    Held,
    /// None: it was made ahead, and nobody has a container for it.
    Unwanted,
}

/// All that a shim has before it listens.
struct Ready {
    place: Place,
    spec: ContainerSpec,
    /// No namespace ends what it has begun.
    bare: bool,
    listener: UnixListener,
    ports: Result<Vec<ports::Held>, u16>,
    first: First,
    /// Its control groups are there, and lack the limits.
    grouped: bool,
    /// What it runs on, if that is there.
    runtime: Option<Runtime>,
    /// Held as long as it lives.
    lock: File,
}

/// Says that there is no shim, and why.
pub fn refuse(parent: &UnixStream, why: String) {
    say(parent, &Word::Refused(why));
}

fn say(parent: &UnixStream, word: &Word) {
    // Whoever does not listen any more looks at the socket.
    let _ = line(word).and_then(|bytes| super::wire::send(parent, &bytes, &[]));
}

fn begin(place: &Place, parent: &mut UnixStream) -> Result<Begun, String> {
    // Away from the terminal and the group of whoever started it. It fails only for the leader of a session.
    let _ = rustix::process::setsid();
    let birth: Birth = first_line(parent).map_err(|error| format!("it is not told what to do: {error}"))?;
    if birth.ahead {
        return ahead::begin(place, &birth, parent);
    }
    let Some(taken) = take(place)? else { return Ok(Begun::Held) };
    if birth.bare {
        stay(birth.join)?;
    } else {
        enter(&birth, parent)?;
    }
    // It makes the container's world while this process and the engine get ready.
    match First::fork(place, taken.spec.tty, None).map_err(|error| format!("fork: {error}"))? {
        Side::Shim(first) => Ok(Begun::Shim(Box::new(taken.with(place, first, birth.bare)))),
        Side::First(first) => Ok(Begun::First(first)),
    }
}

/// What a shim has of its container.
struct Taken {
    spec: ContainerSpec,
    listener: UnixListener,
    ports: Result<Vec<ports::Held>, u16>,
    lock: File,
}

impl Taken {
    fn with(self, place: &Place, first: First, bare: bool) -> Ready {
        let Self { spec, listener, ports, lock } = self;
        let (grouped, runtime) = (false, None);
        Ready { place: place.clone(), spec, bare, listener, ports, first, grouped, runtime, lock }
    }
}

/// Takes a container as its shim; `None`: it has one.
fn take(place: &Place) -> Result<Option<Taken>, String> {
    let lock = place::lock(&place.lock()).map_err(|error| format!("lock {}: {error}", place.lock().display()))?;
    let Some(lock) = lock else { return Ok(None) };
    let record = place.record().map_err(|error| format!("read what it is: {error}"))?;
    let ports = ports::hold(&record.spec.network, |port| ports::is_the_bays(place, port));
    let listener = listen(place).map_err(|error| format!("listen in {}: {error}", place.dir().display()))?;
    Ok(Some(Taken { spec: record.spec, listener, ports, lock }))
}

/// Nothing comes after it until it is asked for.
fn first_line<T: DeserializeOwned>(parent: &mut UnixStream) -> io::Result<T> {
    let (mut bytes, mut space) = (Vec::new(), [0; 4096]);
    while bytes.last() != Some(&b'\n') {
        match parent.read(&mut space)? {
            0 => break,
            count => bytes.extend_from_slice(space.get(..count).unwrap_or_default()),
        }
    }
    read(&bytes)
}

fn listen(place: &Place) -> io::Result<UnixListener> {
    place.at_socket(|path| {
        // The lock says that nobody listens there any more.
        let _ = std::fs::remove_file(path);
        // Nobody else comes as far as its directory.
        let listener = UnixListener::bind(path)?;
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
            say(parent, &Word::Map(std::process::id()));
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

/// In the user namespace, where it can do everything: has its first child begin a pid namespace.
fn apart() -> Result<(), String> {
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
