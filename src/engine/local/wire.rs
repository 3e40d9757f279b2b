//! What the engine, a container's shim and its first process say to each other: one JSON value a message, descriptors
//! beside it.
//!
//! Engine and shim speak lines over the shim's unix socket, one question a connection. Shim and first process speak over
//! a pair of sockets that keeps messages apart; that pair is the first process's whole world outside of the container.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::bay::session::TermSize;

/// A longer message is not one of ours.
pub const MOST: usize = 192 * 1024;
/// Descriptors that come with one message, at most: a file of each control group.
const FDS: usize = 8;

/// What a connection to a shim is for: its first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// It is to run, as its plan says.
    Start,
    /// SIGTERM or what its spec says, SIGKILL after so many milliseconds. Answered when it has ended.
    Stop {
        /// The first signal's number.
        signal: i32,
        /// Time until SIGKILL, in milliseconds.
        grace: u64,
    },
    /// Answered when it has ended.
    Wait,
    /// After the answer, the terminal's bytes, both ways.
    Attach,
    /// The main process's terminal has this size.
    Resize(TermSize),
    /// One more process.
    Exec(Box<Program>),
    /// How one of those stands.
    ExecState(u64),
    /// A listener on this port of the container's own loopback; it comes beside the answer.
    Listen(u16),
}

/// The shim's answer, one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Done,
    /// It can't be done; why.
    Refused(String),
    /// A port of its own is another's.
    PortTaken(u16),
    /// The state does not allow it; why.
    Conflict(String),
    /// A process with this number; its streams come beside it.
    Began(u64),
    /// The process runs.
    Runs,
    /// The process has ended with this code.
    Ended(i64),
    /// No such process.
    Unknown,
}

/// A process in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its argv, not empty.
    pub command: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it starts, in the container.
    pub cwd: PathBuf,
    /// As whom.
    pub ids: (u32, u32),
    /// With a terminal of this size, or with pipes.
    pub tty: Option<TermSize>,
}

/// What the first process is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The rest of a world that was begun ahead.
    Settle(Box<Plan>),
    /// It may begin, once it has gone to the control groups whose files come beside this.
    Go,
    /// One more process, under this number.
    Exec(u64, Box<Program>),
    /// A signal for the main process.
    Signal(i32),
    /// One more process that reads and writes nothing, under this number.
    Probe(u64, Box<Program>),
    /// The process with this number and its group end now.
    Kill(u64),
    /// A listener on this port of the loopback, under this number.
    Listen(u64, u16),
    /// A socket that connects in this network, under this number.
    Socket(u64),
}

/// What the first process tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// As much of its world as can be made ahead is made.
    Ahead,
    /// The main process runs; its terminal comes beside this.
    Began,
    /// It can't be begun; why.
    Failed(String),
    /// It has ended with this code: everything else ends now.
    Ended(i64),
    /// The process with this number runs; its terminal or pipes come beside this.
    ExecBegan(u64),
    /// It can't be begun; why.
    ExecFailed(u64, String),
    /// It has ended.
    ExecEnded(u64, i64),
    /// The listener or socket with this number comes beside this.
    Gave(u64),
    /// There is none; why.
    GaveNot(u64, String),
}

/// One line.
///
/// # Errors
/// One that is too long.
pub fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = message(value)?;
    line.push(b'\n');
    Ok(line)
}

/// One message.
///
/// # Errors
/// One that is too long.
pub fn message(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(value)?;
    if bytes.len() > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "argv and environment are too long"));
    }
    Ok(bytes)
}

/// Reads one.
///
/// # Errors
/// What is none.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(bytes)?)
}

/// Sends bytes with descriptors beside the first of them; how many bytes went.
///
/// # Errors
/// The socket's.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

/// Takes what came, and the descriptors beside it. No bytes: the other end is closed.
///
/// # Errors
/// The socket's.
pub fn receive(socket: impl AsFd, space: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut beside = RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(space)];
    let received = rustix::net::recvmsg(socket, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let rights = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds = rights.flatten().collect();
    Ok((received.bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_goes_beside_its_message() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut kept, given) = UnixStream::pair().unwrap();
        let bytes = message(&Answer::Began(7)).unwrap();
        assert_eq!(send(&near, &bytes, &[given.as_fd()]).unwrap(), bytes.len());
        drop(given);
        let mut space = [0; 64];
        let (count, mut fds) = receive(&far, &mut space).unwrap();
        assert_eq!(read::<Answer>(&space[..count]).unwrap(), Answer::Began(7));
        let mut taken = UnixStream::from(fds.pop().unwrap());
        assert!(fds.is_empty());
        taken.write_all(b"by another hand").unwrap();
        drop(taken);
        let mut text = String::new();
        kept.read_to_string(&mut text).unwrap();
        assert_eq!(text, "by another hand");
        drop(near);
        assert_eq!(receive(&far, &mut space).unwrap().0, 0);
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_sent() {
        let program = Program { command: vec!["x".repeat(MOST)], ..Program::default() };
        assert!(line(&Ask::Exec(Box::new(program))).is_err());
    }
}
