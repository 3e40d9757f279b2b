//! The near ends of processes as streams: a terminal both ways, or three pipes.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest, ReadBuf};
use tokio::net::unix::pipe;

use crate::engine::{Chunk, EngineError, ExecIo, RawTty};
use crate::stream::{Room, watched};

/// A terminal's near end. With the last one of them, its programs are hung up.
pub type Near = Arc<AsyncFd<OwnedFd>>;

struct Terminal {
    near: Near,
    room: Room,
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.near.poll_read_ready(cx))?;
            let space = to.initialize_unfilled();
            match guard.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *space)?)) {
                Ok(Ok(count)) => {
                    to.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody has it open any more: its end.
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { near, room } = &mut *self;
        room.poll_write(cx, near.get_ref(), |near| rustix::io::write(near, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A terminal's streams, and its near end for its size.
///
/// # Errors
/// The system's.
pub fn terminal(end: OwnedFd) -> io::Result<(RawTty, Near)> {
    let flags = rustix::fs::fcntl_getfl(&end)?;
    rustix::fs::fcntl_setfl(&end, flags | rustix::fs::OFlags::NONBLOCK)?;
    let near = Arc::new(watched(end, Interest::READABLE)?);
    let half = || Box::new(Terminal { near: near.clone(), room: Room::default() });
    let tty = RawTty { output: half(), input: half() };
    Ok((tty, near))
}

/// Three pipes: what it reads, what it writes, its errors.
///
/// # Errors
/// The system's; fewer than three.
pub fn pipes(ends: Vec<OwnedFd>) -> io::Result<ExecIo> {
    let mut ends = ends.into_iter();
    let (Some(input), Some(out), Some(err)) = (ends.next(), ends.next(), ends.next()) else {
        return Err(io::Error::other("its pipes did not come"));
    };
    let input = pipe::Sender::from_owned_fd(input)?;
    let out = chunks(pipe::Receiver::from_owned_fd(out)?, false);
    let err = chunks(pipe::Receiver::from_owned_fd(err)?, true);
    Ok(ExecIo::Pipes { output: stream::select(out, err).boxed(), input: Box::new(Input(Some(input))) })
}

/// Shutting it down closes it: the program's stdin ends.
struct Input(Option<pipe::Sender>);

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(pipe) => Pin::new(pipe).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

fn chunks(pipe: pipe::Receiver, stderr: bool) -> BoxStream<'static, Result<Chunk, EngineError>> {
    let read = move |mut pipe: pipe::Receiver| async move {
        let mut bytes = vec![0; 16 * 1024];
        match pipe.read(&mut bytes).await {
            Ok(count @ 1..) => {
                bytes.truncate(count);
                Some((Ok(Chunk { stderr, bytes: Bytes::from(bytes) }), pipe))
            }
            Ok(0) | Err(_) => None,
        }
    };
    stream::unfold(pipe, read).boxed()
}
