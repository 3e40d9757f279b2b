//! The supervisor's end of a shim: finding it, starting it, telling it, hearing from it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::ServiceError;
use super::protocol::{Ask, FirstWord, Hello, MAX_LINE, Place, Status, Told, VERSION, line};

/// How long a shim may take to begin: it may have to end what an earlier one left.
const BEGIN: Duration = Duration::from_secs(10);
/// How long a shim may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to a shim.
pub struct Link {
    lines: Lines,
    writing: OwnedWriteHalf,
}

/// The half that hears.
struct Lines {
    reading: BufReader<OwnedReadHalf>,
    partial: Vec<u8>,
}

impl Link {
    /// The shim that lives there, or `None`: nobody listens.
    ///
    /// # Errors
    /// One that listens and does not answer.
    pub async fn connect(place: &Place) -> Result<Option<(Self, Status)>, ServiceError> {
        let Some(stream) = open(place, Ask::Control).await? else { return Ok(None) };
        let (reading, writing) = stream.into_split();
        let mut link = Self { lines: Lines { reading: BufReader::new(reading), partial: Vec::new() }, writing };
        match timeout(ANSWER, link.next()).await {
            Ok(Some(status)) => Ok(Some((link, status))),
            // It ended at this moment.
            Ok(None) => Ok(None),
            Err(_) => Err(ServiceError::Shim(format!("it does not answer within {}s", ANSWER.as_secs()))),
        }
    }

    /// The shim that lives there, or a new one.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn open(place: &Place, program: &Path, label: &str) -> Result<(Self, Status), ServiceError> {
        // A shim that ends at this moment lets go of its lock a little later than of its socket.
        for _ in 0..3 {
            if let Some(link) = Self::connect(place).await? {
                return Ok(link);
            }
            match start(place, program, label).await {
                Ok(()) => {}
                Err(ServiceError::Held) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error),
            }
        }
        match Self::connect(place).await? {
            Some(link) => Ok(link),
            None => Err(ServiceError::Held),
        }
    }

    /// Gives an order.
    ///
    /// # Errors
    /// The connection's: the shim is gone.
    pub async fn tell(&mut self, told: &Told) -> Result<(), ServiceError> {
        let bytes = line(told).map_err(|error| ServiceError::Shim(error.to_string()))?;
        let written = timeout(ANSWER, self.writing.write_all(&bytes)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ServiceError::Shim(error.to_string())),
            Err(_) => Err(ServiceError::Shim("it takes no orders".to_owned())),
        }
    }

    /// The next status; `None`: the shim is gone. May be dropped at any time.
    pub async fn next(&mut self) -> Option<Status> {
        let lines = &mut self.lines;
        while !lines.partial.ends_with(b"\n") {
            if lines.partial.len() > MAX_LINE {
                return None;
            }
            // What was read before this is dropped stays in `partial`.
            lines.reading.read_until(b'\n', &mut lines.partial).await.ok().filter(|count| *count > 0)?;
        }
        serde_json::from_slice(&std::mem::take(&mut lines.partial)).ok()
    }
}

/// The terminal of a service: newest output first.
///
/// # Errors
/// Nobody listens there, or does not take the first line.
pub async fn attach(place: &Place) -> Result<UnixStream, ServiceError> {
    open(place, Ask::Attach).await?.ok_or_else(|| ServiceError::Shim("it does not run".to_owned()))
}

async fn open(place: &Place, ask: Ask) -> Result<Option<UnixStream>, ServiceError> {
    let Ok(mut stream) = UnixStream::connect(&place.socket).await else { return Ok(None) };
    let hello = line(&Hello { version: VERSION, ask }).map_err(|error| ServiceError::Shim(error.to_string()))?;
    // One that ends at this moment.
    Ok(stream.write_all(&hello).await.ok().map(|()| stream))
}

/// Starts a shim and waits until it listens. It is nobody's child for long: it leads a session of its own, and lives on
/// when this process ends.
async fn start(place: &Place, program: &Path, label: &str) -> Result<(), ServiceError> {
    std::fs::create_dir_all(&place.dir).map_err(ServiceError::at("can't make the directory", &place.dir))?;
    let errors = place.dir.join("shim.err");
    let stderr = std::fs::File::create(&errors).map_err(ServiceError::at("can't write", &errors))?;
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
