//! Beginning a run: a session of its own, a terminal or pipes, the lock, and a death that follows the shim's.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::keep::Keep;
use crate::bay::session::TermSize;
use crate::service::process::{MARK, ProcessId};
use crate::service::protocol::Spec;
use crate::service::user::become_user;

/// A run that has begun.
pub(super) struct Begun {
    pub main: ProcessId,
    pub ends: Ends,
}

/// The shim's ends of a run's streams.
pub(super) enum Ends {
    Pipes { out: OwnedFd, err: OwnedFd },
    Terminal(OwnedFd),
}

/// Pipes are made this large where the system allows it, once they were full: a flood then costs fewer turns.
pub(super) const PIPE: usize = 256 * 1024;

/// Why a run can't begin.
pub(super) enum Refusal {
    /// In words.
    Because(String),
    /// Somebody else has this port.
    Port(u16),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

/// Begins a run, or says why it can't.
pub(super) fn begin(spec: &Spec, mark: &str, (run_lock, keep): (&File, Option<&Keep>)) -> Result<Begun, Refusal> {
    let Some((program, arguments)) = spec.command.split_first() else {
        return Err("it has no command".to_owned().into());
    };
    // Asked for by itself: the system says the same of a program that is missing.
    if !spec.cwd.is_dir() {
        return Err(format!("its directory {} does not exist", spec.cwd.display()).into());
    }
    if let Some(port) = spec.ports.iter().copied().find(|port| is_taken(*port)) {
        return Err(Refusal::Port(port));
    }
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&spec.cwd).env_clear().envs(&spec.env).env(MARK, mark);
    let ends = streams(&mut command, (spec.tty, spec.ids), keep)
        .map_err(|error| format!("its streams can't be made: {error}"))?;
    become_user(&mut command, spec.ids, &spec.groups);
    settle_in(&mut command, run_lock, (spec.tty.is_some(), spec.umask));
    let child = command.spawn().map_err(|error| told(program, &error))?;
    // Dropping a child neither ends nor waits for it: the shim waits for all of them in one place.
    let main = ProcessId::of(child.id()).unwrap_or(ProcessId { pid: child.id(), start: 0 });
    Ok(Begun { main, ends })
}

/// Whether somebody listens there. Nothing of an earlier run is left, so it is somebody else.
fn is_taken(port: u16) -> bool {
    let tried = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    tried.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn told(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{program:?} was not found"),
        io::ErrorKind::PermissionDenied => format!("{program:?} may not be executed"),
        io::ErrorKind::ExecutableFileBusy => format!("{program:?} is being written to"),
        _ => format!("{program:?} can't be executed: {error}"),
    }
}

fn streams(
    command: &mut Command,
    (tty, ids): (Option<TermSize>, Option<(u32, u32)>),
    keep: Option<&Keep>,
) -> io::Result<Ends> {
    let Some(size) = tty else {
        let [(out, out_far), (err, err_far)] = match keep.map(Keep::ends) {
            Some(Ok(ends)) => ends,
            // A directory that takes no FIFOs, or somebody removed them.
            Some(Err(_)) | None => [pipe()?, pipe()?],
        };
        give(&out_far, ids)?;
        give(&err_far, ids)?;
        command.stdin(Stdio::null()).stdout(out_far).stderr(err_far);
        return Ok(Ends::Pipes { out, err });
    };
    let near = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&near, rustix::io::FdFlags::CLOEXEC)?;
    rustix::pty::grantpt(&near)?;
    rustix::pty::unlockpt(&near)?;
    resize(&near, size)?;
    let name = rustix::pty::ptsname(&near, Vec::new())?;
    let path = std::ffi::OsString::from(String::from_utf8_lossy(name.to_bytes()).into_owned());
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NOCTTY.bits().cast_signed());
    let far = options.read(true).write(true).open(path)?;
    give(&far, ids)?;
    command.stdin(far.try_clone()?).stdout(far.try_clone()?).stderr(far);
    nonblocking(near.as_fd())?;
    Ok(Ends::Terminal(near))
}

/// Programs open their streams anew, by `/dev/stdout`.
pub(crate) fn give(far: impl AsFd, ids: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = ids else { return Ok(()) };
    let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
    Ok(rustix::fs::fchown(far, Some(uid), Some(gid))?)
}

/// The near end does not block, the far end is an ordinary one.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (near, far) = plain_pipe()?;
    nonblocking(near.as_fd())?;
    Ok((near, far))
}

/// The reading and the writing end, closed in what is executed, on every system.
pub(super) fn plain_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (near, far) = io::pipe()?;
    Ok((near.into(), far.into()))
}

/// Has a pipe hold more.
#[cfg(target_os = "linux")]
pub(super) fn enlarge(near: &OwnedFd) {
    // Refused beyond the user's share of pipe memory: then it stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(near, PIPE);
}

/// Pipes have the size that the system gives them.
#[cfg(not(target_os = "linux"))]
pub(super) const fn enlarge(_: &OwnedFd) {}

fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Gives a terminal another size; its program is told by SIGWINCH.
pub(crate) fn resize(terminal: &OwnedFd, size: TermSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// What the child does between fork and exec: system calls alone.
#[expect(unsafe_code, reason = "what runs between fork and exec makes only system calls, and allocates nothing")]
fn settle_in(command: &mut Command, run_lock: &File, (tty, umask): (bool, u32)) {
    let lock = run_lock.as_raw_fd();
    // The supervisor's own is tight; what the service shares with others is the service's to say.
    let umask = crate::config::paths::mode(umask);
    let shim = std::process::id();
    let settle = move || {
        rustix::process::setsid()?;
        rustix::process::umask(umask);
        // SAFETY: the file is open in the shim, of which this process is a copy.
        let lock = unsafe { BorrowedFd::borrow_raw(lock) };
        // Kept over the exec: as long as one process of the run has it, no other run can begin.
        rustix::io::fcntl_setfd(lock, rustix::io::FdFlags::empty())?;
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{Signal, getppid, set_parent_process_death_signal};
            // The shim has one thread, so this follows the shim and nothing else.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have died before that was in force.
            if getppid().is_none_or(|parent| parent.as_raw_nonzero().get().unsigned_abs() != shim) {
                return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = shim;
        if tty {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        Ok(())
    };
    // SAFETY: see above; nothing of it takes a lock or allocates.
    unsafe { command.pre_exec(settle) };
}
