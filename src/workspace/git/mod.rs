//! Running the machine's own git: with a deadline, in a process group of its own, asking nobody, in an environment that
//! holds what it needs and no more.
//!
//! Against a remote it is the user's git: their credential helpers, proxies and ssh agent. On what is here it reads no
//! configuration but this file's, because a repository's content is somebody else's.

mod words;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::bay::phase::{Phase, Progress};
use crate::bay::remote::{Remote, Scheme};
use crate::config::env::Env;

/// A transfer that says nothing for so long is stuck.
const SILENCE: Duration = Duration::from_mins(2);
/// The longest transfer.
const TRANSFER: Duration = Duration::from_hours(1);
/// A question to a remote.
const QUESTION: Duration = Duration::from_mins(1);
/// Work on this machine alone.
const LOCAL: Duration = Duration::from_mins(10);
/// More answer than this is not read.
const MOST_ANSWER: usize = 64 << 20;
/// More complaint than this is not kept, nor more of one line.
const MOST_COMPLAINT: usize = 64 << 10;
const LONGEST_LINE: usize = 4096;
/// What a process that has ended may still have to say.
const DRAIN: Duration = Duration::from_secs(1);

/// What of the environment a remote may need: who the user is, their agent and helpers, proxies and certificates.
const KEPT: [&str; 28] = [
    "HOME",
    "USER",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_GLOBAL",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "KRB5CCNAME",
    "SYSTEMROOT",
    "GNUPGHOME",
    "GH_CONFIG_DIR",
];

/// For every call: no hook, no watcher, no prompt, no work behind our back.
const SAFE: [(&str, &str); 14] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("credential.interactive", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.unpackLimit", "1"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("init.defaultBranch", "main"),
    ("advice.detachedHead", "false"),
    ("checkout.workers", "0"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// The helper that hands git the token: git asks with `get`, and the file is read only then. The words are the same for
/// every token; the file's name comes by the environment.
const HELPER: &str = "!f() { test \"$1\" = get || exit 0; echo username=x-access-token; printf 'password=%s\\n' \"$(cat \"$PODBAY_TOKEN_FILE\")\"; }; f";

/// Why git did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is none.
    #[error("git is not installed on this machine, and clones are made by it")]
    Missing,
    /// It could not be run.
    #[error("{what}: git can't be run: {error}")]
    Run {
        /// What was attempted.
        what: String,
        /// What the system says.
        error: String,
    },
    /// It says no.
    #[error("{what}: {message}")]
    Failed {
        /// What was attempted.
        what: String,
        /// Its words.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// It took too long and was ended.
    #[error("{what}: ended after {}s without {}", limit.as_secs(), if *silent { "a word" } else { "coming to an end" })]
    Late {
        /// What was attempted.
        what: String,
        /// The deadline.
        limit: Duration,
        /// It said nothing for so long.
        silent: bool,
    },
}

impl GitError {
    /// What a user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing => Some("install git, or bind a project directory with -p".to_owned()),
            Self::Failed { hint, .. } => hint.clone(),
            Self::Run { .. } | Self::Late { .. } => None,
        }
    }
}

/// Who is told how far it is. Called often; must not wait.
pub type Report = dyn Fn(Progress) + Send + Sync;

/// A way to a remote, with what it takes.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Where.
    pub remote: &'a Remote,
    /// A file that holds a token, if there is one for that host.
    pub token: Option<&'a Path>,
}

/// One call of git.
pub struct Git<'a> {
    command: Command,
    config: Vec<(String, String)>,
    what: String,
    host: String,
    limits: (Duration, Duration),
    report: Option<&'a Report>,
}

impl<'a> Git<'a> {
    /// On repositories of this machine, under no configuration but its own.
    pub fn local(env: &Env, what: impl Into<String>) -> Self {
        let mut git = Self::new(env, what.into(), (LOCAL, LOCAL));
        git.command.env("HOME", "/nonexistent").env("GIT_CONFIG_GLOBAL", "/dev/null");
        git.command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_ATTR_NOSYSTEM", "1").env("GIT_ALLOW_PROTOCOL", "file");
        git
    }

    /// A question to a remote.
    pub fn asking(env: &Env, access: Access<'_>, what: impl Into<String>) -> Self {
        Self::remote(env, access, what.into(), (QUESTION, QUESTION))
    }

    /// A transfer from a remote.
    pub fn transfer(env: &Env, access: Access<'_>, what: impl Into<String>, report: &'a Report) -> Self {
        Self { report: Some(report), ..Self::remote(env, access, what.into(), (SILENCE, TRANSFER)) }
    }

    fn remote(env: &Env, access: Access<'_>, what: String, limits: (Duration, Duration)) -> Self {
        let mut git = Self::new(env, what, limits);
        for key in KEPT {
            if let Some(value) = env.get(key) {
                git.command.env(key, value);
            }
        }
        // The system's file is where macOS names its keychain; elsewhere it is whoever made the machine's.
        if !cfg!(target_os = "macos") {
            git.command.env("GIT_CONFIG_NOSYSTEM", "1");
        }
        // Also where a user's `insteadOf` leads.
        git.command.env(
            "GIT_ALLOW_PROTOCOL",
            match access.remote.scheme() {
                Scheme::Https | Scheme::Ssh => "https:ssh",
                Scheme::Http => "http",
                Scheme::File => "file",
            },
        );
        if env.get("GIT_SSH_COMMAND").is_none() && env.get("GIT_SSH").is_none() {
            git.command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15");
        }
        git.host = access.remote.host();
        if let Some(token) = access.token {
            let place = format!("{}://{}", access.remote.scheme().as_str(), access.remote.host());
            // An empty helper forgets those before it: the token that was named for this host is the one that is used.
            git.config.push((format!("credential.{place}.helper"), String::new()));
            git.config.push((format!("credential.{place}.helper"), HELPER.to_owned()));
            git.command.env("PODBAY_TOKEN_FILE", token);
        }
        git
    }

    fn new(env: &Env, what: String, limits: (Duration, Duration)) -> Self {
        let mut command = Command::new("git");
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PATH", env.get("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin"));
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS_REQUIRE", "never");
        command.env("GIT_OPTIONAL_LOCKS", "0").current_dir("/");
        command.process_group(0);
        let config = SAFE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { command, config, what, host: String::new(), limits, report: None }
    }

    /// In this repository.
    #[must_use]
    pub fn inside(mut self, dir: &Path) -> Self {
        self.command.arg("-C").arg(dir);
        self
    }

    /// With this in its environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// With this to read.
    #[must_use]
    pub fn stdin(mut self, file: std::fs::File) -> Self {
        self.command.stdin(file);
        self
    }

    /// Ended after so long.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limits = (limit, limit);
        self
    }

    /// With these arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Runs it to its end; what it wrote to stdout.
    ///
    /// # Errors
    /// [`GitError`]. Nothing of its process group is left running.
    pub async fn run(self) -> Result<Vec<u8>, GitError> {
        self.run_noting(|_| ()).await
    }

    /// Like [`Git::run`]; `begun` is told its pid, which leads its process group.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub async fn run_noting(mut self, begun: impl FnOnce(u32)) -> Result<Vec<u8>, GitError> {
        self.command.env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (index, (key, value)) in self.config.iter().enumerate() {
            self.command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        let what = self.what.clone();
        let child = self.command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => GitError::Missing,
            _ => GitError::Run { what: what.clone(), error: error.to_string() },
        })?;
        let mut group = Group(child);
        if let Some(pid) = group.0.id() {
            begun(pid);
        }
        let (_, whole) = self.limits;
        let late = |silent, limit| GitError::Late { what: what.clone(), limit, silent };
        match tokio::time::timeout(whole, self.follow(&mut group.0)).await {
            Err(_) => Err(late(false, whole)),
            Ok(Err(Stop::Silent(limit))) => Err(late(true, limit)),
            Ok(Err(Stop::Broken(error))) => Err(GitError::Run { what, error: error.to_string() }),
            Ok(Ok((status, stdout, _))) if status.success() => Ok(stdout),
            Ok(Ok((_, _, stderr))) => {
                let message = words::complaint(&stderr);
                let hint = words::hint(&message, &self.host);
                Err(GitError::Failed { what, message, hint })
            }
        }
    }

    /// Until it has ended; one that it left behind with its stderr, a shared ssh connection say, is not waited for.
    async fn follow(&self, child: &mut Child) -> Result<(ExitStatus, Vec<u8>, String), Stop> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut answer, mut complaint) = (Vec::new(), Vec::new());
        let status = {
            let reading =
                async { tokio::try_join!(read_all(stdout, &mut answer), self.listen(stderr, &mut complaint)) };
            tokio::pin!(reading);
            tokio::select! {
                read = &mut reading => {
                    read?;
                    child.wait().await
                }
                status = child.wait() => {
                    // What came in time is what counts.
                    drop(tokio::time::timeout(DRAIN, &mut reading).await);
                    status
                }
            }
        };
        let status = status.map_err(Stop::Broken)?;
        Ok((status, answer, String::from_utf8_lossy(&complaint).into_owned()))
    }

    /// Reads stderr to its end, and passes on what it says of its progress.
    async fn listen(&self, stderr: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> Result<(), Stop> {
        let Some(mut stderr) = stderr else { return Ok(()) };
        let (silence, _) = self.limits;
        let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let read = tokio::time::timeout(silence, stderr.read(&mut buffer)).await;
            let count = read.map_err(|_| Stop::Silent(silence))?.map_err(Stop::Broken)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            for byte in bytes {
                if !matches!(byte, b'\n' | b'\r') {
                    if line.len() < LONGEST_LINE {
                        line.push(*byte);
                    }
                    continue;
                }
                self.told(&line);
                if words::progress(&String::from_utf8_lossy(&line)).is_none() && kept.len() < MOST_COMPLAINT {
                    kept.append(&mut line);
                    kept.push(b'\n');
                }
                line.clear();
            }
        }
        kept.append(&mut line);
        Ok(())
    }

    fn told(&self, line: &[u8]) {
        let Some(report) = self.report else { return };
        if let Some(detail) = words::progress(&String::from_utf8_lossy(line)) {
            report(Progress::new(Phase::Cloning, format!("{}, {detail}", self.what)));
        }
    }
}

/// Why it was not waited for any longer.
enum Stop {
    Silent(Duration),
    Broken(std::io::Error),
}

async fn read_all(stdout: Option<impl AsyncRead + Unpin>, answer: &mut Vec<u8>) -> Result<(), Stop> {
    if let Some(stdout) = stdout {
        stdout.take(MOST_ANSWER as u64).read_to_end(answer).await.map_err(Stop::Broken)?;
    }
    Ok(())
}

/// A process group that ends with its owner: git starts others, and a supervisor that ends leaves none of them.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Without an id it was waited for already, and its number may be somebody else's.
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            // Fails only when it is gone.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The directory that a supervisor's git was given to work in is its alone: the name of a new one.
pub fn fresh_name(prefix: &str) -> std::io::Result<PathBuf> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(PathBuf::from(format!("{prefix}{}", crate::bay::owner::hex(&bytes))))
}
