//! Beginning a process of the container: its terminal or pipes, its user, and nothing that it could gain.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::pty::OpenptFlags;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::fence::{Fence, Walled};
use crate::bay::session::TermSize;
use crate::engine::local::wire::Program;
use crate::service::shim::spawn;

/// What every process of the container keeps.
#[derive(Clone)]
pub struct Walls {
    /// The capabilities of root; nobody else has any.
    pub capabilities: CapabilitySet,
    /// No setuid program gains anything.
    pub no_new_privileges: bool,
    /// The user of this process.
    pub own: (u32, u32),
    /// What stands for namespaces where there are none.
    pub fence: Option<Arc<Fence>>,
}

/// Where a process's streams go.
pub enum Streams {
    /// The near end of its terminal, or of its stdin, stdout and stderr, goes to whoever asked for it.
    Own,
    /// It reads nothing, and nobody reads what it writes.
    None,
    /// It has no terminal, reads nothing, and writes where this process does.
    Inherited,
}

/// Begins it: its pid and the near ends of its streams. With a `word`, all is ready by then, and it begins as soon as one
/// comes there.
///
/// # Errors
/// In words.
pub fn begin(
    program: &Program,
    walls: &Walls,
    streams: &Streams,
    word: Option<OwnedFd>,
) -> Result<(u32, Vec<OwnedFd>), String> {
    let Some((name, arguments)) = program.command.split_first() else { return Err("it has no command".to_owned()) };
    // Asked for by itself: the system says the same of a program that is missing.
    if !program.cwd.is_dir() {
        return Err(format!("its directory {} does not exist", program.cwd.display()));
    }
    let mut command = Command::new(name);
    command.args(arguments).current_dir(&program.cwd).env_clear().envs(&program.env);
    let ends =
        connect(&mut command, program, streams).map_err(|error| format!("its streams can't be made: {error}"))?;
    let (uid, gid) = program.ids;
    if program.ids != walls.own {
        command.gid(gid).uid(uid);
    }
    let left = if uid == 0 { walls.capabilities } else { CapabilitySet::empty() };
    let terminal = program.tty.and_then(|_| ends.first()).map(peer).transpose()?;
    let walled = match &walls.fence {
        Some(fence) => Some(fence.for_program(terminal.as_ref().map(AsFd::as_fd))?),
        None => None,
    };
    let privileges = (left, walls.no_new_privileges);
    let child = settle_in(&mut command, privileges, (program.tty.is_some(), word), walled.as_ref());
    let child = child.map_err(|error| told(name, &error))?;
    Ok((child.id(), ends))
}

/// In the words that other engines use: who asks for a shell looks for them.
fn told(name: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::NotFound if name.contains('/') => "no such file or directory".to_owned(),
        io::ErrorKind::NotFound => "executable file not found in $PATH".to_owned(),
        _ => error.to_string(),
    };
    format!("exec: {name:?}: {why}")
}

fn connect(command: &mut Command, program: &Program, streams: &Streams) -> io::Result<Vec<OwnedFd>> {
    if let Some(size) = program.tty {
        let (near, far) = terminal(size, program.ids)?;
        command.stdin(far.try_clone()?).stdout(far.try_clone()?).stderr(far);
        return Ok(vec![near]);
    }
    if matches!(streams, Streams::Inherited) {
        // Programs open their streams anew, by `/dev/stdout`.
        for stream in ["/proc/self/fd/1", "/proc/self/fd/2"] {
            std::os::unix::fs::chown(stream, Some(program.ids.0), Some(program.ids.1))?;
        }
        command.stdin(Stdio::null());
        return Ok(Vec::new());
    }
    if matches!(streams, Streams::None) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        return Ok(Vec::new());
    }
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let ((stdin, stdin_near), (out_near, out), (err_near, err)) = (pipe()?, pipe()?, pipe()?);
    for far in [&stdin, &out, &err] {
        spawn::give(far, Some(program.ids))?;
    }
    command.stdin(stdin).stdout(out).stderr(err);
    Ok(vec![stdin_near, out_near, err_near])
}

/// Of the container's own terminals, so that its programs find it by its name.
fn terminal(size: TermSize, ids: (u32, u32)) -> io::Result<(OwnedFd, File)> {
    let near = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::unlockpt(&near)?;
    spawn::resize(&near, size)?;
    let far = rustix::pty::ioctl_tiocgptpeer(&near, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    spawn::give(far.as_fd(), Some(ids))?;
    Ok((near, File::from(far)))
}

/// What the child does between fork and exec: system calls alone.
#[expect(unsafe_code, reason = "what runs between fork and exec makes only system calls, and allocates nothing")]
fn settle_in(
    command: &mut Command,
    (left, no_new_privileges): (CapabilitySet, bool),
    (tty, word): (bool, Option<OwnedFd>),
    walled: Option<&Walled>,
) -> io::Result<std::process::Child> {
    let walled = walled.cloned();
    let settle = move || {
        rustix::process::setsid()?;
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o022));
        if tty {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        rustix::thread::set_capabilities(
            None,
            CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() },
        )?;
        if no_new_privileges {
            rustix::thread::set_no_new_privs(true)?;
        }
        if let Some(walled) = &walled {
            // No namespace ends it with the first process: its own children are told by their terminal, or found.
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            walled.enter()?;
        }
        word.as_ref().map_or(Ok(()), wait)
    };
    // SAFETY: see above; nothing of it takes a lock or allocates.
    unsafe { command.pre_exec(settle) };
    command.spawn()
}

/// Waits for a word, whatever it is: nothing else comes there before.
fn wait(word: &OwnedFd) -> io::Result<()> {
    loop {
        match rustix::io::read(word, &mut [0; 64]) {
            Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The far end of a terminal, for its name.
fn peer(near: &OwnedFd) -> Result<OwnedFd, String> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    rustix::pty::ioctl_tiocgptpeer(near, flags).map_err(|error| format!("its terminal can't be opened: {error}"))
}
