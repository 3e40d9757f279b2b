//! The container's first process, from its shim: forked before it is known that it is wanted, told to go, waited for.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::signal::unix::Signal as Signals;

use crate::engine::local::place::Place;
use crate::engine::local::zygote::{self, Forked};
use crate::engine::local::{INIT_VERB, SHIM_VERB, SPARE_VERB, init, title};
use crate::service::process::ProcessId;

/// The process, as its shim has it.
pub struct First {
    /// The way to it.
    pub control: OwnedFd,
    /// What it writes, where that is no terminal: output and errors.
    pub streams: Vec<OwnedFd>,
    /// Who it is.
    pub id: ProcessId,
}

/// The same, as it is to itself.
pub struct Itself {
    control: OwnedFd,
    /// What takes the place of its standard output and errors.
    streams: [OwnedFd; 2],
    /// Where it goes to its control groups, when it is made before its container is known.
    groups: Option<Vec<OwnedFd>>,
}

/// Which of the two this process is.
pub enum Side {
    Shim(First),
    First(Itself),
}

impl First {
    /// Begins it. Before the shim has a runtime: nothing of one is in the new process.
    ///
    /// # Errors
    /// The system's.
    pub fn fork(place: &Place, tty: bool, groups: Option<Vec<OwnedFd>>) -> io::Result<Side> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (mut streams, far_streams) = if tty {
            let null = || File::options().write(true).open("/dev/null").map(OwnedFd::from);
            (Vec::new(), [null()?, null()?])
        } else {
            let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
            let ((out, out_far), (err, err_far)) = (pipe()?, pipe()?);
            (vec![out, err], [out_far, err_far])
        };
        // From its first moment on it is called what it is.
        let (shim, first) = if groups.is_some() { (SPARE_VERB, SPARE_VERB) } else { (SHIM_VERB, INIT_VERB) };
        title::set(&[OsStr::new(first), place.plan().as_os_str()]);
        let forked = zygote::fork();
        if !matches!(forked, Ok(Forked::Child)) {
            title::set(&[OsStr::new(shim), place.dir().as_os_str()]);
        }
        match forked? {
            Forked::Child => {
                streams.clear();
                drop(near);
                Ok(Side::First(Itself { control: far, streams: far_streams, groups }))
            }
            Forked::Parent(pid) => {
                let id = ProcessId::of(pid).unwrap_or(ProcessId { pid, start: 0 });
                Ok(Side::Shim(Self { control: near, streams, id }))
            }
        }
    }
}

impl First {
    /// Ends one that nobody wants, and waits until it has ended.
    pub fn end(&self) {
        if let Some(pid) = i32::try_from(self.id.pid).ok().and_then(Pid::from_raw) {
            // A child has its number until it is taken leave of.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            while matches!(rustix::process::waitpid(Some(pid), WaitOptions::empty()), Err(rustix::io::Errno::INTR)) {}
        }
    }
}

/// The process, waited for.
pub struct Child {
    pid: Pid,
    /// One more child has ended, whichever.
    ended: Signals,
    /// It was asked for once, whatever is known.
    asked: bool,
}

impl Child {
    /// Needs a runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn of(first: &First) -> io::Result<Self> {
        let pid = i32::try_from(first.id.pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child())?;
        Ok(Self { pid, ended, asked: false })
    }

    /// How it ended; `None`: not by a code. May be dropped at any time.
    pub async fn wait(&mut self) -> Option<i64> {
        loop {
            if std::mem::replace(&mut self.asked, true) {
                self.ended.recv().await;
            }
            match rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => return status.exit_status().map(i64::from),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                // Somebody else has taken leave of it: it is gone.
                Err(_) => return None,
            }
        }
    }

    /// Ends it: with it, the kernel ends everything that it has begun in namespaces of its own.
    pub fn kill(&self) {
        // A child has its number until it is taken leave of.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }

    /// Ends it, and waits until it has ended.
    pub fn end(self) {
        self.kill();
        while matches!(rustix::process::waitpid(Some(self.pid), WaitOptions::empty()), Err(rustix::io::Errno::INTR)) {}
    }
}

impl Itself {
    /// Runs until the main process ends or the shim is gone. Whatever the shim has open is closed before.
    pub fn run(self, place: &Place) -> ExitCode {
        let [out, err] = &self.streams;
        if rustix::stdio::dup2_stdout(out).and_then(|()| rustix::stdio::dup2_stderr(err)).is_err() {
            return ExitCode::FAILURE;
        }
        drop(self.streams);
        init::run(&place.plan(), &self.control, self.groups)
    }
}
