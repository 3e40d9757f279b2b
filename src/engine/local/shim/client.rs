//! Connections to a shim: one question each. None of them can hold up the container for long.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::output::Near;
use crate::engine::local::wire::{Answer, Ask, MOST, line, read, send};

/// Read at once from who types.
const CHUNK: usize = 4096;

/// What a connection wants of the task that decides.
pub struct Asked {
    pub ask: Ask,
    pub reply: oneshot::Sender<Reply>,
}

/// What it is given.
pub enum Reply {
    Answer(Answer),
    /// With descriptors beside it.
    With(Answer, Vec<OwnedFd>),
    /// What the terminal shows, and where to type as soon as there is one.
    Look(mpsc::Receiver<Bytes>, watch::Receiver<Option<Near>>),
}

/// Takes connections for ever.
pub async fn accept(listener: UnixListener, requests: mpsc::Sender<Asked>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, requests.clone()));
            }
            // Out of descriptors, most likely: some will be free again.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: UnixStream, requests: mpsc::Sender<Asked>) {
    let (reading, writing) = stream.into_split();
    let mut lines = BufReader::with_capacity(CHUNK, reading);
    let Some(ask) = first(&mut lines).await else { return };
    let (reply, answer) = oneshot::channel();
    if requests.send(Asked { ask, reply }).await.is_err() {
        return;
    }
    // `requests` is kept: as long as somebody is served, the shim stays.
    let answer = answer.await;
    let done = match answer {
        Ok(Reply::Answer(answer)) => tell(&writing, &answer, &[]).await,
        Ok(Reply::With(answer, fds)) => tell(&writing, &answer, &fds).await,
        Ok(Reply::Look(output, terminal)) => match tell(&writing, &Answer::Done, &[]).await {
            Ok(()) => {
                attach((lines, writing), output, terminal).await;
                Ok(())
            }
            error => error,
        },
        Err(_) => Ok(()),
    };
    // Nobody is there to be told.
    drop(done);
    drop(requests);
}

async fn first(lines: &mut BufReader<OwnedReadHalf>) -> Option<Ask> {
    let mut bytes = Vec::new();
    let mut bounded = lines.take(MOST as u64 + 1);
    bounded.read_until(b'\n', &mut bytes).await.ok().filter(|_| bytes.ends_with(b"\n"))?;
    read(&bytes).ok()
}

async fn tell(writing: &OwnedWriteHalf, answer: &Answer, fds: &[OwnedFd]) -> io::Result<()> {
    let bytes = line(answer)?;
    let beside: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
    let socket = writing.as_ref();
    loop {
        socket.writable().await?;
        // A few bytes: they go all at once or not at all.
        match socket.try_io(Interest::WRITABLE, || send(socket.as_fd(), &bytes, &beside)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other.map(drop),
        }
    }
}

async fn attach(
    (mut lines, mut writing): (BufReader<OwnedReadHalf>, OwnedWriteHalf),
    mut output: mpsc::Receiver<Bytes>,
    mut terminal: watch::Receiver<Option<Near>>,
) {
    let showing = async {
        while let Some(bytes) = output.recv().await {
            if writing.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let typing = async {
        // What is typed before it begins waits for it.
        let Ok(Some(near)) = terminal.wait_for(Option::is_some).await.map(|near| near.clone()) else { return };
        let mut chunk = [0; CHUNK];
        while let Ok(count @ 1..) = lines.read(&mut chunk).await {
            if type_in(&near, chunk.get(..count).unwrap_or_default()).await.is_err() {
                // Its end is told by the output's.
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = showing => {}
        () = typing => {}
    }
}

async fn type_in(near: &Near, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut guard = near.writable().await?;
        match guard.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), rest)?)) {
            Ok(Ok(count)) => rest = rest.get(count..).unwrap_or_default(),
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
    Ok(())
}
