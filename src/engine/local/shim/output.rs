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
    /// [`STUCK`], but in tests.
    stuck: Duration,
}

struct Reader {
    to: mpsc::Sender<Bytes>,
    /// It has no room since then.
    full_since: Option<Instant>,
}

impl Reader {
    fn is_full(&self) -> bool {
        self.to.capacity() == 0 && !self.to.is_closed()
    }

    /// There is room: it was asked for before this was read. At the end, there may be none.
    fn give(&mut self, bytes: Bytes) {
        let _ = self.to.try_send(bytes);
        // From now on, whatever else happens until somebody looks.
        if self.is_full() {
            self.full_since.get_or_insert_with(Instant::now);
        }
    }

    /// It is gone, or has taken nothing for too long.
    fn is_lost(&mut self, stuck: Duration) -> bool {
        if self.to.capacity() > 0 {
            self.full_since = None;
        }
        self.to.is_closed() || self.full_since.is_some_and(|since| since.elapsed() >= stuck)
    }
}

impl Output {
    pub fn open(dir: &Path, limits: &Limits) -> io::Result<Self> {
        let mut log = Writer::open(dir)?;
        log.set_limits(limits.log_max_size.as_u64(), limits.log_max_files);
        Ok(Self { log, streams: [None, None], readers: Vec::new(), stuck: STUCK })
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
        let full = self.readers.iter().filter(|reader| reader.is_full()).min_by_key(|reader| reader.full_since);
        if let Some(full) = full {
            let until = full.full_since.unwrap_or_else(Instant::now) + self.stuck;
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
        self.readers.retain_mut(|reader| !reader.is_lost(self.stuck));
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
                    self.readers.iter_mut().for_each(|reader| reader.give(bytes.clone()));
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
                while self.readers.iter().any(Reader::is_full) {
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
        self.readers.iter_mut().for_each(|reader| reader.give(bytes.clone()));
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_stuck_reader_is_cut_off_in_time_whatever_else_happens() {
        let dir = tempfile::tempdir().unwrap();
        let limits = crate::config::Config::defaults().unwrap().worker.limits;
        let mut output = Output::open(dir.path(), &limits).unwrap();
        let (near, far) = rustix::pipe::pipe().unwrap();
        output.connect(vec![near]).unwrap();
        output.stuck = Duration::from_secs(1);
        let mut far = std::fs::File::from(far);
        let _stuck = output.look();
        let mut lively = output.look();
        for _ in 0..AHEAD {
            far.write_all(b"x").unwrap();
            while lively.try_recv().is_err() {
                let ready = output.ready().await;
                output.take(ready);
            }
        }
        let begun = Instant::now();
        far.write_all(b"more").unwrap();
        // The shim has other things to do, and asks anew each time.
        while lively.try_recv().is_err() {
            if let Ok(ready) = tokio::time::timeout(Duration::from_millis(20), output.ready()).await {
                output.take(ready);
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "it is held up for {:?}", begun.elapsed());
        }
        assert!(begun.elapsed() >= Duration::from_millis(800), "{:?}", begun.elapsed());
    }
}
