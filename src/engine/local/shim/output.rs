//! What the main process writes: into the log, and to whoever looks at it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bay::template::Limits;
use crate::service::log::Writer;
use crate::service::shim::output::{readable, watched};

/// Read at once.
const CHUNK: usize = 16 * 1024;
/// Pieces that wait for a reader; then the program does, as at any terminal.
const AHEAD: usize = 16;
/// A reader that takes nothing for so long is cut off: it must not hold up the program for ever.
const STUCK: Duration = Duration::from_secs(5);
/// More than a terminal or a pipe holds.
const HOLDS: usize = 1 << 20;

/// A stream's near end.
pub type Near = Arc<AsyncFd<OwnedFd>>;

/// The streams of the run, and where they go.
pub struct Output {
    log: Writer,
    /// Output and errors, or the terminal alone.
    streams: [Option<Near>; 2],
    readers: Vec<Reader>,
}

struct Reader {
    to: mpsc::Sender<Bytes>,
    /// Something waits for it since then.
    full_since: Option<Instant>,
}

impl Output {
    pub fn open(dir: &Path, limits: &Limits) -> io::Result<Self> {
        let mut log = Writer::open(dir)?;
        log.set_limits(limits.log_max_size.as_u64(), limits.log_max_files);
        Ok(Self { log, streams: [None, None], readers: Vec::new() })
    }

    /// The streams of the run.
    pub fn connect(&mut self, ends: Vec<OwnedFd>) -> io::Result<()> {
        for (slot, end) in self.streams.iter_mut().zip(ends) {
            let flags = rustix::fs::fcntl_getfl(&end)?;
            rustix::fs::fcntl_setfl(&end, flags | rustix::fs::OFlags::NONBLOCK)?;
            *slot = Some(Arc::new(watched(end)?));
        }
        Ok(())
    }

    /// The terminal, or what would be one.
    pub fn first(&self) -> Option<Near> {
        self.streams.first().cloned().flatten()
    }

    /// One more reader, of what comes from now on.
    pub fn look(&mut self) -> mpsc::Receiver<Bytes> {
        let (to, from) = mpsc::channel(AHEAD);
        self.readers.push(Reader { to, full_since: None });
        from
    }

    /// Waits for what can be read, or for a reader that holds it up. May be dropped at any time.
    pub async fn ready(&self) -> Option<usize> {
        if let Some(full) = self.readers.iter().find(|reader| reader.to.capacity() == 0 && !reader.to.is_closed()) {
            let until = full.full_since.unwrap_or_else(Instant::now) + STUCK;
            // Whether it takes something, is gone or is stuck: looked at anew.
            let _ = tokio::time::timeout_at(until, full.to.reserve()).await;
            return None;
        }
        let [out, err] = &self.streams;
        tokio::select! {
            () = readable(out.as_deref()) => Some(0),
            () = readable(err.as_deref()) => Some(1),
        }
    }

    /// Takes one piece of what is ready.
    pub fn take(&mut self, ready: Option<usize>) {
        self.readers.retain_mut(|reader| {
            let full = reader.to.capacity() == 0;
            if !full {
                reader.full_since = None;
            }
            let since = *reader.full_since.get_or_insert_with(Instant::now);
            if !full {
                reader.full_since = None;
            }
            !(reader.to.is_closed() || full && since.elapsed() >= STUCK)
        });
        if let Some(index) = ready {
            self.read(index);
        }
    }

    /// How much was read; `None`: nothing is there at present, or ever.
    fn read(&mut self, index: usize) -> Option<usize> {
        let slot = self.streams.get_mut(index)?;
        let mut space = [0; CHUNK];
        let result = slot.as_ref()?.try_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut space)?));
        match result {
            Ok(count) if count > 0 => {
                let bytes = space.get(..count).unwrap_or_default();
                self.log.take(index == 1, bytes, Timestamp::now());
                if !self.readers.is_empty() {
                    let bytes = Bytes::copy_from_slice(bytes);
                    // There is room: it was asked for before this was read. At the end, there may be none.
                    self.readers.iter().for_each(|reader| drop(reader.to.try_send(bytes.clone())));
                }
                Some(count)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
            // Its end; of a terminal that nobody has open any more, an error.
            Ok(_) | Err(_) => {
                *slot = None;
                None
            }
        }
    }

    /// Everything that the run has written is read: it has ended, so no more comes. Readers get it, unless they are
    /// stuck.
    pub async fn finish(&mut self) {
        for index in 0..self.streams.len() {
            let mut read = 0;
            while read < HOLDS {
                while self.readers.iter().any(|reader| reader.to.capacity() == 0 && !reader.to.is_closed()) {
                    if self.ready().await.is_none() {
                        self.take(None);
                    }
                }
                match self.rest(index) {
                    Some(count) => read += count,
                    None => break,
                }
            }
        }
        self.streams = [None, None];
        self.readers.clear();
        self.log.finish(Timestamp::now());
    }

    /// Like `read`, whatever is known of readiness.
    fn rest(&mut self, index: usize) -> Option<usize> {
        let mut space = [0; CHUNK];
        let stream = self.streams.get(index)?.as_ref()?;
        let count = rustix::io::read(stream.get_ref(), &mut space).ok().filter(|count| *count > 0)?;
        let bytes = space.get(..count)?;
        self.log.take(index == 1, bytes, Timestamp::now());
        let bytes = Bytes::copy_from_slice(bytes);
        self.readers.iter().for_each(|reader| drop(reader.to.try_send(bytes.clone())));
        Some(count)
    }
}
