//! The supervisor's end of a shim: finding it, starting it, telling it, hearing from it.
//!
//! A shim counts as dead only when nobody listens on its socket and its lock is free. Whatever else keeps it from being
//! spoken with, it lives, and nothing takes its place.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::ServiceError;
use super::protocol::{Ask, FirstWord, Hello, MAX_LINE, Place, Status, Told, VERSION, line, unreadable};
use crate::stream::Stream;

/// How long a shim may take to begin: it may have to end what an earlier one left.
const BEGIN: Duration = Duration::from_secs(10);
/// How long a shim may take to answer.
const ANSWER: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(5) };
/// How long one that has its lock may take to listen, or to let go of it.
const SETTLE: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(2) };
/// Between two looks, meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// A connection to a shim.
#[derive(Debug)]
pub struct Link {
    lines: Lines,
    writing: OwnedWriteHalf,
}

/// The half that hears.
#[derive(Debug)]
struct Lines {
    reading: BufReader<OwnedReadHalf>,
    partial: Vec<u8>,
}

/// Why nothing more is heard on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The other end is closed.
    Closed,
    /// What came can't be read; in words.
    Unreadable(String),
}

impl Link {
    /// The shim that lives there, or `None`: it is dead, or there never was one.
    ///
    /// # Errors
    /// [`ServiceError::Mute`]: one that lives and can't be spoken with.
    pub async fn connect(place: &Place) -> Result<Option<(Self, Status)>, ServiceError> {
        let begun = Instant::now();
        loop {
            let Some(stream) = open(place, Ask::Control, begun).await? else { return Ok(None) };
            let (reading, writing) = stream.into_split();
            let mut link = Self { lines: Lines { reading: BufReader::new(reading), partial: Vec::new() }, writing };
            match timeout(ANSWER, link.next()).await {
                Ok(Ok(status)) => return Ok(Some((link, status))),
                Ok(Err(Silence::Unreadable(why))) => return Err(ServiceError::Mute(why)),
                // It ended at this moment, or does not want to speak.
                Ok(Err(Silence::Closed)) if begun.elapsed() < SETTLE => tokio::time::sleep(LOOK).await,
                Ok(Err(Silence::Closed)) => {
                    let why = format!("it hangs up at once; this podbay speaks protocol {VERSION}");
                    return Err(ServiceError::Mute(why));
                }
                Err(_) => {
                    return Err(ServiceError::Mute(format!("it does not answer within {ANSWER:?}")));
                }
            }
        }
    }

    /// The shim that lives there, or a new one.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn open(place: &Place, program: &Path, label: &str) -> Result<(Self, Status), ServiceError> {
        // One that was started may end before it is spoken with.
        for _ in 0..3 {
            if let Some(link) = Self::connect(place).await? {
                return Ok(link);
            }
            match start(place, program, label).await {
                Ok(()) | Err(ServiceError::Held) => {}
                Err(error) => return Err(error),
            }
        }
        match Self::connect(place).await? {
            Some(link) => Ok(link),
            None => Err(ServiceError::Shim("it ends as soon as it has begun".to_owned())),
        }
    }

    /// Gives an order.
    ///
    /// # Errors
    /// The connection's: the shim is gone, or takes none.
    pub async fn tell(&mut self, told: &Told) -> Result<(), ServiceError> {
        let bytes = line(told).map_err(|error| ServiceError::Shim(error.to_string()))?;
        let written = timeout(ANSWER, self.writing.write_all(&bytes)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ServiceError::Shim(error.to_string())),
            Err(_) => Err(ServiceError::Mute("it takes no orders".to_owned())),
        }
    }

    /// The next status. May be dropped at any time.
    ///
    /// # Errors
    /// [`Silence`]: nothing more comes, which does not mean that the shim is dead.
    pub async fn next(&mut self) -> Result<Status, Silence> {
        let lines = &mut self.lines;
        while !lines.partial.ends_with(b"\n") {
            if lines.partial.len() > MAX_LINE {
                return Err(Silence::Unreadable("its lines have no end".to_owned()));
            }
            // What was read before this is dropped stays in `partial`.
            match lines.reading.read_until(b'\n', &mut lines.partial).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Silence::Closed),
            }
        }
        let line = std::mem::take(&mut lines.partial);
        serde_json::from_slice(&line).map_err(|error| Silence::Unreadable(unreadable(&line, &error)))
    }
}

/// The terminal of a service: newest output first.
///
/// # Errors
/// Nobody listens there, or does not take the first line.
pub async fn attach(place: &Place) -> Result<Stream, ServiceError> {
    let stream = open(place, Ask::Attach, Instant::now()).await?;
    let stream = stream.ok_or_else(|| ServiceError::Shim("it does not run".to_owned()))?;
    Stream::of(stream).map_err(|error| ServiceError::Shim(error.to_string()))
}

/// A connection on which the first line was sent; `None`: the shim is dead.
async fn open(place: &Place, ask: Ask, begun: Instant) -> Result<Option<UnixStream>, ServiceError> {
    let hello = line(&Hello { version: VERSION, ask }).map_err(|error| ServiceError::Shim(error.to_string()))?;
    let mut woken = false;
    loop {
        let error = match timeout(ANSWER, dial(place, &hello)).await {
            Ok(Ok(stream)) => return Ok(Some(stream)),
            Ok(Err(error)) => error,
            Err(_) => io::Error::from(ErrorKind::TimedOut),
        };
        let nobody = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
        if nobody && is_free(place) {
            return Ok(None);
        }
        if error.kind() == ErrorKind::NotFound && !std::mem::replace(&mut woken, true) {
            // Somebody removed its socket: it makes another.
            last_status(place).inspect(|status| status.shim.signal(Signal::HUP));
        }
        if begun.elapsed() > SETTLE {
            return Err(ServiceError::Mute(format!("it has its lock, and can't be reached: {error}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn dial(place: &Place, hello: &[u8]) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(&place.socket).await?;
    stream.write_all(hello).await?;
    Ok(stream)
}

/// Whether no shim has its lock. Shared, so that two who look do not disturb each other.
fn is_free(place: &Place) -> bool {
    match File::open(place.shim_lock()) {
        Ok(file) => !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Starts a shim and waits until it listens. It is nobody's child for long: it leads a session of its own, and lives on
/// when this process ends.
async fn start(place: &Place, program: &Path, label: &str) -> Result<(), ServiceError> {
    std::fs::create_dir_all(&place.dir).map_err(ServiceError::at("can't make the directory", &place.dir))?;
    let errors = place.dir.join("shim.err");
    let stderr = File::create(&errors).map_err(ServiceError::at("can't write", &errors))?;
    let mut command = tokio::process::Command::new(program);
    command.arg("shim").arg(&place.dir).arg(&place.socket).arg(label);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).current_dir("/");
    let mut child = command.spawn().map_err(|error| ServiceError::Shim(format!("it can't be started: {error}")))?;
    let mut word = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::new(stdout.take(MAX_LINE as u64));
        let read = timeout(BEGIN, stdout.read_line(&mut word)).await;
        read.map_err(|_| ServiceError::Shim(format!("it does not begin within {}s", BEGIN.as_secs())))
            .and_then(|read| read.map_err(|error| ServiceError::Shim(error.to_string())))?;
    }
    let answer = serde_json::from_str(&word);
    // Its end is noticed by its connection; this only takes leave of the process.
    tokio::spawn(async move { child.wait().await });
    match answer {
        Ok(FirstWord::Ready) => Ok(()),
        Ok(FirstWord::Held) => Err(ServiceError::Held),
        Ok(FirstWord::Refused(why)) => Err(ServiceError::Shim(why)),
        Err(_) => {
            let said = std::fs::read_to_string(&errors).unwrap_or_default();
            let last = said.lines().last().unwrap_or("it said nothing");
            Err(ServiceError::Shim(format!("it ended before it began: {last}")))
        }
    }
}

/// What the last shim of a service wrote down; `None`: there was none, or it can't be read.
#[must_use]
pub fn last_status(place: &Place) -> Option<Status> {
    serde_json::from_slice(&std::fs::read(place.status()).ok()?).ok()
}

/// The program of this process, also after another was put in its place.
#[must_use]
pub fn own_program() -> std::path::PathBuf {
    if cfg!(target_os = "linux") {
        return "/proc/self/exe".into();
    }
    std::env::current_exe().unwrap_or_else(|_| "podbay".into())
}

#[cfg(test)]
mod tests;
