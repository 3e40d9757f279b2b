//! Sockets of the container's network, for those outside of it: a socket stays in the network that it was made in.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Who connects while nobody accepts waits here: as long as a supervisor needs to begin anew.
const QUEUE: i32 = 1024;

/// Listens on the loopback alone.
pub fn listener(port: u16) -> io::Result<OwnedFd> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    rustix::net::listen(&listener, QUEUE)?;
    Ok(listener.into())
}

/// Not connected yet.
pub fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
}
