//! A bay for a bench: a home of its own, and all that it made removed at the end, also after a panic.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The release build.
const PODBAY: &str = env!("CARGO_BIN_EXE_podbay");
/// How many spawns are asked for at once; more only wait for the engine.
const AT_ONCE: usize = 8;
/// Workers that only exist, with what each costs besides taken away.
const CONFIG: &str = r#"[parent]
ports = []
[worker]
command = ["sleep", "infinity"]
mounts = []
ssh = "none"
[worker.limits]
memory = "64m"
"#;

/// One bay.
pub struct Bay {
    home: TempDir,
    name: String,
}

impl Bay {
    /// A bay with a supervisor and a parent that runs.
    pub fn start() -> Result<Self, String> {
        Self::with("")
    }

    /// The same with more in its configuration.
    pub fn with(more: &str) -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        for part in ["state", "config/podbay", "run"] {
            fs::create_dir_all(home.path().join(part)).map_err(|error| error.to_string())?;
        }
        let file = home.path().join("config/podbay/config.toml");
        fs::write(file, format!("{CONFIG}{more}")).map_err(|error| error.to_string())?;
        let bay = Self { home, name: format!("bench-{}", std::process::id()) };
        bay.done(&["up"])?;
        Ok(bay)
    }

    /// The name before that of each container.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The supervisor's socket.
    pub fn socket(&self) -> std::path::PathBuf {
        self.home.path().join(format!("run/podbay/{}.sock", self.name))
    }

    /// The state directory.
    pub fn state(&self) -> std::path::PathBuf {
        self.home.path().join("state/podbay").join(&self.name)
    }

    /// All that podbay finds in its environment.
    pub fn vars(&self) -> Vec<(String, String)> {
        let at = |part: &str| self.home.path().join(part).to_string_lossy().into_owned();
        let mut vars = vec![
            ("HOME".to_owned(), at("")),
            ("XDG_STATE_HOME".to_owned(), at("state")),
            ("XDG_CONFIG_HOME".to_owned(), at("config")),
            ("XDG_RUNTIME_DIR".to_owned(), at("run")),
            ("PODBAY_BAY".to_owned(), self.name.clone()),
            ("TERM".to_owned(), "xterm-256color".to_owned()),
        ];
        vars.extend(
            ["PATH", "DOCKER_HOST"].iter().filter_map(|key| Some(((*key).to_owned(), std::env::var(key).ok()?))),
        );
        vars
    }

    /// The program of the dashboard.
    pub fn program() -> &'static str {
        PODBAY
    }

    /// A verb, not yet run.
    pub fn verb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PODBAY);
        command.args(args).env_clear().envs(self.vars()).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs a verb that has to end well, and gives what it printed.
    pub fn done(&self, args: &[&str]) -> Result<String, String> {
        let output = self.verb(args).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("podbay {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// Workers `w0` and so on, until there are as many.
    pub fn fill(&self, count: usize) -> Result<(), String> {
        let there: usize = self.done(&["count"])?.trim().parse().map_err(|error| format!("count: {error}"))?;
        let next = AtomicUsize::new(there);
        std::thread::scope(|scope| {
            let spawner = || -> Result<(), String> {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok(());
                    }
                    self.done(&["spawn", &format!("w{number}"), "--detach"])?;
                }
            };
            let spawners: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(spawner)).collect();
            spawners.into_iter().try_for_each(|spawner| spawner.join().unwrap_or_else(|_| Err("a panic".to_owned())))
        })
    }

    /// The supervisor's process.
    pub fn supervisor(&self) -> Result<u32, String> {
        let status = self.done(&["status", "--json"])?;
        let status: serde_json::Value = serde_json::from_str(&status).map_err(|error| error.to_string())?;
        let pid = status.get("pid").and_then(serde_json::Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
        pid.ok_or_else(|| "status names no pid".to_owned())
    }

    /// Ends the supervisor as hard as can be; the containers go on, and the next verb finds them again.
    pub fn kill_supervisor(&self) -> Result<(), String> {
        let pid = self.supervisor()?;
        let as_pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or("no such pid")?;
        rustix::process::kill_process(as_pid, rustix::process::Signal::KILL).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while Path::new(&format!("/proc/{pid}/fd/0")).exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn sweep(&self) {
        let label = format!("label=podbay.bay={}", self.name);
        let Ok(output) = Command::new("docker").args(["ps", "-aq", "--filter", &label]).output() else { return };
        let ids = String::from_utf8_lossy(&output.stdout).into_owned();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        // Some at a time: one failure then leaves the others to be removed.
        for some in ids.chunks(20) {
            let _ = Command::new("docker").args(["rm", "-f"]).args(some).output();
        }
    }
}

impl Drop for Bay {
    fn drop(&mut self) {
        let down = || self.verb(&["down", "--workers", "--yes"]).output().is_ok_and(|ended| ended.status.success());
        // Where a part has killed the supervisor, another one takes over what it left.
        if !down() && self.verb(&["up"]).output().is_ok() {
            down();
        }
        self.sweep();
    }
}
