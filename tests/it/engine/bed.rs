//! Where an engine's test runs: a bay of its own, cleaned up whatever happens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use podbay::bay::container::{ContainerId, ContainerSpec, ImageRef, NetworkSpec, Observed, Status, label};
use podbay::bay::hardening::Hardening;
#[cfg(target_os = "linux")]
use podbay::bay::isolation::Isolation;
use podbay::bay::name::{ContainerName, Name};
use podbay::bay::session::TermSize;
use podbay::bay::size::ByteSize;
use podbay::bay::template::Limits;
use podbay::engine::docker::{Address, Deadlines, DockerEngine, Endpoint};
#[cfg(target_os = "linux")]
use podbay::engine::local::LocalEngine;
use podbay::engine::{EngineError, LogLine, LogQuery, RawTty, SharedEngine};
use tokio::io::{AsyncRead, AsyncReadExt};

#[cfg(target_os = "linux")]
use crate::skip::has_namespaces;
use crate::skip::{Need, lacks};

use crate::fake_daemon::FakeDaemon;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An engine with a bay of its own in it.
pub struct Bed {
    pub engine: SharedEngine,
    pub bay: Name,
    /// The fake, when it is one.
    pub fake: Option<FakeDaemon>,
    /// Where what it made must be taken away from.
    real: Option<SharedEngine>,
    /// The state of one without a daemon.
    state: Option<tempfile::TempDir>,
}

/// A bay that no other test has.
fn own_bay() -> Name {
    use std::hash::{BuildHasher, RandomState};
    format!("pbt-{:08x}", RandomState::new().hash_one(0) & 0xffff_ffff).parse().unwrap()
}

/// Of this user, with the binary that this user may run.
#[cfg(target_os = "linux")]
fn local_engine(state: &Path) -> SharedEngine {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Arc::new(LocalEngine::new(state.join("podbay"), own_program(), own))
}

#[cfg(target_os = "linux")]
fn own_program() -> PathBuf {
    let program = std::env::var_os("PODBAY_TEST_PROGRAM").map(PathBuf::from);
    program.unwrap_or_else(|| env!("CARGO_BIN_EXE_podbay").into())
}

impl Bed {
    pub fn fake() -> Self {
        let fake = FakeDaemon::start();
        Self { engine: Arc::new(fake.engine()), bay: own_bay(), fake: Some(fake), real: None, state: None }
    }

    /// Docker on its default socket; `None` when there is none, after saying so.
    pub async fn docker(test: &str) -> Option<Self> {
        Self::real(test, "docker", &["/var/run/docker.sock".into()], Need::Docker).await
    }

    /// Podman on one of its sockets, or where `PODBAY_TEST_PODMAN` says: then it must answer.
    pub async fn podman(test: &str) -> Option<Self> {
        if let Ok(named) = std::env::var("PODBAY_TEST_PODMAN") {
            let socket = named.strip_prefix("unix://").unwrap_or(&named).into();
            let bed = Self::real(test, "podman", &[socket], Need::Luck).await;
            assert!(bed.is_some(), "{test}: no podman answers at {named}");
            return bed;
        }
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let sockets = [runtime.map(|dir| dir.join("podman/podman.sock")), Some("/run/podman/podman.sock".into())];
        let sockets: Vec<PathBuf> = sockets.into_iter().flatten().collect();
        Self::real(test, "podman", &sockets, Need::Luck).await
    }

    /// This machine's own namespaces; `None` where it has none for this user, after saying so.
    #[cfg(target_os = "linux")]
    pub fn local(test: &str) -> Option<Self> {
        // A directory that its containers may look into, whoever they run as.
        let state = tempfile::tempdir().unwrap();
        let engine = local_engine(state.path());
        has_namespaces(&format!("local::{test}")).then(|| Self {
            engine: engine.clone(),
            bay: own_bay(),
            fake: None,
            real: Some(engine),
            state: Some(state),
        })
    }

    /// The same at a level that this machine can do; `None` after saying why not. Without a level: namespaces that the
    /// system's bwrap opens.
    #[cfg(target_os = "linux")]
    pub async fn rung(test: &str, level: Option<Isolation>) -> Option<Self> {
        let state = tempfile::tempdir().unwrap();
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let engine = LocalEngine::new(state.path().join("podbay"), own_program(), own);
        let (word, engine) = match level {
            Some(level) => (level.as_str(), engine.at(level)),
            None => ("bwrap", engine.opened_by("/usr/bin/bwrap".into())),
        };
        let engine: SharedEngine = Arc::new(engine);
        let missing = match engine.identify().await {
            _ if level.is_none() && own.0 == 0 => Some("root needs nobody to open namespaces".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = missing {
            let nobody_needs_it = level.is_none() && own.0 == 0;
            lacks(if nobody_needs_it { Need::Luck } else { Need::Rung(word) }, &format!("{word}::{test}"), &why);
            return None;
        }
        Some(Self { engine: engine.clone(), bay: own_bay(), fake: None, real: Some(engine), state: Some(state) })
    }

    async fn real(test: &str, kind: &str, sockets: &[PathBuf], need: Need<'_>) -> Option<Self> {
        for socket in sockets {
            let url = format!("unix://{}", socket.display());
            let endpoint = Endpoint { url, address: Address::Unix(socket.clone()), source: "the test".to_owned() };
            let engine: SharedEngine = Arc::new(DockerEngine::new(endpoint.clone(), Deadlines::default()));
            if engine.identify().await.is_ok() {
                // With connections of its own: the last of this runtime's may be gone by then.
                let real: SharedEngine = Arc::new(DockerEngine::new(endpoint, Deadlines::default()));
                return Some(Self { engine, bay: own_bay(), fake: None, real: Some(real), state: None });
            }
        }
        lacks(need, &format!("{kind}::{test}"), &format!("no {kind} answers"));
        None
    }

    /// Where the state of an engine without a daemon lies.
    pub fn state(&self) -> Option<PathBuf> {
        self.state.as_ref().map(|state| state.path().to_owned())
    }

    /// Another engine over the same state, as a supervisor that comes after a killed one has it.
    #[cfg(target_os = "linux")]
    pub fn another(&self) -> Option<SharedEngine> {
        Some(local_engine(&self.state()?))
    }

    /// A container of this bay that is walled as workers are.
    pub fn spec(&self, name: &str, command: &[&str]) -> ContainerSpec {
        let name: Name = name.parse().unwrap();
        ContainerSpec {
            name: ContainerName::worker(&self.bay, &name),
            image: ImageRef::Host,
            entrypoint: Vec::new(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            user: None,
            hostname: None,
            workdir: None,
            env: BTreeMap::new(),
            labels: BTreeMap::from([(label::BAY.to_owned(), self.bay.to_string())]),
            network: NetworkSpec::None,
            mounts: Vec::new(),
            tty: false,
            stop_signal: None,
            limits: Limits {
                cpus: 1.0,
                memory: ByteSize::bytes(256 << 20),
                memory_reservation: None,
                pids: 100,
                nofile: (1024, 2048),
                log_max_size: ByteSize::bytes(50 << 20),
                log_max_files: 2,
            },
            hardening: Hardening {
                cap_drop: vec!["ALL".to_owned()],
                cap_add: vec!["KILL".to_owned()],
                no_new_privileges: true,
                read_only: false,
                seccomp: "default".to_owned(),
                init: true,
            },
            health: None,
        }
    }

    pub async fn create(&self, spec: &ContainerSpec) -> ContainerId {
        // Two engines that import the same image at once leave one of the two without a name.
        static IMPORT: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let turn = IMPORT.lock().await;
        self.engine.ensure_image(&spec.image).await.unwrap();
        drop(turn);
        self.engine.create(spec).await.unwrap().id
    }

    /// Makes and starts one.
    pub async fn run(&self, name: &str, command: &[&str]) -> ContainerId {
        let id = self.create(&self.spec(name, command)).await;
        self.engine.start(&id).await.unwrap();
        id
    }

    /// A shell on a terminal of 33 by 99 that has shown its prompt.
    pub async fn shell(&self, mut spec: ContainerSpec) -> (ContainerId, RawTty) {
        spec.tty = true;
        spec.env.insert("PS1".to_owned(), "ready> ".to_owned());
        let id = self.create(&spec).await;
        let mut tty = self.engine.attach(&id).await.unwrap();
        self.engine.start(&id).await.unwrap();
        self.engine.resize(&id, TermSize::new(33, 99)).await.unwrap();
        read_until(&mut tty.output, b"ready> ").await;
        (id, tty)
    }

    pub async fn exit(&self, id: &ContainerId) -> Observed {
        until(&format!("{id} exits"), async || {
            let seen = self.engine.inspect(id).await.unwrap();
            if matches!(seen.status, Status::Exited { .. }) { Ok(seen) } else { Err(format!("{seen:?}")) }
        })
        .await
    }

    pub async fn log(&self, id: &ContainerId, query: LogQuery) -> Vec<LogLine> {
        let stream = self.engine.logs(id, &query).await.unwrap();
        let lines = stream.map(Result::unwrap).collect::<Vec<_>>();
        // The long forms read 200,000 lines on machines that have other things to do.
        tokio::time::timeout(PATIENCE * 6, lines).await.expect("the log ends")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let (Some(engine), bay) = (self.real.take(), self.bay.clone()) else { return };
        // Also while a panic unwinds, when this runtime can't be waited for.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                // The last one first: Podman removes no container whose network is joined.
                for seen in engine.list(&bay).await.unwrap_or_default().into_iter().rev() {
                    let _ = engine.remove(&seen.id).await;
                }
            });
        });
        let _ = cleaner.join();
    }
}

/// Waits for a condition, and says what it saw when it did not come.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if tokio::time::Instant::now() > deadline => panic!("{what}: saw {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Reads until the text has come; all that was read.
pub async fn read_until(from: &mut (impl AsyncRead + Unpin), text: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    let read = async {
        let mut space = [0u8; 4096];
        while !seen.windows(text.len()).any(|window| window == text) {
            let count = from.read(&mut space).await.unwrap();
            if count == 0 {
                return false;
            }
            seen.extend_from_slice(&space[..count]);
        }
        true
    };
    let found = tokio::time::timeout(PATIENCE, read).await;
    assert_eq!(found, Ok(true), "waited for {:?}, saw {:?}", Bytes::copy_from_slice(text), Bytes::from(seen));
    seen
}

pub fn texts(lines: &[LogLine]) -> Vec<(bool, String)> {
    lines.iter().map(|line| (line.stderr, String::from_utf8_lossy(&line.bytes).into_owned())).collect()
}

pub fn refused<T: std::fmt::Debug>(result: Result<T, EngineError>) -> EngineError {
    result.expect_err("the engine refuses")
}
