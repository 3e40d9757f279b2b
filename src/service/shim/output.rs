//! What a run writes: into the log, and to whoever looks at its terminal.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast;

use super::spawn::{self, Ends};
use crate::bay::session::TermSize;
use crate::service::log::{Position, Writer};
use crate::stream;

/// Read at once, at most.
const CHUNK: usize = 256 * 1024;
/// Read at once, as long as that is enough.
const FIRST: usize = 16 * 1024;
/// More than a pipe or a terminal ever holds.
const HOLDS: usize = 4 * spawn::PIPE;
/// So much in one read means that the writer soon waits: half of what a pipe holds at first.
const MUCH: usize = 32 * 1024;
/// The newest output of a terminal that somebody who comes later is shown.
const KEPT: usize = 128 * 1024;
/// Pieces that a reader of the terminal may be behind; then it is cut off, and comes back for the newest.
const BEHIND: usize = 64;
/// Input that the program does not read. More is refused: who types waits.
const TYPED: usize = 256 * 1024;

/// The streams of a run, and where they go.
pub(super) struct Output {
    log: Writer,
    streams: [Option<AsyncFd<OwnedFd>>; 2],
    is_terminal: bool,
    /// Pipes that hold more by now.
    enlarged: [bool; 2],
    chunk: Vec<u8>,
    /// Where a stream is read without being taken.
    scratch: Option<(OwnedFd, OwnedFd)>,
    kept: VecDeque<u8>,
    live: broadcast::Sender<Bytes>,
    typed: VecDeque<u8>,
    /// While the terminal takes no more.
    room: Option<AsyncFd<OwnedFd>>,
}

/// What can be done now.
pub(super) enum Ready {
    /// This stream has something to be read, or has ended.
    Read(usize),
    /// The terminal takes input.
    Write,
}

impl Output {
    pub fn open(dir: &Path) -> io::Result<Self> {
        let (live, _) = broadcast::channel(BEHIND);
        Ok(Self {
            log: Writer::open(dir)?,
            streams: [None, None],
            is_terminal: false,
            enlarged: [false; 2],
            chunk: Vec::new(),
            scratch: spawn::plain_pipe().ok(),
            kept: VecDeque::new(),
            live,
            typed: VecDeque::new(),
            room: None,
        })
    }

    pub fn log(&mut self) -> &mut Writer {
        &mut self.log
    }

    pub fn position(&mut self) -> Position {
        self.log.position()
    }

    /// What a killed shim had not read.
    pub fn inherit(&mut self, rest: [File; 2]) {
        for (index, mut stream) in rest.into_iter().enumerate() {
            let mut chunk = vec![0; CHUNK];
            let mut read = 0;
            while read < HOLDS
                && let Ok(count @ 1..) = stream.read(&mut chunk)
            {
                read += count;
                self.log.take(index == 1, chunk.get(..count).unwrap_or_default(), Timestamp::now());
            }
        }
        self.log.finish(Timestamp::now());
    }

    /// The streams of a new run.
    pub fn connect(&mut self, ends: Ends) -> io::Result<()> {
        self.typed.clear();
        self.room = None;
        self.enlarged = [false; 2];
        match ends {
            Ends::Pipes { out, err } => {
                self.is_terminal = false;
                self.streams = [Some(watched(out)?), Some(watched(err)?)];
            }
            Ends::Terminal(near) => {
                self.is_terminal = true;
                // Room to write is waited for where there is none: what the program reads wakes nobody.
                self.streams = [Some(stream::watched(near, Interest::READABLE)?), None];
            }
        }
        Ok(())
    }

    /// Waits for what can be done. Pending while nothing is open. May be dropped at any time.
    pub async fn ready(&self) -> Ready {
        let [out, err] = &self.streams;
        let typing = self.is_terminal && !self.typed.is_empty();
        tokio::select! {
            () = readable(out.as_ref()) => Ready::Read(0),
            () = readable(err.as_ref()) => Ready::Read(1),
            () = writable(self.room.as_ref()), if typing => Ready::Write,
        }
    }

    pub fn take(&mut self, ready: &Ready) {
        match ready {
            // One piece a turn, so that orders and ends are heard in a flood, too.
            Ready::Read(stream) => drop(self.read(*stream)),
            Ready::Write => self.write(),
        }
    }

    /// Reads one piece; `false`: there is nothing more at present, or ever.
    fn read(&mut self, index: usize) -> bool {
        let Some(Some(stream)) = self.streams.get(index) else { return false };
        room(&mut self.chunk);
        let chunk = &mut self.chunk;
        let scratch = if self.is_terminal { None } else { self.scratch.as_ref() };
        // Through the readiness that was seen: what comes after this read wakes the next wait.
        let result = stream.try_io(Interest::READABLE, |fd| match scratch.map(|scratch| peek(fd, scratch, chunk)) {
            Some(Ok(count @ 1..)) => Ok((count, true)),
            // A flood, the end, or nothing.
            _ => Ok((rustix::io::read(fd, chunk.as_mut_slice())?, false)),
        });
        let peeked = result.as_ref().is_ok_and(|(_, peeked)| *peeked);
        let result = result.map(|(count, _)| count);
        let seen = result.as_ref().copied().unwrap_or(0);
        let more = self.took(index, result);
        if peeked {
            self.consume(index, seen);
        }
        more
    }

    /// Takes from a stream what is in the log by now. A shim that is killed before leaves it for the next one: a line may
    /// come twice then, but is never lost.
    fn consume(&mut self, index: usize, count: usize) {
        let Some(Some(stream)) = self.streams.get(index) else { return };
        let mut left = count;
        while left > 0 {
            let Some(space) = self.chunk.get_mut(..left) else { return };
            match rustix::io::read(stream.get_ref(), space) {
                Ok(count @ 1..) => left -= count,
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// The same, whatever is known of readiness; how much it was.
    fn read_the_rest(&mut self, index: usize) -> Option<usize> {
        let Some(Some(stream)) = self.streams.get(index) else { return None };
        room(&mut self.chunk);
        let result = rustix::io::read(stream.get_ref(), self.chunk.as_mut_slice()).map_err(io::Error::from);
        let count = result.as_ref().copied().unwrap_or(0);
        self.took(index, result).then_some(count)
    }

    fn took(&mut self, index: usize, result: io::Result<usize>) -> bool {
        match result {
            Ok(count) if count > 0 => {
                self.pass_on(index, count);
                if count == self.chunk.len() {
                    // There is more; the buffer grows with the flood, and goes with it.
                    self.chunk.resize((2 * count).min(CHUNK), 0);
                }
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Its end; of a terminal that nobody has open any more, an error.
            Ok(_) | Err(_) => {
                if let Some(slot) = self.streams.get_mut(index) {
                    *slot = None;
                }
                self.room = None;
            }
        }
        self.let_go();
        false
    }

    fn pass_on(&mut self, index: usize, count: usize) {
        if count >= MUCH
            && !self.is_terminal
            && let Some(Some(stream)) = self.streams.get(index)
            && self.enlarged.get_mut(index).is_some_and(|enlarged| !std::mem::replace(enlarged, true))
        {
            // Only for who floods: a user's pipes share what the system allows them.
            spawn::enlarge(stream.get_ref());
        }
        let chunk = std::mem::take(&mut self.chunk);
        let bytes = chunk.get(..count).unwrap_or_default();
        self.log.take(index == 1, bytes, Timestamp::now());
        if self.is_terminal {
            self.keep(bytes);
            // Nobody looks, most of the time.
            let _ = self.live.send(Bytes::copy_from_slice(bytes));
        }
        self.chunk = chunk;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let surplus = (self.kept.len() + bytes.len()).saturating_sub(KEPT);
        self.kept.drain(..surplus.min(self.kept.len()));
        self.kept.extend(bytes);
    }

    /// A quiet service costs no buffer.
    fn let_go(&mut self) {
        self.chunk = Vec::new();
    }

    /// Everything that the run has written is read; what a process outside of it still holds open is closed. No more than
    /// a stream can hold: whoever writes on for ever is not of the run.
    pub fn finish(&mut self) {
        for index in 0..2 {
            let mut read = 0;
            while read < HOLDS
                && let Some(count) = self.read_the_rest(index)
            {
                read += count;
            }
        }
        self.streams = [None, None];
        // It names the terminal, too, which is let go of here.
        self.room = None;
        self.log.finish(Timestamp::now());
        self.let_go();
    }

    /// The newest output of the terminal, and what comes after it.
    pub fn look(&mut self) -> (Bytes, broadcast::Receiver<Bytes>) {
        (Bytes::copy_from_slice(self.kept.make_contiguous()), self.live.subscribe())
    }

    /// Types into the terminal; `false`: its program does not read, so that no more is taken now.
    pub fn type_in(&mut self, bytes: &[u8]) -> bool {
        if self.is_terminal && self.typed.len() < TYPED {
            self.typed.extend(bytes);
            self.write();
        }
        self.typed.len() < TYPED
    }

    pub fn has_room(&self) -> bool {
        self.typed.len() < TYPED
    }

    fn write(&mut self) {
        let [Some(terminal), _] = &self.streams else { return self.forget() };
        while !self.typed.is_empty() {
            let (front, _) = self.typed.as_slices();
            let write = |fd: &OwnedFd| Ok(rustix::io::write(fd, front)?);
            let written = match &self.room {
                Some(room) => room.try_io(Interest::WRITABLE, write),
                None => write(terminal.get_ref()),
            };
            match written {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.room.is_some() => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let room = rustix::io::dup(terminal.get_ref()).map_err(io::Error::from);
                    match room.and_then(|room| stream::watched(room, Interest::WRITABLE)) {
                        Ok(room) => self.room = Some(room),
                        Err(_) => return self.forget(),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.forget(),
            }
        }
        self.room = None;
    }

    /// Nobody is there to read it.
    fn forget(&mut self) {
        self.typed.clear();
        self.room = None;
    }

    pub fn resize(&self, size: TermSize) {
        if let ([Some(terminal), _], true) = (&self.streams, self.is_terminal) {
            // A terminal that ends at this moment has no size.
            let _ = spawn::resize(terminal.get_ref(), size);
        }
    }
}

/// Reads without taking: 0 when there is nothing, or so much that it is taken at once.
#[cfg(target_os = "linux")]
fn peek(stream: &OwnedFd, (near, far): &(OwnedFd, OwnedFd), chunk: &mut [u8]) -> io::Result<usize> {
    let waiting = usize::try_from(rustix::io::ioctl_fionread(stream)?).unwrap_or(usize::MAX);
    if waiting == 0 || waiting > chunk.len().min(FIRST) {
        return Ok(0);
    }
    let count = rustix::pipe::tee(stream, far, waiting, rustix::pipe::SpliceFlags::NONBLOCK)?;
    let mut read = 0;
    while read < count {
        match rustix::io::read(near, chunk.get_mut(read..count).unwrap_or_default())? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

#[cfg(not(target_os = "linux"))]
const fn peek(_: &OwnedFd, _: &(OwnedFd, OwnedFd), _: &mut [u8]) -> io::Result<usize> {
    Ok(0)
}

fn room(chunk: &mut Vec<u8>) {
    if chunk.is_empty() {
        chunk.resize(FIRST, 0);
    }
}

#[expect(unsafe_code, reason = "tokio asks for a promise that an owned descriptor keeps by itself")]
pub(crate) fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always names the same descriptor, which is open as long as it lives.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

pub(crate) async fn readable(stream: Option<&AsyncFd<OwnedFd>>) {
    match stream {
        // A descriptor that can't be watched any more is read, which says so.
        Some(stream) => drop(stream.readable().await.map(|mut guard| guard.retain_ready())),
        None => std::future::pending().await,
    }
}

async fn writable(stream: Option<&AsyncFd<OwnedFd>>) {
    match stream {
        Some(stream) => drop(stream.writable().await.map(|mut guard| guard.retain_ready())),
        None => std::future::pending().await,
    }
}
