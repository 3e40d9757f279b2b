//! The process that the shims of an engine are forked from: begun once, with all of its program in its place, so that a
//! shim costs a fork and not a start of the whole program, and shares with all others what it never changes.
//!
//! It has one thread, no environment and nothing of any container: what it is asked for it forgets. It ends with the
//! engine that began it; what it has forked leads sessions of its own and lives on.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::place::Place;
use super::wire::{receive, send};
use super::{SHIM_VERB, ZYGOTE_VERB, shim, title};
use crate::service::shim::output::watched;

/// A container's directory and a byte.
const LONGEST: usize = 8192;

/// The engine's end. With it, the process ends.
#[derive(Debug)]
pub struct Zygote(AsyncFd<OwnedFd>);

impl Zygote {
    /// Begins one. `state` is where its containers lie: it is told apart by that.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(program: &Path, state: &Path) -> io::Result<Self> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = tokio::process::Command::new(program);
        command.arg(ZYGOTE_VERB).arg(state).arg(" ".repeat(title::ROOM)).current_dir("/").env_clear();
        command.stdin(Stdio::from(far)).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        // Its end is noticed by its socket; this only takes leave of the process.
        tokio::spawn(async move { child.wait().await });
        let flags = rustix::fs::fcntl_getfl(&near)?;
        rustix::fs::fcntl_setfl(&near, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self(watched(near)?))
    }

    /// Has it fork the shim of a container, which is told the rest by `far`. Of a fork that fails, that is all that is
    /// heard: it is closed.
    ///
    /// # Errors
    /// The socket's: it has ended.
    pub async fn fork(&self, place: &Place, far: BorrowedFd<'_>, errors: BorrowedFd<'_>) -> io::Result<()> {
        let bytes = place.dir().as_os_str().as_bytes();
        self.0.async_io(Interest::WRITABLE, |socket| send(socket, bytes, &[far, errors])).await.map(drop)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let mut space = [0; 1];
        // It never says anything.
        !receive(self.0.get_ref(), &mut space).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Runs until the engine that began it is gone.
#[must_use]
pub fn run(state: &Path) -> ExitCode {
    match control() {
        Ok(control) => serve(control, state),
        Err(_) => ExitCode::FAILURE,
    }
}

/// The engine's socket, out of the way of standard streams.
fn control() -> io::Result<OwnedFd> {
    close_others();
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // Away from the terminal and the group of whoever started it. It fails only for the leader of a session.
    let _ = rustix::process::setsid();
    ended_children(libc::SIG_IGN);
    title::find();
    Ok(control)
}

fn serve(control: OwnedFd, state: &Path) -> ExitCode {
    title::set(&[OsStr::new(ZYGOTE_VERB), state.as_os_str()]);
    let mut space = vec![0; LONGEST];
    loop {
        let (count, fds) = match receive(&control, &mut space) {
            Ok((0, _)) => return ExitCode::SUCCESS,
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return ExitCode::FAILURE,
        };
        let mut fds = fds.into_iter();
        let (Some(parent), Some(errors)) = (fds.next(), fds.next()) else { return ExitCode::FAILURE };
        let dir = Path::new(OsStr::from_bytes(space.get(..count).unwrap_or_default()));
        match fork() {
            Ok(Forked::Child) => {
                drop(control);
                ended_children(libc::SIG_DFL);
                title::set(&[OsStr::new(SHIM_VERB), dir.as_os_str()]);
                // Only what went wrong is said there.
                let _ = rustix::stdio::dup2_stderr(&errors);
                drop(errors);
                return shim::run(&Place::new(dir), UnixStream::from(parent));
            }
            Ok(Forked::Parent(_)) => {}
            Err(error) => shim::refuse(&UnixStream::from(parent), format!("fork: {error}")),
        }
    }
}

/// Whatever else whoever started this has open: no program begins here, which would close it.
#[expect(unsafe_code, reason = "nobody owns a descriptor yet: this process has begun at this moment")]
fn close_others() {
    // SAFETY: see above; standard streams stay.
    unsafe { close_fds::close_open_fds(3, &[]) };
}

/// Which of two processes this is.
pub enum Forked {
    /// The one that was, with the pid of the other.
    Parent(u32),
    /// The new one.
    Child,
}

/// Makes two of this process.
///
/// # Errors
/// The system's.
#[expect(unsafe_code, reason = "what may break after a fork are locks of other threads, and there are none")]
pub fn fork() -> io::Result<Forked> {
    // SAFETY: only the zygote and what it has forked call this, before they have a second thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid.unsigned_abs())),
    }
}

/// Whether the kernel itself takes leave of children that have ended.
#[expect(unsafe_code, reason = "none of the two is a function that would be called")]
fn ended_children(how: libc::sighandler_t) {
    // SAFETY: both are constants of the system's own.
    unsafe { libc::signal(libc::SIGCHLD, how) };
}
