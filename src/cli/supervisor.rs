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
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use crate::api::client::{Client, ClientError};
use crate::api::types::ErrorDetail;
use crate::bay::service::MARK;
use crate::config::paths::Paths;
use crate::config::{Config, isolation};

use super::exit::{CliError, Kind};
use super::output::note;

/// Until a new supervisor answers.
const START: Duration = Duration::from_secs(10);
/// Who has not answered by then hangs.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
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
    let exe = std::env::current_exe();
    let exe = exe.map_err(|error| CliError::failed(format!("podbay's own program can't be found: {error}")))?;
    let started = |pid| note(&format!("started a supervisor for bay {} (pid {pid})", config.bay));
    ensure_by(&exe, START, (paths, config), started).await
}

/// The same from behind the dashboard, where nothing may be printed.
///
/// # Errors
/// When none can be started.
pub async fn ensure_quietly(paths: &Paths, config: &Config) -> Result<Client, CliError> {
    let exe = std::env::current_exe();
    let exe = exe.map_err(|error| CliError::failed(format!("podbay's own program can't be found: {error}")))?;
    // Long after the flag was given: somebody may have said another word since.
    let config = Config { said: isolation::latest(config.said, &paths.state), ..config.clone() };
    ensure_by(&exe, START, (paths, &config), |pid| tracing::info!(pid, "started a supervisor")).await
}

async fn ensure_by(
    exe: &Path,
    patience: Duration,
    (paths, config): (&Paths, &Config),
    started: impl Fn(u32),
) -> Result<Client, CliError> {
    if let Some(client) = running(paths).await? {
        return Ok(client);
    }
    if let Ok(mark) = std::env::var(MARK) {
        return Err(inside_a_service(&mark));
    }
    let deadline = Instant::now() + patience;
    paths.create().map_err(|error| CliError::failed(format!("the bay's directories can't be made: {error}")))?;
    let errors = paths.logs().join("supervisor.err");
    // What earlier ones left there says nothing of this one.
    let begun = std::fs::metadata(&errors).map_or(0, |errors| errors.len());
    let mut child = spawn(exe, config, &errors)?;
    match first_word(&mut child, deadline).await? {
        Some(FirstWord::Ready { pid, .. }) => started(pid),
        // Another verb was faster: its supervisor holds the lock, and may not listen yet.
        Some(FirstWord::Refused { exit, .. }) if exit == Kind::NoSupervisor.code() => {}
        Some(FirstWord::Refused { error, exit }) => {
            let kind = if exit == Kind::Usage.code() { Kind::Usage } else { Kind::NoSupervisor };
            return Err(CliError { kind, message: error.message, hint: error.hint, wire: Some(error.code) });
        }
        None => return Err(ended_early(&mut child, &errors, begun).await),
    }
    reach(paths, deadline).await
}

/// A supervisor that a service started would be one of its processes, and would end with it.
fn inside_a_service(mark: &str) -> CliError {
    let service = mark.split(':').next().unwrap_or(mark);
    CliError::new(Kind::NoSupervisor, format!("no supervisor runs, and a process of the service {service} starts none"))
        .hint("it would end with the service; `podbay up` outside of it starts one")
}

/// The supervisor of this bay, if one listens.
///
/// # Errors
/// When there is a socket that can't be used: no permission, or not a socket.
pub async fn running(paths: &Paths) -> Result<Option<Client>, CliError> {
    let client = Client::new(&paths.socket);
    // The kernel accepts for a process that is being killed until its last thread is gone, and then breaks the
    // connection: only an answer is a supervisor. Who says nothing at all hangs, and is there.
    match tokio::time::timeout(FIRST_ANSWER, client.health()).await {
        Ok(Err(ClientError::Broken(_))) => Ok(None),
        Ok(Err(ClientError::NoSupervisor { kind, why, .. })) => match kind {
            // The last: one that is being killed, where the kernel breaks the connection before anything is written.
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Ok(None),
            ErrorKind::PermissionDenied => {
                let message = format!("no permission to use the socket {}", paths.socket.display());
                let hint = "it belongs to the user who runs the supervisor; only that user and root may use it";
                Err(CliError::new(Kind::NoSupervisor, message).hint(hint))
            }
            _ => Err(CliError::new(Kind::NoSupervisor, format!("{} can't be used: {why}", paths.socket.display()))),
        },
        _ => Ok(Some(client)),
    }
}

fn spawn(exe: &Path, config: &Config, errors: &Path) -> Result<Child, CliError> {
    let failed = |what: &str, error: std::io::Error| CliError::failed(format!("{what}: {error}"));
    let mut command = Command::new(exe);
    if let Some(source) = &config.source {
        let source = std::path::absolute(source)?;
        command.arg("--config").arg(source);
    }
    if let Some(level) = config.said {
        command.args(["--isolation", level.as_str()]);
    }
    command.args(["--bay", config.bay.as_str(), "serve", "--background"]);
    let stderr = open_errors(errors).map_err(|error| failed(&errors.display().to_string(), error))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    command.spawn().map_err(|error| failed("the supervisor can't be started", error))
}

/// What supervisors could not log.
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
    let message = "the supervisor was not ready in time";
    Err(CliError::new(Kind::NoSupervisor, message).hint("`podbay serve` in the foreground shows what it does"))
}

async fn ended_early(child: &mut Child, errors: &Path, begun: u64) -> CliError {
    let status = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
    let status = match status {
        Ok(Ok(status)) => status.to_string(),
        _ => "no exit status".to_owned(),
    };
    let message = format!("the supervisor ended before it was ready ({status})\n{}", tail(errors, begun));
    CliError::new(Kind::NoSupervisor, message.trim_end())
        .hint(format!("more in {}; `podbay serve` runs it in the foreground", errors.display()))
}

/// The end of what was written to a file since it was so long.
fn tail(path: &Path, begun: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL).max(begun.min(length))))?;
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

    /// A home without a supervisor, and a program that stands for podbay.
    struct Home {
        dir: tempfile::TempDir,
        config: Config,
        paths: Paths,
    }

    impl Home {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name).display().to_string();
            let vars = [("XDG_RUNTIME_DIR", at("run")), ("XDG_STATE_HOME", at("state")), ("HOME", at(""))];
            let env = crate::config::env::Env {
                vars: vars.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                cwd: dir.path().to_owned(),
                home: dir.path().to_owned(),
                ..Default::default()
            };
            std::fs::create_dir(dir.path().join("run")).unwrap();
            let config = Config::load(None, &env).unwrap();
            let paths = Paths::of(&config.bay, &env);
            Self { dir, config, paths }
        }

        async fn ensure(&self, script: &str, patience: Duration) -> Result<Client, CliError> {
            let exe = self.dir.path().join("podbay");
            // Written by another process: a file that this one has open for writing, and any child that another test
            // starts at that moment inherits, can't be executed.
            let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
            let written = Command::new("sh").args(["-c", write]).arg(&exe).arg(script).status().await.unwrap();
            assert!(written.success());
            ensure_by(&exe, patience, (&self.paths, &self.config), |_| {}).await
        }

        fn listen(&self) -> tokio::net::UnixListener {
            std::fs::create_dir_all(self.paths.runtime()).unwrap();
            tokio::net::UnixListener::bind(&self.paths.socket).unwrap()
        }
    }

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn one_that_runs_is_used_and_none_is_started() {
        let home = Home::new();
        let _listener = home.listen();
        assert!(home.ensure("touch started", LONG).await.is_ok());
        assert!(!home.paths.logs().exists());
    }

    #[tokio::test]
    async fn one_that_is_being_killed_is_none() {
        let home = Home::new();
        let listener = home.listen();
        let dying = async {
            loop {
                drop(listener.accept().await.unwrap());
            }
        };
        tokio::select! {
            found = running(&home.paths) => assert!(found.unwrap().is_none()),
            () = dying => {}
        }
    }

    #[tokio::test]
    async fn a_race_that_is_lost_ends_with_the_winner() {
        let home = Home::new();
        // The winner holds the lock, and listens a little later.
        let script = r#"echo '{"error":{"code":"refused","message":"another one runs"},"exit":3}'; exit 3"#;
        let (client, _listener) = tokio::join!(home.ensure(script, LONG), async {
            while !home.paths.logs().join("supervisor.err").exists() {
                sleep(RETRY).await;
            }
            sleep(RETRY * 3).await;
            home.listen()
        });
        assert!(client.is_ok());
    }

    #[tokio::test]
    async fn a_supervisor_that_can_not_run_is_told_in_its_own_words() {
        let home = Home::new();
        let refused =
            |exit: u8| format!(r#"echo '{{"error":{{"code":"x","message":"why","hint":"do"}},"exit":{exit}}}'"#);
        for (exit, kind) in [(1, Kind::NoSupervisor), (2, Kind::Usage)] {
            let error = home.ensure(&refused(exit), LONG).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str(), error.hint.as_deref()), (kind, "why", Some("do")));
        }
        let error = home.ensure("echo garbage; echo 'last words' >&2; exit 9", LONG).await.unwrap_err();
        assert_eq!(error.kind, Kind::NoSupervisor);
        assert!(error.message.contains("exit status: 9") && error.message.contains("last words"), "{error}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_not_waited_for_and_not_left() {
        let home = Home::new();
        let script = "echo $$ > pid.part; mv pid.part pid; exec sleep 60";
        let script = format!("cd {}; {script}", home.dir.path().display());
        let started = Instant::now();
        let error = home.ensure(&script, Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error.kind, Kind::NoSupervisor);
        assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
        let pid = std::fs::read_to_string(home.dir.path().join("pid")).unwrap();
        let alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while alive() {
            assert!(started.elapsed() < LONG, "the child still runs");
            sleep(RETRY).await;
        }
    }

    #[tokio::test]
    async fn one_that_says_ready_and_does_not_listen_is_not_believed() {
        let home = Home::new();
        let error = home.ensure(r#"echo '{"ready":true,"pid":1}'"#, Duration::from_millis(300)).await.unwrap_err();
        assert!(error.message.contains("nobody listens"), "{error}");
    }
}
