//! Connections: lines and bytes in, status and bytes out. None of them can hold up the service.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::service::protocol::{Ask, Hello, MAX_LINE, Outline, RefusedOrder, Status, Told, line};
use crate::stream::Stream;

/// The newest output, and what comes after it.
pub(super) type View = (Bytes, broadcast::Receiver<Bytes>);

/// What a connection wants of the task that decides.
pub(super) enum Asked {
    Order(Told),
    /// An order that can't be read: of another version.
    Strange(RefusedOrder),
    /// Bytes for the terminal; answered with whether it takes more.
    Typed(Bytes, oneshot::Sender<bool>),
    Look(oneshot::Sender<View>),
}

/// Read at once from who types.
const CHUNK: usize = 4096;
/// How long a terminal that does not take input is waited for, before it is asked again.
const RETRY: std::time::Duration = std::time::Duration::from_millis(50);

/// How long a client may take for its first line.
const HELLO: std::time::Duration = std::time::Duration::from_millis(if cfg!(test) { 200 } else { 5000 });

/// Takes connections for ever.
pub(super) async fn accept(listener: UnixListener, requests: mpsc::Sender<Asked>, shown: watch::Sender<Status>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, requests.clone(), shown.clone()));
            }
            // Out of descriptors, most likely: some will be free again.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn serve(stream: UnixStream, requests: mpsc::Sender<Asked>, shown: watch::Sender<Status>) {
    let Ok(stream) = Stream::of(stream) else { return };
    let (reading, writing) = tokio::io::split(stream);
    let mut lines = BufReader::with_capacity(CHUNK, reading);
    // Whatever its version is: the status says ours, and the client decides whether it can do with that. One that says
    // nothing is let go.
    let Ok(Some(Ok(hello))) = tokio::time::timeout(HELLO, next::<Hello>(&mut lines)).await else { return };
    match hello.ask {
        Ask::Control => control(lines, writing, requests, shown.subscribe()).await,
        Ask::Attach => attach(lines, writing, requests).await,
    }
}

/// The next line; `None`: the end, or something that is no line at all.
async fn next<T: DeserializeOwned>(lines: &mut BufReader<ReadHalf<Stream>>) -> Option<Result<T, RefusedOrder>> {
    let mut bytes = Vec::new();
    let mut bounded = lines.take(MAX_LINE as u64);
    bounded.read_until(b'\n', &mut bytes).await.ok().filter(|_| bytes.ends_with(b"\n"))?;
    let read = serde_json::from_slice(&bytes);
    Some(read.map_err(|error| {
        let Outline { id, .. } = serde_json::from_slice(&bytes).unwrap_or_default();
        RefusedOrder { id, why: error.to_string() }
    }))
}

async fn control(
    mut lines: BufReader<ReadHalf<Stream>>,
    mut writing: WriteHalf<Stream>,
    requests: mpsc::Sender<Asked>,
    mut status: watch::Receiver<Status>,
) {
    let telling = async {
        loop {
            let now = status.borrow_and_update().clone();
            let Ok(bytes) = line(&now) else { return };
            if writing.write_all(&bytes).await.is_err() || status.changed().await.is_err() {
                return;
            }
        }
    };
    let hearing = async {
        while let Some(order) = next::<Told>(&mut lines).await {
            if requests.send(order.map_or_else(Asked::Strange, Asked::Order)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = telling => {}
        () = hearing => {}
    }
}

async fn attach(mut lines: BufReader<ReadHalf<Stream>>, mut writing: WriteHalf<Stream>, requests: mpsc::Sender<Asked>) {
    let (reply, view) = oneshot::channel();
    if requests.send(Asked::Look(reply)).await.is_err() {
        return;
    }
    let Ok((newest, mut live)) = view.await else { return };
    let showing = async {
        if writing.write_all(&newest).await.is_err() {
            return;
        }
        // Who is too far behind is cut off, and sees the newest when it comes again.
        while let Ok(bytes) = live.recv().await {
            if writing.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let typing = async {
        let mut chunk = [0; CHUNK];
        while let Ok(count @ 1..) = lines.read(&mut chunk).await {
            let bytes = Bytes::copy_from_slice(chunk.get(..count).unwrap_or_default());
            let (room, answer) = oneshot::channel();
            if requests.send(Asked::Typed(bytes, room)).await.is_err() {
                return;
            }
            if answer.await == Ok(false) {
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    tokio::select! {
        () = showing => {}
        () = typing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_says_nothing_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (requests, _asked) = mpsc::channel(1);
        let (shown, _) = watch::channel(Status::default());
        let accepting = tokio::spawn(accept(listener, requests, shown));
        let begun = tokio::time::Instant::now();
        let mut silent = UnixStream::connect(&socket).await.unwrap();
        silent.write_all(b"half a").await.unwrap();
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(begun.elapsed() >= HELLO);
        // Others are heard meanwhile and afterwards.
        let mut client = UnixStream::connect(&socket).await.unwrap();
        let hello = line(&Hello { version: 1, ask: Ask::Control }).unwrap();
        client.write_all(&hello).await.unwrap();
        let mut status = String::new();
        BufReader::new(client).read_line(&mut status).await.unwrap();
        assert!(status.starts_with("{\"version\":"), "{status}");
        accepting.abort();
    }
}
