//! Where an end-to-end test lives: a bay with a name, a home and an engine of its own, cleaned up whatever happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use podbay::api::client::{Client, ClientError};
use podbay::api::types::{ContainerRow, SpawnRequest, Verb};
use podbay::bay::template::Overrides;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::docker::{Docker, listens};
use super::process::{MARK, Ran, Served, alive, finish, marked, signal};
use super::{until, within};
use crate::fake_daemon::FakeDaemon;

/// A bay of its own.
pub struct Den {
    pub bay: String,
    pub docker: Docker,
    /// The fake, when it is one.
    pub fake: Option<FakeDaemon>,
    /// The binary; a copy in the test of upgrades.
    pub binary: PathBuf,
    root: TempDir,
}

/// Parts of a configuration.
#[derive(Clone, Copy, Default)]
pub struct Conf<'a> {
    pub parent: &'a str,
    pub worker: &'a str,
    pub rest: &'a str,
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

impl Den {
    /// On Docker; `None` when there is none, after saying so.
    pub fn docker(test: &str) -> Option<Self> {
        Self::docker_with(test, Conf::default())
    }

    pub fn docker_with(test: &str, conf: Conf<'_>) -> Option<Self> {
        let docker = Docker::real(test)?;
        make_host_image(&docker);
        Some(Self::on(docker, None, conf))
    }

    /// On a fake daemon.
    pub fn fake() -> Self {
        Self::fake_with(Conf::default())
    }

    pub fn fake_with(conf: Conf<'_>) -> Self {
        let fake = FakeDaemon::start();
        Self::on(Docker::new(&fake.socket), Some(fake), conf)
    }

    /// On whatever stands behind this socket.
    pub fn on(docker: Docker, fake: Option<FakeDaemon>, conf: Conf<'_>) -> Self {
        let root = tempfile::Builder::new().prefix("pb").rand_bytes(5).tempdir_in("/tmp").unwrap();
        for part in ["h", "s", "r", "c/podbay"] {
            fs::create_dir_all(root.path().join(part)).unwrap();
        }
        let bay = format!("pbe-{:07x}", random() & 0x0fff_ffff);
        let den = Self { bay, docker, fake, binary: env!("CARGO_BIN_EXE_podbay").into(), root };
        den.configure(conf);
        den
    }

    /// Writes the configuration. Ports are of a range of its own, below those that the system gives out.
    pub fn configure(&self, conf: Conf<'_>) {
        let first = 20_100 + (random() % 120) * 100;
        let text = format!(
            "[bay]\nname = \"{}\"\n[engine]\nhost = \"unix://{}\"\n[parent]\n{}\n{}\n[worker]\nport_range = \"{first}-{}\"\n{}\n{}\n",
            self.bay,
            self.docker.socket.display(),
            if conf.parent.contains("ports") { "" } else { "ports = []" },
            conf.parent,
            first + 99,
            conf.worker,
            conf.rest,
        );
        fs::write(self.path("c/podbay/config.toml"), text).unwrap();
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.root.path().join(part)
    }

    /// The bay's state directory.
    pub fn state(&self) -> PathBuf {
        self.path("s/podbay").join(&self.bay)
    }

    pub fn socket(&self) -> PathBuf {
        self.path(&format!("r/podbay/{}.sock", self.bay))
    }

    /// A verb, ready to run: nothing of this process's environment is in it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).env_clear().current_dir(self.path("h")).stdin(Stdio::null());
        for (key, value) in self.variables() {
            command.env(key, value);
        }
        command
    }

    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let part = |part: &str| self.path(part).display().to_string();
        vec![
            ("HOME", part("h")),
            ("XDG_STATE_HOME", part("s")),
            ("XDG_RUNTIME_DIR", part("r")),
            ("XDG_CONFIG_HOME", part("c")),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("RUST_BACKTRACE", "0".to_owned()),
            (MARK, self.bay.clone()),
        ]
    }

    /// Runs a verb to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), args)
    }

    /// Runs a verb that must succeed; its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "podbay {}: {ran:#?}", args.join(" "));
        ran.stdout
    }

    /// Runs a verb with `--json` that must succeed; what it prints.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[&["--json"], args].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("podbay {}: {error}: {text}", args.join(" ")))
    }

    /// Makes a worker by the verb.
    pub fn spawn(&self, name: &str) {
        self.ok(&["spawn", name, "-d"]);
    }

    /// Makes workers at once by the API.
    pub fn spawn_all(&self, names: &[String]) {
        if !listens(&self.socket()) {
            self.ok(&["ls"]);
        }
        self.wait(async |client| {
            let one = |name: &String| {
                let (client, name) = (client.clone(), name.clone());
                async move { spawn(&client, &name).await }
            };
            for result in futures_util::future::join_all(names.iter().map(one)).await {
                result.unwrap_or_else(|error| panic!("spawn: {error}"));
            }
        });
    }

    pub fn client(&self) -> Client {
        Client::new(self.socket())
    }

    /// Runs something with the API's client.
    pub fn wait<T>(&self, work: impl AsyncFnOnce(Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work(self.client()))
    }

    pub fn act(&self, name: &str, verb: Verb) -> Result<String, ClientError> {
        self.wait(async |client| client.act(name, verb).await.map(|done| done.text))
    }

    /// The rows of `ls`, by the API; empty while nobody answers.
    pub fn rows(&self) -> Vec<ContainerRow> {
        self.wait(async |client| client.containers().await).unwrap_or_default()
    }

    pub fn row(&self, name: &str) -> Option<ContainerRow> {
        self.rows().into_iter().find(|row| row.name == name)
    }

    /// Waits until each of the names is in this state; the time it took.
    pub fn until_state(&self, names: &[&str], state: &str) -> Duration {
        self.within_state(Duration::from_secs(30), names, state)
    }

    pub fn within_state(&self, limit: Duration, names: &[&str], state: &str) -> Duration {
        let (client, runtime) = (self.client(), tokio::runtime::Builder::new_current_thread().enable_all().build());
        let runtime = runtime.unwrap();
        let what = format!("{names:?} {state}");
        let look = || {
            let rows = runtime.block_on(client.containers()).map_err(|error| error.to_string())?;
            let fits = |name: &&str| rows.iter().any(|row| row.name == **name && row.state.as_str() == state);
            if names.iter().all(fits) { Ok(()) } else { Err(summary(&rows)) }
        };
        within(limit, &what, look).1
    }

    /// Any verb starts the next supervisor, which finds these running.
    pub fn until_adopted(&self, names: &[&str]) {
        self.ok(&["ls"]);
        self.until_state(names, "running");
    }

    /// The container of a name of this bay, in the engine's words. One that was claimed has its name there a moment later.
    pub fn inspect(&self, name: &str) -> Value {
        let full = format!("{}-{name}", self.bay);
        let look = || self.docker.inspect(&full).ok_or_else(|| "no such container".to_owned());
        within(Duration::from_secs(2), &format!("the container {full}"), look).0
    }

    pub fn id(&self, name: &str) -> String {
        self.inspect(name)["Id"].as_str().unwrap().to_owned()
    }

    /// The names inside the bay of all its containers in the engine, sorted.
    pub fn in_engine(&self) -> Vec<String> {
        let prefix = format!("/{}-", self.bay);
        let listed = self.docker.of_bay(&self.bay);
        let name = |row: &Value| row["Names"][0].as_str().unwrap_or_default().trim_start_matches(&prefix).to_owned();
        let mut names: Vec<String> = listed.iter().map(name).collect();
        names.sort();
        names
    }

    /// Pids of this den's supervisors.
    pub fn supervisors(&self) -> Vec<u32> {
        let serves = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == b"serve")
        };
        marked(&self.bay).into_iter().filter(serves).collect()
    }

    /// The one supervisor.
    pub fn supervisor(&self) -> u32 {
        match self.supervisors().as_slice() {
            [pid] => *pid,
            other => panic!("one supervisor was expected, there are {other:?}"),
        }
    }

    /// `kill -9` of the supervisor, and waits until it is gone.
    pub fn kill_supervisor(&self) -> u32 {
        let pid = self.supervisor();
        signal(pid, Signal::KILL);
        until("the supervisor is gone", || if alive(pid) { Err(format!("{pid} lives")) } else { Ok(()) });
        pid
    }

    /// `podbay serve` in the foreground, with more environment, once it listens.
    pub fn serve(&self, env: &[(&str, &str)]) -> Served {
        let mut command = self.command(&["serve"]);
        command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut served = Served(child);
        until("the supervisor answers", || {
            let ended = served.0.try_wait().unwrap();
            assert!(ended.is_none(), "the supervisor ended before it answered: {ended:?}");
            self.wait(async |client| client.health().await).map_err(|error| error.to_string())
        });
        served
    }

    /// Runs in the worker, through the verb.
    pub fn exec(&self, name: &str, script: &str) -> Ran {
        self.run(&["exec", name, "--", "bash", "-c", script])
    }
}

/// A spawn by the API.
pub async fn spawn(client: &Client, name: &str) -> Result<String, ClientError> {
    let request =
        SpawnRequest { name: Some(name.to_owned()), overrides: Overrides::default(), ..SpawnRequest::default() };
    client.spawn(&request).await.map(|reply| reply.name)
}

pub fn summary(rows: &[ContainerRow]) -> String {
    let row = |row: &ContainerRow| format!("{}={} ({:?})", row.name, row.state.as_str(), row.reason);
    rows.iter().map(row).collect::<Vec<_>>().join(", ")
}

/// Two engines that import the same image at once leave one of the two without a name.
fn make_host_image(docker: &Docker) {
    use podbay::bay::container::ImageRef;
    use podbay::engine::Engine as _;
    use podbay::engine::docker::{Address, Deadlines, DockerEngine, Endpoint};
    static MADE: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let url = format!("unix://{}", docker.socket.display());
        let endpoint = Endpoint { url, address: Address::Unix(docker.socket.clone()), source: "the test".to_owned() };
        let engine = DockerEngine::new(endpoint, Deadlines::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(engine.ensure_image(&ImageRef::Host)).unwrap();
    });
}

/// A copy of a directory's path as text.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

impl Drop for Den {
    fn drop(&mut self) {
        for _ in 0..100 {
            let left = marked(&self.bay);
            for pid in &left {
                signal(*pid, Signal::KILL);
            }
            // Whoever was forked at that moment is seen by the next look.
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(fake) = &self.fake {
            fake.freeze(false);
            drop(std::mem::take(&mut fake.store().faults));
        }
        let removed = std::panic::catch_unwind(|| {
            for _ in 0..50 {
                let left = self.docker.of_bay(&self.bay);
                for id in left.iter().filter_map(|row| row["Id"].as_str()) {
                    self.docker.remove(id);
                }
                if left.is_empty() {
                    return;
                }
            }
        });
        if std::thread::panicking() {
            return;
        }
        let processes: Vec<u32> = marked(&self.bay).into_iter().filter(|pid| alive(*pid)).collect();
        assert!(removed.is_ok(), "the bay's containers could not be removed");
        assert_eq!((self.in_engine(), processes), (vec![], vec![]), "left of {}", self.bay);
    }
}
