//! Reaching the supervisor, and starting one in the background when none runs.
//!
//! Several verbs may race: each starts a child, the supervisor's lock lets one of them live, and the others' children say
//! so; then everybody connects to the one that lives.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use crate::api::client::Client;
use crate::api::types::ErrorDetail;
use crate::config::Config;
use crate::config::paths::Paths;

use super::exit::{CliError, Kind};
use super::output::note;

/// Until a new supervisor answers.
const START: Duration = Duration::from_secs(10);
/// Between two tries to reach one that another verb started.
const RETRY: Duration = Duration::from_millis(20);
/// How much is read of what a child says; it says one line.
const WORD_MAX: u64 = 64 << 10;
/// How much of the error file is shown.
const TAIL: u64 = 2 << 10;

/// The one line that a background supervisor prints.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FirstWord {
    /// It listens.
    Ready {
        /// Always true.
        ready: bool,
        /// Its pid.
        pid: u32,
    },
    /// It can't run.
    Refused {
        /// Why.
        error: ErrorDetail,
        /// The exit code that it ends with.
        exit: u8,
    },
}

/// The supervisor of this bay, started if none runs.
///
/// # Errors
/// When it can't be reached or started within ten seconds.
pub async fn ensure(paths: &Paths, config: &Config) -> Result<Client, CliError> {
    if let Some(client) = running(paths).await? {
        return Ok(client);
    }
    let deadline = Instant::now() + START;
    paths.create().map_err(|error| CliError::failed(format!("the bay's directories can't be made: {error}")))?;
    let errors = paths.logs().join("supervisor.err");
    let mut child = spawn(config, &errors)?;
    match first_word(&mut child, deadline).await? {
        Some(FirstWord::Ready { pid, .. }) => note(&format!("started a supervisor for bay {} (pid {pid})", config.bay)),
        // Another verb was faster: its supervisor holds the lock, and may not listen yet.
        Some(FirstWord::Refused { exit, .. }) if exit == Kind::NoSupervisor.code() => {}
        Some(FirstWord::Refused { error, exit }) => {
            let kind = if exit == Kind::Usage.code() { Kind::Usage } else { Kind::NoSupervisor };
            return Err(CliError { kind, message: error.message, hint: error.hint });
        }
        None => return Err(ended_early(&mut child, &errors).await),
    }
    reach(paths, deadline).await
}

/// The supervisor of this bay, if one listens.
///
/// # Errors
/// When there is a socket that can't be used: no permission, or not a socket.
pub async fn running(paths: &Paths) -> Result<Option<Client>, CliError> {
    match UnixStream::connect(&paths.socket).await {
        Ok(_) => Ok(Some(Client::new(&paths.socket))),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
            // It listens and is busy: the request waits its turn.
            ErrorKind::WouldBlock => Ok(Some(Client::new(&paths.socket))),
            ErrorKind::PermissionDenied => {
                let message = format!("no permission to use the socket {}", paths.socket.display());
                let hint = "it belongs to the user who runs the supervisor; only that user and root may use it";
                Err(CliError::new(Kind::NoSupervisor, message).hint(hint))
            }
            _ => Err(CliError::new(Kind::NoSupervisor, format!("{} can't be used: {error}", paths.socket.display()))),
        },
    }
}

fn spawn(config: &Config, errors: &Path) -> Result<Child, CliError> {
    let failed = |what: &str, error: std::io::Error| CliError::failed(format!("{what}: {error}"));
    let exe = std::env::current_exe().map_err(|error| failed("podbay's own program can't be found", error))?;
    let mut command = Command::new(exe);
    if let Some(source) = &config.source {
        let source = std::path::absolute(source)?;
        command.arg("--config").arg(source);
    }
    command.args(["--bay", config.bay.as_str(), "serve", "--background"]);
    let stderr = open_errors(errors).map_err(|error| failed(&errors.display().to_string(), error))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    command.spawn().map_err(|error| failed("the supervisor can't be started", error))
}

/// Emptied by each start: it holds what the present supervisor could not log.
fn open_errors(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).and_then(|file| {
        // A child that only finds another one running must not empty that one's file.
        if file.metadata()?.len() > 1 << 20 {
            file.set_len(0)?;
        }
        Ok(file)
    })
}

/// `None`: it ended without a word.
async fn first_word(child: &mut Child, deadline: Instant) -> Result<Option<FirstWord>, CliError> {
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let mut reader = BufReader::new(stdout.take(WORD_MAX));
    let mut line = String::new();
    if let Ok(read) = timeout_at(deadline, reader.read_line(&mut line)).await {
        read?;
        return Ok(serde_json::from_str(&line).ok());
    }
    // Nothing half-done stays: a child that hangs would hold the lock.
    child.start_kill()?;
    let message = format!("the supervisor was not ready within {}s", START.as_secs());
    Err(CliError::new(Kind::NoSupervisor, message).hint("`podbay serve` in the foreground shows what it does"))
}

async fn ended_early(child: &mut Child, errors: &Path) -> CliError {
    let status = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
    let status = match status {
        Ok(Ok(status)) => status.to_string(),
        _ => "no exit status".to_owned(),
    };
    let message = format!("the supervisor ended before it was ready ({status})\n{}", tail(errors));
    CliError::new(Kind::NoSupervisor, message.trim_end())
        .hint(format!("more in {}; `podbay serve` runs it in the foreground", errors.display()))
}

fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    // Only a part of an error message: when it can't be read, the message goes without.
    read().unwrap_or_default()
}

async fn reach(paths: &Paths, deadline: Instant) -> Result<Client, CliError> {
    loop {
        if let Some(client) = running(paths).await? {
            return Ok(client);
        }
        if Instant::now() >= deadline {
            let message = format!("a supervisor runs, but nobody listens on {}", paths.socket.display());
            return Err(CliError::new(Kind::NoSupervisor, message));
        }
        sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_one_of_two() {
        let ready = serde_json::to_string(&FirstWord::Ready { ready: true, pid: 7 }).unwrap();
        assert_eq!(ready, r#"{"ready":true,"pid":7}"#);
        let refused = r#"{"error":{"code":"refused","message":"another one runs"},"exit":3}"#;
        assert!(matches!(serde_json::from_str(refused), Ok(FirstWord::Refused { exit: 3, .. })));
        assert!(serde_json::from_str::<FirstWord>("{}").is_err());
    }
}
