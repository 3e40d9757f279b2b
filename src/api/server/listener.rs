//! The unix socket: made private, a stale one replaced, foreign users turned away.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::UnixListener;
use tokio::net::unix::SocketAddr;

use crate::stream::Stream;

/// Accepts connections of this user and of root.
pub struct Guarded {
    socket: UnixListener,
    uid: u32,
}

/// Binds the socket. The caller holds the bay's lock, so a socket that is there belongs to nobody.
///
/// # Errors
/// The system's, or that something else than a socket is in its place: that is never removed.
pub fn bind(path: &Path) -> io::Result<Guarded> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            // The lock lies in the state directory: a supervisor with another one may listen here.
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                let text = "another supervisor listens on podbay's socket; does it use another state directory?";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => {
            let text = "something that is not a socket is in the place of podbay's socket; move it away";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // The mode is 0600 from the first moment: the process's umask has seen to it.
    let socket = UnixListener::bind(path)?;
    Ok(Guarded { socket, uid: rustix::process::getuid().as_raw() })
}

impl Listener for Guarded {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.uid || peer.uid() == 0 => match Stream::of(stream) {
                        Ok(stream) => return (stream, address),
                        Err(error) => tracing::warn!(%error, "a client could not be heard"),
                    },
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "another user was turned away"),
                    Err(error) => tracing::warn!(%error, "a client without credentials was turned away"),
                },
                Err(error) => {
                    // Out of descriptors: waiting is all that helps.
                    tracing::warn!(%error, "a client could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}
