//! Connections whose task is woken by what comes, and not by what the other side has read.
//!
//! The system tells whoever waits to write of each message that the other side takes in, and tokio's own sockets wait to
//! write always: a thread was woken for nothing after each message, at the very moment at which the other side works on it.
//! Here writing is waited for only where something did not fit.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{self, SendAncillaryBuffer, SendFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// Read at once.
const CHUNK: usize = 16 << 10;

/// A connection.
#[derive(Debug)]
pub struct Stream {
    near: AsyncFd<OwnedFd>,
    room: Room,
}

impl Stream {
    /// Of a socket.
    ///
    /// # Errors
    /// The system's.
    pub fn of(socket: UnixStream) -> io::Result<Self> {
        Ok(Self { near: watched(socket.into_std()?.into(), Interest::READABLE)?, room: Room::default() })
    }

    /// Until something can be read, or its end.
    ///
    /// # Errors
    /// The system's.
    pub async fn readable(&self) -> io::Result<()> {
        self.near.readable().await.map(|mut seen| seen.retain_ready())
    }
}

/// Room to write, waited for only while there is none.
#[derive(Debug, Default)]
pub struct Room(Option<AsyncFd<OwnedFd>>);

impl Room {
    /// Writes to `near`, which does not wait.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        near: &OwnedFd,
        write: impl Fn(&OwnedFd) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut seen = match &self.0 {
                Some(full) => Some(ready!(full.poll_write_ready(cx))?),
                None => None,
            };
            match write(near) {
                Err(Errno::AGAIN) => match &mut seen {
                    Some(seen) => seen.clear_ready(),
                    None => self.0 = Some(watched(rustix::io::dup(near)?, Interest::WRITABLE)?),
                },
                Err(Errno::INTR) => {}
                done => {
                    self.0 = None;
                    return Poll::Ready(done.map_err(io::Error::from));
                }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut seen = ready!(self.near.poll_read_ready(cx))?;
            // Callers offer far more room than what comes: it is not all cleared for a key.
            let mut space = [MaybeUninit::<u8>::uninit(); CHUNK];
            let room = to.remaining().min(CHUNK);
            match rustix::io::read(self.near.get_ref(), space.get_mut(..room).unwrap_or_default()) {
                Ok((read, _)) => {
                    if !read.is_empty() && read.len() < room {
                        // There was no more; what comes from now on wakes anew.
                        seen.clear_ready();
                    }
                    to.put_slice(read);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => seen.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { near, room } = &mut *self;
        room.poll_write(cx, near.get_ref(), |near| net::send(near, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { near, room } = &mut *self;
        let send =
            |near: &OwnedFd| net::sendmsg(near, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL);
        room.poll_write(cx, near.get_ref(), send)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match net::shutdown(self.near.get_ref(), net::Shutdown::Write) {
            // The other side was faster.
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// A descriptor that a task waits for.
///
/// # Errors
/// The system's.
#[expect(unsafe_code, reason = "tokio asks for a promise that an owned descriptor keeps by itself")]
pub fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always names the same descriptor, which is open as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    fn pair() -> (Stream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (Stream::of(near).unwrap(), far)
    }

    #[tokio::test]
    async fn more_than_fits_arrives_whole_both_ways_and_so_does_the_end() {
        let text: Vec<u8> = (0..4_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let (near, mut far) = pair();
        let (mut reading, mut writing) = tokio::io::split(near);
        let (sent, back) = (text.clone(), text.clone());
        let out = tokio::spawn(async move {
            writing.write_all(&sent).await.unwrap();
            writing.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert!(read == text);
        let answer = tokio::spawn(async move { far.write_all(&back).await.unwrap() });
        read.clear();
        timeout(Duration::from_secs(20), reading.read_to_end(&mut read)).await.unwrap().unwrap();
        assert!(read == text);
        out.await.unwrap();
        answer.await.unwrap();
    }

    #[tokio::test]
    async fn who_is_gone_can_not_be_written_to() {
        let (mut near, far) = pair();
        drop(far);
        assert!(near.write_all(b"fox").await.is_err());
        assert_eq!(near.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn what_the_other_side_reads_wakes_nobody() {
        let (mut near, mut far) = pair();
        near.write_all(b"fox").await.unwrap();
        let woken = async {
            near.readable().await.unwrap();
        };
        far.read_exact(&mut [0; 3]).await.unwrap();
        assert!(timeout(Duration::from_millis(20), woken).await.is_err());
        far.write_all(b"owl").await.unwrap();
        timeout(Duration::from_secs(20), near.readable()).await.unwrap().unwrap();
        let mut read = [0; 8];
        assert_eq!(near.read(&mut read).await.unwrap(), 3);
        assert!(near.room.0.is_none());
    }
}
